"""The report in a real Chromium, from disk: what is drawn, what mouse and keyboard do, that nothing is asked for."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import TimeoutError as PlaywrightTimeout

from servo_emr.domain.errors import Reason
from servo_emr.domain.run import RunRecord
from servo_emr.report.page import Subject, write
from servo_emr.report.runs import Kind, runs_of
from tests.support.browser import WIDTHS, Browser, Seen
from tests.support.history import CONFIGURED, history

pytestmark = pytest.mark.asyncio(loop_scope="module")

WRITTEN = 1_795_000_000.0
HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>{{7*7}}\u2028<!--"


Written = Mapping[int, tuple[str, list[RunRecord]]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Reports of 1, 30 and 1,000 runs: (address, records)."""
    made = {}
    for count in (1, 30, 1000):
        path = tmp_path_factory.mktemp("report") / f"{count}.html"
        records = history(count, emulated=True)
        write(path, Subject(records, "s3://acme-servo/nightly-etl", WRITTEN, CONFIGURED))
        made[count] = path.as_uri(), records
    return made


@pytest_asyncio.fixture(loop_scope="module")
async def tabs(chromium: Browser) -> AsyncIterator[Browser]:
    """The module's browser; what a test opened is closed after it."""
    async with chromium:
        yield chromium


async def drawn(tabs: Browser, address: str, **window: Any) -> Seen:
    """The report once all its charts are there."""
    seen = await tabs.open(address, **window)
    await seen.page.wait_for_selector("html[data-drawn=yes]", state="attached")
    return seen


def counts(records: list[RunRecord]) -> dict[Kind, int]:
    kinds = [run.kind for run in runs_of(records)]
    return {kind: kinds.count(kind) for kind in Kind}


def text_of(path: Path | str) -> str:
    """What is in a file; its line ends as they are."""
    return Path(str(path).removeprefix("file://")).read_bytes().decode()


async def column(seen: Seen, number: int) -> list[str]:
    """The texts of a column of all runs that are shown; 1 is the run's id."""
    cells = seen.page.locator(f"#all-runs tbody tr:not([hidden]) > :nth-child({number})")
    return [text.strip() for text in await cells.all_text_contents()]


@pytest.mark.parametrize("count", [1, 30, 1000])
async def test_every_run_is_drawn_as_what_it_is_and_nothing_goes_over_the_network(
    tabs: Browser, written: Written, count: int
) -> None:
    address, records = written[count]
    seen = await drawn(tabs, address)
    of = counts(records)
    marks = seen.page.locator
    with_duration = of[Kind.MEASURED] + of[Kind.DISTURBED] + of[Kind.BOUND]
    assert await marks("#chart-tradeoff .runs_marks path").count() == with_duration
    assert await marks("#chart-tradeoff .failed_marks path").count() == of[Kind.FAILED]
    assert await marks("#chart-progress .measured_marks path").count() == of[Kind.MEASURED]
    assert await marks("#chart-progress .lost_marks path").count() == of[Kind.FAILED]
    assert await marks("#chart-tradeoff .recommended_marks path").count() == 1
    assert await marks("#all-runs tbody tr").count() == count
    assert (await marks("#chart-grid .cells_marks path").count() > 0) is (count > 1)
    assert await marks("svg").count() == await marks(".plot").count() == (4 if count == 1 else 7)
    seen.check_quiet(address)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
async def test_nothing_is_wider_than_its_window_and_texts_stand_out_from_what_is_behind_them(
    tabs: Browser, written: Written, width: int, dark: bool
) -> None:
    seen = await drawn(tabs, written[30][0], width=width, dark=dark)
    assert await seen.overflow() <= 0
    widths = await seen.page.locator(".plot").evaluate_all("all => all.map(e => [e.scrollWidth, e.clientWidth])")
    assert [pair for pair in widths if pair[0] > pair[1] + 1] == []
    assert await seen.page.evaluate(_FAINT) == []
    background = await seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(18, 21, 24)") is dark
    axis = seen.page.locator("#chart-tradeoff .role-axis-label text").first
    assert await axis.evaluate("e => getComputedStyle(e).fill") == await seen.page.evaluate(
        "getComputedStyle(document.querySelector('header p')).color"
    )


