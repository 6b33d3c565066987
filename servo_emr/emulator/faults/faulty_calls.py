"""The one place where faults meet calls: around the application that answers every AWS service.

Knows HTTP and what a fault does to an answer; neither operations nor clusters.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, assert_never

from servo_emr.emulator.faults.alteration import Alteration
from servo_emr.emulator.faults.calls import CallFault, Drop, Refuse, Skew, Slow
from servo_emr.emulator.faults.set import Faults
from servo_emr.emulator.protocol.errors import AwsError
from servo_emr.emulator.protocol.naming import Asked, asked_of
from servo_emr.emulator.protocol.service_errors import Trouble, error_answer, error_of

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["FaultyCalls", "ReplyDropped"]


class ReplyDropped(ConnectionError):
    """The connection is to be closed without an answer."""


@dataclass(frozen=True)
class _Answer:
    """An answer held back."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    def give(self, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status, self.headers)
        return [self.body]


class FaultyCalls:
    """Wraps the application that answers AWS requests."""

    def __init__(self, application: WSGIApplication, faults: Faults, now: Callable[[], float]) -> None:
        """`now`: W."""
        self._application = application
        self._faults = faults
        self._now = now

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked = asked_of(environ)
        struck = self._faults.strike(asked, self._now())
        if struck is None:
            return self._application(environ, start_response)
        return self._strike(struck, asked, environ).give(start_response)

    def _strike(self, struck: CallFault, asked: Asked, environ: WSGIEnvironment) -> _Answer:
        """What the client gets. Raises ReplyDropped."""
        blow = struck.blow
        if isinstance(blow, Slow):
            if struck.before:
                time.sleep(blow.seconds)
                return self._answer(environ)
            answer = self._answer(environ)
            time.sleep(blow.seconds)
            return answer
        answer = _NOTHING if struck.before else self._answer(environ)
        if isinstance(blow, Drop):
            raise ReplyDropped(f"a fault drops the answer of {asked.service}:{asked.operation}")
        if isinstance(blow, Refuse):
            return _refusal(blow.error(asked), asked, environ)
        if isinstance(blow, Skew):
            date = formatdate(time.time() + blow.seconds, usegmt=True)
            return _refusal(error_of(Trouble.SKEWED, asked), asked, environ, ("Date", date))
        if isinstance(blow, Alteration):
            return _altered(answer, blow)
        assert_never(blow)

    def _answer(self, environ: WSGIEnvironment) -> _Answer:
        """The application's, read whole."""
        status, headers = "", []

        def start(line: str, fields: list[tuple[str, str]], exc_info: OptExcInfo | None = None) -> Any:
            nonlocal status, headers
            status, headers = line, fields

        answer = self._application(environ, start)
        try:
            body = b"".join(answer)
        finally:
            close: Callable[[], Any] | None = getattr(answer, "close", None)
            if close is not None:
                close()
        return _Answer(status, headers, body)


_NOTHING = _Answer("", [], b"")


def _refusal(error: AwsError, asked: Asked, environ: WSGIEnvironment, *more: tuple[str, str]) -> _Answer:
    status, headers, body = error_answer(error, asked.service, is_json="HTTP_X_AMZ_TARGET" in environ)
    return _Answer(status, [*headers, *more], body)


def _altered(answer: _Answer, alteration: Alteration) -> _Answer:
    """Errors stay as they are."""
    if not answer.status.startswith("200"):
        return answer
    document = json.loads(answer.body)
    alteration.apply(document)
    body = json.dumps(document).encode()
    headers = [(name, value) for name, value in answer.headers if name.lower() != "content-length"]
    return _Answer(answer.status, [*headers, ("Content-Length", str(len(body)))], body)
