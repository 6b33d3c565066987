"""How long a run still takes: by what like runs took, else a first guess that says so; nothing when overdue."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servo_emr.domain.errors import Verdict
from servo_emr.domain.run import TEARDOWN_S, RunRecord, RunState
from servo_emr.domain.spec import plain
from servo_emr.lifecycle.figures import PROVISIONING_S
from servo_emr.lifecycle.forecast import forecast
from servo_emr.lifecycle.watch import Progress, share
from servo_emr.progress import left, line
from tests.support.samples import SPEC

JOB_S = SPEC.job.repeats * SPEC.job.expected_s


def past(duration: float, launch: float = 400.0, teardown: float = 50.0) -> RunRecord:
    return RunRecord(
        run_id="20261120t101112-aaaaaaaa",
        workspace_id="cafe",
        created_at=0.0,
        identity="",
        spec=plain(SPEC),
        notebook_sha256="",
        verdict=Verdict.SUCCEEDED,
        phases={
            "duration": duration,
            "provisioning_time": launch / 4,
            "bootstrap_time": 3 * launch / 4,
            "teardown_time": teardown,
        },
    )


def test_without_history_it_is_a_first_guess_and_says_so() -> None:
    expected = forecast(SPEC, [])
    assert expected.basis == "first guess"
    assert expected.remaining(RunState.PROVISIONING, 20.0) == (PROVISIONING_S - 20.0 + JOB_S + TEARDOWN_S, False)
    assert expected.remaining(RunState.RUNNING, 100.0) == (JOB_S - 100.0 + TEARDOWN_S, False)
    assert expected.remaining(RunState.ENDING, 10.0) == (TEARDOWN_S - 10.0, False)
    assert expected.remaining(RunState.VERIFIED, 10.0) == (0.0, False)


def test_like_runs_replace_every_guess() -> None:
    expected = forecast(SPEC, [past(100.0), past(200.0), past(900.0, launch=600.0)])
    assert expected.basis == "by 3 like runs"
    assert expected.remaining(RunState.BOOTSTRAPPING, 30.0) == (400.0 - 30.0 + 200.0 + 50.0, False)
    assert expected.remaining(RunState.RUNNING, 0.0) == (200.0 + 50.0, False)


def elsewhere(record: RunRecord) -> RunRecord:
    """The same on other nodes."""
    other = replace(SPEC, groups=tuple(replace(g, inst_type="c5.xlarge") for g in SPEC.groups))
    return replace(record, spec=plain(other))


def test_runs_on_other_nodes_tell_of_launch_and_end_and_nothing_of_the_job() -> None:
    failed = replace(past(5.0), verdict=Verdict.JOB)
    expected = forecast(SPEC, [elsewhere(past(5.0, launch=300.0)), failed, elsewhere(past(7.0, launch=500.0))])
    assert (expected.runs, expected.basis) == (0, "job first guessed, the rest by 2 other runs")
    assert expected.remaining(RunState.PROVISIONING, 20.0) == (400.0 - 20.0 + JOB_S + 50.0, False)
    assert expected.remaining(RunState.RUNNING, 100.0) == (JOB_S - 100.0 + 50.0, False)


def test_like_runs_alone_are_gone_by_where_there_are_some() -> None:
    expected = forecast(SPEC, [elsewhere(past(5.0, launch=3000.0)), past(100.0)])
    assert expected.basis == "by 1 like run"
    assert expected.remaining(RunState.PROVISIONING, 0.0) == (400.0 + 100.0 + 50.0, False)


def test_failed_runs_tell_nothing() -> None:
    assert forecast(SPEC, [replace(past(5.0), verdict=Verdict.JOB)]) == forecast(SPEC, [])


def test_a_run_that_is_late_is_expected_to_end_as_those_that_were_as_late_did() -> None:
    expected = forecast(SPEC, [past(100.0), past(200.0), past(900.0)])
    assert expected.remaining(RunState.RUNNING, 150.0) == ((200.0 + 900.0) / 2 - 150.0 + 50.0, False)
    assert expected.remaining(RunState.RUNNING, 300.0) == (600.0 + 50.0, False)


def test_what_is_longer_than_all_of_them_is_overdue_and_only_what_follows_is_counted() -> None:
    expected = forecast(SPEC, [past(100.0), past(200.0)])
    assert expected.remaining(RunState.RUNNING, 201.0) == (50.0, True)
    assert forecast(SPEC, []).remaining(RunState.PROVISIONING, PROVISIONING_S + 1) == (JOB_S + TEARDOWN_S, True)


@pytest.mark.parametrize(
    ("elapsed", "remaining", "percent"),
    [(0.0, 0.0, 0), (0.0, 60.0, 0), (30.0, 90.0, 25), (50.0, 0.0, 99), (1e9, 1.0, 99)],
)
def test_a_share_is_of_all_that_is_expected_and_never_the_whole(elapsed: float, remaining: float, percent: int) -> None:
    assert share(elapsed, remaining) == percent


AT = Progress(
    run_id="20261120t101112-aaaaaaaa",
    cluster_id="j-1",
    state=RunState.RUNNING,
    percent=40,
    elapsed_s=600.0,
    cost_usd=0.2,
    cell=3,
    cells=9,
    launched=1000.0,
    usd_per_hour=1.2,
    remaining_s=900.0,
    basis="by 3 like runs",
)


def test_a_line_tells_phase_cell_time_dollars_and_what_is_left_by_what() -> None:
    assert line(AT) == (
        "run 20261120t101112-aaaaaaaa: running, cell 3 of 9, 600 s, 0.2000 USD so far, "
        "about 15 min left (by 3 like runs)"
    )


def test_between_two_looks_time_dollars_and_percent_go_on_and_what_is_left_shrinks() -> None:
    later = AT.later(1000.0 + 900.0)
    assert (later.elapsed_s, later.remaining_s, later.percent) == (900.0, 600.0, 60)
    assert later.cost_usd == pytest.approx(0.3)
    assert AT.later(900.0).percent == AT.percent  # a clock that went back takes nothing back


def test_what_was_expected_by_now_and_is_not_there_is_overdue() -> None:
    late = AT.later(1000.0 + 1600.0)
    assert (late.remaining_s, late.overdue, late.percent) == (None, True, AT.percent)
    assert left(late) == "this phase takes longer than any like run"
    for basis in ("first guess", "job first guessed, the rest by 1 other run"):
        assert left(replace(late, basis=basis)) == "this phase takes longer than was expected"


def test_before_the_launch_and_after_the_end_nothing_is_expected() -> None:
    assert left(Progress("none", "", RunState.QUEUED, 0, 0.0, 0.0)) == ""
    assert line(Progress("r", "", RunState.QUEUED, 0, 0.0, 0.0)) == "run r: queued, 0 s, 0.0000 USD so far"


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.0, "10 s"), (88.0, "90 s"), (150.0, "2 min"), (7100.0, "118 min"), (7300.0, "2 h 2 min")]
)
def test_a_forecast_is_told_no_finer_than_it_is_worth(seconds: float, words: str) -> None:
    assert left(replace(AT, remaining_s=seconds)) == f"about {words} left (by 3 like runs)"
