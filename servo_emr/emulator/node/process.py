"""Real processes on the emulated node: start one, look at it, end it with everything that it started.

A notebook's kernel leads a session of its own and outlives its parent, so a process is known here by what it inherits:
marks in its environment, the session it was born into, or a parent that is already known. Linux only: it reads /proc.
What runs, and why, is the node's business; nothing here knows a cluster, a shim or AWS.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Process", "ProcessesRemain", "kill_all", "start"]

_PROC = Path("/proc")
_PATIENCE = 30.0  # real seconds that killed processes get; only one stuck in the kernel needs more than a few
_LOOKS = 5  # in a row that find nothing, on a machine where other processes come and go at every look
_NOT_STARTED = 127  # what a shell gives for a command that it cannot find


class ProcessesRemain(RuntimeError):
    """Processes of the emulated node outlived SIGKILL for half a minute."""


class _Name(NamedTuple):
    """What names a process for good: its number alone is reused."""

    pid: int
    start: int  # clock ticks after boot


class _Seen(NamedTuple):
    """A process at the moment of a look; its parent becomes another one when that ends."""

    name: _Name
    parent: int
    session: int
    dead: bool  # a zombie: nothing of it is left to kill


def _look(pid: int) -> _Seen | None:
    """The process as it is now; None when it is gone."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold anything, spaces and parentheses too: the fields begin after the last one.
    fields = stat.rpartition(")")[2].split()
    return _Seen(_Name(pid, int(fields[19])), int(fields[1]), int(fields[3]), fields[0] in "ZX")


def _carries(pid: int, marks: frozenset[bytes]) -> bool:
    try:
        environ = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:  # gone, or another user's: not one that we started
        return False
    return marks <= set(environ.split(b"\0"))


def _members(marks: frozenset[bytes], sessions: frozenset[int]) -> tuple[list[_Seen], bool]:
    """Every live process that carries all the marks, sits in one of the sessions, or descends from such a one.

    And whether that is certain: a process that ended while we looked may have left a child that was not yet to be seen.
    """
    alive: dict[int, _Seen] = {}
    found: set[int] = set()
    certain = True
    for pid in sorted((int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()), reverse=True):
        seen = _look(pid)
        if seen is None:
            certain = False
        elif not seen.dead and pid != os.getpid():
            alive[pid] = seen
            if seen.session in sessions or _carries(pid, marks):
                found.add(pid)
    grown = True
    while grown:
        children = {pid for pid, seen in alive.items() if seen.parent in found}
        grown = not children <= found
        found |= children
    return [alive[pid] for pid in found], certain


def kill_all(marks: Mapping[str, str], processes: Sequence[Process]) -> None:
    """End the processes, whatever they started, and whatever carries all the marks; return when they are gone.

    All are stopped before any is killed: a stopped process forks no more, and a child without the marks is known only
    as long as its parent lives. Raises ProcessesRemain when something is still there after half a minute.
    """
    entries = frozenset(f"{name}={value}".encode() for name, value in marks.items())
    sessions = frozenset(process.session for process in processes if process.session is not None)
    deadline = time.monotonic() + _PATIENCE
    stopped: set[_Name] = set()
    in_vain = 0
    while True:
        members, certain = _members(entries, sessions)
        late = time.monotonic() > deadline
        fresh = [seen for seen in members if seen.name not in stopped]
        if fresh and not late:
            for seen in fresh:
                _send(signal.SIGSTOP, seen)
                stopped.add(seen.name)
            continue
        for seen in members:
            _send(signal.SIGKILL, seen)
        ended = [process.poll() is not None for process in processes]
        in_vain = 0 if members else in_vain + 1
        if all(ended) and not members and (certain or in_vain >= _LOOKS):
            for process in processes:
                process.let_go()
            return
        if late:
            pids = sorted(seen.name.pid for seen in members)
            raise ProcessesRemain(f"processes {pids} of {dict(marks)} are still there {_PATIENCE:.0f} s after SIGKILL")
        time.sleep(0.01)


def _send(number: signal.Signals, seen: _Seen) -> None:
    """Signal the process, unless it has ended: its number may be another's by now."""
    now = _look(seen.name.pid)
    if now is not None and now.name == seen.name:
        with contextlib.suppress(ProcessLookupError):
            os.kill(seen.name.pid, number)


class Process:
    """One started process, leader of a session, and all that it starts. Any thread may call any method.

    A leader that has ended stays a zombie until `kill`: its number is its session's too, and must become nobody else's.
    """

    def __init__(self, popen: subprocess.Popen[bytes] | None, marks: Mapping[str, str]) -> None:
        """`popen` None: it could not be started, which looks like a command that ended with 127."""
        self._popen = popen
        self._marks = dict(marks)
        self._status = _NOT_STARTED if popen is None else None
        self._session = popen.pid if popen is not None else None
        self._lock = threading.Lock()

    @property
    def session(self) -> int | None:
        """The number of the leader and of its session; None once all of it is gone, or when nothing was started."""
        return self._session

    def poll(self) -> int | None:
        """The leader's exit status, negative for a signal; None while it runs. What it left behind may still run."""
        with self._lock:
            if self._status is None and self._popen is not None:
                ended = os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is not None:
                    exited = ended.si_code == os.CLD_EXITED
                    self._status = ended.si_status if exited else -ended.si_status
            return self._status

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the leader's end, at most `timeout` real seconds; the exit status, or None if it still runs."""
        with self._lock:
            running = self._popen if self._status is None else None
            descriptor = os.pidfd_open(running.pid) if running is not None else None
        if descriptor is not None:
            try:
                end = select.poll()
                end.register(descriptor, select.POLLIN)
                end.poll(None if timeout is None else timeout * 1000)
            finally:
                os.close(descriptor)
        return self.poll()

    def let_go(self) -> None:
        """Give the leader's number back to the system: it has ended, and nothing of its session is left."""
        with self._lock:
            self._session = None
            if self._popen is not None:
                self._popen.wait()

    def kill(self) -> None:
        """SIGKILL the whole tree, those in sessions of their own included; return when all of it is gone.

        May be repeated. Raises ProcessesRemain when something survives for half a minute.
        """
        kill_all(self._marks, [self])


def start(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    stdout: Path,
    stderr: Path,
    marks: Mapping[str, str],
) -> Process:
    """Start argv in `folder` with exactly that environment and the marks, without a shell, its output in the two files.

    A command that cannot be started gives a Process with exit status 127 and the reason in `stderr`, as on a real node:
    a wrong command fails its step and nothing else.
    """
    with stdout.open("wb") as out, stderr.open("wb") as err:
        try:
            popen = subprocess.Popen(
                list(argv),
                cwd=folder,
                env={**environment, **marks},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            err.write(f"Cannot run program {argv[0]!r} on the emulated node: {error.strerror}\n".encode())
            return Process(None, marks)
    return Process(popen, marks)
