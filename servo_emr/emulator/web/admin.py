"""The emulator's own routes under /_emulator: clock, calls, state, rows, faults. For tests, the demo and people.

A page in a browser cannot use them: requests with an Origin, or for a host that is not loopback, do not get here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from servo_emr.emulator.faults.set import Faults, WrongFault
from servo_emr.emulator.web.calls import CallLog
from servo_emr.emulator.web.rows import cluster_row, instance_rows, step_rows
from servo_emr.emulator.world.driver import Driver
from servo_emr.emulator.world.records import Cluster

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["ADMIN_PREFIX", "Admin"]

ADMIN_PREFIX = "/_emulator/"
_LONGEST_WAIT = 60.0  # real seconds of one long poll


class _Wrong(Exception):
    """A request that makes no sense, in words, with its status."""

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


class Admin:
    """A WSGI application."""

    def __init__(self, driver: Driver, calls: CallLog, faults: Faults) -> None:
        self._driver = driver
        self._calls = calls
        self._faults = faults
        self._routes: Mapping[tuple[str, str], Callable[[WSGIEnvironment], object]] = {
            ("GET", "clock"): self._clock,
            ("POST", "clock"): self._set_clock,
            ("GET", "calls"): self._list_calls,
            ("GET", "state"): self._state,
            ("GET", "instances"): self._instances,
            ("GET", "steps"): self._steps,
            ("GET", "faults"): self._list_faults,
            ("POST", "faults"): self._set_faults,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status = HTTPStatus.OK
        try:
            name = environ.get("PATH_INFO", "").removeprefix(ADMIN_PREFIX)
            route = self._routes.get((environ["REQUEST_METHOD"], name))
            if route is None:
                raise _Wrong(f"no such route: {environ['REQUEST_METHOD']} {ADMIN_PREFIX}{name}", HTTPStatus.NOT_FOUND)
            answer = route(environ)
        except _Wrong as error:
            status, answer = error.status, {"error": str(error)}
        body = json.dumps(answer).encode()
        start_response(
            f"{status.value} {status.phrase}",
            [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
        )
        return [body]

    def _clock(self, environ: WSGIEnvironment) -> object:
        query = _query(environ, {"until", "timeout"})
        if "until" not in query:
            if "timeout" in query:
                raise _Wrong("timeout means nothing without until")
            return _clock_answer(self._driver.clock())
        timeout = _number("timeout", query.get("timeout", _LONGEST_WAIT))
        return _clock_answer(self._driver.wait_until(_number("until", query["until"]), min(timeout, _LONGEST_WAIT)))

    def _set_clock(self, environ: WSGIEnvironment) -> object:
        document = _body(environ)
        if not isinstance(document, dict):
            raise _Wrong("the body is not a JSON object")
        if set(document) == {"advance"}:
            return _clock_answer(self._driver.advance(_number("advance", document["advance"])))
        if set(document) == {"speed"}:
            self._driver.set_speed(_number("speed", document["speed"]))
            return _clock_answer(self._driver.clock())
        raise _Wrong('the body is {"advance": seconds} or {"speed": factor}')

    def _list_calls(self, environ: WSGIEnvironment) -> object:
        query = _query(environ, {"service", "operation"})
        return self._calls.list(query.get("service"), query.get("operation"))

    def _state(self, environ: WSGIEnvironment) -> object:
        _query(environ, set())
        with self._driver.world() as world:
            return {"now": world.now, "clusters": [cluster_row(cluster) for cluster in world.clusters]}

    def _instances(self, environ: WSGIEnvironment) -> object:
        return self._rows(environ, instance_rows)

    def _steps(self, environ: WSGIEnvironment) -> object:
        return self._rows(environ, step_rows)

    def _rows(self, environ: WSGIEnvironment, rows: Callable[[Cluster], Iterable[object]]) -> object:
        """Of one cluster, or of all in the order of their creation."""
        wanted = _query(environ, {"cluster"}).get("cluster")
        with self._driver.world() as world:
            return [row for cluster in world.clusters if wanted in (None, cluster.id) for row in rows(cluster)]

    def _list_faults(self, environ: WSGIEnvironment) -> object:
        _query(environ, set())
        return self._faults.list()

    def _set_faults(self, environ: WSGIEnvironment) -> object:
        _query(environ, set())
        try:
            self._faults.replace(_body(environ), self._driver.clock()[0])
        except WrongFault as error:
            raise _Wrong(str(error)) from None
        return self._faults.list()


def _clock_answer(clock: tuple[float, float]) -> dict[str, float]:
    return {"now": clock[0], "rate": clock[1]}


def _query(environ: WSGIEnvironment, known: set[str]) -> dict[str, str]:
    query = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
    unknown = sorted(set(query) - known)
    if unknown:
        raise _Wrong(f"unknown parameter {', '.join(unknown)}; known: {', '.join(sorted(known)) or 'none'}")
    return query


def _body(environ: WSGIEnvironment) -> object:
    try:
        return json.loads(environ["wsgi.input"].read())
    except ValueError as error:
        raise _Wrong(f"the body is not JSON: {error}") from None


def _number(name: str, value: object) -> float:
    """A number, 0 or more. Raises _Wrong."""
    try:
        number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise _Wrong(f"{name} is a number, 0 or more, not {value!r}")
    return number
