"""What exists in the emulated region: clusters, instance groups, instances, steps, their states and timelines.

Plain mutable records that only `world` changes. All times are points on the clock W, in epoch seconds; nothing
here knows documents, processes or what time it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = [
    "ALIVE",
    "FINAL",
    "Bootstrap",
    "Cluster",
    "ErrorDetail",
    "Failure",
    "Group",
    "GroupRequest",
    "Instance",
    "Launch",
    "Reason",
    "Step",
    "StepRequest",
    "Timeline",
]

ALIVE = frozenset({"STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"})
FINAL = frozenset({"TERMINATED", "TERMINATED_WITH_ERRORS"})


@dataclass
class Timeline:
    """`began` is a cluster's or instance's ReadyDateTime and a step's StartDateTime."""

    created: float
    began: float | None = None
    ended: float | None = None


@dataclass(frozen=True)
class Reason:
    """A StateChangeReason; both parts may be absent, as they are on AWS."""

    code: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class ErrorDetail:
    """One entry of a cluster's ErrorDetails."""

    code: str
    message: str
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A failed step's FailureDetails."""

    reason: str
    message: str
    log_file: str | None = None


@dataclass(frozen=True)
class StepRequest:
    """A step as asked for; `args` is its argv."""

    name: str
    jar: str
    args: tuple[str, ...]
    action_on_failure: str


@dataclass(frozen=True)
class GroupRequest:
    """An instance group as asked for; `role` is MASTER, CORE or TASK."""

    role: str
    instance_type: str
    count: int
    market: str = "ON_DEMAND"
    name: str | None = None
    bid_price: str | None = None


@dataclass(frozen=True)
class Bootstrap:
    """A bootstrap action: a script in S3."""

    name: str
    path: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Launch:
    """A RunJobFlow that has passed validation.

    `attributes` holds what is only given back by DescribeCluster: document members by name.
    """

    region: str
    name: str
    release_label: str
    groups: tuple[GroupRequest, ...]
    steps: tuple[StepRequest, ...] = ()
    bootstraps: tuple[Bootstrap, ...] = ()
    log_uri: str | None = None
    keep_alive: bool = False
    protected: bool = False
    idle_timeout: int | None = None
    subnet: str | None = None
    zone: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, object] = field(default_factory=dict)
    ec2_attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Step:
    """One step of a cluster."""

    id: str
    request: StepRequest
    timeline: Timeline
    ordinal: int
    state: str = "PENDING"
    reason: Reason = Reason()
    failure: Failure | None = None

    @property
    def over(self) -> bool:
        return self.state in {"COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED"}


@dataclass
class Instance:
    """One EC2 instance; its row stays after the end."""

    id: str
    ec2_id: str
    group_id: str
    role: str
    instance_type: str
    market: str
    private_ip: str
    timeline: Timeline
    state: str = "PROVISIONING"
    reason: Reason = Reason()


@dataclass
class Group:
    """One instance group."""

    id: str
    request: GroupRequest
    timeline: Timeline
    state: str = "PROVISIONING"
    reason: Reason = Reason()


@dataclass
class Cluster:
    """One cluster. Lists grow in the order in which things were created."""

    id: str
    launch: Launch
    timeline: Timeline
    groups: Sequence[Group]
    protected: bool
    idle_timeout: int | None
    tags: dict[str, str]
    steps: list[Step] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    state: str = "STARTING"
    reason: Reason = Reason()
    error_details: tuple[ErrorDetail, ...] = ()

    @property
    def alive(self) -> bool:
        """True until it begins to end."""
        return self.state in ALIVE

    @property
    def primary(self) -> Instance | None:
        return next((instance for instance in self.instances if instance.role == "MASTER"), None)

    @property
    def running_step(self) -> Step | None:
        return next((step for step in self.steps if step.state in {"RUNNING", "CANCEL_PENDING"}), None)

    def step(self, step_id: str) -> Step | None:
        return next((step for step in self.steps if step.id == step_id), None)
