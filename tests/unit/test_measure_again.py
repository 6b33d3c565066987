"""A measurement that is not the first: answered again, delivered, adopted, kept apart from the last one, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from servo_emr.domain.errors import OperatorError, Reason, RunError, Verdict, failure
from servo_emr.domain.ports import Finding, Preflight
from servo_emr.domain.run import RunRecord, RunState, StepState
from servo_emr.domain.spec import RunSpec
from servo_emr.lifecycle import breaker
from servo_emr.lifecycle.measure import Measure, Outcome
from tests.support.measuring import Fate, World
from tests.support.memory import MemoryWorkspace
from tests.support.samples import SPEC, limited
from tests.support.scripted_target import NEVER, Script, throttled
from tests.support.simclock import START

OTHER = limited(nodes=20)
REFUSAL = Preflight((Finding(Reason.TYPE_UNSUPPORTED, "m5.xlarge is not supported.", True),))


async def killed_at(world: World, seconds: float, spec: RunSpec = SPEC, cmd_uid: str = "first") -> None:
    """A servo that is asked for a measurement and killed that long after."""
    fate = Fate()
    until = world.clock.now() + seconds

    def kill(number: int, verb: str) -> None:
        if world.clock.now() >= until:
            fate.dead = True
            fate.check_alive()

    fate.before = kill
    assert await world.die(fate, cmd_uid, spec) is None
    assert len(world.target.alive) <= 1


async def test_the_same_command_is_given_the_same_answer_and_nothing_is_launched() -> None:
    world = World()
    first = await world.run(cmd_uid="c-1")
    again = await world.run(cmd_uid="c-1")
    assert again == first
    assert again.error is None
    assert world.target.count("submit") == 1
    assert len(world.workspace.all_records()) == 1


async def test_the_same_command_is_given_the_same_failure_whole() -> None:
    world = World(Script(ends=StepState.FAILED))
    world.result = lambda run_id: None
    first = await world.run(cmd_uid="c-1")
    world.result = lambda run_id: b"{}"
    again = await world.run(cmd_uid="c-1")
    assert again.record == first.record
    assert first.error is not None
    assert again.error is not None
    assert type(again.error) is type(first.error)
    for part in ("reason", "message", "remedy", "public"):
        assert getattr(again.error, part) == getattr(first.error, part)
    assert again.error.details == first.record.details
    assert world.target.count("submit") == 1


async def test_another_command_for_the_same_is_measured_anew() -> None:
    world = World()
    first, second = await world.run(cmd_uid="c-1"), await world.run(cmd_uid="c-2")
    assert first.record.run_id != second.record.run_id
    assert world.target.count("submit") == 2


@pytest.mark.parametrize("at", [1.0, 200.0, 500.0, 1500.0, 2250.0, 2290.0])
async def test_a_run_of_equal_identity_is_adopted_with_its_cluster_and_paid_once(at: float) -> None:
    world = World()
    await killed_at(world, at)
    undecided = world.workspace.the_record()
    await world.clock.sleep(30.0)
    outcome = await world.run(cmd_uid="second")
    assert outcome.error is None
    assert outcome.record.run_id == undecided.run_id
    assert outcome.record.recovered
    assert outcome.record.cmd_uid == "second"
    assert outcome.record.metrics["duration"] == pytest.approx(1860.0), "by the service's own clock"
    assert world.target.count("submit") == 1
    # One that was decided before the kill is ended by whoever finds it, which an ending cluster does not mind.
    assert world.target.count("release") == int(undecided.decided)
    world.check_that_all_is_settled()


async def test_an_adopted_run_whose_cluster_was_never_recorded_is_found_by_its_key() -> None:
    world = World(Script(visible_after=120.0))
    assert await world.die(Fate.killed_at("submit", after=True), "first") is None
    assert world.workspace.the_record().cluster_id is None
    assert world.target.alive == ["j-0001"]
    outcome = await world.run(cmd_uid="second")
    assert outcome.error is None
    assert outcome.record.cluster_id == "j-0001"
    assert world.target.count("submit") == 1


async def test_an_adopted_run_that_was_never_launched_is_launched_under_its_own_id() -> None:
    world = World()
    assert await world.die(Fate.killed_at("submit"), "first") is None
    intent = world.workspace.the_record()
    outcome = await world.run(cmd_uid="second")
    assert outcome.error is None
    assert outcome.record.run_id == intent.run_id
    assert world.target.clusters[0].handle.key.run_id == intent.run_id
    assert world.target.count("submit") == 1
    assert len(world.workspace.all_records()) == 1


async def test_an_adopted_run_keeps_to_the_limits_that_it_was_launched_with() -> None:
    world = World(Script(job=NEVER))
    spec = limited(cost_per_run=0.5)
    await killed_at(world, 600.0, spec)
    launched_at = world.workspace.the_record().launched_at
    assert launched_at is not None
    await world.clock.sleep(300.0)
    outcome = await world.run(spec, cmd_uid="second")
    assert outcome.error is not None
    assert outcome.error.reason is Reason.COST_CEILING
    assert outcome.record.launched_at == launched_at
    ran = (outcome.record.timeline.ended or 0.0) - launched_at
    assert ran == pytest.approx(0.5 / (5 * 0.24) * 3600, abs=120.0), "counted from the launch, not from the adoption"
    world.check_that_all_is_settled()


async def test_an_adopted_run_answers_for_the_metrics_of_the_one_who_asks_now() -> None:
    world = World()
    await killed_at(world, 900.0)
    order = replace(world.order(cmd_uid="second"), wanted={"duration": "s", "node_hours": "h"})
    outcome = await world.servo().run(order, world.tell)
    assert outcome.error is None
    assert outcome.record.metrics.keys() == {"duration", "node_hours"}
    assert all(name in outcome.record.units for name in outcome.record.metrics)


async def test_a_run_is_adopted_though_its_cluster_cannot_be_looked_at_at_first() -> None:
    world = World()
    await killed_at(world, 900.0)
    until = world.clock.now() - START + 60.0
    world.target.script.failing_looks = lambda age: throttled() if age < until else None
    outcome = await world.run(cmd_uid="second")
    assert (outcome.error, outcome.record.recovered) == (None, True)
    assert world.target.count("submit") == 1


async def test_a_run_that_has_its_cluster_is_adopted_though_its_files_could_not_be_made_again() -> None:
    world = World()
    await killed_at(world, 900.0)
    reads, read = list[str](), world.workspace.read

    async def once(uri: str) -> bytes:
        reads.append(uri)
        if len(reads) > 1:
            raise failure(Reason.ENDPOINT, "S3 is out of reach.")
        return await read(uri)

    world.workspace.read = once  # type: ignore[method-assign]
    outcome = await world.run(cmd_uid="second")
    assert (outcome.error, outcome.record.recovered) == (None, True)
    assert len(reads) == 1


@pytest.mark.parametrize("at", [1.0, 900.0])
async def test_a_run_of_other_identity_is_ended_and_verified_before_anything_is_launched(at: float) -> None:
    world = World()
    await killed_at(world, at)
    outcome = await world.run(OTHER, cmd_uid="second")
    assert outcome.error is None
    first, second = world.target.clusters
    assert first.released is not None
    assert first.released + world.target.script.ending < second.born
    records = world.check_that_all_is_settled()
    assert [record.verdict for record in records] == [Verdict.SUCCEEDED, Verdict.ABORTED]
    assert records[1].cost is not None


async def test_nothing_is_launched_while_the_end_of_another_cluster_cannot_be_verified() -> None:
    world = World(Script(job=NEVER, obeys=NEVER))
    await killed_at(world, 900.0)
    outcome = await world.run(OTHER, cmd_uid="second")
    assert outcome.error is not None
    assert outcome.error.reason is Reason.UNRELEASED
    assert "j-0001" in outcome.error.message
    assert world.target.count("submit") == 1
    by_id = {record.run_id: record for record in world.workspace.all_records()}
    assert not by_id[outcome.record.run_id].unreleased, "it is the other run's cluster that is left, not this one's"
    world.target.script.obeys = 1.0
    world.target.script.job = 1860.0
    assert (await world.run(OTHER, cmd_uid="third")).error is None
    world.check_that_all_is_settled()


async def finished_and_untold(world: World, cmd_uid: str = "first") -> RunRecord:
    """A run that was decided, its answer put on record for nobody: the servo was told to stop as it ended."""
    fate = Fate()
    task = asyncio.create_task(world.die(fate, cmd_uid))
    fate.before = lambda number, verb: task.cancel() if verb == "usage" else None
    with pytest.raises(asyncio.CancelledError):
        await task
    record = world.workspace.the_record()
    assert record.settled
    assert record.answered_at is None
    return record


async def test_a_run_that_finished_and_was_told_to_nobody_is_the_answer_once() -> None:
    world = World()
    finished = await finished_and_untold(world)
    assert finished.verdict is Verdict.SUCCEEDED
    await world.clock.sleep(3000.0)
    second = await world.run(cmd_uid="second")
    assert second.error is None
    assert second.record.run_id == finished.run_id
    assert second.record.metrics == finished.metrics
    assert second.record.recovered
    assert world.target.count("submit") == 1
    assert world.workspace.the_record().cmd_uid == "second"
    again = await world.run(cmd_uid="second")
    assert again.record.run_id == finished.run_id, "to the same command it is given again"
    third = await world.run(cmd_uid="third")
    assert third.record.run_id != finished.run_id, "to another it is not"
    assert world.target.count("submit") == 2


async def test_a_failure_that_was_told_to_nobody_is_the_answer_too() -> None:
    world = World(Script(ends=StepState.FAILED))
    world.result = lambda run_id: None
    finished = await finished_and_untold(world)
    second = await world.run(cmd_uid="second")
    assert second.error is not None
    assert second.error.reason is Reason.STEP_FAILED
    assert second.record.run_id == finished.run_id
    assert world.target.count("submit") == 1


@pytest.mark.parametrize(
    ("spec", "later"), [(SPEC, 3601.0), (OTHER, 0.0)], ids=["after an hour", "for another configuration"]
)
async def test_it_is_not_delivered(spec: RunSpec, later: float) -> None:
    world = World()
    finished = await finished_and_untold(world)
    await world.clock.sleep(later)
    second = await world.run(spec, cmd_uid="second")
    assert second.record.run_id != finished.run_id
    assert world.target.count("submit") == 2


async def test_a_run_that_was_stopped_is_never_delivered() -> None:
    world = World()
    task = asyncio.create_task(world.run(cmd_uid="first"))
    world.clock.at(900.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    second = await world.run(cmd_uid="first")
    assert second.error is None
    records = world.check_that_all_is_settled()
    assert [record.verdict for record in records] == [Verdict.SUCCEEDED, Verdict.ABORTED]
    assert records[1].cost is not None, "verified and billed before the next launch"


async def test_a_run_that_ended_more_than_an_hour_ago_while_nobody_looked_is_not_adopted() -> None:
    world = World()
    await killed_at(world, 900.0)
    await world.clock.sleep(2 * 3600.0)
    second = await world.run(cmd_uid="second")
    assert second.error is None
    assert world.target.count("submit") == 2
    records = world.check_that_all_is_settled()
    assert records[1].verdict is Verdict.ABORTED
    assert records[1].cost is not None


async def test_a_run_that_ended_while_nobody_looked_is_adopted_within_the_hour() -> None:
    world = World()
    await killed_at(world, 900.0)
    await world.clock.sleep(3000.0)
    second = await world.run(cmd_uid="second")
    assert second.error is None
    assert second.record.metrics["duration"] == pytest.approx(1860.0)
    assert world.target.count("submit") == 1


async def test_nothing_is_launched_by_a_servo_whose_lease_is_not_fresh() -> None:
    world = World()

    def stale() -> None:
        raise OperatorError("The lease is not fresh.", Reason.LEASE)

    world.may_launch = stale
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.LEASE
    assert world.target.count("submit") == 0
    assert world.check_that_nothing_is_left().settled


async def test_a_servo_that_is_told_to_stop_while_its_launch_is_unclear_does_not_launch_again() -> None:
    world = World(Script(unclear="lost"))
    task = asyncio.create_task(world.run())
    world.clock.at(60.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.target.count("submit") == 1
    assert world.target.count("find") == 7, "but whether there is a cluster is found out"
    assert world.check_that_nothing_is_left().cluster_id is None


async def test_a_servo_that_is_told_to_stop_while_its_launch_is_unclear_ends_what_it_made() -> None:
    world = World(Script(unclear="made", visible_after=100.0))
    task = asyncio.create_task(world.run())
    world.clock.at(60.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    record = world.check_that_nothing_is_left()
    assert (record.verdict, record.cluster_id) == (Verdict.ABORTED, "j-0001")


async def test_on_cancellation_the_cluster_is_ending_before_anything_is_written() -> None:
    world = World(Script(obeys=7.0))
    order: list[str] = []
    fate = Fate(before=lambda number, verb: order.append(verb))
    task = asyncio.create_task(world.die(fate, "first"))
    world.clock.at(900.0, task.cancel)
    world.clock.at(900.0, order.clear)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert order[0] == "release"
    assert order[-1] == "save"
    assert order.count("save") == 1
    assert "observe" in order
    record = world.check_that_nothing_is_left()
    assert (record.state, record.verdict, record.released) == (RunState.ENDING, Verdict.ABORTED, True)


async def answers(world: World, servo: Callable[[], Measure], count: int) -> list[float]:
    """When so many paced orders in a row are answered, each asked as soon as the one before was answered."""
    at = []
    for n in range(count):
        outcome = await servo().run(world.order(cmd_uid=f"c-{n}", paced=True), world.tell)
        assert outcome.record.cluster_id is None
        at.append(world.clock.now())
    return at


@pytest.mark.parametrize("restarted", [False, True], ids=["by one process", "each by a process of its own"])
async def test_answers_without_a_launch_are_given_ever_further_apart(restarted: bool) -> None:
    world = World(Script(preflight=REFUSAL))
    one = world.servo()
    at = await answers(world, world.servo if restarted else lambda: one, 9)
    gaps = [after - before for before, after in pairwise(at)]
    assert gaps == [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0, 600.0]
    assert world.target.count("submit") == 0
    assert all(record.answered_at == record.ended_at for record in world.workspace.all_records())


@pytest.mark.parametrize("ends", [StepState.COMPLETED, StepState.FAILED])
async def test_a_launch_begins_the_row_anew(ends: StepState) -> None:
    world = World(Script(preflight=REFUSAL, ends=ends))
    servo = world.servo()
    await answers(world, lambda: servo, 5)
    world.target.script.preflight = Preflight()
    await servo.run(world.order(cmd_uid="launch", paced=True), world.tell)
    assert world.target.count("submit") == 1
    world.target.script.preflight = REFUSAL
    began = world.clock.now()
    at = await answers(world, lambda: servo, 0)
    for n in range(3):
        await servo.run(world.order(cmd_uid=f"after-{n}", paced=True), world.tell)
        at.append(world.clock.now() - began)
    assert at == [0.0, 30.0, 90.0]


async def test_refused_launches_are_kept_apart_like_any_answer_without_a_launch() -> None:
    world = World(Script(refusal=failure(Reason.ROLE, "no such role")))
    servo = world.servo()
    began = world.clock.now()
    asked = 0
    while world.clock.now() < began + 300.0:
        await servo.run(world.order(cmd_uid=f"c-{asked}", paced=True), world.tell)
        asked += 1
    assert asked <= 6
    assert world.target.count("submit") == asked
    assert world.target.clusters == []


async def test_a_command_of_a_person_is_answered_at_once() -> None:
    world = World(Script(preflight=REFUSAL))
    began = world.clock.now()
    for _ in range(5):
        await world.run()
    assert world.clock.now() == began


async def test_answers_are_kept_apart_also_when_no_record_of_them_can_be_written() -> None:
    class Full(MemoryWorkspace):
        async def save(self, record: RunRecord, expected: str | None) -> str:
            raise throttled()

    world = World(Script(preflight=REFUSAL))
    world.workspace = Full()
    world.workspace.elsewhere = World().workspace.elsewhere
    servo = world.servo()
    began = world.clock.now()
    for n in range(4):
        await servo.run(world.order(cmd_uid=f"c-{n}", paced=True), world.tell)
    assert world.clock.now() - began >= 30.0 + 60.0 + 120.0


async def test_a_servo_that_is_stopped_while_it_keeps_an_answer_back_leaves_at_once_and_has_it_on_record() -> None:
    world = World(Script(preflight=REFUSAL))
    servo = world.servo()
    await answers(world, lambda: servo, 5)
    task = asyncio.create_task(servo.run(world.order(cmd_uid="last", paced=True), world.tell))
    began = world.clock.now()
    world.clock.at(10.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    newest = world.workspace.all_records()
    assert len(newest) == 6
    left = next(record for record in newest if record.answered_at is None)
    assert left.reason == str(Reason.TYPE_UNSUPPORTED)
    assert left.ended_at == began + 10.0
    assert servo.stopped == left


async def failing_runs(world: World, count: int, spec: RunSpec = SPEC) -> list[Reason]:
    reasons = []
    for _ in range(count):
        outcome: Outcome = await world.run(spec)
        assert outcome.error is not None
        reasons.append(outcome.error.reason)
    return reasons


async def test_five_environment_failures_in_a_row_open_the_breaker_until_a_person_says_resume() -> None:
    world = World(Script(ends=StepState.INTERRUPTED, end_reason=Reason.INSTANCE_LOST))
    world.result = lambda run_id: None
    assert await failing_runs(world, 8) == [Reason.INSTANCE_LOST] * 5 + [Reason.BREAKER] * 3
    assert world.target.count("submit") == 5
    await world.clock.sleep(3600.0)
    assert await failing_runs(world, 2) == [Reason.BREAKER] * 2, "time alone does not close it"
    forgiven = await breaker.resume(world.workspace, world.clock)
    assert forgiven.environment_failures == 5
    await world.clock.sleep(1.0)
    assert await failing_runs(world, 6) == [Reason.INSTANCE_LOST] * 5 + [Reason.BREAKER]


async def test_money_spent_in_a_row_without_a_measurement_opens_the_breaker() -> None:
    world = World(Script(ends=StepState.FAILED))
    world.result = lambda run_id: None
    spec = limited(unproductive_spend=1.5)
    assert await failing_runs(world, 3, spec) == [Reason.STEP_FAILED, Reason.STEP_FAILED, Reason.BREAKER]
    spent = sum(record.cost_so_far for record in world.workspace.all_records())
    assert 1.5 <= spent < 2.5


async def test_a_run_that_was_stopped_counts_as_money_without_a_measurement() -> None:
    world = World(Script(job=NEVER))
    task = asyncio.create_task(world.run())
    world.clock.at(3600.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await failing_runs(world, 1, limited(unproductive_spend=1.0)) == [Reason.BREAKER]


async def test_what_a_person_must_do_by_hand_names_the_cluster_or_the_launch_that_is_under_way() -> None:
    world = World(Script(unclear="made", visible_after=100.0))
    servo = world.servo()
    said: list[str] = []
    for at in (40.0, 900.0):
        world.clock.at(at, lambda: said.append(servo.by_hand()))
    outcome = await servo.run(world.order(), world.tell)
    launching, running = said
    assert f"look for 'servo-emr cafe0123 {outcome.record.run_id}'" in launching
    assert "servo-emr sweep --yes" in launching
    assert running == "To end the cluster: aws emr terminate-clusters --region us-east-1 --cluster-ids j-0001"
    assert "servo-emr sweep" in servo.by_hand()


async def test_a_person_who_protects_a_cluster_cannot_have_it_forgotten() -> None:
    def protected(age: float) -> RunError | None:
        return failure(Reason.BUG, "emr:TerminateJobFlows: ValidationException: termination protected.")

    world = World(Script(ends=StepState.FAILED, idle=NEVER, failing_releases=protected))
    world.result = lambda run_id: None
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.UNRELEASED
    assert not world.workspace.the_record().settled
    world.target.script.failing_releases = lambda age: None
    assert await world.servo().recover() == []
    world.check_that_all_is_settled()
