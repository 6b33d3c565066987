"""The WebHDFS gateway: Hadoop's own client speaks to it, and finds the buckets of the emulator's S3.

A WSGI application under /webhdfs/v1; `/webhdfs/v1/BUCKET/KEY` is s3://BUCKET/KEY. It knows the protocol (requests, JSON
answers, Java's exception names); what the operations do to objects is the tree's business. The first request of an
upload is redirected to this server itself, as a name node does to a data node. There are no users, no permissions.
"""

from __future__ import annotations

import errno
import json
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote_to_bytes

import boto3
from botocore.config import Config

from servo_emr.emulator.s3tree import Entry, S3Tree

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["PREFIX", "WebHdfs"]

PREFIX = "/webhdfs/v1"

_BLOCK = 128 * 1024 * 1024  # bytes; Hadoop splits files for its tasks by it
_CHUNK = 1024 * 1024  # bytes in memory of a file that passes through
_SPOOL = 8 * 1024 * 1024  # bytes of an upload that stay in memory; a larger one goes to a temporary file

# The Java class by which Hadoop's client throws an error again, and its status; the first that fits wins.
_ERRORS: tuple[tuple[type[Exception], str, HTTPStatus], ...] = (
    (FileNotFoundError, "java.io.FileNotFoundException", HTTPStatus.NOT_FOUND),
    (FileExistsError, "org.apache.hadoop.fs.FileAlreadyExistsException", HTTPStatus.FORBIDDEN),
    (NotADirectoryError, "org.apache.hadoop.fs.ParentNotDirectoryException", HTTPStatus.FORBIDDEN),
    (IsADirectoryError, "java.io.FileNotFoundException", HTTPStatus.NOT_FOUND),
    (PermissionError, "org.apache.hadoop.security.AccessControlException", HTTPStatus.FORBIDDEN),
    (NotImplementedError, "java.lang.UnsupportedOperationException", HTTPStatus.BAD_REQUEST),
    (ValueError, "java.lang.IllegalArgumentException", HTTPStatus.BAD_REQUEST),
    (OSError, "java.io.IOException", HTTPStatus.FORBIDDEN),
)


class _Request:
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

    Java sends letters beyond ASCII as bare UTF-8, and werkzeug's PATH_INFO has those encoded twice. Its RAW_URI, which is
    the request line encoded twice throughout, still tells them from escaped ones.
    """
    line: str = environ["RAW_URI"].encode("latin-1").decode("utf-8")
    return unquote_to_bytes(line.partition("?")[0].encode("latin-1")).decode("utf-8")


class _Answer:
    """Status, headers and body of one answer."""

    def __init__(self, status: HTTPStatus, headers: Mapping[str, str], body: Iterable[bytes] = ()) -> None:
        self.status, self.headers, self.body = status, headers, body

    @classmethod
    def of(cls, document: Any, status: HTTPStatus = HTTPStatus.OK) -> _Answer:
        body = json.dumps(document).encode()
        return cls(status, {"Content-Type": "application/json", "Content-Length": str(len(body))}, [body])


class WebHdfs:
    """A WSGI application for /webhdfs/v1 of the emulator's own port, on a server with threads and werkzeug's environ.

    `endpoint` gives the URL of S3, asked for at the first request: the emulator's own, which is known once it listens.
    """

    def __init__(self, endpoint: Callable[[], str]) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._client: Any = None
        self._tree = S3Tree(self._s3)

    def _s3(self) -> Any:
        with self._lock:  # boto3's clients may be shared by threads; making one may not
            if self._client is None:
                session = boto3.Session(
                    aws_access_key_id="emulated-gateway",
                    aws_secret_access_key="emulated-gateway",
                    region_name="us-east-1",
                )
                self._client = session.client(
                    "s3",
                    endpoint_url=self._endpoint(),
                    config=Config(
                        max_pool_connections=50,
                        s3={"addressing_style": "path"},
                        request_checksum_calculation="when_required",
                        response_checksum_validation="when_required",
                        proxies={},
                    ),
                )
            return self._client

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            request = _Request(environ)
            handler = _OPERATIONS.get((environ["REQUEST_METHOD"], request.operation))
            if handler is None:
                raise NotImplementedError(
                    f"the emulator's S3 gateway has no {environ['REQUEST_METHOD']} operation {request.operation!r}"
                )
            answer = handler(self._tree, request)
        except tuple(kind for kind, _, _ in _ERRORS) as error:
            answer = _failure(error)
        start_response(f"{answer.status.value} {answer.status.phrase}", list(answer.headers.items()))
        return answer.body


def _failure(error: Exception) -> _Answer:
    java, status = next((java, status) for kind, java, status in _ERRORS if isinstance(error, kind))
    if isinstance(error, OSError) and error.errno == errno.ENOTEMPTY:
        java = "org.apache.hadoop.fs.PathIsNotEmptyDirectoryException"
    remote = {"exception": java.rpartition(".")[2], "javaClassName": java, "message": str(error)}
    return _Answer.of({"RemoteException": remote}, status)


def _status(entry: Entry, suffix: str) -> dict[str, Any]:
    return {
        "pathSuffix": suffix,
        "type": "DIRECTORY" if entry.folder else "FILE",
        "length": entry.size,
        "owner": "hadoop",
        "group": "hadoop",
        "permission": "755" if entry.folder else "644",
        "accessTime": entry.modified,
        "modificationTime": entry.modified,
        "blockSize": 0 if entry.folder else _BLOCK,
        "replication": 0 if entry.folder else 1,
        "childrenNum": 0,
        "fileId": 0,
        "storagePolicy": 0,
    }


def _file_status(tree: S3Tree, request: _Request) -> _Answer:
    return _Answer.of({"FileStatus": _status(tree.stat(request.path), "")})


def _statuses(tree: S3Tree, path: str) -> dict[str, Any]:
    entries = tree.children(path)
    itself = len(entries) == 1 and not entries[0].folder and not tree.stat(path).folder
    return {"FileStatuses": {"FileStatus": [_status(entry, "" if itself else entry.name) for entry in entries]}}


def _list(tree: S3Tree, request: _Request) -> _Answer:
    return _Answer.of(_statuses(tree, request.path))


def _list_batch(tree: S3Tree, request: _Request) -> _Answer:
    return _Answer.of({"DirectoryListing": {"partialListing": _statuses(tree, request.path), "remainingEntries": 0}})


def _open(tree: S3Tree, request: _Request) -> _Answer:
    size, body = tree.read(request.path, request.number("offset") or 0, request.number("length"))
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    return _Answer(HTTPStatus.OK, headers, _Chunks(body) if size else ())


class _Chunks:
    """An answer's body in chunks; the server's `close` gives S3's connection back when the reader stopped early."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body.iter_chunks(_CHUNK)

    def close(self) -> None:
        self._body.close()


