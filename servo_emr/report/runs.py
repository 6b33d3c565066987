"""Runs as the report compares them: what each one is good for, and those of equal settings taken together. Pure.

Only what was measured on the present notebook, undisturbed and with a bill, is compared; everything else is shown for
what it is.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from servo_emr.domain.errors import Verdict
from servo_emr.domain.run import RunRecord
from servo_emr.domain.spec import canonical
from servo_emr.report.nodes import node_count
from servo_emr.report.table import Row, rows

__all__ = ["Choice", "Kind", "Run", "choices", "front", "runs_of"]

_NODES = ("inst_type", "replicas")


class Kind(enum.StrEnum):
    """What a run is good for."""

    MEASURED = "measured"
    DISTURBED = "disturbed"
    """A duration and a cost, not quite those of its settings."""
    EARLIER = "earlier notebook"
    """A measurement of another notebook than the one that was measured last."""
    UNBILLED = "no bill"
    BOUND = "lower bound"
    """Stopped by the trial's own limits."""
    FAILED = "failed"
    UNDER_WAY = "under way"


@dataclass(frozen=True)
class Run:
    """One run: its record, its flat row, what it is good for, its settings in a few words."""

    record: RunRecord
    row: Row
    kind: Kind
    label: str
    key: str

    @property
    def cost(self) -> float:
        """What one run of the job costs, USD; only of a run that has it."""
        return float(self.row["cost_usd"] or 0.0)

    @property
    def duration(self) -> float:
        """What the job took, seconds; only of a run that has it."""
        return float(self.row["duration_s"] or 0.0)

    @property
    def spent(self) -> float:
        """What was spent on it, USD."""
        return float(self.row["spent_usd"] or 0.0)

    @property
    def workers(self) -> tuple[str, int]:
        """(instance type, count) of its core nodes, or of its primary node where it has none."""
        groups: dict[str, Any] = {group["role"]: group for group in self.record.spec.get("groups", ())}
        group = groups.get("core") or groups.get("primary") or {"inst_type": "none", "count": 0}
        return group["inst_type"], node_count(self.record, group)


@dataclass(frozen=True)
class Choice:
    """Equal settings with all their comparable measurements, oldest first: their medians are what they are worth."""

    label: str
    key: str
    runs: tuple[Run, ...]

    @property
    def cost(self) -> float:
        return statistics.median(run.cost for run in self.runs)

    @property
    def duration(self) -> float:
        return statistics.median(run.duration for run in self.runs)

    def deviations(self, of: str) -> list[float]:
        """How far each measurement lies from the mean of all, as a share of it; `of` is "cost" or "duration"."""
        values = [float(getattr(run, of)) for run in self.runs]
        mean = statistics.fmean(values)
        return [value / mean - 1 for value in values] if mean > 0 else [0.0 for _ in values]


def runs_of(records: Iterable[RunRecord]) -> list[Run]:
    """The records as runs, oldest first."""
    ordered = sorted(records, key=lambda record: (record.created_at, record.run_id))
    present = next((r.notebook_sha256 for r in reversed(ordered) if r.verdict is Verdict.SUCCEEDED), "")
    naming = _Naming(ordered)
    return [
        Run(record, row, _kind(record, row, present), naming.label(record), _key(record))
        for record, row in zip(ordered, rows(ordered), strict=True)
    ]


def choices(runs: Iterable[Run]) -> list[Choice]:
    """The settings that have comparable measurements, cheapest first."""
    together: dict[str, list[Run]] = {}
    for run in runs:
        if run.kind is Kind.MEASURED:
            together.setdefault(run.key, []).append(run)
    found = [Choice(same[-1].label, key, tuple(same)) for key, same in together.items()]
    return sorted(found, key=lambda choice: (choice.cost, choice.duration, choice.label))


def front(found: Sequence[Choice]) -> list[Choice]:
    """Those that no other one beats in both cost and duration, cheapest first; of equals the first."""
    kept: list[Choice] = []
    for choice in sorted(found, key=lambda choice: (choice.cost, choice.duration)):
        if not kept or choice.duration < kept[-1].duration:
            kept.append(choice)
    return kept


def _kind(record: RunRecord, row: Row, present: str) -> Kind:
    if not record.decided:
        return Kind.UNDER_WAY
    if record.verdict is Verdict.CENSORED:
        return Kind.BOUND
    if record.verdict is not Verdict.SUCCEEDED:
        return Kind.FAILED
    if record.notebook_sha256 != present:
        return Kind.EARLIER
    if row["cost_usd"] is None or row["duration_s"] is None:
        return Kind.UNBILLED
    return Kind.DISTURBED if row["disturbed"] else Kind.MEASURED


def _key(record: RunRecord) -> str:
    """Equal for runs of equal settings on equal nodes."""
    return canonical([dict(record.settings), record.spec.get("groups", [])])


class _Naming:
    """Settings in a few words: the nodes, and whatever else differs between the runs."""

    def __init__(self, records: Sequence[RunRecord]) -> None:
        values: dict[str, set[str]] = {}
        for record in records:
            for name, value in record.settings.items():
                values.setdefault(name, set()).add(str(value))
        self._further = [
            name for name, seen in values.items() if len(seen) > 1 and name.rpartition(".")[2] not in _NODES
        ]
        primaries = {group["inst_type"] for r in records for group in _groups(r) if group["role"] == "primary"}
        self._primary = len(primaries) > 1

    def label(self, record: RunRecord) -> str:
        groups = [group for group in _groups(record) if group["count"]]
        workers = [group for group in groups if group["role"] != "primary"]
        shown = groups if self._primary or not workers else workers
        nodes = [f"{node_count(record, group)} x {group['inst_type']}{_spot(group)}" for group in shown]
        further = [f"{name}={record.settings[name]}" for name in self._further if name in record.settings]
        return ", ".join([" + ".join(nodes), *further] if nodes else further) or "no settings"


def _groups(record: RunRecord) -> list[dict[str, Any]]:
    return list(record.spec.get("groups", ()))


def _spot(group: dict[str, Any]) -> str:
    return " spot" if group.get("market") == "spot" else ""
