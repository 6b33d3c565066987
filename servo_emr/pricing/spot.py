"""A spot price over time: a step function of one pool, and its integral.

Pure. Where the points come from is not known here.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from servo_emr.domain.money import SpotPoint

__all__ = ["Steps"]

_HOUR_S = 3600.0


class Steps:
    """The price of one pool: each point's price holds until the next point, the last one's for ever.

    Raises:
        ValueError: there is no point, a price is none, or the points are not oldest first.
    """

    def __init__(self, points: Sequence[SpotPoint]) -> None:
        if not points:
            raise ValueError("there is no price")
        before = -math.inf
        for point in points:
            if not 0 < point.usd < math.inf:
                raise ValueError(f"a price is {point.usd}")
            if not before <= point.at < math.inf:
                raise ValueError("the prices are not oldest first")
            before = point.at
        self.begins = points[0].at
        self._at = [point.at for point in points]
        self._usd = [point.usd for point in points]
        self._until = [0.0]
        for index in range(1, len(points)):
            self._until.append(self._sum(index - 1, self._at[index]))

    @property
    def latest(self) -> float:
        """The last price known, USD per hour."""
        return self._usd[-1]

    def usd(self, start: float, end: float) -> float:
        """What an hour-priced thing costs from `start` to `end`; never falls when `end` is later.

        Raises:
            ValueError: `start` is before the first point.
        """
        if start < self.begins:
            raise ValueError(f"prices are known only {self.begins - start:.0f} s after the beginning")
        return self._spent(end) - self._spent(start)

    def extent(self, start: float, end: float) -> list[float]:
        """The different prices in force between `start` and `end`, ascending."""
        first = max(0, bisect.bisect_right(self._at, start) - 1)
        return sorted(set(self._usd[first : max(first + 1, bisect.bisect_left(self._at, end))]))

    def _spent(self, at: float) -> float:
        # The integral up to each point is kept, so that the bill of a thousand instances reads a month's prices once.
        index = bisect.bisect_right(self._at, at) - 1
        return self._sum(index, at)

    def _sum(self, index: int, at: float) -> float:
        return self._until[index] + (at - self._at[index]) / _HOUR_S * self._usd[index]
