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
from servo_emr.domain.settings import Space
from servo_emr.domain.spec import RunSpec, plain
from servo_emr.lifecycle.measure import Measure, Order, Outcome, Ports
from servo_emr.lifecycle.stage import Stage
from servo_emr.lifecycle.watch import Progress
from servo_emr.notebook.evidence import NotebookEvidence
from servo_emr.notebook.pack import NotebookPacker
from servo_emr.pricing.book import RateBook
from servo_emr.pricing.table import TablePrices
from tests.support.memory import MemoryWorkspace
from tests.support.samples import SPACE, SPEC, limited, notebook, result_json
from tests.support.scripted_target import NEVER, Script, ScriptedTarget, throttled
from tests.support.simclock import SimClock

WANTED = {"duration": "s", "cost": "USD", "job_cost": "USD", "total_time": "s"}
RATE = 5 * (0.192 + 0.048) / 3600
"""USD per second of the sample's five m5.xlarge, EC2 and EMR fee."""


class BrokenEvidence:
    """An evidence with a defect."""

    async def collect(self, run_id: str, spec: RunSpec, wanted: Sequence[str]) -> JobEvidence:
        raise ZeroDivisionError("CANARY")


class Rig:
    """Real lifecycle, pricing, packer and evidence; scripted target, memory workspace, simulated clock."""

    def __init__(self, script: Script | None = None, space: Space = SPACE) -> None:
        self.clock = SimClock()
        self.target = ScriptedTarget(self.clock, script)
        self.workspace = MemoryWorkspace()
        self.workspace.elsewhere[SPEC.job.notebook] = notebook()
        self.warned: list[str] = []
        self.told: list[Progress] = []
        self.result: Callable[[str], bytes | None] = result_json
        self.evidence: Any = NotebookEvidence(self.workspace)
        self.space = space

    def measure(self) -> Measure:
        book = RateBook([TablePrices()])
        ports = Ports(self.target, self.workspace, book, NotebookPacker(self.workspace), self.evidence, self.clock)
        stage = Stage(self.target, self.workspace, book, self.clock, self.space, SPEC)
        return Measure(ports, stage, self.warned.append)

    async def run(self, spec: RunSpec = SPEC) -> Outcome:
        return await self.measure().run(Order(spec, SPACE.configured, WANTED), self.tell)

    def tell(self, progress: Progress) -> None:
        self.told.append(progress)
        # The job leaves its result and its notebook when it has run.
        if progress.state in (RunState.RUNNING, RunState.COLLECTING):
            body = self.result(progress.run_id)
            if body is not None:
                self.workspace.objects[f"runs/{progress.run_id}/result.json"] = body
                self.workspace.objects[f"runs/{progress.run_id}/output.ipynb"] = notebook()

    def check_that_nothing_is_left(self) -> RunRecord:
        """No cluster alive; one record, written, that names its cluster. Returns it."""
        assert self.target.alive == []
        record = self.workspace.the_record()
        assert record.verdict is not None
        assert record.ended_at is not None
        if self.target.clusters:
            assert record.cluster_id == self.target.clusters[-1].handle.cluster_id
            assert record.cost_so_far > 0.0
        return record


async def test_a_run_that_succeeds_gives_the_figures_of_emrs_clock_and_of_the_bill() -> None:
    rig = Rig()
    outcome = await rig.run()
    record = rig.check_that_nothing_is_left()
    assert outcome.error is None
    assert record == RunRecord.from_json(json.loads(json.dumps(outcome.record.to_json())))
    assert (record.verdict, record.reason, record.state) == (Verdict.SUCCEEDED, "success", RunState.VERIFIED)
    assert record.metrics["duration"] == pytest.approx(1860.0)
    # All five instances from 20 s after the launch to 5 + 60 s after the job.
    assert record.metrics["cost"] == pytest.approx(RATE * (420.0 + 1860.0 + 65.0 - 20.0))
    assert record.metrics["job_cost"] == pytest.approx(RATE * 1860.0)
    assert record.metrics.keys() == WANTED.keys()
    assert record.missing == {}
    assert rig.target.count("submit") == 1
    assert rig.target.count("release") == 0
    assert rig.target.count("usage") == 1


