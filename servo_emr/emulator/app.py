"""The composition root of one emulator process: builds the parts, runs them until told to stop, and cleans up."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from servo_emr.emulator.emr.wire import EmrApplication
from servo_emr.emulator.faults.faulty_calls import FaultyCalls
from servo_emr.emulator.faults.set import Faults
from servo_emr.emulator.node.janitor import Janitor
from servo_emr.emulator.node.logs import Logs
from servo_emr.emulator.node.unexecuted import UnexecutedMachine
from servo_emr.emulator.node.work import RealMachine
from servo_emr.emulator.prices.api import PriceApplication
from servo_emr.emulator.prices.quotas import QuotaApplication
from servo_emr.emulator.prices.spot_history import SpotHistory
from servo_emr.emulator.prices.spot_prices import open_market
from servo_emr.emulator.region import Regions
from servo_emr.emulator.settings import LOOPBACK, Settings
from servo_emr.emulator.storage.s3 import Objects, OneWriterAtATime
from servo_emr.emulator.storage.services import MotoServices
from servo_emr.emulator.storage.webhdfs import WebHdfs
from servo_emr.emulator.web.admin import Admin
from servo_emr.emulator.web.calls import CallLog, Recorded
from servo_emr.emulator.web.router import AwsRouter, Gate
from servo_emr.emulator.web.server import Server
from servo_emr.emulator.world.driver import Driver
from servo_emr.emulator.world.durations import Durations, Ernest, ModelDurations, WallDurations
from servo_emr.emulator.world.ids import Ids
from servo_emr.emulator.world.replay import ReplayDurations, Runtimes
from servo_emr.emulator.world.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["Emulator", "run"]

_SHUTDOWN_LOOKS = 0.1  # real seconds that server and main thread take at most to notice that it is to end
_PARENT_LOOKS = 0.5  # real seconds between two looks at who our parent is
_EVERYWHERE = "0.0.0.0"  # the address that stands for all of this machine's

_BANNER = """\
EMULATOR. Not AWS: clusters exist on this machine only, and no figure from it is AWS's.
{steps}
{durations} Seed {seed}: the same seed gives the same ids and the same spread.
"""
_OPEN = """\
WARNING: it listens on {host}, not on this machine alone, and asks nobody for a password. {reach}
"""


class Emulator:
    """One emulator. Raises OSError when its address cannot be had, ValueError for data that S3 refuses."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        """`stop`: set by whoever wants it to end."""
        self._settings = settings
        self._stop = stop
        self._defective = False
        start, writers, ids = time.time(), threading.RLock(), Ids(settings.seed)
        self._objects = Objects(writers)
        self._regions = Regions()
        self._faults = Faults()
        self._calls = CallLog()
        self._market = open_market(settings.spot_history, settings.prices, seed=settings.seed, start=start)
        self._root = Path(tempfile.mkdtemp(prefix="servo-emr-emulator-"))
        self._janitor = Janitor(self._root)
        self._machine = self._make_machine()
        world = World(
            now=start,
            ids=ids,
            machine=self._machine,
            durations=self._durations(ids),
            mishaps=self._faults,
            spot=self._market,
        )
        self._driver = Driver(world, speed=settings.speed, defect=self._defect)
        try:
            self._server = Server(settings.port, self._application(writers), host=settings.host)
        except BaseException:
            self._machine.close()
            self._janitor.dismiss()
            raise
        self._serving = threading.Thread(
            target=self._server.serve_forever, args=(_SHUTDOWN_LOOKS,), name="emulator-http", daemon=True
        )

    @property
    def url(self) -> str:
        """Where its nodes and whoever is on this machine reach it."""
        host = LOOPBACK if self._settings.host == _EVERYWHERE else self._settings.host
        return f"http://{host}:{self._server.port}"

    def start(self) -> None:
        """Everything is ready when this returns. Raises ValueError for data that cannot be put."""
        for data in self._settings.data:
            self._objects.upload(data.folder, data.bucket, data.prefix, self._settings.region)
        self._regions.make_default_roles()
        if self._settings.faults is not None:
            self._faults.replace(self._settings.faults, self._driver.clock()[0])
        self._driver.start()
        self._serving.start()
        if self._settings.with_parent:
            threading.Thread(target=self._watch_parent, args=(os.getppid(),), name="parent", daemon=True).start()

    def wait(self) -> bool:
        """Until it is to end; False when a defect of the emulator is the reason."""
        # The system may give a signal to any thread, and Python's handler runs in the main one: it must wake for it.
        while not self._stop.wait(_SHUTDOWN_LOOKS):
            pass
        return not self._defective

    def close(self) -> None:
        """Ends all processes and removes all scratch folders."""
        self._driver.close()
        if self._serving.is_alive():
            self._server.shutdown()
        self._server.server_close()
        try:
            self._machine.close()
        finally:
            self._janitor.dismiss()

    def _make_machine(self) -> RealMachine | UnexecutedMachine:
        logs, settings = Logs(self._objects), self._settings
        if not settings.execute:
            return UnexecutedMachine(self._root, logs)
        return RealMachine(
            root=self._root,
            endpoint=lambda: self.url,
            buckets=self._objects.buckets,
            logs=logs,
            cores=settings.cores,
            cap=settings.process_cap if settings.durations is not None else None,
            over=lambda: self._driver.wake(),
        )

    def _application(self, writers: threading.RLock) -> Gate:
        def now() -> float:
            return self._driver.clock()[0]

        calls, prices = self._calls, self._settings.prices
        moto = OneWriterAtATime(MotoServices(), writers)
        others = SpotHistory(moto, self._market, prices, now)
        emr = EmrApplication(self._driver, self._regions, self._faults)
        services: dict[str, WSGIApplication] = {
            "pricing": PriceApplication(prices),
            "servicequotas": QuotaApplication(others, self._settings.quotas),
        }
        aws = AwsRouter(emr=emr, others=others, services=services)
        return Gate(
            admin=Admin(self._driver, calls, self._faults),
            webhdfs=WebHdfs(lambda: self.url),
            aws=Recorded(FaultyCalls(aws, self._faults, now), calls, now),
            hosts=_hosts(self._settings.host),
        )

    def _durations(self, ids: Ids) -> Durations:
        durations = self._settings.durations
        if durations is None:
            return WallDurations()
        if isinstance(durations, Runtimes):
            return ReplayDurations(durations)
        regions = self._regions
        return ModelDurations(ids, regions.cores, regions.memory_gib, durations, self._settings.noise)

    def _defect(self, error: BaseException) -> None:
        traceback.print_exception(error)
        self._defective = True
        self._stop.set()

    def _watch_parent(self, parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_LOOKS)
        self._stop.set()


def run(settings: Settings) -> int:
    """One emulator, until SIGTERM, SIGINT or, on demand, the end of the parent; the exit status.

    Prints a banner on standard error and `listening on URL`, once ready, on standard output. Raises OSError when the
    port cannot be had and ValueError for data that S3 refuses.
    """
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        emulator = Emulator(settings, stop)
        try:
            emulator.start()
            print(_banner(settings), end="", file=sys.stderr, flush=True)
            print(f"listening on {emulator.url}", flush=True)
            return 0 if emulator.wait() else 1
        finally:
            emulator.close()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hosts(host: str) -> frozenset[str]:
    """The hosts that a request may be for beside loopback: none unless the emulator listens elsewhere too."""
    return frozenset() if host == LOOPBACK else frozenset({host, socket.gethostname()})


def _banner(settings: Settings) -> str:
    if settings.execute:
        steps = "Bootstrap actions and steps run as real processes with the rights of whoever started this."
        reach = "Whoever reaches it can run any program with your rights."
    else:
        steps = "Bootstrap actions and steps are not executed: they only take their time."
        reach = "Whoever reaches it can read and change what is in it."
    text = _BANNER.format(steps=steps, durations=_durations_told(settings), seed=settings.seed)
    return text if settings.host == LOOPBACK else text + _OPEN.format(host=settings.host, reach=reach)


def _durations_told(settings: Settings) -> str:
    durations = settings.durations
    if durations is None:
        return "Durations are this machine's (wall)."
    if isinstance(durations, Runtimes):
        return f"Durations are replayed from {durations.source}: measured elsewhere, and not here."
    law = " ".join(f"{coefficient.name}={getattr(durations, coefficient.name):g}" for coefficient in fields(Ernest))
    return f"Durations follow a model, not this machine: {law}, noise {settings.noise:g}."
