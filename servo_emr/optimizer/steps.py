"""What a study may want next of its servo, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from servo_emr.optimizer.study import Distributions
from servo_emr.optimizer.trial import Plan, Value

__all__ = ["Apply", "Ask", "Rest"]


@dataclass(frozen=True)
class Ask:
    """A trial to be made."""

    plan: Plan
    distributions: Distributions
    metric: str


@dataclass(frozen=True)
class Apply:
    """Settings that are to be left in place."""

    settings: Mapping[str, Value]


@dataclass(frozen=True)
class Rest:
    """Nothing to do for so many seconds."""

    seconds: float
    reason: str
