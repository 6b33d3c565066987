"""When an emulated cluster is idle, and what its auto-termination policy makes of that."""

from __future__ import annotations

import pytest

from servo_emr.emulator.world.idleness import uses_yarn
from servo_emr.emulator.world.records import StepRequest
from tests.support.world import ScriptedMachine, launch, new_world, run_until, run_until_state, step

LONG = 100_000.0


def request(*args: str, jar: str = "command-runner.jar") -> StepRequest:
    return StepRequest("s", jar, args, "CONTINUE")


@pytest.mark.parametrize(
    ("asked_for", "yarn"),
    [
        (request("spark-submit", "--deploy-mode", "cluster", "s3://b/job.py"), True),
        (request("/usr/bin/spark-submit", "job.py"), True),
        (request("pyspark"), True),
        (request("spark-sql", "-f", "q.sql"), True),
        (request("hadoop-streaming", "-mapper", "cat"), True),
        (request("hive-script", "--run-hive-script"), True),
        (request("s3-dist-cp", "--src", "s3://b/x"), True),
        (request("run-example", "SparkPi", "10"), True),
        (request("bash", "-c", "aws s3 cp s3://b/j.py . && spark-submit j.py"), True),
        (request("sudo", "-u", "hadoop", "hadoop", "fs", "-ls"), True),
        (request("WordCount", "s3://b/in", jar="s3://b/job.jar"), True),
        (request("spark-submit", "--master", "local[4]", "job.py"), False),
        (request("bash", "-c", "spark-submit --master=local j.py"), False),
        (request("bash", "-c", "python3 train.py > spark-submit.log"), False),
        (request("python3", "spark-submit"), False),
        (request("papermill", "in.ipynb", "out.ipynb", "-p", "engine", "pyspark"), False),
        (request("aws", "s3", "ls"), False),
        (request("s3://b/run.sh", jar="s3://us-east-1.elasticmapreduce/libs/script-runner/script-runner.jar"), False),
    ],
)
def test_what_keeps_yarn_busy(asked_for: StepRequest, yarn: bool) -> None:
    assert uses_yarn(asked_for) is yarn


def test_a_running_step_without_yarn_counts_as_idle_and_dies_with_its_cluster() -> None:
    machine = ScriptedMachine()
    world = new_world(machine)
    cluster = world.launch(launch(step("job", command="papermill"), keep_alive=True, idle_timeout=300))
    run_until_state(world, cluster, "RUNNING")
    began = world.now
    run_until_state(world, cluster, "TERMINATING")
    assert world.now == pytest.approx(began + 300)
    assert cluster.steps[0].state == "CANCELLED"
    assert (cluster.reason.code, cluster.reason.message) == (
        "ALL_STEPS_COMPLETED",
        "Terminated by the auto-termination policy",
    )


def test_a_pending_step_keeps_the_cluster_from_being_idle() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("a", command="bash"), step("b", command="bash"), idle_timeout=300))
    run_until_state(world, cluster, "RUNNING")
    began = world.now
    run_until_state(world, cluster, "TERMINATING")
    assert world.now == pytest.approx(began + 600 + 300), "idle from the start of the last step on"
    assert [each.state for each in cluster.steps] == ["COMPLETED", "CANCELLED"]


def test_one_yarn_application_among_the_running_steps_is_enough_to_be_busy() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("a", command="bash"), step("b"), concurrency=2, idle_timeout=300))
    run_until(world, LONG)
    assert [each.state for each in cluster.steps] == ["COMPLETED", "COMPLETED"]


def test_a_cluster_is_not_idle_before_it_is_ready() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True, idle_timeout=60))
    run_until_state(world, cluster, "WAITING")
    ready = world.now
    run_until_state(world, cluster, "TERMINATING")
    assert world.now == pytest.approx(ready + 60)


def test_without_its_policy_a_waiting_cluster_waits_on() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True, idle_timeout=3600))
    run_until(world, 1000)
    world.set_idle_timeout(cluster, None)
    run_until(world, LONG)
    assert (cluster.state, cluster.idle_timeout) == ("WAITING", None)
