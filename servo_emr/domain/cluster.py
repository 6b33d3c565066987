"""The cluster of a run as data: node groups, fleets, volumes, configurations, and what else is asked of EMR for it.

In our words, which are those of servo.yaml; the service's own are `aws.ec2_request`'s.
"""

from __future__ import annotations

import difflib
import enum
from dataclasses import dataclass, field

__all__ = [
    "BootstrapAction",
    "CapacityReservations",
    "ClusterSpec",
    "Configuration",
    "Disk",
    "Fleet",
    "FleetType",
    "Market",
    "NodeGroup",
    "Role",
    "RootVolume",
    "SecurityGroups",
    "TimeoutAction",
    "Volume",
    "check_classification",
]

_CLASSIFICATIONS = (
    "capacity-scheduler", "core-site", "delta-defaults", "emrfs-site", "export", "hadoop-env", "hdfs-env", "hdfs-site",
    "hive-env", "hive-site", "hudi-defaults", "iceberg-defaults", "livy-conf", "livy-env", "mapred-env", "mapred-site",
    "spark", "spark-defaults", "spark-env", "spark-hive-site", "spark-metrics", "yarn-env", "yarn-site",
)  # fmt: skip
_NEARLY = 0.88
"""How like one of these a name is that is taken for it, misspelled: EMR has many more, which are left to EMR."""


def check_classification(name: str) -> None:
    """Raises ValueError for a classification that is all but one of those that are used most."""
    near = difflib.get_close_matches(name, _CLASSIFICATIONS, 1, cutoff=_NEARLY)
    if near and near[0] != name:
        raise ValueError(f"'{name}' is no classification of EMR; did you mean '{near[0]}'?")


class Role(enum.StrEnum):
    """The three kinds of node of a cluster; the value is the component's name in servox."""

    PRIMARY = "primary"
    CORE = "core"
    TASK = "task"


class Market(enum.StrEnum):
    """How nodes are bought."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"


class TimeoutAction(enum.StrEnum):
    """What EMR does when it has not got a fleet's spot capacity in time."""

    SWITCH_TO_ON_DEMAND = "switch-to-on-demand"
    TERMINATE_CLUSTER = "terminate-cluster"


@dataclass(frozen=True)
class Volume:
    """One EBS volume: `gib` GiB of one kind (gp2, gp3, io1, ...), with provisioned IOPS and MiB/s where it has them."""

    kind: str
    gib: float
    iops: int | None = None
    throughput: int | None = None


@dataclass(frozen=True)
class Disk:
    """`count` equal volumes of each node."""

    volume: Volume
    count: int = 1


@dataclass(frozen=True)
class RootVolume:
    """What is asked of every instance's root volume: GiB, IOPS, MiB/s; None: what the release gives."""

    gib: int | None = None
    iops: int | None = None
    throughput: int | None = None


@dataclass(frozen=True)
class Configuration:
    """Properties of one classification, such as spark-defaults, and classifications inside it."""

    classification: str
    properties: tuple[tuple[str, str], ...] = ()
    configurations: tuple[Configuration, ...] = ()


@dataclass(frozen=True)
class BootstrapAction:
    """A script that EMR runs on every node before anything is installed."""

    name: str
    path: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class SecurityGroups:
    """Ids of security groups; None and empty: EMR's own."""

    primary: str | None = None
    core_and_task: str | None = None
    service_access: str | None = None
    additional_primary: tuple[str, ...] = ()
    additional_core_and_task: tuple[str, ...] = ()


@dataclass(frozen=True)
class FleetType:
    """What holds for one instance type of a fleet.

    weight: the units of the target that one node of it counts. bid_usd or bid_percent (of the on-demand price) is the
    most for one on spot; neither: its on-demand price. priority: the lower, the sooner.
    """

    inst_type: str
    weight: int = 1
    bid_usd: float | None = None
    bid_percent: float | None = None
    priority: float | None = None


@dataclass(frozen=True)
class CapacityReservations:
    """How a fleet's on-demand nodes use capacity reservations, in the API's own words."""

    usage: str | None = None
    preference: str | None = None
    resource_group_arn: str | None = None


@dataclass(frozen=True)
class Fleet:
    """How EMR may make up a group of other types than the one asked for, and of both markets.

    types: what holds for single types; alternatives: those that EMR may take in the place of the group's own;
    on_demand: of the group's units on spot, those that are bought on demand all the same.
    """

    types: tuple[FleetType, ...] = ()
    alternatives: tuple[str, ...] = ()
    on_demand: int = 0
    spot_timeout_min: int = 20
    timeout_action: TimeoutAction = TimeoutAction.TERMINATE_CLUSTER
    spot_allocation: str | None = None
    on_demand_allocation: str | None = None
    reservations: CapacityReservations | None = None

    def of(self, inst_type: str) -> FleetType:
        """What holds for a type."""
        return next((entry for entry in self.types if entry.inst_type == inst_type), FleetType(inst_type))