def _create(tree: S3Tree, request: _Request) -> _Answer:
    tree.check_writable(request.path, overwrite=request.flag("overwrite", default=False))
    if not request.flag("data", default=False):
        return _Answer(HTTPStatus.TEMPORARY_REDIRECT, {"Location": request.here("data=true"), "Content-Length": "0"})
    with request.spool() as body:
        tree.write(request.path, body)
    return _Answer(HTTPStatus.CREATED, {"Content-Length": "0"})


def _make_folder(tree: S3Tree, request: _Request) -> _Answer:
    tree.make_folder(request.path)
    return _Answer.of({"boolean": True})


def _rename(tree: S3Tree, request: _Request) -> _Answer:
    target = request.text("destination", "")
    if not target.startswith("/"):
        raise ValueError(f"the destination of a rename must be an absolute path, not {target!r}")
    return _Answer.of({"boolean": tree.rename(request.path, target.rstrip("/"))})


def _delete(tree: S3Tree, request: _Request) -> _Answer:
    return _Answer.of({"boolean": tree.delete(request.path, recursive=request.flag("recursive", default=False))})


def _summary(tree: S3Tree, request: _Request) -> _Answer:
    folders, files, size = tree.totals(request.path)
    summary = {"directoryCount": folders, "fileCount": files, "length": size, "spaceConsumed": size}
    return _Answer.of({"ContentSummary": {**summary, "quota": -1, "spaceQuota": -1}})


def _home(tree: S3Tree, request: _Request) -> _Answer:
    return _Answer.of({"Path": "/user/hadoop"})


def _server_defaults(tree: S3Tree, request: _Request) -> _Answer:
    """What Hadoop's shell asks before it deletes: there is no trash."""
    defaults = {
        "blockSize": _BLOCK,
        "bytesPerChecksum": 512,
        "checksumType": 0,
        "defaultStoragePolicyId": 0,
        "encryptDataTransfer": False,
        "fileBufferSize": 4096,
        "keyProviderUri": "",
        "replication": 1,
        "trashInterval": 0,
        "writePacketSize": 65536,
    }
    return _Answer.of({"FsServerDefaults": defaults})


def _blocks(tree: S3Tree, request: _Request) -> _Answer:
    """Where the blocks of a file lie: all of it is one block, on no host in particular.

    One and not none: Hadoop's older input formats look for the block that a split begins in.
    """
    entry = tree.stat(request.path)
    block = {
        "block": {"blockId": 0, "blockPoolId": "s3", "generationStamp": 0, "numBytes": entry.size},
        "cachedLocations": [],
        "isCorrupt": False,
        "locations": [],
        "startOffset": 0,
        "storageTypes": [],
    }
    blocks = {
        "fileLength": entry.size,
        "isLastBlockComplete": True,
        "isUnderConstruction": False,
        "lastLocatedBlock": None,
        "locatedBlocks": [block] if entry.size else [],
    }
    return _Answer.of({"LocatedBlocks": blocks})


_OPERATIONS: Mapping[tuple[str, str], Callable[[S3Tree, _Request], _Answer]] = {
    ("GET", "GETFILESTATUS"): _file_status,
    ("GET", "LISTSTATUS"): _list,
    ("GET", "LISTSTATUS_BATCH"): _list_batch,
    ("GET", "GETCONTENTSUMMARY"): _summary,
    ("GET", "GETHOMEDIRECTORY"): _home,
    ("GET", "GETSERVERDEFAULTS"): _server_defaults,
    ("GET", "GET_BLOCK_LOCATIONS"): _blocks,
    ("GET", "OPEN"): _open,
    ("PUT", "CREATE"): _create,
    ("PUT", "MKDIRS"): _make_folder,
    ("PUT", "RENAME"): _rename,
    ("DELETE", "DELETE"): _delete,
}
