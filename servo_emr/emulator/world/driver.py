"""Brings the world to where the clock says it is: the one place where real time, real processes and W meet.

The world is a function of W, evaluated at each look and by a thread that sleeps until the next event or the end of
a process. W never passes an event that has not been taken; it stands still at one that waits for a process; and it
runs at 1 while a process runs whose end is not known beforehand. Knows no documents and no HTTP.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from servo_emr.emulator.world.clock import Clock
from servo_emr.emulator.world.world import World

__all__ = ["Driver"]

# Waits are rounded up to this, so that a rest of rounding does not turn into a loop without a pause.
_SHORTEST_WAIT = 0.001


class Driver:
    """Owns the lock under which the world is seen and changed.

    `speed` is how many seconds of W a real second is; at 0, W moves only by hand. `defect` is told of an exception
    in an event, which is a defect of the emulator: the world must not be used after it.
    """

    def __init__(
        self,
        world: World,
        *,
        speed: float,
        defect: Callable[[BaseException], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._world = world
        self._speed = speed
        self._defect = defect
        self._monotonic = monotonic
        self._clock = Clock(start=world.now, rate=speed, monotonic=monotonic)
        self._changed = threading.Condition(threading.RLock())
        self._closed = False
        self._ticker = threading.Thread(target=self._tick, name="emulator-clock", daemon=True)

    def start(self) -> None:
        """From now on events happen without anybody looking."""
        self._ticker.start()

    def close(self) -> None:
        """Events happen no more; whoever waits for W returns."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._ticker.ident is not None and self._ticker is not threading.current_thread():
            self._ticker.join()

    def wake(self) -> None:
        """A process has ended: events that waited for it can happen. Called from any thread."""
        with self._changed:
            self._changed.notify_all()

    @contextmanager
    def world(self) -> Iterator[World]:
        """The world as it is now, for the length of the block; what the block schedules for now happens with it."""
        with self._changed:
            if self._closed:
                raise RuntimeError("the emulator is shutting down")
            self._settle()
            try:
                yield self._world
            finally:
                self._settle()
                self._changed.notify_all()

    def clock(self) -> tuple[float, float]:
        """(W, its rate); the rate is 0 while W stands still for a process."""
        with self._changed:
            self._settle()
            return self._world.now, self._clock.rate

    def wait_until(self, until: float, timeout: float) -> tuple[float, float]:
        """Returns `clock()` when W has come to `until`, or after `timeout` real seconds."""
        deadline = self._monotonic() + timeout
        with self._changed:
            while True:
                self._settle()
                left = deadline - self._monotonic()
                if self._world.now >= until or left <= 0 or self._closed:
                    return self._world.now, self._clock.rate
                if self._clock.rate > 0:
                    left = min(left, (until - self._world.now) / self._clock.rate)
                self._changed.wait(max(left, _SHORTEST_WAIT))

    def set_speed(self, speed: float) -> None:
        with self._changed:
            self._settle()
            self._speed = speed
            self._settle()

    def advance(self, seconds: float) -> tuple[float, float]:
        """Moves W on by `seconds`, taking all events on the way; waits in real time for processes that hold it."""
        with self._changed:
            self._settle()
            target = self._world.now + seconds
            while not self._closed:
                self._settle(target)
                if self._world.now >= target:
                    break
                wait = (target - self._world.now) / self._clock.rate if self._clock.rate > 0 else None
                self._changed.wait(wait if wait is None else max(wait, _SHORTEST_WAIT))
            return self._world.now, self._clock.rate

    # -- under the lock

    def _settle(self, target: float | None = None) -> None:
        """Takes every event up to W; with a `target`, W leaps there as far as processes let it."""
        world = self._world
        while not self._closed:
            self._collect()
            reading = self._clock.now()
            leap = target is not None and target > reading and not world.unplanned
            limit = target if leap and target is not None else reading
            event = world.next_event()
            if event is None or event.at > limit:
                world.now = limit
                self._run_clock(limit, self._rate(), leap=leap)
                return
            if event.held:
                world.now = event.at
                self._run_clock(event.at, 0.0, leap=event.at > reading)
                return
            try:
                world.run_next()
            except Exception as error:
                self._defect(error)
                raise
            self._run_clock(world.now, self._rate(), leap=world.now > reading)

    def _collect(self) -> None:
        """Jobs without a known end that have ended: their end is where W was then."""
        for activity in self._world.unplanned:
            if activity.job.exit_status is not None:
                self._world.end(activity, self._clock.at(activity.job.finished_at))

    def _rate(self) -> float:
        return 1.0 if self._world.unplanned else self._speed

    def _run_clock(self, now: float, rate: float, *, leap: bool = False) -> None:
        if leap or rate != self._clock.rate:
            self._clock.set(now, rate)
            self._changed.notify_all()

    def _tick(self) -> None:
        with self._changed:
            while not self._closed:
                self._settle()
                self._changed.wait(self._until_next_event())

    def _until_next_event(self) -> float | None:
        """Real seconds; None when only somebody's doing can make something happen."""
        event = self._world.next_event()
        if event is None or event.held or self._clock.rate <= 0:
            return None
        return max((event.at - self._world.now) / self._clock.rate, _SHORTEST_WAIT)
