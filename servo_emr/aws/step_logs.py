"""`domain.logs.StepLogs` on S3: where EMR puts a step's logs, and how it packs them."""

from __future__ import annotations

import asyncio

from servo_emr.aws.door import Door, Refusal
from servo_emr.aws.gzipped import DAMAGED, pieces
from servo_emr.aws.uri import split_uri
from servo_emr.domain.errors import TooLarge
from servo_emr.domain.logs import LOG_NAMES, StepLog

__all__ = ["S3StepLogs"]

_LIMIT = 64 * 1024 * 1024
"""Bytes of one log that are read, and that are unpacked: a notebook may print without end."""


class S3StepLogs:
    """Logs below a log URI.

    Args:
        door: to S3.
    """

    def __init__(self, door: Door) -> None:
        self._door = door

    async def read(self, log_uri: str, cluster_id: str, step_id: str) -> tuple[StepLog, ...]:
        folder = f"{log_uri.rstrip('/')}/{cluster_id}/steps/{step_id}"
        return tuple(await asyncio.gather(*(self._log(name, f"{folder}/{name}.gz") for name in LOG_NAMES)))

    async def _log(self, name: str, uri: str) -> StepLog:
        bucket, key = split_uri(uri)
        try:
            answer = await self._door.call(
                "s3", "GetObject", expected=("NoSuchKey", "404"), most=_LIMIT, Bucket=bucket, Key=key
            )
        except Refusal:
            return StepLog(name, uri, None)
        except TooLarge as error:
            return StepLog(name, uri, f"[the log is too large to be shown, {error.size} bytes: aws s3 cp {uri} .]\n")
        return StepLog(name, uri, await asyncio.to_thread(_unpacked, answer["Body"]))


def _unpacked(body: bytes) -> str:
    """The text of a gzip body; of a damaged, cut or huge one what can be read, and a remark."""
    text, remark = bytearray(), ""
    try:
        for piece in pieces(body):
            text += piece
            if len(text) > _LIMIT:
                remark = f"\n[it goes on: this is the first {_LIMIT} bytes]\n"
                break
    except EOFError:
        remark = "\n[the log is cut off]\n"
    except DAMAGED as error:
        remark = f"\n[the log is damaged: {error}]\n"
    return text[:_LIMIT].decode(errors="replace") + remark
