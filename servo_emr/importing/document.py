"""A definition as it was written: its values, and on which line each of them stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["Source", "leaves", "read_source"]


@dataclass(frozen=True)
class Source:
    """The values of a document and the line of each path, counted from 1. Paths are like `steps.0.name`."""

    values: dict[str, Any]
    lines: Mapping[str, int]

    def line(self, path: str) -> int:
        """The line of a path, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return self.lines.get(path, 1)


def read_source(text: str) -> Source:
    """The document in a YAML or JSON text.

    Raises:
        ValueError: it is none, or no mapping.
    """
    values, node = _json(text) or _yaml(text)
    if not isinstance(values, dict):
        raise ValueError("holds no mapping of keys")
    return Source(values, {} if node is None else dict(_lines(node, "")))


def _json(text: str) -> tuple[Any, yaml.Node | None] | None:
    """A JSON text's values, and its nodes where YAML can read it; None for what is no JSON."""
    try:
        values = json.loads(text)
    except ValueError:
        return None
    try:
        # For YAML a tab is no space; in JSON it stands between values alone.
        return values, yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return values, None


def _yaml(text: str) -> tuple[Any, yaml.Node | None]:
    try:
        return yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"neither YAML nor JSON: {' '.join(str(error).split())}") from error


def _lines(node: yaml.Node, path: str) -> Iterator[tuple[str, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = f"{path}.{key.value}".lstrip(".")
            yield from _lines(value, place)
            yield place, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _lines(value, f"{path}.{number}".lstrip("."))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document that holds no other, with its path."""
    items: Iterator[tuple[Any, Any]]
    if isinstance(value, Mapping) and value:
        items = iter(value.items())
    elif isinstance(value, list) and value:
        items = iter(enumerate(value))
    else:
        yield path, value
        return
    for key, inner in items:
        yield from leaves(inner, f"{path}.{key}".lstrip("."))
