"""The life of emulated clusters, on a W that the test moves: states, reasons and timelines as AWS documents them."""

from __future__ import annotations

import pytest

from servo_emr.emulator.world.records import Bootstrap, Cluster
from tests.support.world import START, ScriptedMachine, launch, new_world, run_until, step

LONG = 100_000.0


def states(cluster: Cluster) -> list[str]:
    return [step.state for step in cluster.steps]


def test_a_transient_cluster_runs_its_steps_in_order_and_ends_by_itself() -> None:
    machine = ScriptedMachine()
    world = new_world(machine)
    cluster = world.launch(launch(step("first"), step("second")))
    seen = [cluster.state]
    for second in range(4000):
        run_until(world, second)
        if cluster.state != seen[-1]:
            seen.append(cluster.state)
    assert seen == ["STARTING", "BOOTSTRAPPING", "RUNNING", "TERMINATING", "TERMINATED"]
    assert (cluster.reason.code, cluster.reason.message) == ("ALL_STEPS_COMPLETED", "Steps completed")
    assert machine.started == ["node", "first", "second"]
    assert states(cluster) == ["COMPLETED", "COMPLETED"]


def test_the_timelines_fit_into_one_another() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("job")))
    run_until(world, LONG)
    job, life = cluster.steps[0].timeline, cluster.timeline
    assert life.created == START
    assert life.began is not None and life.ended is not None and job.began is not None and job.ended is not None
    assert 380 < life.began - START < 460, "about seven minutes to ready"
    assert life.began <= job.began and job.ended - job.began == 600.0
    assert 55 < life.ended - job.ended < 65
    assert len(cluster.instances) == 3
    for instance in cluster.instances:
        line = instance.timeline
        assert line.began is not None and line.ended is not None
        assert 20 < line.created - START < 26
        assert 5 <= life.began - line.began <= 16, "instances are ready a little before their cluster"
        assert job.ended < line.ended < life.ended
        assert (instance.state, instance.reason.code) == ("TERMINATED", "CLUSTER_TERMINATED")


def test_instance_rows_appear_when_ec2_has_made_the_instances() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("job"), core=4))
    run_until(world, 15)
    assert cluster.instances == []
    run_until(world, 30)
    assert [instance.state for instance in cluster.instances] == ["PROVISIONING"] * 5
    run_until(world, 350)
    assert {instance.state for instance in cluster.instances} == {"BOOTSTRAPPING"}
    run_until(world, 500)
    assert {instance.state for instance in cluster.instances} == {"RUNNING"}


def test_a_cluster_kept_alive_waits_and_takes_more_steps() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True))
    run_until(world, 500)
    assert (cluster.state, cluster.reason.message) == ("WAITING", "Waiting for steps to run")
    (added,) = world.add_steps(cluster, [step("later")])
    assert (cluster.state, added.state, added.timeline.began) == ("RUNNING", "RUNNING", START + 500)
    run_until(world, 1200)
    assert (cluster.state, cluster.reason.message) == ("WAITING", "Waiting after step completed")


@pytest.mark.parametrize(
    ("action", "keep_alive", "state", "code", "later"),
    [
        ("TERMINATE_CLUSTER", False, "TERMINATED_WITH_ERRORS", "STEP_FAILURE", "CANCELLED"),
        ("TERMINATE_JOB_FLOW", True, "TERMINATED_WITH_ERRORS", "STEP_FAILURE", "CANCELLED"),
        ("CANCEL_AND_WAIT", False, "TERMINATED", None, "CANCELLED"),
        ("CANCEL_AND_WAIT", True, "WAITING", None, "CANCELLED"),
        ("CONTINUE", False, "TERMINATED", None, "COMPLETED"),
        ("CONTINUE", True, "WAITING", None, "COMPLETED"),
    ],
)
def test_what_follows_a_failed_step(action: str, keep_alive: bool, state: str, code: str | None, later: str) -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("bad", "3", action), step("later"), keep_alive=keep_alive))
    run_until(world, 5000)
    bad = cluster.steps[0]
    assert (cluster.state, cluster.reason.code) == (state, code)
    assert states(cluster) == ["FAILED", later]
    assert bad.failure is not None
    assert (bad.failure.reason, bad.failure.message) == ("Unknown Error.", "exit status 3")
    assert bad.failure.log_file == f"s3://logs/{cluster.id}/steps/{bad.id}/stderr.gz"


