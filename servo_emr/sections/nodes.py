"""`emr.cluster.primary`, `.core` and `.task`: how the nodes of a role are bought, stored and configured."""

from __future__ import annotations

from typing import Any

import pydantic
import servo

from servo_emr.domain.cluster import (
    CapacityReservations,
    Configuration,
    Disk,
    Fleet,
    FleetType,
    TimeoutAction,
    Volume,
    check_classification,
)
from servo_emr.domain.spark import SIZED
from servo_emr.domain.targets import KINDS
from servo_emr.sections.base import INST_TYPE, Count, Section, Usd, length, texts, word

__all__ = ["AMI", "ConfigurationSection", "NodesSection", "check_auto", "configurations", "once"]

AMI = r"^ami-[0-9a-f]{8,17}$(?!\n)"
_MOST_VOLUMES = 25
_SPOT_TIMEOUT_MIN = (5, 1440)
_SPOT_ALLOCATIONS = (
    "capacity-optimized", "price-capacity-optimized", "lowest-price", "diversified", "capacity-optimized-prioritized",
)  # fmt: skip


class ConfigurationSection(Section):
    """Properties of one classification."""

    classification: str = pydantic.Field(..., description="Such as `spark-defaults`.", regex=r"^[\w.-]+$")
    properties: dict[str, Any] = pydantic.Field({}, description="Its properties; numbers and truth values are texts.")
    configurations: list[ConfigurationSection] = pydantic.Field(
        [], description="Classifications inside it, such as export in spark-env."
    )

    @pydantic.validator("classification")
    def _spelled(cls, value: str) -> str:
        check_classification(value)
        return value

    @pydantic.validator("properties")
    def _as_texts(cls, value: dict[str, Any]) -> dict[str, Any]:
        return texts(value)

    @pydantic.validator("configurations")
    def _once(cls, value: list[ConfigurationSection]) -> list[ConfigurationSection]:
        return once(value)


def once(value: list[ConfigurationSection]) -> list[ConfigurationSection]:
    """Refuses a list in which a classification stands twice: the service would take one of them."""
    names = [item.classification for item in value]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} stands {names.count(name)} times: put its properties together")
    return value


def check_auto(sections: list[ConfigurationSection]) -> None:
    """Refuses what would size Spark's executors beside `spark: auto`.

    Raises:
        ValueError: naming the property.
    """
    for one in sections:
        if one.classification == "spark-defaults":
            for name in SIZED:
                if name in one.properties:
                    raise ValueError(f"spark: auto sets {name}: take it out of configurations, or auto")
        if one.classification == "spark" and one.properties.get("maximizeResourceAllocation") == "true":
            raise ValueError("spark: auto and maximizeResourceAllocation both size executors: take one out")


def configurations(sections: list[ConfigurationSection]) -> tuple[Configuration, ...]:
    """The sections as the domain has them."""
    return tuple(
        Configuration(one.classification, tuple(sorted(one.properties.items())), configurations(one.configurations))
        for one in sections
    )


class EbsSection(Section):
    """EBS volumes of one kind, `count` of them on each node."""

    type: word(*KINDS) = pydantic.Field("gp3", description="The kind of volume.")  # type: ignore[valid-type]
    size: pydantic.conint(strict=True, ge=1, le=1024) = pydantic.Field(..., description="Of each volume.", unit="GiB")  # type: ignore[valid-type]
    iops: Count | None = pydantic.Field(None, description="Provisioned, of gp3 and io1.", unit="IOPS")
    throughput: pydantic.conint(strict=True, ge=125, le=1000) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="Provisioned, of gp3.", unit="MiB/s"
    )
    count: pydantic.conint(strict=True, ge=1, le=_MOST_VOLUMES) = pydantic.Field(  # type: ignore[valid-type]
        1, description="Volumes of this kind on each node.", unit="volumes"
    )

    @pydantic.root_validator(skip_on_failure=True)
    def _fits_its_kind(cls, values: dict[str, Any]) -> dict[str, Any]:
        kind = values["type"]
        if kind == "io1" and values.get("iops") is None:
            raise ValueError("io1 volumes need iops")
        if values.get("iops") is not None and kind not in ("gp3", "io1"):
            raise ValueError(f"iops is for gp3 and io1, not for {kind}: take it out, or change type")
        if values.get("throughput") is not None and kind != "gp3":
            raise ValueError(f"throughput is for gp3, not for {kind}: take it out, or change type")
        return values

    def to_domain(self) -> Disk:
        """The volumes as the domain has them."""
        return Disk(Volume(self.type, float(self.size), self.iops, self.throughput), self.count)


class FleetTypeSection(Section):
    """What holds for one instance type of a fleet."""

    weight: pydantic.conint(strict=True, ge=1) = pydantic.Field(  # type: ignore[valid-type]
        1, description="What one node of the type counts of the number asked for.", unit="units"
    )
    bid_price: Usd | None = pydantic.Field(None, description="The most to pay for one on spot.", unit="USD/h")
    bid_percent: Usd | None = pydantic.Field(None, description="The same, of its on-demand price.", unit="%")
    priority: pydantic.confloat(ge=0) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="With a prioritized allocation: the lower, the sooner."
    )

    @pydantic.root_validator(skip_on_failure=True)
    def _one_bid(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("bid_price") is not None and values.get("bid_percent") is not None:
            raise ValueError("takes bid_price or bid_percent, not both")
        return values


class ReservationsSection(Section):
    """How on-demand nodes of a fleet use capacity reservations."""

    usage: word("use-capacity-reservations-first") | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="Whether they are used before anything is bought."
    )
    preference: word("open", "none") | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="Whether open reservations are used."
    )
    resource_group_arn: str | None = pydantic.Field(None, description="A group of reservations.", regex=r"^arn:\S+$")


