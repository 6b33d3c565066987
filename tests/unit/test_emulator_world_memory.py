"""What the emulated world forgets: ended clusters after two months, and events that will not happen."""

from __future__ import annotations

import gc
import weakref

from servo_emr.emulator.world.events import EventQueue
from servo_emr.emulator.world.world import KEPT_AFTER_END
from tests.support.world import START, ScriptedMachine, launch, new_world, run_until, step

LONG = 100_000.0


def test_an_ended_cluster_is_forgotten_after_two_months_and_nothing_holds_on_to_it() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("job", "hold"), keep_alive=True, idle_timeout=604_800))
    kept = world.launch(launch(keep_alive=True))
    run_until(world, 1000)
    world.terminate(cluster)
    run_until(world, 2000)
    ended = cluster.timeline.ended
    assert ended is not None
    run_until(world, ended - START + KEPT_AFTER_END - 1)
    assert world.cluster(cluster.id) is cluster
    run_until(world, ended - START + KEPT_AFTER_END + 1)
    assert world.cluster(cluster.id) is None and world.clusters == (kept,)
    gone = weakref.ref(cluster)
    del cluster
    gc.collect()
    assert gone() is None


def test_a_cluster_that_does_not_end_is_never_forgotten() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True))
    run_until(world, 2 * KEPT_AFTER_END)
    assert world.cluster(cluster.id) is cluster


def test_thousands_of_steps_leave_no_events_behind() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True, idle_timeout=604_800))
    run_until(world, 1000)
    for _ in range(3000):
        world.add_steps(cluster, [step("job")])
        run_until(world, world.now - START + 601)
    assert {each.state for each in cluster.steps} == {"COMPLETED"}
    pending = 0
    world.terminate(cluster)
    while world.next_event() is not None:
        pending += 1
        world.run_next()
    assert pending < 20


def test_cancelled_events_do_not_pile_up() -> None:
    queue = EventQueue()
    live = [queue.schedule(float(at), lambda: None) for at in range(10)]
    for at in range(100_000):
        queue.schedule(1e9 + at, lambda: None).cancel()
    assert len(queue) < 3000
    assert [queue.pop() for _ in live] == live
    assert queue.peek() is None
