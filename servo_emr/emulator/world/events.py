"""The queue of what is going to happen, ordered by W. Knows neither clusters nor real time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Protocol

__all__ = ["Event", "EventQueue", "Job"]

_FEW = 1024


class Job(Protocol):
    """A piece of real work: a process that ends when it ends."""

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""

    @property
    def finished_at(self) -> float:
        """The real moment of its end, on the monotonic clock; meaningless while it runs."""

    def kill(self) -> None:
        """Ends the whole process tree; returns when it is gone. May be repeated, and is safe on the ended."""


class Event:
    """Something that happens at `at`. With a `gate`, W stands still there until that job has ended.

    `over`: it has happened or been cancelled, and holds on to nothing any more.
    """

    __slots__ = ("action", "at", "gate", "over")

    def __init__(self, at: float, action: Callable[[], None], gate: Job | None = None) -> None:
        self.at = at
        self.action = action
        self.gate = gate
        self.over = False

    @property
    def held(self) -> bool:
        return self.gate is not None and self.gate.exit_status is None

    def cancel(self) -> None:
        """It will not happen. May be repeated, and does nothing to what has happened."""
        self.over = True
        self.action = _nothing
        self.gate = None

    def happen(self) -> None:
        """It happens, once."""
        action = self.action
        self.cancel()
        action()


class EventQueue:
    """Events by time, equal times in the order in which they were scheduled."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Event]] = []
        self._sequence = 0
        self._most = _FEW

    def __len__(self) -> int:
        """How many events are kept; some of them may be over."""
        return len(self._heap)

    def schedule(self, at: float, action: Callable[[], None], gate: Job | None = None) -> Event:
        """An event at infinity is not kept: it never happens."""
        event = Event(at, action, gate)
        if at == math.inf:
            return event
        if len(self._heap) >= self._most:
            # Cancelled events far ahead must not pile up. Amortised, this costs O(1) an event.
            self._heap = [entry for entry in self._heap if not entry[2].over]
            heapq.heapify(self._heap)
            self._most = max(_FEW, 2 * len(self._heap))
        self._sequence += 1
        heapq.heappush(self._heap, (at, self._sequence, event))
        return event

    def peek(self) -> Event | None:
        """The next event that is not over; it stays in the queue."""
        while self._heap and self._heap[0][2].over:
            heapq.heappop(self._heap)
        return self._heap[0][2] if self._heap else None

    def pop(self) -> Event:
        """The next event, removed. Raises IndexError when there is none."""
        event = self.peek()
        if event is None:
            raise IndexError("no event is scheduled")
        heapq.heappop(self._heap)
        return event


def _nothing() -> None:
    """What an event that is over does."""
