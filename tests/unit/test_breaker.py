"""The breaker is read off the records: what opens it, what does not, and what closes it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from servo_emr.domain.errors import Conflict, OperatorError, Reason, Verdict
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.lifecycle import breaker
from servo_emr.lifecycle.past import Past
from tests.support.memory import MemoryWorkspace
from tests.support.simclock import START, SimClock

NOW = START


def run(verdict: Verdict | None, usd: float = 0.0, launched: bool = True, n: int = 0) -> RunRecord:
    return RunRecord(
        run_id=f"20261118t100000-{n:08x}",
        workspace_id="cafe0123",
        created_at=NOW - 100.0 - n,
        identity="",
        spec={},
        notebook_sha256="",
        state=RunState.VERIFIED if launched else RunState.QUEUED,
        cluster_id="j-1" if launched else None,
        verdict=verdict,
        cost_so_far=usd,
    )


ENVIRONMENT, JOB, OPERATOR = Verdict.ENVIRONMENT, Verdict.JOB, Verdict.OPERATOR


def standing(*records: RunRecord, resumed_at: float = 0.0) -> breaker.Standing:
    return breaker.standing(Past(records, NOW), resumed_at)


@pytest.mark.parametrize("launched", [True, False])
def test_five_environment_failures_in_a_row_open_it_and_four_do_not(launched: bool) -> None:
    rows = [run(ENVIRONMENT, launched=launched) for _ in range(5)]
    assert standing(*rows[:4]).open_because(None) is None
    why = standing(*rows).open_because(None)
    assert why is not None
    assert why.startswith("5 runs in a row")


@pytest.mark.parametrize(
    "between",
    [
        run(OPERATOR, launched=False),
        run(Verdict.CONFIGURATION, launched=False),
        run(Verdict.ABORTED, launched=False),
        run(Verdict.ABORTED),
        run(None),
    ],
    ids=["refused by the operator's limits", "rejected", "stopped before its launch", "stopped", "under way"],
)
def test_what_tells_nothing_of_the_environment_does_not_break_the_row(between: RunRecord) -> None:
    failed = run(ENVIRONMENT)
    assert standing(failed, failed, between, failed, failed, failed).open_because(None) is not None
    assert standing(between, failed, failed, failed, failed, failed, between).open_because(None) is not None


@pytest.mark.parametrize("verdict", [Verdict.JOB, Verdict.CONFIGURATION, Verdict.CENSORED, Verdict.SUCCEEDED])
def test_a_run_for_which_the_environment_did_its_part_breaks_the_row(verdict: Verdict) -> None:
    failed = run(ENVIRONMENT)
    assert standing(failed, failed, run(verdict), failed, failed, failed, failed).open_because(None) is None


def test_its_own_refusals_do_not_close_it() -> None:
    own = [run(OPERATOR, launched=False) for _ in range(50)]
    assert standing(*own, *[run(ENVIRONMENT)] * 5).open_because(None) is not None


@pytest.mark.parametrize("verdict", [JOB, ENVIRONMENT, Verdict.ABORTED, Verdict.CENSORED, Verdict.INTERNAL, OPERATOR])
def test_money_without_a_measurement_opens_it_at_the_limit_whatever_the_failures_were(verdict: Verdict) -> None:
    spent = [run(verdict, 2.5), run(verdict, 2.5)]
    assert standing(*spent).open_because(5.01) is None
    assert standing(*spent).open_because(None) is None
    why = standing(*spent).open_because(5.0)
    assert why is not None
    assert "2 runs in a row cost 5.0000 USD" in why


def test_a_measurement_closes_it() -> None:
    failed = run(ENVIRONMENT, 9.0)
    assert standing(run(Verdict.SUCCEEDED, 1.0), *[failed] * 9).open_because(1.0) is None


async def test_resume_closes_it_until_it_opens_again() -> None:
    workspace, clock = MemoryWorkspace(), SimClock()
    for n in range(5):
        await workspace.save(run(ENVIRONMENT, 1.0, n=n), None)
    past = Past(tuple(workspace.all_records()), NOW)
    with pytest.raises(OperatorError, match="The breaker is open: 5 runs in a row") as stopped:
        await breaker.closed(workspace, past, None)
    assert stopped.value.reason is Reason.BREAKER
    assert "servo-emr resume" in stopped.value.remedy
    forgiven = await breaker.resume(workspace, clock)
    assert (forgiven.environment_failures, forgiven.usd) == (5, 5.0)
    assert await breaker.closed(workspace, past, 1.0) is None
    assert await breaker.resumed_at(workspace) == clock.now()
    await clock.sleep(100.0)
    assert (await breaker.resume(workspace, clock)).runs == 0, "said again, there is nothing left to forgive"
    assert await breaker.resumed_at(workspace) == clock.now()


class Contested(MemoryWorkspace):
    """Somebody else is always faster."""

    async def write(self, name: str, body: Mapping[str, Any], expected: str | None) -> str:
        await asyncio.sleep(0)
        raise Conflict(f"{name} was changed")


async def test_a_resume_that_never_gets_through_says_so() -> None:
    with pytest.raises(Conflict, match="keeps being changed"):
        await breaker.resume(Contested(), SimClock())


@pytest.mark.parametrize("body", [{}, {"resumed_at": None}, {"resumed_at": "yesterday"}])
async def test_a_breaker_document_that_says_nothing_has_forgiven_nothing(body: dict[str, Any]) -> None:
    workspace = MemoryWorkspace()
    await workspace.write("breaker", body, None)
    assert await breaker.resumed_at(workspace) == 0.0
