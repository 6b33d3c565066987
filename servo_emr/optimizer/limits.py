"""When to stop: after so many runs, dollars or hours of one exploration. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from servo_emr.optimizer.trial import Trial

__all__ = ["Limits", "Spent", "ran"]


@dataclass(frozen=True)
class Spent:
    """What an exploration has taken so far: trials that launched something or ended, USD, hours of real time."""

    runs: int
    usd: float
    hours: float

    @classmethod
    def of(cls, trials: Sequence[Trial], began: float, now: float, late_usd: float = 0.0) -> Spent:
        """Of some trials; `late_usd` was spent on runs that they did not wait for."""
        ended = [trial for trial in trials if trial.outcome is not None]
        runs = sum(ran(trial) for trial in ended)
        return cls(runs, math.fsum([*(trial.spent_usd for trial in trials), late_usd]), max(0.0, now - began) / 3600)


def ran(trial: Trial) -> bool:
    """Whether a trial that has ended counts as a run: one that was refused before anything was launched does not."""
    assert trial.outcome is not None
    return trial.outcome.state != "infeasible" or trial.spent_usd > 0 or trial.outcome.run_id is not None


@dataclass(frozen=True)
class Limits:
    """The operator's limits of one exploration; None: none."""

    runs: int | None = None
    usd: float | None = None
    hours: float | None = None

    def reached(self, spent: Spent, next_usd: float = 0.0) -> str | None:
        """Why no further trial, expected to cost `next_usd`, may begin; None when it may."""
        if self.runs is not None and spent.runs >= self.runs:
            return f"{spent.runs} runs were made, the limit is {self.runs}"
        if self.usd is not None and spent.usd >= self.usd:
            return f"{spent.usd:.4f} USD were spent, the limit is {self.usd:.4f}"
        if self.usd is not None and spent.usd + next_usd > self.usd:
            return (
                f"the next run is expected to cost {next_usd:.4f} USD: with the {spent.usd:.4f} spent that is more "
                f"than the limit of {self.usd:.4f}"
            )
        if self.hours is not None and spent.hours >= self.hours:
            return f"{spent.hours:.1f} hours have passed, the limit is {self.hours:g}"
        return None

    def last(self, spent: Spent, next_usd: float, best_usd: float) -> bool:
        """Whether the next trial, expected to cost `next_usd`, would leave no room to measure the best once more."""
        if self.runs is not None and self.runs - spent.runs == 1:
            return True
        return self.usd is not None and spent.usd + next_usd + best_usd > self.usd >= spent.usd + best_usd

    def left_usd(self, spent: Spent) -> float | None:
        """USD that one trial may cost at most."""
        return None if self.usd is None else max(0.0, self.usd - spent.usd)
