"""What the records say: who was told what, what may be delivered, adopted or must be ended, how often none ran."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from servo_emr.domain.errors import Reason, Verdict
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.lifecycle.past import Past, read_past
from tests.support.memory import MemoryWorkspace
from tests.support.simclock import START

NOW = START
MINE, OTHER = "identity-1", "identity-2"


def run(**changes: Any) -> RunRecord:
    """A run that succeeded ten minutes ago and of which nobody was told."""
    whole = RunRecord(
        run_id="20261118t100000-00000001",
        workspace_id="cafe0123",
        created_at=NOW - 3000.0,
        identity=MINE,
        spec={},
        notebook_sha256="",
        state=RunState.VERIFIED,
        cluster_id="j-1",
        verdict=Verdict.SUCCEEDED,
        reason="success",
        launched_at=NOW - 2990.0,
        ended_at=NOW - 600.0,
    )
    return replace(whole, **changes)


def undecided(**changes: Any) -> RunRecord:
    return run(**{"state": RunState.RUNNING, "verdict": None, "reason": None, "ended_at": None, **changes})


def refused(ago: float, **changes: Any) -> RunRecord:
    """A run that was answered without a launch."""
    whole = run(state=RunState.QUEUED, cluster_id=None, verdict=Verdict.OPERATOR, reason=str(Reason.BUDGET))
    return replace(whole, created_at=NOW - ago - 5, ended_at=NOW - ago, launched_at=None, **changes)


def past(*records: RunRecord) -> Past:
    return Past(records, NOW)


@pytest.mark.parametrize("verdict", [Verdict.SUCCEEDED, Verdict.CONFIGURATION, Verdict.ENVIRONMENT, Verdict.JOB])
def test_a_finished_run_of_which_nobody_was_told_can_be_delivered(verdict: Verdict) -> None:
    assert past(run(verdict=verdict)).untold(MINE) is not None
    assert past(undecided(), run(verdict=verdict)).untold(MINE) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": OTHER},
        {"answered_at": NOW - 500.0},
        {"answered_at": NOW - 500.0, "cmd_uid": "c-1"},
        {"verdict": Verdict.ABORTED},
        {"ended_at": NOW - 3600.0},
        {"ended_at": NOW - 90_000.0},
        {"ended_at": None},
        {"unreleased": True},
        {"state": RunState.ENDING},
        {"state": RunState.QUEUED, "cluster_id": None},
        {"verdict": None, "state": RunState.RUNNING},
    ],
    ids=[
        "of other identity",
        "told",
        "told to a command",
        "aborted",
        "an hour old",
        "a day old",
        "no end on record",
        "not verified",
        "not seen ended",
        "never launched",
        "not finished",
    ],
)
def test_nothing_else_is_delivered(changes: dict[str, Any]) -> None:
    assert past(run(**changes)).untold(MINE) is None


def test_the_hour_of_delivery_begins_with_the_end_of_the_run() -> None:
    assert past(run(created_at=NOW - 20_000.0, ended_at=NOW - 3599.0)).untold(MINE) is not None


def test_a_command_is_given_the_answer_that_it_was_given_before() -> None:
    answered = run(cmd_uid="c-1", answered_at=NOW - 500.0)
    assert past(run(), answered).answered("c-1") is answered
    assert past(run(), replace(answered, answered_at=NOW - 90_000.0)).answered("c-1") is not None, "however old"
    assert past(answered).answered("c-2") is None
    assert past(run(answered_at=NOW)).answered(None) is None, "two orders without a command are two orders"
    assert past(run(cmd_uid="c-1")).answered("c-1") is None, "it was meant for the command, and not given"


def test_an_undecided_run_of_equal_identity_is_adopted_unless_its_end_was_asked_for() -> None:
    newest, older = undecided(run_id="newest"), undecided(run_id="older")
    assert past(newest, older).adoptable(MINE) is newest
    assert past(undecided(released=True), older).adoptable(MINE) is older
    assert past(undecided(identity=OTHER), run()).adoptable(MINE) is None
    assert past(undecided(cluster_id=None, state=RunState.QUEUED)).adoptable(MINE) is not None, "an intent"


def test_unfinished_is_what_has_no_verdict_or_a_cluster_that_is_not_seen_ended() -> None:
    unfinished = [
        undecided(),
        undecided(cluster_id=None, state=RunState.QUEUED),
        run(state=RunState.ENDING, verdict=Verdict.ABORTED, released=True),
        run(state=RunState.COLLECTING),
        run(unreleased=True),
        refused(10.0, unreleased=True),
    ]
    assert past(run(), *unfinished, refused(10.0), run(verdict=Verdict.ABORTED)).unfinished() == unfinished


def test_refusals_are_the_newest_answers_without_a_launch_in_a_row() -> None:
    assert past().refusals() == (0, 0.0)
    assert past(run()).refusals() == (0, 0.0)
    assert past(refused(10.0), refused(70.0), run(), refused(500.0)).refusals() == (2, NOW - 10.0)
    assert past(run(), refused(10.0)).refusals() == (0, 0.0), "a launch ends the row"
    assert past(undecided(), refused(10.0)).refusals() == (0, 0.0)


def test_the_last_day_is_the_last_24_hours() -> None:
    young, old = run(created_at=NOW - 86_399.0), run(created_at=NOW - 86_400.0)
    assert list(past(young, old).of_last_day()) == [young]


async def stored(*created_at: float) -> MemoryWorkspace:
    workspace = MemoryWorkspace()
    for n, at in enumerate(created_at):
        day = 18 - round((NOW - at) // 86_400)
        await workspace.save(run(run_id=f"202611{day:02}t000000-{n:08x}", created_at=at), None)
    return workspace


async def test_two_days_are_read_whole_and_a_week_up_to_two_hundred_records() -> None:
    few = await stored(NOW - 60, NOW - 86_400 * 3, NOW - 86_400 * 6, NOW - 86_400 * 12)
    assert [round((NOW - r.created_at) / 86_400) for r in (await read_past(few, NOW)).records] == [0, 3, 6]
    many = await stored(*[NOW - 60.0] * 150, *[NOW - 86_400 * 1.5] * 150, *[NOW - 86_400 * 3.0] * 50)
    assert len((await read_past(many, NOW)).records) == 300
    assert (await read_past(many, NOW)).now == NOW
