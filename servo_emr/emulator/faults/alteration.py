"""Changes to the documents that services in AWS's JSON protocol answer: a member set, shifted or taken out.

Knows the shape of answers from botocore's service models; neither faults nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import botocore.session

from servo_emr.emulator.faults.document import nearest

__all__ = ["JSON_SERVICES", "Alteration", "Change", "check_member", "remove", "set_to", "shift_by"]

JSON_SERVICES = ("emr", "pricing", "service-quotas")

Change = Callable[[dict[str, Any], str], None]
"""What is done to the member of that name of an object."""


@dataclass(frozen=True)
class Alteration:
    """A change of the member at the end of `path`, in each object where that ends.

    The path goes through lists as if it were that of each of their items.
    """

    path: tuple[str, ...]
    change: Change

    def apply(self, document: Any) -> None:
        self._apply(document, self.path)

    def _apply(self, node: Any, path: tuple[str, ...]) -> None:
        if isinstance(node, list):
            for item in node:
                self._apply(item, path)
        elif isinstance(node, dict):
            name, *rest = path
            if not rest:
                self.change(node, name)
            elif name in node:
                self._apply(node[name], tuple(rest))


def set_to(value: Any) -> Change:
    def change(node: dict[str, Any], name: str) -> None:
        node[name] = value

    return change


def shift_by(amount: float) -> Change:
    """Adds to a number; a member that is absent stays so."""

    def change(node: dict[str, Any], name: str) -> None:
        if isinstance(node.get(name), (int, float)):
            node[name] += amount

    return change


def remove(node: dict[str, Any], name: str) -> None:
    node.pop(name, None)


def check_member(service: str, operation: str, path: str) -> str | None:
    """What is wrong with the path of a member of the operation's answer, in words; None: nothing."""
    shape: Any = botocore.session.get_session().get_service_model(service).operation_model(operation).output_shape
    for name in path.split("."):
        while shape is not None and shape.type_name == "list":
            shape = shape.member
        members = shape.members if shape is not None and shape.type_name == "structure" else {}
        if name not in members:
            return f"the answer of {operation} has no {name} there{nearest(name, list(members))}"
        shape = members[name]
    return None
