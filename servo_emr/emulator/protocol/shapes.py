"""A service's model, from botocore: requests are checked and answers are shaped by it.

What a member means is not known here, only which members, types, lengths and literals there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.validate import ParamValidator

from servo_emr.emulator.protocol.errors import AwsError, validation

__all__ = ["Shapes"]


class Shapes:
    """Operations, and the documents that go in and come out of them."""

    def __init__(self, service: str = "emr") -> None:
        """`service`: its name in botocore."""
        self._model = botocore.session.get_session().get_service_model(service)
        self._validator = ParamValidator()

    @property
    def operations(self) -> frozenset[str]:
        return frozenset(self._model.operation_names)

    def check_request(self, operation: str, document: object) -> dict[str, Any]:
        """The request without its null members. Raises AwsError (ValidationException) naming every wrong member."""
        shape = self._model.operation_model(operation).input_shape
        cleaned = _without_nulls(document)
        if not isinstance(cleaned, dict):
            raise AwsError("SerializationException", "The request is not a JSON object.")
        if shape is None:
            return cleaned
        report = self._validator.validate(cleaned, shape)
        problems = report.generate_report().splitlines() or _constraints(cleaned, shape, "")
        if problems:
            count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
            raise validation(f"{count}: {'; '.join(problems)}")
        return cleaned

    def shape_answer(self, operation: str, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The answer without members that are None; times are epoch numbers already.

        Raises TypeError for a member or a literal that the model does not have: a defect of ours.
        """
        shape = self._model.operation_model(operation).output_shape
        cleaned = _without_nulls(dict(answer))
        if not isinstance(cleaned, dict):
            raise TypeError(f"{operation}: an answer is an object")
        if shape is None:
            if cleaned:
                raise TypeError(f"{operation} answers nothing, not {sorted(cleaned)}")
            return {}
        report = self._validator.validate(cleaned, shape)
        problems = report.generate_report().splitlines() or _constraints(cleaned, shape, "")
        if problems:
            raise TypeError(f"{operation}: the answer does not fit the service model: {'; '.join(problems)}")
        return cleaned


def _without_nulls(document: object) -> object:
    if isinstance(document, dict):
        return {key: _without_nulls(value) for key, value in document.items() if value is not None}
    if isinstance(document, (list, tuple)):
        return [_without_nulls(value) for value in document]
    return document


def _constraints(value: Any, shape: Shape, path: str) -> list[str]:
    """Lengths and literals that a value of the right type violates."""
    found: list[str] = []
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            if name in value:
                found += _constraints(value[name], member, f"{path}.{name}")
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value, start=1):
            found += _constraints(item, shape.member, f"{path}.{index}.member")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            found += _constraints(key, shape.key, f"{path}.key") + _constraints(item, shape.value, f"{path}.{key}")
    elif isinstance(value, str):
        literals = getattr(shape, "enum", None)
        longest = shape.metadata.get("max")
        where = path.lstrip(".")
        if literals and value not in literals:
            found.append(f"Value '{value}' at '{where}' failed to satisfy constraint: Member must be one of {literals}")
        if longest is not None and len(value) > longest:
            found.append(f"Value at '{where}' failed to satisfy constraint: Member must have length at most {longest}")
    return found
