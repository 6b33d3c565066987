"""Our settings and metrics as servox's types, and so as the optimizer sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import servo

from servo_emr.domain.settings import EnumBound, Space, Value

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
    return [
        servo.Component(
            name=component,
            settings=[
                servo.InstanceType(
                    values=list(setting.bound.values), value=values[setting.selector], pinned=setting.pinned
                )
                if isinstance(setting.bound, EnumBound)
                else servo.Replicas(
                    min=setting.bound.low,
                    max=setting.bound.high,
                    step=setting.bound.step,
                    value=values[setting.selector],
                    pinned=setting.pinned,
                )
                for setting in space.settings
                if setting.component == component
            ],
        )
        for component in space.components
    ]


def metrics(units: Mapping[str, str]) -> list[servo.Metric]:
    """Metrics by name with their units."""
    return [Metric(name, WireUnit(unit)) for name, unit in units.items()]
