"""A run while it lives and after it: its states, what one look shows, its usage, its cost, its record.

Times are seconds since the epoch (UTC) as floats, money is USD, so that a record is plain JSON.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from servo_emr.domain.attempt import Attempt
from servo_emr.domain.cluster import Volume
from servo_emr.domain.errors import Reason, RunError, Verdict
from servo_emr.domain.kinds import check_kinds
from servo_emr.domain.spec import JobStage, plain

__all__ = [
    "TEARDOWN_S",
    "InstanceRow",
    "JobEvidence",
    "Observation",
    "RunRecord",
    "RunState",
    "StepLook",
    "StepState",
    "Timeline",
    "Usage",
    "Volume",
    "is_spot",
]

SCHEMA = 1

TEARDOWN_S = 60.0
"""What a cluster is expected to take to end."""


class RunState(enum.StrEnum):
    """The phases of a run, in order. A run only ever moves forward; VERIFIED is terminal: the cluster is seen dead."""

    QUEUED = "queued"
    PROVISIONING = "provisioning"
    BOOTSTRAPPING = "bootstrapping"
    RUNNING = "running"
    COLLECTING = "collecting"
    ENDING = "ending"
    VERIFIED = "verified"

    @property
    def order(self) -> int:
        """Position in the life of a run."""
        return _ORDER[self]

    @property
    def terminal(self) -> bool:
        """Whether nothing of the run can still cost money."""
        return self is RunState.VERIFIED


_ORDER = {state: position for position, state in enumerate(RunState)}


class StepState(enum.StrEnum):
    """What became of one step, in our words. Only COMPLETED is success."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """Whether the step can no longer change."""
        return self not in (StepState.PENDING, StepState.RUNNING)


@dataclass(frozen=True)
class Timeline:
    """When something was created, ready (for a step: started) and ended; None where it has not, or is not known."""

    created: float | None = None
    ready: float | None = None
    ended: float | None = None


@dataclass(frozen=True)
class StepLook:
    """One step as last seen. `failure` holds the service's own words on a failed step: reason, message, log file.

    stage: prepare, run or cleanup; "" while nobody has said, in records of the first version, and for a step that
    somebody else has added.
    """

    step_id: str
    name: str
    state: StepState
    timeline: Timeline = Timeline()
    failure: Mapping[str, str] = field(default_factory=dict)
    stage: str = ""

    @property
    def decides(self) -> bool:
        """Whether the run's outcome hangs on it: clean-up only tidies."""
        return self.stage != JobStage.CLEANUP


@dataclass(frozen=True)
class Observation:
    """One look at a cluster. Fields that the look did not ask for are carried over from the look before.

    `cause_code` and `cause_message` are the service's StateChangeReason, `errors` its ErrorDetails;
    `end_reason` is what they mean in our closed list, None while nothing has gone wrong.
    """

    state: RunState
    timeline: Timeline = Timeline()
    steps: tuple[StepLook, ...] = ()
    cause_code: str = ""
    cause_message: str = ""
    errors: tuple[Mapping[str, Any], ...] = ()
    end_reason: Reason | None = None

    @property
    def steps_ended(self) -> bool:
        """Whether there are steps and none of them can still change."""
        return bool(self.steps) and all(step.state.ended for step in self.steps)

    @property
    def step_failed(self) -> StepLook | None:
        """The first step of the job that ended otherwise than COMPLETED, oldest first."""
        return next((s for s in self.steps if s.decides and s.state.ended and s.state is not StepState.COMPLETED), None)

    @property
    def job_ended(self) -> float | None:
        """When the last step of the job that has ended did: what clean-up takes is not the job's."""
        return max((s.timeline.ended for s in self.steps if s.decides and s.timeline.ended is not None), default=None)


@dataclass(frozen=True)
class InstanceRow:
    """One instance that the cluster ever had, a replaced one included. `group` is the service's id of its group.

    state is the service's word, cause what it says of the last change; ended says whether nothing runs any more.
    volumes are those that were asked for beside the root volume; None: what its type gets by default. role is the
    group's, "" in rows of the first version.
    """

    instance_id: str
    inst_type: str
    group: str
    market: str
    state: str
    timeline: Timeline = Timeline()
    ended: bool = True
    cause: str = ""
    volumes: tuple[Volume, ...] | None = None
    role: str = ""


def is_spot(row: InstanceRow) -> bool:
    """Whether the instance was bought on spot, in whatever spelling."""
    return row.market.lower() == "spot"


@dataclass(frozen=True)
class Usage:
    """Everything that was running on our account for one run; `root` is each instance's root volume."""

    region: str
    rows: tuple[InstanceRow, ...]
    root: Volume
    zone: str | None = None


