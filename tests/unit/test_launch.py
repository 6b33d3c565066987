"""One launch is one call; what an unclear answer left behind is found by its exact key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from servo_emr.domain.errors import OperatorError, Reason, RunError, failure
from servo_emr.lifecycle.launch import Launch, complete
from tests.support.samples import KEY, SPEC
from tests.support.scripted_target import NEVER, Script, ScriptedTarget, throttled
from tests.support.simclock import START, SimClock


def rig(script: Script) -> tuple[Launch, ScriptedTarget, list[str]]:
    clock, warned = SimClock(), list[str]()
    target = ScriptedTarget(clock, script)
    return Launch(target, clock, lambda: None, warned.append), target, warned


async def nothing() -> None:
    """Puts nothing on record."""


async def test_a_clear_launch_is_one_call() -> None:
    launch, target, warned = rig(Script())
    assert (await launch.submit(SPEC, KEY, nothing)).cluster_id == "j-0001"
    assert target.calls == ["submit"]
    assert warned == []


async def test_a_refusal_is_the_end_of_it() -> None:
    launch, target, _ = rig(Script(refusal=failure(Reason.ROLE, "EMR refused the cluster: no such role")))
    with pytest.raises(RunError, match="no such role"):
        await launch.submit(SPEC, KEY, nothing)
    assert target.calls == ["submit"]


@pytest.mark.parametrize("lag", [0.0, 25.0, 170.0])
async def test_a_cluster_whose_answer_was_lost_is_adopted_by_its_key(lag: float) -> None:
    launch, target, warned = rig(Script(unclear="made", visible_after=lag))
    handle = await launch.submit(SPEC, KEY, nothing)
    assert (handle.cluster_id, handle.key) == ("j-0001", KEY)
    assert target.count("submit") == 1
    assert "looking for the cluster" in warned[0]


async def test_clusters_with_a_similar_name_are_left_alone() -> None:
    launch, target, _ = rig(Script(unclear="lost"))
    other_run = KEY.name[:-1] + "e"
    target.strangers = [KEY.name + " ", KEY.name.upper(), f"copy of {KEY.name}", other_run, KEY.name + "0"]
    target.strangers.append(KEY.name.replace(KEY.workspace_id, "cafe0124"))
    with pytest.raises(RunError) as none:
        await launch.submit(SPEC, KEY, nothing)
    assert none.value.reason is Reason.ENDPOINT
    assert target.count("release") == 0, "none of them was taken for a double"


async def test_when_nothing_ever_appears_three_launches_are_made_and_a_person_is_told_what_to_look_for() -> None:
    launch, target, _ = rig(Script(unclear="lost"))
    with pytest.raises(RunError, match="no cluster named") as none:
        await launch.submit(SPEC, KEY, nothing)
    assert none.value.reason is Reason.ENDPOINT
    assert KEY.name in none.value.remedy
    assert target.count("submit") == 3
    assert target.calls.index("submit", 1) >= 1 + 5, "nothing is launched again before it was looked for and looked for"


async def test_absence_proved_the_launch_is_made_again_under_the_same_key() -> None:
    launch, target, warned = rig(Script(unclear="lost", unclear_calls=1))
    recorded = []

    async def about_to() -> None:
        recorded.append(target.count("submit"))

    handle = await launch.submit(SPEC, KEY, about_to)
    assert (handle.cluster_id, handle.key) == ("j-0001", KEY)
    assert target.calls == ["submit", *["find"] * 7, "submit"]
    assert recorded == [0, 1], "each call is on record before it is made"
    assert any("there is none" in warning for warning in warned)


async def test_nothing_is_launched_when_the_call_cannot_be_put_on_record() -> None:
    launch, target, _ = rig(Script())

    async def about_to() -> None:
        raise throttled()

    with pytest.raises(RunError):
        await launch.submit(SPEC, KEY, about_to)
    assert target.calls == []


async def test_who_must_not_launch_any_more_does_not_launch_again_either() -> None:
    clock, warned = SimClock(), list[str]()
    target = ScriptedTarget(clock, Script(unclear="lost"))

    def may_launch() -> None:
        if target.count("submit"):
            raise failure(Reason.LEASE, "The lease is not fresh.")

    with pytest.raises(RunError) as refused:
        await Launch(target, clock, may_launch, warned.append).submit(SPEC, KEY, nothing)
    assert refused.value.reason is Reason.LEASE
    assert target.count("submit") == 1


def failing(*spans: tuple[float, float]) -> Callable[[float], RunError | None]:
    return lambda age: throttled() if any(first <= age < last for first, last in spans) else None


@pytest.mark.parametrize("spans", [[(0, 170)], [(0, 300)], [(30, 400)], [(0, 10), (60, 460)]])
async def test_looks_that_fail_prove_no_absence(spans: list[tuple[float, float]]) -> None:
    launch, target, _ = rig(Script(unclear="made", visible_after=20.0, failing_finds=failing(*spans)))
    assert (await launch.submit(SPEC, KEY, nothing)).cluster_id == "j-0001"
    assert target.count("submit") == 1


async def test_a_look_that_failed_early_does_not_keep_a_later_one_from_proving_absence() -> None:
    script = Script(unclear="lost", unclear_calls=1, failing_finds=failing((0, 20)))
    launch, target, _ = rig(script)
    assert (await launch.submit(SPEC, KEY, nothing)).cluster_id == "j-0001"
    assert target.calls == ["submit", *["find"] * 7, "submit"]


async def test_when_it_cannot_be_asked_whether_a_cluster_was_made_that_is_said_and_nothing_is_launched() -> None:
    launch, target, _ = rig(Script(unclear="made", failing_finds=failing((0, NEVER))))
    with pytest.raises(OperatorError) as unproved:
        await launch.submit(SPEC, KEY, nothing)
    assert unproved.value.reason is Reason.UNRELEASED
    assert KEY.name in unproved.value.remedy
    assert target.count("submit") == 1


@pytest.mark.parametrize("refused", [0.0, 30.0, NEVER])
async def test_of_two_clusters_with_one_key_the_older_is_kept_and_the_other_is_ended(refused: float) -> None:
    clock, warned = SimClock(), list[str]()
    target = ScriptedTarget(clock)
    older = target.launch(SPEC, KEY)
    await clock.sleep(10.0)
    younger = target.launch(SPEC, KEY)
    target.script.failing_releases = failing((0, refused))
    launch = Launch(target, clock, lambda: None, warned.append)
    kept = await launch.look_for(KEY, (5.0,), clock.now())
    assert kept == older, "and it is not lost when the other cannot be ended"
    assert any(younger.cluster_id in warning and "its end is asked for" in warning for warning in warned)
    await clock.sleep(5.0)
    assert (younger.cluster_id in target.alive) == (refused == NEVER)
    assert older.cluster_id in target.alive
    assert any("servo-emr sweep" in warning for warning in warned) == (refused == NEVER)


async def test_a_double_that_has_ended_is_left_in_peace() -> None:
    launch, target, warned = rig(Script(job=1.0))
    target.launch(SPEC, KEY)
    target.launch(SPEC, KEY)
    kept = await launch.look_for(KEY, (5000.0,), START)
    assert kept is not None
    assert target.count("release") == 0
    assert warned == []


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
