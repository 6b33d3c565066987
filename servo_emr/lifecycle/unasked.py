"""Runs that are unfinished wait to be asked for again, but not for ever: nobody enforces their limits meanwhile.

In real time, whatever W does: it is the optimizer that is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from servo_emr.domain.errors import RunError
from servo_emr.domain.ports import Clock

__all__ = ["UNASKED_S", "Unasked"]

UNASKED_S = 600.0
"""So long without a measurement, and what is unfinished is ended."""


class Unasked:
    """A wait for the next measurement.

    Args:
        clock: real time.
        mine: whether this process drives the workspace now.
        abandon: ends what is unfinished, and returns what could not be: that is tried again.
        warn: called with a sentence for the log.
    """

    def __init__(
        self,
        clock: Clock,
        mine: Callable[[], bool],
        abandon: Callable[[], Awaitable[Sequence[RunError]]],
        warn: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._mine = mine
        self._abandon = abandon
        self._warn = warn
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Nothing is measured from now on, until somebody says `stop`."""
        self._task = asyncio.create_task(self._wait())

    async def stop(self) -> None:
        """A measurement begins, or the process ends. What was being ended is left as it is, on record."""
        if (task := self._task) is not None:
            self._task = None
            task.cancel()
            await asyncio.wait({task})

    async def _wait(self) -> None:
        while True:
            await self._clock.sleep(UNASKED_S)
            if self._mine() and await self._ended():
                return

    async def _ended(self) -> bool:
        try:
            return not await self._abandon()
        except Exception as error:  # noqa: BLE001 - a task has nobody to tell; what may be alive is tried again
            self._warn(f"what is unfinished could not be ended: {error!r}")
            return False
