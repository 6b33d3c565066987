"""Whether values that were read have the kinds that a dataclass's fields are annotated with: not what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

__all__ = ["check_kinds"]

_KINDS: dict[str, type | tuple[type, ...]] = {"str": str, "float": (int, float), "bool": bool, "Mapping": Mapping}


def check_kinds(cls: Any, values: Mapping[str, Any]) -> None:
    """Passes texts, numbers, truths and mappings that are such; fields of other annotations, or absent, are not looked
    at. A wrong one would else be met later, where it costs more.

    Raises:
        TypeError: the first field whose value is of another kind.
    """
    for known in fields(cls):
        annotation = str(known.type)
        kind = _KINDS.get(annotation.removesuffix(" | None").partition("[")[0])
        value = values.get(known.name)
        absent = known.name not in values or (value is None and annotation.endswith("| None"))
        if kind is not None and not absent and not isinstance(value, kind):
            raise TypeError(f"{known.name} is {type(value).__name__}, not {annotation}")
