"""The record of one run while it is written.

The intent must be on record before anything is launched. After that a record that cannot be written is said aloud and
written with the next transition: a run is never ended because its diary was out of reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from servo_emr.domain.errors import Conflict, RunError
from servo_emr.domain.ports import Clock, Workspace
from servo_emr.domain.run import RunRecord, RunState

__all__ = ["Diary"]

_LAST_TRIES_S = (0.0, 5.0, 15.0, 40.0)


class Diary:
    """Keeps one record and writes it whole at every transition.

    Args:
        workspace, clock: the ports.
        record: the record to begin with; nothing is written yet.
        warn: called with a sentence for the log.
        version: of the record that is there already.
    """

    def __init__(
        self,
        workspace: Workspace,
        clock: Clock,
        record: RunRecord,
        warn: Callable[[str], None],
        version: str | None = None,
    ) -> None:
        self.record = record
        self._workspace = workspace
        self._clock = clock
        self._warn = warn
        self._version = version
        self._turn = asyncio.Lock()

    def note(self, **changes: Any) -> None:
        """Changes fields that the next write takes along."""
        self.record = replace(self.record, **changes)

    async def intend(self) -> None:
        """Writes the intent. Raises what the workspace raises: without it nothing may be launched."""
        async with self._turn:
            self._version = await self._workspace.save(self.record, self._version)

    async def move(self, state: RunState, **changes: Any) -> None:
        """Enters a later state, and writes it if that can be done now."""
        self.record = self.record.moved(state, **changes)
        await self._try_to_write()

    async def close(self) -> bool:
        """Writes the finished record; returns whether it was written."""
        for wait in _LAST_TRIES_S:
            if wait:
                await self._clock.sleep(wait)
            if await self._try_to_write():
                return True
        return False

    async def _try_to_write(self) -> bool:
        async with self._turn:
            try:
                self._version = await self._workspace.save(self.record, self._version)
            except Conflict as conflict:
                self._warn(f"{conflict}: it is this run's record, and is written over")
                return await self._write_over()
            except RunError as error:
                self._warn(f"the record of {self.record.run_id} could not be written ({error.reason}): {error.message}")
                return False
            return True

    async def _write_over(self) -> bool:
        try:
            found = await self._workspace.record(self.record.run_id)
            self._version = await self._workspace.save(self.record, None if found is None else found[1])
        except (Conflict, RunError, ValueError) as error:
            self._warn(f"the record of {self.record.run_id} could not be written: {error}")
            return False
        return True
