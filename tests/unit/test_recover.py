"""What an earlier process has left: ended, verified, billed and put on record, or said aloud and tried again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from servo_emr.domain.errors import Reason, RunError, Verdict
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.domain.spec import RunKey, plain
from tests.support.measuring import World
from tests.support.samples import SPEC, WORKSPACE
from tests.support.scripted_target import NEVER, Script, throttled
from tests.support.simclock import START

RUN = "20261118t110000-0000000a"
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
    assert world.target.calls == [], "nobody was asked"


@pytest.mark.parametrize("age", [0.0, 20.0, 170.0])
async def test_an_intent_without_a_cluster_is_looked_for_as_long_as_a_listing_may_lag(age: float) -> None:
    world = World()
    await with_record(world)
    await world.clock.sleep(age)
    assert await finish(world) == []
    assert world.workspace.the_record().settled
    assert world.target.count("find") == 2
    assert world.clock.now() >= START + 180.0


async def test_an_old_intent_without_a_cluster_takes_one_look() -> None:
    world = World()
    await with_record(world)
    await world.clock.sleep(1000.0)
    assert await finish(world) == []
    assert world.workspace.the_record().settled
    assert world.target.calls == ["find"]
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
    assert len(world.target.calls) == asked, "what is settled is not asked about again"


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
    (error,) = await finish(world)
    assert error.reason is Reason.UNRELEASED
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
    ],
    ids=["truncated", "empty", "of another schema", "without a field"],
)
async def test_a_record_that_cannot_be_read_is_named_not_touched_and_nothing_is_launched(body: Any, words: str) -> None:
    world = World()
    record = await with_record(world, cluster_id="j-0001", state=RunState.RUNNING)
    key = world.workspace.key_of(record)
    damaged = body(world.workspace.objects[key])
    world.workspace.by_hand(key, damaged)
    with pytest.raises(RunError, match=words) as unread:
        await world.servo().recover()
    assert unread.value.reason is Reason.BUCKET
    assert key in unread.value.message
    outcome = await world.run()
    assert outcome.error is not None
    assert (outcome.error.reason, key in outcome.error.message) == (Reason.BUCKET, True)
    assert world.target.count("submit") == 0
    assert world.workspace.objects[key] == damaged
    del world.workspace.objects[key]
    assert (await world.run()).error is None
