"""The HTTP side: who may speak, how much, and to whom a refusal is told how.

servox asks again hundreds of times a second when WHATS_NEXT is answered with most 4xx, and leaves a running cluster
alone when a progress report is answered with 410; so HELLO and WHATS_NEXT are refused with the one 410 that makes it
sleep for an hour, and nothing else is.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from servo_emr.optimizer.create_cluster import Command
from servo_emr.optimizer.flow import Flow
from servo_emr.optimizer.page import HEADERS, page
from servo_emr.optimizer.peers import Peer
from servo_emr.optimizer.status import status, waiting
from servo_emr.optimizer.wire import Garbage, Message

__all__ = ["Access", "make_app"]

_LOG = logging.getLogger("servo_emr.optimizer")
MOST_BYTES = 1 << 20
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_ASKS = ("HELLO", "WHATS_NEXT")
UNEXPECTED = "unexpected servo_uid"
"""In the detail of a 410: what servox takes for an order to sleep."""


@dataclass
class Access:
    """Who may speak.

    Args:
        token, application: None: the first servo's, for as long as this process lives. Only on loopback.
        open_page: whether the page is shown without the token.
        hosts: names, beside loopback's, under which it may be addressed.
    """

    token: str | None = None
    application: str | None = None
    open_page: bool = True
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def refuses(self, token: str | None, application: str) -> tuple[int, str] | None:
        """The status and the reason of a refusal, or None. Where nobody is known, the first servo is believed."""
        with self._lock:
            if not token or (self.token is not None and not _same(token, self.token)):
                return 401, "the token is not this optimizer's"
            if self.application is not None and application != self.application:
                return 403, "this optimizer serves another account or application"
            if self.token is None or self.application is None:
                _LOG.warning("taken at its word, as the first servo to come: %r", application[:200])
            self.token, self.application = token, application
            return None

    def knows(self, token: str | None) -> bool:
        """Whether a person has the token."""
        return bool(token) and self.token is not None and _same(str(token), self.token)

    def refuses_host(self, request: Request) -> bool:
        """A page of somebody else's in a browser of this machine: its Host, or its Origin, gives it away."""
        host = request.headers.get("host", "")
        if _name(host) not in (*_LOOPBACK, *self.hosts):
            return True
        origin = request.headers.get("origin")
        try:
            return origin is not None and urlsplit(origin).netloc != host
        except ValueError:  # such as http://[
            return True


def make_app(access: Access, flow_for: Callable[[str], Flow], command: Command) -> Starlette:
    """The application. `flow_for` opens the study of ACCOUNT/APPLICATION; it is asked once for each. `command` makes a
    command of what is recommended."""
    return _Server(access, flow_for, command).app


