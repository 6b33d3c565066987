"""The instances of one market in one group or fleet: ordered from EC2, made, joined, draining, gone.

A pool has as many units as it wants, or is on its way there. What that makes of its group or fleet, and what a loss
means for the cluster, is not decided here.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Collection, Sequence

from servo_emr.emulator.world.agenda import Agenda
from servo_emr.emulator.world.bids import Bids, Choice
from servo_emr.emulator.world.events import Event
from servo_emr.emulator.world.records import Cluster, Instance, Reason, Timeline
from servo_emr.emulator.world.stage import Stage

__all__ = ["CLUSTER_TERMINATED", "Pool"]

CLUSTER_TERMINATED = Reason("CLUSTER_TERMINATED", "Job flow terminated")
_REMOVED = Reason(message="Instance was removed by a resize")


class _Progress(enum.IntEnum):
    ORDERED = 0  # not made yet by EC2; it has a row from the moment EC2 has promised it
    UP = 1  # made, not yet part of the cluster
    JOINED = 2
    DRAINING = 3
    GONE = 4


class _Node:
    """One instance from its order on."""

    __slots__ = ("choice", "instance", "progress")

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.instance: Instance | None = None
        self.progress = _Progress.ORDERED


class Pool:
    """As many instances are ordered as it takes to have the wanted units, which may be more than those.

    `changed` is called when instances have been made, have joined or have been drained; `reclaimed` when the spot
    price passes the bid of instances, which are then to be lost.
    """

    def __init__(
        self,
        collection_id: str,
        role: str,
        market: str,
        choices: Sequence[Choice],
        *,
        cluster: Cluster,
        stage: Stage,
        agenda: Agenda,
        changed: Callable[[], None],
        reclaimed: Callable[[Pool, Collection[Instance]], None],
    ) -> None:
        self.collection_id = collection_id
        self.role = role
        self.market = market
        self.wanted = 0
        self.provisioned = 0  # units of those that EC2 has made
        self.lacking = False  # EC2 has no more of them
        self.delay = 0.0  # seconds that EC2 takes longer to make them
        self.preparation: float | None = None  # seconds from made to joined; None: `prepare` will say
        self._bids = Bids(market, choices, cluster.launch, stage)
        self._cluster = cluster
        self._stage = stage
        self._agenda = agenda
        self._changed = changed
        self._reclaimed = reclaimed
        self._nodes: dict[_Node, None] = {}  # oldest first
        self._counts = [0] * len(_Progress)
        self._units = 0  # of all that is not draining
        self._ordered = 0
        self._reclaims: dict[str, Event] = {}
        self._retry: Event | None = None

    @property
    def full(self) -> bool:
        """EC2 has made all that is wanted."""
        return self._units >= self.wanted and not self._counts[_Progress.ORDERED]

    @property
    def promised(self) -> bool:
        """EC2 has promised all that is wanted: there is a row for each instance."""
        return self.wanted <= sum(node.choice.weight for node in self._nodes if node.instance is not None)

    @property
    def settled(self) -> bool:
        """All that is wanted has joined, and nothing is draining."""
        return self.full and not self._counts[_Progress.UP] and not self._counts[_Progress.DRAINING]

    @property
    def instances(self) -> list[Instance]:
        """Those with a row that are not gone."""
        return [node.instance for node in self._nodes if node.instance is not None]

    # -- towards what is wanted

    def want(self, units: int, doomed: Collection[str] = ()) -> None:
        """Orders what is missing, or removes what is too much: the `doomed`, by EC2 id, then the newest."""
        self.wanted = units
        for node in list(self._nodes):
            if node.instance is not None and node.instance.ec2_id in doomed:
                self._remove(node)
        newest_first = list(reversed(self._nodes))
        newest_first.sort(key=lambda node: node.progress)  # stable: those that have not come so far go first
        for node in newest_first:
            if node.progress is not _Progress.DRAINING and self._units - node.choice.weight >= units:
                self._remove(node)
        self.fill()

    def fill(self) -> None:
        """Orders what is missing: now, or when a bid is met."""
        missing = self.wanted - self._units
        if self.lacking or missing <= 0:
            return
        choice, at = self._bids.choose()
        if at > self._stage.now:
            if self._retry is not None:
                self._retry.cancel()
            self._retry = self._agenda.later(at - self._stage.now, self.fill)
        else:
            self._order(choice, math.ceil(missing / choice.weight))

    def give_up(self) -> int:
        """Wants no more than EC2 has promised. Returns how many units that leaves out."""
        for node in list(self._nodes):
            if node.instance is None:
                self._go(node)
        missing = max(0, self.wanted - self._units)
        self.wanted -= missing
        return missing

    def lose(self, instances: Collection[Instance], reason: Reason, *, replaced: bool) -> None:
        """They are gone at once."""
        lost = {instance.id for instance in instances}
        for node in list(self._nodes):
            if node.instance is not None and node.instance.id in lost:
                if not replaced and node.progress is not _Progress.DRAINING:
                    self.wanted -= node.choice.weight
                self._go(node, reason)
        self.fill()

    # -- with the cluster

    def start(self) -> None:
        """The cluster begins to prepare what EC2 has made."""
        for node in self._nodes:
            self._start(node)

    def prepare(self, seconds: float, preparation: float) -> None:
        """Those that are up join in `seconds`, a little earlier each; later ones `preparation` seconds after that."""
        self.preparation = preparation
        for node in self._nodes:
            if node.instance is not None and node.progress is _Progress.UP:
                lead = self._stage.ids.uniform(f"lead/{node.instance.id}", *self._stage.times.instance_leads_ready)
                self._join_later(max(0.0, seconds - lead), node)

    def close(self, seconds: float) -> None:
        """The cluster ends within so many seconds: no new ones, and those there go one by one."""
        self.wanted = 0
        for node in list(self._nodes):
            if node.instance is None:
                self._go(node)
            else:
                share = self._stage.ids.uniform(f"gone/{node.instance.id}", 0.5, 0.95)
                self._agenda.later(seconds * share, lambda node=node: self._go(node, CLUSTER_TERMINATED))  # type: ignore[misc]

    # -- one instance

    def _order(self, choice: Choice, count: int) -> None:
        # All that is ordered with the launch takes one time; what is ordered later, another each time.
        suffix = "" if self._cluster.state == "STARTING" else f"/{self.collection_id}/{self._ordered}"
        appear = self._agenda.spread(f"appear{suffix}", self._stage.times.instances_appear)
        up = self._agenda.spread(f"provision{suffix}", self._stage.times.instances_up) + self.delay
        batch = [_Node(choice) for _ in range(count)]
        for index, node in enumerate(batch, start=self._ordered):
            self._nodes[node] = None
            skew = self._stage.ids.uniform(f"appear/{self.collection_id}/{index}", 0.0, 2.0)
            self._agenda.later(appear + skew, lambda node=node: self._appear(node))  # type: ignore[misc]
        self._ordered += count
        self._counts[_Progress.ORDERED] += count
        self._units += count * choice.weight
        self._agenda.later(up, lambda: self._up(batch))

    def _appear(self, node: _Node) -> None:
        if node.progress is not _Progress.ORDERED:
            return
        choice, ids = node.choice, self._stage.ids
        if self._bids.met_at(choice) > self._stage.now:
            self._go(node)
            self.fill()
            return
        self._watch_price(choice)
        node.instance = Instance(
            id=ids.instance(),
            ec2_id=ids.ec2_instance(),
            collection_id=self.collection_id,
            role=self.role,
            instance_type=choice.instance_type,
            market=self.market,
            private_ip=ids.private_ip(),
            timeline=Timeline(self._stage.now),
            volume_ids=tuple(ids.volume() for _ in range(1 + len(choice.volumes))),
        )
        self._cluster.instances.append(node.instance)
        if self.role == "MASTER":
            self._cluster.primary = node.instance

    def _up(self, batch: Sequence[_Node]) -> None:
        for node in batch:
            if node.progress is _Progress.ORDERED:
                self._move(node, _Progress.UP)
                self.provisioned += node.choice.weight
                if self._cluster.state != "STARTING":
                    self._start(node)
                    if self.preparation is not None:
                        self._join_later(self.preparation, node)
        self._changed()

    def _start(self, node: _Node) -> None:
        if node.instance is not None and node.progress is _Progress.UP:
            node.instance.state = "BOOTSTRAPPING"

    def _join_later(self, seconds: float, node: _Node) -> None:
        self._agenda.later(seconds, lambda: self._join(node))

    def _join(self, node: _Node) -> None:
        if node.instance is not None and node.progress is _Progress.UP:
            self._move(node, _Progress.JOINED)
            node.instance.state = "RUNNING"
            node.instance.timeline.began = self._stage.now
            self._changed()

    def _remove(self, node: _Node) -> None:
        """One that has joined is drained first."""
        if node.progress is _Progress.JOINED:
            self._units -= node.choice.weight
            self._move(node, _Progress.DRAINING)
            self._agenda.later(self._stage.times.draining, lambda: self._drained(node))
        elif node.progress is not _Progress.DRAINING:
            self._go(node, _REMOVED)

    def _drained(self, node: _Node) -> None:
        self._go(node, _REMOVED)
        self._changed()

    def _go(self, node: _Node, reason: Reason = _REMOVED) -> None:
        """It is not there any more; its row, if it has one, ends for that reason."""
        if node.progress is _Progress.GONE:
            return
        if node.progress is not _Progress.DRAINING:
            self._units -= node.choice.weight
        if node.progress is not _Progress.ORDERED:
            self.provisioned -= node.choice.weight
        self._move(node, _Progress.GONE)
        del self._nodes[node]
        if node.instance is not None:
            node.instance.state = "TERMINATED"
            node.instance.reason = reason
            node.instance.timeline.ended = self._stage.now

    def _move(self, node: _Node, progress: _Progress) -> None:
        self._counts[node.progress] -= 1
        self._counts[progress] += 1
        node.progress = progress

    # -- the spot market

    def _watch_price(self, choice: Choice) -> None:
        """One event for all instances of the type: they are reclaimed together."""
        known = self._reclaims.get(choice.instance_type)
        if known is None or known.over:
            left = self._bids.exceeded_at(choice) - self._stage.now
            self._reclaims[choice.instance_type] = self._agenda.later(left, lambda: self._reclaim(choice))

    def _reclaim(self, choice: Choice) -> None:
        instances = [instance for instance in self.instances if instance.instance_type == choice.instance_type]
        if instances:
            self._reclaimed(self, instances)
