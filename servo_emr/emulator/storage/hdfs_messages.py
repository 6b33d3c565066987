"""What goes over the wire between Hadoop's WebHDFS client and the gateway: one request, one answer, one error.

Knows WSGI, JSON and Java's names for failures; no operation, no tree, no S3.
"""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote_to_bytes

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["ERRORS", "PREFIX", "Answer", "Chunks", "Request"]

PREFIX = "/webhdfs/v1"

_CHUNK = 1024 * 1024  # bytes in memory of a file that passes through
_SPOOL = 8 * 1024 * 1024  # bytes of an upload that stay in memory; a larger one goes to a temporary file

# The Java class by which Hadoop's client throws an error again, and its status; the first that fits wins.
_JAVA: tuple[tuple[type[Exception], str, HTTPStatus], ...] = (
    (FileNotFoundError, "java.io.FileNotFoundException", HTTPStatus.NOT_FOUND),
    (FileExistsError, "org.apache.hadoop.fs.FileAlreadyExistsException", HTTPStatus.FORBIDDEN),
    (NotADirectoryError, "org.apache.hadoop.fs.ParentNotDirectoryException", HTTPStatus.FORBIDDEN),
    (IsADirectoryError, "java.io.FileNotFoundException", HTTPStatus.NOT_FOUND),
    (PermissionError, "org.apache.hadoop.security.AccessControlException", HTTPStatus.FORBIDDEN),
    (NotImplementedError, "java.lang.UnsupportedOperationException", HTTPStatus.BAD_REQUEST),
    (ValueError, "java.lang.IllegalArgumentException", HTTPStatus.BAD_REQUEST),
    (OSError, "java.io.IOException", HTTPStatus.FORBIDDEN),
)

ERRORS = tuple(kind for kind, _, _ in _JAVA)


class Request:
    """One request: the path in the tree, the parameters, and the body."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.environ = environ
        self.path = "/" + _decoded_path(environ).removeprefix(PREFIX).strip("/")
        self._parameters = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        self.operation = self.text("op", "").upper()

    def text(self, name: str, default: str) -> str:
        return self._parameters[name][0] if name in self._parameters else default

    def flag(self, name: str, *, default: bool) -> bool:
        return self.text(name, str(default)).lower() == "true"

    def number(self, name: str) -> int | None:
        value = self.text(name, "")
        return int(value) if value not in ("", "null") else None

    def here(self, extra: str) -> str:
        """The URL of this request with one more parameter."""
        host = self.environ["HTTP_HOST"]
        query = f"{self.environ['QUERY_STRING']}&{extra}"
        return f"{self.environ['wsgi.url_scheme']}://{host}{PREFIX}{quote(self.path)}?{query}"

    def spool(self) -> IO[bytes]:
        """The whole body, in memory while it is small. The caller closes it."""
        body = self.environ["wsgi.input"]
        ends_itself = bool(self.environ.get("wsgi.input_terminated"))
        left = None if ends_itself else int(self.environ.get("CONTENT_LENGTH") or 0)
        spooled = tempfile.SpooledTemporaryFile(max_size=_SPOOL)  # noqa: SIM115  # handed to the caller
        try:
            while chunk := body.read(_CHUNK if left is None else min(_CHUNK, left)):
                spooled.write(chunk)
                left = left if left is None else left - len(chunk)
            if left:
                raise ValueError(f"The body of the upload ended {left} bytes early")
            spooled.seek(0)
        except BaseException:
            spooled.close()
            raise
        return spooled


def _decoded_path(environ: WSGIEnvironment) -> str:
    """The path that was asked for, percent escapes undone.

    Java sends letters beyond ASCII as bare UTF-8, and werkzeug's PATH_INFO has those encoded twice. Its RAW_URI,
    which is the request line encoded twice throughout, still tells them from escaped ones.
    """
    line: str = environ["RAW_URI"].encode("latin-1").decode("utf-8")
    return unquote_to_bytes(line.partition("?")[0].encode("latin-1")).decode("utf-8")


class Answer:
    """Status, headers and body of one answer."""

    def __init__(self, status: HTTPStatus, headers: Mapping[str, str], body: Iterable[bytes] = ()) -> None:
        self.status, self.headers, self.body = status, headers, body

    @classmethod
    def of(cls, document: Any, status: HTTPStatus = HTTPStatus.OK) -> Answer:
        body = json.dumps(document).encode()
        return cls(status, {"Content-Type": "application/json", "Content-Length": str(len(body))}, [body])

    @classmethod
    def to_failure(cls, error: Exception) -> Answer:
        """The answer from which Hadoop's client makes an exception of the right class; `error` is one of ERRORS."""
        java, status = next((java, status) for kind, java, status in _JAVA if isinstance(error, kind))
        if isinstance(error, OSError) and error.errno == errno.ENOTEMPTY:
            java = "org.apache.hadoop.fs.PathIsNotEmptyDirectoryException"
        remote = {"exception": java.rpartition(".")[2], "javaClassName": java, "message": str(error)}
        return cls.of({"RemoteException": remote}, status)


class Chunks:
    """An answer's body in chunks; the server's `close` gives S3's connection back when the reader stopped early."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body.iter_chunks(_CHUNK)

    def close(self) -> None:
        self._body.close()
