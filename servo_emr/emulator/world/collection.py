"""One instance group or fleet: its targets, its pools of instances, and the state that follows from them.

The phases of the cluster, and what a lost instance means for it, are not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from servo_emr.emulator.world.agenda import Agenda
from servo_emr.emulator.world.bids import Choice, choice_of_fleet, choice_of_group
from servo_emr.emulator.world.pool import CLUSTER_TERMINATED, Pool
from servo_emr.emulator.world.records import Cluster, Fleet, Group, Instance, Reason
from servo_emr.emulator.world.stage import Stage

__all__ = ["Listener", "Nodes"]

_GIVEN_UP = Reason("INSTANCE_FAILURE", "Too many instances failed to start. A resize tries again.")


@dataclass(frozen=True)
class Listener:
    """Who is told of what happens to a group or fleet.

    `provisioned`: EC2 has made instances of it, the cluster being STARTING. `reclaimed`: the spot price has passed the
    bid of these instances. `timed_out`: a fleet that cannot do without spot instances has waited too long for them.
    """

    provisioned: Callable[[], None]
    reclaimed: Callable[[Pool, Collection[Instance]], None]
    timed_out: Callable[[Fleet], None]


class Nodes:
    """The instances of one group, in one pool, or of one fleet, in a pool for each market."""

    def __init__(self, record: Group | Fleet, cluster: Cluster, stage: Stage, agenda: Agenda, to: Listener) -> None:
        self.record = record
        self._cluster = cluster
        self._stage = stage
        self._agenda = agenda
        self._to = to
        if isinstance(record, Group):
            self.pools = [self._pool(record.request.market, [choice_of_group(record.request)])]
        else:
            region = cluster.launch.region
            choices = [choice_of_fleet(type_, region, stage.spot) for type_ in record.request.types]
            self.pools = [self._pool(market, choices) for market in ("ON_DEMAND", "SPOT")]

    def _pool(self, market: str, choices: Sequence[Choice]) -> Pool:
        return Pool(
            self.record.id,
            self.record.request.role,
            market,
            choices,
            cluster=self._cluster,
            stage=self._stage,
            agenda=self._agenda,
            changed=self.changed,
            reclaimed=self._to.reclaimed,
        )

    @property
    def full(self) -> bool:
        """EC2 has made all that is wanted."""
        return all(pool.full for pool in self.pools)

    # -- with the cluster

    def launch(self, delay: float) -> None:
        """Orders everything; EC2 takes `delay` seconds longer than else."""
        for pool in self.pools:
            pool.delay = delay
        self.order()
        record = self.record
        if isinstance(record, Fleet) and record.request.spot_timeout is not None:
            self._agenda.later(record.request.spot_timeout, lambda: self._time_out(record))

    def bootstrap(self) -> None:
        """What is there is being prepared."""
        self.record.state = "BOOTSTRAPPING"
        for pool in self.pools:
            pool.delay = 0.0
            pool.start()

    def ready(self) -> None:
        """The cluster is."""
        self.record.timeline.began = self._stage.now
        self._settle()

    def close(self, seconds: float) -> None:
        """The cluster is ending, and takes so many seconds."""
        self.record.state = "TERMINATING"
        for pool in self.pools:
            pool.close(seconds)

    def end(self) -> None:
        """The cluster has ended."""
        self.record.state = "TERMINATED"
        self.record.reason = CLUSTER_TERMINATED
        self.record.timeline.ended = self._stage.now
        self._count()

    # -- its targets

    def order(self, doomed: Collection[str] = ()) -> None:
        """As many as the record says now; the `doomed`, by EC2 id, go whatever it says."""
        record = self.record
        targets = [record.requested] if isinstance(record, Group) else [record.on_demand, record.spot]
        for pool, units in zip(self.pools, targets, strict=True):
            pool.want(units, doomed)

    def resize(self, doomed: Collection[str] = ()) -> None:
        """The record's targets have changed."""
        if self.record.state == "SUSPENDED":
            self.record.reason = Reason()
            self.record.state = "RESIZING"
        self.order(doomed)
        self.changed()

    def reconfigure(self) -> None:
        self.record.state = "RECONFIGURING"
        self._agenda.later(self._stage.times.reconfiguring, self._reconfigured)

    def suspend(self) -> None:
        """It has lost too many to go on trying; what it has works on, until a resize."""
        self.record.state = "SUSPENDED"
        self.record.reason = _GIVEN_UP
        self.changed()

    def _time_out(self, fleet: Fleet) -> None:
        """As AWS documents it, the timeout is for the launch, and for spot instances, only."""
        on_demand, spot = self.pools
        if self._cluster.state != "STARTING" or spot.promised:
            return
        if fleet.request.spot_action == "SWITCH_TO_ON_DEMAND":
            on_demand.want(on_demand.wanted + spot.give_up())
        else:
            self._to.timed_out(fleet)

    # -- its state

    def changed(self) -> None:
        """Its instances have."""
        self._count()
        if self._cluster.state == "STARTING":
            self._to.provisioned()
        elif self._cluster.alive and self._cluster.timeline.began is not None:
            self._settle()

    def _reconfigured(self) -> None:
        self.record.state = "RUNNING"
        self._settle()

    def _settle(self) -> None:
        if self.record.state in {"SUSPENDED", "RECONFIGURING"}:
            return
        settled = all(pool.settled for pool in self.pools)
        timeline = self.record.timeline
        if timeline.began is None and settled:
            timeline.began = self._stage.now
        if timeline.began is not None:
            self.record.state = "RUNNING" if settled else "RESIZING"
        elif any(pool.provisioned for pool in self.pools):
            self.record.state = "BOOTSTRAPPING"

    def _count(self) -> None:
        if isinstance(self.record, Fleet):
            self.record.provisioned_on_demand, self.record.provisioned_spot = (pool.provisioned for pool in self.pools)
