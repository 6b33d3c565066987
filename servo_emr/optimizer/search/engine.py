"""The one class that suggests."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from numpy.random import default_rng

from servo_emr.optimizer.instances import InstanceType
from servo_emr.optimizer.prices import Prices
from servo_emr.optimizer.search.space import Space
from servo_emr.optimizer.search.terms import Best, Objective, Observation, Stop, Suggestion

__all__ = ["Search"]


class Search:
    """Suggests trials in a space for an objective."""

    def __init__(
        self,
        space: Space,
        objective: Objective,
        prices: Prices | None,
        instances: Mapping[str, InstanceType],
        seed: int = 0,
    ) -> None:
        self._space = space
        self._objective = objective
        self._seed = seed

    def suggest(self, observations: Sequence[Observation]) -> Suggestion | Stop:
        """The next trial, or that none pays."""
        tried = {self._space.configuration(one.settings) for one in observations if one.outcome != "failed"}
        current = self._space.current
        if current is not None and self._space.configuration(current) not in tried:
            return Suggestion(dict(current), "baseline", "The current settings are measured first.")
        best = self.best(observations)
        chance = default_rng([self._seed, len(observations)])
        left = [one for one in self._space.ground(chance, []) if one not in tried]
        if left:
            chosen = left[int(chance.integers(len(left)))]
            return Suggestion(self._space.settings(chosen), "explore", "It has not been tried.")
        if best is not None and not best.confirmed:
            return Suggestion(dict(best.settings), "confirm", "The best is measured once more.")
        return Stop("Every configuration has been tried.")

    def confirm(self, observations: Sequence[Observation]) -> Suggestion | None:
        """The best once more, for who has one trial left; None when it is confirmed, or nothing was measured."""
        best = self.best(observations)
        if best is None or best.confirmed:
            return None
        return Suggestion(dict(best.settings), "confirm", "The best is measured once more.")

    def best(self, observations: Sequence[Observation]) -> Best | None:
        """The best configuration that was measured."""
        found: dict[object, list[Observation]] = {}
        for one in observations:
            if one.outcome == "done":
                found.setdefault(self._space.configuration(one.settings), []).append(one)
        summaries = [self._summary(group) for group in found.values()]
        return min(summaries, key=lambda one: one.duration_s if one.cost_usd is None else one.cost_usd, default=None)

    def _summary(self, group: Sequence[Observation]) -> Best:
        duration = statistics.median(one.duration_s or math.nan for one in group)
        costs = [one.cost_usd for one in group if one.cost_usd is not None]
        return Best(
            group[0].settings, duration, statistics.median(costs) if costs else None, len(group) > 1, len(group)
        )
