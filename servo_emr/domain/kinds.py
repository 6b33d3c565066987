"""Whether values that were read have the kinds that a dataclass's fields are annotated with: not what is in them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

__all__ = ["check_kinds"]

_KINDS: dict[str, type | tuple[type, ...]] = {"str": str, "float": (int, float), "bool": bool, "Mapping": Mapping}
_ABSENT = object()


def check_kinds(cls: Any, values: Mapping[str, Any]) -> None:
    """Passes texts, numbers, truths and mappings that are such; fields of other annotations, or absent, are not looked
    at. A wrong one would else be met later, where it costs more.

    Raises:
        TypeError: the first field whose value is of another kind.
    """
    for name, annotation, kind, optional in _checked(cls):
        value = values.get(name, _ABSENT)
        if value is _ABSENT or isinstance(value, kind) or (value is None and optional):
            continue
        raise TypeError(f"{name} is {type(value).__name__}, not {annotation}")


@functools.cache
def _checked(cls: Any) -> tuple[tuple[str, str, type | tuple[type, ...], bool], ...]:
    """(name, annotation, kind, whether it may be None) of each field that is looked at."""
    found = []
    for known in fields(cls):
        annotation = str(known.type)
        kind = _KINDS.get(annotation.removesuffix(" | None").partition("[")[0])
        if kind is not None:
            found.append((known.name, annotation, kind, annotation.endswith("| None")))
    return tuple(found)
