"""Money as data: prices with their sources, what a run would cost, what it did cost. USD, hours and seconds.

Plain values. How they are computed is the pricing layer's business, and where prices come from that of its sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "ESTIMATED_FEE_SHARE",
    "BilledInstance",
    "Cost",
    "Estimate",
    "Prices",
    "Quote",
    "Rate",
    "SpotPoint",
    "StorageRate",
]

ESTIMATED_FEE_SHARE = 0.25
"""The EMR fee of a type that no list has, as a share of its EC2 price: an estimate, and marked as one in the Rate."""


@dataclass(frozen=True)
class Rate:
    """USD per instance-hour of one type in one region: EC2 on demand and the EMR fee, and where each is from."""

    inst_type: str
    region: str
    ec2: float
    fee: float
    ec2_source: str
    fee_source: str
    fee_estimated: bool = False


@dataclass(frozen=True)
class StorageRate:
    """USD per month of 30 days of one kind of EBS volume: per GiB, and per provisioned IOPS and MiB/s.

    None: the kind has no such charge.
    """

    kind: str
    region: str
    gib_month: float
    source: str
    iops_month: float | None = None
    throughput_month: float | None = None


@dataclass(frozen=True)
class Prices:
    """What one source knows of what it was asked. It leaves out what it does not know, and never invents a price.

    note says why the source knows less than it should (no permission, no connection); empty when it answered.
    """

    source: str
    rates: Mapping[str, Rate] = field(default_factory=dict)
    storage: Mapping[str, StorageRate] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class SpotPoint:
    """From this moment (seconds since the epoch) on the spot price of a pool is `usd` per instance-hour."""

    at: float
    usd: float


@dataclass(frozen=True)
class Quote:
    """The one set of prices that serves a whole run, from its estimate to its bill; it is in the run's record.

    rates by instance type, storage by kind of volume; spot: what a type that is asked for on spot cost in the dearest
    of its zones when the quote was made. notes say what had to be done without.
    """

    region: str
    rates: Mapping[str, Rate]
    storage: Mapping[str, StorageRate]
    spot: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Quote:
        """The quote in a document that `domain.spec.plain` made of one.

        Raises:
            ValueError: it is none.
        """
        try:
            return cls(
                region=document["region"],
                rates={name: Rate(**rate) for name, rate in document["rates"].items()},
                storage={name: StorageRate(**rate) for name, rate in document["storage"].items()},
                spot=dict(document["spot"]),
                notes=tuple(document["notes"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the prices cannot be read: {error}") from error


@dataclass(frozen=True)
class Estimate:
    """What a run of a spec would cost, before it is launched.

    usd_per_hour is the whole cluster's expected rate, split into ec2, fee and ebs; primary is the primary node's
    part of it. ceiling_usd_per_hour takes spot nodes at the most that may be paid for them: limits and the running
    total use it. floor: provisioning and a minute; likely: likely_s seconds at the expected rate; high: high_s
    seconds, when every time limit is reached, at the ceiling.
    """

    usd_per_hour: float
    ceiling_usd_per_hour: float
    ec2_usd_per_hour: float
    fee_usd_per_hour: float
    ebs_usd_per_hour: float
    primary_usd_per_hour: float
    floor_usd: float
    likely_usd: float
    likely_s: float
    high_usd: float
    high_s: float
    basis: str


@dataclass(frozen=True)
class BilledInstance:
    """The bill of one instance row: seconds billed and USD by part. fee_low_usd is the fee's lower reading."""

    instance_id: str
    inst_type: str
    group: str
    market: str
    seconds: float
    ec2_usd: float
    fee_usd: float
    fee_low_usd: float
    ebs_usd: float


@dataclass(frozen=True)
class Cost:
    """What a run cost, with its basis; see docs for what is not included.

    billed_usd is what was spent: ec2 + fee + ebs over all instances. usd is that of one run of the job: with one
    (median) repeat in it; equal to billed_usd when there was one. job_usd is the share of the time in which the
    measured steps of one (median) repeat ran, None when it is not known. fee_usd is the higher of the fee's two
    readings, from an instance's creation, fee_low_usd the lower, from its readiness.
    """

    usd: float
    billed_usd: float
    ec2_usd: float
    fee_usd: float
    fee_low_usd: float
    ebs_usd: float
    node_hours: float
    job_usd: float | None
    basis: str
    instances: tuple[BilledInstance, ...] = ()
    notes: tuple[str, ...] = ()
