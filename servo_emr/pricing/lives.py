"""The lives of a cluster's instances: rows of ListInstances in, what may be billed of them out.

Knows time, and which rows make no sense; knows no price and makes no call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.run import InstanceRow, Usage, is_spot

__all__ = ["FLOOR_S", "Interval", "Life", "Lives", "disjoint", "lives", "no_share"]

FLOOR_S = 60.0
"""The least that is billed of an instance that came up: EC2, EMR fee and EBS alike."""

Interval = tuple[float, float]
"""(start, end), seconds since the epoch."""

_COMPARE = "EMR's times are what a bill is made of: look at ListInstances and ListSteps of the cluster."


@dataclass(frozen=True)
class Life:
    """One instance that was there, seconds since the epoch; `ready` is None when it never was."""

    row: InstanceRow
    created: float
    ready: float | None
    ended: float

    @property
    def billed_s(self) -> float:
        """Seconds billed, from creation to end."""
        return max(self.ended - self.created, FLOOR_S)

    @property
    def fee_low_s(self) -> float:
        """Seconds of the EMR fee in its lower reading, from ready to end; never more than `billed_s`."""
        if self.ready is None:
            return 0.0
        return max(self.ended - min(max(self.ready, self.created), self.ended), FLOOR_S)

    def within(self, intervals: Sequence[Interval]) -> list[Interval]:
        """The parts of disjoint intervals during which the instance was there."""
        parts = ((max(start, self.created), min(end, self.ended)) for start, end in intervals)
        return [(start, end) for start, end in parts if start < end]


@dataclass(frozen=True)
class Lives:
    """What a usage comes to: the instances that are billed, and sentences about those that are not."""

    billed: tuple[Life, ...]
    notes: tuple[str, ...]

    @property
    def inst_types(self) -> tuple[str, ...]:
        """The types that need a price, each once."""
        return tuple(sorted({life.row.inst_type for life in self.billed}))

    @property
    def on_spot(self) -> tuple[Life, ...]:
        """Those that were bought on spot."""
        return tuple(life for life in self.billed if is_spot(life.row))


def lives(usage: Usage) -> Lives:
    """The instances of an ended cluster. A row that was never created was never fulfilled: noted, not billed.

    Raises:
        OperatorError: operator/price: a row whose times make no sense, or whose market is none that we know.
    """
    billed: list[Life] = []
    notes: list[str] = []
    for row in _once(usage.rows):
        life = _life(row)
        if life is None:
            notes.append(f"{row.instance_id} ({row.inst_type}) never came up: not billed")
        else:
            billed.append(life)
    if not billed:
        notes.append("no instance of this cluster ever came up: there is nothing to bill")
    short = sum(life.ended - life.created < FLOOR_S for life in billed)
    if short:
        notes.append(f"billed for {FLOOR_S:.0f} s though there for less: {short} of {len(billed)} instances")
    return Lives(tuple(billed), tuple(notes))


def disjoint(intervals: Sequence[Interval]) -> list[Interval]:
    """The union of intervals as intervals that do not touch, in order; those of no length are left out.

    Raises:
        OperatorError: operator/price: an interval ends before it starts, or is no time.
    """
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if not -math.inf < start <= end < math.inf:
            raise no_share(f"A measured step started {_clock(start)} and ended {_clock(end)}.")
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged


def no_share(message: str) -> OperatorError:
    """The error for measured time that cannot be set against the instances' times."""
    return OperatorError(
        message,
        Reason.PRICE,
        remedy=_COMPARE,
        public="the times of steps and instances contradict each other",
    )


def _once(rows: Sequence[InstanceRow]) -> list[InstanceRow]:
    """The rows in an order of their own, each once: a list that moves while it is paged through repeats some."""
    seen: dict[str, InstanceRow] = {}
    for row in rows:
        if seen.setdefault(row.instance_id, row) != row:
            raise _senseless(row, "is listed twice, each time with something else")
    return sorted(seen.values(), key=lambda row: (row.group, row.instance_id))


def _life(row: InstanceRow) -> Life | None:
    times = row.timeline
    if times.created is None and times.ready is None:
        return None
    if times.created is None:
        raise _senseless(row, "was ready but never created")
    if not is_spot(row) and row.market.replace("_", "-").lower() != "on-demand":
        raise OperatorError(
            f"Instance {row.instance_id} ({row.inst_type}) has the market {row.market!r}: it is neither on-demand nor "
            "spot, and what it costs is not known.",
            Reason.PRICE,
            remedy="Launch on demand or on spot only.",
            public="the market of an instance is not known",
            details={"instance_id": row.instance_id, "market": row.market},
        )
    if times.ended is None:
        still = f"See whether EC2 still runs {row.instance_id}, and end it."
        raise _senseless(row, f"has no end, in the state {row.state}, though its cluster has ended", still)
    if not -math.inf < times.created <= times.ended < math.inf:  # false for NaN too
        raise _senseless(row, f"was created {_clock(times.created)} and ended {_clock(times.ended)}")
    return Life(row, times.created, times.ready, times.ended)


def _senseless(row: InstanceRow, what: str, remedy: str = _COMPARE) -> OperatorError:
    return OperatorError(
        f"Instance {row.instance_id} ({row.inst_type}) {what}: it cannot be billed.",
        Reason.PRICE,
        remedy=remedy,
        public="the times of an instance make no sense",
        details={
            "instance_id": row.instance_id,
            "state": row.state,
            "created": _clock(row.timeline.created),
            "ready": _clock(row.timeline.ready),
            "ended": _clock(row.timeline.ended),
        },
    )


def _clock(seconds: float | None) -> str:
    """A time for a message; whatever is no time is shown as it is."""
    try:
        return "never" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ")
    except (ValueError, OverflowError, OSError):  # NaN, infinite, or beyond the calendar
        return str(seconds)
