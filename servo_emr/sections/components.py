"""`emr.components`: what can be adjusted, and within which bounds."""

from __future__ import annotations

from typing import Any

import pydantic

from servo_emr.domain.settings import RangeBound
from servo_emr.sections.base import INST_TYPE, Section, Usd, word

__all__ = ["ComponentsSection", "GroupSection", "PrimarySection"]


class InstTypeSection(Section):
    """Which instance types a group may have."""

    values: list[pydantic.constr(regex=INST_TYPE)] = pydantic.Field(  # type: ignore[valid-type]
        ..., description="The types that may be tried.", min_items=1
    )
    value: str = pydantic.Field(..., description="The type to begin with.")
    pinned: bool = pydantic.Field(False, description="Whether the optimizer must leave it alone.")

    @pydantic.validator("value")
    def _allowed(cls, value: str, values: dict[str, Any]) -> str:
        if "values" in values and value not in values["values"]:
            raise ValueError(f"'{value}' is not in values ({', '.join(values['values'])}): add it, or change value")
        return value


class ReplicasSection(Section):
    """How many nodes a group may have."""

    min: pydantic.conint(strict=True, ge=1) = pydantic.Field(..., description="The fewest nodes.")  # type: ignore[valid-type]
    max: pydantic.StrictInt = pydantic.Field(..., description="The most nodes.")
    step: pydantic.conint(strict=True, ge=1) = pydantic.Field(  # type: ignore[valid-type]
        1, description="The distance between values that may be tried."
    )
    value: pydantic.StrictInt = pydantic.Field(..., description="The number to begin with.")
    pinned: bool = pydantic.Field(False, description="Whether the optimizer must leave it alone.")

    @pydantic.root_validator(skip_on_failure=True)
    def _order(cls, values: dict[str, Any]) -> dict[str, Any]:
        low, high, step_, value = (values[key] for key in ("min", "max", "step", "value"))
        if low > high:
            raise ValueError(f"min {low} is above max {high}: exchange them")
        try:
            RangeBound(low, high, step_).coerce(value)
        except ValueError as error:
            raise ValueError(f"value {value} {error}: change value, or the bounds") from None
        return values


class _BoughtSection(Section):
    """How the nodes of a role are bought."""

    market: word("on-demand", "spot") | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="As emr.cluster.ROLE.market, which may say it instead."
    )
    bid_price: Usd | None = pydantic.Field(
        None, description="With `market: spot`: the most to pay for one node, USD per hour; none: its on-demand price."
    )


class PrimarySection(_BoughtSection):
    """The primary node: there is one."""

    inst_type: InstTypeSection


class GroupSection(_BoughtSection):
    """The core or task nodes."""

    inst_type: InstTypeSection
    replicas: ReplicasSection


class ComponentsSection(Section):
    """What can be adjusted: one component for each role of node."""

    primary: PrimarySection
    core: GroupSection
    task: GroupSection | None = None
