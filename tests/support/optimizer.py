"""A scripted optimizer: the servo protocol over HTTP on loopback, its commands in the order that a test wrote.

Keeps to what a real optimizer sends: `control` with every command that takes one, `data` with every SLEEP, `ok` to
everything that is no question. Knows nothing of EMR; what comes in is kept as it came.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

__all__ = ["HTTP_STATUS", "Command", "Optimizer", "Received", "adjust", "describe", "measure"]

HTTP_STATUS = "http_status"
"""In an answer of `Optimizer.answer`: the HTTP status to give it with, instead of 200."""

_SLEEP_S = 0.1  # how long servo sleeps when there is nothing to do
_HOLD_S = 2.0  # how long a question is held open for a command to come


@dataclass(frozen=True)
class Command:
    """One command: its name and its param, as they go out."""

    name: str
    param: Mapping[str, Any]


@dataclass(frozen=True)
class Received:
    """One body: `at` is real time, `text` the body as it came, `authorization` and `path` the request's."""

    at: float
    path: str
    authorization: str
    text: str

    @property
    def event(self) -> str:
        return str(json.loads(self.text)["event"])

    @property
    def param(self) -> Any:
        return json.loads(self.text)["param"]


def describe() -> Command:
    return Command("DESCRIBE", {"control": {}})


def adjust(settings: Mapping[str, Any]) -> Command:
    """`settings` by selector: {"core.replicas": 4}."""
    components: dict[str, Any] = {}
    for selector, value in settings.items():
        component, _, name = selector.partition(".")
        components.setdefault(component, {"settings": {}})["settings"][name] = {"value": value}
    return Command("ADJUST", {"state": {"application": {"components": components}}, "control": {}})


def measure(metrics: Iterable[str] = (), userdata: Mapping[str, Any] | None = None) -> Command:
    """`userdata` goes out as control.userdata.emr."""
    control: dict[str, Any] = {"duration": 60, "past": 0, "warmup": 0}
    if userdata is not None:
        control["userdata"] = {"emr": dict(userdata)}
    return Command("MEASURE", {"metrics": list(metrics), "control": control})


class Optimizer:
    """A server on a free port of 127.0.0.1. Usable as a context manager; `ask` may be called at any time.

    A command is outstanding until its result; a servo that says HELLO meanwhile gets it again under a new uid.
    """

    def __init__(self, script: Iterable[Command] = ()) -> None:
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self._received: list[Received] = []
        self._waiting: deque[tuple[str, Command]] = deque()
        self._outstanding: tuple[str, Command] | None = None
        self._results: dict[str, dict[str, Any]] = {}
        self._closed = False
        for command in script:
            self.ask(command)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, name="optimizer", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def ask(self, command: Command) -> str:
        """Appends a command to the script; its uid, by which its result is had."""
        with self._changed:
            uid = f"cmd-{next(self._numbers)}"
            self._waiting.append((uid, command))
            self._changed.notify_all()
        return uid

    def result(self, uid: str, patience: float) -> dict[str, Any]:
        """The param of a command's result, waited for at most `patience` real seconds."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: uid in self._results, timeout=patience)
            if not arrived:
                raise AssertionError(f"no result of {uid} after {patience:g} s; received {self._received[-5:]}")
            return self._results[uid]

    def received(self, event: str | None = None) -> list[Received]:
        """The bodies so far, oldest first."""
        with self._changed:
            return [body for body in self._received if event in (None, body.event)]

    def progress(self, uid: str) -> list[dict[str, Any]]:
        """The params of a command's progress reports, in the order of their arrival."""
        return [
            body.param
            for body in self.received()
            if isinstance(body.param, dict) and "progress" in body.param and body.param.get("cmd_uid") == uid
        ]

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Optimizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def answer(self, body: Received) -> dict[str, Any]:
        """What goes back for a body. Called by the server's threads."""
        event, param = body.event, body.param
        with self._changed:
            self._received.append(body)
            if event == "WHATS_NEXT":
                return self._next()
            if event == "HELLO" and self._outstanding is not None:
                self._waiting.appendleft((f"cmd-{next(self._numbers)}", self._outstanding[1]))
                self._outstanding = None
            if isinstance(param, dict) and "status" in param and "progress" not in param:
                self._results[param["cmd_uid"]] = param
                if self._outstanding is not None and self._outstanding[0] == param["cmd_uid"]:
                    self._outstanding = None
            self._changed.notify_all()
        return {"status": "ok"}

    def _next(self) -> dict[str, Any]:
        self._changed.wait_for(lambda: self._closed or (self._waiting and self._outstanding is None), timeout=_HOLD_S)
        if self._outstanding is None and self._waiting:
            self._outstanding = self._waiting.popleft()
            uid, command = self._outstanding
            return {"cmd": command.name, "cmd_uid": uid, "param": dict(command.param)}
        return {"cmd": "SLEEP", "param": {"duration": _SLEEP_S, "data": {"reason": "nothing to do"}}}


def _handler(optimizer: Optimizer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            body = Received(time.time(), self.path, self.headers.get("Authorization", ""), text)
            told = dict(optimizer.answer(body))
            status = int(told.pop(HTTP_STATUS, 200))
            answer = json.dumps(told).encode()
            # A servo that was told to stop does not wait for the answer to its last question.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing: what was received is on record."""

    return Handler
