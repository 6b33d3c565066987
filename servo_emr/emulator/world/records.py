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
    "Fleet",
    "FleetRequest",
    "FleetType",
    "Group",
    "GroupRequest",
    "Instance",
    "Launch",
    "Reason",
    "Step",
    "StepRequest",
    "Timeline",
    "Volume",
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
class Volume:
    """An EBS volume that every instance of a group or type gets; `gib` of one `kind` (gp2, gp3, io1, ...)."""

    kind: str
    gib: int
    iops: int | None = None
    throughput: int | None = None  # MiB/s


@dataclass(frozen=True)
class GroupRequest:
    """An instance group as asked for; `role` is MASTER, CORE or TASK.

    `attributes` holds what is only given back: document members of InstanceGroup by name.
    """

    role: str
    instance_type: str
    count: int
    market: str = "ON_DEMAND"
    name: str | None = None
    bid_price: str | None = None
    volumes: tuple[Volume, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)

    @property
    def bid(self) -> float | None:
        """The most that is paid for a spot instance, USD per hour; None: the on-demand price."""
        return None if self.bid_price is None else float(self.bid_price)


@dataclass(frozen=True)
class FleetType:
    """One instance type of a fleet. `bid_percent` is a share of the on-demand price, 100 being all of it.

    `attributes` holds what is only given back: document members of InstanceTypeSpecification by name.
    """

    instance_type: str
    weight: int = 1
    bid_price: str | None = None
    bid_percent: float | None = None
    volumes: tuple[Volume, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class FleetRequest:
    """An instance fleet as asked for, its targets in units of its types' weights.

    `spot_timeout` seconds after its launch a fleet whose spot target is not met does `spot_action`:
    SWITCH_TO_ON_DEMAND or TERMINATE_CLUSTER. `attributes` is only given back: members of InstanceFleet by name.
    """

    role: str
    types: tuple[FleetType, ...]
    on_demand: int = 0
    spot: int = 0
    name: str | None = None
    spot_timeout: float | None = None
    spot_action: str = "TERMINATE_CLUSTER"
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Bootstrap:
    """A bootstrap action: a script in S3."""

    name: str
    path: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Launch:
    """A RunJobFlow that has passed validation: it has groups or fleets, never both.

    `attributes` holds what is only given back by DescribeCluster: document members by name. `refusal`: some minutes
    after the launch the cluster ends with errors for this reason, without having had an instance.
    """

    region: str
    name: str
    release_label: str
    groups: tuple[GroupRequest, ...] = ()
    fleets: tuple[FleetRequest, ...] = ()
    steps: tuple[StepRequest, ...] = ()
    concurrency: int = 1
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
    refusal: tuple[Reason, tuple[ErrorDetail, ...]] | None = None


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
    """One EC2 instance; its row stays after the end. `collection_id` is its group's or fleet's.

    `volume_ids` are those of the root volume and of each volume asked for, in that order.
    """

    id: str
    ec2_id: str
    collection_id: str
    role: str
    instance_type: str
    market: str
    private_ip: str
    timeline: Timeline
    state: str = "PROVISIONING"
    reason: Reason = Reason()
    volume_ids: tuple[str, ...] = ()


@dataclass
class Group:
    """One instance group; `requested` is the count that it is to have now."""

    id: str
    request: GroupRequest
    timeline: Timeline
    requested: int
    state: str = "PROVISIONING"
    reason: Reason = Reason()


@dataclass
class Fleet:
    """One instance fleet; `on_demand` and `spot` are the targets that it has now, the others what it got."""

    id: str
    request: FleetRequest
    timeline: Timeline
    on_demand: int
    spot: int
    provisioned_on_demand: int = 0
    provisioned_spot: int = 0
    state: str = "PROVISIONING"
    reason: Reason = Reason()


@dataclass
class Cluster:
    """One cluster. Lists grow in the order in which things were created."""

    id: str
    launch: Launch
    timeline: Timeline
    groups: list[Group]
    fleets: list[Fleet]
    protected: bool
    keep_alive: bool
    concurrency: int
    visible: bool
    idle_timeout: int | None
    tags: dict[str, str]
    steps: list[Step] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    primary: Instance | None = None
    state: str = "STARTING"
    reason: Reason = Reason()
    error_details: tuple[ErrorDetail, ...] = ()
    _steps_by_id: dict[str, Step] = field(default_factory=dict, repr=False)

    @property
    def alive(self) -> bool:
        """True until it begins to end."""
        return self.state in ALIVE

    def add_steps(self, steps: Sequence[Step]) -> None:
        self.steps.extend(steps)
        self._steps_by_id.update((step.id, step) for step in steps)

    def step(self, step_id: str) -> Step | None:
        return self._steps_by_id.get(step_id)
