"""A servo's description of its settings: the values that it holds, other values put in, what is pinned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from servo_emr.optimizer.trial import Value

__all__ = ["free", "values_of", "with_values"]


def values_of(descriptor: Mapping[str, Any]) -> dict[str, Value]:
    """The values that a description holds, by selector; of what is not understood, none."""
    application = descriptor.get("application")
    components = application.get("components") if isinstance(application, dict) else None
    found: dict[str, Value] = {}
    for component, body in (components if isinstance(components, dict) else {}).items():
        settings = body.get("settings") if isinstance(body, dict) else None
        for name, setting in (settings if isinstance(settings, dict) else {}).items():
            value = setting.get("value") if isinstance(setting, dict) else None
            if isinstance(value, (str, int, float)) and not isinstance(value, bool):
                found[f"{component}.{name}"] = value
    return found


def free(descriptor: Mapping[str, Any], settings: Mapping[str, Value]) -> dict[str, Value]:
    """`settings` without those that are pinned, which nobody may set."""
    pinned = {
        f"{component}.{name}"
        for component, body in descriptor["application"]["components"].items()
        for name, setting in body["settings"].items()
        if setting.get("pinned")
    }
    return {selector: value for selector, value in settings.items() if selector not in pinned}


def with_values(descriptor: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """The description with other values set, where they are still among those allowed."""
    components = {}
    for component, body in descriptor["application"]["components"].items():
        settings = {}
        for name, setting in body["settings"].items():
            value = values.get(f"{component}.{name}", setting["value"])
            settings[name] = {**setting, "value": value} if _allowed(setting, value) else setting
        components[component] = {**body, "settings": settings}
    return {**descriptor, "application": {**descriptor["application"], "components": components}}


def _allowed(setting: Mapping[str, Any], value: Value) -> bool:
    if setting.get("pinned"):
        return False
    if setting["type"] == "enum":
        return value in setting["values"]
    return not isinstance(value, str) and bool(setting["min"] <= value <= setting["max"])
