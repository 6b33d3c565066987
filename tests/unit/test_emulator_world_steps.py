"""Which steps of an emulated cluster run, and what follows when one fails, is cancelled, or was the last."""

from __future__ import annotations

import pytest

from servo_emr.emulator.world.durations import Planned
from servo_emr.emulator.world.records import Cluster, Step
from tests.support.world import START, ScriptedMachine, launch, new_world, run_until, run_until_state, states, step

LONG = 100_000.0


class ByName:
    """Durations by the step's name."""

    def __init__(self, **planned: Planned) -> None:
        self._planned = planned

    def step(self, cluster: Cluster, step: Step) -> Planned | None:
        return self._planned[step.request.name]

    def bootstrap(self, cluster: Cluster, index: int) -> float | None:
        return 45.0


def test_as_many_steps_run_at_once_as_the_cluster_allows_and_each_ends_in_its_own_time() -> None:
    world = new_world(ScriptedMachine(), ByName(a=Planned(100), b=Planned(300), c=Planned(50), d=Planned(10)))
    cluster = world.launch(launch(step("a"), step("b"), step("c"), step("d"), concurrency=2))
    run_until_state(world, cluster, "RUNNING")
    assert states(cluster) == ["RUNNING", "RUNNING", "PENDING", "PENDING"]
    ready = world.now
    run_until(world, LONG)
    assert states(cluster) == ["COMPLETED"] * 4
    lines = [(each.timeline.began, each.timeline.ended) for each in cluster.steps]
    seconds = [(round(began - ready), round(ended - ready)) for began, ended in lines if began and ended]
    assert seconds == [(0, 100), (0, 300), (100, 150), (150, 160)]
    assert (cluster.state, cluster.reason.code) == ("TERMINATED", "ALL_STEPS_COMPLETED")


def test_more_concurrency_starts_what_waits_and_less_lets_what_runs_go_on() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("a"), step("b"), step("c"), step("d")))
    run_until_state(world, cluster, "RUNNING")
    world.set_concurrency(cluster, 3)
    assert states(cluster) == ["RUNNING", "RUNNING", "RUNNING", "PENDING"]
    world.set_concurrency(cluster, 1)
    assert states(cluster) == ["RUNNING", "RUNNING", "RUNNING", "PENDING"]
    run_until(world, LONG)
    assert states(cluster) == ["COMPLETED"] * 4


@pytest.mark.parametrize("action", ["TERMINATE_CLUSTER", "CANCEL_AND_WAIT"])
def test_with_several_steps_at_once_a_failure_neither_ends_the_cluster_nor_cancels_steps(action: str) -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("bad", "1", action), step("other"), step("later"), concurrency=2))
    run_until(world, LONG)
    assert states(cluster) == ["FAILED", "COMPLETED", "COMPLETED"]
    assert (cluster.state, cluster.reason.code) == ("TERMINATED", None)


def test_a_planned_failure_fails_the_step_whatever_its_process_did() -> None:
    world = new_world(ScriptedMachine(), ByName(job=Planned(120, "out of memory")))
    cluster = world.launch(launch(step("job", "0")))
    run_until(world, LONG)
    (job,) = cluster.steps
    assert (job.state, job.failure and job.failure.message) == ("FAILED", "out of memory")
    assert job.timeline.began is not None and job.timeline.ended == pytest.approx(job.timeline.began + 120)


def test_cancelling_a_running_step_is_no_failure() -> None:
    machine = ScriptedMachine()
    world = new_world(machine)
    cluster = world.launch(launch(step("a", "hold", "TERMINATE_CLUSTER"), step("b"), step("c")))
    run_until_state(world, cluster, "RUNNING")
    world.cancel_step(cluster, cluster.steps[0])
    world.cancel_step(cluster, cluster.steps[1])
    run_until(world, LONG)
    assert states(cluster) == ["CANCELLED", "CANCELLED", "COMPLETED"]
    assert (cluster.state, cluster.reason.code) == ("TERMINATED", "ALL_STEPS_COMPLETED")
    assert "b" not in machine.started


def test_a_step_asked_to_end_takes_longer_than_one_killed() -> None:
    def seconds(force: bool) -> float:
        world = new_world(ScriptedMachine())
        cluster = world.launch(launch(step("job", "hold")))
        run_until_state(world, cluster, "RUNNING")
        asked = world.now
        world.cancel_step(cluster, cluster.steps[0], force=force)
        run_until(world, LONG)
        assert cluster.steps[0].timeline.ended is not None
        return cluster.steps[0].timeline.ended - asked

    assert seconds(force=True) == pytest.approx(5)
    assert seconds(force=False) == pytest.approx(10)


def test_one_of_several_running_steps_can_be_cancelled() -> None:
    machine = ScriptedMachine()
    world = new_world(machine)
    cluster = world.launch(launch(step("a"), step("b", "hold"), step("c"), concurrency=2))
    run_until_state(world, cluster, "RUNNING")
    world.cancel_step(cluster, cluster.steps[1])
    run_until(world, LONG)
    assert states(cluster) == ["COMPLETED", "CANCELLED", "COMPLETED"]
    assert machine.jobs["b"].killed and not machine.jobs["a"].killed


def test_a_waiting_cluster_that_is_not_to_be_kept_any_more_ends() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("job"), keep_alive=True))
    run_until_state(world, cluster, "WAITING")
    world.set_keep_alive(cluster, False)
    assert (cluster.state, cluster.reason.code) == ("TERMINATING", "ALL_STEPS_COMPLETED")


def test_keeping_a_cluster_alive_can_be_decided_while_its_steps_run() -> None:
    world = new_world(ScriptedMachine())
    kept, dropped = (world.launch(launch(step("job"), keep_alive=alive)) for alive in (False, True))
    run_until(world, 700)
    assert (kept.state, dropped.state) == ("RUNNING", "RUNNING")
    world.set_keep_alive(kept, True)
    world.set_keep_alive(dropped, False)
    assert (kept.state, dropped.state) == ("RUNNING", "RUNNING")
    run_until(world, 2000)
    assert (kept.state, dropped.state) == ("WAITING", "TERMINATED")


def test_steps_added_while_the_cluster_starts_run_after_those_of_the_launch() -> None:
    machine = ScriptedMachine()
    world = new_world(machine)
    cluster = world.launch(launch(step("first")))
    run_until(world, 100)
    (added,) = world.add_steps(cluster, [step("second")])
    assert (added.state, added.timeline.created, added.ordinal) == ("PENDING", START + 100, 1)
    run_until(world, LONG)
    assert machine.started == ["node", "first", "second"]
    assert cluster.step(added.id) is added and cluster.step("s-NOBODY") is None


def test_a_user_who_ends_a_cluster_cancels_what_runs_and_what_waits() -> None:
    machine = ScriptedMachine()
    world = new_world(machine)
    cluster = world.launch(launch(step("a", "hold"), step("b", "hold"), step("c"), concurrency=2))
    run_until_state(world, cluster, "RUNNING")
    world.terminate(cluster)
    assert states(cluster) == ["CANCELLED"] * 3
    assert machine.jobs["a"].killed and machine.jobs["b"].killed
    run_until(world, LONG)
    assert sorted(machine.published) == ["a", "b"]
