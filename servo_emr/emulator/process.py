"""Real processes on the emulated node: start one, look at it, end it with everything that it started.

A notebook's kernel leads a session of its own and outlives its parent, so a process is known here by what it inherits:
marks in its environment, the session it was born into, or a parent that is already known. Linux only: it reads /proc.
What runs, and why, is the node's business; nothing here knows a cluster, a shim or AWS.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Process", "ProcessesRemain", "kill_all", "start"]

_PROC = Path("/proc")
_PATIENCE = 30.0  # real seconds that killed processes get; only one stuck in the kernel needs more than a few
_NOT_STARTED = 127  # what a shell gives for a command that it cannot find


class ProcessesRemain(RuntimeError):
    """Processes of the emulated node outlived SIGKILL for half a minute."""


class _Seen(NamedTuple):
    """One live process; pid and start together name it for good, a pid alone is reused."""

    pid: int
    parent: int
    session: int
    start: int  # clock ticks after boot


def _look(pid: int) -> _Seen | None:
    """The process as it is now; None when it is gone or a zombie (nothing of that is left to kill)."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it vanished between the listing and here
        return None
    # The name in parentheses may hold anything, spaces and parentheses too: the fields begin after the last one.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return _Seen(pid=pid, parent=int(fields[1]), session=int(fields[3]), start=int(fields[19]))


def _carries(pid: int, marks: frozenset[bytes]) -> bool:
    try:
        environ = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:  # gone, or another user's: not one that we started
        return False
    return marks <= set(environ.split(b"\0"))


def _members(marks: frozenset[bytes], sessions: frozenset[int]) -> list[_Seen]:
    """Every live process that carries all the marks, sits in one of the sessions, or descends from such a one."""
    alive = {seen.pid: seen for entry in _PROC.iterdir() if entry.name.isdigit() and (seen := _look(int(entry.name)))}
    alive.pop(os.getpid(), None)
    found = {pid for pid, seen in alive.items() if seen.session in sessions or _carries(pid, marks)}
    grown = True
    while grown:
        children = {pid for pid, seen in alive.items() if seen.parent in found}
        grown = not children <= found
        found |= children
    return [alive[pid] for pid in found]


def kill_all(marks: Mapping[str, str], processes: Sequence[Process]) -> None:
    """End the processes, whatever they started, and whatever carries all the marks; return when they are gone.

    Looks again until a look finds nothing, because a process may fork between a look and its end.
    Raises ProcessesRemain when something is still there after half a minute.
    """
    entries = frozenset(f"{name}={value}".encode() for name, value in marks.items())
    sessions = frozenset(process.pid for process in processes if process.pid is not None)
    deadline = time.monotonic() + _PATIENCE
    while True:
        members = _members(entries, sessions)
        for seen in members:
            if _look(seen.pid) != seen:  # it ended, and its number may be another's by now
                continue
            try:
                os.kill(seen.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        ended = [process.poll() is not None for process in processes]  # poll also takes the zombie away
        if not members and all(ended):
            return
        if time.monotonic() > deadline:
            pids = sorted(seen.pid for seen in members)
            raise ProcessesRemain(f"processes {pids} of {dict(marks)} are still there {_PATIENCE:.0f} s after SIGKILL")
        time.sleep(0.01)


class Process:
    """One started process, leader of a session, and all that it starts. Any thread may call any method."""

    def __init__(self, popen: subprocess.Popen[bytes] | None, marks: Mapping[str, str]) -> None:
        """`popen` None: it could not be started, which looks like a command that ended with 127."""
        self._popen = popen
        self._marks = dict(marks)

    @property
    def pid(self) -> int | None:
        """The leader's process id, which is also its session's; None when nothing was started."""
        return self._popen.pid if self._popen is not None else None

    def poll(self) -> int | None:
        """The leader's exit status, negative for a signal; None while it runs. What it left behind may still run."""
        return self._popen.poll() if self._popen is not None else _NOT_STARTED

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the leader's end, at most `timeout` real seconds; the exit status, or None if it still runs."""
        if self._popen is None:
            return _NOT_STARTED
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

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
