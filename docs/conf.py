"""How Sphinx makes the site of these pages: `make docs`. Knows nothing of servo_emr but where its version stands."""

from __future__ import annotations

import re
from pathlib import Path

_SOURCE = (Path(__file__).parent.parent / "servo_emr" / "__init__.py").read_text(encoding="utf-8")
_VERSION = re.search(r'^__version__ = "(.+)"$', _SOURCE, re.MULTILINE)
if _VERSION is None:
    raise ValueError("servo_emr/__init__.py has no __version__")

project = "servo_emr"
author = "the authors of servo_emr"
release = version = _VERSION[1]
html_title = f"servo_emr {version}"

extensions = ["myst_parser"]
myst_heading_anchors = 4  # page.md#a-heading leads to where it leads on a code host
nitpicky = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_search_summary = False  # an excerpt is fetched from its page, which a browser refuses for pages on disk
html_show_copyright = False
html_theme_options = {"navigation_with_keys": False}
# Nothing is asked of any other host, so that the site can be read from disk and behind a firewall.
pygments_style = "default"
pygments_dark_style = "github-dark"
