"""Where the measured configurations stand: a robust value for each, who leads, and whether that is settled.

Measurements vary by about 3 % and now and then by much more, nearly always upwards. Knows no predictions.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from servo_emr.optimizer.search.space import Configuration, Space
from servo_emr.optimizer.search.terms import Best, Objective, Observation

__all__ = ["NOISE", "Standing", "leader", "robust", "standings", "value"]

NOISE = 0.03
"""What one measurement is off by, relatively."""
_AGREE = 0.10
"""Two measurements of one configuration agree when they are nearer than this, relatively: thrice the noise of two."""
_ENOUGH = 4
"""So many measurements settle it, whether they agree or not."""


@dataclass(frozen=True)
class Standing:
    """One configuration's measurements in sum. cost_usd: None when no run of it told."""

    configuration: Configuration
    first: Observation
    duration_s: float
    cost_usd: float | None
    repeats: int
    agree: bool

    @property
    def confirmed(self) -> bool:
        """Measured more than once, and that is settled."""
        return self.repeats > 1 and (self.agree or self.repeats >= _ENOUGH)

    def as_best(self) -> Best:
        return Best(self.first.settings, self.duration_s, self.cost_usd, self.confirmed, self.repeats)


def robust(numbers: Sequence[float]) -> float:
    """One number for several measurements: what most of them say.

    Two that agree give their geometric mean; of two that do not the smaller, because disturbances slow a run down;
    more give their median.
    """
    if len(numbers) != 2:
        return statistics.median(numbers)
    low, high = sorted(numbers)
    return math.sqrt(low * high) if high <= low * (1 + _AGREE) else low


def standings(space: Space, observations: Sequence[Observation]) -> list[Standing]:
    """Every configuration that was measured, in the order of its first measurement."""
    groups: dict[Configuration, list[Observation]] = {}
    for one in observations:
        configuration = space.configuration(one.settings)
        if one.outcome == "done" and configuration is not None:
            groups.setdefault(configuration, []).append(one)
    return [_summed(configuration, group) for configuration, group in groups.items()]


def _summed(configuration: Configuration, group: Sequence[Observation]) -> Standing:
    durations = sorted(one.duration_s for one in group if one.duration_s is not None)
    costs = [one.cost_usd for one in group if one.cost_usd is not None]
    # The two nearest of the lower ones: an outlier above them does not matter.
    gaps = [high / low - 1 for low, high in itertools.pairwise(durations)]
    agree = bool(gaps) and min(gaps) <= _AGREE
    return Standing(configuration, group[0], robust(durations), robust(costs) if costs else None, len(group), agree)


def value(objective: Objective, standing: Standing, usd: Callable[[Standing], float]) -> float | None:
    """What is minimized, USD or seconds; None when the objective's bound is not met. usd: for one that did not tell."""
    cost = standing.cost_usd if standing.cost_usd is not None else usd(standing)
    if objective.kind == "fastest-under-price":
        within = cost <= (objective.price_usd or math.inf)
        return standing.duration_s if within else None
    if objective.kind == "cheapest-under-deadline" and standing.duration_s > (objective.deadline_s or math.inf):
        return None
    return cost


def leader(
    objective: Objective, found: Sequence[Standing], usd: Callable[[Standing], float]
) -> tuple[Standing, float] | None:
    """(who leads, with which value); None when nothing that was measured meets the objective's bound.

    A single measurement has to be better than a settled one by more than noise: the best of many single ones is partly
    luck.
    """
    best: tuple[float, Standing, float] | None = None
    for one in found:
        reached = value(objective, one, usd)
        if reached is None:
            continue
        weighed = reached * (1.0 if one.confirmed else 1.0 + NOISE)
        if best is None or weighed < best[0]:
            best = weighed, one, reached
    return None if best is None else best[1:]
