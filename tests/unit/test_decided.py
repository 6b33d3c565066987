"""What was decided is on record beside the cluster's end: neither kill -9 nor a signal after it loses the verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from servo_emr.domain.errors import Reason, Verdict, failure
from servo_emr.domain.ports import Handle
from servo_emr.domain.run import RunRecord, RunState, StepState
from servo_emr.domain.spec import RunKey, RunSpec
from servo_emr.lifecycle.watch import Progress
from tests.support.measuring import WANTED, Fate, World
from tests.support.samples import SPEC, limited, result_json
from tests.support.scripted_target import NEVER, Script, throttled

OTHER = limited(nodes=20)
AFTER_THE_DECISION = ("release", "usage", "logs")
LIMITS: dict[str, tuple[dict[str, float], Reason]] = {
    "cost_per_run": ({"cost_per_run": 0.25}, Reason.COST_CEILING),
    "max_cost_usd": ({"max_cost_usd": 0.25}, Reason.MAX_COST),
    "deadline_s": ({"deadline_s": 60.0}, Reason.DEADLINE),
}


@pytest.mark.parametrize("verb", AFTER_THE_DECISION)
@pytest.mark.parametrize("recovers", [True, False], ids=["at a start", "at the next measurement"])
@pytest.mark.parametrize(("limits", "reason"), LIMITS.values(), ids=LIMITS)
async def test_a_servo_that_is_killed_once_it_has_ended_a_run_at_a_limit_leaves_the_limit_as_the_answer(
    limits: dict[str, float], reason: Reason, recovers: bool, verb: str
) -> None:
    world = World(Script(job=NEVER, end_reason=Reason.INTERRUPTED, end_code="USER_REQUEST"))
    spec = limited(**limits)
    assert await world.die(Fate.killed_at(verb, after=True), "first", spec) is None
    record = world.workspace.the_record()
    assert (record.reason, record.state, record.settled) == (str(reason), RunState.ENDING, False)
    await world.clock.sleep(20.0)
    outcome = await (world.die(Fate(), "second", spec) if recovers else world.run(spec, "second"))
    assert outcome is not None
    assert outcome.error is not None
    assert (outcome.error.reason, outcome.record.run_id) == (reason, record.run_id)
    (billed,) = world.check_that_all_is_settled()
    assert billed.cost is not None
    assert world.target.count("submit") == 1


async def killed_after_success(world: World) -> RunRecord:
    """A servo that is killed when it has judged its run, before the cluster's end is verified."""
    fate = Fate()
    world.result = lambda run_id: result_json(run_id)

    def kill(number: int, verb: str) -> None:
        fate.dead = world.workspace.objects != {} and any(r.decided for r in world.workspace.all_records())
        fate.check_alive()

    fate.before = kill
    assert await world.die(fate, "first") is None
    return world.workspace.the_record()


async def test_a_success_is_on_record_before_its_cluster_has_ended_and_is_billed_by_whoever_comes_next() -> None:
    world = World()
    left = await killed_after_success(world)
    assert (left.verdict, left.state, left.cost) == (Verdict.SUCCEEDED, RunState.ENDING, None)
    assert (await world.run(OTHER, "second")).error is None
    _, first = world.check_that_all_is_settled()
    assert (first.run_id, first.verdict, first.answered_at) == (left.run_id, Verdict.SUCCEEDED, None)
    assert first.metrics.keys() == WANTED.keys(), "its figures are whole"
    assert first.cost is not None
    assert "instances" in first.details


async def test_a_success_of_which_no_figure_can_be_had_afterwards_is_none() -> None:
    world = World(Script(failing_usage=throttled()))
    left = await killed_after_success(world)
    version = (await world.workspace.record(left.run_id) or (left, ""))[1]
    only_dollars = {**left.to_json(), "units": {"cost": "USD"}}
    await world.workspace.save(RunRecord.from_json(only_dollars), version)
    assert await world.servo().recover() == []
    assert world.workspace.the_record().reason == str(Reason.PRICE)


async def told_to_stop(world: World, at: str, spec: RunSpec = SPEC) -> tuple[RunRecord, float]:
    """(record, seconds of the clock until the servo had left) of one that is told to stop a second after that call."""
    asked: list[float] = []
    fate = Fate()

    def stop(number: int, verb: str) -> None:
        if verb == at and not asked:
            asked.append(world.clock.now())
            world.clock.at(1.0, task.cancel)

    fate.before = stop
    task: asyncio.Task[Any] = asyncio.create_task(world.die(fate, "first", spec))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.target.alive == [], "release first"
    return world.workspace.the_record(), world.clock.now() - asked[0]


