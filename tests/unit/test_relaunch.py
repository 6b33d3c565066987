"""A launch that comes to nothing is made again within the same run, in memory: when, where, how often, at what cost."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from servo_emr.aws.ec2_model import CAUSES
from servo_emr.domain.attempt import subnet_of
from servo_emr.domain.cluster import Fleet
from servo_emr.domain.errors import Reason, Verdict, failure
from servo_emr.domain.run import RunRecord, RunState, StepState
from tests.support.measuring import Fate, World
from tests.support.samples import RUN_ID, SPEC, limited
from tests.support.scripted_target import NEVER, Script

SUBNETS = ("subnet-a", "subnet-b", "subnet-c")
BREAKS = Script(breaks=360.0, end_reason=Reason.BOOTSTRAP)
STARVES = Script(provisioned=NEVER, ready=NEVER)
REFUSED = Script(refusal=failure(Reason.CAPACITY, "insufficient capacity"))
PLACED = replace(SPEC, cluster=replace(SPEC.cluster, subnet_ids=SUBNETS))


def placed(world: World) -> World:
    world.target.script.preflight = replace(world.target.script.preflight, subnet_ids=SUBNETS)
    return world


def test_attempts_of_a_run_take_one_subnet_after_the_other_and_none_where_none_is_configured() -> None:
    taken = [subnet_of(SUBNETS, RUN_ID, attempt) for attempt in (1, 2, 3, 4)]
    assert set(taken[:3]) == set(SUBNETS)
    assert taken[3] == taken[0]
    assert subnet_of((), RUN_ID, 2) is None


@pytest.mark.parametrize("first", [BREAKS, STARVES, REFUSED], ids=["bootstrap", "capacity", "refused for capacity"])
async def test_a_launch_that_comes_to_nothing_is_followed_by_another_in_the_next_subnet(first: Script) -> None:
    world = placed(World(first=(first,)))
    outcome = await world.run(PLACED)
    assert outcome.error is None
    (record,) = world.check_that_all_is_settled()
    (attempt,) = record.attempts
    assert world.target.subnets == [attempt.subnet_id, record.request["Subnet"]]
    assert attempt.subnet_id != record.request["Subnet"]
    assert record == RunRecord.from_json(json.loads(json.dumps(record.to_json())))
    assert any(warning.startswith("launched 2 times") for warning in record.warnings)
    assert record.metrics["duration"] == pytest.approx(1860.0)
    assert record.metrics["cost"] == pytest.approx((record.cost or {})["billed_usd"] - attempt.usd)


async def test_fleets_that_time_out_are_launched_again_in_all_their_subnets() -> None:
    """EMR chooses among them: none is known to have had no luck."""
    fleets = replace(PLACED, groups=tuple(replace(group, fleet=Fleet()) for group in PLACED.groups))
    timed_out = Script(provisioned=NEVER, ready=NEVER, breaks=360.0, end_reason=CAUSES["INSTANCE_FLEET_TIMEOUT"])
    world = placed(World(first=(timed_out,)))
    outcome = await world.run(fleets)
    assert outcome.error is None
    (record,) = world.check_that_all_is_settled()
    (attempt,) = record.attempts
    assert (attempt.reason, attempt.subnet_id) == (Reason.CAPACITY, None)
    assert record.details["realised"].startswith("primary: ")
    (told,) = [warning for warning in record.warnings if warning.startswith("launched 2 times")]
    assert "before the last: environment/capacity; " in told


async def test_four_launches_are_made_and_no_more_and_the_last_line_counts_them_all() -> None:
    world = World(BREAKS)
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.BOOTSTRAP
    (record,) = world.check_that_all_is_settled()
    assert world.target.count("submit") == 4
    assert [attempt.reason for attempt in record.attempts] == [str(Reason.BOOTSTRAP)] * 3
    assert record.cost_so_far == pytest.approx(4 * record.attempts[0].usd)


NOT_AGAIN = {
    "an internal error": Script(breaks=360.0, end_reason=Reason.SERVICE_INTERNAL),
    "a quota": Script(breaks=100.0, end_reason=Reason.QUOTA),
    "a person": Script(breaks=100.0, end_reason=Reason.INTERRUPTED),
    "a lost primary": Script(breaks=600.0, end_reason=Reason.INSTANCE_LOST),
    "spot nodes that are taken back": Script(breaks=600.0, end_reason=Reason.SPOT),
    "a role": Script(refusal=failure(Reason.ROLE, "no such role")),
    "a bootstrap that never ends": Script(ready=NEVER),
    "a failed step": Script(ends=StepState.FAILED),
}


@pytest.mark.parametrize("script", NOT_AGAIN.values(), ids=NOT_AGAIN)
async def test_nothing_else_is_launched_again(script: Script) -> None:
    world = World(script)
    world.result = lambda run_id: None
    outcome = await world.run()
    assert outcome.error is not None
    assert world.target.count("submit") == 1
    assert world.check_that_all_is_settled()[0].attempts == ()


@pytest.mark.parametrize(
    ("name", "usd"),
    [("cost_per_run", 0.35), ("max_cost_usd", 0.35), ("spend_per_day", 0.2), ("unproductive_spend", 0.2)],
)
async def test_a_limit_that_leaves_no_room_keeps_a_launch_from_being_made_again_and_is_named(
    name: str, usd: float
) -> None:
    world = World(BREAKS)
    outcome = await world.run(limited(**{name: usd}))
    assert outcome.error is not None
    assert outcome.error.reason is Reason.BOOTSTRAP
    assert world.target.count("submit") == 2, "the first has left room for one more"
    (record,) = world.check_that_all_is_settled()
    assert name in record.details["not_launched_again"]


async def test_ceilings_count_what_the_launches_before_have_cost() -> None:
    world = World(Script(job=NEVER), first=(BREAKS,))
    outcome = await world.run(limited(cost_per_run=0.5))
    assert outcome.error is not None
    assert outcome.error.reason is Reason.COST_CEILING
    (record,) = world.check_that_all_is_settled()
    assert record.cost_so_far == pytest.approx(0.5, abs=0.02)
    assert [progress.cost_usd for progress in world.told if progress.cost_usd > 0.55] == []


async def test_a_cluster_with_an_instance_alive_is_not_proven_dead_and_nothing_follows_it() -> None:
    world = World(first=(replace(BREAKS, left_alive=1),))
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.UNRELEASED
    assert world.target.count("submit") == 1
    assert world.workspace.the_record().unreleased


async def test_a_cluster_whose_instances_cannot_be_listed_is_not_proven_dead_and_nothing_follows_it() -> None:
    world = World(replace(BREAKS, failing_usage=failure(Reason.CREDENTIALS, "ListInstances is denied")))
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.BOOTSTRAP
    assert world.target.count("submit") == 1
    assert "not seen dead" in world.workspace.the_record().details["not_launched_again"]


async def test_a_cluster_that_has_begun_the_job_before_it_could_be_ended_is_not_followed_by_another() -> None:
    slow = replace(
        Script(provisioned=1300.0, ready=1350.0, job=NEVER),
        failing_releases=lambda age: failure(Reason.THROTTLED, "slow down") if age < 1450 else None,
    )
    world = World(slow)
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.CAPACITY
    assert world.target.count("submit") == 1
    (record,) = world.check_that_all_is_settled()
    assert "a step has begun" in record.details["not_launched_again"]


async def test_a_cluster_that_cannot_be_ended_is_not_followed_by_another() -> None:
    world = World(first=(replace(STARVES, obeys=NEVER),))
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.UNRELEASED
    assert world.target.count("submit") == 1


async def test_a_servo_that_is_cancelled_between_two_launches_makes_no_other_and_the_next_bills_the_first() -> None:
    world = World(first=(BREAKS,))
    fate = Fate()

    def stop(number: int, verb: str) -> None:
        if verb == "usage":
            world.may_launch = _refuse

    fate.before = stop
    outcome = await world.servo(fate).run(world.order(), world.tell)
    assert outcome.error is not None
    assert outcome.error.reason is Reason.LEASE, "the lease was lost meanwhile"
    (record,) = world.check_that_all_is_settled()
    assert (record.verdict, record.state) == (Verdict.OPERATOR, RunState.QUEUED)
    assert (record.cost_so_far, world.target.count("submit")) == (pytest.approx(record.attempts[0].usd), 1)


def _refuse() -> None:
    raise failure(Reason.LEASE, "the lease is another's")
