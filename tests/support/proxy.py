"""An HTTP proxy between a servo and the emulator: it names and numbers the servo's calls, and can come between.

The product has no hook for tests: what a call meets on its way is decided here. The emulated nodes do not come by here;
they call the emulator themselves.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["Call", "Proxy", "named"]

_PATIENCE = 60.0
_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "expect", "host", "content-length"}
When = Literal["before", "after"]


@dataclass(frozen=True)
class Call:
    """One call: its number, 0 for a renewal of the lease; service and operation by AWS's names; an S3 call's key."""

    number: int
    service: str
    operation: str
    key: str

    def __str__(self) -> str:
        return f"{self.service}:{self.operation}" + (f" {self.key}" if self.key else "")


@dataclass
class _Trap:
    when: When
    matches: Callable[[Call], bool]
    act: Callable[[Call], None]
    drop: bool


def named(operation: str, ending: str = "", nth: int = 1) -> Callable[[Call], bool]:
    """Matches the nth call of that operation whose key ends so."""
    seen = 0

    def matches(call: Call) -> bool:
        nonlocal seen
        if call.operation != operation or not call.key.endswith(ending):
            return False
        seen += 1
        return seen == nth

    return matches


class Proxy:
    """A server on a free port of 127.0.0.1 that passes on what comes to the emulator at a URL. A context manager."""

    def __init__(self, target: str) -> None:
        split = urlsplit(target)
        self.host, self.port = str(split.hostname), int(split.port or 80)
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._number = 0
        self._leased = False
        self._traps: list[_Trap] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="proxy", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def calls(self, operation: str | None = None) -> list[Call]:
        """The numbered calls since the last `reset`, oldest first."""
        with self._lock:
            return [call for call in self._calls if operation in (None, call.operation)]

    def reset(self) -> None:
        """Numbers begin at 1 again; no trap is left."""
        with self._lock:
            self._calls, self._traps, self._number, self._leased = [], [], 0, False

    def trap(self, when: When, matches: Callable[[Call], bool], act: Callable[[Call], None], drop: bool = True) -> None:
        """Once, for the first call that matches: `act` is called before it is passed on, or after its answer has come.

        `drop`: then it is not passed on, or its answer is not: the caller's connection is closed.
        """
        with self._lock:
            self._traps.append(_Trap(when, matches, act, drop))

    @property
    def cut(self) -> _Trap:
        """A trap that cuts a call off before it is passed on, and does nothing else."""
        return _Trap("before", lambda call: True, lambda call: None, True)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def entered(self, service: str, operation: str, key: str) -> tuple[Call, _Trap | None]:
        """Numbers a call; the trap that it has stepped into. Called by the server's threads."""
        with self._lock:
            lease = operation == "PutObject" and key.endswith("/lease.json")
            renewal = lease and self._leased
            self._leased = self._leased or lease
            if not renewal:
                self._number += 1
            call = Call(0 if renewal else self._number, service, operation, key)
            if not renewal:
                self._calls.append(call)
            trap = next((trap for trap in self._traps if trap.matches(call)), None)
            if trap is not None:
                self._traps.remove(trap)
            return call, trap


def _names(method: str, path: str, headers: Any, body: bytes) -> tuple[str, str, str]:
    """(service, operation, key) of a request."""
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request", headers.get("Authorization", ""))
    service = scope[1] if scope else "s3"
    if target := headers.get("X-Amz-Target"):
        return service, target.rpartition(".")[2], ""
    if service != "s3":
        action = parse_qs(body.decode(errors="replace")).get("Action", ["?"])[0]
        return service, action, ""
    split = urlsplit(path)
    _, _, key = unquote(split.path).lstrip("/").partition("/")
    if method == "GET" and "list-type" in parse_qs(split.query):
        return service, "ListObjectsV2", ""
    return service, {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject"}.get(method, method), key


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 64 * 1024

        def handle_one_request(self) -> None:
            # A client that was killed leaves half a request behind.
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()
                return
            self.close_connection = True

        def handle_expect_100(self) -> bool:
            going_on = super().handle_expect_100()
            self.wfile.flush()
            return going_on

        def _pass(self) -> None:
            body = self._body()
            call, trap = proxy.entered(*_names(self.command, self.path, self.headers, body))
            if trap is not None and trap.when == "before":
                trap.act(call)
                if trap.drop:
                    self._hang_up()
                    return
            answer, content = self._forward(body)
            if trap is not None and trap.when == "after":
                trap.act(call)
                if trap.drop:
                    self._hang_up()
                    return
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body

        def _forward(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
            connection = http.client.HTTPConnection(proxy.host, proxy.port, timeout=_PATIENCE)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                return answer, answer.read()
            finally:
                connection.close()

        def _hang_up(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing: the calls are on record."""

    return Handler
