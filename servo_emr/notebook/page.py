"""An executed notebook as one HTML page that needs nothing else: no scripts, no fonts or styles from elsewhere.

What a notebook printed is somebody else's text: active content is taken out, and very large outputs are cut.
"""

from __future__ import annotations

import html
from typing import Any

from servo_emr.notebook.document import parse

__all__ = ["NoRenderer", "as_page"]

LONGEST_OUTPUT = 200_000
"""Characters of one output that the page shows; all of it is in the notebook itself."""


# They can neither run nor fetch anything. Other tags are dropped, and their text stays.
_TAGS = (
    "b blockquote br caption code col colgroup dd del div dl dt em h1 h2 h3 h4 h5 h6 hr i li ol p pre s span strong "
    "sub sup table tbody td tfoot th thead tr u ul"
).split()


_SHOWABLE = frozenset(
    "text/html text/latex text/markdown text/plain image/svg+xml image/png image/jpeg application/pdf "
    "application/javascript application/vnd.jupyter.widget-view+json".split()
)
"""Kinds of output that nbconvert has a way with; it warns of others, such as scrapbook's records."""


class NoRenderer(Exception):
    """nbconvert is not installed."""


def as_page(body: bytes, title: str) -> str:
    """The notebook in `body` as HTML.

    Raises:
        ValueError: it is no notebook; the message says why.
        NoRenderer: nbconvert is not installed.
    """
    try:
        from nbconvert import HTMLExporter
        from nbconvert.preprocessors.sanitize import SanitizeHTML
    except ModuleNotFoundError as error:
        raise NoRenderer(str(error)) from error
    document = parse(body)
    document.metadata["title"] = title
    for cell in document.cells:
        for output in cell.get("outputs", ()):
            _shorten(output)
    exporter = HTMLExporter(template_name="basic")  # type: ignore[no-untyped-call]
    harmless = SanitizeHTML(tags=_TAGS, strip=True)  # type: ignore[no-untyped-call]
    exporter.register_preprocessor(harmless, enabled=True)  # type: ignore[no-untyped-call]
    content, _ = exporter.from_notebook_node(document)
    return _PAGE.format(title=html.escape(title), content=content)


def _shorten(output: Any) -> None:
    if isinstance(output.get("text"), str):
        output["text"] = _cut(output["text"])
    data = output.get("data", {})
    if data and not _SHOWABLE & set(data):
        data["text/plain"] = "\n".join(f"{kind}: {_recorded(value)}" for kind, value in data.items())
    for kind, value in list(data.items()):
        # Half a picture or half a table is worse than none.
        if not kind.startswith("text/plain") and len(str(value)) > 20 * LONGEST_OUTPUT:
            data[kind] = f"[{kind} of {len(str(value))} characters: see the notebook itself]"
            data.setdefault("text/plain", data.pop(kind))
        elif kind == "text/plain" and isinstance(value, str):
            data[kind] = _cut(value)


def _recorded(value: Any) -> str:
    """What a program recorded in a notebook, as text: a scrap's name and value where it is one."""
    if isinstance(value, dict) and {"name", "data"} <= set(value):
        return f"{value['name']} = {value['data']!r}"
    return str(value)


def _cut(text: str) -> str:
    left_out = len(text) - LONGEST_OUTPUT
    if left_out <= 0:
        return text
    half = LONGEST_OUTPUT // 2
    return f"{text[:half]}\n[{left_out} characters are left out here; they are in the notebook itself]\n{text[-half:]}"


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif; max-width: 72rem; margin: 1rem auto; padding: 0 1rem; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f6f6; padding: .5rem; margin: .2rem 0; }}
.jp-OutputArea-output pre, .output_area pre {{ background: none; border-left: 3px solid #ddd; }}
img {{ max-width: 100%; }}
table {{ border-collapse: collapse; }}
pre .ansi-red-fg {{ color: #b22222; }}
pre .ansi-green-fg {{ color: #2e7d32; }}
pre .ansi-bold {{ font-weight: bold; }}
.input_prompt {{ color: #777; font-size: small; }}
td, th {{ border: 1px solid #ccc; padding: .2rem .5rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
{content}
</body>
</html>
"""
