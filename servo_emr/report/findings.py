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

_CLEAR = 2.0
"""A difference of so many standard deviations is called clear."""


@dataclass(frozen=True)
class Noise:
    """How much measurements of equal settings differ: standard deviation as a share of the mean, pooled over all
    settings that were measured more than once; `measurements` of `settings` went into it."""

    share: float
    measurements: int
    settings: int


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
    beyond noise; None where that cannot be told. payback: how many runs of the job, at the recommended settings in the
    place of the baseline's, save what all runs have cost; None where nothing is saved.
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
        clear=_clear(best, rivals, noise),
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


def _clear(best: Choice | None, rivals: Sequence[Choice], noise: Noise | None) -> bool | None:
    if best is None or not rivals or noise is None or best.cost <= 0:
        return None
    rival = rivals[0]
    between = noise.share * math.sqrt(1 / len(best.runs) + 1 / len(rival.runs))
    return rival.cost / best.cost - 1 > _CLEAR * between


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
