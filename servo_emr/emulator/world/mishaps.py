"""What can go wrong in the life of a cluster, as data, and the port by which a life learns of it.

A life asks once when a phase begins and applies what it is told. Who decides that something goes wrong, and from
what, is not known here; neither are documents and calls.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from servo_emr.emulator.world.records import Cluster, ErrorDetail, Reason

__all__ = [
    "Delay",
    "EndCluster",
    "EndStep",
    "IgnoreTermination",
    "LoseInstances",
    "Mishap",
    "Mishaps",
    "NoCapacity",
    "NoMishaps",
    "Phase",
    "Protect",
    "SpoilLogs",
]


_LOST = Reason("INSTANCE_FAILURE", "The instance was lost")


class Phase(enum.StrEnum):
    """Where in a cluster's life something can go wrong. Each begins once, but `STEP` with each step."""

    PROVISIONING = "provisioning"  # STARTING
    BOOTSTRAPPING = "bootstrapping"
    RUNNING = "running"  # from ready on, steps or not
    STEP = "step"
    TERMINATING = "terminating"  # asked when somebody or something wants the cluster to end
    LOGS = "logs"  # asked for each piece of work whose logs are due


@dataclass(frozen=True)
class Delay:
    """The phase takes `seconds` of W longer; infinity: it never ends by itself."""

    seconds: float


@dataclass(frozen=True)
class NoCapacity:
    """The instances of a role (None: of every role) never appear; `market` None: whatever theirs is.

    PROVISIONING: those of the launch. A cluster of groups stays STARTING; a fleet does at its spot timeout what it was
    told to, and without one it waits as a group does. RUNNING: those that a resize adds or that replace lost ones; the
    group or fleet stays RESIZING.
    """

    role: str | None = None
    market: str | None = None


@dataclass(frozen=True)
class EndCluster:
    """`after` seconds of the phase the cluster ends by itself. `failed`: as TERMINATED_WITH_ERRORS."""

    after: float
    reason: Reason
    details: tuple[ErrorDetail, ...] = ()
    failed: bool = True


@dataclass(frozen=True)
class LoseInstances:
    """`after` seconds of the phase `count` instances of a role die; new ones come for them if `replaced`.

    The oldest die first. `market` None: of any market. A lost primary ends the cluster. `interrupts`: the running
    steps are INTERRUPTED. Not replaced, and for the reason BOOTSTRAP_FAILURE: the group or fleet has given up and is
    SUSPENDED until it is resized.
    """

    after: float
    role: str
    count: int = 1
    market: str | None = None
    reason: Reason = _LOST
    replaced: bool = True
    interrupts: bool = False


@dataclass(frozen=True)
class EndStep:
    """STEP: `after` seconds (None: at its own end) the step is in this state, whatever its process did."""

    after: float | None
    state: str  # FAILED, CANCELLED or INTERRUPTED
    reason: str = "Unknown Error."
    message: str = ""


@dataclass(frozen=True)
class Protect:
    """`after` seconds of the phase somebody switches termination protection on."""

    after: float


@dataclass(frozen=True)
class IgnoreTermination:
    """TERMINATING: a request to end the cluster is accepted, and the cluster runs on.

    The request may be a user's, that of its last step, of a failed one, or of its auto-termination policy. A cluster
    that fails otherwise, or loses its primary, ends all the same.
    """


@dataclass(frozen=True)
class SpoilLogs:
    """LOGS: `delay` more seconds until they are there, and only the share `keep` of each object's bytes; 0: none.

    With an infinite delay they never are. The end of the cluster does not make late ones come earlier.
    """

    delay: float = 0.0
    keep: float = 1.0


Mishap = (
    Delay | NoCapacity | EndCluster | LoseInstances | EndStep | Protect | IgnoreTermination | SpoilLogs
)  # fmt: skip


class Mishaps(Protocol):
    """Asked under the driver's lock."""

    def begin(self, phase: Phase, cluster: Cluster, now: float) -> Sequence[Mishap]:
        """What goes wrong in the phase that begins at W `now`. Asking counts: a life asks once for each beginning."""
        ...


class NoMishaps:
    """Nothing goes wrong."""

    def begin(self, phase: Phase, cluster: Cluster, now: float) -> Sequence[Mishap]:
        return ()
