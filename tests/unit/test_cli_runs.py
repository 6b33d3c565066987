"""What `runs` and `show` make of records: which are meant, in which order, a life drawn, a table that fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from servo_emr.cli.chosen import Sort, chosen_by
from servo_emr.cli.output import fitted
from servo_emr.cli.runs import left_out, listing, row
from servo_emr.cli.show import page
from servo_emr.cli.tables import table
from servo_emr.cli.timeline import Span, drawing, spans
from servo_emr.domain.attempt import Attempt
from servo_emr.domain.errors import Reason, RunError, UsageError, Verdict
from servo_emr.domain.run import RunRecord, RunState, StepLook, StepState, Timeline
from servo_emr.domain.spec import plain
from tests.support.memory import MemoryWorkspace
from tests.support.samples import SPEC

NOW = 1_795_000_000.0
DAY = 86_400.0


def record(number: int, at: float, **changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "run_id": f"20261120t101112-{number:08x}",
        "workspace_id": "cafe",
        "created_at": at,
        "identity": "",
        "spec": plain(SPEC),
        "notebook_sha256": "",
        "settings": {"core.replicas": number},
        "verdict": Verdict.SUCCEEDED,
        "reason": "success",
        "state": RunState.VERIFIED,
        "phases": {"duration": 100.0 * number},
        "cost": {"usd": 1.0 / number, "billed_usd": 1.0 / number},
        **changes,
    }
    return RunRecord(**fields)


ENDED = [
    record(3, NOW - 60.0, verdict=None, reason=None, state=RunState.RUNNING, phases={}, cost=None),
    record(2, NOW - 2 * DAY),
    record(1, NOW - 9 * DAY, verdict=Verdict.JOB, reason="job/cell-error", phases={}),
]
"""Newest first, as a workspace lists them."""


def chosen(*words: str, **how: Any) -> list[int]:
    which = chosen_by(
        how.get("last", 50),
        words,
        how.get("since"),
        how.get("settings", ()),
        how.get("sort", Sort.WHEN),
        how.get("reverse", False),
        NOW,
    )
    return [int(one.run_id[-8:], 16) for one in which.sorted([r for r in ENDED if which.means(r)])]


def test_without_a_word_all_are_meant_the_newest_first() -> None:
    assert chosen() == [3, 2, 1]
    assert chosen(reverse=True) == [1, 2, 3]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (("succeeded",), [2]),
        (("success",), [2]),
        (("job",), [1]),
        (("job/cell-error", "unfinished"), [3, 1]),
        (("unfinished",), [3]),
    ],
)
def test_a_verdict_a_reason_or_unfinished_picks_runs(words: tuple[str, ...], numbers: list[int]) -> None:
    assert chosen(*words) == numbers


@pytest.mark.parametrize(
    ("since", "numbers"), [("90s", [3]), ("24h", [3]), ("3d", [3, 2]), ("2w", [3, 2, 1]), ("2026-11-16", [3, 2])]
)
def test_since_is_a_time_ago_or_a_day(since: str, numbers: list[int]) -> None:
    assert chosen(since=since) == numbers


def test_a_setting_picks_runs_and_a_sort_puts_those_without_the_figure_last() -> None:
    assert chosen(settings=["core.replicas=2"]) == [2]
    assert chosen(sort=Sort.USD) == [2, 1, 3]
    assert chosen(sort=Sort.DURATION, reverse=True) == [2, 3, 1]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"words": ["good"]}, "--verdict good: succeeded, "),
        ({"since": "yesterday"}, "--since yesterday: a time ago such as 90m"),
        ({"settings": ["core.replicas"]}, "--set core.replicas: write COMPONENT.SETTING=VALUE"),
    ],
)
def test_what_picks_nothing_is_refused(how: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as refused:
        chosen_by(5, how.get("words", ()), how.get("since"), how.get("settings", ()), Sort.WHEN, False, NOW)
    assert str(refused.value).startswith(told)


async def test_the_last_are_counted_among_those_that_are_meant() -> None:
    workspace = MemoryWorkspace()
    for one in ENDED:
        await workspace.save(one, None)
    unreadable: list[RunError] = []
    found = await chosen_by(1, ["job"], None, [], Sort.WHEN, False, NOW).of(workspace, unreadable.append)
    assert [one.run_id for one in found] == [ENDED[2].run_id]
    assert unreadable == []


async def test_by_another_order_the_first_of_all_are_listed() -> None:
    workspace = MemoryWorkspace()
    for one in ENDED:
        await workspace.save(one, None)
    unreadable: list[RunError] = []
    everything = chosen_by(None, [], None, [], Sort.USD, True, NOW)
    dearest = await chosen_by(1, [], None, [], Sort.USD, True, NOW).of(workspace, unreadable.append)
    assert dearest == everything.sorted(ENDED)[:1] != ENDED[:1]


async def test_without_a_number_none_is_left_out() -> None:
    workspace = MemoryWorkspace()
    for one in ENDED:
        await workspace.save(one, None)
    unreadable: list[RunError] = []
    found = await chosen_by(None, [], None, [], Sort.WHEN, False, NOW).of(workspace, unreadable.append)
    assert [one.run_id for one in found] == [one.run_id for one in ENDED]


def test_a_run_under_way_shows_what_it_has_cost_so_far_and_marks_it() -> None:
    under_way = replace(ENDED[0], launched_at=NOW - 3600.0, usd_per_hour=1.5)
    assert row(under_way, NOW)["USD"] == "~1.5000"
    assert row(ENDED[1], NOW)["USD"] == "0.5000"
    assert row(replace(ENDED[1], cost=None, cost_so_far=0.25), NOW)["USD"] == "~0.2500"
    assert row(replace(ENDED[1], cost=None), NOW)["USD"] == "0.0000"


LIFE = record(
    4,
    1000.0,
    ended_at=1960.0,
    timeline=Timeline(1010.0, 1400.0, 1950.0),
    phases={"provisioning_time": 90.0, "bootstrap_time": 300.0},
    steps=(
        StepLook("s-1", "notebook 1", StepState.COMPLETED, Timeline(1400.0, 1410.0, 1600.0)),
        StepLook("s-2", "notebook 2", StepState.FAILED, Timeline(1400.0, 1610.0, 1900.0)),
        StepLook("s-3", "notebook 3", StepState.CANCELLED),
    ),
)


def test_a_life_is_made_of_what_is_known_of_it() -> None:
    assert [(span.name, span.start, span.end) for span in spans(LIFE)] == [
        ("queued", 1000.0, 1010.0),
        ("provisioning", 1010.0, 1100.0),
        ("bootstrapping", 1100.0, 1400.0),
        ("step 1, completed", 1410.0, 1600.0),
        ("step 2, failed", 1610.0, 1900.0),
        ("ending", 1900.0, 1950.0),
        ("verified, billed", 1950.0, 1960.0),
    ]
    assert spans(record(1, 5.0)) == []


def test_where_the_clocks_of_servo_and_service_differ_nothing_is_drawn_between_them() -> None:
    ahead = replace(LIFE, created_at=LIFE.created_at - 7200, ended_at=LIFE.created_at - 6240)
    assert [span.name for span in spans(ahead)] == [span.name for span in spans(LIFE)[1:-1]]


def test_what_a_narrow_list_leaves_out_is_named_and_a_column_without_a_value_is_not_missed() -> None:
    shown = [{**row(one, NOW), "CLUSTER": ""} for one in ENDED]
    assert left_out(shown, listing(shown, 80, {})) == ["WHEN (UTC)", "STATE", "DURATION"]
    assert left_out(shown, listing(shown, 40, {})) == []
    shown[0]["CLUSTER"] = "j-1"
    assert left_out(shown, listing(shown, 80, {})) == ["WHEN (UTC)", "STATE", "DURATION", "CLUSTER"]
    assert left_out(shown, listing(shown, 40, {})) == left_out(shown, listing(shown, None, {})) == []


def test_evidence_is_wrapped_as_text_and_its_rules_are_shortened() -> None:
    error = "    | ValueError" + " " * 24 + "Traceback (most recent call last)"
    assert fitted(f"    | {'-' * 75}\n{error}", 60).splitlines() == [
        f"    | {'-' * 54}",
        "    | ValueError                        Traceback (most",
        "      recent call last)",
    ]


@pytest.mark.parametrize("width", [80, 200, None])
def test_a_drawing_is_to_scale_and_fits(width: int | None) -> None:
    found = [Span("a", 0.0, 50.0), Span("longer name", 50.0, 50.1), Span("b", 50.0, 100.0)]
    first, short, last = drawing(found, width).splitlines()
    assert max(map(len, (first, short, last))) <= (width or 200)
    assert abs(first.count("#") - last.count("#")) <= 1
    assert first.index("#") == len("longer name") + 2
    assert short.count("#") == 1  # whatever happened is seen
    assert short.index("#") == last.index("#") == first.rindex("#") + 1
    assert [line.split()[-2:] for line in (first, short, last)] == [["50.0", "s"], ["0.1", "s"], ["50.0", "s"]]


def test_where_there_is_no_room_for_bars_the_times_are_left() -> None:
    assert drawing([Span("some long name", 0.0, 90.0)], 20) == "some long name  90.0 s"
    assert drawing([]) == ""


def test_a_page_holds_steps_attempts_and_disturbance() -> None:
    attempt = Attempt(1, "j-1", "subnet-a", 1000.0, 1300.0, "environment/capacity", "none to be had", 0.01)
    told = {"disturbed": "1 node lost", "realised": "primary: 1 m5.xlarge on-demand"}
    text = page(replace(LIFE, attempts=(attempt,), details=told), 80)
    assert "notebook 2  failed" in text
    assert "Nodes were" in text and text.count("primary: 1 m5.xlarge on-demand") == 1
    _, _, launches = text.partition("Earlier launches\n")
    assert launches.splitlines()[1].split() == [
        *("1", "1970-01-01", "00:16:40", "subnet-a", "environment/capacity", "0.0100", "j-1")
    ]
    assert text.endswith("Mind: disturbed: 1 node lost")
    assert max(map(len, text.splitlines())) <= 80


ROWS = [
    {"RUN": "r" * 20, "WHEN": "w" * 20, "NODES": "n" * 20, "USD": "0.5"},
    dict.fromkeys(("RUN", "WHEN", "NODES"), "x") | {"USD": "11.5"},
]


def test_a_table_puts_numbers_to_the_right_and_pads_no_line() -> None:
    assert table(ROWS).splitlines() == [
        f"RUN{' ' * 17}  WHEN{' ' * 16}  NODES{' ' * 15}   USD",
        f"{'r' * 20}  {'w' * 20}  {'n' * 20}   0.5",
        f"x{' ' * 19}  x{' ' * 19}  x{' ' * 19}  11.5",
    ]
    assert table([]) == ""


def test_what_is_dropped_goes_in_its_order_and_no_further_than_it_must() -> None:
    assert table(ROWS, 60, drop=("WHEN", "NODES")).splitlines()[0].split() == ["RUN", "NODES", "USD"]
    assert table(ROWS, 30, drop=("WHEN", "NODES")).splitlines()[0].split() == ["RUN", "USD"]
    assert table(ROWS, 20, drop=("WHEN", "NODES")).splitlines()[1].split() == ["WHEN", "w" * 20]


def test_the_longest_reason_leaves_a_list_of_runs_a_table_at_80_columns() -> None:
    reason = max(map(str, Reason), key=len)
    lines = listing([row(record(1, NOW, verdict=Verdict.CONFIGURATION, reason=reason), NOW)], 80, {}).splitlines()
    assert lines[0].split() == ["RUN", "NODES", "OUTCOME", "USD"]
    assert reason in lines[1]
    assert max(map(len, lines)) <= 80


def test_the_console_of_a_real_cluster_is_named_and_an_emulated_one_has_none() -> None:
    real = record(1, NOW, cluster_id="j-1", verdict=Verdict.CENSORED, reason="deadline")
    assert page(real).count("#/clusterDetails/j-1") == 2
    assert "console.aws" not in page(replace(real, emulated=True))


def test_a_style_colours_a_value_and_says_nothing_that_the_value_does_not() -> None:
    plain_text = table([{"A": "ok", "B": "x"}])
    styled = table([{"A": "ok", "B": "x"}], styles={"A": {"ok": "green"}})
    assert "\x1b[32mok\x1b[0m" in styled
    assert "\x1b" not in plain_text


def test_the_page_says_what_was_run_and_on_what_and_does_without_what_an_older_record_lacks() -> None:
    job = {**plain(SPEC)["job"], "notebook": "s3://bucket/etl.ipynb", "parameters": '{"share":0.1,"out":"{run_id}"}'}
    text = page(replace(LIFE, spec={**plain(SPEC), "job": job, "region": "eu-west-1"}, notebook_sha256="c" * 64), 80)
    assert max(map(len, text.splitlines())) <= 80
    told = dict(line.split(maxsplit=1) for line in text.partition("\n\n")[0].splitlines())
    assert told["Nodes"]
    assert told["Release"].startswith("emr-")
    assert (told["Region"], told["Notebook"]) == ("eu-west-1", "s3://bucket/etl.ipynb")
    assert told["Parameters"] == "share=0.1, out={run_id}"
    assert "\nRelease" not in page(replace(LIFE, spec={}), 80)
