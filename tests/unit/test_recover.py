"""What an earlier process has left: ended, verified, billed and put on record, or said aloud and tried again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from servo_emr.domain.errors import Reason, RunError, Verdict
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.domain.spec import RunKey, plain
from tests.support.measuring import Fate, Killed, World
from tests.support.samples import SPEC, WORKSPACE, limited
from tests.support.scripted_target import NEVER, Script, throttled
from tests.support.simclock import START

RUN, OTHER_RUN = "20261118t110000-0000000a", "20261118t110000-0000000b"
KEY = RunKey(WORKSPACE, "cafe0123", RUN)


def left(world: World, **changes: Any) -> RunRecord:
    """A record whose process is gone: the launch was recorded, and nothing after it."""
    whole = RunRecord(
        run_id=RUN,
        workspace_id="cafe0123",
        created_at=world.clock.now() - 5.0,
        identity="some identity",
        spec=plain(SPEC),
        notebook_sha256="",
        launched_at=world.clock.now(),
        usd_per_hour=1.2,
    )
    return replace(whole, **changes)


async def with_record(world: World, **changes: Any) -> RunRecord:
    await world.workspace.identity()
    record = left(world, **changes)
    await world.workspace.save(record, None)
    return record


async def finish(world: World) -> list[RunError]:
    """A start, and then a measurement of something else."""
    servo = world.servo()
    return await servo.recover() + await servo.finish(
        [record for record in world.workspace.all_records() if not record.settled]
    )


async def test_an_undecided_run_is_left_alone_at_a_start_for_it_may_be_asked_for_again() -> None:
    world = World()
    world.target.launch(SPEC, KEY)
    record = await with_record(world, cluster_id="j-0001", state=RunState.PROVISIONING)
    assert await world.servo().recover() == []
    assert world.workspace.the_record() == record
    assert world.target.alive == ["j-0001"]
    assert any(f"run {RUN} is undecided" in warning for warning in world.warned)


async def test_a_run_left_before_its_intent_was_complete_never_had_a_cluster() -> None:
    world = World()
    await with_record(world, identity="", launched_at=None)
    assert await finish(world) == []
    record = world.workspace.the_record()
    assert (record.verdict, record.settled) == (Verdict.ABORTED, True)
    assert "before its launch" in record.message
    assert world.target.calls == ["find"], "what is alive is asked at every start, and nothing else"


@pytest.mark.parametrize("age", [0.0, 20.0, 170.0])
async def test_an_intent_without_a_cluster_is_looked_for_as_long_as_a_listing_may_lag(age: float) -> None:
    world = World()
    await with_record(world)
    await world.clock.sleep(age)
    assert await finish(world) == []
    assert world.workspace.the_record().settled
    assert world.target.count("find") == 1 + 2
    assert world.clock.now() >= START + 180.0


async def test_an_old_intent_without_a_cluster_takes_one_look() -> None:
    world = World()
    await with_record(world)
    await world.clock.sleep(1000.0)
    assert await finish(world) == []
    assert world.workspace.the_record().settled
    assert world.target.calls == ["find", "find"]
    assert world.clock.now() == START + 1000.0


@pytest.mark.parametrize("waited", [0.0, 3000.0], ids=["at once", "after the end of others was waited for"])
async def test_what_counts_is_when_the_launch_was_asked_for_and_not_the_run(waited: float) -> None:
    world = World(Script(visible_after=100.0))
    await world.workspace.identity()
    created_at = world.clock.now()
    await world.clock.sleep(waited)
    await world.workspace.save(left(world, created_at=created_at), None)
    world.target.launch(SPEC, KEY)
    await world.clock.sleep(5.0)
    assert await finish(world) == []
    assert world.target.alive == []
    record = world.check_that_all_is_settled()[0]
    assert record.cluster_id == "j-0001"


@pytest.mark.parametrize("lag", [0.0, 100.0])
async def test_a_cluster_whose_id_was_never_recorded_is_found_by_its_key_ended_and_billed(lag: float) -> None:
    world = World(Script(visible_after=lag))
    await with_record(world)
    world.target.launch(SPEC, KEY)
    await world.clock.sleep(30.0)
    assert await finish(world) == []
    (record,) = world.check_that_all_is_settled()
    assert (record.verdict, record.reason) == (Verdict.ABORTED, "shutdown")
    assert (record.state, record.cluster_id, record.released) == (RunState.VERIFIED, "j-0001", True)
    assert record.cost is not None
    assert record.cost["usd"] == record.cost_so_far > 0.0
    assert record.answered_at is None


async def test_a_run_that_was_stopped_is_verified_and_billed_at_the_next_start_and_keeps_its_verdict() -> None:
    world = World()
    world.target.launch(SPEC, KEY)
    await world.clock.sleep(900.0)
    stopped = {"verdict": Verdict.ABORTED, "reason": "shutdown", "message": "told to stop", "released": True}
    await with_record(world, cluster_id="j-0001", state=RunState.ENDING, ended_at=world.clock.now(), **stopped)
    assert await world.servo().recover() == []
    (record,) = world.check_that_all_is_settled()
    assert (record.verdict, record.message) == (Verdict.ABORTED, "told to stop")
    assert record.cost is not None
    assert record.phases["total_time"] > 900.0
    asked = len(world.target.calls)
    assert await world.servo().recover() == []
    assert world.target.calls[asked:] == ["find"], "what is settled is not asked about again"


@pytest.mark.parametrize("decided", [True, False])
async def test_an_end_that_cannot_be_verified_stays_on_record_and_is_tried_again_at_every_start(decided: bool) -> None:
    world = World(Script(job=NEVER, obeys=NEVER))
    world.target.launch(SPEC, KEY)
    verdict = {"verdict": Verdict.JOB, "reason": "job/step-failed", "unreleased": True} if decided else {}
    await with_record(world, cluster_id="j-0001", state=RunState.RUNNING, **verdict)
    for _ in range(2):
        before = world.target.count("release")
        (error,) = await world.servo().recover() if decided else (await finish(world))[:1]
        assert error.reason is Reason.UNRELEASED
        assert "terminate-clusters --region us-east-1 --cluster-ids j-0001" in error.remedy
        record = world.workspace.the_record()
        assert record.unreleased
        assert not record.settled
        assert "terminate-clusters" in record.remedy
        assert world.target.count("release") > before
        assert any("could not be finished" in warning for warning in world.warned)
    world.target.script.obeys = 1.0
    assert await world.servo().recover() == []
    (record,) = world.check_that_all_is_settled()
    assert not record.unreleased
    assert record.verdict is (Verdict.JOB if decided else Verdict.ABORTED)
    assert record.cost is not None


async def test_a_cluster_that_ended_with_instances_still_listed_is_not_verified() -> None:
    world = World(Script(left_alive=2))
    world.target.launch(SPEC, KEY)
    await with_record(world, cluster_id="j-0001", state=RunState.RUNNING)
    (error,) = (await finish(world))[:1]
    assert error.reason is Reason.UNRELEASED
    assert "i-primary-0, i-core-0 are still listed as alive" in error.message
    assert world.workspace.the_record().unreleased
    world.target.script.left_alive = 0
    assert await world.servo().recover() == []
    world.check_that_all_is_settled()


async def test_nothing_is_concluded_from_a_listing_that_cannot_be_had() -> None:
    world = World(Script(failing_finds=lambda age: throttled()))
    await with_record(world)
    world.target.launch(SPEC, KEY)
    await world.clock.sleep(1000.0)
    unasked, error = await finish(world)
    assert (unasked.reason, error.reason) == (Reason.THROTTLED, Reason.UNRELEASED)
    assert not world.workspace.the_record().settled
    world.target.script.failing_finds = lambda age: None
    assert await finish(world) == []
    assert world.check_that_all_is_settled()[0].cluster_id == "j-0001"


async def test_a_launch_of_which_nothing_could_be_learnt_is_on_record_and_its_cluster_is_ended_later() -> None:
    world = World(Script(unclear="made", job=NEVER, failing_finds=lambda age: throttled()))
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.UNRELEASED
    assert world.workspace.the_record().unreleased
    assert world.target.count("submit") == 1
    assert world.target.alive == ["j-0001"], "nobody can know of it"
    world.target.script.failing_finds = lambda age: None
    assert await world.servo().recover() == []
    (record,) = world.check_that_all_is_settled()
    assert (record.cluster_id, record.reason) == ("j-0001", "operator/unreleased")
    assert record.cost is not None


async def test_a_spec_that_cannot_be_read_keeps_no_cluster_alive_and_is_not_forgotten() -> None:
    world = World()
    world.target.launch(SPEC, KEY)
    await with_record(world, cluster_id="j-0001", state=RunState.RUNNING, spec={"region": "us-east-1"})
    (error, *_) = await finish(world)
    assert world.target.alive == []
    assert error.reason is Reason.BUCKET
    assert RUN in error.message
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.error.reason is Reason.BUCKET
    assert world.target.count("submit") == 0, "nothing is launched while the end of another is not on record"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda text: text[: len(text) // 2], "is not a JSON object"),
        (lambda text: b"", "is not a JSON object"),
        (lambda text: text.replace(b'"schema": 1', b'"schema": 2'), "has schema 2, this version reads 1"),
        (lambda text: text.replace(b'"identity"', b'"identitaet"'), "cannot be read"),
        (lambda text: text.replace(b'"attempts": []', b'"attempts": [null]'), "cannot be read"),
    ],
    ids=["truncated", "empty", "of another schema", "without a field", "with a launch that is none"],
)
async def test_a_record_that_cannot_be_read_is_named_not_touched_and_nothing_is_launched(body: Any, words: str) -> None:
    world = World()
    record = await with_record(world, cluster_id="j-0001", state=RunState.RUNNING)
    key = world.workspace.key_of(record)
    damaged = body(world.workspace.objects[key])
    world.workspace.by_hand(key, damaged)
    (unread,) = await world.servo().recover()
    assert (unread.reason, key in unread.message, words in unread.message) == (Reason.BUCKET, True, True)
    outcome = await world.run()
    assert outcome.error is not None
    assert (outcome.error.reason, key in outcome.error.message) == (Reason.BUCKET, True)
    assert world.target.count("submit") == 0
    assert world.workspace.objects[key] == damaged
    del world.workspace.objects[key]
    assert (await world.run()).error is None


async def test_an_undecided_run_that_nobody_asks_for_again_is_ended_and_billed() -> None:
    world = World(Script(job=NEVER))
    world.target.launch(SPEC, KEY)
    await with_record(world, cluster_id="j-0001", state=RunState.RUNNING)
    servo = world.servo()
    assert await servo.recover() == []
    assert world.target.alive == ["j-0001"]
    assert await servo.abandon() == []
    (record,) = world.check_that_all_is_settled()
    assert record.verdict is Verdict.ABORTED
    assert record.cost is not None


async def test_a_recovery_that_is_killed_or_cut_short_has_its_verdict_on_record_and_is_not_adopted() -> None:
    world = World(Script(job=NEVER, end_reason=Reason.INTERRUPTED))
    assert await world.die(Fate.killed_at("get"), "first") is None
    fate = Fate.killed_at("release", after=True)
    with pytest.raises(Killed):
        await world.servo(fate).abandon()
    assert world.workspace.the_record().verdict is Verdict.ABORTED
    world.target.script.job = 1860.0
    outcome = await world.run(cmd_uid="second")
    assert outcome.error is None, "a dying cluster is nobody's answer"
    assert [r.verdict for r in world.check_that_all_is_settled()] == [Verdict.SUCCEEDED, Verdict.ABORTED]


@pytest.mark.parametrize("days", [1, 9, 40])
async def test_a_cluster_whose_end_was_not_verified_is_not_forgotten_however_old_its_record_is(days: int) -> None:
    world = World(Script(job=NEVER, obeys=NEVER))
    outcome = await world.run(limited(cost_per_run=0.25))
    assert outcome.record.unreleased
    await world.clock.sleep(days * 86_400.0)
    world.target.script.obeys, world.target.clusters[0].released = 1.0, None
    assert world.target.alive == ["j-0001"]
    assert await world.servo().recover() == []
    (record,) = world.check_that_all_is_settled()
    assert record.run_id == outcome.record.run_id
    assert record.cost is not None


async def test_a_cluster_that_no_record_tells_of_is_ended_when_it_carries_our_tag() -> None:
    world = World(Script(job=NEVER))
    await world.workspace.identity()
    ours, theirs = world.target.launch(SPEC, KEY), world.target.launch(SPEC, RunKey(WORKSPACE, "cafe0123", OTHER_RUN))
    world.target.untagged.append(theirs.cluster_id)
    assert await world.servo().recover() == []
    assert world.target.alive == [theirs.cluster_id]
    assert world.target.clusters[0].released is not None
    assert any(f"{ours.cluster_id} is alive" in text for text in world.warned)
    assert any(f"{theirs.cluster_id} has a name like ours" in text for text in world.warned)


async def test_a_cluster_that_appeared_after_its_launch_was_given_up_is_ended_and_billed_to_its_run() -> None:
    world = World(Script(unclear="made", visible_after=700.0, job=NEVER))
    outcome = await world.run()
    assert outcome.error is not None
    assert outcome.record.settled
    assert outcome.record.cluster_id is None
    await world.clock.sleep(900.0)
    assert world.target.alive != []
    assert await world.servo().recover() == []
    assert world.target.alive == []
    record = world.workspace.the_record()
    assert (record.reason, record.settled) == (outcome.record.reason, True)
    assert record.cluster_id is not None
    assert record.cost is not None


async def test_a_second_cluster_of_a_run_is_ended_and_the_runs_record_left_as_it_is() -> None:
    world = World()
    outcome = await world.run()
    before = world.workspace.the_record()
    world.target.launch(SPEC, RunKey(WORKSPACE, "cafe0123", outcome.record.run_id))
    assert await world.servo().recover() == []
    assert world.target.alive == []
    assert world.workspace.the_record() == before


async def test_that_it_cannot_be_asked_what_is_alive_is_said_at_a_start_and_stops_nobody() -> None:
    world = World(Script(failing_finds=lambda age: throttled()))
    (error,) = await world.servo().recover()
    assert error.reason is Reason.THROTTLED
    assert (await world.run()).error is None


@pytest.mark.parametrize("verified", [True, False])
async def test_a_recovered_run_without_a_bill_counts_what_its_cluster_cost_until_its_end(verified: bool) -> None:
    world = World(Script(job=NEVER, failing_usage=throttled()))
    world.target.launch(SPEC, KEY)
    await world.clock.sleep(3600.0)
    world.target.script.obeys = 1.0 if verified else NEVER
    await with_record(world, cluster_id="j-0001", cost_so_far=0.1, launched_at=START, created_at=START)
    await finish(world)
    record = world.workspace.the_record()
    assert (record.cost, record.settled) == (None, verified)
    assert record.cost_so_far == pytest.approx(1.2 * ((3600.0 + 61.0) if verified else 3900.0) / 3600, rel=0.02)


async def test_a_run_that_was_left_in_another_region_is_said_to_be_there_at_once() -> None:
    world = World(Script(job=NEVER))
    away = plain(replace(SPEC, region="us-west-2"))
    record = await with_record(world, cluster_id="j-0009", state=RunState.RUNNING, spec=away)
    outcome = await world.run(cmd_uid="second")
    assert outcome.error is not None
    assert outcome.error.reason is Reason.UNRELEASED
    assert "was left in us-west-2 with cluster j-0009; emr.region is us-east-1" in outcome.error.message
    assert "aws emr terminate-clusters --region us-west-2 --cluster-ids j-0009" in outcome.error.remedy
    assert "emr.region: us-west-2" in outcome.error.remedy
    assert world.clock.now() == START
    assert world.target.count("release") == 0
    assert record in world.workspace.all_records()
