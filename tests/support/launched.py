"""Programs of ours, each a process of its own that is forked from one which has imported what they need.

Importing servox, or moto, takes longer than most of what tests ask of them. What runs is the program itself, with the
arguments, folder, environment and streams that it is given, until it ends as an interpreter does. Unlike in a process
of its own from the beginning, all that it imports is there, imported in the environment of the one that forks; texts
have the same hashes in all of them; and /proc tells the other's command line.

Run as a module this is the process that forks: it is sent requests over a socket, each with the streams of the new
process and a pipe on which a keeper tells its id and, in the end, its exit status.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

__all__ = ["Launched", "launch", "run"]

ROOT = Path(__file__).parents[2]
PROGRAMS = {"servo": ("servo.entry_points", "run_cli"), "servo-emr": ("servo_emr.cli.main", "run")}
"""A console script -> the module and function that it calls, as pyproject.toml and servox's metadata have it."""
MOTO = tuple(f"moto.{service}.responses" for service in ("ec2", "iam", "s3", "sts"))
IMPORTED = {
    "servo": ("servo.entry_points", "servo_emr.connector", "servo_emr.cli.cycle", "servo_emr.cli.runs"),
    "emulator": ("servo_emr.cli.emulator", "servo_emr.emulator.app", *MOTO),
    "optimizer": ("servo_emr.cli.optimizer", "servo_emr.optimizer.app", "optuna"),
}
"""What each of the processes that fork has imported before."""
_LARGEST = 128 * 1024


class Launched:
    """A process that runs or has ended; what subprocess.Popen is for one that it has started itself."""

    def __init__(self, words: Sequence[str], told: int, stdout: IO[str] | None) -> None:
        self.args = list(words)
        self.stdout = stdout
        self.returncode: int | None = None
        self._told = told
        self._lock = threading.Lock()
        self.pid = int(_line(told))

    def poll(self) -> int | None:
        """Its exit status as subprocess has it, None while it runs."""
        with self._lock:
            if self.returncode is None and self._has_ended(0.0):
                self.returncode = int(_line(self._told))
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if not self._has_ended(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, patience: float | None) -> bool:
        if self.returncode is not None:
            return True
        poll = select.poll()
        poll.register(self._told, select.POLLIN)
        return bool(poll.poll(None if patience is None else patience * 1000))

    def __del__(self) -> None:
        os.close(self._told)


def launch(
    program: str,
    *words: str,
    folder: Path,
    environment: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.STDOUT,
) -> Launched:
    """Starts `servo` or `servo-emr` in a folder with this environment and no other; streams as subprocess takes them,
    or descriptors, which stay open here."""
    with contextlib.ExitStack() as ours:
        nothing = ours.enter_context(open(os.devnull, "r+")).fileno()
        reading: IO[str] | None = None
        if stdout == subprocess.PIPE:
            end, stdout = os.pipe()
            ours.callback(os.close, stdout)
            reading = os.fdopen(end)
        given = [nothing if stream == subprocess.DEVNULL else stream for stream in (stdin, stdout, stderr)]
        given[2] = given[1] if stderr == subprocess.STDOUT else given[2]
        told, telling = os.pipe()
        ours.callback(os.close, telling)
        request = {"program": program, "words": words, "folder": str(folder), "environment": dict(environment)}
        _forking(_kind(program, words)).send(json.dumps(request).encode(), [*given, telling])
    return Launched([program, *words], told, reading)


def run(
    program: str,
    *words: str,
    folder: Path,
    environment: Mapping[str, str],
    patience: float,
    apart: bool = True,
) -> subprocess.CompletedProcess[str]:
    """A program to its end; `apart`: whether its streams are kept apart, or both are in stdout."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = launch(
            program,
            *words,
            folder=folder,
            environment=environment,
            stdout=out.fileno(),
            stderr=err.fileno() if apart else subprocess.STDOUT,
        )
        try:
            status = process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        shown = [stream.read().decode() for stream in (out, err) if stream.seek(0) == 0]
    return subprocess.CompletedProcess(process.args, status, *shown)


def _line(stream: int) -> str:
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(stream, 1)
        assert piece, "the process that forks has ended"
        line += piece
    return line.decode()


def _kind(program: str, words: Sequence[str]) -> str:
    return words[0] if program == "servo-emr" and words and words[0] in IMPORTED else "servo"


# -- the process that forks, as it is seen from here


class _Forking:
    def __init__(self, kind: str) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.launched", kind, str(number)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[number],
            )
        atexit.register(self.end)

    def send(self, request: bytes, streams: Sequence[int]) -> None:
        assert len(request) < _LARGEST, "more than one packet takes"
        socket.send_fds(self._channel, [request], streams)

    def end(self) -> None:
        self._channel.close()
        self._process.wait(30)


_there: dict[str, _Forking] = {}
_making = threading.Lock()


def _forking(kind: str) -> _Forking:
    with _making:
        if kind not in _there:
            _there[kind] = _Forking(kind)
        return _there[kind]


# -- the process that forks, from within


def main(kind: str, number: int) -> None:
    """Answers requests until there are no more."""
    for module in IMPORTED[kind]:
        importlib.import_module(module)
    gc.freeze()  # none of it is garbage, in no fork
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who ask
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a keeper
    with socket.socket(fileno=number) as channel:
        while True:
            message, streams, _, _ = socket.recv_fds(channel, _LARGEST, 4)
            if not message:
                return
            if os.fork() == 0:
                channel.close()
                _keep(json.loads(message), streams)
            for stream in streams:
                os.close(stream)


def _keep(request: dict[str, Any], streams: list[int]) -> None:
    """Forks once more, and tells of the process its id and exit status. Does not return."""
    *given, telling = streams
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (child := os.fork()) == 0:
        os.close(telling)
        _become(request, given)
    os.dup2(0, 2)  # /dev/null: nobody who waits for the end of our standard error is kept waiting by a keeper
    for stream in given:
        os.close(stream)
    os.write(telling, f"{child}\n".encode())
    ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    with contextlib.suppress(BrokenPipeError):  # nobody wants to know any more
        os.write(telling, f"{status}\n".encode())
    os.waitpid(child, 0)  # only now can another process get its id, which who was told does not signal any more
    os._exit(0)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """The program, from its first line to what an interpreter does at its end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    tempfile.tempdir = None
    if "moto" in sys.modules:  # its ids are as random as those of any other
        importlib.import_module("moto.moto_api._internal").mock_random.seed()
    name = request["program"]
    sys.argv = [str(Path(sys.executable).with_name(name)), *request["words"]]
    sys.modules["__main__"] = types.ModuleType("__main__")  # click calls a program by its package if that has one
    module, function = PROGRAMS[name]
    status = 1
    try:
        status = _status(getattr(importlib.import_module(module), function))
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            status = 120
        if status == -signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        os._exit(status)


def _status(program: Callable[[], object]) -> int:
    """Runs it, and shows what an interpreter shows of what leaves it; its exit status, -2 for one to die of SIGINT."""
    try:
        program()
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        return 1 if isinstance(error.code, str) else int(error.code or 0)
    except BaseException as error:  # noqa: BLE001 - as an interpreter
        sys.excepthook(type(error), error, error.__traceback__)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
