"""Component settings and the fields of a RunSpec, both ways.

The secret kept here: that `core.replicas` is the count of the core nodes, `core.inst_type` their type, and that the
text "4.0" means 4. Values outside what servo.yaml allows never come out of `apply`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from servo_emr.domain.errors import ConfigurationError, Reason
from servo_emr.domain.spec import NodeGroup, Role, RunSpec, canonical
from servo_emr.domain.trial import resolve

__all__ = ["INST_TYPE", "REPLICAS", "EnumBound", "RangeBound", "Setting", "Space", "Value"]

Value = str | int

INST_TYPE = "inst_type"
REPLICAS = "replicas"


@dataclass(frozen=True)
class EnumBound:
    """The values that a setting may take."""

    values: tuple[str, ...]

    def coerce(self, value: object) -> str:
        """`value` as one of the allowed ones, or ValueError with what is allowed."""
        if not isinstance(value, str) or value not in self.values:
            raise ValueError(f"is not one of {', '.join(self.values)}")
        return value


@dataclass(frozen=True)
class RangeBound:
    """A whole number between two bounds, both included, on a grid of `step` from `low`."""

    low: int
    high: int
    step: int = 1

    def coerce(self, value: object) -> int:
        """`value` ("4", 4, 4.0, "4.0") as a whole number within the bounds, or ValueError with the reason."""
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError("is not a number")
        try:
            # Python reads 1_0 as 10; nobody else does.
            number = float(value.replace("_", "?") if isinstance(value, str) else value)
        except (ValueError, OverflowError):
            raise ValueError("is not a number") from None
        if not math.isfinite(number) or number != int(number):
            raise ValueError("is not a whole number")
        whole = int(number)
        if not self.low <= whole <= self.high:
            raise ValueError(f"is outside {self.low} to {self.high}")
        if (whole - self.low) % self.step:
            raise ValueError(f"is not on the grid {self.low}, {self.low + self.step}, ... {self.high}")
        return whole


@dataclass(frozen=True)
class Setting:
    """One thing that can be changed: where it belongs, what it may be, what servo.yaml says it is."""

    component: str
    name: str
    bound: EnumBound | RangeBound
    configured: Value
    pinned: bool = False

    @property
    def selector(self) -> str:
        """The name that optimizer and operator use, for example "core.replicas"."""
        return f"{self.component}.{self.name}"

    def coerce(self, value: object) -> Value:
        """The value to use for `value`.

        Raises:
            ConfigurationError: out of bounds, not of the setting's kind, or another than the pinned value.
        """
        try:
            coerced = self.bound.coerce(value)
        except ValueError as error:
            raise ConfigurationError(
                f"{self.selector}: {_shown(value)} {error}.",
                Reason.OUT_OF_BOUNDS,
                remedy=f"The bounds are those of emr.components.{self.selector} in servo.yaml.",
                public=f"{self.selector} {error}",
            ) from None
        if self.pinned and coerced != self.configured:
            raise ConfigurationError(
                f"{self.selector} is pinned to {self.configured}, {_shown(value)} was asked for.",
                Reason.OUT_OF_BOUNDS,
                remedy=f"Unpin emr.components.{self.selector} in servo.yaml to let it change.",
                public=f"{self.selector} is pinned",
            )
        return coerced


def _shown(value: object) -> str:
    """A value of unknown origin, short enough for a message."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print an integer of thousands of digits
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class Space:
    """All settings of one configuration, in the order in which they are described."""

    settings: tuple[Setting, ...]

    def __getitem__(self, selector: str) -> Setting:
        for setting in self.settings:
            if setting.selector == selector:
                return setting
        raise KeyError(selector)

    @property
    def components(self) -> tuple[str, ...]:
        """Component names, each once, in order."""
        return tuple(dict.fromkeys(setting.component for setting in self.settings))

    @property
    def configured(self) -> dict[str, Value]:
        """What servo.yaml says, by selector."""
        return {setting.selector: setting.configured for setting in self.settings}

    def changed(self, current: Mapping[str, Value], adjustments: Iterable[tuple[str, object]]) -> dict[str, Value]:
        """`current` with the adjustments (selector, value) made, every one of them coerced and within its bounds.

        Raises:
            ConfigurationError: the first adjustment that names no setting of ours or is not allowed.
        """
        values = dict(current)
        for selector, value in adjustments:
            values[selector] = self._known(selector).coerce(value)
        return values

    def legal(self, values: Mapping[str, Any]) -> tuple[dict[str, Value], list[str]]:
        """`values` as far as they are still allowed, else what servo.yaml says; and a warning for each replaced one."""
        result, warnings = self.configured, []
        for selector, value in values.items():
            try:
                result[selector] = self._known(selector).coerce(value)
            except ConfigurationError as error:
                fallback = result.get(selector)
                used = "it is ignored" if fallback is None else f"{fallback} is used"
                warnings.append(f"staged value no longer allowed: {error.message} As configured, {used}.")
        return result, warnings

    def apply(self, spec: RunSpec, values: Mapping[str, Value]) -> RunSpec:
        """`spec` with the groups that the values ask for, and references to them in job parameters filled.

        `values` are coerced again: this is the last door.
        """
        groups = {group.role: group for group in spec.groups}
        coerced: dict[str, Value] = {}
        for setting in self.settings:
            if setting.selector not in values:
                continue
            value = coerced[setting.selector] = setting.coerce(values[setting.selector])
            role = Role(setting.component)
            groups[role] = _with(groups[role], setting.name, value)
        parameters = canonical(resolve(spec.job.parameter_values, coerced))
        return replace(spec, groups=tuple(groups.values()), job=replace(spec.job, parameters=parameters))

    def _known(self, selector: str) -> Setting:
        try:
            return self[selector]
        except KeyError:
            names = [setting.selector for setting in self.settings]
            near = difflib.get_close_matches(selector, names, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(names)}."
            raise ConfigurationError(
                f"{_shown(selector)} is not a setting of this servo.",
                Reason.UNKNOWN_SETTING,
                remedy=hint,
                public="a setting that this servo does not have",
            ) from None


def _with(group: NodeGroup, name: str, value: Value) -> NodeGroup:
    if name == INST_TYPE:
        return replace(group, inst_type=str(value))
    if name == REPLICAS:
        return replace(group, count=int(value))
    raise ValueError(f"{name} is not a field of a node group")
