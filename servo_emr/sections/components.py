"""`emr.components`: what can be adjusted, and within which bounds."""

from __future__ import annotations

import difflib
import re
from typing import Any

import pydantic
from pydantic.error_wrappers import ErrorWrapper

from servo_emr.domain.settings import RangeBound
from servo_emr.sections.base import INST_TYPE, Section, Usd, word
from servo_emr.sections.settings import COMPONENT, OwnSettings, is_own

__all__ = ["ComponentsSection", "GroupSection", "MarketSection", "PrimarySection"]


def _one_of_values(value: str, values: dict[str, Any]) -> str:
    """Refuses a value that is not among the values beside it."""
    if "values" in values and value not in values["values"]:
        raise ValueError(f"'{value}' is not in values ({', '.join(values['values'])}): add it, or change value")
    return value


class InstTypeSection(Section):
    """Which instance types a group may have."""

    values: list[pydantic.constr(regex=INST_TYPE)] = pydantic.Field(  # type: ignore[valid-type]
        ..., description="The types that may be tried.", min_items=1
    )
    value: str = pydantic.Field(..., description="The type to begin with.")
    pinned: bool = pydantic.Field(False, description="Whether the optimizer must leave it alone.")

    _allowed = pydantic.validator("value", allow_reuse=True)(_one_of_values)


class ReplicasSection(Section):
    """How many nodes a group may have."""

    min: pydantic.conint(strict=True, ge=1) = pydantic.Field(..., description="The fewest nodes.", unit="nodes")  # type: ignore[valid-type]
    max: pydantic.StrictInt = pydantic.Field(..., description="The most nodes.", unit="nodes")
    step: pydantic.conint(strict=True, ge=1) = pydantic.Field(  # type: ignore[valid-type]
        1, description="The distance between values that may be tried.", unit="nodes"
    )
    value: pydantic.StrictInt = pydantic.Field(..., description="The number to begin with.", unit="nodes")
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


class MarketSection(Section):
    """How the nodes may be bought, where the optimizer is to choose."""

    values: list[word("on-demand", "spot")] = pydantic.Field(  # type: ignore[valid-type]
        ..., description="The markets that may be tried.", min_items=1
    )
    value: word("on-demand", "spot") = pydantic.Field(..., description="The market to begin with.")  # type: ignore[valid-type]
    pinned: bool = pydantic.Field(False, description="Whether the optimizer must leave it alone.")

    _allowed = pydantic.validator("value", allow_reuse=True)(_one_of_values)


class PrimarySection(OwnSettings):
    """The primary node: there is one."""

    inst_type: InstTypeSection = pydantic.Field(..., description="The instance type of its nodes.")
    market: MarketSection | word("on-demand", "spot") | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="As `emr.cluster.ROLE.market`; `{values, value}` makes it adjustable."
    )
    bid_price: Usd | None = pydantic.Field(None, description="As `emr.cluster.ROLE.bid_price`.", unit="USD/h")

    @pydantic.validator("market", pre=True)
    def _market(cls, value: object) -> object:
        """Either form by itself, so that an error is about the one that was written."""
        return MarketSection.validate(value) if isinstance(value, dict) else value

    @property
    def markets(self) -> tuple[str, ...]:
        """The markets that it names; none when it names none."""
        if self.market is None:
            return ()
        return tuple(self.market.values) if isinstance(self.market, MarketSection) else (str(self.market),)


class GroupSection(PrimarySection):
    """The core nodes."""

    replicas: ReplicasSection = pydantic.Field(..., description="How many nodes it has.")


class TaskReplicasSection(ReplicasSection):
    """How many task nodes there may be; none is a number too."""

    min: pydantic.conint(strict=True, ge=0) = pydantic.Field(..., description="The fewest nodes.", unit="nodes")  # type: ignore[valid-type]


class TaskSection(GroupSection):
    """The task nodes."""

    replicas: TaskReplicasSection = pydantic.Field(..., description="How many nodes it has; none is possible.")


class ComponentsSection(Section):
    """What can be adjusted: a component for each role of node, and components of your own."""

    class Config:
        extra = pydantic.Extra.allow

    primary: PrimarySection = pydantic.Field(..., description="The primary node, where the notebook's driver runs.")
    core: GroupSection = pydantic.Field(..., description="The core nodes: they compute, and hold HDFS.")
    task: TaskSection | None = pydantic.Field(None, description="Task nodes: they compute only; none: there are none.")

    @pydantic.root_validator(pre=True, allow_reuse=True)
    def known_keys(cls, values: dict[str, Any]) -> dict[str, Any]:
        """In the place of the rule of every section, which has this name too."""
        errors = []
        for key in [key for key in values if key not in cls.__fields__]:
            near = difflib.get_close_matches(str(key), cls.__fields__, 1)
            if not re.fullmatch(COMPONENT, str(key)) or (near and not _all_own(values[key])):
                hint = (
                    f"did you mean '{near[0]}'?" if near else "a component's name has small letters, digits, _ and -."
                )
                raise ValueError(f"unknown key '{key}': {hint} Settings of a component of your own need targets.")
            try:
                values = {**values, key: OwnSettings.validate(values[key])}
            except pydantic.ValidationError as error:
                errors.append(ErrorWrapper(error, loc=str(key)))
        if errors:
            raise pydantic.ValidationError(errors, cls)  # type: ignore[arg-type]
        return values

    @property
    def own(self) -> dict[str, OwnSettings]:
        """The components that are no role of node, by name and in its order."""
        return {name: item for name, item in sorted(self.__dict__.items()) if name not in self.__fields__}


def _all_own(value: object) -> bool:
    return isinstance(value, OwnSettings) or (
        isinstance(value, dict) and all(is_own(item, near=True) for item in value.values())
    )
