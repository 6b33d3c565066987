"""The runs' records: where each is, and how many are read in a short time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from servo_emr.aws.bundles import LARGEST, added, bundle_key, fits, unbundled
from servo_emr.aws.documents import Remembered, no_document, parsed
from servo_emr.aws.door import Refusal
from servo_emr.aws.objects import Objects
from servo_emr.domain.errors import Reason, RunError, TooLarge, failure
from servo_emr.domain.run import RunRecord
from servo_emr.domain.spec import is_run_id

__all__ = ["DOCUMENT", "Records", "record_key"]

DOCUMENT = 16 * 1024 * 1024
"""Bytes of a document of ours that are read; the largest record is some hundred kilobytes."""
_AT_ONCE, _ON_A_THREAD = 8, 8
"""Records are read on so many threads at the same time, so many one after another on each."""
_REMEMBERED = 8 << 20
"""Bytes of records that are kept in memory, so that a listing fetches only what has changed since the one before; and
of those that wait to be bundled."""
_ASKED_FOR, _WRITTEN_FOR = 8, 32
"""For so many records of a month its bundle is read first; when so many were read one by one they are added to it."""

_Text = tuple[bytes, str]
_Answer = _Text | RunError | TooLarge | None


class Records:
    """The records under a prefix.

    What was read is remembered, and read again only when a listing shows it in another version. A process that
    remembers nothing yet finds the records of a month together in a bundle, where a servo has kept one.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._remembered = Remembered(_REMEMBERED)
        self._single: dict[str, dict[str, _Text]] = {}  # by their bundle's key: what it lacked, final records only
        self._waiting = 0  # bytes of them

    async def one(self, run_id: str) -> tuple[RunRecord, str] | None:
        """A record with its version, or None."""
        key = record_key(run_id)
        try:
            read = await self._objects.get(key, DOCUMENT)
        except TooLarge as error:
            raise no_document(f"{self._objects.uri}/{key}", error) from error
        return None if read is None else (self._parsed(run_id, *read), read[1])

    async def all(
        self, since: float | None = None, unreadable: Callable[[RunError], None] | None = None
    ) -> AsyncIterator[RunRecord]:
        """`domain.ports.Workspace.records`."""
        first = "" if since is None else f"records/dt={datetime.fromtimestamp(since, UTC):%Y-%m-%d}"
        versions = await self._objects.versions("records/", first)
        # A servo asks for the same records before every launch, for months: what is as it was is not fetched again.
        self._remembered.keep(versions)
        named = {key.rsplit("/", 1)[-1].removesuffix(".json"): version for key, version in versions.items()}
        listed = {run_id: named[run_id] for run_id in sorted(named, reverse=True) if is_run_id(run_id)}
        bundles: dict[str, dict[str, _Text]] = {}
        for some in _batched(listed, _AT_ONCE * _ON_A_THREAD):
            known = {run_id: self._remembered.get(record_key(run_id)) for run_id in some}
            await self._look_up(known, listed, bundles)
            answers = await self._read([run_id for run_id, text in known.items() if text is None])
            for run_id in some:
                found = self._found(run_id, known[run_id] or answers[run_id], run_id in answers)
                if isinstance(found, RunError):
                    if unreadable is None or found.reason is not Reason.BUCKET:
                        raise found
                    unreadable(found)
                elif found is not None:
                    yield found

    async def _look_up(
        self, known: dict[str, _Text | None], listed: Mapping[str, str], bundles: dict[str, dict[str, _Text]]
    ) -> None:
        """Fills in what bundles hold of the records that are not known, of those months that many of them are of.
        Bundles of months that are behind are let go: a reader of years holds one or two at a time."""
        for key in bundles.keys() - set(map(bundle_key, known)):
            del bundles[key]
        unknown = [run_id for run_id, text in known.items() if text is None]
        for key, count in Counter(map(bundle_key, unknown)).items():
            if count >= _ASKED_FOR and key not in bundles:
                wanted = {run_id: version for run_id, version in listed.items() if bundle_key(run_id) == key}
                bundles[key] = await self._held(key, wanted)
        for run_id in unknown:
            known[run_id] = bundles.get(bundle_key(run_id), {}).get(run_id)

    async def _held(self, key: str, wanted: Mapping[str, str]) -> dict[str, _Text]:
        """What a bundle holds of the wanted versions."""
        try:
            read = await self._objects.get(key, LARGEST)
        except (RunError, TooLarge):  # a copy hinders nobody; what keeps records away is told of there
            return {}
        return {} if read is None else await asyncio.to_thread(unbundled, read[0], wanted)

    async def _read(self, run_ids: Sequence[str]) -> dict[str, _Answer]:
        """What became of each, by run id."""
        parts = [run_ids[start : start + _ON_A_THREAD] for start in range(0, len(run_ids), _ON_A_THREAD)]
        asked = (self._objects.several([record_key(run_id) for run_id in part], DOCUMENT) for part in parts)
        return dict(zip(run_ids, itertools.chain(*await asyncio.gather(*asked)), strict=True))

    def _found(self, run_id: str, answer: _Answer, single: bool) -> RunRecord | RunError | None:
        """A record, or what is wrong with it, or None when it is gone."""
        key = record_key(run_id)
        if isinstance(answer, TooLarge):
            return no_document(f"{self._objects.uri}/{key}", answer)
        if answer is None or isinstance(answer, RunError):
            return answer
        try:
            record = self._parsed(run_id, *answer)
        except RunError as error:
            return error
        self._remembered.add(key, *answer)
        if single and record.settled and fits(answer[0]):
            self._wait(run_id, answer)
        return record

    def _wait(self, run_id: str, text: _Text) -> None:
        """Keeps a record for the bundle that lacks it, while there is room: who only reads never writes one."""
        lacking = self._single.setdefault(bundle_key(run_id), {})
        size = len(text[0]) - len(lacking.get(run_id, (b"",))[0])
        if self._waiting + size <= _REMEMBERED:
            lacking[run_id] = text
            self._waiting += size

    def _parsed(self, run_id: str, text: bytes, version: str) -> RunRecord:
        key = f"{self._objects.uri}/{record_key(run_id)}"
        try:
            return RunRecord.from_json(parsed(key, text, version).body)
        except ValueError as error:
            raise failure(
                Reason.BUCKET,
                f"{key}: {error}.",
                remedy="Use the version of servo_emr that wrote it, or move it away; nothing was changed.",
                public="a record of the workspace cannot be read",
            ) from error

    async def bundle(self) -> None:
        """`domain.ports.Workspace.bundle`. What cannot be put into a bundle now is left to the next process that has
        to read it."""
        latest = max(self._single, default="")
        full = self._waiting > _REMEMBERED // 2  # large ones are not waited with until there is no room
        for key in sorted(self._single):
            enough = _WRITTEN_FOR if key == latest else _ASKED_FOR  # of a month that is over, whatever is worth it
            enough = 1 if full else enough
            if key == latest and len(self._single[key]) < enough:
                continue
            texts = self._single.pop(key)
            self._waiting -= sum(len(text) for text, _ in texts.values())
            if len(texts) >= enough:
                await self._add(key, texts)

    async def _add(self, key: str, texts: dict[str, _Text]) -> None:
        body, version = None, None
        with contextlib.suppress(TooLarge):  # none of ours: it stays, since it is not seen which version it has
            body, version = await self._objects.get(key, LARGEST) or (None, None)
        further = await asyncio.to_thread(_further, body, texts)
        if further is not None:
            with contextlib.suppress(Refusal):  # somebody else has just written it
                await self._objects.replace(key, further, version, "application/gzip")


def _further(body: bytes | None, texts: Mapping[str, _Text]) -> bytes | None:
    """A bundle with what it lacks of some records; None when it lacks nothing, as after a time in which it could not be
    read."""
    held = {} if body is None else unbundled(body, {run_id: version for run_id, (_, version) in texts.items()})
    lacking = {run_id: text for run_id, text in texts.items() if run_id not in held}
    return added(body, lacking) if lacking else None


def record_key(run_id: str) -> str:
    """The key of a run's record.

    Raises:
        ValueError: not a run id.
    """
    if not is_run_id(run_id):
        raise ValueError(f"{run_id!r} is not a run id")
    return f"records/dt={run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}/{run_id}.json"


def _batched(items: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    """`items` in their order, `size` at a time."""
    source = iter(items)
    while some := tuple(itertools.islice(source, size)):
        yield some