class FleetSection(Section):
    """How EMR may make up the nodes of a role of several types and both markets: an instance fleet."""

    types: dict[pydantic.constr(regex=INST_TYPE), FleetTypeSection] = pydantic.Field(  # type: ignore[valid-type]
        {}, description="What holds for single types."
    )
    alternatives: list[pydantic.constr(regex=INST_TYPE)] = pydantic.Field(  # type: ignore[valid-type]
        [], description="Types that EMR may take instead of `inst_type`: at most 4, or 29 with an allocation strategy."
    )
    on_demand: pydantic.conint(strict=True, ge=0) = pydantic.Field(  # type: ignore[valid-type]
        0, description="With `market: spot`: what is bought on demand all the same.", unit="units"
    )
    spot_timeout: servo.Duration = pydantic.Field(
        "20m", description="How long EMR waits for spot capacity: 5m to 24h, whole minutes."
    )
    timeout_action: word("switch-to-on-demand", "terminate-cluster") = pydantic.Field(  # type: ignore[valid-type]
        "terminate-cluster", description="What EMR does then."
    )
    spot_allocation: word(*_SPOT_ALLOCATIONS) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="How EMR chooses spot pools."
    )
    on_demand_allocation: word("lowest-price", "prioritized") | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="How EMR chooses on-demand types."
    )
    reservations: ReservationsSection | None = pydantic.Field(
        None, description="With on_demand_allocation: capacity reservations."
    )

    @pydantic.validator("spot_timeout", pre=True)
    def _minutes(cls, value: object) -> servo.Duration:
        duration = length(value)
        least, most = _SPOT_TIMEOUT_MIN
        minutes = duration.total_seconds() / 60
        if minutes != int(minutes) or not least <= minutes <= most:
            raise ValueError(f"must be whole minutes, {least}m to {most // 60}h")
        return duration

    @pydantic.root_validator(skip_on_failure=True)
    def _enough(cls, values: dict[str, Any]) -> dict[str, Any]:
        strategy = values.get("spot_allocation") or values.get("on_demand_allocation")
        most = 29 if strategy else 4
        if len(values["alternatives"]) > most:
            raise ValueError(
                f"alternatives: {len(values['alternatives'])} types, beside the one asked for {most} are possible"
                + ("" if strategy else " (29 with an allocation strategy)")
            )
        if values.get("reservations") is not None and values.get("on_demand_allocation") is None:
            raise ValueError("reservations need on_demand_allocation beside them")
        return values

    def to_domain(self) -> Fleet:
        """The fleet as the domain has it."""
        kept = self.reservations
        return Fleet(
            types=tuple(
                FleetType(name, one.weight, one.bid_price, one.bid_percent, one.priority)
                for name, one in self.types.items()
            ),
            alternatives=tuple(self.alternatives),
            on_demand=self.on_demand,
            spot_timeout_min=int(self.spot_timeout.total_seconds() // 60),
            timeout_action=TimeoutAction(self.timeout_action),
            spot_allocation=self.spot_allocation,
            on_demand_allocation=self.on_demand_allocation,
            reservations=None
            if kept is None
            else CapacityReservations(kept.usage, kept.preference, kept.resource_group_arn),
        )


class NodesSection(Section):
    """The nodes of one role, beside their type and number, which emr.components has."""

    market: word("on-demand", "spot") = pydantic.Field(  # type: ignore[valid-type]
        "on-demand", description="Nodes on spot cost less, and EC2 may take them back at any time, the run with them."
    )
    bid_price: Usd | None = pydantic.Field(
        None, description="With `market: spot`: the most to pay for one node. None: its on-demand price.", unit="USD/h"
    )
    ebs: list[EbsSection] | None = pydantic.Field(
        None, description="The EBS volumes of each node beside its root volume; none: what EMR gives its type."
    )
    ebs_optimized: bool | None = pydantic.Field(None, description="Whether EBS has bandwidth of its own.")
    ami_id: pydantic.constr(regex=AMI) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="The image of these nodes."
    )
    configurations: list[ConfigurationSection] = pydantic.Field([], description="For these nodes alone.")
    fleet: FleetSection | None = pydantic.Field(
        None, description="Makes the nodes an instance fleet; then those of every role must be one."
    )

    @pydantic.validator("configurations")
    def _once(cls, value: list[ConfigurationSection]) -> list[ConfigurationSection]:
        return once(value)

    @pydantic.validator("ebs")
    def _not_too_many(cls, value: list[EbsSection] | None) -> list[EbsSection] | None:
        count = sum(one.count for one in value or ())
        if count > _MOST_VOLUMES:
            raise ValueError(f"{count} volumes, a node has at most {_MOST_VOLUMES}")
        return value

    @property
    def disks(self) -> tuple[Disk, ...] | None:
        """The volumes of each node, None when none are asked for."""
        return None if self.ebs is None else tuple(one.to_domain() for one in self.ebs)


ConfigurationSection.update_forward_refs()
