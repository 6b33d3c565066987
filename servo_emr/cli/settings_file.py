"""Reading servo.yaml as servox does, with errors that name path, value and remedy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dotenv
import pydantic
import yaml

from servo_emr.config import EMRConfiguration
from servo_emr.domain.errors import UsageError

__all__ = ["file_of", "load", "optimizer_of", "section"]

DEFAULT = "servo.yaml"


def file_of(option: str | None) -> Path:
    """The configuration file: the option's, SERVO_CONFIG_FILE's, or servo.yaml in the working folder."""
    found = dotenv.find_dotenv(usecwd=True)
    if found:
        dotenv.load_dotenv(found)
    return Path(option or os.environ.get("SERVO_CONFIG_FILE") or DEFAULT)


def section(path: Path) -> dict[str, Any]:
    """The `emr:` section of a configuration file, not yet validated.

    Raises:
        UsageError: there is no such file, no YAML in it, or no such section.
    """
    document = _document(path)
    if not isinstance(document, dict) or "emr" not in document:
        raise UsageError(f"{path}: has no section 'emr:'. `servo generate emr` shows one.")
    emr = document["emr"]
    if not isinstance(emr, dict):
        kind = {type(None): "is empty", list: "is a list"}.get(type(emr), f"is {emr!r}")
        raise UsageError(f"{path}: emr: {kind}, and must be a mapping of keys; `servo generate emr` shows one.")
    return emr


def _document(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}. Name the file with -c, or make one: servo generate -f servo.yaml emr"
        ) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, a day that is in no calendar
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from error


def optimizer_of(path: Path) -> str | None:
    """The id of the optimizer that servox will speak to: the file's, else the environment's; None without any."""
    document = _document(path)
    stanza = document.get("optimizer") if isinstance(document, dict) else None
    named = stanza.get("id") if isinstance(stanza, dict) else None
    return str(named) if named else os.environ.get("OPSANI_OPTIMIZER")


def load(path: Path, emr: dict[str, Any] | None = None) -> EMRConfiguration:
    """The configuration in a file, or in a section that was read from it before.

    Raises:
        UsageError: one line for each thing that is wrong: where, what value, what to do.
    """
    values = section(path) if emr is None else emr
    try:
        config: EMRConfiguration = EMRConfiguration.parse_obj(values)
    except pydantic.ValidationError as error:
        lines = [_line(entry, values) for entry in error.errors()]
        raise UsageError(f"{path}: " + "\n".join(lines)) from error
    return config


def _line(entry: Any, values: Any) -> str:
    location = [str(part) for part in entry["loc"] if part != "__root__"]
    shown = values
    for part in location:
        if isinstance(shown, dict):
            shown = shown.get(part)
        elif isinstance(shown, list) and part.isdigit() and int(part) < len(shown):
            shown = shown[int(part)]
        else:
            shown = None
    place = ".".join(["emr", *location])
    value = "" if isinstance(shown, (dict, list, type(None))) else f" (it is {shown!r})"
    return f"{place}{value}: {entry['msg']}"
