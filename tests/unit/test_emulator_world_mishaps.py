"""What goes wrong in the life of an emulated cluster, and what becomes of the cluster then."""

from __future__ import annotations

import math

import pytest

from servo_emr.emulator.world.mishaps import (
    Delay,
    EndCluster,
    EndStep,
    IgnoreTermination,
    LoseInstances,
    Mishap,
    Phase,
    Protect,
    SpoilLogs,
)
from servo_emr.emulator.world.records import ErrorDetail, Launch, Reason
from tests.support.world import (
    START,
    ScriptedMachine,
    ScriptedMishaps,
    launch,
    new_world,
    run_until,
    run_until_state,
    states,
    step,
    unlucky,
)

LONG = 100_000.0


def test_a_life_asks_once_at_each_beginning() -> None:
    mishaps = ScriptedMishaps({})
    world = new_world(ScriptedMachine(), mishaps=mishaps)
    world.launch(launch(step("a"), step("b")))
    run_until(world, LONG)
    assert mishaps.asked == [
        Phase.PROVISIONING,
        Phase.BOOTSTRAPPING,
        Phase.RUNNING,
        Phase.STEP,
        Phase.STEP,
        Phase.LOGS,  # of the first step, minutes after its end
        Phase.TERMINATING,
        Phase.LOGS,
    ]


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        (Phase.PROVISIONING, "STARTING"),
        (Phase.BOOTSTRAPPING, "BOOTSTRAPPING"),
        (Phase.STEP, "RUNNING"),
        (Phase.TERMINATING, "TERMINATING"),
    ],
)
def test_a_phase_can_take_longer_or_never_end(phase: Phase, state: str) -> None:
    def ended(*mishaps: Mishap) -> float:
        world, cluster = unlucky(launch(step("job")), phase, *mishaps)
        run_until_state(world, cluster, "TERMINATED")
        assert cluster.timeline.ended is not None
        return cluster.timeline.ended

    assert ended(Delay(1000), Delay(200)) == pytest.approx(ended() + 1200)
    world, cluster = unlucky(launch(step("job")), phase, Delay(math.inf))
    run_until(world, LONG)
    assert (cluster.state, world.next_event()) == (state, None)
    world.terminate(cluster)
    run_until(world, 2 * LONG)
    assert cluster.state == ("TERMINATING" if phase is Phase.TERMINATING else "TERMINATED")


def test_instances_of_a_cluster_that_does_not_end_run_on() -> None:
    world, cluster = unlucky(launch(step("job")), Phase.TERMINATING, Delay(1200))
    run_until_state(world, cluster, "TERMINATING")
    ending = world.now - START
    run_until(world, ending + 600)
    assert {each.state for each in cluster.instances} == {"RUNNING"}
    run_until(world, ending + 1300)
    assert {each.state for each in cluster.instances} == {"TERMINATED"}


@pytest.mark.parametrize("phase", [Phase.PROVISIONING, Phase.BOOTSTRAPPING, Phase.RUNNING, Phase.STEP])
@pytest.mark.parametrize("failed", [True, False])
def test_a_cluster_can_end_by_itself_in_every_phase(phase: Phase, failed: bool) -> None:
    detail = ErrorDetail("INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY_AZ", "no m5.xlarge", {"instance-type": "m5.xlarge"})
    reason = Reason("INTERNAL_ERROR", "no luck")
    machine = ScriptedMachine()
    world, cluster = unlucky(launch(step("job")), phase, EndCluster(10, reason, (detail,), failed), machine=machine)
    run_until(world, LONG)
    assert cluster.state == ("TERMINATED_WITH_ERRORS" if failed else "TERMINATED")
    assert (cluster.reason, cluster.error_details) == (reason, (detail,))
    ran = phase in {Phase.RUNNING, Phase.STEP}
    assert states(cluster) == ["INTERRUPTED" if ran and failed else "CANCELLED"]
    assert ("job" in machine.jobs) == ran


