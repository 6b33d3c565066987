"""What asks a package index, once more if it fails: one that answers badly for a moment is no defect of ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

__all__ = ["pip", "twice"]

Completed = subprocess.CompletedProcess[str]


def twice(ask: Callable[[], Completed]) -> Completed:
    """The first answer that is a success, or the second."""
    first = ask()
    return first if first.returncode == 0 else ask()


def pip(*words: str) -> Completed:
    """Our own pip, quietly, without what packages need."""
    command = [sys.executable, "-m", "pip", words[0], "--quiet", "--disable-pip-version-check", "--no-deps", *words[1:]]
    return twice(lambda: subprocess.run(command, capture_output=True, text=True, timeout=200, check=False))
