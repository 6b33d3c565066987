"""The range of clusters that servo.yaml allows: every type, the largest and the smallest of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from servo_emr.domain.bounds import text_of
from servo_emr.domain.settings import INST_TYPE, REPLICAS, EnumBound, RangeBound, Space
from servo_emr.domain.spec import Market, NodeGroup, Role, RunSpec

__all__ = ["Group", "groups", "most_nodes", "needed_vcpus", "on_one"]


@dataclass(frozen=True)
class Group:
    """What the nodes of one role may be: `types` may be tried, at most `most` nodes, `start` of `start_type` first."""

    role: Role
    types: tuple[str, ...]
    start_type: str
    most: int
    start: int
    market: Market


def groups(space: Space, spec: RunSpec) -> tuple[Group, ...]:
    """The roles of a configuration; `spec` holds its configured values. A pinned setting stays at its value."""
    found = []
    for group in spec.groups:
        types: tuple[str, ...] = (group.inst_type,)
        most = group.count
        for setting in space.settings:
            if setting.component != group.role or setting.pinned:
                continue
            if setting.name == INST_TYPE and isinstance(setting.bound, EnumBound):
                types = tuple(map(text_of, setting.bound.values))
            elif setting.name == REPLICAS and isinstance(setting.bound, RangeBound):
                most = int(setting.bound.high)
        others = () if group.fleet is None else group.fleet.alternatives
        types = tuple(dict.fromkeys((*types, *others)))
        found.append(Group(group.role, types, group.inst_type, most, group.count, group.market))
    return tuple(found)


def most_nodes(allowed: tuple[Group, ...], limit: int | None) -> int:
    """Nodes of the largest cluster that the settings and `emr.limits.nodes` allow."""
    most = sum(group.most for group in allowed)
    return most if limit is None else min(most, limit)


def needed_vcpus(
    allowed: tuple[Group, ...], vcpus: Mapping[str, int], family: frozenset[str], market: Market, largest: bool
) -> int:
    """vCPUs of the types of one family, bought one way, in the largest cluster or in the one to start with."""
    total = 0
    for group in allowed:
        types = group.types if largest else (group.start_type,)
        sizes = [vcpus.get(name, 0) for name in types if name in family]
        if group.market is market and sizes:
            total += max(sizes) * (group.most if largest else group.start)
    return total


def on_one(spec: RunSpec, inst_type: str) -> RunSpec:
    """A run on one node of that type, bought like any of the groups that may have it: what is asked about a type."""
    markets = {group.market for group in spec.groups}
    market = Market.SPOT if Market.SPOT in markets else Market.ON_DEMAND
    # With volumes of its own, a type's default ones need not be known.
    disks = next((group.disks for group in reversed(spec.groups) if group.disks is not None), None)
    return replace(spec, groups=(NodeGroup(Role.PRIMARY, inst_type, 1, market, disks=disks),))