@dataclass(frozen=True)
class NodeGroup:
    """`count` nodes of one instance type in one role; with a fleet, `count` units of it.

    bid_usd is the most that is paid per hour for one on spot, without meaning on demand; None: the on-demand price.
    disks are those of each node beside its root volume; None: what EMR gives its type. ami_id and configurations
    are the group's own, before the cluster's.
    """

    role: Role
    inst_type: str
    count: int
    market: Market = Market.ON_DEMAND
    bid_usd: float | None = None
    disks: tuple[Disk, ...] | None = None
    ebs_optimized: bool | None = None
    ami_id: str | None = None
    configurations: tuple[Configuration, ...] = ()
    fleet: Fleet | None = None

    def __post_init__(self) -> None:
        if self.count < 0 or (self.role is Role.PRIMARY and self.count != 1):
            raise ValueError(f"{self.role}: {self.count} nodes are not possible")
        if self.bid_usd is not None and not self.bid_usd > 0:
            raise ValueError(f"{self.role}: a bid of {self.bid_usd} is not possible")

    @property
    def volumes(self) -> tuple[Volume, ...] | None:
        """The volumes of each node beside its root volume, one by one; None: what EMR gives its type."""
        return None if self.disks is None else tuple(disk.volume for disk in self.disks for _ in range(disk.count))

    @property
    def inst_types(self) -> tuple[str, ...]:
        """The types that its nodes may be of, the one asked for first; none when it has no nodes."""
        if not self.count:
            return ()
        others = () if self.fleet is None else self.fleet.alternatives
        return tuple(dict.fromkeys((self.inst_type, *others)))

    @property
    def units(self) -> tuple[int, int]:
        """Its nodes, or the units of its fleet: (on demand, on spot)."""
        if self.market is Market.ON_DEMAND:
            return self.count, 0
        fixed = 0 if self.fleet is None else min(self.fleet.on_demand, self.count)
        return fixed, self.count - fixed

    def nodes_of(self, inst_type: str) -> tuple[int, int]:
        """(on demand, on spot): the nodes that it takes when all are of that type; EMR rounds units up."""
        weight = 1 if self.fleet is None else self.fleet.of(inst_type).weight
        on_demand, spot = self.units
        return -(-on_demand // weight), -(-spot // weight)

    @property
    def most_nodes(self) -> int:
        """The nodes that it has at most."""
        return max((sum(self.nodes_of(inst_type)) for inst_type in self.inst_types), default=0)

    @property
    def fewest_nodes(self) -> int:
        """The nodes that it has at least."""
        return min((sum(self.nodes_of(inst_type)) for inst_type in self.inst_types), default=0)

    @property
    def on_spot(self) -> bool:
        """Whether any of its nodes is bought on spot."""
        return self.units[1] > 0

    def bid(self, inst_type: str, on_demand_usd: float) -> float:
        """The most that one node of the type costs an hour on spot, where on demand it costs so much."""
        if self.fleet is None:
            return on_demand_usd if self.bid_usd is None else self.bid_usd
        entry = self.fleet.of(inst_type)
        if entry.bid_usd is not None:
            return entry.bid_usd
        if entry.bid_percent is not None:
            return on_demand_usd * entry.bid_percent / 100
        return on_demand_usd if self.bid_usd is None else self.bid_usd


@dataclass(frozen=True)
class ClusterSpec:
    """What all nodes of a cluster have in common. Names and ids are the service's."""

    release_label: str
    applications: tuple[str, ...] = ("Spark",)
    subnet_ids: tuple[str, ...] = ()
    service_role: str = "EMR_DefaultRole"
    instance_profile: str = "EMR_EC2_DefaultRole"
    log_uri: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    configurations: tuple[Configuration, ...] = ()
    bootstrap_actions: tuple[BootstrapAction, ...] = ()
    key_pair: str | None = None
    security_groups: SecurityGroups = field(default_factory=SecurityGroups)
    security_configuration: str | None = None
    ami_id: str | None = None
    os_release_label: str | None = None
    repo_upgrade_on_boot: str | None = None
    root_volume: RootVolume = field(default_factory=RootVolume)
    step_concurrency: int = 1
    log_kms_key: str | None = None
    unhealthy_node_replacement: bool | None = None
    spark_auto: bool = False
