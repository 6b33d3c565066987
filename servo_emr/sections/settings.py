"""Settings of your own in `emr.components`: what they may be, where their values go, how they are written there."""

from __future__ import annotations

import difflib
import math
import re
from typing import Any

import pydantic
from pydantic.error_wrappers import ErrorWrapper

from servo_emr.domain.bounds import EnumBound, RangeBound, Value, text_of
from servo_emr.domain.cluster import Market, Role
from servo_emr.domain.settings import Setting
from servo_emr.domain.spark import SIZED
from servo_emr.domain.spec import RunSpec
from servo_emr.domain.targets import NodeField, Parameter, Property, Referred, Target, parse_target
from servo_emr.sections.base import Section

__all__ = ["COMPONENT", "OwnSettings", "SettingSection", "check_settings", "settings_of"]

COMPONENT = r"[a-z][a-z0-9_-]*"
_SETTING = r"[a-z][a-z0-9_]*"
_PROVISIONED = {"iops": ("gp3", "io1"), "throughput": ("gp3",)}
"""What of a volume can be asked for -> the kinds of which it can."""


class SettingSection(Section):
    """One setting: a range or some values, and the target that its value goes to."""

    target: str | None = pydantic.Field(
        None,
        description="Where its value goes; docs/configuration.md lists the targets. Without it the value goes only "
        "where `{component.setting}` refers to it, which something must.",
    )
    values: list[Any] | None = pydantic.Field(
        None,
        description="The values that may be tried: texts, numbers, `true` and `false`; on the wire to the "
        "optimizer all are texts.",
        min_items=1,
    )
    min: Any = pydantic.Field(None, description="Or a range, both ends included: the least; whole numbers or decimals.")
    max: Any = pydantic.Field(None, description="The most.")
    step: Any = pydantic.Field(None, description="The distance between values that may be tried; without it, 1.")
    value: Any = pydantic.Field(..., description="The value to begin with.")
    pinned: bool = pydantic.Field(False, description="Whether the optimizer must leave it alone.")
    unit: str = pydantic.Field("", description="The unit, as the optimizer is to see it.", max_length=32)
    format: str = pydantic.Field(
        "{}",
        description="How a value is written in a property or parameter: `{}g` makes 4 into 4g. With a form of its"
        " own a parameter takes the text, else the value with its type.",
    )

    @pydantic.validator("target")
    def _is_one(cls, value: str | None) -> str | None:
        if value is not None:
            parse_target(value)
        return value

    @pydantic.validator("values")
    def _scalars(cls, value: list[Any] | None) -> list[Any] | None:
        texts = [text_of(item) for item in value or ()]
        for text in texts:
            if texts.count(text) > 1:
                raise ValueError(f"{text} stands twice")
        return value

    @pydantic.validator("format")
    def _one_place(cls, value: str) -> str:
        if value.count("{}") != 1 or re.search(r"[{}]", value.replace("{}", "")):
            raise ValueError("must hold {} once, which stands for the value, and no other brace")
        return value

    @pydantic.root_validator(skip_on_failure=True)
    def _within(cls, values: dict[str, Any]) -> dict[str, Any]:
        ranged = [name for name in ("min", "max", "step") if values.get(name) is not None]
        if (values.get("values") is not None) == bool(ranged) or ranged in (["step"], ["min"], ["max"]):
            raise ValueError("takes either values, or min and max (and step)")
        for name in ranged:
            number = values[name]
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
                raise ValueError(f"{name} {number!r} is not a number")
        if ranged and not {"min", "max"} <= set(ranged):
            raise ValueError("takes min and max together")
        if ranged and values["min"] > values["max"]:
            raise ValueError(f"min {values['min']} is above max {values['max']}: exchange them")
        if values.get("step") is not None and values["step"] <= 0:
            raise ValueError(f"step {values['step']} must be above 0")
        try:
            _bound(values).coerce(values["value"])
        except ValueError as error:
            raise ValueError(f"value {values['value']} {error}: change value, or the bounds") from None
        return values

    def to_domain(self, component: str, name: str) -> Setting:
        """The setting as the domain has it."""
        bound = _bound(self.__dict__)
        configured = bound.coerce(self.value)
        target: Target = Referred(f"{component}.{name}") if self.target is None else parse_target(self.target)
        return Setting(component, name, bound, configured, self.pinned, target, self.unit, self.format)


