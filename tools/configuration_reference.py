"""Writes docs/configuration-reference.md: every key of the `emr:` section, as the models that read servo.yaml have it.

Knows the JSON schema that pydantic makes of those models, and nothing of what a key is for: a key without a
description is refused.

Exit status: 0. `tests/unit/test_configuration_reference.py` says whether the page is up to date.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from servo_emr.config import EMRConfiguration
from servo_emr.sections.base import INST_TYPE, S3_OBJECT, S3_URI, Section
from servo_emr.sections.settings import SettingSection
from servo_emr.sections.steps import STEP_MODELS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration-reference.md"
HEAD = """\
# Every key of servo.yaml

Made from the models that read it, by `python tools/configuration_reference.py`. ROLE is `primary`, `core` or `task`,
STAGE is `prepare`, `run` or `cleanup`, NAME and SETTING are names of yours, TYPE is an instance type, KIND a kind of
volume, `[]` an item of a list. A key whose default is *none* does nothing while it is left out. A duration is a number
of seconds or a text such as `90s`, `20m`, `2h`. How keys work together, and what is refused, is in
[Configuration](configuration.md).
"""
_PATTERNS = {S3_URI: "s3:// URI", S3_OBJECT: "s3:// URI of an object", INST_TYPE: "instance type"}
_ROLES = ("primary", "core", "task")
_OWN = "emr.components.NAME.SETTING"
_STAGES = ("prepare", "run", "cleanup")
_STEP = "emr.job.STAGE[]."  # and the key that a step of that kind has
_KEYED_BY = {"FleetTypeSection": ".TYPE", "PinnedPrice": ".TYPE", "PinnedStorage": ".KIND"}  # others by a name

_LISTS_OF_STEPS = {("emr.job", stage) for stage in _STAGES}

_Definitions = Mapping[str, Mapping[str, Any]]


def _filled() -> set[tuple[str, str]]:
    """(title of a model, key) of the mappings that are made of their own keys' defaults when they are left out."""
    models: list[tuple[str, type[BaseModel]]] = [("EMR Connector Configuration Schema", EMRConfiguration)]
    waiting = list(Section.__subclasses__())
    while waiting:
        section = waiting.pop()
        models.append((section.__name__, section))
        waiting += section.__subclasses__()
    fields = [(title, field) for title, model in models for field in model.__fields__.values()]
    return {(title, field.alias) for title, field in fields if field.field_info.default_factory is not None}


def reference() -> str:
    """The page's text.

    Raises:
        ValueError: a key has no description.
    """
    schema = json.loads(EMRConfiguration.schema_json())
    definitions: _Definitions = schema["definitions"]
    places = _places(schema, definitions)
    parts = [HEAD, _section(["emr"], schema, definitions, places)]
    for name, paths in places.items():
        parts.append(_section(paths, definitions[name], definitions, places))
        if paths[0] == "emr.job":
            parts += [_alone(f"{_STEP}{kind}", step) for kind, step in STEP_MODELS.items()]
    parts.append(_alone(_OWN, SettingSection))
    return "\n".join(parts)


def _alone(heading: str, model: type[Section]) -> str:
    """The section of a model that no other's schema leads to."""
    own = json.loads(model.schema_json())
    return _section([heading], own, own.get("definitions", {}), {})


def _places(schema: Mapping[str, Any], definitions: _Definitions) -> dict[str, list[str]]:
    """Name of a model -> the paths at which it stands, in the order of the file; a model inside itself once."""
    found: dict[str, list[str]] = {}

    def walk(path: str, model: Mapping[str, Any]) -> None:
        for key, field in model["properties"].items():
            for inner, suffix in _models(field):
                place = f"{path}.{key}{suffix}"
                if place not in found.setdefault(inner, []) and not _within_itself(path, key):
                    found[inner].append(place)
                    walk(place, definitions[inner])

    walk("emr", schema)
    return {name: _by_role(paths) for name, paths in found.items()}


def _within_itself(path: str, key: str) -> bool:
    return path.endswith(f".{key}[]")


def _by_role(paths: list[str]) -> list[str]:
    """The paths, those that differ in the role alone as one."""
    merged: list[str] = []
    for path in paths:
        *before, role, rest = (*path.partition(".cluster.")[:2], *_split(path.partition(".cluster.")[2]))
        general = "".join(before) + f"ROLE{rest}"
        if role in _ROLES and all("".join(before) + one + rest in paths for one in _ROLES):
            path = general
        if path not in merged:
            merged.append(path)
    return merged


