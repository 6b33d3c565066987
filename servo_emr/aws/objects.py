"""Objects under one S3 prefix: listed, read, written under a condition; an error of the bucket's names its place.

Knows no document. Nothing outside the prefix is ever written, and nothing is deleted at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from servo_emr.aws.door import Door, Refusal, understood
from servo_emr.aws.uri import split_uri
from servo_emr.domain.errors import OperatorError, Reason, RunError, TooLarge, failure

__all__ = ["ABSENT", "Objects"]

ABSENT = ("NoSuchKey", "404", "NotFound")
_BEATEN = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")


class Objects:
    """The objects of a workspace, by their keys below its prefix; an object's version is its ETag.

    Args:
        door: to S3.
        uri: s3://bucket/prefix without a trailing slash.
    """

    def __init__(self, door: Door, uri: str) -> None:
        self.uri = uri
        self._door = door
        self._bucket, prefix = split_uri(uri)
        self._prefix = f"{prefix}/" if prefix else ""

    @property
    def emulated(self) -> bool:
        """Whether what has answered so far is an emulator."""
        return self._door.emulated

    async def versions(self, folder: str, after: str = "") -> dict[str, str]:
        """Key -> version of what is in a folder, of keys after `after` only, in the order of the keys."""
        start: dict[str, Any] = {"StartAfter": self._prefix + after} if after else {}
        listing = self._door.pages(
            "s3", "ListObjectsV2", "Contents", sign="Name", Bucket=self._bucket, Prefix=self._prefix + folder, **start
        )
        with self._placed(), understood("s3:ListObjectsV2"):
            return {item["Key"].removeprefix(self._prefix): item["ETag"] async for item in listing}

    async def get(self, key: str, limit: int | None = None) -> tuple[bytes, str] | None:
        """(body, version) of an object, or None.

        Raises:
            TooLarge: it has more than `limit` bytes.
        """
        with self._placed():
            return await self._get(self._bucket, self._prefix + key, limit)

    async def several(self, keys: Sequence[str], limit: int) -> list[tuple[bytes, str] | RunError | TooLarge | None]:
        """What became of each of some objects that are read one after another, an error in its place."""
        asked = [{"Bucket": self._bucket, "Key": self._prefix + key} for key in keys]
        answers = await self._door.each("s3", "GetObject", expected=ABSENT, most=limit, many=asked)
        return [self._answered(answer) for answer in answers]

    def _answered(self, answer: Any) -> tuple[bytes, str] | RunError | TooLarge | None:
        if isinstance(answer, Refusal):
            return None
        if isinstance(answer, TooLarge):
            return answer
        try:
            with self._placed():
                if isinstance(answer, RunError):
                    raise answer
                return _read(answer)
        except RunError as error:
            return error

    async def elsewhere(self, uri: str, limit: int) -> bytes | None:
        """The body of any object, or None. Raises TooLarge."""
        found = await self._get(*split_uri(uri), limit)
        return None if found is None else found[0]

    async def _get(self, bucket: str, key: str, limit: int | None) -> tuple[bytes, str] | None:
        try:
            return _read(await self._door.call("s3", "GetObject", expected=ABSENT, most=limit, Bucket=bucket, Key=key))
        except Refusal:
            return None

    async def put(self, key: str, body: bytes) -> None:
        """Writes an object, whatever is there."""
        with self._placed(), understood("s3:PutObject"):
            (await self._door.call("s3", "PutObject", Bucket=self._bucket, Key=self._prefix + key, Body=body))["ETag"]

    async def replace(self, key: str, body: bytes, expected: str | None, kind: str) -> str:
        """Writes an object of a content type if its version is still `expected` (None: if there is none); returns the
        new version.

        Raises:
            Refusal: it is not.
        """
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
        answer = await self._door.call(
            "s3",
            "PutObject",
            expected=(*_BEATEN, *ABSENT),
            Bucket=self._bucket,
            Key=self._prefix + key,
            Body=body,
            ContentType=kind,
            **condition,
        )
        with understood("s3:PutObject"):
            return str(answer["ETag"])

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


def _read(answer: Any) -> tuple[bytes, str]:
    """(body, version) that S3 has answered with."""
    with understood("s3:GetObject"):
        # Whoever else answers in S3's place has no ETag: his page must not pass for the object.
        return answer["Body"], answer["ETag"]
