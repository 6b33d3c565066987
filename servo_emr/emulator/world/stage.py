"""The ports of the world: what a cluster's life needs of the world around it, and what the world needs of reality.

Promises only. Nothing here knows documents, HTTP or real time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from servo_emr.emulator.world.durations import Durations
from servo_emr.emulator.world.events import Event, Job
from servo_emr.emulator.world.ids import Ids
from servo_emr.emulator.world.mishaps import Mishaps
from servo_emr.emulator.world.records import Cluster, ErrorDetail, Instance, Reason, Step
from servo_emr.emulator.world.spot import SpotMarket
from servo_emr.emulator.world.timing import Provisioning

__all__ = ["Activity", "Course", "Machine", "Stage"]


class Machine(Protocol):
    """Where bootstrap actions and steps really run. Nothing but `boot` raises: a job that cannot start has failed.

    Several steps of one cluster may run at once. `keep` is the share of each log object's bytes that is put; 0: the
    logs are thrown away. All logs have been published, or thrown away, when `shut_down` is called.
    """

    def boot(self, cluster: Cluster) -> None:
        """Makes the cluster's node. Raises OSError."""

    def bootstrap(self, cluster: Cluster, index: int) -> Job: ...

    def step(self, cluster: Cluster, step: Step) -> Job: ...

    def outcome(self, job: Job) -> str:
        """How an ended job ended, in words."""

    def log_file(self, cluster: Cluster, step: Step) -> str | None:
        """The URI that the step's standard error will have; None without a log URI."""

    def publish_step(self, cluster: Cluster, step: Step, keep: float = 1.0) -> None:
        """Puts the logs of an ended step where its cluster's log URI says."""

    def publish_bootstrap(self, cluster: Cluster, index: int, instance: Instance, keep: float = 1.0) -> None: ...

    def shut_down(self, cluster: Cluster) -> None:
        """Ends the node and everything on it. May be repeated."""


class Activity(Protocol):
    """A job under way in the world."""

    @property
    def job(self) -> Job: ...

    def drop(self) -> None:
        """Its end will not be heard of."""

    def release(self) -> None:
        """W no longer waits for the job: a planned end comes at its time even if the job still runs then."""


class Stage(Protocol):
    """What a life needs of the world around it."""

    ids: Ids
    times: Provisioning
    durations: Durations
    machine: Machine
    mishaps: Mishaps
    spot: SpotMarket

    @property
    def now(self) -> float: ...

    def schedule(self, at: float, action: Callable[[], None]) -> Event: ...

    def perform(self, job: Job, seconds: float | None, ended: Callable[[], None]) -> Activity:
        """`ended` is called after `seconds` on W, or when the job really ends if that is None."""

    def ended(self, cluster: Cluster) -> None:
        """The cluster has come to its final state, now."""


class Course(Protocol):
    """What the parts of one life ask of the whole: of its capacity, its steps and its idleness."""

    def provisioned(self) -> None:
        """Every instance that the launch asked for is there."""

    def steps_moved(self) -> None:
        """A step has been added, has started or is over; those that may start have."""

    def interrupt(self) -> None:
        """What runs on the cluster is lost."""

    def end(
        self,
        reason: Reason,
        *,
        failed: bool = False,
        details: tuple[ErrorDetail, ...] = (),
        interrupts: bool = False,
        avoidable: bool = False,
    ) -> bool:
        """The cluster ends, unless it is ending already; False: it does not.

        `interrupts`: running steps are INTERRUPTED, not CANCELLED. `avoidable`: somebody wishes it, which can fail.
        """
