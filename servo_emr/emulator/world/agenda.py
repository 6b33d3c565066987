"""What is still to happen to one cluster: its events, which can all be called off or brought forward at once.

Knows W and the spread of times by cluster; not what the events do.
"""

from __future__ import annotations

from collections.abc import Callable

from servo_emr.emulator.world.events import Event
from servo_emr.emulator.world.stage import Stage

__all__ = ["Agenda"]

_FEW = 64


class Agenda:
    """Delays are seconds of W from now; what has an infinite delay never happens."""

    def __init__(self, cluster_id: str, stage: Stage) -> None:
        self._cluster_id = cluster_id
        self._stage = stage
        self._events: list[Event] = []
        self._most = _FEW

    def later(self, delay: float, action: Callable[[], None]) -> Event:
        if len(self._events) >= self._most:
            # A cluster may live long: what has happened must not pile up. Amortised, this costs O(1) an event.
            self._events = [event for event in self._events if not event.over]
            self._most = max(_FEW, 2 * len(self._events))
        event = self._stage.schedule(self._stage.now + delay, action)
        self._events.append(event)
        return event

    def spread(self, phase: str, seconds: float) -> float:
        """The seconds that a phase takes for this cluster: up to a share longer or shorter, always the same."""
        share = self._stage.times.spread
        return seconds * self._stage.ids.uniform(f"spread/{self._cluster_id}/{phase}", 1 - share, 1 + share)

    def clear(self) -> None:
        """Nothing of it happens."""
        for event in self._events:
            event.cancel()
        self._events.clear()

    def hasten(self) -> None:
        """All of it happens now, in the order in which it would have."""
        events = sorted((event for event in self._events if not event.over), key=lambda event: event.at)
        self._events.clear()
        for event in events:
            event.happen()
