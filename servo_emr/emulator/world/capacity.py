"""All the instances of one cluster, by group or fleet: ordered with it, lost, replaced, ended with it.

How instances come and go is `pool`'s business, the state of a group or fleet `collection`'s. When the cluster's phases
begin is not decided here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from servo_emr.emulator.world.agenda import Agenda
from servo_emr.emulator.world.collection import Listener, Nodes
from servo_emr.emulator.world.mishaps import LoseInstances, NoCapacity
from servo_emr.emulator.world.pool import Pool
from servo_emr.emulator.world.records import Cluster, ErrorDetail, Fleet, Group, Instance, Reason
from servo_emr.emulator.world.stage import Course, Stage

__all__ = ["Capacity"]

_OUTBID = Reason(
    "INSTANCE_FAILURE", "Amazon EC2 terminated the Spot instance: the Spot price exceeded its maximum price"
)
_PRIMARY_LOST = "The master node was terminated. "  # AWS's words, and its space at the end


class Capacity:
    """That of one cluster."""

    def __init__(self, cluster: Cluster, stage: Stage, agenda: Agenda, course: Course) -> None:
        self._cluster = cluster
        self._stage = stage
        self._agenda = agenda
        self._course = course
        self._listener = Listener(self._provisioned, self._reclaim, self._time_out)
        self._preparation: float | None = None
        self._nodes: dict[str, Nodes] = {}
        records: list[Group | Fleet] = [*cluster.groups, *cluster.fleets]
        for record in records:
            self._collect(record)

    def _collect(self, record: Group | Fleet) -> Nodes:
        nodes = self._nodes[record.id] = Nodes(record, self._cluster, self._stage, self._agenda, self._listener)
        for pool in nodes.pools:
            pool.preparation = self._preparation
        return nodes

    def _pools(self, role: str | None = None, market: str | None = None) -> Iterator[Pool]:
        """None: whatever it is."""
        for nodes in self._nodes.values():
            for pool in nodes.pools:
                if role in {None, pool.role} and market in {None, pool.market}:
                    yield pool

    # -- with the cluster

    def launch(self, delay: float) -> None:
        """Orders everything; EC2 takes `delay` seconds longer than else."""
        for nodes in self._nodes.values():
            nodes.launch(delay)

    def lack(self, mishaps: Iterable[NoCapacity]) -> None:
        """From now on EC2 has no instances of these roles and markets."""
        for mishap in mishaps:
            for pool in self._pools(mishap.role, mishap.market):
                pool.lacking = True

    def bootstrap(self) -> None:
        for nodes in self._nodes.values():
            nodes.bootstrap()

    def install(self, seconds: float, bootstrapped: float) -> None:
        """What is there is ready within so many seconds; what comes later takes the time of bootstrapping besides."""
        self._preparation = bootstrapped + seconds
        for pool in self._pools():
            pool.prepare(seconds, self._preparation)

    def ready(self) -> None:
        for nodes in self._nodes.values():
            nodes.ready()

    def close(self, seconds: float) -> None:
        """The cluster is ending, and takes so many seconds."""
        for nodes in self._nodes.values():
            nodes.close(seconds)

    def end(self) -> None:
        """The cluster has ended."""
        for nodes in self._nodes.values():
            nodes.end()

    def _provisioned(self) -> None:
        if all(nodes.full for nodes in self._nodes.values()):
            self._course.provisioned()

    # -- at somebody's wish

    def add(self, record: Group | Fleet) -> None:
        """The record is among the cluster's already."""
        self._collect(record).resize()

    def resize_group(self, group: Group, count: int, doomed: Collection[str]) -> None:
        """`doomed`: EC2 ids of instances that go, whatever the count."""
        group.requested = count
        self._nodes[group.id].resize(doomed)

    def resize_fleet(self, fleet: Fleet, on_demand: int, spot: int) -> None:
        fleet.on_demand, fleet.spot = on_demand, spot
        self._nodes[fleet.id].resize()

    def reconfigure(self, group: Group) -> None:
        self._nodes[group.id].reconfigure()

    # -- losses

    def lose(self, mishap: LoseInstances) -> None:
        """The oldest of that role and market."""
        left = mishap.count
        for pool in self._pools(mishap.role, mishap.market):
            lost = pool.instances[:left]
            left -= len(lost)
            if lost:
                self._lose(pool, lost, mishap.reason, replaced=mishap.replaced)
        if mishap.interrupts:
            self._course.interrupt()

    def _reclaim(self, pool: Pool, instances: Collection[Instance]) -> None:
        self._lose(pool, instances, _OUTBID, replaced=True, outbid=True)

    def _lose(
        self, pool: Pool, lost: Collection[Instance], reason: Reason, *, replaced: bool, outbid: bool = False
    ) -> None:
        nodes = self._nodes[pool.collection_id]
        if pool.role == "MASTER":
            pool.lose(lost, reason, replaced=False)
            self._end_without_primary(next(iter(lost)), reason, outbid=outbid)
            return
        pool.lose(lost, reason, replaced=replaced)
        if reason.code == "BOOTSTRAP_FAILURE" and not replaced:
            nodes.suspend()
        else:
            nodes.changed()

    def _end_without_primary(self, primary: Instance, reason: Reason, *, outbid: bool) -> None:
        code = "INTERNAL_ERROR" if outbid or reason.code == "INTERNAL_ERROR" else "INSTANCE_FAILURE"
        detail = ErrorDetail(
            code="INTERNAL_ERROR_SPOT_PRICE_INCREASE_PRIMARY",
            message=f"The Spot price of {primary.instance_type} exceeded the maximum price of the primary instance.",
            data={"primary-instance-id": primary.ec2_id, "instance-type": primary.instance_type},
        )
        self._course.end(Reason(code, _PRIMARY_LOST), failed=True, details=(detail,) if outbid else (), interrupts=True)

    def _time_out(self, fleet: Fleet) -> None:
        message = f"The {fleet.request.role} instance fleet could not provision its Spot capacity in time"
        self._course.end(Reason("INSTANCE_FLEET_TIMEOUT", message), failed=True)
