"""The record of one run while it is written.

The intent must be on record before anything is launched. After that a record that cannot be written is said aloud and
written with the next transition: a run is never ended because its diary was out of reach. It is when somebody else is
found to have gone on with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from servo_emr.domain.errors import Conflict, Reason, RunError, Verdict, failure
from servo_emr.domain.ports import Clock, Workspace
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.domain.spec import canonical
from servo_emr.lifecycle.launch import complete

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
        self.taken: RunError | None = None
        """Set once somebody else is found to have gone on with this run; nothing is written over it then."""
        self._workspace = workspace
        self._clock = clock
        self._warn = warn
        self._version = version
        self._unclear: list[str] = []
        self._turn = asyncio.Lock()

    def note(self, **changes: Any) -> None:
        """Changes fields that the next write takes along."""
        self.record = replace(self.record, **changes)

    def decide(self, error: RunError | None, now: float) -> None:
        """Notes the verdict: what the run failed of, None for success."""
        launched = self.record.launched_at is not None
        # A defect between the launch and its answer leaves a cluster that nobody knows of.
        unknown = error is not None and error.reason is Reason.BUG and self.record.cluster_id is None
        self.note(
            verdict=Verdict.SUCCEEDED if error is None else error.verdict,
            reason=str(Reason.SUCCESS if error is None else error.reason),
            message="" if error is None else error.message,
            remedy="" if error is None else error.remedy,
            public="" if error is None else error.public,
            details={**self.record.details, **({} if error is None else error.details)},
            # An end that could not be verified is this run's own only when it was launched.
            unreleased=launched and error is not None and (error.reason is Reason.UNRELEASED or unknown),
            ended_at=now,
        )

    async def intend(self) -> None:
        """Writes the intent. Raises what the workspace raises: without it nothing may be launched."""
        async with self._turn:
            await self._save(self._version)

    async def move(self, state: RunState, **changes: Any) -> None:
        """Enters a later state, and writes it if that can be done now.

        Raises:
            OperatorError: operator/lease: somebody else has gone on with this run.
        """
        self.record = self.record.moved(state, **changes)
        if not await self.write() and self.taken is not None:
            raise self.taken

    @asynccontextmanager
    async def ending(self) -> AsyncIterator[None]:
        """Writes the verdict while the body ends the cluster: whoever comes after a process that is killed meanwhile
        knows what the run was ended for, and does not take the cluster's end for somebody's whim."""
        self.record = self.record.moved(RunState.ENDING)
        writing = asyncio.ensure_future(self.write())
        try:
            yield
        finally:
            await complete(writing)

    async def close(self) -> bool:
        """Writes the finished record; returns whether it was written."""
        for wait in _LAST_TRIES_S:
            if wait:
                await self._clock.sleep(wait)
            if await self.write():
                return True
            if self.taken is not None:
                break
        return False

    async def write(self) -> bool:
        """Writes the record as it is, if that can be done now; returns whether it was."""
        async with self._turn:
            if self.taken is not None:
                return False
            try:
                await self._save(self._version)
            except Conflict as conflict:
                return await self._write_over(conflict)
            except RunError as error:
                self._warn(f"the record of {self.record.run_id} could not be written ({error.reason}): {error.message}")
                return False
            return True

    async def _save(self, expected: str | None) -> None:
        """One write. One that fails may have taken effect all the same: what it said is remembered as ours."""
        record = self.record
        self._unclear.append(canonical(record.to_json()))
        self._version = await self._workspace.save(record, expected)
        self._unclear.clear()

    async def _write_over(self, conflict: Conflict) -> bool:
        run_id = self.record.run_id
        try:
            found = await self._workspace.record(run_id)
            if found is not None and self._foreign(found[0]):
                self.taken = failure(
                    Reason.LEASE,
                    f"Somebody else has gone on with run {run_id}: its record names "
                    f"{found[0].cluster_id or 'no cluster'} and is {found[0].reason or 'undecided'}.",
                    remedy="Let only one servo drive a workspace.",
                    public="another servo has gone on with this run",
                )
                self._warn(str(self.taken))
                return False
            self._warn(f"{conflict}: it is this run's record, and is written over")
            await self._save(None if found is None else found[1])
        except (Conflict, RunError, ValueError) as error:
            self._warn(f"the record of {run_id} could not be written: {error}")
            return False
        return True

    def _foreign(self, found: RunRecord) -> bool:
        """Whether what stands in the record's place is another process's: an answer; a verdict, a cluster or a launch
        that is not ours. A `sweep` that has billed the same end meanwhile takes nothing from us."""
        if canonical(found.to_json()) in self._unclear:
            return False
        mine = self.record
        if found.answered_at is not None or (found.decided and found.reason != mine.reason):
            return True
        return found.cluster_id not in (None, mine.cluster_id) or found.launched_at != mine.launched_at
