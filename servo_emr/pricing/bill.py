"""The arithmetic of money: seconds of instances and USD per hour in, the bill after a run and the estimate before out.

Pure: no I/O, no clock. Where prices come from and which are good enough is the book's business. Amounts are floats and
are rounded nowhere but where they are shown; sums are exact to the last bit (math.fsum), so that they do not depend on
the order of rows and never fall when something is added.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.ports import Estimate
from servo_emr.domain.run import BilledInstance, Cost, InstanceRow, Usage
from servo_emr.domain.spec import Role, RunSpec

__all__ = ["FLOOR_S", "TEARDOWN_S", "Life", "Lives", "Price", "appraise", "lives", "total"]

FLOOR_S = 60.0
"""The least that is billed of an instance that came up."""
TEARDOWN_S = 60.0
"""What an estimate assumes for the cluster's end, from the last step's end."""

_HOUR_S = 3600.0
_INCLUDED = (
    "per second, at least 60 s per instance; EMR fee from creation to end, the higher of its two documented readings; "
    "not included: EBS (not yet billed), S3 requests, NAT, data transfer, discounts"
)

_COMPARE = "EMR's times are what a bill is made of: look at ListInstances and ListSteps of the cluster."


@dataclass(frozen=True)
class Price:
    """USD per instance-hour of one type, EC2 on demand and EMR fee apart; `source` says where from and of when."""

    ec2: float
    fee: float
    source: str

    @property
    def usd(self) -> float:
        """Both parts together."""
        return self.ec2 + self.fee


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

    def within(self, intervals: Sequence[tuple[float, float]]) -> float:
        """Seconds of disjoint intervals during which the instance was there."""
        return math.fsum(max(0.0, min(end, self.ended) - max(start, self.created)) for start, end in intervals)


@dataclass(frozen=True)
class Lives:
    """What a usage comes to: the instances that are billed, and sentences about those that are not."""

    billed: tuple[Life, ...]
    notes: tuple[str, ...]

    @property
    def inst_types(self) -> tuple[str, ...]:
        """The types that need a price, each once."""
        return tuple(sorted({life.row.inst_type for life in self.billed}))


def lives(usage: Usage) -> Lives:
    """The instances of an ended cluster. A row that was never created was never fulfilled: noted, not billed.

    Raises:
        OperatorError: operator/price: a row whose times make no sense, or whose market has no known price.
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
    return Lives(tuple(billed), tuple(notes))


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
    if row.market.replace("_", "-").lower() != "on-demand":
        raise OperatorError(
            f"Instance {row.instance_id} ({row.inst_type}) has the market {row.market}: spot prices are not known to "
            "this version, and its bill at on-demand prices would be wrong.",
            Reason.PRICE,
            remedy="Launch on demand only.",
            public="an instance is not on-demand: its price is not known",
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


def total(found: Lives, measured: Sequence[tuple[float, float]], prices: Mapping[str, Price], region: str) -> Cost:
    """The bill: what each instance cost, the sums, and the share of the measured intervals.

    Args:
        measured: (start, end) of the measured steps, seconds since the epoch; may overlap; empty: no share.
        prices: a price for each of `found.inst_types`.

    Raises:
        OperatorError: operator/price: an interval that makes no sense, or one in which no instance was there.
    """
    instances = tuple(_billed(life, prices[life.row.inst_type]) for life in found.billed)
    ec2, fee = math.fsum(item.ec2_usd for item in instances), math.fsum(item.fee_usd for item in instances)
    return Cost(
        usd=ec2 + fee,
        ec2_usd=ec2,
        fee_usd=fee,
        node_hours=math.fsum(item.seconds for item in instances) / _HOUR_S,
        job_usd=_job_share(found, _disjoint(measured), prices) if measured else None,
        basis=_basis(region, prices),
        instances=instances,
        notes=(*found.notes, *_remarks(found, prices, fee)),
    )


def _billed(life: Life, price: Price) -> BilledInstance:
    hours = life.billed_s / _HOUR_S
    row = life.row
    return BilledInstance(
        row.instance_id, row.inst_type, row.group, life.billed_s, hours * price.ec2, hours * price.fee
    )


def _remarks(found: Lives, prices: Mapping[str, Price], fee: float) -> list[str]:
    if not found.billed:
        return []
    low = math.fsum(life.fee_low_s / _HOUR_S * prices[life.row.inst_type].fee for life in found.billed)
    remarks = [f"EMR fee counted from ready instead of creation: {low:.6f} USD instead of {fee:.6f}"]
    short = sum(life.ended - life.created < FLOOR_S for life in found.billed)
    if short:
        remarks.append(f"billed for {FLOOR_S:.0f} s though there for less: {short} of {len(found.billed)} instances")
    return remarks


def _job_share(found: Lives, intervals: Sequence[tuple[float, float]], prices: Mapping[str, Price]) -> float:
    seconds = [life.within(intervals) for life in found.billed]
    if intervals and not any(seconds):
        raise _no_share("The measured steps ran while no instance of the cluster was there.")
    pairs = zip(found.billed, seconds, strict=True)
    return math.fsum(there / _HOUR_S * prices[life.row.inst_type].usd for life, there in pairs)


def _disjoint(intervals: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The union of intervals as intervals that do not touch, in order; those of no length are left out."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if not -math.inf < start <= end < math.inf:
            raise _no_share(f"A measured step started {_clock(start)} and ended {_clock(end)}.")
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged


def _no_share(message: str) -> OperatorError:
    return OperatorError(
        message,
        Reason.PRICE,
        remedy=_COMPARE,
        public="the times of steps and instances contradict each other",
    )


def _basis(region: str, prices: Mapping[str, Price]) -> str:
    """One line: which prices, of when, of where, in what; how they were counted; what they leave out."""
    types: dict[str, list[str]] = {}
    for inst_type in sorted(prices):
        types.setdefault(prices[inst_type].source, []).append(inst_type)
    sources = "; ".join(f"{', '.join(names)}: {source}" for source, names in types.items())
    return f"{region}, on-demand, USD; {sources or 'no price was needed'}; {_INCLUDED}"


def appraise(spec: RunSpec, provisioning_s: float, job_s: float, prices: Mapping[str, Price]) -> Estimate:
    """What a run of `spec` would cost.

    Args:
        provisioning_s, job_s: seconds from the launch to the first step, and of the job.
        prices: a price for each of `spec.inst_types`.

    Raises:
        ValueError: a time is negative or no number.
    """
    if not (0 <= provisioning_s < math.inf and 0 <= job_s < math.inf):
        raise ValueError(f"no estimate for {provisioning_s} s of provisioning and {job_s} s of job")
    ec2 = math.fsum(prices[group.inst_type].ec2 * group.count for group in spec.groups if group.count)
    fee = math.fsum(prices[group.inst_type].fee * group.count for group in spec.groups if group.count)
    primary = spec.group(Role.PRIMARY)
    hourly = ec2 + fee
    likely_s = provisioning_s + job_s + TEARDOWN_S
    assumed = f"{provisioning_s:.0f} s until the first step, {job_s:.0f} s of job, {TEARDOWN_S:.0f} s of ending"
    return Estimate(
        usd_per_hour=hourly,
        ec2_usd_per_hour=ec2,
        fee_usd_per_hour=fee,
        primary_usd_per_hour=prices[primary.inst_type].usd if primary else 0.0,
        floor_usd=hourly * (provisioning_s + FLOOR_S) / _HOUR_S,
        likely_usd=hourly * max(likely_s, FLOOR_S) / _HOUR_S,
        likely_s=likely_s,
        basis=f"{_basis(spec.region, prices)}; likely: {assumed}",
    )
