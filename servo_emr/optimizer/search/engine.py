"""The one class that suggests: the order of what is tried, and when nothing more is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from servo_emr.optimizer.instances import InstanceType
from servo_emr.optimizer.prices import Prices
from servo_emr.optimizer.search import words
from servo_emr.optimizer.search.cluster import Cluster
from servo_emr.optimizer.search.dollars import Dollars, learn
from servo_emr.optimizer.search.feasible import able
from servo_emr.optimizer.search.features import Array, Features, features
from servo_emr.optimizer.search.hypotheses import PER_DOUBLING
from servo_emr.optimizer.search.space import GROUND, Configuration, Space
from servo_emr.optimizer.search.standing import Standing, leader, standings, value
from servo_emr.optimizer.search.surrogate import Seen, foretell
from servo_emr.optimizer.search.terms import Best, Objective, Observation, Stop, Suggestion
from servo_emr.optimizer.search.worth import CUT, Outlook, outlook

__all__ = ["Search"]

_FIRST_PER_DOUBLING = PER_DOUBLING - 0.15
_CHEAP = 0.3
"""What a deviation of price counts beside one of distance, for the second point."""
_TRIES = 2
"""A configuration whose trials failed so often, for reasons of the environment or the job, is left alone."""


@dataclass(frozen=True)
class _Ground:
    """What is weighed: the configurations, and which rows of them were seen how."""

    points: list[Configuration]
    sizes: Features
    dollars: Dollars
    rows: Mapping[Configuration, int]

    def of(self, found: Sequence[Configuration | None]) -> NDArray[np.intp]:
        return np.array([self.rows[one] for one in found if one is not None], dtype=np.intp)


class Search:
    """Suggests trials in a space for an objective.

    Every answer is a function of the observations and, in a space of more than 600 configurations, of the seed: asked
    again, it answers the same.

    Args:
        prices: USD per instance-hour; None: dollars are learned from what the runs cost.
        instances: sizes of instance types by name; KeyError for one that is not known.
        seed: which sample of a large space is weighed.
    """

    def __init__(
        self,
        space: Space,
        objective: Objective,
        prices: Prices | None,
        instances: Mapping[str, InstanceType],
        seed: int = 0,
    ) -> None:
        self._space, self._objective = space, objective
        self._prices, self._instances, self._seed = prices, instances, seed
        # What was weighed last: a space that is weighed whole is described once.
        self._known: tuple[list[Configuration], list[Cluster], Features] | None = None

    @property
    def draws(self) -> bool:
        """Whether the seed matters: the space is too large to weigh all of it."""
        return self._space.size > GROUND

    def suggest(self, observations: Sequence[Observation]) -> Suggestion | Stop:
        """The next trial, or that none pays."""
        seen = [one for one in observations if self._space.configuration(one.settings) is not None]
        tried = self._tried(seen)
        current = self._space.current
        if current is not None and self._untried(self._space.configuration(current), tried):
            return Suggestion(dict(current), "baseline", "The current settings are measured first, to compare with.")
        ground = self._ground(seen)
        left = np.array([row for row, point in enumerate(ground.points) if self._untried(point, tried)], dtype=np.intp)
        measured = [one for one in seen if one.outcome in ("done", "censored")]
        if not len(left):
            return self._ended(seen, Stop("every configuration has been tried"))
        if not measured:
            return self._first(ground, left, seen, tried)
        best = self._leader(seen)
        promise = self._outlook(ground, seen, best)
        return self._explored(ground, left, seen, best, promise)

    def confirm(self, observations: Sequence[Observation]) -> Suggestion | None:
        """The best once more, for whoever has one trial left; None when it is settled, nothing was measured, or
        it failed too often.
        """
        best = self.best(observations)
        if best is None or best.confirmed:
            return None
        same = self._space.configuration(best.settings)
        tries = [one for one in observations if self._space.configuration(one.settings) == same]
        if len(tries) - best.repeats >= _TRIES:
            return None  # it has failed since: nobody pays for ever to have it confirmed
        return Suggestion(
            dict(best.settings),
            "confirm",
            words.confirm(best.repeats),
            predicted_duration_s=best.duration_s,
            predicted_cost_usd=best.cost_usd,
        )

    def best(self, observations: Sequence[Observation]) -> Best | None:
        """The best that was measured and meets the objective's bound; None when there is none."""
        seen = [one for one in observations if self._space.configuration(one.settings) is not None]
        found = self._leader(seen)
        return None if found is None else found[0].as_best()

    def _tried(self, seen: Sequence[Observation]) -> set[Configuration | None]:
        failed = [self._space.configuration(one.settings) for one in seen if one.outcome == "failed"]
        tried = {self._space.configuration(one.settings) for one in seen if one.outcome != "failed"}
        return tried | {one for one in failed if failed.count(one) >= _TRIES}

    def _untried(self, configuration: Configuration | None, tried: set[Configuration | None]) -> bool:
        return configuration is not None and configuration not in tried and self._space.allows(configuration)

    def _ground(self, seen: Sequence[Observation]) -> _Ground:
        ended = [self._space.configuration(one.settings) for one in seen]
        usd = self._usd(seen)
        known = [(value(self._objective, one, usd), one.configuration) for one in self._standings(seen)]
        order = [one for _, one in sorted(known, key=lambda one: math.inf if one[0] is None else one[0])]
        chance = np.random.default_rng([self._seed, len(seen)])
        around = [one for one in (*order, *ended) if one is not None]
        points = self._space.ground(chance, dict.fromkeys(around))
        if self._known is None or self._known[0] != points:
            clusters = [Cluster.of(self._space.settings(point), self._instances) for point in points]
            self._known = points, clusters, features(self._space, points, clusters, self._prices)
        _, clusters, sizes = self._known
        rows = {point: row for row, point in enumerate(points)}
        return _Ground(points, sizes, learn(clusters, self._instances, self._prices, seen), rows)

    def _leader(self, seen: Sequence[Observation]) -> tuple[Standing, float] | None:
        return leader(self._objective, self._standings(seen), self._usd(seen))

    def _standings(self, seen: Sequence[Observation]) -> list[Standing]:
        """Of those that may be set still: a description may have been narrowed since."""
        return [one for one in standings(self._space, seen) if self._space.allows(one.configuration)]

    def _usd(self, seen: Sequence[Observation]) -> Callable[[Standing], float]:
        def usd(standing: Standing) -> float:
            """For a run whose bill is not known: what it must have cost."""
            cluster = Cluster.of(standing.first.settings, self._instances)
            dollars = learn([cluster], self._instances, self._prices, seen)
            return float(np.exp2(dollars.log2_usd(np.log2([standing.duration_s]))[0]))

        return usd

    def _outlook(self, ground: _Ground, seen: Sequence[Observation], best: tuple[Standing, float] | None) -> Outlook:
        # A job that could not end, for want of time or memory, has shown all the same how long it takes at least.
        timed = [one for one in seen if one.outcome != "failed" and one.duration_s]
        runtimes = foretell(
            ground.sizes,
            Seen(
                ground.of([self._space.configuration(one.settings) for one in timed]),
                np.log2([one.duration_s or math.nan for one in timed]),
                np.array([one.outcome != "done" for one in timed]),
            ),
        )
        ran = [self._space.configuration(one.settings) for one in seen if one.outcome in ("done", "censored")]
        could_not = [self._space.configuration(one.settings) for one in seen if one.outcome == "infeasible"]
        chance = able(ground.sizes, ground.of(ran), ground.of(could_not))
        return outlook(self._objective, runtimes, ground.dollars, chance, None if best is None else best[1])

    def _first(
        self,
        ground: _Ground,
        left: NDArray[np.intp],
        seen: Sequence[Observation],
        tried: set[Configuration | None],
    ) -> Suggestion:
        """Nothing is known of the job: what is cheapest for a job that scales nearly perfectly, and likely to run.

        After one that could not run, one that is far from it.
        """
        could_not = [self._space.configuration(one.settings) for one in seen if one.outcome == "infeasible"]
        chance = able(ground.sizes, ground.of([]), ground.of(could_not))
        size = ground.sizes.size[:, 0]
        usual = 10.0 + _FIRST_PER_DOUBLING * (size - size.mean())
        dear = ground.dollars.log2_usd(usual) - 4.0 * np.log2(chance)
        if len(tried) == 1 and could_not:
            dear = -self._apart(ground, tried)
        row = int(left[np.argmin(dear[left])])
        return Suggestion(self._space.settings(ground.points[row]), "initial", words.first(bool(could_not)))

    def _explored(
        self,
        ground: _Ground,
        left: NDArray[np.intp],
        seen: Sequence[Observation],
        best: tuple[Standing, float] | None,
        promise: Outlook,
    ) -> Suggestion | Stop:
        runs = self._objective.runs_declared
        net = promise.gain_usd * runs - promise.trial_usd
        paying = left[net[left] > 0]
        if not len(paying):
            top = int(left[np.argmax(net[left])])
            gain = float(promise.gain_usd[top])
            return self._ended(seen, Stop(words.stop(gain * runs, promise.trial_usd[top]), gain, gain * runs))
        tried = {self._space.configuration(one.settings) for one in seen if one.outcome != "failed"}
        spread = len(tried) == 1
        row = int(paying[np.argmax((self._apart(ground, tried) if spread else promise.appeal)[paying])])
        gain = float(promise.gain_usd[row])
        return Suggestion(
            self._space.settings(ground.points[row]),
            "initial" if spread else "explore",
            words.second() if spread else words.explore(promise, row, None if best is None else best[0], runs),
            deadline_s=self._deadline(ground, row, best),
            predicted_duration_s=float(promise.seconds[row]),
            predicted_cost_usd=float(promise.usd[row]),
            expected_gain_usd=gain,
            expected_gain_total_usd=gain * runs,
        )

    def _apart(self, ground: _Ground, tried: Iterable[Configuration | None]) -> Array:
        """n: how far each configuration is from all that were tried, in deviations, and how cheap by the hour."""
        place = np.column_stack([ground.sizes.size, ground.sizes.other])
        place = place / np.maximum(place.std(axis=0), 1e-9)
        squared = ((place[:, None, :] - place[ground.of(list(tried))][None, :, :]) ** 2).sum(axis=2)
        rate = ground.dollars.log2_rate
        return np.asarray(np.sqrt(squared.min(axis=1)) - _CHEAP * (rate - rate.mean()) / max(float(rate.std()), 1e-9))

    def _ended(self, seen: Sequence[Observation], stop: Stop) -> Suggestion | Stop:
        """The end, once the best is settled."""
        return self.confirm(seen) or stop

    def _deadline(self, ground: _Ground, row: int, best: tuple[Standing, float] | None) -> float | None:
        """Seconds of job after which a trial can no longer be worth anything; None when nothing bounds it."""
        limits = []
        if best is not None and self._objective.kind == "fastest-under-price":
            limits.append(best[1] * CUT)
        elif best is not None:
            limits.append(ground.dollars.seconds_for(row, best[1] * CUT))
        if self._objective.deadline_s is not None and self._objective.kind == "cheapest-under-deadline":
            limits.append(self._objective.deadline_s * CUT)
        if self._objective.price_usd is not None and self._objective.kind == "fastest-under-price":
            limits.append(ground.dollars.seconds_for(row, self._objective.price_usd * CUT))
        return max(60.0, math.ceil(min(limits))) if limits else None
