"""An emulated clock that moves only while a servo sleeps on it, and then in long strides.

W then depends on what the servo does, not on how fast this machine is: every cycle makes the same calls, a servo that
is dead for some real seconds misses nothing, and nobody waits for anything but real processes.
"""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

__all__ = ["StrideClock"]


class Driven(Protocol):
    """An emulator whose W is driven by hand."""

    def now(self) -> float: ...

    def advance(self, seconds: float) -> float: ...


class StrideClock:
    """Answers GET /_emulator/clock for SERVO_EMR_CLOCK. A context manager.

    Args:
        emulator: its W is driven by hand.
        stride: seconds of W that a sleep takes at least.
    """

    def __init__(self, emulator: Driven, stride: float) -> None:
        self._emulator = emulator
        self.stride = stride
        self.moves = threading.Event()
        """While it is cleared, who sleeps goes on sleeping: for a minute of real time at most."""
        self.moves.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="stride", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def now(self, until: float | None) -> float:
        """W; with `until`, once it has come there and a stride has passed."""
        now = self._emulator.now()
        if until is None or now >= until:
            return now
        self.moves.wait(60.0)
        return self._emulator.advance(max(until - now, self.stride))

    def __enter__(self) -> StrideClock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(clock: StrideClock) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 64 * 1024

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            now = clock.now(float(query["until"][0]) if "until" in query else None)
            body = json.dumps({"now": now, "rate": 0.0}).encode()
            # The sleeper may have been killed meanwhile.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()
                return
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    return Handler
