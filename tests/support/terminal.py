"""A command at a terminal of a given width, a pseudo-terminal as a person would have, or with pipes for its streams."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.launched import launch
from tests.support.servo import PATIENCE, command

__all__ = ["COLOUR", "Cli", "at_terminal", "uncoded"]

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""A code that changes colours or weight, or takes it back."""
_CODE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Cli:
    """`servo-emr` in a folder."""

    folder: Path
    environment: Mapping[str, str]

    def terminal(self, *words: str, width: int, **environment: str) -> str:
        """What is shown on a terminal that is so many columns wide, on both streams."""
        return at_terminal(*words, width=width, folder=self.folder, environment={**self.environment, **environment})

    def pipe(self, *words: str, patience: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """With a stream of its own for each."""
        return command("servo-emr", *words, folder=self.folder, environment=self.environment, patience=patience)


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
    process = launch(
        "servo-emr",
        *words,
        folder=folder,
        environment={**kept, "TERM": "xterm-256color", **environment},
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
