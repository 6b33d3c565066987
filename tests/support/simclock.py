"""A clock for policy tests: hours pass in the blink of an eye, and what is due on the way is called on the way."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

__all__ = ["START", "SimClock"]

START = 1_795_000_000.0
"""2026-11-18 11:06:40 UTC."""


class SimClock:
    """`domain.ports.Clock` whose sleepers move it on. One sleeper at a time."""

    def __init__(self, start: float = START) -> None:
        self._now = start
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._count = itertools.count()
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        until = self._now + seconds
        while self._due and self._due[0][0] <= until:
            at, _, act = heapq.heappop(self._due)
            self._now = max(self._now, at)
            act()
            await asyncio.sleep(0)  # a cancellation arrives here, at the time it was meant for
        self._now = max(self._now, until)
        await asyncio.sleep(0)

    def at(self, seconds_from_now: float, act: Callable[[], object]) -> None:
        """Calls `act` when that many seconds of this clock have passed."""
        heapq.heappush(self._due, (self._now + seconds_from_now, next(self._count), act))