LATE: dict[str, tuple[Script, dict[str, float], str, Reason]] = {
    "the cluster takes ten minutes to end": (
        Script(job=NEVER, obeys=5.0, ending=600.0),
        {"cost_per_run": 0.25},
        "release",
        Reason.COST_CEILING,
    ),
    "its instances cannot be listed": (
        Script(failing_usage=throttled()),
        {},
        "usage",
        Reason.SUCCESS,
    ),
}


@pytest.mark.parametrize(("script", "limits", "at", "reason"), LATE.values(), ids=LATE)
async def test_a_servo_that_is_told_to_stop_after_the_decision_leaves_at_once_and_the_next_does_the_rest(
    script: Script, limits: dict[str, float], at: str, reason: Reason
) -> None:
    world = World(script)
    record, took = await told_to_stop(world, at, limited(**limits))
    assert took <= 30.0
    assert (record.reason, record.state, record.answered_at) == (str(reason), RunState.ENDING, None)
    world.target.script.failing_usage = None
    await world.clock.sleep(20.0)
    second = await world.run(limited(**limits), "second")
    assert (second.record.run_id, second.record.recovered) == (record.run_id, True)
    assert second.record.reason == str(reason)
    (billed,) = world.check_that_all_is_settled()
    assert billed.cost is not None
    assert world.target.count("submit") == 1


@pytest.mark.parametrize("idle", [5.0, NEVER], ids=["it ends by itself", "it does not"])
async def test_a_servo_that_is_told_to_stop_while_a_success_ends_sees_it_ending_and_keeps_it(idle: float) -> None:
    world = World(Script(idle=idle, ending=600.0))
    servo, asked = world.servo(), list[float]()

    def tell(progress: Progress) -> None:
        world.tell(progress)
        if progress.state is RunState.ENDING:
            asked.append(world.clock.now() + 10.0)
            world.clock.at(10.0, task.cancel)

    task = asyncio.create_task(servo.run(world.order(cmd_uid="first"), tell))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.target.alive == []
    assert world.clock.now() - asked[0] <= 30.0
    assert servo.stopped == world.workspace.the_record()
    assert (servo.stopped.verdict, servo.stopped.answered_at) == (Verdict.SUCCEEDED, None)
    second = await world.run(cmd_uid="second")
    assert (second.error, second.record.run_id) == (None, servo.stopped.run_id)
    assert second.record.metrics.keys() == WANTED.keys()
    assert world.target.count("submit") == 1


async def test_a_servo_that_stands_still_before_its_launch_ends_what_it_launched_after_somebody_else() -> None:
    world = World()
    launch: Callable[[RunSpec, RunKey, int], Any] = world.target.submit
    second: list[Any] = []

    async def stands_still(spec: RunSpec, key: RunKey, attempt: int = 1) -> Handle:
        if not second:
            second.append(None)
            await world.clock.sleep(200.0)
            second[0] = await world.run(cmd_uid="second")
        handle: Handle = await launch(spec, key, attempt)
        return handle

    world.target.submit = stands_still  # type: ignore[method-assign]
    first = await world.run(cmd_uid="first")
    assert second[0].error is None
    assert first.error is not None
    assert first.error.reason is Reason.LEASE
    assert world.target.alive == []
    theirs, ours = world.target.clusters
    assert (theirs.released, ours.released is not None) == (None, True), "it ended its own"
    record = world.workspace.the_record()
    assert (record.cluster_id, record.cmd_uid) == ("j-0001", "second"), "and left the other's record alone"
    assert record.metrics == second[0].record.metrics


async def test_a_defect_while_a_lost_answer_is_looked_for_leaves_a_run_that_is_not_settled() -> None:
    world = World(Script(unclear="made", job=NEVER))
    find = world.target.find

    async def broken(*args: Any, **kwargs: Any) -> Any:
        raise AttributeError("'list' object has no attribute 'get'")

    world.target.find = broken  # type: ignore[method-assign]
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.BUG
    assert outcome.record.unreleased
    assert world.target.alive == ["j-0001"]
    world.target.find = find  # type: ignore[method-assign]
    assert await world.servo().recover() == []
    assert world.check_that_all_is_settled()[0].cluster_id == "j-0001"


