"""Many records in one object: how a month's bundle is written and read.

A bundle is a copy. It says of each record which version it holds, and is believed only for the version that a listing
shows; what it lacks, or what cannot be read of it, is read from the record itself. It is one gzip member for each time
that something was added, of JSON lines: first which records in which versions, then a record a line.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping

__all__ = ["LARGEST", "added", "bundle_key", "fits", "unbundled"]

LARGEST = 16 * 1024 * 1024
"""Bytes of a bundle, in which a record takes some hundred."""
_LINE = LARGEST
"""Bytes of a line that are read: a longer one is not ours, and might unpack to a thousand times what was fetched."""
_SCHEMA = 1


class _NoBundle(Exception):
    """It cannot be read, and is passed by."""


def bundle_key(run_id: str) -> str:
    """The bundle of the month in which a run was made (UTC)."""
    return f"bundles/{run_id[:4]}-{run_id[4:6]}.jsonl.gz"


def fits(text: bytes) -> bool:
    """Whether a record is one line, as a servo writes it; a person may have laid it out otherwise."""
    return text.endswith(b"\n") and len(text.splitlines()) == 1


def added(body: bytes | None, texts: Mapping[str, tuple[bytes, str]]) -> bytes:
    """A bundle with further records, (text, version) by run id. One that cannot be read, or that has become too large,
    begins anew with them. Memory is taken for the further ones only."""
    head = json.dumps({"schema": _SCHEMA, "versions": {run_id: texts[run_id][1] for run_id in sorted(texts)}})
    lines = b"".join([head.encode(), b"\n", *(texts[run_id][0] for run_id in sorted(texts))])
    member = gzip.compress(lines, 6, mtime=0)
    kept = body is not None and len(body) + len(member) <= LARGEST and _whole(body)
    return body + member if body is not None and kept else member


def unbundled(body: bytes, wanted: Mapping[str, str]) -> dict[str, tuple[bytes, str]]:
    """(text, version) by run id of what a bundle holds of the wanted versions, by run id: nothing where it is no
    bundle that this version knows."""
    try:
        return {run_id: (text, version) for run_id, version, text in _entries(body) if wanted.get(run_id) == version}
    except _NoBundle:
        return {}


def _whole(body: bytes) -> bool:
    try:
        return all(_entries(body))
    except _NoBundle:
        return False


def _entries(body: bytes) -> Iterator[tuple[str, str, bytes]]:
    """(run id, version, text) of each record, the oldest addition first.

    Raises:
        _NoBundle: it is none, or one of another schema; what came before is not to be believed.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as lines:
            while head := lines.readline(_LINE):
                about = json.loads(head)
                if about["schema"] != _SCHEMA:
                    raise _NoBundle
                for run_id, version in about["versions"].items():
                    text = lines.readline(_LINE)
                    if not text.endswith(b"\n"):
                        raise _NoBundle
                    yield run_id, version, text
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _NoBundle from error
