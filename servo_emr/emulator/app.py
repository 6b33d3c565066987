"""The composition root of one emulator process: builds the parts, runs them until told to stop, and cleans up."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from servo_emr.emulator.admin import Admin
from servo_emr.emulator.calls import CallLog, Recorded
from servo_emr.emulator.driver import Driver
from servo_emr.emulator.durations import Durations, ModelDurations, WallDurations
from servo_emr.emulator.emr import EmrApplication
from servo_emr.emulator.faults import Faults
from servo_emr.emulator.ids import Ids
from servo_emr.emulator.operations import OPERATIONS
from servo_emr.emulator.region import Regions
from servo_emr.emulator.router import AwsRouter, Gate
from servo_emr.emulator.s3 import Objects, OneWriterAtATime
from servo_emr.emulator.server import Server
from servo_emr.emulator.settings import Settings
from servo_emr.emulator.webhdfs import WebHdfs
from servo_emr.emulator.work import RealMachine
from servo_emr.emulator.world import World

__all__ = ["Emulator", "run"]

_SHUTDOWN_LOOKS = 0.1  # real seconds that the server takes at most to notice that it is to end
_PARENT_LOOKS = 0.5  # real seconds between two looks at who our parent is

_BANNER = """\
EMULATOR. Not AWS: clusters exist on this machine only, and no figure from it is AWS's.
Bootstrap actions and steps run as real processes with the rights of whoever started this.
{durations} Seed {seed}: the same seed gives the same ids and the same spread.
"""


class Emulator:
    """One emulator. Raises OSError when its port cannot be had, ValueError for data that S3 refuses."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        """`stop`: set by whoever wants it to end."""
        self._settings = settings
        self._stop = stop
        self._defective = False
        writers = threading.RLock()
        self._objects = Objects(writers)
        self._regions = Regions()
        self._root = Path(tempfile.mkdtemp(prefix="servo-emr-emulator-"))
        ids = Ids(settings.seed)
        self._machine = RealMachine(
            root=self._root,
            endpoint=lambda: self.url,
            objects=self._objects,
            cores=settings.cores,
            cap=settings.process_cap if settings.law is not None else None,
            over=lambda: self._driver.wake(),
        )
        world = World(now=time.time(), ids=ids, machine=self._machine, durations=self._durations(ids))
        self._driver = Driver(world, speed=settings.speed, defect=self._defect)
        try:
            self._server = Server(settings.port, self._application(writers))
        except OSError:
            shutil.rmtree(self._root)
            raise
        self._serving = threading.Thread(
            target=self._server.serve_forever, args=(_SHUTDOWN_LOOKS,), name="emulator-http", daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def start(self) -> None:
        """Everything is ready when this returns. Raises ValueError for data that cannot be put."""
        for data in self._settings.data:
            self._objects.upload(data.folder, data.bucket, data.prefix, self._settings.region)
        self._regions.make_default_roles()
        self._driver.start()
        self._serving.start()
        if self._settings.with_parent:
            threading.Thread(target=self._watch_parent, args=(os.getppid(),), name="parent", daemon=True).start()

    def wait(self) -> bool:
        """Until it is to end; False when a defect of the emulator is the reason."""
        self._stop.wait()
        return not self._defective

    def close(self) -> None:
        """Ends all processes and removes all scratch folders."""
        self._driver.close()
        if self._serving.is_alive():
            self._server.shutdown()
        self._server.server_close()
        self._machine.close()

    def _application(self, writers: threading.RLock) -> Gate:
        calls, faults = CallLog(), Faults(OPERATIONS)
        moto = DomainDispatcherApplication(create_backend_app)
        emr = EmrApplication(self._driver, self._regions, faults)
        aws = AwsRouter(emr=emr, others=OneWriterAtATime(moto, writers))
        return Gate(
            admin=Admin(self._driver, calls, faults),
            webhdfs=WebHdfs(lambda: self.url),
            aws=Recorded(aws, calls, now=lambda: self._driver.clock()[0]),
        )

    def _durations(self, ids: Ids) -> Durations:
        law = self._settings.law
        if law is None:
            return WallDurations()
        return ModelDurations(ids, self._regions.cores, law, self._settings.noise)

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


def _banner(settings: Settings) -> str:
    if settings.law is None:
        durations = "Durations are this machine's (wall)."
    else:
        law = settings.law
        durations = (
            f"Durations follow a model, not this machine: a={law.a:g} b={law.b:g} c={law.c:g} d={law.d:g} s, "
            f"noise {settings.noise:g}."
        )
    return _BANNER.format(durations=durations, seed=settings.seed)