@dataclass(frozen=True)
class JobEvidence:
    """What a finished run shows of its job.

    problem is None only when result.json of this very run says succeeded and no cell holds an error.
    metrics holds the values that were found; missing says for each other metric why it has none. step: the index of
    the step with the problem, where that is known.
    """

    problem: RunError | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None


@dataclass(frozen=True)
class RunRecord:
    """All that is known of one run; replaced whole at every transition and read back after a restart.

    launched_at and usd_per_hour let another process go on watching it within its own limits; released says that its
    end was asked for before it was decided; recovered that another process saw it through; cmd_uid and answered_at to
    which command it was given as the answer, when; public is what of the message may leave the account; emulated says
    that what answered in AWS's place was an emulator: none of the figures is AWS's.
    attempts are the launches before the one that cluster_id, launched_at and the figures tell of; given_up says why
    that one is being ended for another; repeated that it was disturbed, and is run again instead of being reported.
    """

    run_id: str
    workspace_id: str
    created_at: float
    identity: str
    spec: Mapping[str, Any]
    notebook_sha256: str
    request: Mapping[str, Any] = field(default_factory=dict)
    state: RunState = RunState.QUEUED
    cluster_id: str | None = None
    verdict: Verdict | None = None
    reason: str | None = None
    message: str = ""
    remedy: str = ""
    public: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[StepLook, ...] = ()
    timeline: Timeline = Timeline()
    cause: Mapping[str, Any] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    prices: Mapping[str, Any] | None = None
    cost: Mapping[str, Any] | None = None
    cost_so_far: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    urls: Mapping[str, str] = field(default_factory=dict)
    launched_at: float | None = None
    usd_per_hour: float = 0.0
    ended_at: float | None = None
    cmd_uid: str | None = None
    answered_at: float | None = None
    released: bool = False
    recovered: bool = False
    unreleased: bool = False
    attempts: tuple[Attempt, ...] = ()
    given_up: Mapping[str, str] = field(default_factory=dict)
    repeated: bool = False
    emulated: bool = False
    schema: int = SCHEMA

    @property
    def decided(self) -> bool:
        """Whether its verdict is known."""
        return self.verdict is not None

    @property
    def had_cluster(self) -> bool:
        """Whether money may have been spent: some cluster was made for it."""
        return self.cluster_id is not None or any(attempt.cluster_id is not None for attempt in self.attempts)

    @property
    def earlier_usd(self) -> float:
        """What the attempts before the present one have cost."""
        return sum(attempt.usd for attempt in self.attempts)

    @property
    def dead(self) -> frozenset[str]:
        """The clusters of the attempts before the present one: they carry the run's key, and were seen dead."""
        return frozenset(attempt.cluster_id for attempt in self.attempts if attempt.cluster_id is not None)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be done for it: no cluster was launched, or its end is verified."""
        return self.decided and (self.state.terminal or self.state is RunState.QUEUED) and not self.unreleased

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values: every field, and nothing else, as `from_json` reads it."""
        document: dict[str, Any] = plain(self)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunRecord:
        """The record in a document that `to_json` made.

        Raises:
            ValueError: the document is of another schema, lacks a field, or has one that is none of a record's.
        """
        if document.get("schema") != SCHEMA:
            raise ValueError(f"the record has schema {document.get('schema')!r}, this version reads {SCHEMA}")
        try:
            values = dict(document)
            unknown = sorted(values.keys() - {known.name for known in fields(cls)})
            if unknown:
                raise ValueError(
                    f"the record cannot be read: it has {', '.join(unknown)[:200]}, of which only a newer version knows"
                )
            check_kinds(cls, values)
            values["state"] = RunState(values["state"])
            values["verdict"] = Verdict(values["verdict"]) if values["verdict"] else None
            values["timeline"] = Timeline(**values["timeline"])
            values["steps"] = tuple(_step(step) for step in values["steps"])
            values["warnings"] = tuple(values["warnings"])
            values["attempts"] = tuple(_attempt(attempt) for attempt in values.get("attempts", ()))
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the record cannot be read: {error}") from error

    def moved(self, state: RunState, **changes: Any) -> RunRecord:
        """The record in a later state; a state that is not later is left as it is."""
        later = state if state.order > self.state.order else self.state
        return replace(self, state=later, **changes)


def _attempt(document: Mapping[str, Any]) -> Attempt:
    check_kinds(Attempt, document)
    return Attempt(**document)


def _step(document: Mapping[str, Any]) -> StepLook:
    return StepLook(
        **{
            **document,
            "state": StepState(document["state"]),
            "timeline": Timeline(**document["timeline"]),
        }
    )
