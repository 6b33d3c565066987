"""Whole-process time of `servo describe` over that of `servo version`, taken in turn in one run.

    python benchmarks/describe.py [--runs 9]

Both start the same interpreter and import the same servox; what is above 1 is this connector's: its imports, the
configuration, and one read of the workspace, which an emulator on this machine answers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from servo_emr.cli.emulated import emulator

ROOT = Path(__file__).resolve().parent.parent
SERVO = Path(sys.executable).with_name("servo")
MOST = 1.6


def seconds(command: list[str], folder: str) -> float:
    """One run of a command, with a non-zero exit status an error."""
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=dict(os.environ), stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return time.perf_counter() - began


def main() -> int:
    """Prints both medians and the median of the ratios; 1 when it is above the bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    describe = [str(SERVO), "-c", str(ROOT / "servo.yaml"), "describe"]
    version = [str(SERVO), "version"]
    with (
        tempfile.TemporaryDirectory() as folder,
        emulator(region="us-east-1", durations="wall", speed=1.0, data=[], buckets=["acme-servo"]),
    ):
        pairs = [(seconds(describe, folder), seconds(version, folder)) for _ in range(runs + 1)][1:]
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"servo describe: median {statistics.median(a for a, _ in pairs):.3f} s")
    print(f"servo version:  median {statistics.median(b for _, b in pairs):.3f} s")
    print(f"ratio: median {ratio:.2f} over {runs} pairs (at most {MOST})")
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
