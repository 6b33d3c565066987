"""What the runs say: which settings to use and how sure that is, what the search has cost, what failed. Pure.

Every figure is a median of measurements or a sum of what was spent; where there is none, it is None and the page says
why. Nothing here knows how it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servo_emr.domain.errors import Reason
from servo_emr.remedies import next_step
from servo_emr.report.runs import Choice, Kind, Run, choices, front

__all__ = ["Failures", "Findings", "Noise", "findings"]

_STUDENT = {
    1: 12.71,
    2: 4.31,
    3: 3.19,
    4: 2.78,
    5: 2.58,
    6: 2.45,
    7: 2.37,
    8: 2.31,
    9: 2.27,
    10: 2.23,
    15: 2.14,
    30: 2.05,
}
"""From so many degrees of freedom on, Student's 97.5 % quantile (rounded up): a difference of more standard deviations
than that is called clear. A spread that is known from two measurements alone is hardly known."""


@dataclass(frozen=True)
class Noise:
    """How much measurements of equal settings differ: standard deviation as a share of the mean, pooled over all
    settings that were measured more than once; `measurements` of `settings` went into it, a degree of freedom less for
    each of the settings.
    """

    share: float
    measurements: int
    settings: int

    @property
    def freedom(self) -> int:
        """Degrees of freedom."""
        return self.measurements - self.settings

    @property
    def factor(self) -> float:
        """How many standard deviations make a difference clear."""
        return _STUDENT[max(least for least in _STUDENT if least <= self.freedom)]


@dataclass(frozen=True)
class Failures:
    """All runs that failed for one reason, oldest first."""

    reason: str
    remedy: str
    runs: tuple[Run, ...]

    @property
    def spent(self) -> float:
        return math.fsum(run.spent for run in self.runs)


@dataclass(frozen=True)
class Findings:
    """The runs, oldest first, and what follows from them.

    choices: settings with their measurements, cheapest first. baseline_is_configured: whether the baseline is what
    servo.yaml says; if not, it is what was measured first. clear: whether the recommended settings beat the runner-up
    beyond noise; None where that cannot be told. saving_is_clear: the same against the baseline. payback: how many
    runs of the job, at the recommended settings in the place of the baseline's, save what all runs have cost; None
    where nothing is saved.
    """

    runs: tuple[Run, ...]
    choices: tuple[Choice, ...]
    front: tuple[Choice, ...]
    best: Choice | None
    fastest: Choice | None
    runner_up: Choice | None
    baseline: Choice | None
    baseline_is_configured: bool
    cost_noise: Noise | None
    duration_noise: Noise | None
    clear: bool | None
    saving_is_clear: bool | None
    spent: float
    payback: int | None
    failures: tuple[Failures, ...]

    def of(self, *kinds: Kind) -> list[Run]:
        """The runs of these kinds."""
        return [run for run in self.runs if run.kind in kinds]

    @property
    def gap(self) -> float | None:
        """How much dearer the runner-up is, as a share of the best."""
        if self.best is None or self.runner_up is None or self.best.cost <= 0:
            return None
        return self.runner_up.cost / self.best.cost - 1

    @property
    def saving(self) -> float | None:
        """USD that a run of the job at the recommended settings saves against the baseline."""
        return None if self.best is None or self.baseline is None else self.baseline.cost - self.best.cost


def findings(
    runs: Sequence[Run], configured: Mapping[str, Any], recommended: Mapping[str, Any] | None = None
) -> Findings:
    """What follows from runs, oldest first.

    Args:
        configured: the settings that servo.yaml has.
        recommended: the settings that somebody else has found best; None: the cheapest by its median. They are shown
            as the recommendation only once they were measured.
    """
    found = choices(runs)
    best = (_with(found, recommended) if recommended is not None else None) or (found[0] if found else None)
    rivals = [choice for choice in found if choice is not best]
    baseline = _with(found, configured)
    first = min(found, key=lambda choice: choice.runs[0].record.created_at, default=None)
    noise = _noise(found, "cost")
    spent = math.fsum(run.spent for run in runs)
    base = baseline or first
    saving = 0.0 if best is None or base is None else base.cost - best.cost
    return Findings(
        runs=tuple(runs),
        choices=tuple(found),
        front=tuple(front(found)),
        best=best,
        fastest=min(found, key=lambda choice: (choice.duration, choice.cost), default=None),
        runner_up=rivals[0] if rivals else None,
        baseline=base,
        baseline_is_configured=baseline is not None,
        cost_noise=noise,
        duration_noise=_noise(found, "duration"),
        clear=_clear(best, rivals[0] if rivals else None, noise),
        saving_is_clear=_clear(best, None if base is best else base, noise),
        spent=spent,
        payback=math.ceil(spent / saving) if saving > 0 else None,
        failures=tuple(_failures(runs)),
    )


def _with(found: Iterable[Choice], settings: Mapping[str, Any]) -> Choice | None:
    """The cheapest choice that has these settings."""
    wanted = {name: str(value) for name, value in settings.items()}
    for choice in found:
        has = {name: str(value) for name, value in choice.runs[-1].record.settings.items()}
        if wanted and wanted.items() <= has.items():
            return choice
    return None


def _noise(found: Iterable[Choice], of: str) -> Noise | None:
    several = [choice.deviations(of) for choice in found if len(choice.runs) > 1]
    freedom = sum(len(deviations) - 1 for deviations in several)
    if not freedom:
        return None
    squares = math.fsum(deviation**2 for deviations in several for deviation in deviations)
    return Noise(math.sqrt(squares / freedom), sum(map(len, several)), len(several))


def _clear(best: Choice | None, rival: Choice | None, noise: Noise | None) -> bool | None:
    if best is None or rival is None or noise is None or best.cost <= 0:
        return None
    between = noise.share * math.sqrt(1 / len(best.runs) + 1 / len(rival.runs))
    return rival.cost / best.cost - 1 > noise.factor * between


def _failures(runs: Iterable[Run]) -> list[Failures]:
    """Failures by reason, the dearest first."""
    by_reason: dict[str, list[Run]] = {}
    for run in runs:
        if run.kind is Kind.FAILED:
            by_reason.setdefault(run.record.reason or Reason.BUG, []).append(run)
    found = [
        Failures(reason, same[-1].record.remedy or next_step(Reason(reason)), tuple(same))
        for reason, same in by_reason.items()
    ]
    return sorted(found, key=lambda failures: (-failures.spent, -len(failures.runs), failures.reason))