async def test_what_is_needed_on_the_cluster_is_uploaded_before_the_launch() -> None:
    rig = Rig()
    there: list[str] = []
    rig.target.during_submit = lambda: there.extend(rig.workspace.objects)
    outcome = await rig.run()
    names = {key.rsplit("/", 1)[-1] for key in there if key.startswith("runs/")}
    assert names >= {"input.ipynb", "job.json", "run_notebook.py", "bootstrap.sh", "constraints.txt", "request.json"}
    intent = [key for key in there if key.startswith("records/")]
    assert intent == [f"records/dt=2026-11-18/{outcome.record.run_id}.json"]
    request = json.loads(rig.workspace.objects[f"runs/{outcome.record.run_id}/request.json"])
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
        lambda run_id: result_json(run_id, "failed", cell_index=0, ename="DeadKernelError", kernel_died=True),
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
    rig = Rig(script)
    rig.result = result
    outcome = await rig.run(limited(**limits))
    record = rig.check_that_nothing_is_left()
    assert outcome.error is not None
    assert outcome.error.reason is reason
    assert (record.reason, record.verdict) == (str(reason), reason.verdict)
    assert record.state is RunState.VERIFIED
    assert record.cost is not None
    assert record.cost["usd"] == pytest.approx(record.cost_so_far)


async def test_a_failure_keeps_the_tails_of_the_steps_logs() -> None:
    rig = Rig(Script(ends=StepState.FAILED, failure={"Reason": "Unknown Error."}))
    rig.result = lambda run_id: None
    await rig.run()
    record = rig.check_that_nothing_is_left()
    assert record.details["logs"][0]["text"] == "the tail"
    assert record.steps[0].failure == {"Reason": "Unknown Error."}


async def test_a_defect_of_ours_is_released_recorded_and_billed_like_any_failure() -> None:
    rig = Rig()
    rig.evidence = BrokenEvidence()
    outcome = await rig.run()
    record = rig.check_that_nothing_is_left()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.BUG
    assert "CANARY" not in outcome.error.public
    assert "ZeroDivisionError: CANARY" in record.details["traceback"]
    assert record.state is RunState.VERIFIED
    assert record.cost is not None


@pytest.mark.parametrize("until", [1500.0, NEVER])
async def test_a_run_goes_on_while_its_diary_is_out_of_reach(until: float) -> None:
    rig = Rig()
    rig.clock.at(100.0, lambda: setattr(rig.workspace, "down", True))
    if until < NEVER:
        rig.clock.at(until, lambda: setattr(rig.workspace, "down", False))
    outcome = await rig.run()
    assert rig.target.alive == []
    assert rig.target.count("submit") == 1
    if until < NEVER:
        assert outcome.error is None
        assert rig.check_that_nothing_is_left().metrics["duration"] == pytest.approx(1860.0)
    else:
        assert outcome.error is not None, "without the workspace there is no result: no number was earned"
        assert any("is lost" in warning for warning in rig.warned)


async def test_nothing_is_launched_when_the_intent_cannot_be_written() -> None:
    rig = Rig()

    class Full(MemoryWorkspace):
        async def save(self, record: RunRecord, expected: str | None) -> str:
            raise failure(Reason.ENDPOINT, "the workspace takes no record.")

    rig.workspace = Full()
    rig.workspace.elsewhere[SPEC.job.notebook] = notebook()
    outcome = await rig.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.ENDPOINT
    assert rig.target.count("submit") == 0


