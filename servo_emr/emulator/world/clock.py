"""W, the emulator's one clock, as a function of real time. Knows nothing of what happens on it."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Clock"]


class Clock:
    """W runs at `rate` from where it was set last. Not thread-safe: the driver holds a lock.

    `monotonic` gives real seconds; W is in epoch seconds.
    """

    def __init__(self, *, start: float, rate: float, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._base = start
        self._since = monotonic()
        self._rate = rate

    @property
    def rate(self) -> float:
        """Seconds of W a real second."""
        return self._rate

    def now(self) -> float:
        return self.at(self._monotonic())

    def at(self, real: float) -> float:
        """What W was, or will be, at a real time, if nothing sets it meanwhile; never before it was set last."""
        return self._base + max(0.0, real - self._since) * self._rate

    def set(self, now: float, rate: float) -> None:
        """From this moment W is `now` and runs at `rate`."""
        self._base = now
        self._since = self._monotonic()
        self._rate = rate
