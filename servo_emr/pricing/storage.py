"""EBS: which volumes an instance has when nobody asked for others, what a volume costs per hour.

The defaults are EMR's documented table by size; docs/cost.md says what was added to it. Knows no instance's life.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping

from servo_emr.domain.cluster import NodeGroup, Volume
from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.money import StorageRate

__all__ = [
    "DEFAULT_KIND",
    "default_volumes",
    "guessed_volumes",
    "has_instance_store",
    "usd_per_hour",
    "volumes_for",
]

DEFAULT_KIND = "gp2"
"""Of the default volumes. EMR's guide says "gp2 or gp3" without saying when: the dearer one is taken."""

_MONTH_H = 30 * 24.0
_DOCUMENTED = {
    "large": (1, 32.0),
    "xlarge": (2, 32.0),
    "2xlarge": (4, 32.0),
    "4xlarge": (4, 64.0),
    "8xlarge": (4, 128.0),
    "9xlarge": (4, 144.0),
    "10xlarge": (4, 160.0),
    "12xlarge": (4, 192.0),
    "16xlarge": (4, 256.0),
    "18xlarge": (4, 288.0),
    "24xlarge": (4, 384.0),
}
"""Volumes, and GiB of each, by instance size, emr-5.22.0 and later."""

_XLARGE = re.compile(r"([1-9][0-9]*)xlarge")
_FAMILY = re.compile(r"([a-z]+)([0-9]+)([a-z-]*)")
_STORAGE_FAMILIES = frozenset({"d", "h", "hs", "hi", "i", "im", "is"})
_WITH_DISKS = frozenset(
    {"c1", "c3", "cc2", "cr1", "f1", "g2", "g5", "g6", "g6e", "gr6", "m1", "m2", "m3", "p5", "r3", "x1", "x1e"}
)
"""Families with an instance store that neither their letters nor a `d` among their attributes tell of."""

_FREE = {"gp3": (3000, 125), "io1": (0, 0)}
"""IOPS and MiB/s within the price per GiB, for the kinds that charge for more; the other kinds never do."""


def has_instance_store(inst_type: str) -> bool:
    """Whether a type has disks of its own, by its name: EMR then gives it no EBS volume but the root."""
    family = inst_type.partition(".")[0]
    parts = _FAMILY.fullmatch(family)
    if parts is None:
        return False
    letters, _, attributes = parts.groups()
    return letters in _STORAGE_FAMILIES or "d" in attributes or family in _WITH_DISKS


@functools.cache  # a bill of a thousand instances asks for each of them
def default_volumes(inst_type: str) -> tuple[Volume, ...]:
    """The volumes beside the root that an instance gets when none are asked for.

    Raises:
        OperatorError: operator/price: its size is not in EMR's table, nor does the table's rule reach it.
    """
    if has_instance_store(inst_type):
        return ()
    size = inst_type.partition(".")[2]
    if size in _DOCUMENTED:
        count, gib = _DOCUMENTED[size]
    elif found := _XLARGE.fullmatch(size):
        count, gib = 4, 16.0 * int(found[1])
    else:
        raise OperatorError(
            f"EMR documents no default EBS volumes for the size of {inst_type}: what its disks cost is not known.",
            Reason.PRICE,
            remedy=f"Take a type of another size: {', '.join(_DOCUMENTED)}.",
            public=f"the disks of {inst_type} are not known",
            details={"types": [inst_type]},
        )
    return (Volume(DEFAULT_KIND, gib),) * count


def volumes_for(group: NodeGroup, inst_type: str) -> tuple[Volume, ...]:
    """The volumes beside the root of a group's node of that type: those that were asked for, else the default ones.

    Raises:
        OperatorError: operator/price: the default ones are not known.
    """
    return default_volumes(inst_type) if group.volumes is None else group.volumes


def guessed_volumes(inst_types: Iterable[str]) -> list[str]:
    """A sentence for each type whose default volumes are by the rule of EMR's table and not in it."""
    return [
        f"EMR documents no default EBS volumes for {name}: taken as 64 GiB for each xlarge of its size"
        for name in sorted(set(inst_types))
        if not has_instance_store(name) and name.partition(".")[2] not in _DOCUMENTED
    ]


def usd_per_hour(volumes: Iterable[Volume], rates: Mapping[str, StorageRate]) -> float:
    """What volumes cost together; `rates` has one for each of their kinds.

    Raises:
        OperatorError: operator/price: a volume of no size, or a charge that its rate does not have.
    """
    return math.fsum(_month(volume, rates[volume.kind]) for volume in volumes) / _MONTH_H


def _month(volume: Volume, rate: StorageRate) -> float:
    if not 0 < volume.gib < math.inf:
        raise _unpriced(volume, f"has {volume.gib} GiB")
    usd = volume.gib * rate.gib_month
    if volume.kind not in _FREE:
        return usd
    if volume.kind == "io1" and not volume.iops:
        raise _unpriced(volume, "has no provisioned IOPS")
    free_iops, free_throughput = _FREE[volume.kind]
    for count, free, price, unit in (
        (volume.iops, free_iops, rate.iops_month, "iops_month"),
        (volume.throughput, free_throughput, rate.throughput_month, "throughput_month"),
    ):
        more = max(0, (count or 0) - free)
        if more and price is None:
            raise _unpriced(volume, f"needs {unit}, which {rate.source} does not have")
        usd += more * (price or 0.0)
    return usd


def _unpriced(volume: Volume, why: str) -> OperatorError:
    return OperatorError(
        f"A {volume.kind} volume {why}: it cannot be priced.",
        Reason.PRICE,
        remedy=f"Look at the cluster's EbsConfiguration, or pin emr.prices.ebs.{volume.kind} in servo.yaml.",
        public=f"the price of a {volume.kind} volume is not known",
        details={"kind": volume.kind, "gib": volume.gib},
    )
