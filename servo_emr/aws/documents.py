"""Documents of the workspace as texts: parsed, told of when they are none of ours, and kept in memory within a bound.

Knows nothing of who has answered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from servo_emr.domain.errors import Reason, RunError, failure
from servo_emr.domain.ports import Document

__all__ = ["Remembered", "no_document", "parsed"]


def parsed(uri: str, text: bytes, version: str) -> Document:
    """The JSON object that a text holds.

    Raises:
        OperatorError: operator/bucket: it holds none.
    """
    try:
        body = json.loads(text)
        if not isinstance(body, dict):
            raise TypeError("not an object")
    except (ValueError, TypeError, RecursionError) as error:
        raise no_document(uri, error) from error
    return Document(body, version)


def no_document(uri: str, error: Exception) -> RunError:
    """What to say of an object that cannot be one of our documents."""
    return failure(
        Reason.BUCKET,
        f"{uri} is not a JSON object of ours ({error}).",
        remedy="Restore it from an earlier version, or move it away; nothing was changed.",
        public="a document of the workspace cannot be read",
    )


class Remembered:
    """Texts by key, each with its version, `most` bytes of them together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._texts: dict[str, tuple[bytes, str]] = {}

    def get(self, key: str) -> tuple[bytes, str] | None:
        """(text, version), or None."""
        return self._texts.get(key)

    def keep(self, versions: Mapping[str, str]) -> None:
        """Forgets what is no longer there, or is there in another version."""
        self._texts = {key: read for key, read in self._texts.items() if versions.get(key) == read[1]}
        self._size = sum(len(text) for text, _ in self._texts.values())

    def add(self, key: str, text: bytes, version: str) -> None:
        """Keeps one more, while there is room."""
        before = len(self._texts[key][0]) if key in self._texts else 0
        if self._size - before + len(text) <= self._most:
            self._texts[key] = (text, version)
            self._size += len(text) - before
