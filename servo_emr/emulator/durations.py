"""How long steps and bootstrap actions take on W: as long as they really take, or by a stated law.

Formulas and their coefficients only. No figure here is AWS's; each says where it comes from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from servo_emr.emulator.ids import Ids
from servo_emr.emulator.records import Cluster, Step

__all__ = ["Durations", "Ernest", "ModelDurations", "WallDurations", "parse_coefficients"]


class Durations(Protocol):
    """How long a step or a bootstrap action takes on W; None: as long as its process really takes."""

    def step(self, cluster: Cluster, step: Step) -> float | None: ...

    def bootstrap(self, cluster: Cluster, index: int) -> float | None: ...


class WallDurations:
    """Real durations: W runs at 1 while a process runs."""

    def step(self, cluster: Cluster, step: Step) -> float | None:
        return None

    def bootstrap(self, cluster: Cluster, index: int) -> float | None:
        return None


# Relative speed of one vCPU, the fifth generation general purpose type being 1. Rounded guesses from the clock
# rates and generations that EC2's type pages state; not measured. A family that is missing counts as 1.
FAMILY_SPEED: Mapping[str, float] = {
    "m4": 0.85, "c4": 1.0, "r4": 0.85, "i3": 0.85,
    "m5": 1.0, "m5a": 0.9, "m5d": 1.0, "c5": 1.15, "c5a": 1.1, "c5d": 1.15, "r5": 1.0, "r5a": 0.9, "r5d": 1.0,
    "m6i": 1.1, "m6a": 1.1, "m6g": 1.1, "c6i": 1.25, "c6a": 1.2, "c6g": 1.2, "r6i": 1.1, "r6a": 1.1, "r6g": 1.1,
    "m7i": 1.2, "m7a": 1.45, "m7g": 1.3, "c7i": 1.35, "c7a": 1.55, "c7g": 1.4, "r7i": 1.2, "r7a": 1.45, "r7g": 1.3,
}  # fmt: skip


@dataclass(frozen=True)
class Ernest:
    """Coefficients of T = a + b / (nodes * vCPUs per node * family speed) + c * ln(nodes) + d * nodes, in seconds.

    The form is Ernest's (Venkataraman et al., NSDI 2016): a serial part, a part that divides over the cores, a tree
    of aggregation, and what grows with every node. The default values are ours: a job of about ten minutes on four
    m5.xlarge core nodes, which more nodes shorten less and less.
    """

    a: float = 60.0
    b: float = 8000.0
    c: float = 10.0
    d: float = 2.0

    def seconds(self, nodes: int, core_speed: float) -> float:
        """`core_speed` is the sum over the nodes of vCPUs times family speed."""
        return self.a + self.b / core_speed + self.c * math.log(nodes) + self.d * nodes


@dataclass(frozen=True)
class ModelDurations:
    """Every step of a cluster takes T of its core and task nodes, whatever its process did, times noise.

    `cores` gives the vCPUs of an instance type. Without core and task nodes the primary does the work. The noise
    is a factor 1 + noise * z with z drawn from the standard normal distribution by the seed, the cluster's id and
    the step's place in it. A bootstrap action always takes `bootstrap_seconds`.
    """

    ids: Ids
    cores: Callable[[str], int]
    law: Ernest = field(default_factory=Ernest)
    noise: float = 0.02
    bootstrap_seconds: float = 45.0

    def step(self, cluster: Cluster, step: Step) -> float | None:
        groups = [group.request for group in cluster.groups if group.request.role != "MASTER" and group.request.count]
        if not groups:
            groups = [group.request for group in cluster.groups if group.request.role == "MASTER"]
        nodes = sum(group.count for group in groups)
        core_speed = sum(
            group.count * self.cores(group.instance_type) * family_speed(group.instance_type) for group in groups
        )
        factor = 1.0 + self.noise * self.ids.gauss(f"noise/{cluster.id}/{step.ordinal}")
        return max(1.0, self.law.seconds(nodes, core_speed) * factor)

    def bootstrap(self, cluster: Cluster, index: int) -> float | None:
        return self.bootstrap_seconds


def family_speed(instance_type: str) -> float:
    """Relative speed of one vCPU of this type."""
    return FAMILY_SPEED.get(instance_type.partition(".")[0], 1.0)


def parse_coefficients(text: str) -> Ernest:
    """`a=60,b=8000,c=10,d=2`, each optional. Raises ValueError naming what is wrong."""
    law = Ernest()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"([abcd])=([0-9.eE+-]+)", part)
        if match is None:
            raise ValueError(f"{part!r} is not one of a=SECONDS, b=SECONDS, c=SECONDS, d=SECONDS")
        try:
            value = float(match[2])
        except ValueError:
            raise ValueError(f"{match[2]!r} in {part!r} is not a number") from None
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{part!r}: a coefficient is a number of seconds, 0 or more")
        law = replace(law, **{match[1]: value})
    return law