def _split(text: str) -> tuple[str, str]:
    head, dot, rest = text.partition(".")
    return head, dot + rest


def _models(field: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The models that a key's value may be, each with what its path goes on with."""
    found = []
    for one in (field, *field.get("allOf", ()), *field.get("anyOf", ())):
        if "$ref" in one:
            found.append((_name(one), ""))
    if "$ref" in field.get("items", {}):
        found.append((_name(field["items"]), "[]"))
    extra = field.get("additionalProperties")
    if isinstance(extra, Mapping) and "$ref" in extra:
        found.append((_name(extra), _KEYED_BY.get(_name(extra), ".NAME")))
    return found


def _name(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _section(
    paths: list[str], model: Mapping[str, Any], definitions: _Definitions, places: Mapping[str, list[str]]
) -> str:
    heading, *others = paths
    lines = [f"## {heading}", "", model.get("description", "").replace("\n", " ")]
    if others:
        lines += ["", f"The same at {', '.join(f'`{path}`' for path in others)}."]
    lines += ["", "| key | type | default | unit | what |", "|---|---|---|---|---|"]
    required, filled = model.get("required", ()), _filled()
    for key, field in model["properties"].items():
        if not field.get("description"):
            raise ValueError(f"{heading}.{key} has no description")
        cells = [
            f"`{key}`",
            _steps() if (heading, key) in _LISTS_OF_STEPS else _type(field, places),
            _default(key in required, (model["title"], key) in filled, field),
            _unit(field),
            field["description"],
        ]
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _steps() -> str:
    return "list of steps: " + ", ".join(f"[{kind}](#{_anchor(_STEP + kind)})" for kind in STEP_MODELS)


def _type(field: Mapping[str, Any], places: Mapping[str, list[str]]) -> str:
    models = [
        f"[mapping](#{_anchor(places[name][0])})" for name, suffix in _models(field) if name in places and not suffix
    ]
    plain = [_plain(one, places) for one in field.get("anyOf", ()) if "$ref" not in one]
    if models or plain:
        return " or ".join([*models, *plain])
    return _plain(field, places)


def _plain(field: Mapping[str, Any], places: Mapping[str, list[str]]) -> str:
    kind = field.get("type", "any")
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if kind == "array":
        items = field.get("items", {})
        if "$ref" in items:
            return f"list of [mappings](#{_anchor(places[_name(items)][0])})"
        return f"list of {_plural(_plain(items, places))}" if items else "list"
    if kind == "object":
        extra = field.get("additionalProperties")
        if isinstance(extra, Mapping) and "$ref" in extra:
            return f"mapping of [mappings](#{_anchor(places[_name(extra)][0])})"
        return "mapping of texts" if extra == {"type": "string"} else "mapping"
    if field.get("format") == "duration":
        return "duration"
    if kind in ("integer", "number"):
        return ("whole number" if kind == "integer" else "number") + _bounds(field)
    return {
        "string": _PATTERNS.get(field.get("pattern", ""), "text"),
        "boolean": "`true` or `false`",
        "any": "text, number, `true` or `false`",
    }[kind]


def _plural(kind: str) -> str:
    return f"{kind}s" if kind in ("text", "instance type") else kind


def _bounds(field: Mapping[str, Any]) -> str:
    least, most, above = (field.get(name) for name in ("minimum", "maximum", "exclusiveMinimum"))
    if least is not None and most is not None:
        return f", {least} to {most}"
    if least is not None:
        return f", at least {least}"
    return "" if above is None else f" above {above}"


def _default(required: bool, filled: bool, field: Mapping[str, Any]) -> str:
    if required:
        return "required"
    if "default" not in field:
        return "see there" if filled else "*none*"
    value = field["default"]
    return "empty" if value in ("", [], {}) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _unit(field: Mapping[str, Any]) -> str:
    return str(field.get("unit", "s" if field.get("format") == "duration" else ""))


def _anchor(heading: str) -> str:
    """Where a heading is, as code hosts and the site both name it."""
    return "".join(char for char in heading.lower() if char.isalnum() or char in "-_")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
