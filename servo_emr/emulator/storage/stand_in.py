"""A stand-in for one package that moto's CloudFormation imports, for the sake of a service that is not served here.

CloudFormation imports every service whose resources it can make. API Gateway, one of them, imports
`openapi_spec_validator`, of which no release can be had beside both servox's pydantic 1 and the pinned jsonschema.
Where it is installed all the same, it is left alone.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import NoReturn

__all__ = ["stand_in_for_openapi"]

_NAME = "openapi_spec_validator"


def stand_in_for_openapi() -> None:
    """Lets moto's CloudFormation be imported in this process. An API Gateway is refused, by name."""
    if _NAME in sys.modules or importlib.util.find_spec(_NAME) is not None:
        return

    def validate(document: object) -> NoReturn:
        raise NotImplementedError(f"API Gateway is not emulated here; it needs the package {_NAME}")

    class OpenAPIValidationError(Exception):
        """What `validate` would raise."""

    members: dict[str, dict[str, object]] = {
        _NAME: {"validate": validate},
        f"{_NAME}.validation": {},
        f"{_NAME}.validation.exceptions": {"OpenAPIValidationError": OpenAPIValidationError},
    }
    for name, held in members.items():
        module = ModuleType(name)
        module.__dict__.update(held, __path__=[])
        sys.modules[name] = module
