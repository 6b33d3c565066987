"""What the small JSON 1.1 services have in common: the wire protocol, checking by botocore's model, pages of results.

Knows no operation: a service is its handlers.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from servo_emr.emulator.protocol.errors import AwsError
from servo_emr.emulator.protocol.naming import asked_of, scope_of
from servo_emr.emulator.protocol.shapes import Shapes

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["LARGEST_PAGE", "Handler", "JsonService", "page"]

LARGEST_PAGE = 100

Handler = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""From the region that a request was signed for, and its checked members, to the answer. Raises AwsError."""

T = TypeVar("T")


class JsonService:
    """Answers signed requests of one service; `service` is its name in botocore."""

    def __init__(self, service: str, handlers: Mapping[str, Handler]) -> None:
        self._service = service
        self._handlers = handlers
        self._shapes = Shapes(service)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            answer, status = self._answer(environ), "200 OK"
        except AwsError as error:
            status = f"{error.status} {error.code}"
            answer = {"__type": error.code, "message": error.message}
        body = json.dumps(answer).encode()
        headers = [
            ("Content-Type", "application/x-amz-json-1.1"),
            ("Content-Length", str(len(body))),
            ("x-amzn-RequestId", secrets.token_hex(16)),
        ]
        start_response(status, headers)
        return [body]

    def _answer(self, environ: WSGIEnvironment) -> dict[str, Any]:
        scope = scope_of(environ)
        if scope is None:
            raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        operation = asked_of(environ).operation
        handler = self._handlers.get(operation)
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            raise AwsError(
                "UnknownOperationException",
                f"This emulator has no operation {operation} of {self._service}; it has {known}.",
            )
        try:
            document = json.loads(environ["wsgi.input"].read() or b"{}")
        except ValueError as error:
            raise AwsError("SerializationException", f"The request is not JSON: {error}") from None
        request = self._shapes.check_request(operation, document)
        return self._shapes.shape_answer(operation, handler(scope.region, request))


def page(
    items: Sequence[T], request: Mapping[str, Any], wrong_token: str, largest: int = LARGEST_PAGE
) -> tuple[Sequence[T], str | None]:
    """The items that MaxResults and NextToken ask for, and the token of the next page if there is one.

    A token says how many items went before: it is good for what does not change. `wrong_token` is the code of the
    AwsError for one that is none of ours.
    """
    size = int(request.get("MaxResults", largest))
    token = request.get("NextToken")
    start = 0 if token is None else _decode(token, wrong_token)
    end = start + size
    more = end < len(items)
    return items[start:end], base64.b64encode(f"after {end}".encode()).decode() if more else None


def _decode(token: str, wrong_token: str) -> int:
    try:
        words = base64.b64decode(token, validate=True).decode().split(" ")
    except (binascii.Error, UnicodeError):
        words = []
    if len(words) == 2 and words[0] == "after" and words[1].isdecimal():
        return int(words[1])
    raise AwsError(wrong_token, f"The token {token!r} is not one of ours; ask without NextToken for the first page.")
