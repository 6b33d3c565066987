"""Servos in this process, against a `Region` over a real SDK and HTTP, with every hand of every clock in the test's.

A servo is a connector with live objects of its own. It may be killed, cancelled or told to stop at any call or at any
moment. Calls are made one at a time and in the order in which they are asked for, so that what happened once happens
again: nothing depends on threads, and no real time passes.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import servo
from botocore.config import Config
from pydantic import parse_obj_as
from servo.servo import set_current_command_uid
from servo.types.api import Control

from servo_emr.aws.account import AwsAccount
from servo_emr.aws.door import Door, Patience
from servo_emr.aws.ec2 import Ec2Target
from servo_emr.aws.workspace import S3Workspace
from servo_emr.config import EMRConfiguration
from servo_emr.connector import EMRConnector
from servo_emr.lifecycle.lease import Holder, Lease
from servo_emr.lifecycle.measure import Measure, Ports
from servo_emr.lifecycle.stage import Stage
from servo_emr.notebook.evidence import NotebookEvidence
from servo_emr.notebook.pack import NotebookPacker
from servo_emr.pricing.book import RateBook
from servo_emr.pricing.table import TablePrices
from servo_emr.wiring import Live
from tests.support.region import Region

__all__ = ["PARTS", "Answer", "AtOnce", "Hands", "Interrupt", "Killed", "Once", "Parts", "Servo", "handled"]

Answer = dict[str, Any]
_WHOSE: ContextVar[Servo | None] = ContextVar("whose", default=None)
_NUMBERS = itertools.count()
_LONGEST_S = 40 * 86_400.0


@dataclass(frozen=True)
class Parts:
    """What servos are made of; another than ours stands in for a defect, to see that it is found."""

    target: Callable[..., Any] = Ec2Target
    evidence: Callable[..., Any] = NotebookEvidence
    measure: Callable[..., Any] = Measure


PARTS = Parts()


class Killed(BaseException):
    """kill -9: nothing of a process goes on after it."""


class AtOnce(ThreadPoolExecutor):
    """Does what it is given before it returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            done.set_exception(error)
        return done


