"""The queue of what is going to happen, ordered by W. Knows neither clusters nor real time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Event", "EventQueue", "Job"]


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


@dataclass(order=True)
class Event:
    """Something that happens at `at`. With a `gate`, W stands still there until that job has ended."""

    at: float
    sequence: int
    action: Callable[[], None] = field(compare=False)
    gate: Job | None = field(compare=False, default=None)
    cancelled: bool = field(compare=False, default=False)

    @property
    def held(self) -> bool:
        return self.gate is not None and self.gate.exit_status is None


class EventQueue:
    """Events by time, equal times in the order in which they were scheduled."""

    def __init__(self) -> None:
        self._heap: list[Event] = []
        self._sequence = 0

    def schedule(self, at: float, action: Callable[[], None], gate: Job | None = None) -> Event:
        self._sequence += 1
        event = Event(at, self._sequence, action, gate)
        heapq.heappush(self._heap, event)
        return event

    def peek(self) -> Event | None:
        """The next event that has not been cancelled; it stays in the queue."""
        while self._heap and self._heap[0].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    def pop(self) -> Event:
        """The next event, removed. Raises IndexError when there is none."""
        event = self.peek()
        if event is None:
            raise IndexError("no event is scheduled")
        return heapq.heappop(self._heap)
