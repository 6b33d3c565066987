"""The words of the search: what is wanted, what was seen, what is proposed. Plain values, no arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Best", "Kind", "Objective", "ObjectiveKind", "Observation", "Outcome", "Stop", "Suggestion", "Value"]

Value = str | int | float
"""A setting's value."""

ObjectiveKind = Literal["cheapest", "cheapest-under-deadline", "fastest-under-price"]
Outcome = Literal["done", "infeasible", "censored", "failed"]
Kind = Literal["baseline", "initial", "explore", "confirm"]


@dataclass(frozen=True)
class Objective:
    """What is looked for.

    Args:
        kind: the cheapest run, the cheapest one of at most `deadline_s` of job, or the fastest of at most `price_usd`.
        deadline_s: seconds of the job (the metric `duration`); needed by cheapest-under-deadline.
        price_usd: USD of one run (the metric `cost`); needed by fastest-under-price.
        runs_declared: how many runs are to come after the search: the saving is theirs, the search's bill is spread
            over them.

    Whoever asks for the fastest is taken to value time at what they would pay for it: a run that takes a tenth less is
    worth a tenth of `price_usd`.

    Raises:
        ValueError: a needed bound is missing, or a number is not positive; the message names the field.
    """

    kind: ObjectiveKind = "cheapest"
    deadline_s: float | None = None
    price_usd: float | None = None
    runs_declared: int = 100

    def __post_init__(self) -> None:
        needed = {"cheapest-under-deadline": "deadline_s", "fastest-under-price": "price_usd"}.get(self.kind)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"the objective {self.kind} needs {needed}")
        for name in ("deadline_s", "price_usd", "runs_declared"):
            number = getattr(self, name)
            if number is not None and not 0 < number < math.inf:
                raise ValueError(f"{name} is {number}; it must be a positive number")


@dataclass(frozen=True)
class Observation:
    """One trial that has ended.

    Args:
        settings: by selector, all of the description's.
        outcome: done: measured. infeasible: the configuration cannot run the job (too little memory, not offered, out
            of bounds). censored: cut short by its own limit, so that its job takes at least `duration_s`. failed: the
            environment's or the job's failure, which says nothing about the configuration.
        duration_s: the job's seconds when done; the limit that was passed when censored; else what is known, or None.
        cost_usd: USD of one run (the metric `cost`), when done.
        spent_usd: USD that were paid for the trial, whatever became of it.
        phases: seconds by phase, as far as known: provisioning (launch to the first step), teardown.
    """

    settings: Mapping[str, Value]
    outcome: Outcome
    duration_s: float | None = None
    cost_usd: float | None = None
    spent_usd: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.outcome in ("done", "censored") and not (
            self.duration_s is not None and 0 < self.duration_s < math.inf
        ):
            raise ValueError(f"a trial that is {self.outcome} needs duration_s, not {self.duration_s}")


@dataclass(frozen=True)
class Suggestion:
    """The next trial.

    Args:
        settings: by selector, all of the description's, each within its bounds.
        kind: baseline: the current settings. initial: one of the first, spread points. explore: where the expected
            saving per dollar is greatest. confirm: the best once more, before it is declared.
        deadline_s: seconds of job after which the trial is worse than it can ever be worth: the limit to cut it short
            at (`control.userdata.emr.deadline_s`); None: no limit.
        predicted_duration_s, predicted_cost_usd: medians of what is expected; None while nothing is known.
        expected_gain_usd: USD that the trial is expected to save per future run, and
        expected_gain_total_usd: over all declared runs; None while nothing is known.
        why: one sentence for a person.
    """

    settings: Mapping[str, Value]
    kind: Kind
    why: str
    deadline_s: float | None = None
    predicted_duration_s: float | None = None
    predicted_cost_usd: float | None = None
    expected_gain_usd: float | None = None
    expected_gain_total_usd: float | None = None


@dataclass(frozen=True)
class Stop:
    """No further trial pays. reason: a sentence; the gain is what the best trial left would save, as in Suggestion."""

    reason: str
    expected_gain_usd: float = 0.0
    expected_gain_total_usd: float = 0.0


@dataclass(frozen=True)
class Best:
    """The best configuration measured so far.

    duration_s and cost_usd are robust estimates over its `repeats` measurements; cost_usd is None when no dollars were
    ever reported. confirmed: it was measured more than once, and the measurements agree.
    """

    settings: Mapping[str, Value]
    duration_s: float
    cost_usd: float | None
    confirmed: bool
    repeats: int