@pytest.mark.parametrize("at", [0.5, 150.0, 350.0, 900.0, 2290.0])
async def test_a_cancelled_run_is_released_before_the_cancellation_goes_on(at: float) -> None:
    rig = Rig()
    task = asyncio.create_task(rig.run())
    rig.target.during_submit = None if at > 1 else task.cancel
    rig.clock.at(at, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    record = rig.check_that_nothing_is_left()
    assert (record.verdict, record.reason) == (Verdict.ABORTED, "shutdown")
    assert record.state is RunState.VERIFIED
    assert record.cost is not None


async def test_a_run_cancelled_over_and_over_is_still_released() -> None:
    rig = Rig(Script(obeys=30.0))
    task = asyncio.create_task(rig.run())
    for n in range(40):
        rig.clock.at(500.0 + 5 * n, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    rig.check_that_nothing_is_left()


async def test_a_cancellation_while_a_failed_run_is_released_is_not_forgotten() -> None:
    rig = Rig(Script(ends=StepState.FAILED, idle=NEVER, obeys=60.0))
    rig.result = lambda run_id: None
    task = asyncio.create_task(rig.run())

    def when_released() -> None:
        if rig.target.count("release"):
            task.cancel()
        elif not task.done():
            rig.clock.at(1.0, when_released)

    rig.clock.at(1.0, when_released)
    with pytest.raises(asyncio.CancelledError):
        await task
    record = rig.check_that_nothing_is_left()
    assert record.reason == str(Reason.STEP_FAILED), "why it failed was known before"


async def test_a_cancellation_while_a_refused_launch_is_under_way_is_not_forgotten() -> None:
    rig = Rig(Script(refusal=failure(Reason.ROLE, "no such role")))
    task = asyncio.create_task(rig.run())
    rig.target.during_submit = task.cancel
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.check_that_nothing_is_left().cluster_id is None


async def test_an_unclear_launch_is_adopted_and_measured() -> None:
    rig = Rig(Script(unclear="made", visible_after=20.0))
    outcome = await rig.run()
    assert outcome.error is None
    rig.check_that_nothing_is_left()


async def test_a_launch_of_which_nothing_is_known_is_a_failure_on_record() -> None:
    rig = Rig(Script(unclear="lost"))
    outcome = await rig.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.ENDPOINT
    assert rig.check_that_nothing_is_left().cluster_id is None
    assert rig.target.count("submit") == 1


async def test_a_release_that_cannot_be_verified_is_the_outcome_and_stays_on_record() -> None:
    rig = Rig(Script(ends=StepState.FAILED, idle=NEVER, obeys=NEVER))
    outcome = await rig.run()
    record = rig.workspace.the_record()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.UNRELEASED
    assert record.unreleased
    assert record.state is not RunState.VERIFIED
    assert "terminate-clusters" in record.remedy
    assert record.cost is None
    assert record.cost_so_far > 0.0


async def test_a_cancelled_run_that_cannot_be_released_says_so_on_record_and_is_cancelled_all_the_same() -> None:
    rig = Rig(Script(job=NEVER, obeys=NEVER))
    task = asyncio.create_task(rig.run())
    rig.clock.at(900.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    record = rig.workspace.the_record()
    assert record.unreleased
    assert record.reason == str(Reason.UNRELEASED)
    assert "terminate-clusters" in record.remedy


async def test_without_a_bill_there_is_no_cost_but_the_duration_stands() -> None:
    rig = Rig(Script(failing_usage=throttled()))
    outcome = await rig.run()
    assert outcome.error is None
    record = rig.check_that_nothing_is_left()
    assert record.metrics.keys() == {"duration", "total_time"}
    assert record.missing == {"cost": "the bill could not be made", "job_cost": "the bill could not be made"}
    assert record.cost_so_far <= RATE * (420.0 + 1860.0 + 65.0 + 60.0), "nothing is counted after the cluster's end"


@pytest.mark.parametrize(
    ("wanted", "reason"), [({"cost": "USD"}, Reason.PRICE), ({"cost": "USD", "rows": "count"}, Reason.BAD_METRIC)]
)
async def test_a_success_without_a_value_for_any_metric_wanted_is_no_measurement(
    wanted: dict[str, str], reason: Reason
) -> None:
    rig = Rig(Script(failing_usage=throttled()))
    outcome = await rig.measure().run(Order(SPEC, SPACE.configured, wanted), rig.tell)
    record = rig.check_that_nothing_is_left()
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
    rig = Rig()
    outcome = await rig.run(limited(**change))
    assert outcome.error is not None
    assert outcome.error.reason is reason
    assert rig.target.count("submit") == 0
    assert rig.check_that_nothing_is_left().cost_so_far == 0.0


async def test_a_certain_finding_of_the_preflight_launches_nothing() -> None:
    finding = Finding(Reason.TYPE_UNSUPPORTED, "m5.xlarge is not supported.", True)
    rig = Rig(Script(preflight=Preflight((finding,))))
    outcome = await rig.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.TYPE_UNSUPPORTED
    assert rig.target.count("submit") == 0


async def test_the_days_budget_ends_launches_and_not_runs() -> None:
    rig = Rig()
    spec = limited(spend_per_day=0.5)
    assert (await rig.run(spec)).error is None
    second = await rig.run(spec)
    assert second.error is not None
    assert second.error.reason is Reason.BUDGET
    assert rig.target.count("submit") == 1


async def test_an_unknown_price_launches_nothing() -> None:
    rig = Rig()
    spec = replace(SPEC, groups=(SPEC.groups[0], replace(SPEC.groups[1], inst_type="z9.mega")))
    outcome = await rig.run(spec)
    assert outcome.error is not None
    assert outcome.error.reason is Reason.PRICE
    assert rig.target.count("submit") == 0


async def test_a_missing_notebook_launches_nothing() -> None:
    rig = Rig()
    rig.workspace.elsewhere.clear()
    outcome = await rig.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.NOTEBOOK
    assert rig.target.count("submit") == 0


async def test_equal_orders_have_one_identity_and_others_another() -> None:
    rig = Rig()
    first = await rig.run()
    second = await rig.run()
    third = await rig.run(limited(nodes=20))
    assert first.record.identity == second.record.identity != third.record.identity
    assert first.record.run_id != second.record.run_id
    assert isinstance(first.error, RunError | None)
    assert plain(second.record.spec) != plain(SPEC), "the second run knows from the first what to expect"
