"""What becomes of a definition: the section that is being written, and what is left behind with the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Draft", "Left", "as_number"]


@dataclass(frozen=True)
class Left:
    """One thing of the source that is not in the result as it was, by its path; `value` is what it said."""

    path: str
    value: Any
    why: str


def as_number(value: object, where: str) -> float:
    """A number of the source, which may be written as text.

    Raises:
        ValueError: it is none, such as a template that nobody has filled.
    """
    try:
        found = float(str(value))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{where} is {value!r}, and has to be a number")
    return found


@dataclass
class Draft:
    """The `emr:` section under way. notebook: the one that is measured, the definition's steps being its preparation;
    None: the steps are what is measured."""

    notebook: str | None = None
    emr: dict[str, Any] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)

    @property
    def stage(self) -> str:
        """The stage of the definition's steps."""
        return "run" if self.notebook is None else "prepare"

    def put(self, path: str, value: Any) -> None:
        """Sets a key by its dotted path; what has no value is not set."""
        if value is None or value == [] or value == {}:
            return
        *parents, last = path.split(".")
        inner = self.emr
        for name in parents:
            inner = inner.setdefault(name, {})
        inner[last] = value

    def leave(self, path: str, value: Any, why: str) -> None:
        """Notes what could not be carried."""
        self.left.append(Left(path, value, why))

    def nodes(self, role: str, inst_type: str, count: int | None, where: str) -> None:
        """The type and number of a role's nodes, each as the only one to be tried."""
        self.put(f"components.{role}.inst_type", {"values": [inst_type], "value": inst_type})
        if count is not None:
            self.put(f"components.{role}.replicas", {"min": count, "max": count, "value": count})
        more = "types" if count is None else "types and numbers"
        self.leave(where, inst_type, f"carried, as the only one to be tried: add {more} to emr.components.{role}")

    def core_nodes(self, where: str) -> None:
        """Adds the core node that a definition without any needs here, of the primary's type."""
        components = self.emr.get("components", {})
        if "core" not in components:
            primary = components.get("primary", {}).get("inst_type", {}).get("value", "m5.xlarge")
            self.nodes("core", primary, 1, where)
            self.leave(where, "no core nodes", f"a cluster has core nodes here: one {primary} is added")