_FAINT = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return Array.from(canvas.getImageData(0, 0, 1, 1).data);
  };
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    throw new Error("the page has no background");
  };
  const faint = [];
  for (const element of document.querySelectorAll("h1,h2,h3,p,dt,dd,th,td,a,button,label,li,caption,output,text")) {
    const style = getComputedStyle(element);
    const drawn = element.tagName === "text";
    if (!element.checkVisibility() || !element.textContent.trim()) continue;
    if (drawn && (style.stroke !== "none" || element.closest("#chart-grid .role-mark"))) continue;
    const lights = [light(rgb(drawn ? style.fill : style.color)), light(behind(element))].sort((a, b) => b - a);
    const ratio = (lights[0] + 0.05) / (lights[1] + 0.05);
    if (ratio < 4.5) faint.push(`${element.tagName} ${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return faint;
})()
"""
"""Texts whose contrast is below 4.5 to 1, what WCAG AA asks for; those on the cells of the heat map apart."""


async def test_the_person_chooses_the_colours_whatever_the_system_says(tabs: Browser, written: Written) -> None:
    seen = await drawn(tabs, written[1][0], dark=True)
    fill = "getComputedStyle(document.querySelector('#chart-tradeoff .role-axis-label text')).fill"
    before = await seen.page.evaluate(fill)
    await seen.page.get_by_text("Light", exact=True).click()
    assert await seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 248)"
    assert await seen.page.evaluate(fill) != before, "the charts follow"
    await seen.page.get_by_text("Dark", exact=True).click()
    assert await seen.page.evaluate(fill) == before
    await seen.page.get_by_text("Auto", exact=True).click()


async def test_a_column_is_sorted_by_its_numbers_by_mouse_and_by_keyboard_and_says_so(
    tabs: Browser, written: Written
) -> None:
    address, records = written[30]
    seen = await drawn(tabs, address)
    headings = await seen.page.locator("#all-runs thead th").all_text_contents()
    spent = headings.index("Spent") + 1
    heading = seen.page.locator(f"#all-runs thead th:nth-child({spent})")
    assert await heading.get_attribute("aria-sort") is None
    await heading.get_by_role("button").click()
    assert await heading.get_attribute("aria-sort") == "ascending"
    amounts = [float(text.replace("$", "").replace(",", "")) for text in await column(seen, spent)]
    assert amounts == sorted(amounts)
    assert len(amounts) == 30
    await heading.get_by_role("button").focus()
    await seen.page.keyboard.press("Enter")
    assert await heading.get_attribute("aria-sort") == "descending"
    assert [float(text.replace("$", "")) for text in await column(seen, spent)] == amounts[::-1]
    assert await seen.page.locator("#all-runs th[aria-sort]").count() == 1
    duration = headings.index("Duration") + 1
    await seen.page.locator(f"#all-runs thead th:nth-child({duration}) button").press("Space")
    texts = await column(seen, duration)
    without = sum(text == "\N{EN DASH}" for text in texts)
    assert without == counts(records)[Kind.FAILED] > 0
    assert texts[-without:] == ["\N{EN DASH}"] * without, "what has no value stands last"
    await seen.page.locator(f"#all-runs thead th:nth-child({duration}) button").press("Space")
    assert (await column(seen, duration))[-without:] == ["\N{EN DASH}"] * without
    await seen.page.locator("#all-runs thead th:nth-child(1) button").click()
    assert await column(seen, 1) == sorted(record.run_id for record in records)


async def test_the_runs_are_filtered_by_words_and_by_kind_and_their_number_is_told(
    tabs: Browser, written: Written
) -> None:
    address, records = written[30]
    seen = await drawn(tabs, address)
    shown = seen.page.locator("#shown")
    assert await shown.get_attribute("aria-live") == "polite"
    assert await shown.text_content() == "30 runs"
    await seen.page.get_by_label("Find").click()
    await seen.page.keyboard.type("c5.2xlarge SUCCESS")
    wanted = {r.run_id for r in records if r.settings["core.inst_type"] == "c5.2xlarge" and r.reason == "success"}
    assert set(await column(seen, 1)) == wanted
    assert await shown.text_content() == f"{len(wanted)} of 30 runs"
    await seen.page.get_by_label("Find").fill("")
    await seen.page.get_by_label("Kind").focus()
    await seen.page.get_by_label("Kind").select_option("failed")
    assert len(await column(seen, 1)) == counts(records)[Kind.FAILED]
    assert {text.partition("/")[0] for text in await column(seen, 4)} == {"environment"}
    await seen.page.get_by_label("Kind").select_option("")
    await seen.page.get_by_label("Find").fill("no such thing")
    assert await shown.text_content() == "0 of 30 runs"


async def test_all_that_is_known_of_a_run_opens_from_its_id_by_keyboard_and_closes_again(
    tabs: Browser, written: Written
) -> None:
    address, records = written[30]
    seen = await drawn(tabs, address)
    failed = next(record for record in records if record.reason == Reason.CAPACITY)
    button = seen.page.get_by_role("button", name=failed.run_id)
    await button.press("Enter")
    dialog = seen.page.get_by_role("dialog")
    text = await dialog.inner_text()
    for word in (failed.run_id, "environment/capacity", failed.message, "spent_usd", "stopped_after_s"):
        assert (word in text) is (word != "stopped_after_s"), word
    assert await dialog.get_by_role("link").count() == 0, "an emulated cluster has no page at AWS"
    await seen.page.keyboard.press("Escape")
    assert not await dialog.is_visible()
    assert await button.evaluate("e => e === document.activeElement"), "the focus is back where it was"
    seen.check_quiet(address)


async def test_every_link_leads_somewhere_and_a_point_leads_to_its_run_even_if_the_filter_hides_it(
    tabs: Browser, written: Written
) -> None:
    seen = await drawn(tabs, written[30][0])
    links = await seen.page.locator("a[href]").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert len(links) > 10
    broken = [
        link for link in links if not link.startswith("#") or await seen.page.locator(f"[id='{link[1:]}']").count() != 1
    ]
    assert broken == []
    await seen.page.get_by_label("Find").fill("no such thing")
    target = seen.page.locator("#all-runs tr:target")
    for _ in range(6):  # the chart may take another size between the look for its point and the click on it
        await seen.page.locator("#chart-tradeoff .runs_marks path").first.click(force=True)
        with contextlib.suppress(PlaywrightTimeout):
            await target.wait_for(state="visible", timeout=10_000)
            break
    assert await target.is_visible()
    assert await target.evaluate("e => e === document.activeElement")
    assert await seen.page.locator("#shown").text_content() == "30 runs"


async def test_the_page_can_be_gone_through_by_keyboard_and_is_told_in_words(tabs: Browser, written: Written) -> None:
    seen = await drawn(tabs, written[30][0])
    await seen.page.keyboard.press("Tab")
    skip = seen.page.locator(":focus")
    assert await skip.inner_text() == "Skip to the answer"
    assert (await skip.bounding_box() or {"x": -1})["x"] >= 0, "it is seen when it has the focus"
    outline = await skip.evaluate("e => getComputedStyle(e).outlineStyle")
    assert outline == "solid"
    levels = await seen.page.locator("h1,h2,h3").evaluate_all(
        "all => all.filter(e => !e.closest('dialog')).map(e => +e.tagName[1])"
    )
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(deeper <= level + 1 for level, deeper in itertools.pairwise(levels))
    told = await seen.page.locator(".plot").evaluate_all(
        "all => all.map(e => [e.getAttribute('role'), e.getAttribute('aria-label'), "
        "document.getElementById(e.getAttribute('aria-describedby')).textContent])"
    )
    assert all(role == "img" and label and len(text) > 30 for role, label, text in told)
    assert (
        await seen.page.locator("table:not(:has(caption))").count()
        == await seen.page.locator("#vg-tooltip-element table").count()
    )
    assert await seen.page.locator("main section:not([aria-labelledby])").count() == 0
    assert await seen.page.locator("table th:not([scope])").count() == 0
    assert await seen.page.locator("input:not([type=radio]), select").evaluate_all(
        "all => all.every(e => e.labels.length === 1)"
    )


async def test_on_a_phone_every_legend_and_name_is_whole_and_a_link_to_a_run_leads_to_its_row(
    tabs: Browser, written: Written
) -> None:
    address, records = written[1000]
    run = records[300].run_id
    seen = await drawn(tabs, f"{address}#run-{run}", width=375)
    top, bottom = await seen.page.locator(f"#run-{run}").evaluate(
        "e => [e.getBoundingClientRect().top, e.getBoundingClientRect().bottom]"
    )
    assert 0 < top < bottom < 900
    cut = """(all) => all.flatMap((chart) => Array.from(chart.querySelectorAll("text"))
      .filter((text) => text.getBoundingClientRect().right > chart.getBoundingClientRect().right + 1)
      .map((text) => text.textContent))"""
    assert await seen.page.locator("#chart-grid .role-legend-label text").count() >= 5
    assert await seen.page.locator(".plot svg.marks").count() == 7
    assert await seen.page.locator(".plot svg.marks").evaluate_all(cut) == []
    one = await drawn(tabs, written[1][0], width=375)
    assert await one.page.get_by_text("recommended = baseline").count() > 0
    assert await one.page.locator(".plot svg.marks").evaluate_all(cut) == []


async def test_a_point_under_the_line_of_the_pareto_front_is_there_to_be_pointed_at(
    tabs: Browser, written: Written
) -> None:
    seen = await drawn(tabs, written[30][0])
    over = await seen.page.locator("#chart-tradeoff .runs_marks path").evaluate_all("""(all) => all.map((point) => {
      point.scrollIntoView({ block: "center", behavior: "instant" });
      const { x, y, width, height } = point.getBoundingClientRect();
      return document.elementFromPoint(x + width / 2, y + height / 2).closest("g").getAttribute("class");
    })""")
    assert len(over) > 20
    assert {name.split()[-1] for name in over} == {"runs_marks"}


async def test_that_runs_are_emulated_is_said_loudly(tabs: Browser, written: Written) -> None:
    seen = await drawn(tabs, written[30][0], width=375)
    assert (await seen.page.title()).startswith("EMULATED: ")
    banner = seen.page.get_by_role("complementary", name="Emulated")
    assert "None of the figures is Amazon's" in await banner.inner_text()
    assert (await banner.bounding_box() or {"y": -1})["y"] == 0
    assert "EMULATED" in await seen.page.locator("#basis").inner_text()


async def test_what_is_saved_from_the_page_is_what_the_rows_are(tabs: Browser, written: Written) -> None:
    address, records = written[30]
    seen = await drawn(tabs, address)
    saved = {}
    for name in ("CSV", "JSON"):
        async with seen.page.expect_download() as waiting:
            await seen.page.get_by_role("button", name=f"Save as {name}").click()
        saved[name] = text_of(await (await waiting.value).path())
    rows = list(csv.DictReader(io.StringIO(saved["CSV"], newline="")))
    assert [row["run_id"] for row in rows] == [record.run_id for record in records]
    assert [float(row["spent_usd"]) for row in json.loads(saved["JSON"])] == [float(row["spent_usd"]) for row in rows]
    seen.check_quiet(address)


async def test_hostile_words_of_a_run_do_nothing_but_stand_there(
    tabs: Browser, written: Written, tmp_path: Path
) -> None:
    first, second, third = [record for record in written[30][1] if record.reason == Reason.SUCCESS][:3]
    spec = {**first.spec, "job": {**first.spec["job"], "notebook": f"s3://b/{HOSTILE}"}}
    groups = [{**group, "inst_type": f"datum.x+({HOSTILE})'\"\\"} for group in spec["groups"]]
    records = [
        replace(first, settings={**first.settings, "core.inst_type": HOSTILE, HOSTILE: HOSTILE}, warnings=(HOSTILE,)),
        replace(second, spec={**spec, "groups": groups}, metrics={**second.metrics, HOSTILE: 1.0}, units={}),
        replace(
            third, verdict=Reason.CELL_ERROR.verdict, reason=str(Reason.CELL_ERROR), message=HOSTILE, remedy=HOSTILE,
            details={**third.details, "cell_error": {"cell_index": 1, "ename": HOSTILE, "evalue": HOSTILE}},
            cluster_id=f"j-1?{HOSTILE}", urls={"folder": "javascript:window.pwned=1", "notebook": HOSTILE},
            spec={**third.spec, "region": HOSTILE}, cost={**(third.cost or {}), "basis": HOSTILE + "\udce9"},
        ),
    ]  # fmt: skip
    path = tmp_path / "report.html"
    write(path, Subject(records, f"s3://{HOSTILE}", WRITTEN, unreadable=[HOSTILE]))
    seen = await drawn(tabs, path.as_uri())
    for record in records:
        await seen.page.get_by_role("button", name=record.run_id).click()
        assert await seen.page.get_by_role("dialog").is_visible()
        await seen.page.keyboard.press("Escape")
    await seen.page.locator("#chart-tradeoff .runs_marks path").first.hover(force=True)
    tooltip = seen.page.locator("#vg-tooltip-element")
    await tooltip.wait_for(state="visible")
    assert await seen.page.evaluate("window.pwned") is None
    assert await seen.page.locator("img").count() == 0
    assert HOSTILE[:40] in await seen.page.locator("#failures").inner_text()
    seen.check_quiet(path.as_uri())
    assert len(re.findall("<script", path.read_text())) == 3 == len(re.findall("</script", path.read_text()))


async def test_the_pages_own_policy_lets_no_other_script_run_and_nothing_be_fetched(
    tabs: Browser, written: Written, tmp_path: Path
) -> None:
    path = tmp_path / "altered.html"
    before, end, after = text_of(written[1][0]).rpartition("</body>")
    path.write_text(f"{before}<script>window.pwned=1</script><img src='http://127.0.0.1:9/x'>{end}{after}")
    seen = await drawn(tabs, path.as_uri())
    assert await seen.page.evaluate("window.pwned") is None
    assert sum("Content Security Policy" in line for line in seen.console) == 2
