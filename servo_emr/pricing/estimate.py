"""The estimate of a run before its launch, from a quote and what is expected of the job.

Pure. Who expects it, and whether a figure is within the limits, is not known here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from servo_emr.domain.money import Estimate, Quote
from servo_emr.domain.run import TEARDOWN_S
from servo_emr.domain.spec import Market, NodeGroup, Role, RunSpec
from servo_emr.domain.volumes import root_volume
from servo_emr.pricing.basis import basis
from servo_emr.pricing.lives import FLOOR_S
from servo_emr.pricing.storage import default_volumes, usd_per_hour

__all__ = ["appraise", "most_usd"]

_HOUR_S = 3600.0


@dataclass(frozen=True)
class _GroupRate:
    """USD per hour of all nodes of one group, by part; `ec2_most` takes spot at the most that may be paid."""

    ec2: float
    ec2_most: float
    fee: float
    ebs: float


def appraise(spec: RunSpec, quote: Quote, provisioning_s: float) -> Estimate:
    """What a run of `spec` would cost at the prices of a quote that was made for it.

    Args:
        provisioning_s: seconds from the launch to the first step.

    Raises:
        ValueError: a time is negative or no number.
        OperatorError: operator/price: a volume that cannot be priced.
    """
    job, limits = spec.job, spec.limits
    if not (0 <= provisioning_s < math.inf and 0 <= job.expected_s < math.inf):
        raise ValueError(f"no estimate for {provisioning_s} s of provisioning and {job.expected_s} s of job")
    rates = {group.role: _group_rate(spec, quote, group) for group in spec.groups}
    ec2 = math.fsum(rate.ec2 for rate in rates.values())
    fee = math.fsum(rate.fee for rate in rates.values())
    ebs = math.fsum(rate.ebs for rate in rates.values())
    hourly = ec2 + fee + ebs
    ceiling = math.fsum(rate.ec2_most for rate in rates.values()) + fee + ebs
    primary = rates[Role.PRIMARY]
    likely_s = provisioning_s + job.repeats * job.expected_s + TEARDOWN_S
    longest = job.timeout_s if limits.deadline_s is None else min(job.timeout_s, limits.deadline_s)
    high_s = max(limits.provisioning_s + job.repeats * longest + TEARDOWN_S, likely_s)
    return Estimate(
        usd_per_hour=hourly,
        ceiling_usd_per_hour=ceiling,
        ec2_usd_per_hour=ec2,
        fee_usd_per_hour=fee,
        ebs_usd_per_hour=ebs,
        primary_usd_per_hour=primary.ec2 + primary.fee + primary.ebs,
        floor_usd=hourly * (provisioning_s + FLOOR_S) / _HOUR_S,
        likely_usd=hourly * likely_s / _HOUR_S,
        likely_s=likely_s,
        high_usd=ceiling * high_s / _HOUR_S,
        high_s=high_s,
        basis=_basis(spec, quote, f"{provisioning_s:.0f} s until the first step", longest),
    )


def most_usd(group: NodeGroup, quote: Quote) -> float:
    """The most that EC2 takes per hour for one node of a group: the bid, else the on-demand price."""
    on_demand = quote.rates[group.inst_type].ec2
    return on_demand if group.bid_usd is None else group.bid_usd


def _group_rate(spec: RunSpec, quote: Quote, group: NodeGroup) -> _GroupRate:
    if not group.count:
        return _GroupRate(0.0, 0.0, 0.0, 0.0)
    rate, most = quote.rates[group.inst_type], most_usd(group, quote)
    # A spot node that would cost more than its bid is not given: nobody pays more than the bid.
    expected = min(quote.spot[group.inst_type], most) if group.market is Market.SPOT else rate.ec2
    root = root_volume(spec.cluster.release_label)
    disks = usd_per_hour((root, *default_volumes(group.inst_type)), quote.storage)
    return _GroupRate(expected * group.count, most * group.count, rate.fee * group.count, disks * group.count)


def _basis(spec: RunSpec, quote: Quote, provisioning: str, longest: float) -> str:
    used = [group for group in spec.groups if group.count]
    markets = [
        phrase
        for market, phrase in (
            (Market.ON_DEMAND, "on-demand"),
            (Market.SPOT, "spot at the present price of the dearest zone"),
        )
        if any(group.market is market for group in used)
    ]
    kinds = {root_volume(spec.cluster.release_label).kind} | {
        volume.kind for group in used for volume in default_volumes(group.inst_type)
    }
    prices = basis(
        spec.region,
        markets,
        [quote.rates[name] for name in spec.inst_types],
        [quote.storage[kind] for kind in kinds],
    )
    job = spec.job
    return (
        f"{prices}; likely: {provisioning}, {job.repeats} x {job.expected_s:.0f} s of job, {TEARDOWN_S:.0f} s of "
        f"ending; high: {spec.limits.provisioning_s:.0f} s, {job.repeats} x {longest:.0f} s, {TEARDOWN_S:.0f} s, spot "
        "at the bid or the on-demand price"
    )
