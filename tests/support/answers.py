"""Answers of the emulated EMR as they go over the wire, and walks over them by the shapes of a service model."""

from __future__ import annotations

import ast
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

__all__ = ["Kept", "Look", "literals_in", "shapes_of"]


class Kept:
    """All answers so far: documents as they went over the wire, by operation."""

    def __init__(self) -> None:
        self.documents: dict[str, list[Any]] = defaultdict(list)

    def keep(self, operation_model: Any, response_dict: Any, **_: Any) -> None:
        if response_dict["status_code"] == 200:
            self.documents[operation_model.name].append(json.loads(response_dict["body"]))


class Look:
    """What a walk over documents by their shapes found."""

    def __init__(self) -> None:
        self.problems: set[str] = set()
        self.heard: dict[str, set[str]] = defaultdict(set)
        self.told: set[str] = set()

    def at(self, value: Any, shape: Shape, path: str) -> None:
        self.told.add(path)
        if isinstance(shape, StructureShape):
            if not isinstance(value, dict):
                self.problems.add(f"{path}: no object but {value!r}")
                return
            self.problems |= {f"{path}.{name}: not in the model" for name in value.keys() - shape.members.keys()}
            self.problems |= {f"{path}.{name}: missing" for name in set(shape.required_members) - value.keys()}
            for name in value.keys() & shape.members.keys():
                self.at(value[name], shape.members[name], f"{path}.{name}")
        elif isinstance(shape, ListShape):
            if not isinstance(value, list):
                self.problems.add(f"{path}: no list but {value!r}")
                return
            for item in value:
                self.at(item, shape.member, f"{path}[]")
        elif isinstance(shape, MapShape):
            for key, item in value.items():
                self.at(key, shape.key, f"{path}{{}}")
                self.at(item, shape.value, f"{path}{{}}")
        else:
            self.scalar(value, shape, path)

    def scalar(self, value: Any, shape: Shape, path: str) -> None:
        numbers = (int, float)
        types = {"string": (str,), "integer": (int,), "long": (int,), "boolean": (bool,), "double": numbers}
        right = types.get(shape.type_name, numbers)  # of a timestamp: seconds since 1970
        if not isinstance(value, right) or (isinstance(value, bool) and shape.type_name != "boolean"):
            self.problems.add(f"{path}: no {shape.type_name} but {value!r}")
            return
        literals = getattr(shape, "enum", None)
        if literals:
            self.heard[shape.name].add(str(value))
            if value not in literals:
                self.problems.add(f"{path}: {value!r} is none of {literals}")
        size = len(value) if isinstance(value, str) else value
        if size > shape.metadata.get("max", size) or size < shape.metadata.get("min", size):
            self.problems.add(f"{path}: {value!r} breaks the bounds {shape.metadata}")


def shapes_of(shape: Shape | None, path: str, above: tuple[str, ...] = ()) -> dict[str, Shape]:
    """Every place in a document of that shape, recursion left out."""
    if shape is None or shape.name in above:
        return {}
    places = {path: shape}
    inside = (*above, shape.name)
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            places |= shapes_of(member, f"{path}.{name}", inside)
    elif isinstance(shape, ListShape):
        places |= shapes_of(shape.member, f"{path}[]", inside)
    elif isinstance(shape, MapShape):
        places |= shapes_of(shape.value, f"{path}{{}}", inside)
    return places


def literals_in(path: Path) -> Iterator[str]:
    """What a module sets as a state, or gives as the code of a reason."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if "state" in {getattr(target, "attr", None), getattr(target, "id", None)}:
            values = [getattr(node, "value", None)]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Reason":
            values = [*node.args[:1]]
        else:
            values = []
        for value in values:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value
