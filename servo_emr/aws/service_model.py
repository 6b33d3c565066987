"""What the SDK's own model of a service says of a request: which members there are, and what is wrong with a document.

The SDK checks types and required members before it sends; enumerations, patterns and lengths it leaves to the service.
Here all of them are asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from servo_emr.aws.door import input_shape

__all__ = ["members", "problems"]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
}


def members(service: str, operation: str) -> list[str]:
    """The path of every member of an operation's input that holds a value, `[]` standing for an item of a list and
    `{}` for a value of a map. What holds itself is walked once."""
    return list(dict.fromkeys(_members(input_shape(service, operation), "", ())))


def _members(shape: Any, path: str, above: tuple[str, ...]) -> Iterator[str]:
    if shape.name in above:
        return
    above = (*above, shape.name)
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from _members(member, f"{path}.{name}".lstrip("."), above)
    elif shape.type_name == "list":
        yield from _members(shape.member, f"{path}[]", above)
    elif shape.type_name == "map":
        yield from _members(shape.value, f"{path}{{}}", above)
    else:
        yield path


def problems(service: str, operation: str, document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(path, what is wrong) for everything in a request that the model does not allow; paths as `members` has them."""
    return list(_problems(input_shape(service, operation), document, ""))


def _problems(shape: Any, value: Any, path: str) -> Iterator[tuple[str, str]]:
    match shape.type_name:
        case "structure" if isinstance(value, Mapping):
            for name in shape.required_members:
                if name not in value:
                    yield f"{path}.{name}".lstrip("."), "is required"
            for name, inner in value.items():
                place = f"{path}.{name}".lstrip(".")
                if name not in shape.members:
                    yield place, "is no member"
                else:
                    yield from _problems(shape.members[name], inner, place)
        case "list" if isinstance(value, Sequence) and not isinstance(value, str):
            for inner in value:
                yield from _problems(shape.member, inner, f"{path}[]")
        case "map" if isinstance(value, Mapping):
            for inner in value.values():
                yield from _problems(shape.value, inner, f"{path}{{}}")
        case name if (
            name in _TYPES and isinstance(value, _TYPES[name]) and not (isinstance(value, bool) and name != "boolean")
        ):
            yield from _scalar(shape, value, path)
        case name:
            yield path, f"is {value!r}, not a {name}"


def _scalar(shape: Any, value: Any, path: str) -> Iterator[tuple[str, str]]:
    limits = shape.metadata
    allowed = limits.get("enum")
    if allowed and value not in allowed:
        yield path, f"is {value!r}, not one of {', '.join(allowed)}"
    size, what = (len(value), "characters") if isinstance(value, str) else (value, "")
    if size < limits.get("min", size):
        yield path, f"is {size} {what}".rstrip() + f", and {limits['min']} is the least"
    if size > limits.get("max", size):
        yield path, f"is {size} {what}".rstrip() + f", and {limits['max']} is the most"
    if isinstance(value, str) and (pattern := limits.get("pattern")) and not _fits(pattern, value):
        yield path, "holds a character that the service does not take"


def _fits(pattern: str, value: str) -> bool:
    """The models' patterns are written for Java, where a pair of surrogates is one character."""
    return re.fullmatch(pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"), value) is not None
