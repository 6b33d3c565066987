"""`emr.limits` and `emr.prices`: what may be spent, and what things cost."""

from __future__ import annotations

from typing import Literal

import pydantic
import servo

from servo_emr.sections.base import Count, Section, Usd, length

__all__ = ["LimitsSection", "PricesSection"]


class LimitsSection(Section):
    """Ceilings, in USD, nodes and vCPUs. A limit that is not set does not hold."""

    cost_per_run: Usd | None = pydantic.Field(
        None,
        description="What a run may cost, with all its launches. A run that passes it is stopped; a cluster whose"
        " cheapest possible run is above it is refused.",
        unit="USD",
    )
    cost_per_hour: Usd | None = pydantic.Field(
        None, description="What the whole cluster may cost an hour; refused when adjusted.", unit="USD/h"
    )
    spend_per_day: Usd | None = pydantic.Field(
        None, description="What all runs of the workspace may cost in 24 hours; then nothing is launched.", unit="USD"
    )
    unproductive_spend: Usd | None = pydantic.Field(
        None,
        description="What may be spent in a row without a measurement; then the breaker opens, until `servo-emr "
        "resume`.",
        unit="USD",
    )
    provisioning: servo.Duration = pydantic.Field(
        "20m", description="From a launch to the first step's start; each launch of a run has it anew."
    )
    nodes: Count | None = pydantic.Field(None, description="The most nodes of the whole cluster.", unit="nodes")
    vcpus: Count | None = pydantic.Field(None, description="The most vCPUs of the whole cluster.", unit="vCPUs")

    @pydantic.validator("provisioning", pre=True)
    def _positive(cls, value: object) -> servo.Duration:
        return length(value)


class PinnedPrice(Section):
    """A price that you know better: USD per instance-hour."""

    ec2: Usd = pydantic.Field(..., description="EC2's on-demand price.", unit="USD/h")
    fee: Usd = pydantic.Field(..., description="EMR's fee on top of it.", unit="USD/h")


class PinnedStorage(Section):
    """A price of EBS that you know better: USD per month."""

    gib_month: Usd = pydantic.Field(..., description="For a GiB.", unit="USD/month")
    iops_month: Usd | None = pydantic.Field(
        None, description="For a provisioned IOPS, of kinds that charge for it.", unit="USD/month"
    )
    throughput_month: Usd | None = pydantic.Field(
        None, description="For a provisioned MiB/s, of kinds that charge for it.", unit="USD/month"
    )


class PricesSection(Section):
    """Where prices come from, and which are good enough."""

    live: bool = pydantic.Field(
        True,
        description="Whether AWS's price list is asked first (pricing:GetProducts), once a day, and kept in the "
        "workspace; then the table in the package. `false`: the table alone.",
    )
    allow_estimated_fees: bool = pydantic.Field(
        False, description="Whether an EMR fee estimated as 25 % of the EC2 price may be used."
    )
    overrides: dict[str, PinnedPrice] = pydantic.Field(
        {}, description="Prices by instance type, in `region`: negotiated or current ones."
    )
    ebs: dict[Literal["gp2", "gp3", "io1", "st1", "sc1", "standard"], PinnedStorage] = pydantic.Field(
        {}, description="Prices of EBS by kind of volume (`gp2`, `gp3`, `io1`, `st1`, `sc1`, `standard`), in `region`."
    )
