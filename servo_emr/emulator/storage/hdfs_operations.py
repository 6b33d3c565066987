"""The operations of WebHDFS that Hadoop's client and Spark really call, each answered from the tree.

Knows the shape of every answer's JSON; nothing of sockets, of S3, or of how errors are told. There are no users and no
permissions, and what would need them is not answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from servo_emr.emulator.storage.hdfs_messages import Answer, Chunks, Request
from servo_emr.emulator.storage.s3tree import Entry, S3Tree

__all__ = ["OPERATIONS"]

_BLOCK = 128 * 1024 * 1024  # bytes; Hadoop splits files for its tasks by it


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


def _file_status(tree: S3Tree, request: Request) -> Answer:
    return Answer.of({"FileStatus": _status(tree.stat(request.path), "")})


def _statuses(tree: S3Tree, path: str) -> dict[str, Any]:
    try:
        statuses = [_status(entry, entry.name) for entry in tree.children(path)]
    except NotADirectoryError:  # the listing of a file is the file
        statuses = [_status(tree.stat(path), "")]
    return {"FileStatuses": {"FileStatus": statuses}}


def _list(tree: S3Tree, request: Request) -> Answer:
    return Answer.of(_statuses(tree, request.path))


def _list_batch(tree: S3Tree, request: Request) -> Answer:
    return Answer.of({"DirectoryListing": {"partialListing": _statuses(tree, request.path), "remainingEntries": 0}})


def _open(tree: S3Tree, request: Request) -> Answer:
    size, body = tree.read(request.path, request.number("offset") or 0, request.number("length"))
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    return Answer(HTTPStatus.OK, headers, Chunks(body) if size else ())


def _create(tree: S3Tree, request: Request) -> Answer:
    if not request.flag("data", default=False):
        tree.check_writable(request.path, overwrite=request.flag("overwrite", default=False))
        return Answer(HTTPStatus.TEMPORARY_REDIRECT, {"Location": request.here("data=true"), "Content-Length": "0"})
    with request.spool() as body:
        tree.write(request.path, body)
    return Answer(HTTPStatus.CREATED, {"Content-Length": "0"})


def _make_folder(tree: S3Tree, request: Request) -> Answer:
    tree.make_folder(request.path)
    return Answer.of({"boolean": True})


def _rename(tree: S3Tree, request: Request) -> Answer:
    target = request.text("destination", "")
    if not target.startswith("/"):
        raise ValueError(f"the destination of a rename must be an absolute path, not {target!r}")
    return Answer.of({"boolean": tree.rename(request.path, target.rstrip("/"))})


def _delete(tree: S3Tree, request: Request) -> Answer:
    return Answer.of({"boolean": tree.delete(request.path, recursive=request.flag("recursive", default=False))})


def _summary(tree: S3Tree, request: Request) -> Answer:
    folders, files, size = tree.totals(request.path)
    summary = {"directoryCount": folders, "fileCount": files, "length": size, "spaceConsumed": size}
    return Answer.of({"ContentSummary": {**summary, "quota": -1, "spaceQuota": -1}})


def _home(tree: S3Tree, request: Request) -> Answer:
    return Answer.of({"Path": "/user/hadoop"})


def _server_defaults(tree: S3Tree, request: Request) -> Answer:
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
    return Answer.of({"FsServerDefaults": defaults})


def _blocks(tree: S3Tree, request: Request) -> Answer:
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
    return Answer.of({"LocatedBlocks": blocks})


OPERATIONS: Mapping[tuple[str, str], Callable[[S3Tree, Request], Answer]] = {
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
