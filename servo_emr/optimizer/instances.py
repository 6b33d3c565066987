"""Sizes of EC2 instance types: the packaged table, and what a type's name says of one that the table lacks.

Knows nothing of prices and nothing of clusters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["InstanceTable", "InstanceType", "packaged"]

_PACKAGED = Path(__file__).with_name("instance-types.csv")
_NAME = re.compile(
    r"(?P<family>[a-z]+)(?P<generation>\d+)(?P<attributes>[a-z-]*)\.(?P<size>(?:\d*x)?large|medium|metal.*)"
)
_SIZE = re.compile(r"(\d*)xlarge")
_GIB_PER_VCPU = {"c": 2.0, "m": 4.0, "r": 8.0}
"""By EC2's convention: compute, general purpose, memory."""


@dataclass(frozen=True)
class InstanceType:
    """One type: `family` is the letters before the generation ("m"), `attributes` those after it ("gd")."""

    name: str
    vcpus: int
    memory_gib: float
    family: str
    generation: int
    attributes: str = ""


class InstanceTable(Mapping[str, InstanceType]):
    """Instance types by name; asked for one that it lacks, it goes by the naming convention, as far as that carries."""

    def __init__(self, types: Mapping[str, InstanceType]) -> None:
        self._types = dict(types)

    @classmethod
    def parse(cls, text: str) -> InstanceTable:
        """The table in `text`: comment lines, the header type,vcpus,memory_gib, a line a type.

        Raises:
            ValueError: the text is no such table; the message names the line.
        """
        types: dict[str, InstanceType] = {}
        header_seen = False
        for number, line in enumerate(text.splitlines(), start=1):
            if line.startswith("#"):
                continue
            if not header_seen:
                if line != "type,vcpus,memory_gib":
                    raise ValueError(f"instance table, line {number}: type,vcpus,memory_gib must be here")
                header_seen = True
                continue
            try:
                name, vcpus, memory = line.split(",")
                types[name] = _described(name, int(vcpus), float(memory))
            except ValueError as error:
                raise ValueError(f"instance table, line {number}: {line!r}: {error}") from error
        return cls(types)

    def __getitem__(self, name: str) -> InstanceType:
        found = self._types.get(name) or _by_convention(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)


def _described(name: str, vcpus: int, memory_gib: float) -> InstanceType:
    parts = _NAME.fullmatch(name)
    family, generation, attributes = parts.group("family", "generation", "attributes") if parts else (name, "0", "")
    return InstanceType(name, vcpus, memory_gib, family, int(generation), attributes)


def _by_convention(name: str) -> InstanceType | None:
    """A type newer than the table: m9g.4xlarge has 16 vCPUs and 4 GiB for each. None: its name does not say."""
    parts = _NAME.fullmatch(name)
    if parts is None or parts["family"] not in _GIB_PER_VCPU:
        return None
    size = _SIZE.fullmatch(parts["size"])
    if size is None and parts["size"] != "large":
        return None
    vcpus = 2 if size is None else 4 * int(size[1] or 1)
    return _described(name, vcpus, vcpus * _GIB_PER_VCPU[parts["family"]])


@cache
def packaged() -> InstanceTable:
    """The table that the package ships; servo_emr/optimizer/instance-types.csv names its source and date."""
    return InstanceTable.parse(_PACKAGED.read_text(encoding="utf-8"))