def test_termination_protection_keeps_a_long_running_cluster_when_a_step_fails() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("bad", "1", "TERMINATE_CLUSTER"), step("x"), keep_alive=True, protected=True))
    run_until(world, 5000)
    assert cluster.state == "WAITING"
    assert states(cluster) == ["FAILED", "CANCELLED"]


def test_a_failed_bootstrap_action_ends_the_cluster_with_errors() -> None:
    machine = ScriptedMachine()
    world = new_world(machine)
    actions = [Bootstrap("good", "s3://b/good", ("0",)), Bootstrap("bad", "s3://b/bad", ("7",))]
    cluster = world.launch(launch(step("job"), bootstraps=actions))
    run_until(world, 5000)
    assert (cluster.state, cluster.reason.code) == ("TERMINATED_WITH_ERRORS", "BOOTSTRAP_FAILURE")
    (detail,) = cluster.error_details
    assert detail.code == "BOOTSTRAP_FAILURE_PRIMARY_WITH_NON_ZERO_CODE"
    assert cluster.primary is not None
    assert detail.data["primary-instance-id"] == cluster.primary.ec2_id
    assert (detail.data["bootstrap-action"], detail.data["return-code"]) == ("2", "7")
    assert machine.started == ["node", "good", "bad"], "no step runs"
    assert states(cluster) == ["CANCELLED"]
    assert machine.published == ["bootstrap 0", "bootstrap 1"]
    assert cluster.timeline.began is None, "it was never ready"


def test_a_node_that_cannot_be_made_is_an_internal_error() -> None:
    machine = ScriptedMachine(boot_error=OSError("no space left"))
    world = new_world(machine)
    cluster = world.launch(launch(step("job")))
    run_until(world, 5000)
    assert (cluster.state, cluster.reason.code) == ("TERMINATED_WITH_ERRORS", "INTERNAL_ERROR")
    assert "no space left" in (cluster.reason.message or "")


@pytest.mark.parametrize("when", [0, 10, 100, 310, 430, 700])
def test_a_user_can_end_a_cluster_in_every_phase(when: float) -> None:
    machine = ScriptedMachine()
    world = new_world(machine)
    actions = [Bootstrap("boot", "s3://b/boot", ("hold",))] if when == 310 else []
    cluster = world.launch(launch(step("job", "hold"), step("never"), bootstraps=actions))
    run_until(world, when)
    world.terminate(cluster)
    assert cluster.state == "TERMINATING"
    assert all(job.killed for job in machine.jobs.values())
    run_until(world, when + 100)
    assert (cluster.state, cluster.reason.code) == ("TERMINATED", "USER_REQUEST")
    assert cluster.reason.message == "Terminated by user request"
    assert states(cluster) == ["CANCELLED", "CANCELLED"]
    assert {instance.state for instance in cluster.instances} <= {"TERMINATED"}
    assert machine.shut == [cluster.id]
    run_until(world, LONG)
    assert world.next_event() is None, "nothing is left that could happen to it"


def test_ending_a_cluster_again_changes_nothing() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("job")))
    world.terminate(cluster)
    run_until(world, 10)
    world.terminate(cluster)
    run_until(world, 1000)
    ended = cluster.timeline.ended
    world.terminate(cluster)
    run_until(world, 2000)
    assert (cluster.state, cluster.timeline.ended) == ("TERMINATED", ended)


def test_a_pending_step_is_cancelled_at_once_and_a_running_one_a_little_later() -> None:
    machine = ScriptedMachine()
    world = new_world(machine)
    cluster = world.launch(launch(step("runs", "hold"), step("waits"), step("last")))
    run_until(world, 500)
    world.cancel_step(cluster, cluster.steps[1])
    world.cancel_step(cluster, cluster.steps[0])
    assert states(cluster) == ["CANCEL_PENDING", "CANCELLED", "PENDING"]
    run_until(world, 510)
    assert machine.jobs["runs"].killed
    assert states(cluster) == ["CANCELLED", "CANCELLED", "RUNNING"]
    run_until(world, 5000)
    assert (cluster.state, states(cluster)[2]) == ("TERMINATED", "COMPLETED")


