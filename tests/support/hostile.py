"""An optimizer that answers anything: hypothesis strategies for its replies, and servox's own runner in this process.

The runner, its log of progress and its HTTP client are servox's; only the transport gives what was drawn. Time that
anybody sleeps passes at once, so that an optimizer may well say that a servo has to sleep for a year.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import time
import types
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import servo
import servo.runner
from hypothesis import strategies as st
from servo.configuration import BaseServoConfiguration, CommonConfiguration, OpsaniOptimizer

from servo_emr.connector import EMRConnector
from servo_emr.lifecycle.lease import Holder
from tests.support.front import Front
from tests.support.hands import AtOnce

__all__ = ["COMMANDS", "JSON", "REPLIES", "USERDATA", "Conversation", "Reply", "leaping", "leaves_of", "reply"]

_TEXT = st.one_of(
    st.text(max_size=12), st.sampled_from(("{", "}", "{0}", "{run}", "\\", "\x00", "\udce9", "%s", "a" * 5_000))
)
_NUMBERS = st.one_of(
    st.integers(-3, 20), st.sampled_from((0, -1, 1 << 63, 10**400, 1e308, 1e-308)), st.floats(), st.integers()
)
_SCALARS = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXT)
JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3), max_leaves=8
)
"""Any JSON value, and what Python's JSON has beside: NaN and the infinities."""


