"""Many records in one object: how a month's bundle is written and read.

A bundle is a copy. It says of each record which version it holds, and is believed only for the version that a listing
shows; what it lacks, or what cannot be read of it, is read from the record itself. It is JSON lines behind gzip: first
which records in which versions, then a record a line.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping

__all__ = ["LARGEST", "bundle_key", "bundled", "fits", "unbundled"]

_TEXTS = 64 * 1024 * 1024
"""Bytes of records that a bundle holds at most: the newest of them."""
LARGEST = _TEXTS
"""Bytes of a bundle that are read; records take a twentieth of their size in it."""
_SCHEMA = 1


def bundle_key(run_id: str) -> str:
    """The bundle of the month in which a run was made (UTC)."""
    return f"bundles/{run_id[:4]}-{run_id[4:6]}.jsonl.gz"


def fits(text: bytes) -> bool:
    """Whether a record is one line, as a servo writes it; a person may have laid it out otherwise."""
    return text.endswith(b"\n") and len(text.splitlines()) == 1


def bundled(texts: Mapping[str, tuple[bytes, str]]) -> bytes:
    """The bundle of the records, (text, version) by run id, the newest as far as there is room. The same records give
    the same bytes."""
    kept: list[str] = []
    room = _TEXTS
    for run_id in sorted(texts, reverse=True):
        room -= len(texts[run_id][0])
        if room < 0:
            break
        kept.append(run_id)
    head = json.dumps({"schema": _SCHEMA, "versions": {run_id: texts[run_id][1] for run_id in kept}})
    return gzip.compress(b"".join([head.encode(), b"\n", *(texts[run_id][0] for run_id in kept)]), 6, mtime=0)


def unbundled(body: bytes) -> dict[str, tuple[bytes, str]]:
    """(text, version) by run id of what a bundle holds: nothing where it is no bundle that this version knows."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        head, *lines = unpacking.decompress(body, 2 * _TEXTS).splitlines(keepends=True)
        about = json.loads(head)
        if about["schema"] != _SCHEMA or not unpacking.eof:
            return {}
        return {
            str(run_id): (text, str(version))
            for (run_id, version), text in zip(about["versions"].items(), lines, strict=True)
        }
    except (zlib.error, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
