"""How the emulator refuses what it does not model: by the name of the member, never by ignoring it.

Knows no operation and no member by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from servo_emr.emulator.protocol.errors import AwsError, validation

__all__ = ["not_modelled", "refuse_others"]


def not_modelled(what: str) -> AwsError:
    """The error for a member, or a value of one, that AWS would take and this emulator does not."""
    return validation(f"This emulator does not model {what}. Leave it out, or run on AWS.")


def refuse_others(document: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raises AwsError for members beside the known ones; one that asks for nothing (false, empty) may be there."""
    asked_for = [name for name, value in document.items() if value is not False and value not in ([], {}, "")]
    others = sorted(set(asked_for) - set(known))
    if others:
        raise not_modelled(f"{where}: {', '.join(others)}")