def _or(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what it should be, else anything."""
    return st.one_of(strategy, strategy, JSON)


_COMPONENTS = st.sampled_from(("core", "primary", "task", "other", "", "core.replicas"))
_SETTINGS = st.sampled_from(("replicas", "inst_type", "market", "", "__class__"))
_VALUES = st.one_of(
    JSON, st.sampled_from(("m5.xlarge", "r5.24xlarge", "4", " 4", "4.0", "1e1", "0x4", 4, 4.0, 12, 13, True))
)
_SETTING = _or(st.fixed_dictionaries({"value": _VALUES}))
_COMPONENT = _or(st.fixed_dictionaries({"settings": _or(st.dictionaries(_SETTINGS, _SETTING, max_size=3))}))
_STATE = _or(
    st.fixed_dictionaries(
        {
            "application": _or(
                st.fixed_dictionaries({"components": _or(st.dictionaries(_COMPONENTS, _COMPONENT, max_size=3))})
            )
        }
    )
)
USERDATA = _or(
    st.dictionaries(
        st.sampled_from(("deadline_s", "max_cost_usd", "parameters", "region", "cluster", "limits")),
        _or(
            st.one_of(
                st.integers(1, 4000), st.dictionaries(st.sampled_from(("out", "mode", "{run_id}")), JSON, max_size=2)
            )
        ),
        max_size=3,
    )
)
_CONTROL = _or(
    st.fixed_dictionaries(
        {},
        optional={
            "duration": _or(st.sampled_from((0, 60, "1h", "-5s"))),
            "userdata": _or(st.fixed_dictionaries({"emr": USERDATA})),
            "load": JSON,
            "environment": JSON,
            "delay": JSON,
        },
    )
)
_METRICS = _or(st.lists(st.one_of(st.sampled_from(("duration", "cost", "latency", "")), JSON), max_size=4))
_PARAMS = {
    "DESCRIBE": _or(st.fixed_dictionaries({"control": _CONTROL})),
    "MEASURE": _or(st.fixed_dictionaries({"metrics": _METRICS, "control": _CONTROL})),
    "ADJUST": _or(st.fixed_dictionaries({"state": _STATE, "control": _CONTROL})),
    "SLEEP": _or(
        st.fixed_dictionaries(
            {"duration": _or(st.sampled_from((0, 3600, 3e7))), "data": _or(st.just({"reason": "none"}))}
        )
    ),
}
_COMMANDS = st.sampled_from(tuple(_PARAMS)).flatmap(
    lambda cmd: st.fixed_dictionaries(
        {"cmd": st.just(cmd), "param": _PARAMS[cmd]}, optional={"cmd_uid": _or(st.sampled_from(("u-1", "u-2")))}
    )
)
_STATUSES = st.fixed_dictionaries(
    {"status": _or(st.sampled_from(("ok", "cancel", "unexpected-event", "invalid", "failed")))},
    optional={"reason": _or(st.sampled_from(("unexpected cmd_uid", "{why}"))), "message": JSON},
)


@dataclass(frozen=True)
class Reply:
    """What comes back for a post."""

    status: int
    body: bytes

    def __repr__(self) -> str:
        return f"reply({self.status}, {self.body[:300]!r})"


def reply(document: Any, status: int = 200) -> Reply:
    """A document as an answer."""
    return Reply(status, json.dumps(document).encode())


_OK = reply({"status": "ok"})
_LEGAL = st.one_of(
    st.dictionaries(
        st.sampled_from(("core", "primary", "task", "other")),
        st.dictionaries(_SETTINGS, st.fixed_dictionaries({"value": _VALUES}), max_size=2).map(
            lambda found: {"settings": found}
        ),
        max_size=2,
    ).map(lambda found: {"cmd": "ADJUST", "param": {"state": {"application": {"components": found}}, "control": {}}}),
    st.tuples(_METRICS, USERDATA).map(
        lambda found: {"cmd": "MEASURE", "param": {"metrics": found[0], "control": {"userdata": {"emr": found[1]}}}}
    ),
)
COMMANDS = _LEGAL.map(reply)
"""Commands of the right shape with anything in them: servox passes most of them on to the connector."""
_DOCUMENTS = st.one_of(_COMMANDS, _COMMANDS, _STATUSES, JSON).map(reply)
_RAW = st.sampled_from(
    (b"", b"{", b"<html>", b"\xff\xfe", b"[" * 5000 + b"]" * 5000, b'{"cmd":"MEASURE","cmd":1}', b"1e999")
)
_HTTP = st.sampled_from((400, 401, 404, 410, 418, 500, 503))
REPLIES = st.one_of(
    st.just(_OK),
    _DOCUMENTS,
    _DOCUMENTS,
    _DOCUMENTS,
    st.builds(Reply, st.just(200), _RAW),
    st.builds(Reply, _HTTP, st.one_of(_RAW, st.just(b'{"detail":"unexpected servo_uid"}'))),
)
"""What an optimizer may answer to any event."""


class _Leap(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Never waits: whoever would be waited for is due at once."""

    loop: _Loop
    leapt = 0.0

    def select(self, timeout: float | None = None) -> Any:
        due = min((timer.when() for timer in self.loop._scheduled if not timer.cancelled()), default=None)
        if timeout is not None and timeout > 0 and due is not None:
            self.leapt += max(0.0, due - self.loop.time())
            timeout = 0
        return super().select(timeout)


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose time passes as soon as nothing else is to be done; what would run on a thread runs at once."""

    def __init__(self) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)
        self._leap.loop = self
        self.set_default_executor(AtOnce(1))

    def time(self) -> float:
        return super().time() + self._leap.leapt


@contextmanager
def leaping() -> Iterator[_Loop]:
    """A loop in which nobody waits."""
    loop = _Loop()
    try:
        yield loop
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        for task in left:
            if not task.cancelled():
                task.exception()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


_FOR_GOOD_S = 1e10


class _Still:
    """Real time, in which nobody who waits is ever woken: the lease is not renewed while a servo sleeps for years."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.get_running_loop().create_future()


class _NoMore(Exception):
    """The replies are used up: this conversation is over."""


class _Servos(Front):
    """A world, and the processes in it one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._dead: tuple[Holder, ...] = ()

    def fresh(self) -> EMRConnector:
        """The connector of a new process; those before are gone, and their leases with them."""
        holder = Holder("alpha", len(self._dead) + 1, "s")
        connector = EMRConnector(name="emr", config=self.config)
        connector._live = self.process(holder, self._dead, _Still())
        self._dead += (holder,)
        return connector


class _Runner(servo.runner.AssemblyRunner):
    """servox's, without its banner."""

    def _display_banner(self) -> None:
        """Draws nothing."""


@dataclass
class Conversation:
    """Servos, one after the other as a supervisor starts them, that get these replies to whatever they post; `fair`: to
    their questions alone, and `ok` to all else."""

    replies: list[Reply]
    fair: bool = False
    front: _Servos = field(default_factory=_Servos)
    ended: list[BaseException] = field(default_factory=list)
    given: Counter[str] = field(default_factory=Counter)
    """How many of the replies were given, by event."""

    def take_place(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until all replies have been given. What each process ended with is in `ended`."""
        while self.replies:
            before = len(self.replies)
            loop.run_until_complete(self._process())
            assert len(self.replies) < before, "a servo that has started asks"

    async def _process(self) -> None:
        connector = self.front.fresh()
        optimizer = OpsaniOptimizer(id="example.com/nightly", token="s3cret", base_url="http://127.0.0.1:1")
        common = CommonConfiguration(
            backoff={"__default__": {"max_time": "1s", "max_tries": 1}, "connect": {"max_time": "1s", "max_tries": 1}}
        )
        config = BaseServoConfiguration(optimizer=optimizer, settings=common, no_diagnostics=True)
        made = servo.Servo(config=config, connectors=[connector], __connectors__=[connector])
        made.__connectors__.append(made)
        transport = httpx.MockTransport(self._answer)
        made._api_client = httpx.AsyncClient(base_url=optimizer.url, transport=transport)
        runner = _Runner.construct(
            assembly=types.SimpleNamespace(servos=[made]), runners=[], poll=True, interactive=False
        )
        task = asyncio.ensure_future(runner._run())
        await asyncio.wait({task}, timeout=_FOR_GOOD_S)
        if not task.done():  # it was told to sleep for longer than anybody lives
            self.replies.clear()
            task.cancel()
            await asyncio.wait({task})
        servo.logger.remove(runner.progress_handler_id)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.ended.append(error)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for one in left:
            one.cancel()  # the process is gone, and its lease is not given back
        await asyncio.wait(left) if left else None

    def _answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        event = f"{body['event']} progress" if "progress" in (body["param"] or ()) else body["event"]
        if self.fair and event != "WHATS_NEXT":
            return httpx.Response(200, content=_OK.body)
        if not self.replies:
            raise _NoMore
        given = self.replies.pop(0)
        self.given[event] += 1
        return httpx.Response(given.status, content=given.body)


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group; what only says that a conversation is over is left out."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves_of(one)
    elif not isinstance(error, (_NoMore, asyncio.CancelledError)):
        yield error
