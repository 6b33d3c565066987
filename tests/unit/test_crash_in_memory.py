"""A servo is killed, stopped or cut off at every single call that it makes to the world, before and after its effect.

The calls are those of its ports: reads and writes of the workspace, verbs of the target. A new process then starts
over the same world and is asked for the same. Whatever happened: no cluster is alive in the end, every record is
decided and its cluster's end verified, and the job has been paid for once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from servo_emr.domain.errors import Conflict, LaunchUnclear, Reason, RunError, Verdict, failure
from servo_emr.domain.run import StepState
from servo_emr.lifecycle.measure import Outcome
from tests.support.measuring import Fate, World
from tests.support.samples import limited
from tests.support.scripted_target import NEVER, Script

MOST_CALLS = 200
IN_THE_JOB = 30
"""A call that a process makes while its job runs."""
AWAY_S = 20.0
"""Until the supervisor has started the next process."""

SUCCEEDS, FAILS, LAGS, STAYS = "succeeds", "fails", "listings lag", "does not end by itself"
AGAIN = "is launched again"
SCRIPTS: dict[str, Callable[[], Script]] = {
    SUCCEEDS: Script,
    FAILS: lambda: Script(ends=StepState.FAILED),
    LAGS: lambda: Script(visible_after=170.0),
    STAYS: lambda: Script(idle=NEVER),
    AGAIN: Script,
}
FIRST = {AGAIN: (Script(breaks=360.0, end_reason=Reason.BOOTSTRAP), Script(provisioned=NEVER, ready=NEVER))}
"""The launches before the one that goes by the script: one whose bootstrap fails, one without capacity."""
ONCE = [case for case in SCRIPTS if case != AGAIN]
PAID = {AGAIN: 3}
"""So many clusters a run has, where it is not one; one after the other."""
BOTH_SIDES = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


def new_world(case: str) -> World:
    random.seed(1)  # the pace of looks: each process makes the same calls as the one before, up to its end
    world = World(SCRIPTS[case](), first=FIRST.get(case, ()))
    if case == FAILS:
        world.result = lambda run_id: None
    return world


def live_launches_by_run(world: World) -> dict[str, int]:
    runs = [cluster.handle.key.run_id for cluster in world.target.clusters]
    return {run: runs.count(run) for run in runs}


def check_answer(world: World, outcome: Outcome | None, case: str) -> None:
    assert outcome is not None
    if case == FAILS:
        assert outcome.error is not None
        assert outcome.error.reason is Reason.STEP_FAILED
    else:
        assert outcome.error is None, outcome.error
        assert outcome.record.metrics["duration"] == pytest.approx(1860.0), "the step's own timeline"
        assert outcome.record.cost is not None
    assert outcome.record.answered_at is not None


@BOTH_SIDES
@pytest.mark.parametrize(
    ("case", "asked_again"),
    [
        *((case, by) for case in ONCE for by in ("by the same command", "by another command")),
        (AGAIN, "by the same command"),
    ],
)
async def test_f27_a_servo_that_is_killed_at_any_call_leaves_nothing_and_pays_once(
    case: str, asked_again: str, after: bool
) -> None:
    """Before and after every call of every port of a cycle, in memory: kill -9; the next start leaves nothing."""
    same = asked_again == "by the same command"
    seen: list[str] = []
    for n in range(1, MOST_CALLS):
        world = new_world(case)
        fate = Fate.killed(n, after)
        if await world.die(fate, "first") is not None:
            break  # it had answered before
        seen.append(fate.calls[-1])
        told = any(record.answered_at is not None for record in world.workspace.all_records())
        await world.clock.sleep(AWAY_S)
        outcome = await world.die(Fate(), "first" if same else "second")
        check_answer(world, outcome, case)
        records = world.check_that_all_is_settled()
        launches = live_launches_by_run(world)
        where = f"killed at call {n}, {fate.calls[-1]}"
        assert set(launches.values()) <= {1, PAID.get(case, 1)}, where
        assert PAID.get(case, 1) in launches.values(), where
        # The one window: the answer is on record, and died on its way to the optimizer, which asks anew.
        assert len(launches) == (2 if told and not same else 1), where
        if same:
            assert len([record for record in records if record.had_cluster]) == 1, where
    assert 30 <= len(seen) < MOST_CALLS - 1
    assert {"save", "write", "put", "submit", "observe", "usage", "document", "records"} <= set(seen)


@pytest.mark.parametrize("seed", range(80))
async def test_f27_a_servo_that_is_killed_again_and_again_leaves_nothing_and_pays_once(seed: int) -> None:
    """At random calls of any port, again and again, in memory."""
    draw = random.Random(seed)
    case = draw.choice(list(ONCE))
    world = new_world(case)
    fates = [Fate.killed(draw.randint(1, 60), draw.random() < 0.5) for _ in range(draw.randint(2, 5))]
    for fate in fates:
        if await world.die(fate, "first") is not None:
            break  # it got through, and told the optimizer
        await world.clock.sleep(draw.choice([1.0, AWAY_S, 200.0]))
    check_answer(world, await world.die(Fate(), "first"), case)
    world.check_that_all_is_settled()
    assert list(live_launches_by_run(world).values()) == [1]


@BOTH_SIDES
async def test_f27_a_servo_that_is_killed_while_it_ends_what_another_has_left_leaves_nothing(after: bool) -> None:
    """The first is killed in the job; the second, asked for something else, has to end that first."""
    changed = limited(nodes=20)
    for n in range(1, MOST_CALLS):
        random.seed(1)
        world = World()
        assert await world.die(Fate.killed(IN_THE_JOB), "first") is None
        assert len(world.target.alive) == 1
        second = Fate.killed(n, after)
        got_through = await world.die(second, "second", changed)
        await world.clock.sleep(AWAY_S)
        outcome = await world.die(Fate(), "second", changed)
        check_answer(world, outcome, SUCCEEDS)
        records = world.check_that_all_is_settled()
        assert len(world.target.clusters) == 2, "one each"
        assert world.target.clusters[0].released is not None, "it was ended before anything else was launched"
        assert world.target.clusters[0].released < world.target.clusters[1].born
        assert [record.verdict for record in records if record.cluster_id == "j-0001"] == [Verdict.ABORTED]
        if got_through is not None:
            assert n > 40
            return
    raise AssertionError("the second never got through")


@BOTH_SIDES
@pytest.mark.parametrize("case", ONCE)
async def test_f28_a_servo_that_is_cancelled_at_any_call_leaves_a_cluster_that_is_ending_and_the_next_verifies_it(
    case: str, after: bool
) -> None:
    """At every call of every port, in memory: cancelled while it is under way; the cluster is ending."""
    for n in range(1, MOST_CALLS):
        world = new_world(case)
        fate = Fate()
        task: asyncio.Task[Outcome | None] = asyncio.create_task(world.die(fate, "first"))
        stop = _at(n, lambda task=task: task.cancel())
        fate.before, fate.after = ((lambda *_: None), stop) if after else (stop, lambda *_: None)
        await asyncio.wait({task})
        if not task.cancelled():
            assert len(fate.calls) < n, "it had answered before"
            break
        assert world.target.alive == [], f"cancelled at call {n}, {fate.calls[n - 1]}"
        left = world.workspace.all_records()
        assert all(record.decided for record in left)
        assert all(record.unreleased is False for record in left)
        await world.clock.sleep(AWAY_S)
        check_answer(world, await world.die(Fate(), "second"), case)
        records = world.check_that_all_is_settled()
        assert set(live_launches_by_run(world).values()) == {1}
        ran = [record for record in records if record.cluster_id]
        assert len(ran) <= 2
        assert all(record.cost is not None for record in ran), "what was spent is billed"
        if len(ran) == 2 and ran[1].verdict is not Verdict.ABORTED:
            assert ran[1].answered_at is not None, "an end that was earned and not told is delivered, not repeated"
    assert 30 <= n < MOST_CALLS - 1


def _refused(verb: str) -> Exception:
    return failure(Reason.ENDPOINT, f"{verb}: AWS cannot be reached.")


def _lost(verb: str) -> Exception:
    # The workspace's writes carry their own proof: the SDK sends them again, and our own body is no conflict.
    return LaunchUnclear(f"{verb}: no clear answer") if verb == "submit" else _refused(verb)


@BOTH_SIDES
@pytest.mark.parametrize("outage", [1, 8, 1000])
async def test_a_servo_that_is_cut_off_at_any_call_leaves_nothing(outage: int, after: bool) -> None:
    for n in range(1, MOST_CALLS):
        world = new_world(SUCCEEDS)
        fate = Fate()
        cut = _from_to(n, n + outage, _lost if after else _refused)
        fate.before, fate.after = ((lambda *_: None), cut) if after else (cut, lambda *_: None)
        try:
            servo = world.servo(fate)
            await servo.recover()
            first = await servo.run(world.order(cmd_uid="first"), world.tell)
        except (RunError, LaunchUnclear):
            first = None  # before there was a run: the record of the past could not be read
        if len(fate.calls) < n:
            break  # it had answered before
        where = f"cut off at call {n} for {outage}"
        if outage < 1000 and not after:
            assert world.target.alive == [], where
        await world.clock.sleep(AWAY_S)
        second = await world.die(Fate(), "second")
        assert second is not None
        if second.error is not None:
            # The first could not be seen any more and was given up, which is on record; that it was told is not.
            assert (outage, after, second.error.reason) == (1000, True, Reason.ENDPOINT), where
            assert second.record.recovered
            second = await world.die(Fate(), "third")
            assert second is not None
        assert second.error is None, where
        records = world.check_that_all_is_settled()
        assert set(live_launches_by_run(world).values()) == {1}, where
        assert len(world.target.clusters) <= 2, where
        if first is not None and first.error is None:
            assert [r.answered_at for r in records if r.run_id == first.record.run_id] != [None]
    assert 30 <= n < MOST_CALLS - 1


async def test_a_record_that_somebody_else_has_made_meanwhile_launches_nothing() -> None:
    world = World()
    fate = Fate()

    def beaten(number: int, verb: str) -> None:
        if verb == "save":
            raise Conflict("the record was changed by somebody else")

    fate.before = beaten
    outcome = await world.servo(fate).run(world.order(), world.tell)
    assert outcome.error is not None
    assert outcome.error.reason is Reason.LEASE
    assert world.target.count("submit") == 0


def _at(n: int, act: Callable[[], object]) -> Callable[[int, str], None]:
    def look(number: int, verb: str) -> None:
        if number == n:
            act()

    return look


def _from_to(first: int, last: int, error: Callable[[str], Exception]) -> Callable[[int, str], None]:
    def look(number: int, verb: str) -> None:
        if first <= number < last:
            raise error(verb)

    return look
