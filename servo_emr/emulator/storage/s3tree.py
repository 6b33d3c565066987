"""The objects of an S3 endpoint as a tree of folders and files, which is how Hadoop asks for them.

S3 has keys and no folders: here a folder is what some key lies in, or what was made and is still empty. Nothing here
knows HTTP or WebHDFS. Every method may be called from any thread; each is a handful of S3 calls, so what Hadoop expects
to be atomic (a rename above all) is not, as with the S3 connectors of a real cluster.

Paths are `/bucket` or `/bucket/key`. Failures are Python's own: FileNotFoundError, FileExistsError, IsADirectoryError,
NotADirectoryError, OSError(ENOTEMPTY), PermissionError, and OSError for whatever else S3 answers.
"""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from servo_emr.emulator.storage.folders import EmptyFolders

__all__ = ["Entry", "S3Tree"]

_ABSENT = ("404", "NoSuchKey", "NoSuchBucket", "NotFound")
_DENIED = ("403", "AccessDenied", "AllAccessDisabled")
_COPY_LIMIT = 5 * 1024**3  # bytes; S3 copies larger objects only in parts
_PUT_LIMIT = 16 * 1024**2  # bytes; larger ones go up in parts, which a small one need not pay for
_DELETE_LIMIT = 1000  # keys of one DeleteObjects call


@dataclass(frozen=True)
class Entry:
    """A file or a folder; `name` is the last element of its path, `modified` milliseconds since 1970 (0: a folder)."""

    name: str
    folder: bool
    size: int = 0
    modified: int = 0


class _OutOfRange(OSError):
    """S3 has no bytes in the range that was asked for."""


