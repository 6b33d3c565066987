"""The optimizer as a process: settings, study, server, put together and run until a signal."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import uvicorn

from servo_emr.optimizer.create_cluster import Command, create_cluster
from servo_emr.optimizer.flow import Flow
from servo_emr.optimizer.instances import packaged
from servo_emr.optimizer.limits import Limits
from servo_emr.optimizer.peers import Connection, Driver
from servo_emr.optimizer.policy import Policy
from servo_emr.optimizer.prices import Prices
from servo_emr.optimizer.search import Objective, Search, Space
from servo_emr.optimizer.server import Access, make_app
from servo_emr.optimizer.study import Study, StudyError, new_uid

__all__ = ["LOOPBACK", "Settings", "StudyError", "holding", "run", "until_told"]

LOOPBACK = "127.0.0.1"
_SQLITE = "sqlite:///"
_KEEP_ALIVE_S = 900
"""Longer than any sleep that a servo is sent to: its open connection says that it lives."""


@dataclass(frozen=True)
class Settings:
    """What the command line says.

    port 0 takes a free one; recheck_s: seconds between measurements of the best; command: what makes a command of the
    AWS CLI of recommended settings; with_parent: end when the process that started this one has ended.
    """

    storage: str
    access: Access
    port: int = 0
    host: str = LOOPBACK
    objective: Objective = field(default_factory=Objective)
    limits: Limits = field(default_factory=Limits)
    recheck_s: float = 7 * 86400.0
    prices: Prices | None = None
    seed: int = 0
    command: Command = create_cluster
    with_parent: bool = False


def run(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT; the exit status.

    Raises:
        OSError: the address cannot be listened on.
        StudyError: the storage cannot be used.
    """
    with holding(settings.storage):
        return _serve(settings)


@contextlib.contextmanager
def holding(storage: str) -> Iterator[None]:
    """Keeps another optimizer of this machine from the same study, as long as the block runs: two of them would number
    each other's trials. A study on a database server is left to whoever runs that.

    Raises:
        StudyError: another one holds it, or the file beside it that says so cannot be written.
    """
    path = storage.removeprefix(_SQLITE).partition("?")[0]
    if not storage.startswith(_SQLITE) or path.startswith(("file:", ":memory:")) or not path:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(open(f"{path}.lock", "a"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with the process, however that ends
        except BlockingIOError:
            raise StudyError(
                f"--storage {storage}: another optimizer holds this study; end it, or name another"
            ) from None
        except OSError as error:
            raise StudyError(f"--storage {storage}: {path}.lock cannot be written: {error.strerror}") from error
        yield


def _serve(settings: Settings) -> int:
    access = settings.access
    if access.application is None:
        # A study that is alone in its storage is gone on with, whoever the first servo is.
        known = Study.applications(settings.storage)
        access.application = known[0] if len(known) == 1 else None
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    logging.getLogger("servo_emr.optimizer").setLevel(logging.INFO)
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        until_told(_Serving(settings, listening), listening)
    finally:
        listening.close()
    return 0


def until_told(server: uvicorn.Server, listening: socket.socket) -> None:
    """Serves until SIGTERM or SIGINT, also one that comes before uvicorn looks out for them."""

    def told(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)  # uvicorn raises what it has caught once more when it has ended
    server.run(sockets=[listening])


class _Serving(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings, self._listening, self._parent = settings, listening, os.getppid()
        app = make_app(settings.access, self._flow, settings.command)
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=5,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self._listening.getsockname()[:2]
        print(f"listening on http://{host}:{port}", flush=True)

    async def on_tick(self, counter: int) -> bool:
        orphaned = self._settings.with_parent and os.getppid() != self._parent
        return await super().on_tick(counter) or orphaned

    def _flow(self, application: str) -> Flow:
        settings = self._settings

        def make_search(space: Space, seed: int) -> Search:
            return Search(space, settings.objective, settings.prices, packaged(), seed)

        study = Study.open(settings.storage, application)
        policy = Policy(
            study, settings.objective, make_search, time.time, settings.limits, settings.recheck_s, settings.seed
        )
        return Flow(policy, Driver(time.time, self._is_open), time.time, new_uid)

    def _is_open(self, connection: Connection) -> bool:
        # The loop's own set, looked at from another thread: a copy is made in one piece.
        return any(getattr(one, "client", None) == connection for one in set(self.server_state.connections))
