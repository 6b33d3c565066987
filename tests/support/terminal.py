"""A command at a terminal of a given width: a pseudo-terminal, as a person would have."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

__all__ = ["at_terminal"]


def at_terminal(*words: str, width: int, folder: Path, environment: Mapping[str, str]) -> str:
    """What `servo-emr` shows on a terminal that is so many columns wide, on both streams."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("servo-emr")), *words],
        cwd=folder,
        env={**kept, "TERM": "xterm-256color", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # the other end is closed: how a terminal says that nothing more comes
        process.wait(60)
    finally:
        os.close(ours)
    return shown.decode().replace("\r\n", "\n")
