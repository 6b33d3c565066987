"""The clusters of the emulated region: a discrete-event simulation on W.

Without I/O and without real time of its own: whoever drives it says how far W has come, by taking events in order
(`next_event`, `run_next`) and by moving `now` between them. Not thread-safe: its driver holds a lock. Requests are
assumed valid; `launch` and `operations` check them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from servo_emr.emulator.durations import Durations
from servo_emr.emulator.events import Event, EventQueue, Job
from servo_emr.emulator.ids import Ids
from servo_emr.emulator.lifecycle import Life
from servo_emr.emulator.records import Cluster, Group, Launch, Step, StepRequest, Timeline
from servo_emr.emulator.stage import Activity, Machine
from servo_emr.emulator.timing import Provisioning

__all__ = ["Unplanned", "World"]


@dataclass
class _Planned:
    """A job whose end on W is known; its event waits for the job."""

    job: Job
    event: Event

    def drop(self) -> None:
        self.event.cancelled = True

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
        self, *, now: float, ids: Ids, machine: Machine, durations: Durations, times: Provisioning | None = None
    ) -> None:
        self.ids = ids
        self.machine = machine
        self.durations = durations
        self.times = times or Provisioning()
        self._now = now
        self._queue = EventQueue()
        self._lives: dict[str, Life] = {}
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
        self._now = max(self._now, value)

    def next_event(self) -> Event | None:
        return self._queue.peek()

    def run_next(self) -> None:
        """Takes the next event. Raises ValueError when it is held by a job that still runs."""
        event = self._queue.peek()
        if event is not None and event.held:
            raise ValueError("the next event waits for a process")
        event = self._queue.pop()
        self._now = max(self._now, event.at)
        event.cancelled = True  # so that nobody acts on an event that has happened
        event.action()

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
            groups=[Group(self.ids.group(), group, Timeline(self._now), group.count) for group in launch.groups],
            fleets=[],
            protected=launch.protected,
            keep_alive=launch.keep_alive,
            concurrency=launch.concurrency,
            visible=bool(launch.attributes.get("VisibleToAllUsers", True)),
            idle_timeout=launch.idle_timeout,
            tags=dict(launch.tags),
        )
        life = Life(cluster, self)
        self._lives[cluster.id] = life
        life.add_steps(self._steps(cluster, launch.steps))
        life.begin()
        return cluster

    def add_steps(self, cluster: Cluster, requests: Sequence[StepRequest]) -> Sequence[Step]:
        steps = self._steps(cluster, requests)
        self._lives[cluster.id].add_steps(steps)
        return steps

    def cancel_step(self, cluster: Cluster, step: Step) -> None:
        self._lives[cluster.id].cancel(step)

    def terminate(self, cluster: Cluster) -> None:
        self._lives[cluster.id].terminate()

    def set_idle_timeout(self, cluster: Cluster, seconds: int) -> None:
        self._lives[cluster.id].set_idle_timeout(seconds)

    def _steps(self, cluster: Cluster, requests: Sequence[StepRequest]) -> list[Step]:
        return [
            Step(self.ids.step(), request, Timeline(self._now), ordinal)
            for ordinal, request in enumerate(requests, start=len(cluster.steps))
        ]
