"""A workspace in memory that keeps the port's promises, and can be out of reach for a while."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from servo_emr.domain.errors import Conflict, OperatorError, Reason, RunError, TooLarge, failure
from servo_emr.domain.ports import Document
from servo_emr.domain.run import RunRecord
from servo_emr.domain.schemas import readable
from servo_emr.domain.spec import is_artefact, is_run_id

__all__ = ["MemoryWorkspace"]


class MemoryWorkspace:
    """`domain.ports.Workspace`. `objects` holds what is under the prefix; `elsewhere` what the user named outside."""

    def __init__(self, uri: str = "s3://acme-servo/nightly-etl") -> None:
        self.uri = uri
        self.emulated = False
        self.objects: dict[str, bytes] = {}
        self.elsewhere: dict[str, bytes] = {}
        self.down = False
        self.writes = 0
        self._versions: dict[str, str] = {}
        self._count = itertools.count(1)

    async def identity(self) -> str:
        if (known := await self.document("workspace")) is None:
            await self.write("workspace", {"schema": 1, "id": "cafe0123"}, None)
            return "cafe0123"
        return str(known.body["id"])

    async def document(self, name: str) -> Document | None:
        found = self._read(f"{name}.json")
        if found is not None:
            readable(self.uri, name, found.body)
        return found

    async def write(self, name: str, body: Mapping[str, Any], expected: str | None) -> str:
        return self._write(f"{name}.json", body, expected)

    async def save(self, record: RunRecord, expected: str | None) -> str:
        return self._write(_record_key(record.run_id), record.to_json(), expected)

    async def record(self, run_id: str) -> tuple[RunRecord, str] | None:
        document = self._read(_record_key(run_id))
        if document is None:
            return None
        try:
            return RunRecord.from_json(document.body), document.version
        except ValueError as error:
            raise _unreadable(f"{self.uri}/{_record_key(run_id)}: {error}.") from error

    async def records(
        self, since: float | None = None, unreadable: Callable[[RunError], None] | None = None
    ) -> AsyncIterator[RunRecord]:
        self._reach()
        first = "" if since is None else f"records/dt={datetime.fromtimestamp(since, UTC):%Y-%m-%d}"
        keys = [key for key in self.objects if key.startswith("records/") and key > first]
        for key in sorted(keys, reverse=True):
            try:
                found = await self.record(key.rsplit("/", 1)[-1].removesuffix(".json"))
            except OperatorError as error:
                if unreadable is None or error.reason is not Reason.BUCKET:
                    raise
                unreadable(error)
                continue
            if found is not None:
                yield found[0]

    async def bundle(self) -> None:
        self._reach()

    async def put(self, run_id: str, name: str, body: bytes) -> None:
        self._reach()
        self.objects[_artefact_key(run_id, name)] = body

    async def get(self, run_id: str, name: str, limit: int | None = None) -> bytes | None:
        self._reach()
        body = self.objects.get(_artefact_key(run_id, name))
        if body is not None and limit is not None and len(body) > limit:
            raise TooLarge(name, len(body), limit)
        return body

    async def read(self, uri: str) -> bytes:
        self._reach()
        if uri not in self.elsewhere:
            raise failure(Reason.NOTEBOOK, f"{uri} does not exist.", remedy="Upload it.")
        return self.elsewhere[uri]

    def the_record(self) -> RunRecord:
        """The one record that there is."""
        (key,) = (key for key in self.objects if key.startswith("records/"))
        return RunRecord.from_json(json.loads(self.objects[key]))

    def all_records(self) -> list[RunRecord]:
        """All records, newest first."""
        keys = sorted((key for key in self.objects if key.startswith("records/")), reverse=True)
        return [RunRecord.from_json(json.loads(self.objects[key])) for key in keys]

    def by_hand(self, key: str, body: bytes) -> None:
        """An object as somebody has left it who is not a servo."""
        self.objects[key] = body
        self._versions[key] = f"v{next(self._count)}"

    def key_of(self, record: RunRecord) -> str:
        """The key of a record."""
        return _record_key(record.run_id)

    def _reach(self) -> None:
        if self.down:
            raise failure(Reason.ENDPOINT, "the workspace is out of reach.")

    def _read(self, key: str) -> Document | None:
        self._reach()
        if key not in self.objects:
            return None
        try:
            body = json.loads(self.objects[key])
        except ValueError as error:
            raise _unreadable(f"{self.uri}/{key} is not a JSON object ({error}).") from error
        if not isinstance(body, dict):
            raise _unreadable(f"{self.uri}/{key} is not a JSON object.")
        return Document(body, self._versions[key])

    def _write(self, key: str, body: Mapping[str, Any], expected: str | None) -> str:
        self._reach()
        if self._versions.get(key) != expected:
            raise Conflict(f"{self.uri}/{key} was changed by somebody else")
        self.writes += 1
        self.objects[key] = json.dumps(body, allow_nan=False).encode()
        self._versions[key] = f"v{next(self._count)}"
        return self._versions[key]


def _unreadable(message: str) -> RunError:
    return failure(Reason.BUCKET, message, remedy="Restore it, or move it away; nothing was changed.")


def _record_key(run_id: str) -> str:
    if not is_run_id(run_id):
        raise ValueError(f"{run_id!r} is not a run id")
    return f"records/dt={run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}/{run_id}.json"


def _artefact_key(run_id: str, name: str) -> str:
    if not is_run_id(run_id) or not is_artefact(name):
        raise ValueError(f"{run_id!r}/{name!r} cannot be a key of the workspace")
    return f"runs/{run_id}/{name}"
