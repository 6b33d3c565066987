"""A gzip body, unpacked a piece at a time: what repeats itself packs a thousand to one."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator

__all__ = ["DAMAGED", "pieces"]

DAMAGED = (zlib.error, gzip.BadGzipFile)
"""What `pieces` raises of a body that is no gzip, or is no longer what it was."""
_PIECE = 1024 * 1024


def pieces(body: bytes) -> Iterator[bytes]:
    """What `body` holds, all its members, each piece of at most a mebibyte.

    Raises:
        EOFError: the body is cut off; what could be read has been given.
        DAMAGED: likewise.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
        while piece := file.read1(_PIECE):  # `read` would lose what came before the error
            yield piece