def test_a_mishap_of_a_phase_that_is_over_does_not_happen() -> None:
    world, cluster = unlucky(
        launch(step("a"), step("b")), Phase.STEP, EndCluster(700, Reason("INTERNAL_ERROR")), EndStep(650, "FAILED")
    )
    run_until(world, LONG)
    assert (cluster.state, states(cluster)) == ("TERMINATED", ["COMPLETED", "COMPLETED"])


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "INTERRUPTED"])
@pytest.mark.parametrize("after", [None, 60.0])
def test_a_step_can_end_otherwise_than_its_process_did(state: str, after: float | None) -> None:
    machine = ScriptedMachine()
    mishap = EndStep(after, state, "Unknown Error.", "bad luck")
    jobs = [step("job", "0" if after is None else "hold"), step("later")]
    world, cluster = unlucky(launch(*jobs), Phase.STEP, mishap, machine=machine)
    run_until(world, LONG)
    job = cluster.steps[0]
    assert states(cluster) == [state, "COMPLETED"]
    began, ended = job.timeline.began, job.timeline.ended
    assert began is not None and ended == pytest.approx(began + (600 if after is None else 60))
    assert (job.failure.message if job.failure else None) == ("bad luck" if state == "FAILED" else None)
    assert machine.jobs["job"].killed is (after is not None)
    assert cluster.reason.code == ("ALL_STEPS_COMPLETED" if state == "CANCELLED" else None)


def test_somebody_can_protect_a_cluster_meanwhile() -> None:
    world, cluster = unlucky(launch(step("job")), Phase.STEP, Protect(100))
    run_until_state(world, cluster, "RUNNING")
    run_until(world, world.now - START + 99)
    assert not cluster.protected
    run_until(world, world.now - START + 2)
    assert cluster.protected


def test_a_termination_can_be_accepted_and_ignored_once() -> None:
    world, cluster = unlucky(launch(step("job"), keep_alive=True), Phase.TERMINATING, IgnoreTermination())
    run_until_state(world, cluster, "RUNNING")
    world.terminate(cluster)
    assert (cluster.state, states(cluster)) == ("RUNNING", ["RUNNING"])
    world.terminate(cluster)
    assert cluster.state == "TERMINATING"


def test_a_cluster_that_fails_to_end_after_its_steps_waits() -> None:
    world, cluster = unlucky(launch(step("job"), idle_timeout=500), Phase.TERMINATING, IgnoreTermination())
    run_until_state(world, cluster, "WAITING")
    waiting = world.now
    run_until_state(world, cluster, "TERMINATING")
    assert world.now == pytest.approx(waiting + 500), "the policy ends it then"


def test_a_policy_whose_termination_is_ignored_tries_again() -> None:
    world, cluster = unlucky(launch(keep_alive=True, idle_timeout=500), Phase.TERMINATING, IgnoreTermination())
    run_until_state(world, cluster, "WAITING")
    waiting = world.now
    run_until_state(world, cluster, "TERMINATING")
    assert world.now == pytest.approx(waiting + 1000)


def test_a_cluster_that_fails_cannot_run_on() -> None:
    mishaps = ScriptedMishaps({Phase.RUNNING: [LoseInstances(5, "MASTER")], Phase.TERMINATING: [IgnoreTermination()]})
    world = new_world(ScriptedMachine(), mishaps=mishaps)
    cluster = world.launch(launch(step("job")))
    run_until(world, LONG)
    assert cluster.state == "TERMINATED_WITH_ERRORS"


def test_logs_can_come_late_and_cut_even_after_the_end() -> None:
    machine = ScriptedMachine()
    world, cluster = unlucky(launch(step("job")), Phase.LOGS, SpoilLogs(1000, 0.5), SpoilLogs(0, 0.7), machine=machine)
    run_until_state(world, cluster, "TERMINATED")
    ended = world.now - START
    assert (machine.published, machine.shut) == ([], [])
    run_until(world, ended + 1001)
    assert (machine.published, machine.kept, machine.shut) == (["job"], [0.5], [cluster.id])


def test_logs_that_never_come_are_thrown_away() -> None:
    machine = ScriptedMachine()
    world, cluster = unlucky(launch(step("job")), Phase.LOGS, SpoilLogs(math.inf), machine=machine)
    run_until(world, LONG)
    assert (machine.kept, machine.shut, world.next_event()) == ([0.0], [cluster.id], None)


def test_what_aws_refuses_late_ends_the_cluster_minutes_after_its_launch() -> None:
    reason = Reason("VALIDATION_ERROR", "m5.xlarge is not there")
    detail = ErrorDetail("VALIDATION_ERROR_INSTANCE_TYPE_NOT_SUPPORTED", "m5.xlarge is not there")
    wanted = Launch("us-east-1", "n", "emr-7.1.0", launch().groups, steps=(step("job"),), refusal=(reason, (detail,)))
    world = new_world(ScriptedMachine())
    cluster = world.launch(wanted)
    run_until(world, 100)
    assert cluster.state == "STARTING"
    run_until(world, 400)
    assert (cluster.state, cluster.reason, cluster.error_details) == ("TERMINATED_WITH_ERRORS", reason, (detail,))
    assert (cluster.instances, states(cluster)) == ([], ["CANCELLED"])
