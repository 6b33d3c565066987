"""Settings as a cluster: which nodes, how many, of what size, and what they cost by the hour.

The secret kept here: that `core.inst_type` and `core.replicas` are a group of nodes, that the primary node does none of
the job's work, and what a type costs when nobody gave its price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from servo_emr.optimizer.instances import InstanceType
from servo_emr.optimizer.prices import Prices, on_spot
from servo_emr.optimizer.search.terms import Value

__all__ = ["Cluster", "Group", "is_cluster_setting", "usual_usd_per_hour"]

INST_TYPE, REPLICAS, MARKET, PRIMARY = "inst_type", "replicas", "market", "primary"
_USD_PER_VCPU_HOUR, _USD_PER_GIB_HOUR = 0.045, 0.0042
"""List prices of general EC2 types with a quarter more for EMR, as they were in 2023 in us-east-1, to about a fifth.

Only ratios between types matter: the level is learned from what the runs cost."""
_SPOT = 0.5
"""What spot usually costs of the price on demand, the EMR fee included, which is the same."""
_UNKNOWN = InstanceType("unknown", 4, 16.0, "", 0)
"""A type of which nothing is known is taken for the middle of the road, and gets an effect of its own in the model."""


@dataclass(frozen=True)
class Group:
    """Nodes of one type; known: its size is."""

    name: str
    kind: InstanceType
    count: float
    known: bool
    spot: bool = False

    @property
    def priced_as(self) -> str:
        """The name of their price."""
        return on_spot(self.kind.name) if self.spot else self.kind.name

    def usual_usd_per_hour(self, given: Mapping[str, float]) -> float:
        """What one node costs as far as its price is given, and what it usually would where it is not."""
        on_demand = given.get(self.kind.name) or usual_usd_per_hour(self.kind)
        return given.get(self.priced_as) or on_demand * (_SPOT if self.spot else 1.0)


@dataclass(frozen=True)
class Cluster:
    """The groups of a configuration; `workers` are those that do the job's work."""

    groups: tuple[Group, ...]

    @classmethod
    def of(cls, settings: Mapping[str, Value], instances: Mapping[str, InstanceType]) -> Cluster:
        """The cluster of some settings; without groups when no setting names an instance type."""
        groups = []
        for selector, value in settings.items():
            component, _, name = selector.rpartition(".")
            if name != INST_TYPE or not isinstance(value, str):
                continue
            count = settings.get(f"{component}.{REPLICAS}", 1)
            try:
                kind, known = instances[value], True
            except KeyError:
                kind, known = InstanceType(value, _UNKNOWN.vcpus, _UNKNOWN.memory_gib, "", 0), False
            spot = settings.get(f"{component}.{MARKET}") == "spot"
            groups.append(Group(component, kind, float(count), known, spot))
        return cls(tuple(groups))

    @property
    def workers(self) -> tuple[Group, ...]:
        """All groups but the primary node's, or that one when it is alone."""
        found = tuple(group for group in self.groups if group.name != PRIMARY and group.count > 0)
        return found or self.groups

    @property
    def nodes(self) -> float:
        """How many workers."""
        return math.fsum(group.count for group in self.workers)

    @property
    def vcpus(self) -> float:
        """Of all workers."""
        return math.fsum(group.count * group.kind.vcpus for group in self.workers)

    @property
    def memory_gib(self) -> float:
        """Of all workers."""
        return math.fsum(group.count * group.kind.memory_gib for group in self.workers)

    def usd_per_hour(self, prices: Prices | None) -> float | None:
        """EC2 and EMR fee of all nodes, the primary one too; None when the price of one is not known."""
        if prices is None or not self.groups:
            return None
        if any(group.count and group.priced_as not in prices.usd_per_hour for group in self.groups):
            return None
        return math.fsum(group.count * prices.usd_per_hour[group.priced_as] for group in self.groups if group.count)

    def likely_usd_per_hour(self, prices: Prices | None) -> float:
        """By the prices as far as they go, and by the usual ratio where they do not; 1 for one without groups."""
        given = {} if prices is None else prices.usd_per_hour
        return math.fsum(group.count * group.usual_usd_per_hour(given) for group in self.groups) or 1.0

    @property
    def on_demand(self) -> Cluster:
        """The same nodes, bought on demand."""
        return Cluster(tuple(replace(group, spot=False) for group in self.groups))


def usual_usd_per_hour(kind: InstanceType) -> float:
    """What a type costs by the usual ratio, when nobody gave its price."""
    return kind.vcpus * _USD_PER_VCPU_HOUR + kind.memory_gib * _USD_PER_GIB_HOUR


def is_cluster_setting(selector: str, settings: Mapping[str, Value]) -> bool:
    """Whether a setting is a group's type, count or market, and so no dimension of its own to the model."""
    component, _, name = selector.rpartition(".")
    return name in (INST_TYPE, REPLICAS, MARKET) and isinstance(settings.get(f"{component}.{INST_TYPE}"), str)
