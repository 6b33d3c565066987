"""The frozen description of one run: what to launch and what to run on it; what makes it legal.

A RunSpec is plain data. Two specs that are equal ask for the same cluster and the same job; `canonical` is the
JSON form from which a run's identity is taken.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ClusterSpec",
    "JobSpec",
    "LimitSpec",
    "Market",
    "MetricSpec",
    "NodeGroup",
    "Role",
    "RunKey",
    "RunSpec",
    "Step",
    "canonical",
    "new_run_id",
    "of_repeat",
    "spec_from_json",
]

RUN_TEMPLATE = "{run}"
"""Stands in a step's argv for the URI of the run's own folder; filled when the request is made."""

_RUN_ID = re.compile(r"[0-9]{8}t[0-9]{6}-[0-9a-f]{8}")


class Role(enum.StrEnum):
    """The three kinds of node of a cluster; the value is the component's name in servox."""

    PRIMARY = "primary"
    CORE = "core"
    TASK = "task"


class Market(enum.StrEnum):
    """How nodes are bought."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"


@dataclass(frozen=True)
class NodeGroup:
    """`count` nodes of one instance type in one role.

    bid_usd is the most that is paid per hour for one on spot; None: the on-demand price.
    """

    role: Role
    inst_type: str
    count: int
    market: Market = Market.ON_DEMAND
    bid_usd: float | None = None

    def __post_init__(self) -> None:
        if self.count < 0 or (self.role is Role.PRIMARY and self.count != 1):
            raise ValueError(f"{self.role}: {self.count} nodes are not possible")
        if self.bid_usd is not None and (self.market is not Market.SPOT or not self.bid_usd > 0):
            raise ValueError(f"{self.role}: a bid of {self.bid_usd} is not possible on {self.market}")


@dataclass(frozen=True)
class Step:
    """One step of the cluster. `argv` goes to the service as it is, never through a shell.

    repeat says to which measured run of the job on this cluster the step belongs, counted from 1.
    """

    name: str
    argv: tuple[str, ...]
    measured: bool
    repeat: int = 1


@dataclass(frozen=True)
class ClusterSpec:
    """What does not change from trial to trial."""

    release_label: str
    applications: tuple[str, ...] = ("Spark",)
    subnet_ids: tuple[str, ...] = ()
    service_role: str = "EMR_DefaultRole"
    instance_profile: str = "EMR_EC2_DefaultRole"
    log_uri: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class MetricSpec:
    """One metric that the job itself reports: `source` is "notebook" (records) or "output" (a pattern)."""

    name: str
    source: str
    key: str
    unit: str


@dataclass(frozen=True)
class JobSpec:
    """The notebook and how it is run. `parameters` is canonical JSON text, so that the spec stays hashable."""

    notebook: str
    parameters: str
    kernel: str
    timeout_s: float
    expected_s: float
    wheels: str | None = None
    metrics: tuple[MetricSpec, ...] = ()
    repeats: int = 1

    @property
    def parameter_values(self) -> dict[str, Any]:
        """The parameters as values; a new dictionary each time."""
        values: dict[str, Any] = json.loads(self.parameters)
        return values


@dataclass(frozen=True)
class LimitSpec:
    """Ceilings. Money in USD, times in seconds; None means that no such limit was set."""

    cost_per_run: float | None = None
    cost_per_hour: float | None = None
    spend_per_day: float | None = None
    unproductive_spend: float | None = None
    provisioning_s: float = 1200.0
    nodes: int | None = None
    vcpus: int | None = None
    deadline_s: float | None = None
    max_cost_usd: float | None = None


@dataclass(frozen=True)
class RunSpec:
    """One run, whole: where, on what, doing what, within which limits."""

    region: str
    groups: tuple[NodeGroup, ...]
    cluster: ClusterSpec
    job: JobSpec
    steps: tuple[Step, ...]
    bootstrap: tuple[str, ...]
    limits: LimitSpec = dataclasses.field(default_factory=LimitSpec)

    def __post_init__(self) -> None:
        roles = [group.role for group in self.groups]
        if roles.count(Role.PRIMARY) != 1 or len(roles) != len(set(roles)):
            raise ValueError("a cluster has one primary node and at most one group per role")
        if not any(step.measured for step in self.steps):
            raise ValueError("a run has at least one measured step")
        if {step.repeat for step in self.steps if step.measured} != set(range(1, self.job.repeats + 1)):
            raise ValueError("every repeat of the job has a measured step, and no measured step is of another")

    @property
    def nodes(self) -> int:
        """All nodes of the cluster, the primary included."""
        return sum(group.count for group in self.groups)

    @property
    def inst_types(self) -> tuple[str, ...]:
        """The instance types in use, each once, in the order of the groups."""
        return tuple(dict.fromkeys(group.inst_type for group in self.groups if group.count))

    def group(self, role: Role) -> NodeGroup | None:
        """The group of a role, or None when the cluster has none."""
        return next((group for group in self.groups if group.role is role), None)


def of_repeat(name: str, repeat: int) -> str:
    """The file of a repeat in the run's folder: output.ipynb for the first, output-2.ipynb for the second, ..."""
    stem, dot, suffix = name.rpartition(".")
    return name if repeat == 1 else f"{stem}-{repeat}{dot}{suffix}"