def test_a_step_that_ends_before_its_cancellation_takes_effect_has_completed() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("job")))
    run_until(world, 500)
    began = cluster.steps[0].timeline.began
    assert began is not None
    run_until(world, began - START + 598)
    world.cancel_step(cluster, cluster.steps[0])
    run_until(world, 5000)
    assert states(cluster) == ["COMPLETED"]
    assert cluster.state == "TERMINATED"


@pytest.mark.parametrize("before", [0, 3])
def test_a_step_whose_process_hangs_can_be_cancelled(before: float) -> None:
    machine = ScriptedMachine()
    world = new_world(machine)
    cluster = world.launch(launch(step("job", "hold")))
    run_until(world, 500)
    began = cluster.steps[0].timeline.began
    assert began is not None
    run_until(world, began - START + 600 - before)
    world.cancel_step(cluster, cluster.steps[0])
    run_until(world, LONG)
    assert machine.jobs["job"].killed
    assert (states(cluster), cluster.steps[0].timeline.ended) == (["CANCELLED"], began + 600)
    assert cluster.state == "TERMINATED"


def test_w_stands_still_at_the_end_of_a_step_until_its_process_has_ended() -> None:
    machine = ScriptedMachine()
    world = new_world(machine)
    cluster = world.launch(launch(step("job", "hold")))
    run_until(world, LONG)
    began = cluster.steps[0].timeline.began
    assert began is not None
    assert (world.now, states(cluster)) == (began + 600, ["RUNNING"])
    with pytest.raises(ValueError, match="waits for a process"):
        world.run_next()
    machine.jobs["job"].exit_status = 0
    run_until(world, LONG)
    assert cluster.steps[0].timeline.ended == began + 600
    assert cluster.state == "TERMINATED"


def test_w_cannot_pass_an_event() -> None:
    world = new_world(ScriptedMachine())
    world.launch(launch())
    with pytest.raises(ValueError, match="cannot pass"):
        world.now = START + 1000


def test_an_idle_cluster_is_ended_by_its_policy_and_a_busy_one_is_not() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("job"), keep_alive=True, idle_timeout=120))
    run_until(world, 900)
    assert cluster.state == "RUNNING", "ten minutes of work are no idleness"
    run_until(world, 1120)
    assert cluster.state == "WAITING"
    world.add_steps(cluster, [step("more")])
    run_until(world, 1300)
    assert cluster.state == "RUNNING", "the step reset the idle time"
    run_until(world, 2000)
    assert cluster.state == "TERMINATED"


def test_a_policy_set_while_waiting_counts_from_the_beginning_of_the_wait() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True))
    run_until(world, 1000)
    world.set_idle_timeout(cluster, 60)
    run_until(world, 1001)
    assert cluster.state == "TERMINATING"


def test_logs_appear_five_minutes_after_a_step_or_at_the_end_of_the_cluster() -> None:
    machine = ScriptedMachine()
    world = new_world(machine)
    cluster = world.launch(launch(step("first"), step("second")))
    run_until(world, LONG / 1000)
    began = None
    while began is None:
        run_until(world, world.now - START + 1)
        began = cluster.timeline.began
    first_ends = began - START + 600
    run_until(world, first_ends + 299)
    assert machine.published == []
    run_until(world, first_ends + 301)
    assert machine.published == ["first"]
    run_until(world, LONG)
    assert machine.published == ["first", "second"]
    assert cluster.timeline.ended is not None
    assert cluster.timeline.ended < began + 1200 + 300, "the second came with the end, not later"


def test_the_same_seed_gives_the_same_ids_and_times() -> None:
    def outcome(seed: str) -> tuple[str, float | None]:
        world = new_world(ScriptedMachine(), seed=seed)
        cluster = world.launch(launch(step("job")))
        run_until(world, LONG)
        return cluster.id, cluster.timeline.ended

    assert outcome("a") == outcome("a")
    assert outcome("a") != outcome("b")


def test_two_clusters_live_side_by_side() -> None:
    world = new_world(ScriptedMachine())
    one = world.launch(launch(step("a")))
    run_until(world, 200)
    two = world.launch(launch(step("b")))
    run_until(world, 700)
    assert (one.state, two.state) == ("RUNNING", "RUNNING")
    world.terminate(one)
    run_until(world, 800)
    assert (one.state, two.state) == ("TERMINATED", "RUNNING")
    assert world.cluster(two.id) is two
    assert world.cluster("j-NOBODY") is None
