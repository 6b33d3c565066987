"""The page as text: its specifications by Vega-Lite's own schema, its bundle, its file, without the extra."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import altair
import pytest

from servo_emr.domain.errors import Reason
from servo_emr.report.page import Subject, write
from tests.support.history import CONFIGURED, history
from tools.make_vega_bundle import TARGET, bundle

RECORDS = history(40)
WRITTEN = 1_795_000_000.0


def subject(**changes: Any) -> Subject:
    return replace(Subject(RECORDS, "s3://acme-servo/nightly-etl", WRITTEN, CONFIGURED), **changes)


def embedded(path: Path) -> dict[str, Any]:
    """The data in a page."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*)</script>', path.read_text())
    document: dict[str, Any] = json.loads(text)
    return document


def test_every_chart_is_what_vega_lites_own_schema_allows(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write(path, subject())
    document = embedded(path)
    assert list(document["charts"]) == [
        "tradeoff",
        "progress",
        "grid",
        "counts",
        "phases-time",
        "phases-money",
        "noise",
    ]
    for spec in document["charts"].values():
        chart = altair.Chart.from_dict({**spec, "config": document["config"]}, validate=True)
        assert chart.to_dict()["width"] == "container"


def test_the_bundle_in_the_package_is_what_the_pinned_library_makes() -> None:
    assert TARGET.read_text(encoding="utf-8") == bundle()


def test_the_page_carries_the_licences_of_what_it_holds_word_for_word_and_inert(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write(path, subject())
    (shown,) = re.findall(r'<details id="licences">.*?<pre>(.*?)</pre>', path.read_text(), flags=re.DOTALL)
    assert "<" not in shown
    assert html.unescape(shown) == (TARGET.parent / "NOTICE.md").read_text(encoding="utf-8")
    for words in ("University of Washington", "Mike Bostock", "Charles Karney", "Cynthia Brewer", "Ariya Hidayat"):
        assert words in shown


def test_the_page_names_no_address_that_a_browser_would_fetch(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write(path, subject(emulated=True))
    markup = re.sub(r"<script.*?</script>", "", path.read_text(), flags=re.DOTALL)
    assert re.findall(r"""(?:src|href)=["'](?!#)|url\(|@import|<link|<img|<iframe""", markup) == []
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', markup)
    assert policy and policy[1].startswith("default-src &#39;none&#39;; script-src &#39;sha256-")


def test_a_real_cluster_has_a_link_to_its_console_and_an_emulated_one_has_none(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    records = [RECORDS[0], replace(RECORDS[1], emulated=True)]
    write(path, subject(records=records))
    links = embedded(path)["links"]
    assert list(links) == [RECORDS[0].run_id]
    assert links[RECORDS[0].run_id].startswith("https://us-east-1.console.aws.amazon.com/emr/")
    assert "1 run of 2 ran on an emulator" in path.read_text()
    write(path, subject(records=records, emulated=True))
    assert embedded(path)["links"] == {}
    assert "All of these runs ran on an emulator" in path.read_text()


def test_the_summary_says_what_the_page_says(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    told = write(path, subject())
    assert told["file"] == str(path)
    assert told["bytes"] == path.stat().st_size
    assert (told["runs"], told["emulated"], told["unreadable"]) == (40, False, 0)
    assert told["spent_usd"] == pytest.approx(sum(record.cost["billed_usd"] for record in RECORDS if record.cost))
    best = told["recommended"]
    assert f"${best['cost_usd']:.4f} a run" in path.read_text()
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_a_file_that_was_there_is_replaced_whole_and_no_other_is_left(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write(path, subject())
    assert path.read_text().startswith("<!doctype html>")
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(IsADirectoryError):
        write(tmp_path, subject())
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_only_failures_make_a_page_that_recommends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    failed = [
        replace(record, verdict=Reason.SPOT.verdict, reason=str(Reason.SPOT), message="m") for record in RECORDS[:3]
    ]
    told = write(path, subject(records=failed))
    assert told["recommended"] is told["baseline"] is told["payback_runs"] is None
    assert embedded(path)["charts"] == {}
    assert "No run has been measured yet" in path.read_text()


def test_runs_of_equal_settings_with_different_parameters_are_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    job = {**RECORDS[0].spec["job"], "parameters": '{"sample":0.1}'}
    other = replace(RECORDS[0], run_id="20261106t212001-00000001", spec={**RECORDS[0].spec, "job": job})
    write(path, subject(records=[RECORDS[0], other]))
    assert "had different job parameters (4 x m5.xlarge)" in path.read_text()
