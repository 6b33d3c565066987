"""The body of an answer, read with a bound. Knows nothing of who has answered."""

from __future__ import annotations

from typing import Any

from servo_emr.domain.errors import TooLarge

__all__ = ["read_body"]


def read_body(body: Any, length: object, most: int | None, what: str) -> bytes:
    """All of a streaming body. Of one that is too large the connection is given up, with the rest of it.

    Args:
        body: has `read` and `close`.
        length: what its sender says of its size, in bytes, if anything.
        most: bytes that are read at most; None: all there are.
        what: names it in the error.

    Raises:
        TooLarge: it has more than `most` bytes.
    """
    if most is None:
        return bytes(body.read())
    try:
        if isinstance(length, int) and length > most:
            raise TooLarge(what, length, most)
        content = bytes(body.read(most))  # whoever answers in the service's place may not say how long it is
        if body.read(1):  # only at its end does the SDK compare length and checksum: a body that was cut off is none
            raise TooLarge(what, most + 1, most)
        return content
    finally:
        body.close()
