"""Makes servo_emr/report/assets/vega.js, what the report's page draws its charts with.

    python tools/make_vega_bundle.py

The bundle is vl-convert's: Vega, Vega-Lite and Vega-Embed with all that they need, in the versions that the installed
vl-convert carries. To make it takes seconds and an 88 MB wheel, so it is made once, and a test holds the file against
what the pinned vl-convert makes.
"""

from __future__ import annotations

from pathlib import Path

import vl_convert

TARGET = Path(__file__).resolve().parent.parent / "servo_emr" / "report" / "assets" / "vega.js"
SNIPPET = "window.vegaEmbed = vegaEmbed;"


def bundle() -> str:
    """The bundle's text. Nothing in it can end the script element that it is put into."""
    lite = vl_convert.get_vegalite_versions()[-1]
    versions = (
        f"vega {vl_convert.get_vega_version()}, vega-lite {lite}, vega-embed {vl_convert.get_vega_embed_version()}"
    )
    text: str = vl_convert.javascript_bundle(SNIPPET)
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError("the bundle holds what would end or change its script element")
    return f"/* {versions}: NOTICE.md has the licences. */\n{text}\n"


if __name__ == "__main__":
    TARGET.write_text(bundle(), encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")
