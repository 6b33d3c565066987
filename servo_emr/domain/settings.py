"""Component settings and the RunSpec that their values ask for.

Values outside what servo.yaml allows never come out of `apply`, whoever put them in.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from servo_emr.domain.bounds import EnumBound, RangeBound, Value, text_of
from servo_emr.domain.cluster import Configuration
from servo_emr.domain.errors import ConfigurationError, Reason
from servo_emr.domain.spec import Role, RunSpec, Step, canonical
from servo_emr.domain.targets import NodeField, Target
from servo_emr.domain.trial import filled, resolve

__all__ = ["INST_TYPE", "MARKET", "REPLICAS", "EnumBound", "RangeBound", "Setting", "Space", "Value"]

INST_TYPE = "inst_type"
REPLICAS = "replicas"
MARKET = "market"


@dataclass(frozen=True)
class Setting:
    """One thing that can be changed: where it belongs, what it may be, what servo.yaml says it is.

    target: where its value goes; None: a node group's own type, number or market. form: the text that a value is
    written as, "{}" standing for it.
    """

    component: str
    name: str
    bound: EnumBound | RangeBound
    configured: Value
    pinned: bool = False
    target: Target | None = None
    unit: str = ""
    form: str = "{}"

    @property
    def place(self) -> Target:
        """Where its value goes."""
        return self.target or NodeField(Role(self.component), self.name)

    def text(self, value: Value) -> str:
        """A value as its place takes it where that is text."""
        return self.form.replace("{}", text_of(value))

    def shown(self, value: Value) -> Value:
        """What a reference to the setting becomes: its value, or its text where that has a form of its own."""
        return value if self.form == "{}" else self.text(value)

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
        """`spec` with the values in their places, and references to them in parameters, properties and steps filled.

        `values` are coerced again: this is the last door.
        """
        shown: dict[str, Value] = {}
        for setting in self.settings:
            if setting.selector not in values:
                continue
            value = setting.coerce(values[setting.selector])
            shown[setting.selector] = setting.shown(value)
            spec = setting.place.put(spec, value, setting.text(value))
        parameters = canonical(resolve(spec.job.parameter_values, shown))
        return replace(
            spec,
            groups=tuple(
                replace(group, configurations=_resolved(group.configurations, shown)) for group in spec.groups
            ),
            cluster=replace(spec.cluster, configurations=_resolved(spec.cluster.configurations, shown)),
            job=replace(spec.job, parameters=parameters),
            steps=tuple(_step(step, shown) for step in spec.steps),
        )

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


def _step(step: Step, shown: Mapping[str, Value]) -> Step:
    """A step with the references in its words filled."""
    if not (step.command or step.parameters != "{}" or not step.ours):
        return step
    return replace(
        step,
        argv=step.argv if step.ours else filled(step.argv, shown),
        command=filled(step.command, shown),
        parameters=canonical(resolve(json.loads(step.parameters), shown)),
        properties=tuple((name, text_of(resolve(text, shown))) for name, text in step.properties),
    )


def _resolved(configured: tuple[Configuration, ...], shown: Mapping[str, Value]) -> tuple[Configuration, ...]:
    """Configurations with the references in their properties filled; the service's JSON keeps them what they are."""
    return tuple(
        replace(
            one,
            properties=tuple((name, text_of(resolve(text, shown))) for name, text in one.properties),
            configurations=_resolved(one.configurations, shown),
        )
        for one in configured
    )
