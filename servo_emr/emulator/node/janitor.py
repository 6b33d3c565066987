"""What cleans up when an emulator is killed and cannot do it itself: a small process that outlives it.

It waits at the end of a pipe whose other end only the emulator holds; when that is closed, it ends the processes of
all nodes below the emulator's scratch folder and removes the folder. After an orderly end there is nothing left to do.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from servo_emr.emulator.node.node import sweep

__all__ = ["NODE", "Janitor"]

NODE = "node"
"""The name of a node's folder in its cluster's folder."""


class Janitor:
    """Started by the emulator once its scratch folder `root` is there."""

    def __init__(self, root: Path) -> None:
        # A session of its own: what is typed at a terminal, or sent to the emulator's group, does not end it.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "servo_emr.emulator.node.janitor", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """The emulator has cleaned up, as far as it could; returns when the janitor has ended too."""
        self._process.communicate()


def main() -> None:
    """Usage: janitor.py ROOT"""
    root = Path(sys.argv[1])
    sys.stdin.buffer.read()
    if root.exists():
        for folder in sorted(root.glob(f"*/{NODE}")):
            sweep(folder)
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
