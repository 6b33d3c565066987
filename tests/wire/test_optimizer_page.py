"""The optimizer's page in a real Chromium: it fits a telephone, loads nothing, and shows nothing as markup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from servo_emr.optimizer.create_cluster import create_cluster
from servo_emr.optimizer.page import HEADERS, page
from servo_emr.optimizer.status import status
from tests.support.search import Bench

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    bench = Bench()
    bench.describe()
    bench.measured(1.0, 2400.0)
    bench.measured(0.62, 1500.0)
    bench.failed("configuration/out-of-memory", 0.21)
    measure = bench.adjusted()
    report = {"progress": 5.0, "message": "run 20261128t100000-0a0b0c0d: running, cell 2 of 8, 60 s, 0.0200 USD so far"}
    bench.post("MEASUREMENT", cmd_uid=measure["cmd_uid"], **report)
    return status(bench.flow, create_cluster)


def shown(browser: Browser, document: dict[str, Any], width: int, scheme: Any) -> tuple[Page, list[str], list[str]]:
    """The page, what it asked for, and what the browser complained of."""
    asked: list[str] = []
    complaints: list[str] = []
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=200, headers={**HEADERS, "Content-Type": "text/html"}, body=page(document))

    opened.route("**/*", answer)
    opened.on("console", lambda message: complaints.append(message.text))
    opened.goto("http://optimizer.test/")
    return opened, asked, complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_it_fits_and_is_styled_and_loads_nothing(
    browser: Browser, document: dict[str, Any], width: int, scheme: str
) -> None:
    opened, asked, complaints = shown(browser, document, width, scheme)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(251, 251, 250)", "dark": "rgb(20, 23, 26)"}[scheme], "its style is let through"
    assert opened.get_by_role("heading", name="example.com/nightly").is_visible()
    assert "aws emr create-cluster" in opened.inner_text("pre")
    assert opened.locator("tbody tr").count() == 4
    assert opened.locator("svg circle").count() == 2
    assert [url for url in asked if not url.endswith("/favicon.ico")] == ["http://optimizer.test/"]
    assert complaints == []
    opened.close()


def test_markup_in_a_reason_is_text(browser: Browser, document: dict[str, Any]) -> None:
    evil = "<img src=x onerror=alert(1)>"
    told = {**document, "application": evil, "why": evil, "state": "stopped"}
    opened, asked, _ = shown(browser, told, 800, "light")
    assert opened.inner_text("h1") == evil
    assert opened.locator("img").count() == 0
    assert not [url for url in asked if url.endswith("/x")]
    opened.close()
