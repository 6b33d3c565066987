"""Our settings and metrics as servox's types, and so as the optimizer sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import servo

from servo_emr.domain.bounds import EnumBound, Value, text_of
from servo_emr.domain.settings import INST_TYPE, REPLICAS, Setting, Space

__all__ = ["Metric", "WireUnit", "components", "metrics"]


class WireUnit(str):
    """A unit on the wire. servox's own Unit has no seconds and no currency; it is used by `value` and `name` only."""

    @property
    def value(self) -> str:
        return str(self)

    @property
    def name(self) -> str:
        return str(self) or "float"

    @classmethod
    def __get_validators__(cls) -> Iterator[Any]:
        yield cls.validate

    @classmethod
    def validate(cls, value: object) -> WireUnit:
        """Any text, servox's own units among them."""
        if not isinstance(value, str):
            raise TypeError("a unit is a text")
        return cls(getattr(value, "value", value))


class Metric(servo.Metric):
    """A servox metric whose unit may be any text."""

    unit: WireUnit = WireUnit("")


def components(space: Space, values: Mapping[str, Value]) -> list[servo.Component]:
    """One servox component for each of ours, holding `values` (by selector)."""
    by_component: dict[str, list[servo.Setting]] = {}
    for setting in space.settings:
        by_component.setdefault(setting.component, []).append(_described(setting, values[setting.selector]))
    return [servo.Component(name=name, settings=settings) for name, settings in by_component.items()]


def _described(setting: Setting, value: Value) -> servo.Setting:
    """A setting as servox has it: `inst_type` and `replicas` are classes of their own there."""
    common: dict[str, Any] = {"pinned": setting.pinned} | ({"unit": setting.unit} if setting.unit else {})
    bound = setting.bound
    if isinstance(bound, EnumBound):
        texts = [text_of(one) for one in bound.values]
        if setting.name == INST_TYPE:
            return servo.InstanceType(values=texts, value=text_of(value), **common)
        return servo.EnumSetting(name=setting.name, values=texts, value=text_of(value), **common)
    common |= {"min": bound.low, "max": bound.high, "step": bound.step, "value": value}
    return servo.Replicas(**common) if setting.name == REPLICAS else servo.RangeSetting(name=setting.name, **common)


def metrics(units: Mapping[str, str]) -> list[servo.Metric]:
    """Metrics by name with their units."""
    return [Metric(name, WireUnit(unit)) for name, unit in units.items()]
