"""The workspace: documents, records and artefacts under one S3 prefix.

The secret kept here is the layout of the prefix and how a write is made atomic.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from servo_emr.aws.documents import no_document, parsed
from servo_emr.aws.door import Door, Refusal
from servo_emr.aws.objects import Objects
from servo_emr.aws.records import DOCUMENT, Records, record_key
from servo_emr.domain.errors import Conflict, Reason, RunError, TooLarge, failure
from servo_emr.domain.ports import Document
from servo_emr.domain.run import RunRecord
from servo_emr.domain.schemas import readable, stamped
from servo_emr.domain.spec import is_artefact, is_run_id

__all__ = ["S3Workspace"]

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_NOTEBOOK = 50 * 1024 * 1024
"""Bytes of a notebook that are read: to parse them takes several times as much memory."""


class S3Workspace:
    """`domain.ports.Workspace` on an S3 prefix.

    Args:
        door: to S3.
        uri: s3://bucket/prefix without a trailing slash.
    """

    def __init__(self, door: Door, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._objects = Objects(door, self.uri)
        self._records = Records(self._objects)
        self._id: str | None = None

    @property
    def emulated(self) -> bool:
        return self._objects.emulated

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
        return await self._write_document(record_key(record.run_id), record.to_json(), expected)

    async def record(self, run_id: str) -> tuple[RunRecord, str] | None:
        return await self._records.one(run_id)

    def records(
        self, since: float | None = None, unreadable: Callable[[RunError], None] | None = None
    ) -> AsyncIterator[RunRecord]:
        return self._records.all(since, unreadable)

    async def bundle(self) -> None:
        await self._records.bundle()

    async def put(self, run_id: str, name: str, body: bytes) -> None:
        await self._objects.put(_artefact_key(run_id, name), body)

    async def get(self, run_id: str, name: str, limit: int | None = None) -> bytes | None:
        found = await self._objects.get(_artefact_key(run_id, name), limit)
        return None if found is None else found[0]

    async def read(self, uri: str) -> bytes:
        try:
            found = await self._objects.elsewhere(uri, _NOTEBOOK)
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
        return found

    async def _read_document(self, key: str) -> Document | None:
        """A document of ours, or None; never more of it than a document may have."""
        try:
            found = await self._objects.get(key, DOCUMENT)
        except TooLarge as error:
            raise no_document(f"{self.uri}/{key}", error) from error
        return None if found is None else parsed(f"{self.uri}/{key}", *found)

    async def _write_document(self, key: str, body: Mapping[str, Any], expected: str | None) -> str:
        # ASCII, because texts of a notebook may hold what UTF-8 cannot: Python's own file names do.
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
        try:
            return await self._objects.replace(key, text.encode() + b"\n", expected, "application/json")
        except Refusal as refusal:
            # The SDK may have sent the write again after a lost answer: then "somebody" was ourselves.
            now = await self._read_document(key)
            if now is not None and now.body == json.loads(text):
                return now.version
            raise Conflict(f"{self.uri}/{key} was changed by somebody else ({refusal.code})") from refusal


def _artefact_key(run_id: str, name: str) -> str:
    if not is_run_id(run_id) or not is_artefact(name):
        raise ValueError(f"{run_id!r}/{name!r} cannot be a key of the workspace")
    return f"runs/{run_id}/{name}"
