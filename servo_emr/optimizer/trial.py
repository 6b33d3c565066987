"""A trial and what became of it, as the study holds them. Values only: no storage, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

__all__ = ["Attempt", "Issue", "Outcome", "Plan", "Stage", "Trial", "Value"]

Value = str | int | float
Stage = Literal["adjust", "measure"]
Ended = Literal["done", "infeasible", "failed", "censored", "cancelled"]


class _Document:
    """Made of JSON values, and of nothing that is not a field of it."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        known = {one.name for one in fields(cls)}  # type: ignore[arg-type]  # every subclass is a dataclass
        return cls(**{name: value for name, value in document.items() if name in known})


@dataclass(frozen=True)
class Plan(_Document):
    """What is tried, and why. Written when the trial is made, and never changed.

    Args:
        kind: baseline, initial, explore, confirm: the search's. recheck: the best once more, some time later.
        deadline_s, max_cost_usd: the limits that go out with the command; None: none.
        expected_gain_usd: USD a future run, expected of the trial.
        asked_at: seconds since 1970.
    """

    settings: Mapping[str, Value]
    kind: str
    why: str
    asked_at: float
    deadline_s: float | None = None
    max_cost_usd: float | None = None
    predicted_duration_s: float | None = None
    predicted_cost_usd: float | None = None
    expected_gain_usd: float | None = None
    expected_gain_total_usd: float | None = None


@dataclass(frozen=True)
class Issue(_Document):
    """A command that has gone out for a trial. Its uid stays good: whichever of them is answered first ends it."""

    uid: str
    stage: Stage
    at: float


@dataclass(frozen=True)
class Attempt(_Document):
    """A failure after which the same is asked again. uid: the command's that failed."""

    uid: str
    reason: str
    message: str
    run_id: str | None
    spent_usd: float
    at: float


@dataclass(frozen=True)
class Outcome(_Document):
    """How a trial ended.

    Args:
        state: done, infeasible, censored; failed: by the job, or by the environment too often; cancelled: by a person.
        reason: the connector's, or "cancelled".
        duration_s, cost_usd: measured; of a censored trial, the seconds that its job took at least.
        spent_usd: what the last attempt cost; those before it have their own.
        uid: the command's that was answered; "" when none was.
    """

    state: Ended
    reason: str
    ended_at: float
    uid: str = ""
    message: str = ""
    run_id: str | None = None
    duration_s: float | None = None
    cost_usd: float | None = None
    spent_usd: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)
    notebook_sha256: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One trial. `number` counts from 0 over the whole history of the application."""

    number: int
    plan: Plan
    stage: Stage = "adjust"
    issued: tuple[Issue, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    outcome: Outcome | None = None

    @property
    def uid(self) -> str | None:
        """The uid that its command went out under last."""
        return self.issued[-1].uid if self.issued else None

    @property
    def left_usd(self) -> float | None:
        """USD that it may still cost; None: no limit."""
        return None if self.plan.max_cost_usd is None else self.plan.max_cost_usd - self.spent_usd

    @property
    def is_out(self) -> bool:
        """Whether a command of it has gone out that was not answered yet."""
        if not self.issued or self.outcome is not None:
            return False
        last = self.issued[-1]
        return last.stage == self.stage and all(one.uid != last.uid for one in self.attempts)

    def has(self, uid: str | None) -> bool:
        """Whether a command of this trial went out under that uid."""
        return uid is not None and any(one.uid == uid for one in self.issued)

    def stage_of(self, uid: str) -> Stage | None:
        return next((one.stage for one in self.issued if one.uid == uid), None)

    @property
    def spent_usd(self) -> float:
        """All attempts and the last one."""
        return sum(one.spent_usd for one in self.attempts) + (self.outcome.spent_usd if self.outcome else 0.0)