class Hand:
    """`domain.ports.Clock` for any number of tasks, moved on from sleeper to sleeper by whoever drives it."""

    def __init__(self, now: Callable[[], float], advance: Callable[[float], object]) -> None:
        self.now = now
        self._advance = advance
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    async def sleep(self, seconds: float) -> None:
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now() + max(0.0, seconds), next(self._count), waking))
        await waking

    def next(self) -> float | None:
        """When the next sleeper wakes; None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def come_to(self, at: float) -> None:
        """Moves on to a time, and wakes who is due by then."""
        self._advance(max(0.0, at - self.now()))
        while (due := self.next()) is not None and due <= at:
            heapq.heappop(self._sleepers)[2].set_result(None)


@dataclass(frozen=True)
class Interrupt:
    """What befalls a servo in a measurement: kill, cancel (the optimizer's) or stop (a signal).

    `call`: at its nth call, counted from 1, before it is made or, `after`, when it has taken effect and its answer has
    not arrived. Else at `at` seconds after the measurement began.
    """

    what: str
    call: int | None = None
    after: bool = False
    at: float = 0.0


class Once(Door):
    """Sends every call once, and waits for its answer however busy this machine is: no real time decides anything."""

    def _client(self, service: str, patience: Patience) -> Any:
        with self._lock:
            if (service, Patience.ONCE) not in self._clients:
                config = Config(retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=120)
                made = self._open_session().create_client(service, region_name=self._region, config=config)
                self._clients[service, Patience.ONCE] = made
            return self._clients[service, Patience.ONCE]


class _Watched(Once):
    """A servo's own door, on the clients of all."""

    def __init__(self, shared: Once, servo_: Servo) -> None:
        with shared._lock:
            shared._open_session()  # else every servo opens one of its own
        self.__dict__.update(shared.__dict__)
        self._servo = servo_

    def _call(self, service: str, operation: str, *more: Any) -> Any:
        # Whoever is cancelled meanwhile does not get the answer: a call that is on its way cannot be called back.
        self._servo.meets(f"{service}:{operation}", after=False)
        try:
            return super()._call(service, operation, *more)
        finally:
            self._servo.meets(f"{service}:{operation}", after=True)


class _OwnClock:
    """A clock as a servo sees it: the dead do not wake."""

    def __init__(self, hand: Hand, servo_: Servo) -> None:
        self._hand = hand
        self._servo = servo_

    def now(self) -> float:
        return self._hand.now()

    async def sleep(self, seconds: float) -> None:
        self._servo.lives()
        await self._hand.sleep(seconds)
        self._servo.lives()


class Servo:
    """One servo process."""

    def __init__(self, hands: Hands, holder: Holder) -> None:
        self._hands = hands
        self.holder = holder
        self.dead = False
        self.calls: list[str] = []
        self._interrupts: list[Interrupt] = []
        self.connector = EMRConnector(name="emr", config=hands.config)
        self.connector._live = self.live = self._assembled(hands)

    def _assembled(self, hands: Hands) -> Live:
        config, said = hands.config, hands.said.append
        clock, real = _OwnClock(hands.w, self), _OwnClock(hands.real, self)
        door = _Watched(hands.door, self)
        workspace, target = S3Workspace(door, config.workspace), hands.parts.target(door, config.region, clock)
        book = RateBook([TablePrices()], clock=clock)
        packer, evidence = NotebookPacker(workspace), hands.parts.evidence(workspace)
        stage = Stage(target, workspace, book, clock, config.space, config.to_spec())
        lease = Lease(workspace, real, self.holder, hands.holds, said, real.now)
        ports = Ports(target, workspace, book, packer, evidence, clock)
        measure = hands.parts.measure(ports, stage, lease.must_be_fresh, said)
        account = AwsAccount(door)
        space = config.space
        return Live(config, space, clock, target, workspace, book, stage, packer, measure, lease, account, real)

    def lives(self) -> None:
        """Raises Killed when it does not."""
        if self.dead:
            raise Killed(str(self.holder))

    def meets(self, call: str, after: bool) -> None:
        """A call begins, or has taken effect."""
        self.lives()
        if not after:
            self.calls.append(call)
        for interrupt in tuple(self._interrupts):
            if interrupt.call == len(self.calls) and interrupt.after == after:
                self._interrupts.remove(interrupt)
                self._hands.interrupt(self, interrupt.what)
        self.lives()

    def expects(self, interrupts: Sequence[Interrupt]) -> None:
        """What will befall it at its calls, which are counted anew."""
        self.calls.clear()
        self._interrupts = [one for one in interrupts if one.call is not None]


@dataclass
class Hands:
    """The region, the clocks, and the servos that were made. Made by `handled`."""

    region: Region
    door: Once
    config: EMRConfiguration
    loop: asyncio.AbstractEventLoop
    parts: Parts = PARTS
    said: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    undriven: float = 0.0
    """Seconds of W that passed while no measurement was under way."""

    def __post_init__(self) -> None:
        self.w = Hand(self.region.now, self.region.advance)
        self._real = 0.0
        self.real = Hand(lambda: self._real, self._pass_really)
        self._servos: list[Servo] = []
        self._work: asyncio.Task[Any] | None = None
        self._stopping: list[asyncio.Task[Any]] = []

    def _pass_really(self, seconds: float) -> None:
        self._real += seconds

    def holds(self, holder: Holder) -> bool:
        """Whether the servo that a lease names lives."""
        return any(one.holder == holder and not one.dead for one in self._servos)

    def servo(self, host: str = "alpha") -> Servo:
        """A new process, not started."""
        made = Servo(self, Holder(host, len(self._servos) + 1, "s"))
        self._servos.append(made)
        return made

    # -- what a test asks for; each returns when it is over, however much W that takes

    def start(self, servo_: Servo) -> None:
        """The startup event. It may wait for the lease as long as it likes, but not for ever."""
        self._run(servo_, servo_.connector.startup())

    def abandon(self, servo_: Servo) -> None:
        """What a servo does when nobody has asked for long; what cannot be ended is tried again."""
        for _ in range(5):
            if not self._run(servo_, servo_.live.measure.abandon()):
                return

    def stop(self, servo_: Servo) -> None:
        """SIGTERM with nothing under way."""
        self._run(servo_, servo_.connector.shutdown())
        self.kill(servo_)

    def kill(self, servo_: Servo) -> None:
        """kill -9: its tasks are abandoned, and none reaches the world any more."""
        servo_.dead = True
        for task in self._tasks(servo_):
            task.cancel()

    def adjust(self, servo_: Servo, settings: Mapping[str, Any], uid: str | None = None) -> Answer | None:
        """An adjustment by selector; how it was answered, None for not at all."""
        adjustments = [
            servo.Adjustment(component_name=component, setting_name=name, value=value)
            for (component, _, name), value in ((selector.partition("."), v) for selector, v in settings.items())
        ]

        async def adjusted() -> Answer:
            return {"state": (await servo_.connector.adjust(adjustments)).__opsani_repr__()}

        return self._answered(servo_, adjusted(), uid or f"adjust-{len(self.answers)}")

    def measure(
        self,
        servo_: Servo,
        uid: str,
        metrics: Sequence[str] = (),
        userdata: Any = None,
        interrupts: Sequence[Interrupt] = (),
    ) -> Answer | None:
        """A measurement; how it was answered, None for not at all."""
        control = parse_obj_as(Control, {} if userdata is None else {"userdata": {"emr": userdata}})
        servo_.expects(interrupts)

        async def measured() -> Answer:
            made = await servo_.connector.measure(metrics=list(metrics) or None, control=control)
            return dict(json.loads(json.dumps(made.__opsani_repr__(), allow_nan=False)))

        async def later(interrupt: Interrupt) -> None:
            await self.w.sleep(interrupt.at)
            self.interrupt(servo_, interrupt.what)

        timed = [self.loop.create_task(later(one)) for one in interrupts if one.call is None]
        try:
            return self._answered(servo_, measured(), uid)
        finally:
            for task in timed:
                task.cancel()
            servo_.expects(())

    def interrupt(self, servo_: Servo, what: str) -> None:
        """Befalls a servo whose measurement is under way."""
        if what == "kill":
            self.kill(servo_)
        elif what == "cancel" and self._work is not None:
            self._work.cancel()
        elif what == "stop":
            self._stopping.append(self._task(servo_, servo_.connector.shutdown()))

    def pass_time(self, seconds: float) -> None:
        """Time passes, real time too, and nobody asks for anything."""
        self.loop.run_until_complete(self._pass(seconds))

    # -- the machinery

    def _answered(self, servo_: Servo, work: Coroutine[Any, Any, Answer], uid: str) -> Answer | None:
        async def asked() -> Answer:
            set_current_command_uid(uid)
            answer: Answer = {"cmd_uid": uid, "status": "ok"}
            try:
                return answer | await work
            except servo.EventAbortedError as error:
                return answer | {"status": "aborted", "reason": str(error.reason), "message": str(error)}
            except servo.AdjustmentRejectedError as error:
                return answer | {"status": "rejected", "reason": str(error.reason), "message": str(error)}
            except servo.EventError as error:
                return answer | {"status": "failed", "reason": str(error.reason), "message": str(error)}

        try:
            answer: Answer = self._run(servo_, asked())
        except (asyncio.CancelledError, Killed):
            # servox posts `cancelled` by itself; in either case its process is over.
            self.kill(servo_)
            return None
        self.answers.append(answer)
        if self._stopping:
            self._drive(self._stopping)
            self._stopping = []
            self.kill(servo_)
        return answer

    def _run(self, servo_: Servo, work: Coroutine[Any, Any, Any]) -> Any:
        self._work = task = self._task(servo_, work)
        try:
            self._drive([task])
            return task.result()
        finally:
            self._work = None

    def _task(self, servo_: Servo, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        was = _WHOSE.set(servo_)
        try:
            return self.loop.create_task(work)
        finally:
            _WHOSE.reset(was)

    def _drive(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        self.loop.run_until_complete(self._until_done(tasks))

    async def _until_done(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        began = self.w.now()
        while True:
            await self._settled()
            if all(task.done() for task in tasks):
                return
            due, real = self.w.next(), self.real.next()
            if due is not None:
                self.w.come_to(due)
            elif real is not None:
                self.w.come_to(self.w.now() + real - self._real)
                self.real.come_to(real)
            else:
                raise AssertionError(f"nothing goes on, and nobody sleeps: {tasks}")
            if self.w.now() - began > _LONGEST_S:
                raise AssertionError(f"no end after {_LONGEST_S:.0f} s: {self.said[-5:]}")

    async def _pass(self, seconds: float) -> None:
        until = self._real + seconds
        self.undriven += seconds
        while True:
            await self._settled()
            wakes = [self.real.next(), self.w.next()]
            real = min(until, wakes[0] if wakes[0] is not None else until)
            w = until - self._real + self.w.now() if wakes[1] is None else wakes[1]
            step = max(0.0, min(real - self._real, w - self.w.now()))
            if self._real >= until and step == 0.0 and (wakes[1] is None or w > self.w.now()):
                return
            self.w.come_to(self.w.now() + step)
            self.real.come_to(self._real + step)

    async def _settled(self) -> None:
        """Returns when nobody can go on before some clock does."""
        while True:
            await asyncio.sleep(0)
            if not self.loop._ready:  # type: ignore[attr-defined]
                return

    def _tasks(self, servo_: Servo) -> list[asyncio.Task[Any]]:
        found = [task for task in asyncio.all_tasks(self.loop) if getattr(task, "whose", None) is servo_]
        return sorted(found, key=lambda task: task.number)  # in the order in which they were made

    def close(self) -> None:
        """Abandons everything."""
        for one in self._servos:
            self.kill(one)
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left, timeout=10))
        for task in left:
            if task.done() and not task.cancelled():
                task.exception()  # it was abandoned: nobody else asks


class _Owned(asyncio.Task[Any]):
    """A task that knows whose it is."""

    whose: Servo | None = None
    number = 0


def _owned(loop: asyncio.AbstractEventLoop, work: Any, **kwargs: Any) -> asyncio.Task[Any]:
    task = _Owned(work, loop=loop, **kwargs)
    task.whose, task.number = _WHOSE.get(), next(_NUMBERS)
    return task


@contextmanager
def handled(region: Region, door: Once, config: EMRConfiguration, parts: Parts = PARTS) -> Iterator[Hands]:
    """A loop of its own, in which all that a servo would do on a thread is done at once."""
    loop = asyncio.new_event_loop()
    loop.set_default_executor(AtOnce(1))
    loop.set_task_factory(_owned)
    hands = Hands(region, door, config, loop, parts)
    try:
        yield hands
    finally:
        hands.close()
        loop.close()
