"""`emr.limits` and `emr.prices`: what may be spent, and what things cost."""

from __future__ import annotations

from typing import Literal

import pydantic
import servo

from servo_emr.sections.base import Count, Section, Usd, length

__all__ = ["LimitsSection", "PricesSection"]


class LimitsSection(Section):
    """Ceilings, in USD, nodes and vCPUs. A limit that is not set does not hold."""

    cost_per_run: Usd | None = pydantic.Field(None, description="USD; the run is stopped.")
    cost_per_hour: Usd | None = pydantic.Field(
        None, description="USD per hour of the whole cluster; refused when adjusted."
    )
    spend_per_day: Usd | None = pydantic.Field(
        None, description="USD over all runs of the workspace in 24 hours; then nothing is launched."
    )
    unproductive_spend: Usd | None = pydantic.Field(
        None, description="USD spent in a row without a measurement; then the breaker opens."
    )
    provisioning: servo.Duration = pydantic.Field("20m", description="From the launch to the first step.")
    nodes: Count | None = pydantic.Field(None, description="All nodes of a cluster.")
    vcpus: Count | None = pydantic.Field(None, description="All vCPUs of a cluster.")

    @pydantic.validator("provisioning", pre=True)
    def _positive(cls, value: object) -> servo.Duration:
        return length(value)


class PinnedPrice(Section):
    """A price that you know better: USD per instance-hour."""

    ec2: Usd = pydantic.Field(..., description="EC2's price.")
    fee: Usd = pydantic.Field(..., description="EMR's fee on top of it.")


class PinnedStorage(Section):
    """A price of EBS that you know better: USD per month."""

    gib_month: Usd = pydantic.Field(..., description="For a GiB.")
    iops_month: Usd | None = pydantic.Field(None, description="For a provisioned IOPS.")
    throughput_month: Usd | None = pydantic.Field(None, description="For a provisioned MiB/s.")


class PricesSection(Section):
    """Where prices come from, and which are good enough."""

    live: bool = pydantic.Field(
        True, description="Whether AWS's price list is asked first (pricing:GetProducts); then the packaged table."
    )
    allow_estimated_fees: bool = pydantic.Field(
        False, description="Whether an EMR fee estimated as 25 % of the EC2 price may be used."
    )
    overrides: dict[str, PinnedPrice] = pydantic.Field({}, description="Prices by instance type, in the region.")
    ebs: dict[Literal["gp2", "gp3", "io1", "st1", "sc1", "standard"], PinnedStorage] = pydantic.Field(
        {}, description="Prices of EBS by kind of volume, in the region."
    )
