"""The record of the API calls that the emulator answered. Knows what was called, not what it did."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from servo_emr.emulator.protocol.naming import asked_of

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["CallLog", "CallRecord", "Recorded"]

_KEPT = 100_000
_ERROR_CODE = re.compile(rb'<Code>([^<]+)</Code>|"__type"\s*:\s*"(?:[^"#]*#)?([^"]+)"')


@dataclass(frozen=True)
class CallRecord:
    """One call, answered."""

    service: str
    operation: str
    at: float  # W when the request came
    status: int  # 0: the connection was closed without an answer
    error: str | None
    caller: str | None  # the access key's id: the node's own calls carry another than a client's


class CallLog:
    """The last 100,000 calls, oldest first."""

    def __init__(self) -> None:
        self._calls: deque[CallRecord] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    def add(self, call: CallRecord) -> None:
        with self._lock:
            self._calls.append(call)

    def list(self, service: str | None = None, operation: str | None = None) -> list[dict[str, Any]]:
        with self._lock:
            calls = list(self._calls)
        return [
            asdict(call) for call in calls if service in (None, call.service) and operation in (None, call.operation)
        ]


class Recorded:
    """Wraps the application that answers AWS requests, and records each when it has been answered."""

    def __init__(self, application: WSGIApplication, log: CallLog, now: Callable[[], float]) -> None:
        self._application = application
        self._log = log
        self._now = now

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked = asked_of(environ)
        at = self._now()
        status = 0

        def start(line: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None) -> Any:
            nonlocal status
            status = int(line.split(" ", 1)[0])
            return start_response(line, headers, exc_info)

        def record(head: bytes) -> None:
            self._log.add(CallRecord(asked.signed, asked.operation, at, status, _error(status, head), asked.caller))

        try:
            answer = self._application(environ, start)
        except Exception:
            record(b"")
            raise
        return self._finish(answer, record)

    @staticmethod
    def _finish(answer: Iterable[bytes], record: Callable[[bytes], None]) -> Iterator[bytes]:
        head = b""
        try:
            for chunk in answer:
                head = head or chunk[:4096]
                yield chunk
        finally:
            close: Callable[[], Any] | None = getattr(answer, "close", None)
            if close is not None:
                close()
            record(head)


def _error(status: int, body: bytes) -> str | None:
    if status < 400:
        return None
    match = _ERROR_CODE.search(body)
    return (match[1] or match[2]).decode() if match else str(status)
