"""A command at a terminal of a given width: a pseudo-terminal, as a person would have."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

__all__ = ["COLOUR", "at_terminal", "uncoded"]

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""A code that changes colours or weight, or takes it back."""
_CODE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def uncoded(shown: str) -> str:
    """What is left without the codes that a terminal takes as orders."""
    return _CODE.sub("", shown).replace("\r", "\n")


def at_terminal(
    *words: str, width: int, folder: Path, environment: Mapping[str, str], interrupt_at: str | None = None
) -> str:
    """What `servo-emr` shows on a terminal that is so many columns wide, on both streams.

    Args:
        interrupt_at: once this has been shown the command is sent SIGINT, as Ctrl-C does; it must then end well.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
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
            if interrupt_at is not None and interrupt_at.encode() in shown:
                process.send_signal(signal.SIGINT)
                interrupt_at = None
    except OSError:  # the other end is closed: how a terminal says that nothing more comes
        process.wait(60)
    finally:
        os.close(ours)
    return shown.decode().replace("\r\n", "\n")
