"""The site of the documentation: built strictly, read from disk, every link in it leads somewhere, and search finds.

Building needs what docs/constraints.txt pins; `tools/build_docs.sh` installs it once.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.browser import WIDTHS, Browser
from tests.support.registry import twice

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(1000)  # of the first test, which waits for a package index
LOOKED_AT = ("index", "start", "configuration-reference", "cost", "failures", "architecture", "promises")


class Links(HTMLParser):
    """What a page can be entered at, and where it leads to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.targets: list[str] = []
        self.fetched: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids |= {value for name in ("id", "name") if (value := found.get(name))}
        if tag == "a" and (target := found.get("href")) is not None:
            self.targets.append(target)
        if tag in ("img", "script", "link", "object", "iframe", "source"):
            self.fetched += [value for name in ("src", "href", "data") if (value := found.get(name))]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, developer_home: Path) -> Path:
    """The site, as `make docs` makes it."""
    folder = tmp_path_factory.mktemp("site")
    built = twice(
        lambda: subprocess.run(
            [str(ROOT / "tools" / "build_docs.sh"), str(folder)],
            env={**os.environ, "HOME": str(developer_home)},  # pip's cache and configuration
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Links]:
    return {path: Links(path) for path in sorted(site.rglob("*.html"))}


def inside(pages: dict[Path, Links], *, fetched: bool) -> Iterator[tuple[Path, str, Path, str]]:
    """(page, link, the file that it leads to, the anchor in it) of every link that stays in the site."""
    for page, links in pages.items():
        for target in links.fetched if fetched else links.targets:
            parts = urlsplit(target)
            if not parts.scheme and not parts.netloc:
                path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
                yield page, target, path, unquote(parts.fragment)


def test_every_page_of_docs_is_in_the_site_and_in_its_contents(pages: dict[Path, Links], site: Path) -> None:
    sources = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert len(sources) > 20
    assert sources <= {path.stem for path in pages}
    listed = {target.partition("#")[0] for target in pages[site / "index.html"].targets}
    assert {f"{name}.html" for name in sources - {"index"}} <= listed


def test_every_link_inside_the_site_leads_to_a_page_and_a_place_on_it(pages: dict[Path, Links]) -> None:
    found = list(inside(pages, fetched=False))
    assert len(found) > 1000
    missing = [(page.name, link) for page, link, path, _ in found if not path.is_file()]
    assert missing == []
    lost = [
        (page.name, link)
        for page, link, path, anchor in found
        if anchor and path.suffix == ".html" and anchor not in pages[path].ids
    ]
    assert lost == []


def test_nothing_that_a_page_is_made_of_is_fetched_from_elsewhere(pages: dict[Path, Links]) -> None:
    for links in pages.values():
        for address in links.fetched:
            assert urlsplit(address).scheme in ("", "data"), address
    assert [(page.name, link) for page, link, path, _ in inside(pages, fetched=True) if not path.is_file()] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_pages_fit_every_window_in_light_and_dark_and_ask_for_nothing_elsewhere(
    chromium: Browser, site: Path
) -> None:
    for name in LOOKED_AT:
        for width in WIDTHS if name in ("configuration-reference", "promises") else WIDTHS[:1]:
            seen = await chromium.open((site / f"{name}.html").as_uri(), width=width, dark=width == WIDTHS[0])
            assert (seen.errors, seen.console) == ([], []), name
            assert {url.partition(":")[0] for url in seen.requests} <= {"file", "data"}, name
            assert await seen.overflow() <= 0, f"{name} at {width}"
            await seen.page.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_search_works_from_disk(chromium: Browser, site: Path) -> None:
    seen = await chromium.open((site / "index.html").as_uri())
    await seen.page.fill("input[name=q]", "unproductive_spend")
    await seen.page.press("input[name=q]", "Enter")
    await seen.page.wait_for_selector("#search-results ul.search li a")
    found = await seen.page.eval_on_selector_all(
        "#search-results ul.search li > a", "links => links.map(link => link.getAttribute('href'))"
    )
    assert any(link.startswith("configuration-reference.html") for link in found), found
    assert (seen.errors, seen.console) == ([], [])
    assert {url.partition(":")[0] for url in seen.requests} <= {"file", "data", "blob"}
