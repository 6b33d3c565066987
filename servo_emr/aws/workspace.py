"""The workspace: documents and artefacts under one S3 prefix, conditional writes.

The secret kept here is the layout of the prefix and how a write is made atomic. Nothing outside the prefix is ever
written, and nothing is deleted at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from servo_emr.aws.documents import Remembered, no_document, parsed
from servo_emr.aws.door import Door, Refusal, understood
from servo_emr.aws.uri import split_uri
from servo_emr.domain.errors import Conflict, OperatorError, Reason, RunError, TooLarge, failure
from servo_emr.domain.ports import Document
from servo_emr.domain.run import RunRecord
from servo_emr.domain.schemas import readable, stamped
from servo_emr.domain.spec import is_artefact, is_run_id

__all__ = ["S3Workspace"]

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_ABSENT = ("NoSuchKey", "404", "NotFound")
_DOCUMENT = 16 * 1024 * 1024
"""Bytes of a document of ours that are read; the largest record is some hundred kilobytes."""
_NOTEBOOK = 50 * 1024 * 1024
"""Bytes of a notebook that are read: to parse them takes several times as much memory."""
_AT_ONCE, _ON_A_THREAD = 8, 8
"""Records are read on so many threads at the same time, so many one after another on each."""
_REMEMBERED = 8 << 20
"""Bytes of records that are kept in memory, so that a listing fetches only what has changed since the one before."""
_BEATEN = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")


class S3Workspace:
    """`domain.ports.Workspace` on an S3 prefix.

    Args:
        door: to S3.
        uri: s3://bucket/prefix without a trailing slash.
    """

    def __init__(self, door: Door, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._door = door
        self._bucket, prefix = split_uri(self.uri)
        self._prefix = f"{prefix}/" if prefix else ""
        self._id: str | None = None
        self._remembered = Remembered(_REMEMBERED)

    @property
    def emulated(self) -> bool:
        return self._door.emulated

    async def identity(self) -> str:
        """The workspace's id; made with a conditional write, so that two who ask at once get the same."""
        if self._id is None:
            known = await self.document("workspace")
            if known is None:
                with contextlib.suppress(Conflict):  # somebody else has just made it: theirs is read below
                    await self.write("workspace", stamped("workspace", id=secrets.token_hex(4)), None)
                known = await self.document("workspace")
            # A cluster is told as ours by the id in its name, between two spaces.
            if known is None or not _ID.fullmatch(str(known.body.get("id", ""))):
                raise failure(
                    Reason.BUCKET,
                    f"{self.uri}/workspace.json holds no id.",
                    remedy="Restore it, or point emr.workspace in servo.yaml to an empty prefix.",
                    public="the workspace has no id",
                )
            self._id = str(known.body["id"])
        return self._id

    async def document(self, name: str) -> Document | None:
        found = await self._read_document(f"{name}.json")
        if found is not None:
            readable(self.uri, name, found.body)
        return found

    async def write(self, name: str, body: Mapping[str, Any], expected: str | None) -> str:
        return await self._write_document(f"{name}.json", body, expected)

    async def save(self, record: RunRecord, expected: str | None) -> str:
        return await self._write_document(_record_key(record.run_id), record.to_json(), expected)

    async def record(self, run_id: str) -> tuple[RunRecord, str] | None:
        read = await self._read(_record_key(run_id))
        return None if read is None else (self._parsed(run_id, *read), read[1])

    def _parsed(self, run_id: str, text: bytes, version: str) -> RunRecord:
        key = f"{self.uri}/{_record_key(run_id)}"
        try:
            return RunRecord.from_json(parsed(key, text, version).body)
        except ValueError as error:
            raise failure(
                Reason.BUCKET,
                f"{key}: {error}.",
                remedy="Use the version of servo_emr that wrote it, or move it away; nothing was changed.",
                public="a record of the workspace cannot be read",
            ) from error

    async def records(
        self, since: float | None = None, unreadable: Callable[[RunError], None] | None = None
    ) -> AsyncIterator[RunRecord]:
        first = "" if since is None else f"dt={datetime.fromtimestamp(since, UTC):%Y-%m-%d}"
        prefix = f"{self._prefix}records/"
        start: dict[str, Any] = {"StartAfter": prefix + first} if first else {}
        listing = self._door.pages(
            "s3", "ListObjectsV2", "Contents", sign="Name", Bucket=self._bucket, Prefix=prefix, **start
        )
        with self._placed(), understood("s3:ListObjectsV2"):
            versions = {item["Key"].removeprefix(self._prefix): item["ETag"] async for item in listing}
        # A servo asks for the same records before every launch, for months: what is as it was is not fetched again.
        self._remembered.keep(versions)
        names = [key.rsplit("/", 1)[-1].removesuffix(".json") for key in sorted(versions, reverse=True)]
        for some in _batched(filter(is_run_id, names), _AT_ONCE * _ON_A_THREAD):
            async for found in self._records_or_errors(some):
                if isinstance(found, RunError):
                    if unreadable is None or found.reason is not Reason.BUCKET:
                        raise found
                    unreadable(found)
                elif found is not None:
                    yield found

    async def _records_or_errors(self, run_ids: Sequence[str]) -> AsyncIterator[RunRecord | RunError | None]:
        """What became of each, in their order; those that are not remembered are read first."""
        known = {run_id: self._remembered.get(_record_key(run_id)) for run_id in run_ids}
        unread = [run_id for run_id in run_ids if known[run_id] is None]
        parts = [unread[start : start + _ON_A_THREAD] for start in range(0, len(unread), _ON_A_THREAD)]
        answers = itertools.chain(*await asyncio.gather(*map(self._answers, parts)))
        fetched = dict(zip(unread, answers, strict=True))
        for run_id in run_ids:
            yield self._record_or_error(run_id, known[run_id], fetched.get(run_id))

    async def _answers(self, run_ids: Sequence[str]) -> list[Any]:
        asked = [{"Bucket": self._bucket, "Key": f"{self._prefix}{_record_key(run_id)}"} for run_id in run_ids]
        return await self._door.each("s3", "GetObject", expected=_ABSENT, most=_DOCUMENT, many=asked)

    def _record_or_error(
        self, run_id: str, known: tuple[bytes, str] | None, answer: Any
    ) -> RunRecord | RunError | None:
        key = _record_key(run_id)
        if isinstance(answer, Refusal):
            return None
        try:
            text, version = known or self._text(key, answer)
            record = self._parsed(run_id, text, version)
        except RunError as error:
            return error
        self._remembered.add(key, text, version)
        return record

    def _text(self, key: str, answer: Any) -> tuple[bytes, str]:
        """(text, version) of the document that an answer holds; an error in its place is raised."""
        if isinstance(answer, TooLarge):
            raise no_document(f"{self.uri}/{key}", answer) from answer
        with self._placed():
            if isinstance(answer, RunError):
                raise answer
            with understood("s3:GetObject"):
                return answer["Body"], answer["ETag"]

    async def put(self, run_id: str, name: str, body: bytes) -> None:
        key = self._artefact_key(run_id, name)
        with self._placed(), understood("s3:PutObject"):
            (await self._door.call("s3", "PutObject", Bucket=self._bucket, Key=key, Body=body))["ETag"]

    async def get(self, run_id: str, name: str, limit: int | None = None) -> bytes | None:
        with self._placed():
            found = await self._get(self._bucket, self._artefact_key(run_id, name), limit)
        return None if found is None else found[0]

    async def read(self, uri: str) -> bytes:
        bucket, key = split_uri(uri)
        try:
            found = await self._get(bucket, key, _NOTEBOOK)
        except TooLarge as error:
            raise failure(
                Reason.NOTEBOOK,
                f"{uri} has {error.size} bytes, and at most {_NOTEBOOK} are read.",
                remedy="Clear the notebook's outputs: the job runs its cells anew.",
                public="an object named in servo.yaml is too large",
            ) from error
        if found is None:
            raise failure(
                Reason.NOTEBOOK,
                f"{uri} does not exist.",
                remedy="Upload it, or correct the URI in servo.yaml.",
                public="an object named in servo.yaml does not exist",
            )
        return found[0]

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """What S3 says against the workspace's bucket, with its place in servo.yaml and its name."""
        try:
            yield
        except OperatorError as error:
            if error.reason is not Reason.BUCKET:
                raise
            raise failure(
                error.reason,
                f"emr.workspace: {self.uri}: {error.message}",
                remedy=error.remedy,
                public=error.public,
                details=error.details,
            ) from error

    def _artefact_key(self, run_id: str, name: str) -> str:
        if not is_run_id(run_id) or not is_artefact(name):
            raise ValueError(f"{run_id!r}/{name!r} cannot be a key of the workspace")
        return f"{self._prefix}runs/{run_id}/{name}"

    async def _get(self, bucket: str, key: str, limit: int | None = None) -> tuple[bytes, str] | None:
        """(body, version) of an object, or None.

        Raises:
            TooLarge: it has more than `limit` bytes.
        """
        try:
            answer = await self._door.call("s3", "GetObject", expected=_ABSENT, most=limit, Bucket=bucket, Key=key)
        except Refusal:
            return None
        with understood("s3:GetObject"):
            # Whoever else answers in S3's place has no ETag: his page must not pass for the object.
            return answer["Body"], answer["ETag"]

    async def _read_document(self, key: str) -> Document | None:
        found = await self._read(key)
        return None if found is None else parsed(f"{self.uri}/{key}", *found)

    async def _read(self, key: str) -> tuple[bytes, str] | None:
        """(text, version) of a document of ours, or None; never more of it than a document may have."""
        try:
            with self._placed():
                return await self._get(self._bucket, self._prefix + key, _DOCUMENT)
        except TooLarge as error:
            raise no_document(f"{self.uri}/{key}", error) from error

    async def _write_document(self, key: str, body: Mapping[str, Any], expected: str | None) -> str:
        # ASCII, because texts of a notebook may hold what UTF-8 cannot: Python's own file names do.
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
        try:
            answer = await self._door.call(
                "s3",
                "PutObject",
                expected=(*_BEATEN, *_ABSENT),
                Bucket=self._bucket,
                Key=self._prefix + key,
                Body=text.encode() + b"\n",
                ContentType="application/json",
                **condition,
            )
        except Refusal as refusal:
            # The SDK may have sent the write again after a lost answer: then "somebody" was ourselves.
            now = await self._read_document(key)
            if now is not None and now.body == json.loads(text):
                return now.version
            raise Conflict(f"{self.uri}/{key} was changed by somebody else ({refusal.code})") from refusal
        with understood("s3:PutObject"):
            return str(answer["ETag"])


def _batched(items: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    """`items` in their order, `size` at a time."""
    source = iter(items)
    while some := tuple(itertools.islice(source, size)):
        yield some


def _record_key(run_id: str) -> str:
    if not is_run_id(run_id):
        raise ValueError(f"{run_id!r} is not a run id")
    return f"records/dt={run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}/{run_id}.json"
