"""A measurement end to end, in memory: however it goes, no cluster is alive afterwards, and all is on record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from servo_emr.domain.errors import Reason, RunError, Verdict, failure
from servo_emr.domain.ports import Finding, Preflight
from servo_emr.domain.run import JobEvidence, RunRecord, RunState, StepState
from servo_emr.domain.spec import RunSpec, plain
from tests.support.measuring import RATE, WANTED, World
from tests.support.memory import MemoryWorkspace
from tests.support.samples import SPEC, limited, notebook, result_json
from tests.support.scripted_target import NEVER, Script, throttled
from tests.support.simclock import START


class BrokenEvidence:
    """An evidence with a defect."""

    async def collect(self, run_id: str, spec: RunSpec, wanted: Sequence[str]) -> JobEvidence:
        raise ZeroDivisionError("CANARY")


async def test_a_run_that_succeeds_gives_the_figures_of_emrs_clock_and_of_the_bill() -> None:
    world = World()
    outcome = await world.run()
    record = world.check_that_nothing_is_left()
    assert outcome.error is None
    assert record == RunRecord.from_json(json.loads(json.dumps(outcome.record.to_json())))
    assert (record.verdict, record.reason, record.state) == (Verdict.SUCCEEDED, "success", RunState.VERIFIED)
    assert record.metrics["duration"] == pytest.approx(1860.0)
    # All five instances from 20 s after the launch to 5 + 60 s after the job.
    assert record.metrics["cost"] == pytest.approx(RATE * (420.0 + 1860.0 + 65.0 - 20.0))
    assert record.metrics["job_cost"] == pytest.approx(RATE * 1860.0)
    assert record.metrics.keys() == WANTED.keys()
    assert record.missing == {}
    assert world.target.count("submit") == 1
    assert world.target.count("release") == 0
    assert world.target.count("usage") == 1


async def test_a_run_that_an_emulator_answered_says_so_on_its_record_for_ever() -> None:
    world = World()
    assert (await world.run()).record.emulated is False
    other = World()
    other.workspace.emulated = True
    await other.run()
    assert other.check_that_nothing_is_left().emulated is True


class Unbundled(MemoryWorkspace):
    """A workspace in which no bundle can be written."""

    async def bundle(self) -> None:
        raise failure(Reason.BUCKET, "s3:PutObject: AccessDenied.")


async def test_a_bundle_that_cannot_be_written_is_warned_of_and_the_run_goes_on() -> None:
    world = World()
    world.workspace, world.workspace.elsewhere = Unbundled(), world.workspace.elsewhere
    outcome = await world.run()
    assert outcome.error is None
    assert [text for text in world.warned if "bundled" in text] == [
        "records could not be bundled and are read one by one: s3:PutObject: AccessDenied."
    ]


async def test_what_is_needed_on_the_cluster_is_uploaded_before_the_launch() -> None:
    world = World()
    there: list[str] = []
    world.target.during_submit = lambda: there.extend(world.workspace.objects)
    outcome = await world.run()
    names = {key.rsplit("/", 1)[-1] for key in there if key.startswith("runs/")}
    assert names >= {"input.ipynb", "job.json", "run_notebook.py", "bootstrap.sh", "constraints.txt", "request.json"}
    intent = [key for key in there if key.startswith("records/")]
    assert intent == [f"records/dt=2026-11-18/{outcome.record.run_id}.json"]
    request = json.loads(world.workspace.objects[f"runs/{outcome.record.run_id}/request.json"])
    assert request == outcome.record.request


FAILURES: dict[str, tuple[Script, dict[str, Any], Callable[[str], bytes | None], Reason]] = {
    "a cell fails": (
        Script(ends=StepState.FAILED),
        {},
        lambda run_id: result_json(run_id, "failed", cell_index=0, ename="KeyError", evalue="x"),
        Reason.CELL_ERROR,
    ),
    "the step fails and leaves nothing": (Script(ends=StepState.FAILED), {}, lambda run_id: None, Reason.STEP_FAILED),
    "the step completes and leaves nothing": (Script(), {}, lambda run_id: None, Reason.NO_RESULT),
    "the result is another run's": (
        Script(),
        {},
        lambda run_id: result_json("20200101t000000-00000000"),
        Reason.NO_RESULT,
    ),
    "the kernel dies": (
        Script(),
        {},
        lambda run_id: result_json(
            run_id, "failed", cell_index=0, ename="DeadKernelError", kernel_died=True, kernel_exit=-9
        ),
        Reason.OUT_OF_MEMORY,
    ),
    "the ceiling is passed": (Script(job=NEVER), {"cost_per_run": 0.5}, result_json, Reason.COST_CEILING),
    "the trial's ceiling is passed": (Script(job=NEVER), {"max_cost_usd": 0.5}, result_json, Reason.MAX_COST),
    "the trial's deadline is passed": (Script(job=NEVER), {"deadline_s": 60.0}, result_json, Reason.DEADLINE),
    "no capacity ever": (Script(provisioned=NEVER, ready=NEVER), {}, result_json, Reason.CAPACITY),
    "the step hangs": (Script(job=NEVER), {}, lambda run_id: None, Reason.JOB_TIMEOUT),
    "the cluster is interrupted": (
        Script(ends=StepState.INTERRUPTED, end_reason=Reason.INSTANCE_LOST),
        {},
        lambda run_id: None,
        Reason.INSTANCE_LOST,
    ),
}


@pytest.mark.parametrize(("script", "limits", "result", "reason"), FAILURES.values(), ids=FAILURES)
async def test_a_run_that_fails_is_released_first_and_has_a_record_with_its_cost(
    script: Script, limits: dict[str, Any], result: Callable[[str], bytes | None], reason: Reason
) -> None:
    world = World(script)
    world.result = result
    outcome = await world.run(limited(**limits))
    record = world.check_that_nothing_is_left()
    assert outcome.error is not None
    assert outcome.error.reason is reason
    assert (record.reason, record.verdict) == (str(reason), reason.verdict)
    assert record.state is RunState.VERIFIED
    assert record.cost is not None
    assert record.cost["billed_usd"] == pytest.approx(record.cost_so_far)


async def test_a_failure_keeps_the_tails_of_the_steps_logs() -> None:
    world = World(Script(ends=StepState.FAILED, failure={"Reason": "Unknown Error."}))
    world.result = lambda run_id: None
    await world.run()
    record = world.check_that_nothing_is_left()
    assert record.details["logs"][0]["text"] == "the tail"
    assert record.steps[0].failure == {"Reason": "Unknown Error."}


async def test_a_defect_of_ours_is_released_recorded_and_billed_like_any_failure() -> None:
    world = World()
    world.evidence = BrokenEvidence()
    outcome = await world.run()
    record = world.check_that_nothing_is_left()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.BUG
    assert "CANARY" not in outcome.error.public
    assert "ZeroDivisionError: CANARY" in record.details["traceback"]
    assert record.state is RunState.VERIFIED
    assert record.cost is not None


@pytest.mark.parametrize("until", [1500.0, NEVER])
async def test_a_run_goes_on_while_its_diary_is_out_of_reach(until: float) -> None:
    world = World()
    world.clock.at(100.0, lambda: setattr(world.workspace, "down", True))
    if until < NEVER:
        world.clock.at(until, lambda: setattr(world.workspace, "down", False))
    outcome = await world.run()
    assert world.target.alive == []
    assert world.target.count("submit") == 1
    if until < NEVER:
        assert outcome.error is None
        assert world.check_that_nothing_is_left().metrics["duration"] == pytest.approx(1860.0)
    else:
        assert outcome.error is not None, "without the workspace there is no result: no number was earned"
        assert any("is lost" in warning for warning in world.warned)


async def test_nothing_is_launched_when_the_intent_cannot_be_written() -> None:
    world = World()

    class Full(MemoryWorkspace):
        async def save(self, record: RunRecord, expected: str | None) -> str:
            raise failure(Reason.ENDPOINT, "the workspace takes no record.")

    world.workspace = Full()
    world.workspace.elsewhere[SPEC.job.notebook] = notebook()
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.ENDPOINT
    assert world.target.count("submit") == 0


@pytest.mark.parametrize("at", [0.5, 150.0, 350.0, 900.0, 2200.0])
async def test_a_cancelled_run_is_released_before_the_cancellation_goes_on(at: float) -> None:
    world = World()
    task = asyncio.create_task(world.run())
    world.target.during_submit = None if at > 1 else task.cancel
    world.clock.at(at, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    record = world.check_that_nothing_is_left()
    assert (record.verdict, record.reason) == (Verdict.ABORTED, "shutdown")
    assert (record.state, record.released, record.answered_at) == (RunState.ENDING, True, None), "talk comes later"
    assert await world.servo().recover() == []
    record = world.check_that_nothing_is_left()
    assert (record.verdict, record.reason, record.state) == (Verdict.ABORTED, "shutdown", RunState.VERIFIED)
    assert record.cost is not None
    assert record.cost["usd"] == pytest.approx(record.cost_so_far)


async def test_a_run_cancelled_over_and_over_is_still_released() -> None:
    world = World(Script(obeys=30.0))
    task = asyncio.create_task(world.run())
    for n in range(40):
        world.clock.at(500.0 + 5 * n, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    world.check_that_nothing_is_left()


async def test_a_cancellation_while_a_failed_run_is_released_is_not_forgotten() -> None:
    world = World(Script(ends=StepState.FAILED, idle=NEVER, obeys=60.0))
    world.result = lambda run_id: None
    task = asyncio.create_task(world.run())

    def when_released() -> None:
        if world.target.count("release"):
            task.cancel()
        elif not task.done():
            world.clock.at(1.0, when_released)

    world.clock.at(1.0, when_released)
    with pytest.raises(asyncio.CancelledError):
        await task
    record = world.check_that_nothing_is_left()
    assert record.reason == str(Reason.STEP_FAILED), "why it failed was known before"
    assert record.answered_at is None, "and nobody has been told"


async def test_a_cancellation_while_a_refused_launch_is_under_way_is_not_forgotten() -> None:
    world = World(Script(refusal=failure(Reason.ROLE, "no such role")))
    task = asyncio.create_task(world.run())
    world.target.during_submit = task.cancel
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.check_that_nothing_is_left().cluster_id is None


async def test_an_unclear_launch_is_adopted_and_measured() -> None:
    world = World(Script(unclear="made", visible_after=20.0))
    outcome = await world.run()
    assert outcome.error is None
    world.check_that_nothing_is_left()


async def test_a_launch_of_which_nothing_is_known_is_a_failure_on_record() -> None:
    world = World(Script(unclear="lost"))
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.ENDPOINT
    assert world.check_that_nothing_is_left().cluster_id is None
    assert world.target.count("submit") == 3, "each time its absence was proved before"
    assert world.clock.now() - START >= 3 * 180.0


async def test_a_release_that_cannot_be_verified_is_the_outcome_and_stays_on_record() -> None:
    world = World(Script(ends=StepState.FAILED, idle=NEVER, obeys=NEVER))
    outcome = await world.run()
    record = world.workspace.the_record()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.UNRELEASED
    assert record.unreleased
    assert record.state is not RunState.VERIFIED
    assert "terminate-clusters" in record.remedy
    assert record.cost is None
    assert record.cost_so_far > 0.0


async def test_a_cancelled_run_that_cannot_be_released_says_so_on_record_and_is_cancelled_all_the_same() -> None:
    world = World(Script(job=NEVER, obeys=NEVER))
    task = asyncio.create_task(world.run())
    world.clock.at(900.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    record = world.workspace.the_record()
    assert record.unreleased
    assert record.reason == str(Reason.UNRELEASED)
    assert "terminate-clusters" in record.remedy


async def test_without_a_bill_there_is_no_cost_but_the_duration_stands() -> None:
    world = World(Script(failing_usage=throttled()))
    outcome = await world.run()
    assert outcome.error is None
    record = world.check_that_nothing_is_left()
    assert record.metrics.keys() == {"duration", "total_time"}
    assert record.missing == {"cost": "the bill could not be made", "job_cost": "the bill could not be made"}
    assert record.cost_so_far <= RATE * (420.0 + 1860.0 + 65.0 + 60.0), "nothing is counted after the cluster's end"


@pytest.mark.parametrize(
    ("wanted", "reason"), [({"cost": "USD"}, Reason.PRICE), ({"cost": "USD", "rows": "count"}, Reason.BAD_METRIC)]
)
async def test_a_success_without_a_value_for_any_metric_wanted_is_no_measurement(
    wanted: dict[str, str], reason: Reason
) -> None:
    world = World(Script(failing_usage=throttled()))
    outcome = await world.servo().run(replace(world.order(), wanted=wanted), world.tell)
    record = world.check_that_nothing_is_left()
    assert outcome.error is not None
    assert (outcome.error.reason, record.reason, record.metrics) == (reason, str(reason), {})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"nodes": 3}, Reason.LIMITS),
        ({"cost_per_hour": 0.5}, Reason.LIMITS),
        ({"cost_per_run": 0.01}, Reason.COST_CEILING),
    ],
)
async def test_limits_are_asked_again_right_before_the_launch(change: dict[str, Any], reason: Reason) -> None:
    world = World()
    outcome = await world.run(limited(**change))
    assert outcome.error is not None
    assert outcome.error.reason is reason
    assert world.target.count("submit") == 0
    assert world.check_that_nothing_is_left().cost_so_far == 0.0


async def test_a_certain_finding_of_the_preflight_launches_nothing() -> None:
    finding = Finding(Reason.TYPE_UNSUPPORTED, "m5.xlarge is not supported.", True)
    world = World(Script(preflight=Preflight((finding,))))
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.TYPE_UNSUPPORTED
    assert world.target.count("submit") == 0


async def test_the_days_budget_ends_launches_and_not_runs() -> None:
    world = World()
    spec = limited(spend_per_day=0.5)
    assert (await world.run(spec)).error is None
    second = await world.run(spec)
    assert second.error is not None
    assert second.error.reason is Reason.BUDGET
    assert world.target.count("submit") == 1


async def test_an_unknown_price_launches_nothing() -> None:
    world = World()
    spec = replace(SPEC, groups=(SPEC.groups[0], replace(SPEC.groups[1], inst_type="z9.mega")))
    outcome = await world.run(spec)
    assert outcome.error is not None
    assert outcome.error.reason is Reason.PRICE
    assert world.target.count("submit") == 0


async def test_a_missing_notebook_launches_nothing() -> None:
    world = World()
    world.workspace.elsewhere.clear()
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.NOTEBOOK
    assert world.target.count("submit") == 0


async def test_equal_orders_have_one_identity_and_others_another() -> None:
    world = World()
    first = await world.run()
    second = await world.run()
    third = await world.run(limited(nodes=20))
    assert first.record.identity == second.record.identity != third.record.identity
    assert first.record.run_id != second.record.run_id
    assert isinstance(first.error, RunError | None)
    assert plain(second.record.spec) != plain(SPEC), "the second run knows from the first what to expect"
