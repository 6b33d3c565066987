"""How much the emulator does in a second: whole clusters in process, and calls over HTTP.

    python benchmarks/emulator.py [--clusters 1000] [--calls 1000] [--runs 5]

In process, one thread: a cluster of 20 instances is launched with three steps, whose processes end at once, is ended
when it waits, and its instance rows are read. Over HTTP: boto3, one connection, calls one after another against a
`servo-emr emulator` process of its own with its clock standing still. Medians over the runs; CPU seconds of this
process in process, real ones over HTTP.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import boto3

from servo_emr.cli.emulated import emulator
from servo_emr.emulator.world.durations import Ernest, ModelDurations
from servo_emr.emulator.world.ids import Ids
from servo_emr.emulator.world.records import Cluster, GroupRequest, Instance, Launch, Step, StepRequest
from servo_emr.emulator.world.world import World

LEAST = 200.0
STEPS = 3
CORE = 19


class Ended:
    """A job that has ended, well and at once."""

    exit_status: int | None = 0
    finished_at = 0.0

    def kill(self) -> None:
        """There is nothing left of it."""


class Idle:
    """A machine that does no work and keeps no logs."""

    def boot(self, cluster: Cluster) -> None:
        """No node is needed."""

    def bootstrap(self, cluster: Cluster, index: int) -> Ended:
        return Ended()

    def step(self, cluster: Cluster, step: Step) -> Ended:
        return Ended()

    def outcome(self, job: object) -> str:
        return "exit status 0"

    def log_file(self, cluster: Cluster, step: Step) -> str | None:
        return None

    def publish_step(self, cluster: Cluster, step: Step, keep: float = 1.0) -> None:
        """There are no logs."""

    def publish_bootstrap(self, cluster: Cluster, index: int, instance: Instance, keep: float = 1.0) -> None:
        """There are no logs."""

    def shut_down(self, cluster: Cluster) -> None:
        """There is no node."""


LAUNCH = Launch(
    region="us-east-1",
    name="benchmark",
    release_label="emr-7.1.0",
    groups=(GroupRequest("MASTER", "m5.xlarge", 1), GroupRequest("CORE", "m5.xlarge", CORE)),
    steps=tuple(StepRequest(f"step {n}", "command-runner.jar", ("true",), "CONTINUE") for n in range(STEPS)),
    keep_alive=True,
)


def clusters_a_second(count: int) -> float:
    """In process, in CPU time."""
    ids = Ids("benchmark")
    law = ModelDurations(ids, cores=lambda name: 4, law=Ernest(), noise=0.0)
    world = World(now=0.0, ids=ids, machine=Idle(), durations=law)
    began = time.process_time()
    for _ in range(count):
        cluster = world.launch(LAUNCH)
        while cluster.state != "WAITING":
            world.run_next()
        world.terminate(cluster)
        while world.next_event() is not None:
            world.run_next()
        rows = [(row.id, row.state, row.timeline.created, row.timeline.began, row.timeline.ended)
                for row in cluster.instances]  # fmt: skip
        if len(rows) != 1 + CORE or [step.state for step in cluster.steps] != ["COMPLETED"] * STEPS:
            raise RuntimeError(f"{cluster.id} did not live as it should")
    return count / (time.process_time() - began)


def request() -> dict[str, Any]:
    """The same cluster as a document."""
    groups = [("MASTER", 1), ("CORE", CORE)]
    return {
        "Name": "benchmark",
        "ReleaseLabel": "emr-7.1.0",
        "ServiceRole": "EMR_DefaultRole",
        "JobFlowRole": "EMR_EC2_DefaultRole",
        "Instances": {
            "InstanceGroups": [
                {"InstanceRole": role, "InstanceType": "m5.xlarge", "InstanceCount": count} for role, count in groups
            ],
        },
        "Steps": [
            {"Name": f"step {n}", "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["true"]}}
            for n in range(STEPS)
        ],
    }


def calls_a_second(call: Callable[[], object], count: int) -> float:
    """In real time."""
    began = time.perf_counter()
    for _ in range(count):
        call()
    return count / (time.perf_counter() - began)


def over_http(count: int, runs: int) -> dict[str, float]:
    """Medians by operation."""
    with emulator(region="us-east-1", durations="model", speed=0, data=[], buckets=[]):
        emr: Any = boto3.client("emr", region_name="us-east-1")
        cluster = emr.run_job_flow(**request())["JobFlowId"]
        calls: dict[str, tuple[Callable[[], object], int]] = {
            "DescribeCluster": (lambda: emr.describe_cluster(ClusterId=cluster), count),
            "ListSteps": (lambda: emr.list_steps(ClusterId=cluster), count),
            "RunJobFlow": (lambda: emr.run_job_flow(**request()), max(1, count // 10)),
        }
        return {
            name: statistics.median(calls_a_second(call, number) for _ in range(runs))
            for name, (call, number) in calls.items()
        }


def main() -> int:
    """Prints the figures; 1 when fewer clusters a second are done in process than there must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clusters", type=int, default=1000, help="a run, in process")
    parser.add_argument("--calls", type=int, default=1000, help="a run and operation, over HTTP")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    rate = statistics.median(clusters_a_second(args.clusters) for _ in range(args.runs))
    print(f"in process: {rate:.0f} clusters a CPU second (at least {LEAST:.0f}), {args.runs} runs of {args.clusters}")
    for name, calls in over_http(args.calls, args.runs).items():
        print(f"over HTTP:  {calls:.0f} calls of {name} a second")
    return 0 if rate >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
