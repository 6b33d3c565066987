"""Where a setting's value goes in a RunSpec: a property of a classification, a notebook's parameter, a field of the
cluster or of a role's nodes. Each target checks a value and puts it in its place.

    configurations.spark-defaults[spark.executor.memory]     cluster.core.configurations.yarn-site[...]
    job.parameters.batch_size     cluster.release_label     cluster.core.market     cluster.core.ebs[0].size
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from servo_emr.domain.bounds import Value, text_of
from servo_emr.domain.cluster import Configuration, Disk, Market, NodeGroup, Role, check_classification
from servo_emr.domain.spec import RunSpec, canonical

__all__ = ["ClusterField", "NodeField", "Parameter", "Property", "Referred", "Target", "parse_target"]

KINDS = ("gp2", "gp3", "io1", "st1", "sc1", "standard")
"""Kinds of EBS volume that EMR takes."""

_PROPERTY = re.compile(r"(?:cluster\.(primary|core|task)\.)?configurations\.([\w.-]+)\[([^\[\]]+)\]")
_PARAMETER = re.compile(r"job\.parameters\.([A-Za-z_]\w*)")
_NODE = re.compile(r"cluster\.(primary|core|task)\.(?:ebs\[(\d+)\]\.)?([a-z_.]+)")
_BRACKETS = r"\[[^\]]*\]"
_CLUSTER = {
    "release_label": ("release_label", r"emr-\d+\.\d+\.\d+"),
    "ami_id": ("ami_id", r"ami-[0-9a-f]{8,17}"),
    "os_release_label": ("os_release_label", r"[\w.-]+"),
}
_ROOT = {"root_volume.size": ("gib", 10, 2048), "root_volume.iops": ("iops", 3000, 16000),
         "root_volume.throughput": ("throughput", 125, 1000)}  # fmt: skip
_GP3, _GP3_SINCE = ("root_volume.iops", "root_volume.throughput"), (6, 15, 0)
_EBS = {"type": None, "size": (1, 1024), "iops": (100, 64000), "throughput": (125, 1000)}
_NODES = ("market", "bid_price", "fleet.on_demand")
FORMS = (
    "configurations.CLASSIFICATION[PROPERTY]",
    "cluster.ROLE.configurations.CLASSIFICATION[PROPERTY]",
    "job.parameters.NAME",
    *(f"cluster.{name}" for name in (*_CLUSTER, *_ROOT)),
    *(f"cluster.ROLE.{name}" for name in _NODES),
    *(f"cluster.ROLE.ebs[N].{name}" for name in _EBS),
)
"""What a target may look like; ROLE is primary, core or task."""


@dataclass(frozen=True)
class Property:
    """A property of a classification; `classifications` lead to it from the outermost."""

    role: Role | None
    classifications: tuple[str, ...]
    name: str

    def check(self, value: Value, spec: RunSpec) -> None:
        """Any value is written as text: what Spark takes, Spark knows. Raises ValueError for a misspelled
        classification."""
        for name in self.classifications:
            check_classification(name)

    def put(self, spec: RunSpec, value: Value, text: str) -> RunSpec:
        """The spec with the property set to `text`."""
        if self.role is None:
            configured = _set(spec.cluster.configurations, self.classifications, self.name, text)
            return replace(spec, cluster=replace(spec.cluster, configurations=configured))
        group = _group(spec, self.role)
        configured = _set(group.configurations, self.classifications, self.name, text)
        return _with_group(spec, replace(group, configurations=configured))


def _set(
    configured: tuple[Configuration, ...], classifications: tuple[str, ...], name: str, text: str
) -> tuple[Configuration, ...]:
    first, *rest = classifications
    found = next((one for one in configured if one.classification == first), Configuration(first))
    if rest:
        changed = replace(found, configurations=_set(found.configurations, tuple(rest), name, text))
    else:
        changed = replace(found, properties=tuple(sorted({**dict(found.properties), name: text}.items())))
    if any(one.classification == first for one in configured):
        return tuple(changed if one.classification == first else one for one in configured)
    return (*configured, changed)


@dataclass(frozen=True)
class Parameter:
    """A parameter of the notebook. It takes the value's own type, or its text where that has a form of its own."""

    name: str

    def check(self, value: Value, spec: RunSpec) -> None:
        """Whether the notebook has the parameter is seen when it is read."""

    def put(self, spec: RunSpec, value: Value, text: str) -> RunSpec:
        """The spec with the parameter set."""
        values: dict[str, Any] = json.loads(spec.job.parameters)
        values[self.name] = value if text == text_of(value) else text
        return replace(spec, job=replace(spec.job, parameters=canonical(values)))


@dataclass(frozen=True)
class ClusterField:
    """A field of what all nodes have in common."""

    name: str

    def check(self, value: Value, spec: RunSpec) -> None:
        """Raises ValueError for a value that the field cannot have."""
        if self.name in _ROOT:
            _, low, high = _ROOT[self.name]
            _whole(value, low, high)
        elif not isinstance(value, str) or not re.fullmatch(_CLUSTER[self.name][1], value):
            raise ValueError(f"{text_of(value)!r} is no {self.name}")
        root = spec.cluster.root_volume
        provisioned = self.name in _GP3 or root.iops is not None or root.throughput is not None
        release = str(value) if self.name == "release_label" else spec.cluster.release_label
        if provisioned and tuple(map(int, release.removeprefix("emr-").split("."))) < _GP3_SINCE:
            raise ValueError(f"{release}: root_volume.iops and throughput are of gp3 root volumes, from emr-6.15.0 on")

    def put(self, spec: RunSpec, value: Value, text: str) -> RunSpec:
        """The spec with the field set."""
        cluster = spec.cluster
        if self.name in _ROOT:
            root: Any = {_ROOT[self.name][0]: value}
            return replace(spec, cluster=replace(cluster, root_volume=replace(cluster.root_volume, **root)))
        field: Any = {_CLUSTER[self.name][0]: text}
        return replace(spec, cluster=replace(cluster, **field))


