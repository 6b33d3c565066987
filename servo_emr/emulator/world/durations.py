"""How long steps and bootstrap actions take on W: as long as they really take, or by a stated law.

The port that the world asks, and formulas with their coefficients. No figure here is AWS's; each says where it comes
from. Measured times of others are in `replay`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Protocol

from servo_emr.emulator.world.ids import Ids
from servo_emr.emulator.world.records import Cluster, Instance, Step

__all__ = [
    "BOOTSTRAP_SECONDS",
    "Durations",
    "Ernest",
    "ModelDurations",
    "Planned",
    "WallDurations",
    "family_speed",
    "parse_coefficients",
    "workers",
]

# What a bootstrap action takes wherever durations are planned. Ours.
BOOTSTRAP_SECONDS = 45.0


@dataclass(frozen=True)
class Planned:
    """The end of a step, known beforehand: `seconds` of W after its start, whatever its process does meanwhile.

    With a `failure` it then has FAILED with that message, even if its process ended well.
    """

    seconds: float
    failure: str | None = None


class Durations(Protocol):
    """How long a step or a bootstrap action takes on W; None: as long as its process really takes."""

    def step(self, cluster: Cluster, step: Step) -> Planned | None: ...

    def bootstrap(self, cluster: Cluster, index: int) -> float | None: ...


class WallDurations:
    """Real durations: W runs at 1 while a process runs."""

    def step(self, cluster: Cluster, step: Step) -> Planned | None:
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
    of aggregation, and what grows with every node. Ours is the memory cliff: the job keeps `w` GiB at hand. Nodes
    with M GiB together, less than w, take T * (1 + k * (w - M) / w), and with less than f * w they run out of memory.
    The default values are ours: a job of about ten minutes on four m5.xlarge core nodes, which more nodes shorten
    less and less, and whose data one m5.xlarge just holds.
    """

    a: float = 60.0
    b: float = 8000.0
    c: float = 10.0
    d: float = 2.0
    w: float = 16.0
    k: float = 4.0
    f: float = 0.25

    def seconds(self, nodes: int, core_speed: float) -> float:
        """T with memory enough. `core_speed` is the sum over the nodes of vCPUs times family speed."""
        return self.a + self.b / core_speed + self.c * math.log(nodes) + self.d * nodes

    def slowdown(self, memory: float) -> float | None:
        """The factor that `memory` GiB of all nodes together put on T: 1 or more; None: out of memory."""
        if memory < self.f * self.w:
            return None
        return 1.0 + self.k * max(0.0, self.w - memory) / self.w if self.w else 1.0


def workers(cluster: Cluster) -> Sequence[Instance]:
    """The nodes that do a step's work: the core and task nodes that run, or the primary where there are none.

    While not one of those runs that the cluster is to have, they are the ones that are on their way.
    """
    nodes = [node for node in cluster.instances if node.role != "MASTER" and node.state != "TERMINATED"]
    running = [node for node in nodes if node.state == "RUNNING"]
    return running or nodes or [node for node in cluster.instances if node.role == "MASTER"]


def _enough(instance_type: str) -> float:
    return math.inf


@dataclass(frozen=True)
class ModelDurations:
    """Every step of a cluster takes what the law gives for its workers, whatever its process did, times noise.

    `cores` and `memory` give the vCPUs and the GiB of an instance type; by default memory is never short. The noise
    is a factor 1 + noise * z with z drawn from the standard normal distribution by the seed, the cluster's id and the
    step's place in it. A step that runs out of memory has failed after T without the cliff. A bootstrap action always
    takes `bootstrap_seconds`. What joins or leaves the cluster while a step runs does not change its time.
    """

    ids: Ids
    cores: Callable[[str], int]
    memory: Callable[[str], float] = _enough
    law: Ernest = field(default_factory=Ernest)
    noise: float = 0.02
    bootstrap_seconds: float = BOOTSTRAP_SECONDS

    def step(self, cluster: Cluster, step: Step) -> Planned:
        types = [node.instance_type for node in workers(cluster)]
        memory = sum(self.memory(name) for name in types)
        factor = 1.0 + self.noise * self.ids.gauss(f"noise/{cluster.id}/{step.ordinal}")
        seconds = self.law.seconds(len(types), sum(self.cores(name) * family_speed(name) for name in types)) * factor
        slowdown = self.law.slowdown(memory)
        if slowdown is None:
            return Planned(
                max(1.0, seconds),
                f"Out of memory under the emulator's law: the nodes have {memory:g} GiB together, the job keeps "
                f"{self.law.w:g} GiB at hand and fails below {self.law.f * self.law.w:g}.",
            )
        return Planned(max(1.0, seconds * slowdown))

    def bootstrap(self, cluster: Cluster, index: int) -> float:
        return self.bootstrap_seconds


def family_speed(instance_type: str) -> float:
    """Relative speed of one vCPU of this type."""
    return FAMILY_SPEED.get(instance_type.partition(".")[0], 1.0)


def parse_coefficients(text: str) -> Ernest:
    """`a=60,b=8000,c=10,d=2,w=16,k=4,f=0.25`, each optional. Raises ValueError naming what is wrong."""
    law = Ernest()
    names = "".join(coefficient.name for coefficient in fields(Ernest))
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(rf"([{names}])=([0-9.eE+-]+)", part)
        if match is None:
            raise ValueError(f"{part!r} is not NAME=NUMBER with a name of {', '.join(names)}")
        try:
            value = float(match[2])
        except ValueError:
            raise ValueError(f"{match[2]!r} in {part!r} is not a number") from None
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{part!r}: a coefficient is a number, 0 or more")
        law = replace(law, **{match[1]: value})
    if law.f > 1:
        raise ValueError(f"'f={law.f:g}': a share of w, 0 to 1")
    return law
