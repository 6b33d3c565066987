"""EMR calls that one measured 40-minute run makes, counted at the emulator.

    python benchmarks/emr_calls.py

A fresh process measures a job of 31 minutes on a cluster that takes 7 to provision, by the emulator's stated law (no
noise), once with the sample's first guess of its duration (20 minutes), once with the history of the first run.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import httpx
import nbformat

from servo_emr.cli.emulated import emulator
from servo_emr.config import EMRConfiguration
from servo_emr.connector import EMRConnector

MOST = 25
JOB_S = 1860.0


def notebook(folder: Path) -> Path:
    """A notebook that does next to nothing: the law says how long its step takes."""
    document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print('done')")])
    document.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / "job.ipynb"
    nbformat.write(document, path)
    return path


def configuration(path: Path) -> EMRConfiguration:
    """The generated example with this notebook and no Spark."""
    return EMRConfiguration.generate(
        job={"notebook": str(path)}, cluster={"release_label": "emr-7.1.0", "applications": ["Hadoop"]}
    )


def measure(config: EMRConfiguration, url: str) -> tuple[float, dict[str, int]]:
    """One measurement by a fresh connector: (total_time in s, EMR calls by operation)."""
    before = len(httpx.get(f"{url}/_emulator/calls").json())
    measurement = asyncio.run(EMRConnector(config=config).measure(metrics=["total_time"]))
    counts: dict[str, int] = {}
    for call in httpx.get(f"{url}/_emulator/calls").json()[before:]:
        if call["service"] in ("elasticmapreduce", "emr"):
            counts[call["operation"]] = counts.get(call["operation"], 0) + 1
    return measurement.readings[0].value, counts


def main() -> int:
    """Prints the calls of both runs; 1 when one makes more than the bar."""
    most = 0
    with tempfile.TemporaryDirectory() as name:
        config = configuration(notebook(Path(name)))
        law = ["--model", f"a={JOB_S:g},b=0,c=0,d=0", "--noise", "0"]
        with emulator(
            region="us-east-1", durations="model", speed=600, data=[], buckets=["acme-servo"], further=law
        ) as url:
            for what in ("first guess 20 min", "from history"):
                total, counts = measure(config, url)
                calls = sum(counts.values())
                most = max(most, calls)
                listed = ", ".join(f"{n} {operation}" for operation, n in sorted(counts.items()))
                print(f"{what}: {total / 60:.1f} min, {calls} EMR calls (at most {MOST}): {listed}")
    return 0 if most <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
