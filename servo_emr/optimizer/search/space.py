"""What may be tried: the dimensions that servo describes, what is fixed, and which configurations there are.

Knows servox's descriptors, and nothing of what the settings mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from numpy.random import Generator

from servo_emr.optimizer.search.terms import Value

__all__ = ["GROUND", "Configuration", "Dimension", "Space"]

Configuration = tuple[Value, ...]
"""The values of a space's dimensions, in their order."""

GROUND = 600
"""As many configurations are weighed at a time; a larger space is sampled."""

_LEVELS = 64
"""A range keeps so many of its values."""
_CONTINUOUS_LEVELS = 33


@dataclass(frozen=True)
class Dimension:
    """One setting that may change; `values` are all that are considered, in order, each within the setting's bounds."""

    selector: str
    kind: Literal["enum", "range"]
    values: tuple[Value, ...]

    def allows(self, value: Value) -> bool:
        """Whether a value may be set: one of an enum's, or one within a range's bounds."""
        if self.kind == "enum" or isinstance(value, str):
            return value in self.values
        return float(self.values[0]) <= value <= float(self.values[-1])


@dataclass(frozen=True)
class Space:
    """Every configuration: the product of the dimensions, or just those that are `listed`.

    constants: pinned settings, and those that have one value. current: what is set now, by selector; None: nothing is.
    """

    dimensions: tuple[Dimension, ...]
    constants: Mapping[str, Value] = field(default_factory=dict)
    current: Mapping[str, Value] | None = None
    listed: tuple[Configuration, ...] | None = None

    @classmethod
    def from_description(cls, descriptor: Mapping[str, Any]) -> Space:
        """The space of a servox description: {"application": {"components": {NAME: {"settings": {...}}}}}.

        Raises:
            ValueError: it is none, or a setting makes no sense; the message names the place.
        """
        components = _mapping(_mapping(descriptor, "application", "the description"), "components", "application")
        dimensions, constants, current = [], dict[str, Value](), dict[str, Value]()
        for component in components:
            settings = _mapping(_mapping(components, component, "components"), "settings", component)
            for name in settings:
                selector = f"{component}.{name}"
                setting = _mapping(settings, name, component)
                value, values, kind = _setting(selector, setting)
                current[selector] = value
                if setting.get("pinned") or len(values) == 1:
                    constants[selector] = value if setting.get("pinned") else values[0]
                else:
                    dimensions.append(Dimension(selector, kind, values))
        if not current:
            raise ValueError("the description has no settings")
        return cls(tuple(dimensions), constants, current)

    @cached_property
    def size(self) -> int:
        """How many configurations there are."""
        if self.listed is not None:
            return len(self.listed)
        return math.prod(len(dimension.values) for dimension in self.dimensions)

    def settings(self, configuration: Configuration) -> dict[str, Value]:
        """A configuration by selector, with the constants."""
        chosen = {dimension.selector: value for dimension, value in zip(self.dimensions, configuration, strict=True)}
        return {**self.constants, **chosen}

    def configuration(self, settings: Mapping[str, Value]) -> Configuration | None:
        """The configuration of some settings; None when they are of another space (a constant or a selector differs).

        A value between the values that are kept is a configuration too: the current one may be.
        """
        if any(settings.get(selector) != value for selector, value in self.constants.items()):
            return None
        if not all(dimension.selector in settings for dimension in self.dimensions):
            return None
        return tuple(settings[dimension.selector] for dimension in self.dimensions)

    def allows(self, configuration: Configuration) -> bool:
        """Whether a configuration may be set: one that was tried may be of a wider description."""
        places = zip(self.dimensions, configuration, strict=True)
        return self._legal(configuration) and all(dimension.allows(value) for dimension, value in places)

    def ground(self, chance: Generator, around: Iterable[Configuration]) -> list[Configuration]:
        """What is weighed for the next trial: everything, or of a large space a sample.

        The sample has every configuration of `around`, neighbours of the first of them (those that differ in one
        dimension), and for at least a quarter of the rest of its room configurations drawn by chance.
        """
        kept = [configuration for configuration in around if self._legal(configuration)]
        if self.size <= GROUND:
            everything = itertools.product(*(dimension.values for dimension in self.dimensions))
            return list(dict.fromkeys([*(self.listed if self.listed is not None else everything), *kept]))
        found = dict.fromkeys(kept)
        foreign = sum(not self._regular(configuration) for configuration in found)
        room = min(max(GROUND, len(found) + GROUND // 2), self.size + foreign)
        near = room - (room - len(found)) // 4
        for configuration in itertools.chain.from_iterable(map(self.neighbours, kept)):
            if len(found) >= near:
                break
            found[configuration] = None
        while len(found) < room:
            for configuration in self._drawn(chance, GROUND):
                if len(found) < room:
                    found[configuration] = None
        return list(found)

    def _regular(self, configuration: Configuration) -> bool:
        """Whether it is one of those that `size` counts."""
        return all(value in dimension.values for dimension, value in zip(self.dimensions, configuration, strict=True))

    def neighbours(self, configuration: Configuration) -> list[Configuration]:
        """Configurations that differ in one dimension: any other value of an enum, the next few of a range."""
        found = []
        for place, dimension in enumerate(self.dimensions):
            for value in _near(dimension, configuration[place]):
                candidate = (*configuration[:place], value, *configuration[place + 1 :])
                if self._legal(candidate):
                    found.append(candidate)
        return found

    def _legal(self, configuration: Configuration) -> bool:
        return self.listed is None or configuration in self._listed_set

    @cached_property
    def _listed_set(self) -> frozenset[Configuration]:
        return frozenset(self.listed or ())

    def _drawn(self, chance: Generator, count: int) -> list[Configuration]:
        if self.listed is not None:
            return [self.listed[int(index)] for index in chance.integers(len(self.listed), size=count)]
        columns = [
            [dimension.values[int(index)] for index in chance.integers(len(dimension.values), size=count)]
            for dimension in self.dimensions
        ]
        return list(zip(*columns, strict=True))


def _near(dimension: Dimension, value: Value) -> Sequence[Value]:
    if dimension.kind == "enum":
        return [other for other in dimension.values if other != value]
    others = sorted((other for other in dimension.values if other != value), key=lambda other: _distance(other, value))
    return others[:6]


def _distance(one: Value, other: Value) -> float:
    return abs(float(one) - float(other))


def _mapping(parent: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    found = parent.get(name) if isinstance(parent, Mapping) else None
    if not isinstance(found, Mapping):
        raise ValueError(f"{where}: {name} is {found!r}, not a map")
    return found


def _setting(selector: str, setting: Mapping[str, Any]) -> tuple[Value, tuple[Value, ...], Literal["enum", "range"]]:
    """(the value set now, all values, kind)."""
    value, kind = setting.get("value"), setting.get("type")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{selector}: value is {value!r}, not a text or a number")
    if kind == "enum":
        values = setting.get("values")
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise ValueError(f"{selector}: values is {values!r}, not a list with something in it")
        return value, tuple(dict.fromkeys(values)), "enum"
    if kind == "range":
        low, high, step = (_number(selector, setting, name) for name in ("min", "max", "step"))
        if isinstance(value, str) or low > high or step < 0:
            raise ValueError(f"{selector}: {value!r} of {low:g} to {high:g} in steps of {step:g} is no range")
        return value, _grid(low, high, step, value), "range"
    raise ValueError(f"{selector}: type is {kind!r}, not enum or range")


def _number(selector: str, setting: Mapping[str, Any], name: str) -> float:
    found = setting.get(name)
    if name == "step" and found is None:
        return 0.0
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        raise ValueError(f"{selector}: {name} is {found!r}, not a number")
    return found


def _grid(low: float, high: float, step: float, value: Value) -> tuple[Value, ...]:
    """The values of a range: all on its grid, or evenly spread ones when they are many; the present one among them."""
    if step:
        count = math.floor((high - low) / step + 1e-9)
        places: Iterable[int] = range(count + 1)
        if count >= _LEVELS:
            places = sorted({round(count * part / (_LEVELS - 1)) for part in range(_LEVELS)})
        whole = all(float(number).is_integer() for number in (low, step))
        values: set[Value] = {_exact(low + step * place, whole) for place in places}
    else:
        span = _CONTINUOUS_LEVELS - 1
        values = {low + (high - low) * part / span for part in range(span + 1)}
    if isinstance(value, (int, float)) and low <= value <= high:
        values.add(value)
    return tuple(sorted(values, key=float))


def _exact(number: float, whole: bool) -> Value:
    return int(number) if whole else round(number, 12)
