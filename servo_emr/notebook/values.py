"""A number that a job reports, or why there is none: a reason leaves the account, so nothing of the job's is in it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["NoValue", "checked", "number_in_file", "number_in_text", "number_of"]

_KINDS: dict[type, str] = {bool: "true or false", str: "text", type(None): "null", list: "a list", Mapping: "an object"}


@dataclass(frozen=True)
class NoValue:
    """Why a metric has no value, in our own words: nothing of the job's text, so it may leave the account."""

    why: str


def checked(number: float) -> float | NoValue:
    """A number as a metric may have it: finite, and not negative."""
    try:
        value = float(number)
    except OverflowError:
        return NoValue("the number is too large")
    if math.isnan(value):
        return NoValue("the value is not a number (NaN)")
    if math.isinf(value):
        return NoValue("the value is infinite")
    if value < 0:
        return NoValue("the value is negative")
    return value


def number_of(value: object, who: str) -> float | NoValue:
    """What `who` recorded as a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = next((word for kind, word in _KINDS.items() if isinstance(value, kind)), "something else")
        return NoValue(f"{who} recorded {kind}, not a number")
    return checked(value)


def number_in_text(pattern: str, text: str, where: str) -> float | NoValue:
    """Group 1 of the last match of `pattern` in `text`; a negative number counts as none.

    Raises:
        re.error, ValueError: the pattern is none, or has no group.
    """
    expression = re.compile(pattern, re.MULTILINE)
    if not expression.groups:
        raise ValueError(f"the pattern {pattern!r} has no group")
    found: str | None = None
    matched = False
    for match in expression.finditer(text):
        matched, found = True, match.group(1)
    if not matched:
        return NoValue(f"nothing in {where} matches the pattern")
    try:
        value = float((found or "").replace("_", "?"))  # Python reads 1_000, no other program prints it as a number
    except ValueError:
        return NoValue("what the pattern matched is not a number")
    return checked(value)


def number_in_file(name: str, body: bytes | None) -> float | NoValue:
    """The number under `name` in the JSON file that a job wrote; None: it wrote none."""
    if body is None:
        return NoValue("the job wrote no file of metrics")
    try:
        document = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return NoValue("the job's file of metrics is not JSON")
    if not isinstance(document, dict):
        return NoValue("the job's file of metrics is not a JSON object")
    if name not in document:
        return NoValue("the job's file of metrics has nothing under this name")
    return number_of(document[name], "the job")
