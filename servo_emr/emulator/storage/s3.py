"""moto's S3 inside the emulator: conditional writes made atomic, and the objects that the emulator itself puts.

moto checks If-Match and If-None-Match and then writes, without a lock between: two writers could both find the key
absent. Here no two writes overlap. Knows no clusters.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException
from moto.s3.models import s3_backends

from servo_emr.emulator.region import ACCOUNT

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["Objects", "OneWriterAtATime"]

_WRITES = frozenset({"PUT", "POST", "DELETE"})


class OneWriterAtATime:
    """Wraps a WSGI application that answers S3: writes take the lock, and hold it until they have been answered.

    The body is read before the lock is taken, so a slow client delays nobody else. (moto holds it in memory anyway.)
    """

    def __init__(self, application: WSGIApplication, lock: threading.RLock) -> None:
        self._application = application
        self._lock = lock

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in _WRITES:
            return self._application(environ, start_response)
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        with self._lock:
            answer = self._application(environ, start_response)
            try:
                return list(answer)
            finally:
                close: Callable[[], Any] | None = getattr(answer, "close", None)
                if close is not None:
                    close()


class Objects:
    """Buckets and objects, seen from inside."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._backend = s3_backends[ACCOUNT]["aws"]

    def buckets(self) -> Sequence[str]:
        return list(self._backend.buckets)

    def put(self, bucket: str, key: str, body: bytes) -> bool:
        """False when there is no such bucket."""
        with self._lock:
            if bucket not in self.buckets():
                return False
            self._backend.put_object(bucket, key, body)
            return True

    def upload(self, folder: Path, bucket: str, prefix: str, region: str) -> int:
        """Puts every file under the folder, making the bucket if need be; how many. Raises ValueError."""
        with self._lock:
            if bucket not in self.buckets():
                try:
                    self._backend.create_bucket(bucket, region)
                except ServiceException as error:
                    raise ValueError(f"the bucket name {bucket!r} is refused: {error}") from None
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            for path in files:
                key = "/".join(part for part in (prefix.strip("/"), path.relative_to(folder).as_posix()) if part)
                try:
                    self._backend.put_object(bucket, key, path.read_bytes())
                except OSError as error:
                    raise ValueError(f"{path} cannot be read: {error.strerror}") from None
            return len(files)
