"""servo-batch's configuration -> servo.yaml: its command is what is measured, with its settings as references."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from servo_emr.importing.document import leaves
from servo_emr.importing.draft import Draft
from servo_emr.importing.steps import command_line

__all__ = ["PLAIN", "from_batch", "settings_of"]

PLAIN = re.compile(r"\{(?:state\[)?application\]?\[components\]\[([^\[\]]+)\]\[settings\]\[([^\[\]]+)\]\[value\]")
"""How older versions, and servo-statestore-emr, refer to a setting; a form of Python's and a brace follow."""
_KEYS = {"enum": ("values", "unit", "pinned"), "range": ("min", "max", "step", "unit", "pinned")}
_TIMEOUT_S = 7200
"""The default of job.timeout."""


def from_batch(document: Mapping[str, Any], draft: Draft) -> None:
    """Puts the command, its settings and its metrics into the draft; with a notebook, the settings are that one's
    parameters."""
    batch = document["batch"]
    application = batch.get("application") or batch.get("default_state", {}).get("application", {})
    names = settings_of(application.get("components", {}), "batch.application.components", draft)
    expected = batch.get("expected_duration")
    draft.put("job.expected_duration", f"{expected}s" if expected is not None else None)
    for name, metric in (batch.get("metrics") or {}).items():
        pattern = str(metric.get("output_regex", ""))
        if not re.compile(pattern).groups:
            why = "it has no group: put the number's part in parentheses"
            draft.leave(f"batch.metrics.{name}.output_regex", pattern, why)
            continue
        draft.put(f"job.metrics.{name}", {"from": "output", "pattern": pattern, "unit": metric.get("unit", "")})
    if "command" in batch:
        _command(PLAIN.sub(r"{\1.\2", str(batch["command"])), names, draft)
    for path, value in leaves(application.get("annotations") or {}, "batch.application.annotations"):
        if value:
            draft.leave(path, value, "annotations of measurements are ours")


def settings_of(components: Mapping[str, Any], where: str, draft: Draft) -> dict[str, str]:
    """The settings, in the draft by then: their names there -> their names here."""
    names: dict[str, str] = {}
    for component, found in components.items():
        for name, setting in found.get("settings", {}).items():
            own, own_name = (re.sub(r"[^a-z0-9_]", "_", str(one).lower()) for one in (component, name))
            place = f"{where}.{component}.settings.{name}"
            kind = str(setting.get("type", "enum" if "values" in setting else "range"))
            value = setting.get("default", setting.get("value"))
            if kind not in _KEYS:
                draft.leave(place, value, f"a setting of type {kind} is code: work it out in the job")
                continue
            if f"{own}.{own_name}" in names.values():
                draft.leave(place, value, f"another setting is called {own}.{own_name} here")
                continue
            section = {key: setting[key] for key in _KEYS[kind] if key in setting}
            if value is None:
                value = section["values"][0] if kind == "enum" else section["min"]
                draft.leave(place, value, "no default is said: this one is put in")
            names[f"{component}.{name}"] = f"{own}.{own_name}"
            section["value"] = value
            if draft.notebook is not None:
                section["target"] = f"job.parameters.{own}_{own_name}"
                draft.leave(place, value, f"carried, as the notebook's parameter {own}_{own_name}")
            draft.put(f"components.{own}.{own_name}", section)
    return names


def _command(command: str, names: Mapping[str, str], draft: Draft) -> None:
    if draft.notebook is not None:
        why = "the notebook is what is measured: do in it what the command does, with its parameters for {...}"
        draft.leave("batch.command", command, why)
        return

    def known(name: str) -> str | None:
        """servo-batch formats as Python does: {component.setting:form}."""
        selector, _, form = name.partition(":")
        if selector in ("_control.duration", "control.duration"):
            draft.leave("batch.command", f"{{{name}}}", f"the time limit is job.timeout: {_TIMEOUT_S} is put in")
            return str(_TIMEOUT_S)
        if form and selector in names:
            draft.leave("batch.command", f"{{{name}}}", f"carried as {{{names[selector]}}}, without the form {form}")
        return f"{{{names[selector]}}}" if selector in names else None

    before = len(draft.left)
    item = command_line(command, known)
    if item is None:
        del draft.left[before:]
        given = [f"{name}={{{name}}}" for name in names.values()]
        why = "only a shell could run it, or it refers to what is not here: put it into job.sh, which job.run names"
        told = f"{why}, with the settings as its arguments: {' '.join(given)}" if given else why
        draft.leave("batch.command", command, told)
        item = {"script": "job.sh", **({"args": given} if given else {})}
    else:
        used = " ".join(str(word) for word in (*item.get("args", ()), *item.get("command", ())))
        for name in [name for name in names.values() if f"{{{name}}}" not in used]:
            component, _, setting = name.partition(".")
            value = draft.emr["components"][component].pop(setting)
            draft.leave("batch.command", name, f"the command does not refer to it: it was left out ({value['value']})")
            if not draft.emr["components"][component]:
                del draft.emr["components"][component]
    draft.put("job.run", [item])
