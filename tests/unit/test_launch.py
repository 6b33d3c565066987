"""One launch is one call; what an unclear answer left behind is found by its exact key."""

from __future__ import annotations

import asyncio

import pytest

from servo_emr.domain.errors import Reason, RunError, failure
from servo_emr.lifecycle.launch import Launch, complete
from tests.support.samples import KEY, SPEC
from tests.support.scripted_target import Script, ScriptedTarget
from tests.support.simclock import SimClock


def rig(script: Script) -> tuple[Launch, ScriptedTarget, list[str]]:
    clock, warned = SimClock(), list[str]()
    target = ScriptedTarget(clock, script)
    return Launch(target, clock, warned.append), target, warned


async def test_a_clear_launch_is_one_call() -> None:
    launch, target, warned = rig(Script())
    assert (await launch.submit(SPEC, KEY)).cluster_id == "j-0001"
    assert target.calls == ["submit"]
    assert warned == []


async def test_a_refusal_is_the_end_of_it() -> None:
    launch, target, _ = rig(Script(refusal=failure(Reason.ROLE, "EMR refused the cluster: no such role")))
    with pytest.raises(RunError, match="no such role"):
        await launch.submit(SPEC, KEY)
    assert target.calls == ["submit"]


@pytest.mark.parametrize("lag", [0.0, 25.0, 170.0])
async def test_a_cluster_whose_answer_was_lost_is_adopted_by_its_key(lag: float) -> None:
    launch, target, warned = rig(Script(unclear="made", visible_after=lag))
    handle = await launch.submit(SPEC, KEY)
    assert (handle.cluster_id, handle.key) == ("j-0001", KEY)
    assert target.count("submit") == 1
    assert "looking for the cluster" in warned[0]


async def test_clusters_with_a_similar_name_are_left_alone() -> None:
    launch, target, _ = rig(Script(unclear="lost"))
    other_run = KEY.name[:-1] + "e"
    target.strangers = [KEY.name + " ", KEY.name.upper(), f"copy of {KEY.name}", other_run, KEY.name + "0"]
    target.strangers.append(KEY.name.replace(KEY.workspace_id, "cafe0124"))
    with pytest.raises(RunError) as nothing:
        await launch.submit(SPEC, KEY)
    assert nothing.value.reason is Reason.ENDPOINT
    assert target.count("submit") == 1


async def test_when_nothing_appears_nothing_is_launched_again_and_a_person_is_told_what_to_look_for() -> None:
    launch, target, _ = rig(Script(unclear="lost"))
    with pytest.raises(RunError, match="no cluster named") as nothing:
        await launch.submit(SPEC, KEY)
    assert nothing.value.reason is Reason.ENDPOINT
    assert KEY.name in nothing.value.remedy
    assert target.count("submit") == 1
    assert target.count("find") >= 5


async def test_work_is_seen_through_and_a_cancellation_is_remembered() -> None:
    gate = asyncio.Event()

    reached = []

    async def work() -> str:
        await gate.wait()
        return "done"

    async def awaiter() -> None:
        reached.append(await complete(work()))
        await asyncio.sleep(0)
        reached.append("never")

    task = asyncio.create_task(awaiter())
    await asyncio.sleep(0)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reached == ["done"]
    assert await complete(work()) == "done"


async def test_a_cancellation_by_a_timeout_is_still_the_timeouts_own() -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.append(True)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await complete(work())
            await asyncio.sleep(0)
    assert done == [True]


async def test_an_error_of_the_work_is_the_error_of_its_awaiter() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError):
        await complete(work())
