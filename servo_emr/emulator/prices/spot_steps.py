"""A price that changes in steps over W: what it is at a time, and when it is next on one side of a bid."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Change", "StepPrice"]

Change = tuple[float, float]
"""(W, the price from then on)"""


@dataclass(frozen=True)
class StepPrice:
    """`prices[i]` holds from `times[i]` until the next change; the times ascend, at least one is there.

    Without a `cycle` there is no price before the first change, and the last price stays. With one, in seconds, and
    longer than the times are apart, the changes come again and again, forwards and backwards.
    """

    times: Sequence[float]
    prices: Sequence[float]
    cycle: float | None = None

    def at(self, now: float) -> float | None:
        """The price that holds at `now`; None before there is one."""
        number = self._number(now)
        return None if number is None else self._change(number)[1]

    def first(self, since: float, wanted: Callable[[float], bool]) -> float:
        """The first W, not before `since`, at which the price is wanted; infinity if it never is."""
        number = self._number(since)
        if number is not None and wanted(self._change(number)[1]):
            return since
        start = 0 if number is None else number + 1
        end = start + len(self.times) if self.cycle is not None else len(self.times)
        changes = (self._change(later) for later in range(start, end))
        return next((at for at, price in changes if wanted(price)), math.inf)

    def backwards(self, start: float, end: float) -> Iterator[Change]:
        """The changes in (start, end], newest first, and last the one by which the price at `start` holds."""
        number = self._number(end)
        while number is not None:
            at, price = self._change(number)
            yield at, price
            if at <= start or (number == 0 and self.cycle is None):
                return
            number -= 1

    def _change(self, number: int) -> Change:
        turn, index = divmod(number, len(self.times))
        return self.times[index] + turn * (self.cycle or 0.0), self.prices[index]

    def _number(self, now: float) -> int | None:
        """Of the last change not after `now`."""
        if self.cycle is None:
            index = bisect_right(self.times, now) - 1
            return index if index >= 0 else None
        turn = math.floor((now - self.times[0]) / self.cycle)
        number = turn * len(self.times) + bisect_right(self.times, now - turn * self.cycle) - 1
        while self._change(number)[0] > now:  # what the division lost
            number -= 1
        while self._change(number + 1)[0] <= now:
            number += 1
        return number
