"""The emulator's world without processes: a machine whose jobs end when the test says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from servo_emr.emulator.world.durations import Durations, Ernest, ModelDurations
from servo_emr.emulator.world.ids import Ids
from servo_emr.emulator.world.mishaps import Mishap, Mishaps, Phase
from servo_emr.emulator.world.records import (
    Bootstrap,
    Cluster,
    FleetRequest,
    FleetType,
    GroupRequest,
    Instance,
    Launch,
    Step,
    StepRequest,
)
from servo_emr.emulator.world.spot import SpotMarket
from servo_emr.emulator.world.world import World

__all__ = [
    "PRIMARY_FLEET",
    "START",
    "ScriptedJob",
    "ScriptedMachine",
    "ScriptedMishaps",
    "launch",
    "new_world",
    "run_until",
    "run_until_state",
    "states",
    "step",
    "unlucky",
]

START = 1_000_000.0
PRIMARY_FLEET = FleetRequest("MASTER", (FleetType("m5.xlarge"),), on_demand=1)


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
    """Stands behind the world's `Machine`. A step's last argument is its exit status, or "hold": it goes on."""

    started: list[str] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
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
        return self._start(step.request.name, step.request.args[-1])

    def outcome(self, job: object) -> str:
        return f"exit status {job.exit_status}" if isinstance(job, ScriptedJob) else "unknown"

    def log_file(self, cluster: Cluster, step: Step) -> str | None:
        return f"s3://logs/{cluster.id}/steps/{step.id}/stderr.gz"

    def publish_step(self, cluster: Cluster, step: Step, keep: float = 1.0) -> None:
        self.published.append(step.request.name)
        self.kept.append(keep)

    def publish_bootstrap(self, cluster: Cluster, index: int, instance: Instance, keep: float = 1.0) -> None:
        self.published.append(f"bootstrap {index}")

    def shut_down(self, cluster: Cluster) -> None:
        self.shut.append(cluster.id)

    def _start(self, name: str, end: str) -> ScriptedJob:
        job = ScriptedJob(None if end == "hold" else int(end))
        self.started.append(name)
        self.jobs[name] = job
        return job


class ScriptedMishaps:
    """Stands behind the world's `Mishaps`: what goes wrong at the first beginning of a phase, by phase.

    `asked` is what a life has asked about, in order.
    """

    def __init__(self, mishaps: Mapping[Phase, Sequence[Mishap]]) -> None:
        self._left = dict(mishaps)
        self.asked: list[Phase] = []

    def begin(self, phase: Phase, cluster: Cluster, now: float) -> Sequence[Mishap]:
        self.asked.append(phase)
        return self._left.pop(phase, ())


def new_world(
    machine: ScriptedMachine,
    durations: Durations | None = None,
    *,
    seed: str = "1",
    mishaps: Mishaps | None = None,
    spot: SpotMarket | None = None,
) -> World:
    """A world at START; by default each step takes 600 s and each bootstrap action 45 s on W."""
    ids = Ids(seed)
    law = ModelDurations(ids, cores=lambda name: 4, law=Ernest(600, 0, 0, 0), noise=0.0)
    return World(now=START, ids=ids, machine=machine, durations=durations or law, mishaps=mishaps, spot=spot)


def step(
    name: str, end: str = "0", action_on_failure: str = "CONTINUE", *, command: str = "spark-submit"
) -> StepRequest:
    return StepRequest(name, "command-runner.jar", (command, end), action_on_failure)


def launch(
    *steps: StepRequest,
    bootstraps: Sequence[Bootstrap] = (),
    keep_alive: bool = False,
    protected: bool = False,
    idle_timeout: int | None = None,
    core: int = 2,
    task: GroupRequest | None = None,
    fleets: Sequence[FleetRequest] = (),
    concurrency: int = 1,
) -> Launch:
    """One m5.xlarge primary and `core` core nodes of the same type, and a task group; or instead of all the fleets."""
    groups = [
        GroupRequest("MASTER", "m5.xlarge", 1),
        GroupRequest("CORE", "m5.xlarge", core),
        *([task] if task else []),
    ]
    return Launch(
        region="us-east-1",
        name="nightly",
        release_label="emr-7.1.0",
        groups=() if fleets else tuple(groups),
        fleets=tuple(fleets),
        steps=steps,
        concurrency=concurrency,
        zone="us-east-1a",
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


def run_until_state(world: World, cluster: Cluster, *states: str) -> None:
    """Takes events until the cluster is in one of the states. Raises AssertionError when it never comes there."""
    while cluster.state not in states:
        assert world.next_event() is not None, f"{cluster.id} stays {cluster.state}"
        world.run_next()


def states(cluster: Cluster) -> list[str]:
    """Those of its steps."""
    return [step.state for step in cluster.steps]


def unlucky(
    wanted: Launch, phase: Phase, *mishaps: Mishap, machine: ScriptedMachine | None = None
) -> tuple[World, Cluster]:
    """A world with the cluster launched, to which this happens at the first beginning of the phase."""
    world = new_world(machine or ScriptedMachine(), mishaps=ScriptedMishaps({phase: mishaps}))
    return world, world.launch(wanted)
