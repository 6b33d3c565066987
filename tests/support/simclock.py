"""A clock for policy tests: hours pass in the blink of an eye, and what is due on the way is called on the way."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

__all__ = ["START", "HandClock", "SimClock"]

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
        await asyncio.sleep(0)  # whoever has been cancelled before does not sleep
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


class HandClock:
    """`domain.ports.Clock` for several tasks at once: time passes only when the test says so, and wakes who is due."""

    def __init__(self, start: float = START) -> None:
        self._now = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._count), waking))
        await waking

    async def advance(self, seconds: float) -> None:
        """Lets that many seconds pass, everybody waking at his own time."""
        until = self._now + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, waking = heapq.heappop(self._sleepers)
            self._now = max(self._now, at)
            if not waking.done():
                waking.set_result(None)
            await self._settle()
        self._now = until
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