def _bound(values: dict[str, Any]) -> EnumBound | RangeBound:
    if values.get("values") is not None:
        return EnumBound(tuple(values["values"]))
    step = values.get("step")
    return RangeBound(values["min"], values["max"], 1 if step is None else step)


def settings_of(component: str, sections: dict[str, SettingSection]) -> list[Setting]:
    """The settings of a component as the domain has them."""
    return [section.to_domain(component, name) for name, section in sections.items()]


def is_own(item: object, near: bool) -> bool:
    """Whether what stands under an unknown key is a setting: it has a target, or else bounds, where its name is not
    `near` to one that is known."""
    if not isinstance(item, dict):
        return False
    return "target" in item or (not near and "value" in item and bool({"values", "min"} & set(item)))


class OwnSettings(Section):
    """A mapping that may hold settings of your own beside its keys: whatever is a mapping with a target."""

    class Config:
        extra = pydantic.Extra.allow

    @pydantic.root_validator(pre=True, allow_reuse=True)
    def known_keys(cls, values: dict[str, Any]) -> dict[str, Any]:
        """In the place of the rule of every section, which has this name too."""
        known = [field.alias for field in cls.__fields__.values()]
        errors = []
        for key in [key for key in values if key not in known]:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
            item = values[key]
            if not (isinstance(item, SettingSection) or is_own(item, bool(near))):
                raise ValueError(f"unknown key '{key}': {hint} A setting of your own needs a target.")
            if not re.fullmatch(_SETTING, str(key)):
                raise ValueError(f"'{key}' cannot be a setting's name: small letters, digits and '_'")
            try:
                values = {**values, key: SettingSection.validate(item)}
            except pydantic.ValidationError as error:
                errors.append(ErrorWrapper(error, loc=str(key)))
        if errors:
            raise pydantic.ValidationError(errors, cls)  # type: ignore[arg-type]
        return values

    @property
    def own(self) -> dict[str, SettingSection]:
        """The settings of your own, by name and in its order: pydantic keeps none of them in the file's."""
        return {name: item for name, item in sorted(self.__dict__.items()) if isinstance(item, SettingSection)}


def check_settings(settings: list[Setting], spec: RunSpec) -> None:
    """Holds every setting's values against what its target can have.

    Raises:
        ValueError: naming setting and value.
    """
    seen: dict[Target, str] = {}
    for setting in settings:
        place = f"components -> {setting.component} -> {setting.name}"
        if setting.place in seen:
            raise ValueError(f"{place}: {seen[setting.place]} has the same target: take one out")
        seen[setting.place] = setting.selector
        if spec.cluster.spark_auto and isinstance(setting.place, Property) and setting.place.name in SIZED:
            raise ValueError(f"{place}: cluster.spark: auto sets {setting.place.name}: take one out")
        for value in _ends(setting.bound):
            try:
                setting.place.check(value, spec)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
        if idle := _idle(setting, settings, spec):
            raise ValueError(f"{place}: {idle}: nothing would change with it")
        if setting.form != "{}" and not isinstance(setting.place, (Property, Parameter, Referred)):
            raise ValueError(f"{place}: format is for properties and parameters, and there is none here")


def _idle(setting: Setting, settings: list[Setting], spec: RunSpec) -> str:
    """Why a field of a role's nodes could change nothing, whatever the other settings are; empty when it could."""
    place = setting.place
    if not isinstance(place, NodeField) or (group := spec.group(place.role)) is None:
        return ""

    def possible(field: NodeField, configured: Value) -> set[Value]:
        chosen = [one.bound for one in settings if one.place == field]
        return {configured, *(value for bound in chosen for value in _ends(bound))}

    if place.name in ("bid_price", "fleet.on_demand"):
        if Market.SPOT not in possible(NodeField(place.role, "market"), group.market):
            return f"{place.name} is for spot nodes: set cluster.{place.role}.market: spot, or let it be adjusted"
        if place.name == "fleet.on_demand" and place.role is Role.PRIMARY:
            return "there is one primary node; choose its market"
    if place.disk is not None and place.name in _PROVISIONED and place.disk < len(group.disks or ()):
        kinds = possible(NodeField(place.role, "type", place.disk), (group.disks or ())[place.disk].volume.kind)
        if not kinds & set(_PROVISIONED[place.name]):
            return f"{place.name} is for {' and '.join(_PROVISIONED[place.name])}, and the volumes are of another kind"
    return ""


def _ends(bound: EnumBound | RangeBound) -> tuple[Value, ...]:
    return bound.values if isinstance(bound, EnumBound) else (bound.low, bound.high)
