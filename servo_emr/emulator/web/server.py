"""HTTP/1.1 for a WSGI application, on loopback by default: connections stay open, one thread each, no delay by Nagle.

Knows HTTP only. werkzeug's own server closes every connection after one answer; this one reads what is left of a
request's body and goes on.
"""

from __future__ import annotations

import io
import socketserver
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Any, cast

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import DechunkedInput

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import WSGIApplication

__all__ = ["Server"]

# A body that the application did not read is read away up to this; beyond it the connection is closed instead.
_DRAINED = 8 * 1024 * 1024


class Server(socketserver.ThreadingTCPServer):
    """Raises OSError when the port cannot be had."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    # What werkzeug's request handler asks of its server.
    multithread = True
    multiprocess = False
    ssl_context = None
    passthrough_errors = False

    def __init__(self, port: int, application: WSGIApplication, *, host: str = "127.0.0.1") -> None:
        self.app = application
        super().__init__((host, port), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news; anything else is a defect, and is shown."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            traceback.print_exc()


class _Body(io.RawIOBase):
    """Exactly the bytes of one request's body."""

    def __init__(self, stream: Any, length: int) -> None:
        self._stream = stream
        self.left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(min(len(buffer), self.left))
        if not data and self.left:
            raise ConnectionResetError("the client went away in the middle of a request")
        self.left -= len(data)
        buffer[: len(data)] = data
        return len(data)


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    server_version = "servo-emr-emulator"
    sys_version = ""

    def handle_expect_100(self) -> bool:
        """The client holds its body back until it hears this: it must not wait in the buffer."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def run_wsgi(self) -> None:
        if not (self.headers.get("Content-Length") or "0").isdecimal():
            self.send_error(400, "Content-Length is not a number")
            return
        self.environ = environ = self.make_environ()
        stream = cast(IO[bytes], io.BufferedReader(self._body()))
        environ["wsgi.input"] = stream
        environ["wsgi.input_terminated"] = True
        _Answer(self).send(self.server.app, environ)
        self.wfile.flush()
        self._drain(stream)

    def _body(self) -> io.RawIOBase:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return DechunkedInput(cast(IO[bytes], self.rfile))
        return _Body(self.rfile, int(self.headers.get("Content-Length") or 0))

    def _drain(self, stream: IO[bytes]) -> None:
        if stream.closed:
            self.close_connection = True
            return
        left = _DRAINED
        while left > 0:
            data = stream.read(min(left, 65536))
            if not data:
                return
            left -= len(data)
        self.close_connection = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: /_emulator/calls shows what was called."""


class _Answer:
    """One answer on its way out."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler
        self._status: str | None = None
        self._headers: list[tuple[str, str]] = []
        self._begun = False
        self._chunked = False

    def send(self, application: WSGIApplication, environ: dict[str, Any]) -> None:
        answer: Iterable[bytes] = ()
        try:
            answer = application(environ, self._start)
            for data in answer:
                self._write(data)
            self._write(b"", last=True)
        except ConnectionError:
            self._handler.close_connection = True
            raise
        except Exception:  # noqa: BLE001
            # A defect of the emulator. The client gets an answer if none has begun, and a broken one otherwise.
            traceback.print_exc()
            self._handler.close_connection = True
            if not self._begun:
                self._status, self._headers = "500 Internal Server Error", [("Content-Length", "0")]
                self._write(b"", last=True)
        finally:
            close: Callable[[], Any] | None = getattr(answer, "close", None)
            if close is not None:
                close()

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None) -> Any:
        if self._begun and exc_info is not None and exc_info[1] is not None:
            raise exc_info[1]
        self._status, self._headers = status, headers
        return self._write

    def _write(self, data: bytes, *, last: bool = False) -> None:
        out = self._handler.wfile
        if not self._begun and (data or last):
            self._begin()
        if self._handler.command == "HEAD":
            return
        if not self._chunked:
            out.write(data)
            return
        if data:
            out.write(b"%x\r\n%b\r\n" % (len(data), data))
        if last:
            out.write(b"0\r\n\r\n")

    def _begin(self) -> None:
        if self._status is None:
            raise AssertionError("the application answered without a status")
        self._begun = True
        code_text, _, phrase = self._status.partition(" ")
        code = int(code_text)
        self._handler.send_response_only(code, phrase)
        self._handler.send_header("Server", self._handler.server_version)
        names = set()
        for name, value in self._headers:
            names.add(name.lower())
            self._handler.send_header(name, value)
        if "date" not in names:
            self._handler.send_header("Date", self._handler.date_time_string())
        bodiless = self._handler.command == "HEAD" or code < 200 or code in (204, 304)
        if "content-length" not in names and not bodiless:
            self._chunked = self._handler.request_version >= "HTTP/1.1"
            if self._chunked:
                self._handler.send_header("Transfer-Encoding", "chunked")
            else:
                self._handler.close_connection = True
        if self._handler.close_connection:
            self._handler.send_header("Connection", "close")
        self._handler.end_headers()