async def test_evidence_that_cannot_be_read_for_some_minutes_does_not_cost_a_run_that_is_paid_for() -> None:
    world = World()
    read, failed = world.workspace.get, list[float]()

    async def get(run_id: str, name: str, limit: int | None = None) -> bytes | None:
        if name == "result.json" and (not failed or world.clock.now() < failed[0] + 200.0):
            failed.append(world.clock.now())
            raise failure(Reason.ENDPOINT, "S3 is out of reach.")
        return await read(run_id, name, limit)

    world.workspace.get = get  # type: ignore[method-assign]
    outcome = await world.run()
    assert outcome.error is None
    assert len(failed) == 4
    world.check_that_nothing_is_left()


async def test_an_answer_that_could_not_be_put_on_record_is_put_there_before_anything_else_is_measured() -> None:
    world = World()
    servo, save = world.servo(), world.workspace.save

    async def full(record: RunRecord, expected: str | None) -> str:
        if record.decided:
            raise failure(Reason.ENDPOINT, "S3 takes no writes.")
        return await save(record, expected)

    world.workspace.save = full  # type: ignore[method-assign]
    first = await servo.run(world.order(cmd_uid="one"), world.tell)
    assert first.error is None, "it is earned"
    refused = await servo.run(world.order(cmd_uid="two"), world.tell)
    assert refused.error is not None
    assert refused.error.reason is Reason.BUCKET
    assert first.record.run_id in refused.error.message
    world.workspace.save = save  # type: ignore[method-assign]
    third = await servo.run(world.order(cmd_uid="three"), world.tell)
    assert third.record.run_id != first.record.run_id, "the answer is given once"
    assert {r.run_id: r.cmd_uid for r in world.workspace.all_records()}[first.record.run_id] == "one"
    assert world.target.count("submit") == 2


async def test_a_run_is_delivered_only_when_no_other_cluster_is_left_alive() -> None:
    world = World()
    fate = Fate()
    task = asyncio.create_task(world.die(fate, "first"))
    fate.before = lambda number, verb: task.cancel() if verb == "usage" else None
    with pytest.raises(asyncio.CancelledError):
        await task
    finished = world.workspace.the_record()
    world.target.script.job = NEVER
    assert await world.die(Fate.killed_at("get"), "second", OTHER) is None
    assert world.target.alive == ["j-0002"]
    delivered = await world.run(cmd_uid="third")
    assert (delivered.record.run_id, delivered.error) == (finished.run_id, None)
    world.check_that_all_is_settled()


async def test_another_run_that_cannot_be_ended_keeps_no_finished_answer_back() -> None:
    world = World()
    left = await killed_after_success(world)
    assert await world.servo().recover() == []
    world.target.script.job = world.target.script.obeys = NEVER
    assert await world.die(Fate.killed_at("get"), "second", OTHER) is None
    delivered = await world.run(cmd_uid="third")
    assert (delivered.record.run_id, delivered.error) == (left.run_id, None)
    assert any("could not be finished: operator/unreleased" in text for text in world.warned)


async def test_what_recovery_billed_counts_for_the_budget_of_the_launch_that_follows_it() -> None:
    world = World(Script(job=NEVER))
    assert await world.die(Fate.killed_at("get"), "first") is None
    (record,) = world.workspace.all_records()
    await world.clock.sleep(3 * 3600.0)
    outcome = await world.run(limited(spend_per_day=2.0), "second")
    assert record.cost_so_far < 2.0
    assert outcome.error is not None
    assert outcome.error.reason is Reason.BUDGET
    assert world.target.count("submit") == 1


@pytest.mark.parametrize(("listed", "billed"), [(1, False), (4, False), (5, True)])
async def test_a_bill_is_not_made_of_a_part_of_the_instances(listed: int, billed: bool) -> None:
    world = World(Script(listed=listed))
    outcome = await world.run()
    assert outcome.error is None
    assert (outcome.record.cost is not None) == billed
    assert ("cost" in outcome.record.missing) != billed
    assert any(f"EMR lists {listed} of 5 instances" in text for text in world.warned) != billed
    assert outcome.record.cost_so_far > 0.7


async def test_instances_that_are_listed_late_are_waited_for() -> None:
    world = World(Script(listed=1))
    usage = world.target.usage

    async def later(handle: Handle) -> Any:
        found = await usage(handle)
        world.target.script.listed = NEVER
        return found

    world.target.usage = later  # type: ignore[method-assign]
    outcome = await world.run()
    assert outcome.record.cost is not None
    assert world.target.count("usage") == 2


async def test_a_run_in_which_no_step_ever_began_is_billed_for_what_there_was() -> None:
    world = World(Script(provisioned=NEVER, ready=NEVER, listed=2))
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.record.cost is not None
    assert outcome.record.steps[0].state is not StepState.COMPLETED
