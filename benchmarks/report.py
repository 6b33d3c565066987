"""How long the report of 1,000 runs takes: to build from a workspace on an emulator, and to be usable in a browser.

    python benchmarks/report.py [--runs 1000] [--times 5]

The records are those of `tests.support.history`, put into the S3 of an emulator of its own, and bundled there as a
servo does it that reads the last ones now and then. Each time a new process is begun, and measured in it are the import
of what the report needs, the reading of all records, and the making of the file; servox and the command line are left
out. Then a headless Chromium opens the file: until its table can be used, and until all charts are drawn. Medians of
the times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from servo_emr.aws.door import Door  # noqa: E402
from servo_emr.aws.workspace import S3Workspace  # noqa: E402
from servo_emr.cli.emulated import emulator  # noqa: E402
from servo_emr.lifecycle.past import read_past  # noqa: E402
from tests.support.browser import browser  # noqa: E402
from tests.support.history import history  # noqa: E402

URI = "s3://acme-servo/nightly-etl"
BUILT_S, USABLE_S, LARGEST = 2.0, 2.0, 6_000_000
BUILD = """
import asyncio, gc, json, sys, time
gc.set_threshold(100_000, 20, 20)  # as the command does
began = time.perf_counter()
from pathlib import Path
from servo_emr.aws.door import Door
from servo_emr.aws.workspace import S3Workspace
from servo_emr.report.page import Subject, prepare, write
loaded = time.perf_counter()
workspace = S3Workspace(Door("us-east-1"), sys.argv[1])
async def read():
    return [record async for record in workspace.records()]
async def both():
    return await asyncio.gather(read(), asyncio.to_thread(prepare))
records, _ = asyncio.run(both())
there = time.perf_counter()
told = write(Path(sys.argv[2]), Subject(records, sys.argv[1], time.time(), emulated=workspace.emulated))
print(json.dumps({
    "loading": loaded - began, "reading": there - loaded, "writing": time.perf_counter() - there,
    "cpu": time.process_time(), "runs": told["runs"], "bytes": told["bytes"],
}))
"""


async def put(count: int) -> None:
    """Puts so many records into the workspace, a few dozen at a time, and reads the last ones after each as a servo
    does before a launch."""
    workspace = S3Workspace(Door("us-east-1"), URI)
    records = await asyncio.to_thread(history, count, 9, True)
    for start in range(0, count, 32):
        some = records[start : start + 32]
        await asyncio.gather(*(workspace.save(record, None) for record in some))
        await read_past(workspace, some[-1].created_at)
        await workspace.bundle()


def built(path: Path) -> dict[str, float]:
    """The seconds of one build in a process of its own."""
    command = [sys.executable, "-c", BUILD, URI, str(path)]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


async def opened(path: Path, times: int) -> tuple[list[float], list[float]]:
    """(seconds until the table can be used, seconds until all is drawn) of each opening."""
    usable, drawn = [], []
    async with browser() as chromium:
        for _ in range(times + 1):
            began = time.perf_counter()
            seen = await chromium.open(path.as_uri())
            await seen.page.wait_for_selector("html[data-usable=yes]", state="attached")
            usable.append(time.perf_counter() - began)
            await seen.page.wait_for_selector("html[data-drawn=yes]", state="attached")
            drawn.append(time.perf_counter() - began)
            await chromium.close()
    return usable[1:], drawn[1:]  # the first one starts the browser's own parts


def yardstick() -> float:
    """CPU seconds of a loop of three million products: what the other figures are to be read against."""
    began, total = time.process_time(), 0
    for number in range(3_000_000):
        total += number * number
    return time.process_time() - began


def main() -> int:
    """Prints the medians; 1 when one is above its bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        with emulator(region="us-east-1", durations="model", speed=1.0, data=[], buckets=["acme-servo"]):
            asyncio.run(put(arguments.runs))
            found = [built(path) for _ in range(arguments.times)]
        usable, drawn = asyncio.run(opened(path, arguments.times))
        size = path.stat().st_size
    parts = {name: statistics.median(one[name] for one in found) for name in ("loading", "reading", "writing", "cpu")}
    total = statistics.median(sum(one[name] for name in ("loading", "reading", "writing")) for one in found)
    print(
        f"{found[0]['runs']} runs, {size:,} bytes (at most {LARGEST:,}); load of this machine {os.getloadavg()[0]:.1f}"
    )
    print(f"built: median {total:.2f} s of {arguments.times} (at most {BUILT_S:g}):", end=" ")
    print(", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items()))
    print(f"a loop of three million products: {yardstick():.2f} s of the processor")
    print(f"usable in Chromium: median {statistics.median(usable):.2f} s (at most {USABLE_S:g})", end="; ")
    print(f"all drawn: {statistics.median(drawn):.2f} s")
    good = total <= BUILT_S and statistics.median(usable) <= USABLE_S and size <= LARGEST
    return 0 if good and found[0]["runs"] == arguments.runs else 1


if __name__ == "__main__":
    sys.exit(main())
