"""The bill of an ended run: what each instance cost, the sums, the share of its job.

Pure: no I/O, no clock. Where prices come from and which are good enough is the book's business. Amounts are floats and
are rounded nowhere but where they are shown; sums are exact to the last bit (math.fsum), so that they do not depend on
the order of rows and never fall when something is added.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.money import BilledInstance, Cost, Rate, StorageRate
from servo_emr.domain.run import Volume, is_spot
from servo_emr.pricing.basis import basis
from servo_emr.pricing.lives import Interval, Life, Lives, disjoint, no_share
from servo_emr.pricing.spot import Steps
from servo_emr.pricing.storage import default_volumes, usd_per_hour

__all__ = ["Tariff", "total", "volumes_of"]

_HOUR_S = 3600.0


@dataclass(frozen=True)
class Tariff:
    """All prices of one bill: by instance type, by kind of volume, and of the zone's spot pools by instance type."""

    region: str
    rates: Mapping[str, Rate]
    storage: Mapping[str, StorageRate]
    zone: str | None = None
    spot: Mapping[str, Steps] = field(default_factory=dict)


@dataclass(frozen=True)
class _Meter:
    """One instance with what it costs: USD per hour, or a spot price over time."""

    life: Life
    ec2: float | Steps
    fee: float
    ebs: float

    def ec2_usd(self, start: float, seconds: float) -> float:
        """The EC2 part of so many seconds from `start`."""
        if isinstance(self.ec2, Steps):
            return self.ec2.usd(start, start + seconds)
        return seconds / _HOUR_S * self.ec2

    def usd(self, intervals: Sequence[Interval]) -> float:
        """All parts together, for the parts of disjoint intervals in which the instance was there."""
        rest = self.fee + self.ebs
        return math.fsum(
            self.ec2_usd(start, end - start) + (end - start) / _HOUR_S * rest
            for start, end in self.life.within(intervals)
        )

    def billed(self) -> BilledInstance:
        """The instance's line in the bill."""
        life, hours = self.life, self.life.billed_s / _HOUR_S
        return BilledInstance(
            instance_id=life.row.instance_id,
            inst_type=life.row.inst_type,
            group=life.row.group,
            market=life.row.market,
            seconds=life.billed_s,
            ec2_usd=self.ec2_usd(life.created, life.billed_s),
            fee_usd=hours * self.fee,
            fee_low_usd=life.fee_low_s / _HOUR_S * self.fee,
            ebs_usd=hours * self.ebs,
        )


def volumes_of(life: Life, root: Volume) -> tuple[Volume, ...]:
    """Every EBS volume of an instance.

    Raises:
        OperatorError: operator/price: it has the default ones, and they are not known.
    """
    asked_for = life.row.volumes
    return (root, *(default_volumes(life.row.inst_type) if asked_for is None else asked_for))


def total(found: Lives, root: Volume, repeats: Sequence[Sequence[Interval]], tariff: Tariff) -> Cost:
    """The bill.

    Args:
        root: the root volume of each instance.
        repeats: for each repeat of the job, the (start, end) of its measured steps, seconds since the epoch; they may
            overlap; a repeat without any did not run.
        tariff: a price for everything that `found` has.

    Raises:
        OperatorError: operator/price: an interval that makes no sense, one in which no instance was there, a volume
            that cannot be priced, or an instance that is older than its spot prices.
    """
    meters = [_meter(life, root, tariff) for life in found.billed]
    instances = tuple(meter.billed() for meter in meters)
    ec2 = math.fsum(item.ec2_usd for item in instances)
    fee = math.fsum(item.fee_usd for item in instances)
    ebs = math.fsum(item.ebs_usd for item in instances)
    billed = ec2 + fee + ebs
    job, cost, notes = _one_run(meters, repeats, billed)
    return Cost(
        usd=cost,
        billed_usd=billed,
        ec2_usd=ec2,
        fee_usd=fee,
        fee_low_usd=math.fsum(item.fee_low_usd for item in instances),
        ebs_usd=ebs,
        node_hours=math.fsum(item.seconds for item in instances) / _HOUR_S,
        job_usd=job,
        basis=_basis(found, root, tariff),
        instances=instances,
        notes=(*found.notes, *notes, *_spot_notes(found, tariff)),
    )


def _meter(life: Life, root: Volume, tariff: Tariff) -> _Meter:
    rate = tariff.rates[life.row.inst_type]
    ebs = usd_per_hour(volumes_of(life, root), tariff.storage)
    if not is_spot(life.row):
        return _Meter(life, rate.ec2, rate.fee, ebs)
    steps = tariff.spot[life.row.inst_type]
    if steps.begins > life.created:
        raise OperatorError(
            f"Instance {life.row.instance_id} ({life.row.inst_type}) is {steps.begins - life.created:.0f} s older than "
            f"the spot prices of {tariff.zone} that are known: it cannot be billed.",
            Reason.PRICE,
            remedy="DescribeSpotPriceHistory goes back 90 days: bill the run earlier, or buy with market: on-demand.",
            public="the spot prices of an instance are not known",
            details={"instance_id": life.row.instance_id, "zone": tariff.zone},
        )
    return _Meter(life, steps, rate.fee, ebs)


def _one_run(
    meters: Sequence[_Meter], repeats: Sequence[Sequence[Interval]], billed: float
) -> tuple[float | None, float, list[str]]:
    """(the job's share in one run, what one run costs, what has to be said of it)."""
    missing = sum(not repeat for repeat in repeats)
    if missing or not repeats:
        said = [f"{missing} of {len(repeats)} repeats did not run: cost is all that was spent"] * (len(repeats) > 1)
        return None, billed, said
    shares = [_share(meters, disjoint(repeat)) for repeat in repeats]
    job = statistics.median(shares)
    if len(shares) == 1:
        return job, billed, []
    # Of all repeats together, so that steps of two repeats at once are not taken out twice.
    all_jobs = _share(meters, disjoint([interval for repeat in repeats for interval in repeat]))
    cost = max(0.0, billed - all_jobs) + job
    return job, cost, [f"cost has the median of {len(shares)} repeats of the job in the place of all of them"]


def _share(meters: Sequence[_Meter], intervals: Sequence[Interval]) -> float:
    """What disjoint intervals cost over all instances."""
    if intervals and not any(meter.life.within(intervals) for meter in meters):
        raise no_share("The measured steps ran while no instance of the cluster was there.")
    return math.fsum(meter.usd(intervals) for meter in meters)


def _basis(found: Lives, root: Volume, tariff: Tariff) -> str:
    markets = []
    if len(found.on_spot) < len(found.billed):
        markets.append("on-demand")
    if found.on_spot:
        markets.append(f"spot by the price history of {tariff.zone}")
    kinds = {volume.kind for life in found.billed for volume in volumes_of(life, root)}
    return basis(
        tariff.region,
        markets,
        [tariff.rates[name] for name in found.inst_types],
        [tariff.storage[kind] for kind in kinds],
    )


def _spot_notes(found: Lives, tariff: Tariff) -> list[str]:
    """Between which prices the instances of each type ran."""
    spans: dict[str, Interval] = {}
    for life in found.on_spot:
        start, end = spans.get(life.row.inst_type, (math.inf, -math.inf))
        spans[life.row.inst_type] = min(start, life.created), max(end, life.created + life.billed_s)
    notes = []
    for name, (start, end) in sorted(spans.items()):
        prices = tariff.spot[name].extent(start, end)
        notes.append(f"{name} on spot in {tariff.zone}: {prices[0]:g} to {prices[-1]:g} USD per hour")
    return notes
