"""Finds and kills the processes that a notebook run has started. Linux; Python 3.7 to 3.12.

Copied to the cluster with run_notebook.py and run_command.py. Knows nothing of notebooks: descendants, groups, and a
mark in the environment by which those are found that have left both.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

MARK = "SERVO_EMR_NOTEBOOK_MARK"
"""The environment variable that every process of a run inherits."""


def say(text: object) -> None:
    print(f"{Path(sys.argv[0]).stem}: {text}", file=sys.stderr, flush=True)


def adopt_orphans() -> None:
    """Makes orphaned descendants ours, so that a process that detached itself and cleared its environment is found."""
    set_child_subreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(set_child_subreaper, 1, 0, 0, 0) != 0:
        say(f"prctl: {os.strerror(ctypes.get_errno())}; detached processes are found by their environment alone")


def proc_file(pid: int, name: str) -> bytes:
    """The bytes of /proc/PID/NAME; none when the process has gone or is another user's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def started_by(root: int, mark: bytes) -> set[int]:
    """The living processes that descend from `root` or carry `mark` in their environment, `root` left out."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for pid in [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]:
        state_and_parent = proc_file(pid, "stat").rpartition(b")")[2].split()[:2]
        if len(state_and_parent) == 2 and state_and_parent[0] not in (b"Z", b"X"):
            parents[pid] = int(state_and_parent[1])
            if mark in proc_file(pid, "environ").split(b"\0"):
                found.add(pid)
    more = True
    while more:
        children = {pid for pid, parent in parents.items() if parent == root or parent in found}
        more = not children <= found
        found |= children
    return found - {root}


def kill_all(mark: bytes) -> None:
    """Kills what this process has started, whole groups at a time: a kernel leads a session of its own."""
    survivors: set[int] = set()
    for _ in range(50):
        survivors = started_by(os.getpid(), mark)
        if not survivors:
            return
        for pid in survivors:
            # It may have gone already; another user's stays, and is named below.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) != os.getpgrp():
                    os.killpg(os.getpgid(pid), signal.SIGKILL)
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    say(f"still alive: {sorted(survivors)}")