@dataclass(frozen=True)
class RunKey:
    """What makes a cluster ours: the workspace's id and the run's id, both in the cluster's Name."""

    workspace_uri: str
    workspace_id: str
    run_id: str

    PREFIX = "servo-emr"

    @property
    def name(self) -> str:
        """The cluster's Name: our key."""
        return f"{self.PREFIX} {self.workspace_id} {self.run_id}"

    @property
    def folder(self) -> str:
        """The URI of the run's own folder in the workspace, without a trailing slash."""
        return f"{self.workspace_uri}/runs/{self.run_id}"

    def fill(self, text: str) -> str:
        """`text` with the template for the run's folder filled."""
        return text.replace(RUN_TEMPLATE, self.folder)

    @classmethod
    def parse(cls, name: str, workspace_uri: str, workspace_id: str) -> RunKey | None:
        """The key in a cluster's name, or None when the name is not exactly one of this workspace's."""
        parts = name.split(" ")
        if len(parts) != 3 or parts[:2] != [cls.PREFIX, workspace_id] or not _RUN_ID.fullmatch(parts[2]):
            return None
        return cls(workspace_uri, workspace_id, parts[2])


def new_run_id(now_utc_compact: str, random_hex: str) -> str:
    """A run id from a time like 20261120t101530 and eight random hexadecimal digits; sorts by time."""
    run_id = f"{now_utc_compact}-{random_hex}"
    if not is_run_id(run_id):
        raise ValueError(f"{run_id!r} is not a run id")
    return run_id


def is_run_id(text: str) -> bool:
    """Whether `text` has the form of a run id, and so may become part of an S3 key."""
    return bool(_RUN_ID.fullmatch(text))


def plain(value: Any) -> Any:
    """A dataclass, tuple or enum as JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    return value


def spec_from_json(document: Mapping[str, Any]) -> RunSpec:
    """The RunSpec that `plain` made into a document.

    Raises:
        ValueError: it is of another version, or lacks a field.
    """
    try:
        job = dict(document["job"])
        job["metrics"] = tuple(MetricSpec(**metric) for metric in job["metrics"])
        cluster = dict(document["cluster"])
        cluster["applications"] = tuple(cluster["applications"])
        cluster["subnet_ids"] = tuple(cluster["subnet_ids"])
        cluster["tags"] = tuple((key, value) for key, value in cluster["tags"])
        return RunSpec(
            region=document["region"],
            groups=tuple(_group(group) for group in document["groups"]),
            cluster=ClusterSpec(**cluster),
            job=JobSpec(**job),
            steps=tuple(Step(**{**step, "argv": tuple(step["argv"])}) for step in document["steps"]),
            bootstrap=tuple(document["bootstrap"]),
            limits=LimitSpec(**document["limits"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the spec cannot be read: {error}") from error


def _group(document: Mapping[str, Any]) -> NodeGroup:
    market = Market(document.get("market", Market.ON_DEMAND))  # records of the first version have none
    return NodeGroup(**{**document, "role": Role(document["role"]), "market": market})


def canonical(value: Any) -> str:
    """`value` as JSON text that is equal for equal values."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
