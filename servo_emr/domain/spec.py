"""The frozen description of one run: what to launch and what to run on it; what makes it legal.

A RunSpec is plain data. Two specs that are equal ask for the same cluster and the same job; `canonical` is the
JSON form from which a run's identity is taken.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from servo_emr.domain.cluster import ClusterSpec, Market, NodeGroup, Role
from servo_emr.domain.documents import canonical, from_plain, plain
from servo_emr.domain.stages import COMMAND_RUNNER, JobStage, Kind, Step

__all__ = [
    "COMMAND_RUNNER",
    "INPUTS",
    "METRICS",
    "ClusterSpec",
    "JobSpec",
    "JobStage",
    "Kind",
    "LimitSpec",
    "Market",
    "MetricSpec",
    "NodeGroup",
    "Role",
    "RunKey",
    "RunSpec",
    "Step",
    "canonical",
    "is_artefact",
    "new_run_id",
    "of_repeat",
    "plain",
    "spec_from_json",
]

RUN_TEMPLATE = "{run}"
"""Stands in a step's argv for the URI of the run's own folder; filled when the request is made."""

INPUTS, METRICS = "inputs", "metrics.json"
"""Where in the run's folder preparation restores to, and where the job may write metrics of its own."""

_RUN_ID = re.compile(r"[0-9]{8}t[0-9]{6}-[0-9a-f]{8}")
_FOLDER = re.compile(r"(prepare|run|cleanup)-[0-9]{1,3}")


@dataclass(frozen=True)
class MetricSpec:
    """One metric that the job itself reports: `source` is "notebook" (records), "output" (a pattern) or "file" (a name
    in the JSON file that the job writes)."""

    name: str
    source: str
    key: str
    unit: str


@dataclass(frozen=True)
class JobSpec:
    """The job and how it is run. `parameters` is canonical JSON text, so that the spec stays hashable; they are those
    of the measured notebooks. notebook: the first of these; "" when none is measured. timeout_s holds for each step;
    expected_s is of one repeat's measured steps, beside_s of preparation and clean-up together."""

    notebook: str
    parameters: str
    kernel: str
    timeout_s: float
    expected_s: float
    wheels: str | None = None
    metrics: tuple[MetricSpec, ...] = ()
    repeats: int = 1
    beside_s: float = 0.0

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
        if len({group.fleet is not None for group in self.groups}) > 1:
            raise ValueError("the nodes of a cluster are all in groups, or all in fleets")
        if not any(step.measured for step in self.steps):
            raise ValueError("a run has at least one measured step")
        if {step.repeat for step in self.steps if step.measured} != set(range(1, self.job.repeats + 1)):
            raise ValueError("every repeat of the job has a measured step, and no measured step is of another")

    def limit_s(self, step: Step) -> float:
        """The time limit of a step."""
        return self.job.timeout_s if step.timeout_s is None else step.timeout_s

    @property
    def longest_s(self) -> float:
        """What all its steps may take one after another."""
        return sum(self.limit_s(step) for step in self.steps)

    def of_stage(self, stage: JobStage) -> tuple[Step, ...]:
        """The steps of a stage, in their order."""
        return tuple(step for step in self.steps if step.stage is stage)

    @property
    def executed_notebook(self) -> str | None:
        """Where in the run's folder the first measured notebook is put when it is executed; None without one."""
        first = next((step for step in self.steps if step.measured and step.kind is Kind.NOTEBOOK), None)
        return None if first is None else f"{first.folder}output.ipynb"

    @property
    def staged(self) -> bool:
        """Whether it has more than the one measured step of each repeat."""
        return len(self.steps) > self.job.repeats

    @property
    def nodes(self) -> int:
        """The most nodes that the cluster has, the primary included."""
        return sum(group.most_nodes for group in self.groups)

    @property
    def fewest_nodes(self) -> int:
        """The fewest nodes that it has: fleets may be made up of larger ones."""
        return sum(group.fewest_nodes for group in self.groups)

    @property
    def inst_types(self) -> tuple[str, ...]:
        """The instance types that it may have, each once, in the order of the groups."""
        return tuple(dict.fromkeys(name for group in self.groups for name in group.inst_types))

    @property
    def fleets(self) -> bool:
        """Whether its nodes are instance fleets and not instance groups."""
        return any(group.fleet is not None for group in self.groups)

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

    def references(self, step: Step) -> dict[str, str]:
        """What references in a step stand for that are this run's: its id, and places in its folder.

        run.inputs: what preparation restores; run.metrics: the JSON file with the job's own metrics, one a repeat;
        run.program: the step's own program.
        """
        name = "" if step.source is None else step.source.rstrip("/").rpartition("/")[2]
        return {
            "run_id": self.run_id,
            "run.inputs": f"{self.folder}/{INPUTS}",
            "run.metrics": f"{self.folder}/{of_repeat(METRICS, step.repeat)}",
            "run.program": f"{self.folder}/{step.folder}{name}",
        }

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


def is_artefact(name: str) -> bool:
    """Whether `name` may be that of a file in a run's folder: there, or in the folder of one of its steps."""
    folder, slash, file = name.rpartition("/")
    return file not in ("", ".", "..") and (not slash or bool(_FOLDER.fullmatch(folder)))


def spec_from_json(document: Mapping[str, Any]) -> RunSpec:
    """The RunSpec that `plain` made into a document.

    Raises:
        ValueError: it is of another version, or lacks a field.
    """
    try:
        return from_plain(RunSpec, document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the spec cannot be read: {error}") from error
