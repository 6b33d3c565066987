"""The estimate of a run before its launch, from a quote and what is expected of the job.

Pure. Who expects it, and whether a figure is within the limits, is not known here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from servo_emr.domain.cluster import TimeoutAction
from servo_emr.domain.money import Estimate, Quote
from servo_emr.domain.run import TEARDOWN_S
from servo_emr.domain.spec import NodeGroup, Role, RunSpec
from servo_emr.domain.volumes import root_volume
from servo_emr.pricing.basis import basis
from servo_emr.pricing.lives import FLOOR_S
from servo_emr.pricing.storage import usd_per_hour, volumes_for

__all__ = ["appraise", "most_usd"]

_HOUR_S = 3600.0


@dataclass(frozen=True)
class _GroupRate:
    """USD per hour of all nodes of one group, by part; `most` is all of it at the most that may be paid: spot at its
    bid, and a fleet of the dearest types that it may be of."""

    ec2: float
    fee: float
    ebs: float
    most: float


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
    ceiling = math.fsum(rate.most for rate in rates.values())
    primary = rates[Role.PRIMARY]
    likely_s = provisioning_s + job.repeats * job.expected_s + job.beside_s + TEARDOWN_S
    longest = sum(spec.limit_s(step) for step in spec.steps if step.measured and step.repeat == 1)
    if limits.deadline_s is not None:
        longest = min(longest, limits.deadline_s)
    beside = sum(spec.limit_s(step) for step in spec.steps if not step.measured)
    high_s = max(limits.provisioning_s + job.repeats * longest + beside + TEARDOWN_S, likely_s)
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
        basis=_basis(spec, quote, f"{provisioning_s:.0f} s until the first step", longest, beside),
    )


def most_usd(group: NodeGroup, inst_type: str, quote: Quote) -> float:
    """The most that EC2 takes per hour for one spot node of a group: the bid, else the on-demand price."""
    return group.bid(inst_type, quote.rates[inst_type].ec2)


def _group_rate(spec: RunSpec, quote: Quote, group: NodeGroup) -> _GroupRate:
    if not group.count:
        return _GroupRate(0.0, 0.0, 0.0, 0.0)
    options = [_if_of(spec, quote, group, inst_type) for inst_type in group.inst_types]
    # Expected is the type that was asked for; what a fleet may come to instead is within its most.
    return replace(options[0], most=max(option.most for option in options))


def _if_of(spec: RunSpec, quote: Quote, group: NodeGroup, inst_type: str) -> _GroupRate:
    """The rate of a group when all its nodes are of that type."""
    rate = quote.rates[inst_type]
    on_demand, spot = group.nodes_of(inst_type)
    nodes = on_demand + spot
    expected, most = rate.ec2 * on_demand, rate.ec2 * on_demand
    if spot:
        bid = most_usd(group, inst_type, quote)
        # A spot node that would cost more than its bid is not given: nobody pays more than the bid.
        expected += min(quote.spot[inst_type], bid) * spot
        most += (max(bid, rate.ec2) if _may_switch(group) else bid) * spot
    root = root_volume(spec.cluster.release_label, spec.cluster.root_volume)
    disks = usd_per_hour((root, *volumes_for(group, inst_type)), quote.storage) * nodes
    fee = rate.fee * nodes
    return _GroupRate(expected, fee, disks, math.fsum((most, fee, disks)))


def _may_switch(group: NodeGroup) -> bool:
    """Whether EMR may buy on demand what was asked for on spot."""
    return group.fleet is not None and group.fleet.timeout_action is TimeoutAction.SWITCH_TO_ON_DEMAND


def _basis(spec: RunSpec, quote: Quote, provisioning: str, longest: float, beside: float) -> str:
    used = [group for group in spec.groups if group.count]
    markets = [
        phrase
        for bought, phrase in (
            (any(group.units[0] for group in used), "on-demand"),
            (any(group.on_spot for group in used), "spot at the present price of the dearest zone"),
        )
        if bought
    ]
    kinds = {root_volume(spec.cluster.release_label).kind} | {
        volume.kind for group in used for name in group.inst_types for volume in volumes_for(group, name)
    }
    prices = basis(
        spec.region,
        markets,
        [quote.rates[name] for name in spec.inst_types],
        [quote.storage[kind] for kind in kinds],
    )
    job = spec.job
    likely = f" and {job.beside_s:.0f} s of preparation and clean-up" if beside else ""
    most = f" and {beside:.0f} s" if beside else ""
    return (
        f"{prices}; likely: {provisioning}, {job.repeats} x {job.expected_s:.0f} s of job{likely}, {TEARDOWN_S:.0f} s "
        f"of ending; high: {spec.limits.provisioning_s:.0f} s, {job.repeats} x {longest:.0f} s{most}, "
        f"{TEARDOWN_S:.0f} s, spot at the bid or the on-demand price"
    )
