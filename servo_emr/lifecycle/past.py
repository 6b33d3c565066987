"""What the records say of the runs before this one: history, spend, what is unfinished, what still waits to be told.

Read once for a measurement, newest first, as far back as any question goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from servo_emr.domain.errors import RunError, Verdict
from servo_emr.domain.ports import Workspace
from servo_emr.domain.run import RunRecord

__all__ = ["DELIVERY_S", "Past", "read_past"]

DAY_S = 86_400.0
DELIVERY_S = 3600.0
"""How long a finished run that nobody was told of may still be delivered to another command."""
_WHOLE_S = 2 * DAY_S
_OLDEST_S = 8 * DAY_S
_ENOUGH = 200


@dataclass(frozen=True)
class Past:
    """The records, newest first; `now` is when they were read."""

    records: tuple[RunRecord, ...]
    now: float

    def updated(self, changed: Mapping[str, RunRecord]) -> Past:
        """The same with those records, by run id, as they are by now."""
        return replace(self, records=tuple(changed.get(record.run_id, record) for record in self.records))

    def of_last_day(self) -> Iterator[RunRecord]:
        """The runs of the last 24 hours."""
        return (record for record in self.records if record.created_at > self.now - DAY_S)

    def answered(self, cmd_uid: str | None) -> RunRecord | None:
        """The run that this very command was answered with before."""
        if cmd_uid is None:
            return None
        return next((r for r in self.records if r.cmd_uid == cmd_uid and r.answered_at is not None), None)

    def untold(self, identity: str) -> RunRecord | None:
        """A finished run of equal identity of which nobody was told, while that is still worth anything."""
        for record in self.records:
            if (
                record.identity == identity
                and record.decided
                and record.verdict is not Verdict.ABORTED
                and record.had_cluster
                and not record.repeated
                and record.answered_at is None
                and record.settled
                and (record.ended_at or 0.0) > self.now - DELIVERY_S
            ):
                return record
        return None

    def adoptable(self, identity: str) -> RunRecord | None:
        """An undecided run of equal identity whose end nobody has asked for."""
        for record in self.records:
            if record.identity == identity and not record.decided and not record.released:
                return record
        return None

    def refusals(self) -> tuple[int, float]:
        """(how many of the newest runs in a row were answered without a launch, when the newest of them was)."""
        count, at = 0, 0.0
        for record in self.records:
            if not record.decided or record.had_cluster:
                break
            count += 1
            at = max(at, record.ended_at or 0.0)
        return count, at

    def unfinished(self) -> list[RunRecord]:
        """Runs that some process has left: undecided, or with a cluster whose end nobody has verified."""
        return [record for record in self.records if not record.settled]


async def read_past(workspace: Workspace, now: float, unreadable: Callable[[RunError], None] | None = None) -> Past:
    """All records of two days, and up to two hundred of a week.

    Args:
        unreadable: is told of each record that cannot be read, and it is left out; without it that is an error.
    """
    records: list[RunRecord] = []
    async for record in workspace.records(since=now - _OLDEST_S, unreadable=unreadable):
        if record.created_at < now - _WHOLE_S and len(records) >= _ENOUGH:
            break
        records.append(record)
    return Past(tuple(records), now)
