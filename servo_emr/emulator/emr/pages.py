"""Pagination with opaque markers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from servo_emr.emulator.protocol.errors import invalid_request

__all__ = ["PAGE", "page"]

PAGE = 50

T = TypeVar("T")


def page(
    items: Sequence[T],
    marker: str | None,
    key: Callable[[T], str],
    *,
    keep: Callable[[T], bool] = lambda item: True,
    size: int = PAGE,
) -> tuple[Sequence[T], str | None]:
    """The kept items after the marked one, at most `size`, with the marker of the next page if there is one.

    A marker names the last item of its page: neither new items nor a marked one that is not kept any more shift
    what follows. Raises AwsError for a marker that names none of the items.
    """
    start = 0
    if marker is not None:
        last = _decode(marker)
        position = next((index for index, item in enumerate(items) if key(item) == last), None)
        if position is None:
            raise invalid_request(f"Marker '{marker}' is not valid.")
        start = position + 1
    kept = [item for item in items[start:] if keep(item)]
    chosen = kept[:size]
    more = len(kept) > size
    return chosen, base64.urlsafe_b64encode(key(chosen[-1]).encode()).decode() if more else None


def _decode(marker: str) -> str:
    try:
        return base64.urlsafe_b64decode(marker.encode()).decode()
    except (binascii.Error, UnicodeError):
        raise invalid_request(f"Marker '{marker}' is not valid.") from None
