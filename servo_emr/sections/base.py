"""What all parts of the `emr:` section have in common: unknown keys, kinds of numbers, durations."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

import pydantic
import servo

from servo_emr.domain.bounds import text_of

__all__ = [
    "INST_TYPE", "NAME", "S3_OBJECT", "S3_URI", "Count", "ReleaseLabel", "Section", "Usd", "known_keys", "length",
    "texts", "word",
]  # fmt: skip

S3_URI = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s]*)?$(?!\n)"
"""`$` alone lets a line end pass, which a YAML block brings along."""
S3_OBJECT = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\s]+$(?!\n)"
INST_TYPE = r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$"
NAME = r"[A-Za-z_][A-Za-z0-9_]*"


def known_keys(cls: Any, values: dict[str, Any]) -> dict[str, Any]:
    """A validator that refuses keys which the model does not have, and says why where the key would do harm."""
    known = [field.alias for field in cls.__fields__.values()]
    for key in values:
        if key in getattr(cls, "_harmful", ()):
            raise ValueError(f"'{key}' cannot be set: {cls._harmful[key]}")
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
            raise ValueError(f"unknown key '{key}': {hint}")
    return values


def word(*allowed: str) -> Any:
    """The type of a text that is one of these; for another one the error names the nearest."""

    def validate(value: object) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        near = difflib.get_close_matches(str(value).lower().replace("_", "-"), allowed, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"must be {' or '.join(allowed)}{hint}")

    class Word(str):
        @classmethod
        def __get_validators__(cls) -> Iterator[Any]:
            yield validate

        @classmethod
        def __modify_schema__(cls, schema: dict[str, Any]) -> None:
            schema.update(type="string", enum=list(allowed))

    return Word


def length(value: object) -> servo.Duration:
    """A duration above 0; one that servox's parser chokes on is an error like any other."""
    try:
        duration = servo.Duration.validate(value)
    except OverflowError:
        raise ValueError("is too long for a duration") from None
    if duration.total_seconds() <= 0:
        raise ValueError("must be longer than 0")
    return duration


def texts(values: dict[str, Any]) -> dict[str, Any]:
    """Values that a service or a command line takes as texts."""
    found = {}
    for name, item in values.items():
        try:
            found[name] = text_of(item)
            found[name].encode()  # half a character is a text of Python's, and of nobody else
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return found


class Usd(pydantic.ConstrainedFloat):
    gt = 0
    allow_inf_nan = False


class Count(pydantic.ConstrainedInt):
    strict = True
    ge = 1


class ReleaseLabel(pydantic.ConstrainedStr):
    regex = r"^emr-\d+\.\d+\.\d+$"

    @classmethod
    def validate(cls, value: str) -> str:
        if not re.fullmatch(cls.regex, value):
            raise ValueError("must be a whole label, such as emr-7.1.0; `aws emr list-release-labels` shows them")
        return value


class Section(pydantic.BaseModel):
    """A mapping in servo.yaml."""

    class Config:
        extra = pydantic.Extra.forbid
        validate_all = True
        allow_population_by_field_name = True
        json_encoders = {servo.Duration: str}

    _known_keys = pydantic.root_validator(pre=True, allow_reuse=True)(known_keys)

    @pydantic.validator("*", pre=True)
    def _no_bool(cls, value: object, field: pydantic.fields.ModelField) -> object:
        """For Python `true` is 1, and for nobody who writes a limit."""
        if isinstance(value, bool) and field.type_ in (Count, Usd):
            raise ValueError("must be a number")
        return value
