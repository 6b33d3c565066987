"""The schema of each document of the workspace, and what is refused of a later one. A record has its own, in `run`.

A schema goes up when a document can no longer be read by giving what is missing its default; the reader of the new one
reads the old one too (docs/upgrading.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from servo_emr.domain.errors import Reason, failure

__all__ = ["SCHEMAS", "readable", "stamped"]

SCHEMAS: Mapping[str, int] = {"breaker": 1, "check": 1, "lease": 1, "prices": 1, "staged": 1, "workspace": 1}
"""What this version writes, by the document's name."""


def stamped(name: str, **body: Any) -> dict[str, Any]:
    """A document's body with its schema."""
    return {"schema": SCHEMAS[name], **body}


def readable(uri: str, name: str, body: Mapping[str, Any]) -> None:
    """Returns when this version reads a document with that body; one that does not say its schema has the first.

    Raises:
        OperatorError: operator/bucket, naming the document at `uri` and both schemas: a newer version wrote it.
    """
    known, found = SCHEMAS.get(name, 1), body.get("schema", 1)
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= known:
        raise failure(
            Reason.BUCKET,
            f"{uri}/{name}.json has schema {found!r}, this version reads {known}.",
            remedy="Use the version of servo_emr that wrote it, or move it away; nothing was changed.",
            public="a document of the workspace cannot be read",
        )