class _Server:
    def __init__(self, access: Access, flow_for: Callable[[str], Flow], command: Command) -> None:
        self._access, self._flow_for, self._command = access, flow_for, command
        self._flows: dict[str, Flow] = {}
        self._opening = threading.Lock()
        self.app = Starlette(
            routes=[
                Route("/accounts/{account}/applications/{application:path}/servo", self._servo, methods=["POST"]),
                Route("/", self._page, methods=["GET"]),
                Route("/status.json", self._status, methods=["GET"]),
                Route("/{order}", self._order, methods=["POST"]),
            ]
        )
        if access.application is not None:
            self._flow(access.application)

    async def _servo(self, request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return _json(413, {"status": "invalid", "reason": f"a body has at most {MOST_BYTES} bytes"})
        message, garbage = None, ""
        try:
            message = Message.parse(body)
        except Garbage as error:
            garbage = str(error)
        application = f"{request.path_params['account']}/{request.path_params['application']}"
        refused: tuple[int, str] | None = (403, "addressed by a name that is not this optimizer's")
        if not self._access.refuses_host(request):
            refused = self._access.refuses(_bearer(request), application) if message else self._stranger(request)
        if refused is not None:
            return _refused(message, *refused)
        if message is None:
            return _json(400, {"status": "invalid", "reason": garbage})
        client = request.client
        peer = Peer(message.servo_uid, None if client is None else (client.host, client.port))
        try:
            answer = await run_in_threadpool(lambda: self._flow(application).answer(message, peer))
        except Exception:  # noqa: BLE001 - 503: servox sends the same again, and nothing of it is lost
            _LOG.exception("%s could not be answered", message.event[:64])
            return _json(503, {"status": "invalid", "reason": "the optimizer failed; its log says how"})
        return _json(200, answer)

    def _stranger(self, request: Request) -> tuple[int, str] | None:
        """Of a body that says nothing: a token that is known is told so, any other is refused."""
        return None if self._access.knows(_bearer(request)) else (401, "the token is not this optimizer's")

    def _flow(self, application: str) -> Flow:
        with self._opening:
            if application not in self._flows:
                self._flows[application] = self._flow_for(application)
            return self._flows[application]

    async def _page(self, request: Request) -> Response:
        accepts = request.headers.get("accept", "")
        wants_json = request.query_params.get("format") == "json" or (
            "application/json" in accepts and "text/html" not in accepts
        )
        if wants_json:
            return await self._status(request)
        refused = self._refused_person(request)
        if refused is not None:
            return refused
        text = page(await run_in_threadpool(self._document), still="still" in request.query_params)
        return Response(text.encode("utf-8", "replace"), headers=HEADERS, media_type="text/html")

    async def _status(self, request: Request) -> Response:
        return self._refused_person(request) or _json(200, await run_in_threadpool(self._document))

    def _document(self) -> dict[str, Any]:
        flow = next(iter(self._flows.values()), None)
        return waiting(self._access.application) if flow is None else status(flow, self._command)

    async def _order(self, request: Request) -> Response:
        """POST /cancel, /pause, /resume: a person's orders, which take the token."""
        if self._access.refuses_host(request):
            return _json(403, {"error": "addressed by a name that is not this optimizer's"})
        if not self._access.knows(_credential(request)):
            return _unauthorized()
        flow, order = next(iter(self._flows.values()), None), request.path_params["order"]
        if order not in ("cancel", "pause", "resume"):
            return _json(404, {"error": f"no such order: {order[:64]}; there are cancel, pause, resume"})
        if flow is None:
            return _json(409, {"error": "no servo has come yet"})
        return _json(*await run_in_threadpool(_obey, flow, order))

    def _refused_person(self, request: Request) -> Response | None:
        if self._access.refuses_host(request):
            return _json(403, {"error": "addressed by a name that is not this optimizer's"})
        if self._access.open_page or self._access.knows(_credential(request)):
            return None
        return _unauthorized()


def _obey(flow: Flow, order: str) -> tuple[int, dict[str, Any]]:
    if order == "pause":
        flow.pause("a person has paused it; POST /resume goes on")
        return 200, {"done": "paused: no further command goes out"}
    done = flow.resume() if order == "resume" else flow.cancel("a person has cancelled this trial")
    if not done:
        return 409, {"error": "nothing is stopped" if order == "resume" else "no trial is running"}
    told = "goes on" if order == "resume" else "cancelled: its servo is told with its next progress report"
    return 200, {"done": told}


def _refused(message: Message | None, code: int, reason: str) -> Response:
    if message is not None and message.event in _ASKS:
        return _json(410, {"detail": UNEXPECTED, "status": "invalid", "reason": reason})
    return _json(code, {"status": "invalid", "reason": reason})


def _unauthorized() -> Response:
    answer = _json(401, {"error": "needs the token: Authorization: Bearer TOKEN, or as a password of any user"})
    answer.headers["WWW-Authenticate"] = 'Basic realm="servo-emr optimizer", charset="UTF-8"'
    return answer


def _json(code: int, document: Mapping[str, Any]) -> Response:
    return Response(json.dumps(document, allow_nan=False), code, media_type="application/json")


async def _body(request: Request) -> bytes | None:
    """The body; None when it is larger than any servo's."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > MOST_BYTES:
            return None
    return bytes(found)


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _credential(request: Request) -> str | None:
    """The token as a servo gives it, or as a browser does: as a password."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return _bearer(request)
    try:
        return base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return None


def _same(one: str, other: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdigit() else host.lower()