@dataclass(frozen=True)
class NodeField:
    """A field of a role's nodes; `disk` counts their `ebs` entries from 0 where it is one of a volume."""

    role: Role
    name: str
    disk: int | None = None

    def check(self, value: Value, spec: RunSpec) -> None:
        """Raises ValueError for a value that the field cannot have, or nodes that lack what it is a field of."""
        group = spec.group(self.role)
        if group is None:
            raise ValueError(f"the cluster has no {self.role} nodes")
        if self.disk is not None:
            self._check_disk(value, group)
        elif self.name == "market":
            if value not in tuple(Market):
                raise ValueError(f"{text_of(value)!r} is no market: on-demand or spot")
        elif self.name == "bid_price":
            if isinstance(value, (str, bool)) or value <= 0 or round(value, 3) != value:
                raise ValueError(f"{text_of(value)} is no bid: USD above 0 with at most three decimals")
        elif self.name == "fleet.on_demand":
            _whole(value, 0, 10_000)
            if group.fleet is None:
                raise ValueError(f"cluster.{self.role} has no fleet")

    def _check_disk(self, value: Value, group: NodeGroup) -> None:
        count = len(group.disks or ())
        if self.disk is None or self.disk >= count:
            raise ValueError(f"cluster.{self.role}.ebs has {count} entries, counted from 0")
        limits = _EBS[self.name]
        if limits is not None:
            _whole(value, *limits)
        elif value not in KINDS:
            raise ValueError(f"{text_of(value)!r} is no kind of volume: {', '.join(KINDS)}")
        elif value == "io1" and (group.disks or ())[self.disk].volume.iops is None:
            raise ValueError(f"io1 volumes need iops: give cluster.{self.role}.ebs[{self.disk}] some")

    def put(self, spec: RunSpec, value: Value, text: str) -> RunSpec:
        """The spec with the field set."""
        return _with_group(spec, self._changed(_group(spec, self.role), value))

    def _changed(self, group: NodeGroup, value: Any) -> NodeGroup:
        if self.disk is not None and group.disks is not None:
            disks = [self._disk(disk, value) if n == self.disk else disk for n, disk in enumerate(group.disks)]
            return replace(group, disks=tuple(disks))
        match self.name:
            case "inst_type":
                return replace(group, inst_type=str(value))
            case "replicas":
                return replace(group, count=int(value))
            case "market":
                return replace(group, market=Market(value))
            case "bid_price":
                return replace(group, bid_usd=float(value))
            case "fleet.on_demand" if group.fleet is not None:
                return replace(group, fleet=replace(group.fleet, on_demand=int(value)))
        raise ValueError(f"{self.name} is not a field of the {group.role} nodes")

    def _disk(self, disk: Disk, value: Any) -> Disk:
        volume = disk.volume
        match self.name:
            case "type":
                # What the kind does not take is not asked for: the field that sets it stands for the kinds that do.
                iops = volume.iops if value in ("gp3", "io1") else None
                changed = replace(volume, kind=str(value), iops=iops)
                volume = changed if value == "gp3" else replace(changed, throughput=None)
            case "size":
                volume = replace(volume, gib=float(value))
            case "iops":
                volume = replace(volume, iops=int(value) if volume.kind in ("gp3", "io1") else None)
            case _:
                volume = replace(volume, throughput=int(value) if volume.kind == "gp3" else None)
        return replace(disk, volume=volume)


@dataclass(frozen=True)
class Referred:
    """No place of its own: the value goes where texts refer to the setting."""

    selector: str

    def check(self, value: Value, spec: RunSpec) -> None:
        """Any value can be written as text."""

    def put(self, spec: RunSpec, value: Value, text: str) -> RunSpec:
        """The spec as it is: references are filled when all settings are in their places."""
        return spec


Target = Property | Parameter | ClusterField | NodeField | Referred


def parse_target(text: str) -> Target:
    """The target that a text names.

    Raises:
        ValueError: it names none; the message has the nearest form.
    """
    if found := _PROPERTY.fullmatch(text):
        role, path, name = found.groups()
        return Property(Role(role) if role else None, tuple(path.split(".")), name)
    if found := _PARAMETER.fullmatch(text):
        return Parameter(found[1])
    if text.startswith("cluster.") and text.removeprefix("cluster.") in {**_CLUSTER, **_ROOT}:
        return ClusterField(text.removeprefix("cluster."))
    if found := _NODE.fullmatch(text):
        role, disk, name = found.groups()
        if (disk is None and name in _NODES) or (disk is not None and name in _EBS):
            return NodeField(Role(role), name, None if disk is None else int(disk))
    # What stands in brackets is anybody's own.
    forms = {re.sub(_BRACKETS, "[]", form): form for form in FORMS}
    near = difflib.get_close_matches(re.sub(_BRACKETS, "[]", text), forms, 1, cutoff=0.45)
    hint = f"did you mean something like {forms[near[0]]}?" if near else f"known are {', '.join(FORMS)}"
    raise ValueError(f"{text!r} is no target of a setting: {hint}")


def _whole(value: Value, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{text_of(value)} is no whole number from {low} to {high}")


def _group(spec: RunSpec, role: Role) -> NodeGroup:
    group = spec.group(role)
    if group is None:
        raise ValueError(f"the cluster has no {role} nodes")
    return group


def _with_group(spec: RunSpec, group: NodeGroup) -> RunSpec:
    return replace(spec, groups=tuple(group if one.role is group.role else one for one in spec.groups))