class S3Tree:
    """A file system's verbs over S3; `client` gives the boto3 client, one for the life of the process."""

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client
        self._empty = EmptyFolders()

    def stat(self, path: str) -> Entry:
        """What is there. Raises FileNotFoundError."""
        bucket, key = _split(path)
        with _failures(path):
            if not key:
                self._client().head_bucket(Bucket=bucket)
                return Entry(name=bucket, folder=True)
            with contextlib.suppress(FileNotFoundError), _failures(path):
                answer = self._client().head_object(Bucket=bucket, Key=key)
                return Entry(_name(key), False, answer["ContentLength"], _milliseconds(answer["LastModified"]))
        if self._empty.has(path) or self._has_keys(bucket, f"{key}/"):
            return Entry(name=_name(key), folder=True)
        raise FileNotFoundError(f"No such file or directory: s3:/{path}")

    def find(self, path: str) -> Entry | None:
        """What is there, None when nothing is."""
        try:
            return self.stat(path)
        except FileNotFoundError:
            return None

    def children(self, path: str) -> list[Entry]:
        """What lies directly in a folder, by name. Raises FileNotFoundError, and NotADirectoryError for a file."""
        bucket, key = _split(path)
        prefix = f"{key}/" if key else ""
        found: dict[str, Entry] = {}
        with _failures(path):
            paginator = self._client().get_paginator("list_objects_v2")
            for page in paginator.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
                for item in page.get("CommonPrefixes", ()):
                    name = item["Prefix"][len(prefix) : -1]
                    found[name] = Entry(name=name, folder=True)
                for item in page.get("Contents", ()):
                    name = item["Key"][len(prefix) :]
                    found[name] = Entry(name, False, item["Size"], _milliseconds(item["LastModified"]))
        marker = found.pop("", None)  # a key that ends with a slash, which some tools write for a folder
        for name in self._empty.children(path):
            found.setdefault(name, Entry(name=name, folder=True))
        if not found and marker is None and not self.stat(path).folder:
            raise NotADirectoryError(f"Path is not a directory: s3:/{path}")
        return [found[name] for name in sorted(found)]

    def totals(self, path: str) -> tuple[int, int, int]:
        """Folders (this one included), files and bytes below a path; of a file (0, 1, its size)."""
        entry = self.stat(path)
        if not entry.folder:
            return 0, 1, entry.size
        bucket, key = _split(path)
        prefix = f"{key}/" if key else ""
        folders, files, size = {""}, 0, 0
        with _failures(path):
            for name, length in self._keys(bucket, prefix):
                parts = name[len(prefix) :].split("/")
                folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
                files, size = files + bool(parts[-1]), size + length
        return len(folders), files, size

    def read(self, path: str, offset: int, length: int | None) -> tuple[int, Any]:
        """How many bytes of a file there are from `offset` on, and boto3's body with them: () when there are none.

        Raises FileNotFoundError, IsADirectoryError, and ValueError for an offset behind the end.
        """
        bucket, key = _split(path)
        if offset < 0 or length == 0 or not key:
            return 0, self._nothing_to_read(path, offset)
        asked = {"Range": f"bytes={offset}-{'' if length is None else offset + length - 1}"}
        try:
            with _failures(path):
                answer = self._client().get_object(Bucket=bucket, Key=key, **(asked if offset or length else {}))
        except (FileNotFoundError, _OutOfRange):
            return 0, self._nothing_to_read(path, offset)
        size, body = answer["ContentLength"], answer["Body"]
        if not size:
            body.close()
            return 0, ()
        return size, body

    def _nothing_to_read(self, path: str, offset: int) -> tuple[()]:
        """Nothing, where a file has nothing from `offset` on; otherwise raises why it cannot be read."""
        entry = self.stat(path)
        if entry.folder:
            raise IsADirectoryError(f"Path is not a file: s3:/{path}")
        if not 0 <= offset <= entry.size:
            raise ValueError(f"Offset={offset} out of the range [0, {entry.size}] of s3:/{path}")
        return ()

    def check_writable(self, path: str, *, overwrite: bool) -> None:
        """Raises FileExistsError when a folder, or without `overwrite` anything, is at the path."""
        entry = self.find(path)
        if entry is not None and (entry.folder or not overwrite):
            raise FileExistsError(f"s3:/{path} already exists as a {'folder' if entry.folder else 'file'}")

    def write(self, path: str, body: IO[bytes]) -> None:
        """Make a file of everything in `body`, which can be sought in, in place of what was there."""
        bucket, key = _split(path)
        if not key:
            raise IsADirectoryError(f"A bucket cannot be written to as a file: s3:/{path}")
        size = body.seek(0, io.SEEK_END)
        body.seek(0)
        with _failures(path):
            if size <= _PUT_LIMIT:
                self._client().put_object(Bucket=bucket, Key=key, Body=body)
            else:
                self._client().upload_fileobj(body, bucket, key)
        self._empty.filled_by(path)

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, unless it is there. Raises FileExistsError, NotADirectoryError."""
        entry = self.find(path)
        if entry is None:
            self._check_parents(path)
            self._empty.add(path)
        elif not entry.folder:
            raise FileExistsError(f"Path is not a directory: s3:/{path}")

    def rename(self, source: str, target: str) -> bool:
        """Move a file or a folder by copying; into `target` when that is a folder.

        False, as Hadoop has it, when there is no source, or the target is a file, the source itself or lies within it.
        """
        entry = self.find(source)
        if entry is None or not _split(source)[1]:
            return False
        there = self.find(target)
        if there is not None and there.folder:
            target = f"{target}/{entry.name}"
            there = self.find(target)
        if there is not None:
            return False
        if f"{target}/".startswith(f"{source}/"):
            return False
        self._move(source, target, entry)
        self._keep_folder(source.rpartition("/")[0])
        return True

    def _move(self, source: str, target: str, entry: Entry) -> None:
        bucket, key = _split(source)
        to_bucket, to_key = _split(target)
        with _failures(source):
            if not entry.folder:
                self._copy(bucket, key, entry.size, to_bucket, to_key)
                self._client().delete_object(Bucket=bucket, Key=key)
                self._empty.filled_by(target)
                return
            moved = list(self._keys(bucket, f"{key}/"))
            for name, size in moved:
                self._copy(bucket, name, size, to_bucket, to_key + name[len(key) :])
            self._delete(bucket, [name for name, _ in moved])
        self._empty.move(source, target)
        if moved:
            self._empty.filled_by(target)

    def delete(self, path: str, *, recursive: bool) -> bool:
        """Remove a file, or a folder with all in it; False when there is nothing, and for a bucket: that stays.

        Raises OSError(ENOTEMPTY) for a folder that is not empty, unless `recursive`.
        """
        entry = self.find(path)
        bucket, key = _split(path)
        if entry is None or not key:
            return False
        with _failures(path):
            if not entry.folder:
                self._client().delete_object(Bucket=bucket, Key=key)
            elif not recursive and self.children(path):
                raise OSError(errno.ENOTEMPTY, f"s3:/{path} is not empty")
            else:
                self._delete(bucket, [name for name, _ in self._keys(bucket, f"{key}/")])
        self._empty.remove(path)
        self._keep_folder(path.rpartition("/")[0])
        return True

    def _copy(self, bucket: str, key: str, size: int, to_bucket: str, to_key: str) -> None:
        source = {"Bucket": bucket, "Key": key}
        if size > _COPY_LIMIT:
            self._client().copy(source, to_bucket, to_key)
        else:
            self._client().copy_object(CopySource=source, Bucket=to_bucket, Key=to_key)

    def _delete(self, bucket: str, keys: list[str]) -> None:
        for begin in range(0, len(keys), _DELETE_LIMIT):
            batch = [{"Key": key} for key in keys[begin : begin + _DELETE_LIMIT]]
            answer = self._client().delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
            for error in answer.get("Errors", ()):
                raise OSError(f"S3 did not delete s3://{bucket}/{error['Key']}: {error['Message']}")

    def _keys(self, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
        """Every key below a prefix with its size in bytes."""
        for page in self._client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                yield item["Key"], item["Size"]

    def _has_keys(self, bucket: str, prefix: str) -> bool:
        with _failures(f"/{bucket}/{prefix}"):
            answer = self._client().list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
        return bool(answer["KeyCount"])

    def _check_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        while _split(parent)[1] and not self._empty.has(parent):
            entry = self.find(parent)
            if entry is not None and not entry.folder:
                raise NotADirectoryError(f"Parent path is not a directory: s3:/{parent}")
            if entry is not None:
                return
            parent = parent.rpartition("/")[0]
        self.stat(f"/{_split(path)[0]}")  # the bucket

    def _keep_folder(self, path: str) -> None:
        """Let a folder outlive the last thing that was in it, as it does in a file system."""
        bucket, key = _split(path)
        if key and not self._has_keys(bucket, f"{key}/"):
            self._empty.add(path)


def _split(path: str) -> tuple[str, str]:
    """Bucket and key of `/bucket/key`."""
    bucket, _, key = path.removeprefix("/").partition("/")
    if not bucket:
        raise FileNotFoundError(f"No bucket in the path {path!r}")
    return bucket, key


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _milliseconds(when: datetime) -> int:
    return int(when.timestamp() * 1000)


@contextlib.contextmanager
def _failures(path: str) -> Iterator[None]:
    """S3's errors as Python's, with the path they are about."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NoSuchBucket":
            raise FileNotFoundError(f"The bucket of s3:/{path} does not exist") from error
        if code in _ABSENT:
            raise FileNotFoundError(f"No such file or directory: s3:/{path}") from error
        if code == "InvalidRange":
            raise _OutOfRange(str(error)) from error
        if code in _DENIED:
            raise PermissionError(f"S3 denies access to s3:/{path}: {error}") from error
        raise OSError(f"S3 failed for s3:/{path}: {error}") from error
    except BotoCoreError as error:
        raise OSError(f"S3 cannot be reached for s3:/{path}: {error}") from error
