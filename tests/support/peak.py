"""How much memory a piece of work takes, measured in a process of its own: that of the tests holds what all the tests
before it have left, and threads of theirs."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def growth_mib(work: Callable[[], Any]) -> float:
    """By how many MiB `work`, a function of a test's module, raises the peak of a process that has imported that
    module. What it raises fails here, with its text."""
    module = ".".join(Path(inspect.getfile(work)).relative_to(ROOT).with_suffix("").parts)
    command = [sys.executable, "-m", "tests.support.peak", module, work.__name__]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.splitlines()[-1])


def _peak_kib() -> int:
    """The most that this process has had; unlike getrusage's it begins anew with the program."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])


def _main(module: str, name: str) -> None:
    work = getattr(importlib.import_module(module), name)
    before = _peak_kib()
    if inspect.iscoroutinefunction(work):
        asyncio.run(work())
    else:
        work()
    print((_peak_kib() - before) / 1024)


if __name__ == "__main__":
    _main(*sys.argv[1:])
