"""The emulator's world without processes: a machine whose jobs end when the test says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from servo_emr.emulator.durations import Durations, Ernest, ModelDurations
from servo_emr.emulator.ids import Ids
from servo_emr.emulator.records import Bootstrap, Cluster, GroupRequest, Instance, Launch, Step, StepRequest
from servo_emr.emulator.world import World

__all__ = ["START", "ScriptedJob", "ScriptedMachine", "launch", "new_world", "run_until", "step"]

START = 1_000_000.0


@dataclass
class ScriptedJob:
    """A job that ends when `exit_status` is set, or when it is killed."""

    exit_status: int | None = None
    finished_at: float = 0.0
    killed: bool = False

    def kill(self) -> None:
        self.killed = True
        if self.exit_status is None:
            self.exit_status = -9


@dataclass
class ScriptedMachine:
    """Stands behind the world's `Machine`. A step's first argument is its exit status, or "hold": it goes on."""

    started: list[str] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    shut: list[str] = field(default_factory=list)
    jobs: dict[str, ScriptedJob] = field(default_factory=dict)
    boot_error: OSError | None = None

    def boot(self, cluster: Cluster) -> None:
        if self.boot_error is not None:
            raise self.boot_error
        self.started.append("node")

    def bootstrap(self, cluster: Cluster, index: int) -> ScriptedJob:
        action = cluster.launch.bootstraps[index]
        return self._start(action.name, action.args[0])

    def step(self, cluster: Cluster, step: Step) -> ScriptedJob:
        return self._start(step.request.name, step.request.args[0])

    def outcome(self, job: object) -> str:
        return f"exit status {job.exit_status}" if isinstance(job, ScriptedJob) else "unknown"

    def log_file(self, cluster: Cluster, step: Step) -> str | None:
        return f"s3://logs/{cluster.id}/steps/{step.id}/stderr.gz"

    def publish_step(self, cluster: Cluster, step: Step) -> None:
        self.published.append(step.request.name)

    def publish_bootstrap(self, cluster: Cluster, index: int, instance: Instance) -> None:
        self.published.append(f"bootstrap {index}")

    def shut_down(self, cluster: Cluster) -> None:
        self.shut.append(cluster.id)

    def _start(self, name: str, end: str) -> ScriptedJob:
        job = ScriptedJob(None if end == "hold" else int(end))
        self.started.append(name)
        self.jobs[name] = job
        return job


def new_world(machine: ScriptedMachine, durations: Durations | None = None, *, seed: str = "1") -> World:
    """A world at START; by default each step takes 600 s and each bootstrap action 45 s on W."""
    ids = Ids(seed)
    law = ModelDurations(ids, cores=lambda name: 4, law=Ernest(600, 0, 0, 0), noise=0.0)
    return World(now=START, ids=ids, machine=machine, durations=durations or law)


def step(name: str, end: str = "0", action_on_failure: str = "CONTINUE") -> StepRequest:
    return StepRequest(name, "command-runner.jar", (end,), action_on_failure)


def launch(
    *steps: StepRequest,
    bootstraps: Sequence[Bootstrap] = (),
    keep_alive: bool = False,
    protected: bool = False,
    idle_timeout: int | None = None,
    core: int = 2,
) -> Launch:
    """One m5.xlarge primary and `core` core nodes of the same type."""
    return Launch(
        region="us-east-1",
        name="nightly",
        release_label="emr-7.1.0",
        groups=(GroupRequest("MASTER", "m5.xlarge", 1), GroupRequest("CORE", "m5.xlarge", core)),
        steps=steps,
        bootstraps=tuple(bootstraps),
        keep_alive=keep_alive,
        protected=protected,
        idle_timeout=idle_timeout,
    )


def run_until(world: World, seconds: float) -> None:
    """Takes every event up to START + `seconds`, or to one that is held, and moves W as far."""
    limit = START + seconds
    while (event := world.next_event()) is not None and event.at <= limit:
        if event.held:
            world.now = event.at
            return
        world.run_next()
    world.now = limit
