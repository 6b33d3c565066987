"""Which runs a command is about: by verdict, time and settings, in which order, at most how many."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from servo_emr.domain.errors import Reason, RunError, UsageError, Verdict
from servo_emr.domain.ports import Workspace
from servo_emr.domain.run import RunRecord
from servo_emr.lifecycle.guards import spent

__all__ = ["UNFINISHED", "Chosen", "Sort", "chosen_by"]

UNFINISHED = "unfinished"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


class Sort(enum.StrEnum):
    """By what runs are sorted."""

    WHEN = "when"
    DURATION = "duration"
    USD = "usd"


@dataclass(frozen=True)
class Chosen:
    """A choice of runs. last: None for all; since: seconds since the epoch; words: verdicts, reasons or UNFINISHED;
    settings by name."""

    last: int | None
    words: frozenset[str]
    since: float | None
    settings: dict[str, str]
    sort: Sort
    reverse: bool

    @property
    def narrows(self) -> bool:
        """Whether there may be runs that it leaves out, but for their number."""
        return bool(self.words or self.settings or self.since is not None)

    async def of(self, workspace: Workspace, unreadable: Callable[[RunError], None]) -> list[RunRecord]:
        """The records that are meant, in the order that is meant: the newest, or of all the first in another order."""
        records: list[RunRecord] = []
        newest = self.last if self.sort is Sort.WHEN else None
        async for record in workspace.records(since=self.since, unreadable=unreadable):
            if self.means(record):
                records.append(record)
            if len(records) == newest:
                break
        return self.sorted(records)[: self.last]

    def means(self, record: RunRecord) -> bool:
        """Whether a record is one of them."""
        if self.since is not None and record.created_at < self.since:
            return False
        told = {str(record.verdict), str(record.reason)} if record.decided else {UNFINISHED}
        if self.words and not told & self.words:
            return False
        return all(str(record.settings.get(name)) == value for name, value in self.settings.items())

    def sorted(self, records: Sequence[RunRecord]) -> list[RunRecord]:
        """Records that come newest first, in the order that is meant; those without the figure come last."""
        if self.sort is Sort.WHEN:
            return list(reversed(records)) if self.reverse else list(records)
        key = _KEYS[self.sort]
        known = [record for record in records if key(record) is not None]
        rest = [record for record in records if key(record) is None]
        return [*sorted(known, key=lambda record: key(record) or 0.0, reverse=self.reverse), *rest]


def _duration(record: RunRecord) -> float | None:
    return record.phases.get("duration") if record.verdict is Verdict.SUCCEEDED else None


def _usd(record: RunRecord) -> float | None:
    return spent(record) or None


_KEYS: dict[Sort, Callable[[RunRecord], float | None]] = {Sort.DURATION: _duration, Sort.USD: _usd}


def chosen_by(
    last: int | None,
    words: Sequence[str],
    since: str | None,
    assignments: Sequence[str],
    sort: Sort,
    reverse: bool,
    now: float,
) -> Chosen:
    """The choice that a command line makes.

    Raises:
        UsageError: a word is no verdict, a time no time, an assignment no COMPONENT.SETTING=VALUE.
    """
    known = {*map(str, Verdict), *map(str, Reason), UNFINISHED}
    for word in words:
        if word not in known:
            verdicts = ", ".join(map(str, Verdict))
            raise UsageError(f"--verdict {word}: {verdicts}, {UNFINISHED}, or a reason of docs/failures.md")
    settings = {}
    for text in assignments:
        name, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--set {text}: write COMPONENT.SETTING=VALUE, for example core.replicas=4")
        settings[name.strip()] = value.strip()
    return Chosen(last, frozenset(words), None if since is None else _time(since, now), settings, Sort(sort), reverse)


def _time(text: str, now: float) -> float:
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text):
        return now - float(match[1]) * _UNITS[match[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since {text}: a time ago such as 90m, 24h or 7d, or a day such as 2026-11-28") from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
