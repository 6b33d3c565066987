"""The clusters of the emulated region: a discrete-event simulation on W.

Without I/O and without real time of its own: whoever drives it says how far W has come, by taking events in order
(`next_event`, `run_next`) and by moving `now` between them. Not thread-safe: its driver holds a lock. Requests are
assumed valid; `launch` and `operations` check them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from servo_emr.emulator.world.durations import Durations
from servo_emr.emulator.world.events import Event, EventQueue, Job
from servo_emr.emulator.world.ids import Ids
from servo_emr.emulator.world.lifecycle import Life
from servo_emr.emulator.world.mishaps import Mishaps, NoMishaps
from servo_emr.emulator.world.records import (
    Cluster,
    Fleet,
    FleetRequest,
    Group,
    GroupRequest,
    Launch,
    Step,
    StepRequest,
    Timeline,
)
from servo_emr.emulator.world.spot import CalmMarket, SpotMarket
from servo_emr.emulator.world.stage import Activity, Machine
from servo_emr.emulator.world.timing import Provisioning

__all__ = ["KEPT_AFTER_END", "Unplanned", "World"]

# Seconds of W that a cluster can still be asked about after its end: AWS keeps its metadata for two months.
KEPT_AFTER_END = 60 * 86_400.0


@dataclass
class _Planned:
    """A job whose end on W is known; its event waits for the job."""

    job: Job
    event: Event

    def drop(self) -> None:
        self.event.cancel()

    def release(self) -> None:
        self.event.gate = None


@dataclass(eq=False)
class Unplanned:
    """A job whose end on W is where it really ends."""

    job: Job
    ended: Callable[[], None]
    dropped: bool = False

    def drop(self) -> None:
        self.dropped = True

    def release(self) -> None:
        """Nothing to do: W does not wait for it anyway."""


class World:
    """Clusters by id, in the order of their creation."""

    def __init__(
        self,
        *,
        now: float,
        ids: Ids,
        machine: Machine,
        durations: Durations,
        times: Provisioning | None = None,
        mishaps: Mishaps | None = None,
        spot: SpotMarket | None = None,
    ) -> None:
        """By default nothing goes wrong, and every bid on the spot market is met."""
        self.ids = ids
        self.machine = machine
        self.durations = durations
        self.times = times or Provisioning()
        self.mishaps = mishaps or NoMishaps()
        self.spot = spot or CalmMarket()
        self._now = now
        self._queue = EventQueue()
        self._lives: dict[str, Life] = {}
        self._ended: deque[tuple[float, str]] = deque()
        self._unplanned: list[Unplanned] = []

    # -- time

    @property
    def now(self) -> float:
        return self._now

    @now.setter
    def now(self, value: float) -> None:
        event = self._queue.peek()
        if event is not None and event.at < value:
            raise ValueError(f"W cannot pass an event at {event.at} on its way to {value}")
        self._come_to(value)

    def next_event(self) -> Event | None:
        return self._queue.peek()

    def run_next(self) -> None:
        """Takes the next event. Raises ValueError when it is held by a job that still runs."""
        event = self._queue.peek()
        if event is not None and event.held:
            raise ValueError("the next event waits for a process")
        event = self._queue.pop()
        self._come_to(event.at)
        event.happen()

    def _come_to(self, at: float) -> None:
        self._now = max(self._now, at)
        while self._ended and self._ended[0][0] + KEPT_AFTER_END < self._now:
            del self._lives[self._ended.popleft()[1]]

    @property
    def unplanned(self) -> Sequence[Unplanned]:
        """The jobs under way whose end is not known."""
        self._unplanned = [activity for activity in self._unplanned if not activity.dropped]
        return tuple(self._unplanned)

    def end(self, activity: Unplanned, at: float) -> None:
        """The job has really ended, when W was `at`."""
        activity.drop()
        self._queue.schedule(max(self._now, at), activity.ended)

    # -- the stage of each cluster's life

    def schedule(self, at: float, action: Callable[[], None]) -> Event:
        return self._queue.schedule(at, action)

    def perform(self, job: Job, seconds: float | None, ended: Callable[[], None]) -> Activity:
        if seconds is None:
            unplanned = Unplanned(job, ended)
            self._unplanned.append(unplanned)
            return unplanned
        return _Planned(job, self._queue.schedule(self._now + seconds, ended, gate=job))

    def ended(self, cluster: Cluster) -> None:
        self._ended.append((self._now, cluster.id))

    # -- what clients ask for

    @property
    def clusters(self) -> Sequence[Cluster]:
        """Oldest first."""
        return tuple(life.cluster for life in self._lives.values())

    def cluster(self, cluster_id: str) -> Cluster | None:
        life = self._lives.get(cluster_id)
        return life.cluster if life else None

    def launch(self, launch: Launch) -> Cluster:
        cluster = Cluster(
            id=self.ids.cluster(),
            launch=launch,
            timeline=Timeline(self._now),
            groups=[self._group(request) for request in launch.groups],
            fleets=[self._fleet(request) for request in launch.fleets],
            protected=launch.protected,
            keep_alive=launch.keep_alive,
            concurrency=launch.concurrency,
            visible=bool(launch.attributes.get("VisibleToAllUsers", True)),
            idle_timeout=launch.idle_timeout,
            tags=dict(launch.tags),
        )
        life = Life(cluster, self)
        self._lives[cluster.id] = life
        self.add_steps(cluster, launch.steps)
        life.begin()
        return cluster

    def terminate(self, cluster: Cluster) -> None:
        """Does nothing to a cluster that is ending already."""
        self._lives[cluster.id].terminate()

    def set_idle_timeout(self, cluster: Cluster, seconds: int | None) -> None:
        """None: no policy any more."""
        self._lives[cluster.id].idleness.set_timeout(seconds)

    def set_keep_alive(self, cluster: Cluster, keep_alive: bool) -> None:
        """A waiting cluster that is not to be kept ends."""
        self._lives[cluster.id].set_keep_alive(keep_alive)

    # -- its steps

    def add_steps(self, cluster: Cluster, requests: Sequence[StepRequest]) -> Sequence[Step]:
        steps = [
            Step(self.ids.step(), request, Timeline(self._now), ordinal)
            for ordinal, request in enumerate(requests, start=len(cluster.steps))
        ]
        self._lives[cluster.id].steps.add(steps)
        return steps

    def cancel_step(self, cluster: Cluster, step: Step, *, force: bool = True) -> None:
        """`force`: its process is killed, else asked to end, which takes a little longer."""
        self._lives[cluster.id].steps.cancel(step, force=force)

    def set_concurrency(self, cluster: Cluster, steps: int) -> None:
        """How many may run at once. Those that run go on."""
        cluster.concurrency = steps
        self._lives[cluster.id].steps.proceed()

    # -- its groups and fleets

    def add_group(self, cluster: Cluster, request: GroupRequest) -> Group:
        group = self._group(request)
        cluster.groups.append(group)
        self._lives[cluster.id].capacity.add(group)
        return group

    def add_fleet(self, cluster: Cluster, request: FleetRequest) -> Fleet:
        fleet = self._fleet(request)
        cluster.fleets.append(fleet)
        self._lives[cluster.id].capacity.add(fleet)
        return fleet

    def resize_group(self, cluster: Cluster, group: Group, count: int, doomed: Sequence[str] = ()) -> None:
        """Instances with the EC2 ids `doomed` go; then the newest, or new ones come, until there are `count`."""
        self._lives[cluster.id].capacity.resize_group(group, count, doomed)

    def resize_fleet(self, cluster: Cluster, fleet: Fleet, on_demand: int, spot: int) -> None:
        """Targets in units of the types' weights."""
        self._lives[cluster.id].capacity.resize_fleet(fleet, on_demand, spot)

    def reconfigure_group(self, cluster: Cluster, group: Group) -> None:
        """The group is RECONFIGURING for a while."""
        self._lives[cluster.id].capacity.reconfigure(group)

    def _group(self, request: GroupRequest) -> Group:
        return Group(self.ids.group(), request, Timeline(self._now), request.count)

    def _fleet(self, request: FleetRequest) -> Fleet:
        return Fleet(self.ids.fleet(), request, Timeline(self._now), request.on_demand, request.spot)
