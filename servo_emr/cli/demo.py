"""`servo-emr demo`: the main job on the embedded defaults: an emulated EMR, a real notebook, the real servo."""

from __future__ import annotations

import asyncio
import importlib.resources
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from servo_emr.cli.emulated import EMULATED, emulator
from servo_emr.cli.output import OUTPUT, Output, dollars, emit_json, note, seconds
from servo_emr.cli.settings_file import load
from servo_emr.cli.tables import table
from servo_emr.domain.errors import Reason, failure
from servo_emr.domain.run import RunRecord
from servo_emr.wiring import Live, assemble

__all__ = ["demo"]

BUCKET = "servo-emr-demo"
SETTINGS = (
    {"core.inst_type": "m5.xlarge", "core.replicas": "2"},
    {"core.inst_type": "m5.xlarge", "core.replicas": "6"},
    {"core.inst_type": "c5.xlarge", "core.replicas": "4"},
    {"core.inst_type": "r5.2xlarge", "core.replicas": "2"},
)
_PROGRESS = re.compile(r"(run \S+: .* USD so far.*)")
_MODEL = (
    "Durations follow the emulator's stated scaling law (docs/emulator.md), because two cores cannot show scaling; "
    "the notebooks really ran, and their metrics are what they computed."
)


def demo(
    keep: Path = typer.Option(Path("demo-output"), "--keep", help="Folder for the executed notebooks."),
    speed: float = typer.Option(600.0, "--speed", min=1.0, help="How fast emulated time passes between steps."),
    output: Output = OUTPUT,
) -> None:
    """Measure a Spark notebook on four emulated clusters, with the real servo commands."""
    with (
        importlib.resources.as_file(importlib.resources.files("servo_emr") / "demo") as assets,
        tempfile.TemporaryDirectory(prefix="servo-emr-demo-") as scratch,
    ):
        folder = Path(scratch)
        config = load(assets / "servo.yaml")
        note(f"{EMULATED}\n{_MODEL}\n")
        with (
            (folder / "emulator.log").open("w") as log,
            emulator(
                region=config.region,
                durations="model",
                speed=speed,
                data=[f"s3://{BUCKET}/job={assets}"],
                buckets=[BUCKET],
                further=["--seed", "demo"],
                log=log,
            ),
        ):
            for settings in SETTINGS:
                _servo(assets, folder, "adjust", *(f"{name}={value}" for name, value in settings.items()))
                _servo(assets, folder, "measure")
            live = assemble(config, note)
            records = asyncio.run(_records(live))
            rows = [_row(record, path) for record, path in asyncio.run(_kept(live, records, keep))]
    if output is Output.JSON:
        emit_json([record.to_json() for record in records])
    else:
        typer.echo(f"\n{table(rows)}\n")
        cheapest = min(records, key=lambda record: record.metrics["cost"])
        fastest = min(records, key=lambda record: record.metrics["duration"])
        typer.echo(f"Cheapest: {_settings(cheapest)}. Fastest: {_settings(fastest)}.")
        typer.echo(f"{EMULATED}\n{_MODEL}")


def _servo(assets: Path, folder: Path, *arguments: str) -> None:
    """One real servo command; its progress is shown as it comes, its log kept for a failure."""
    note(f"$ servo {' '.join(arguments)}")
    command = [str(Path(sys.executable).with_name("servo")), "-c", str(assets / "servo.yaml"), *arguments]
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = list(_shown(process))
    if process.wait() != 0:
        told = _told("".join(said))
        raise failure(Reason.BUG, f"servo {' '.join(arguments)} ended with status {process.returncode}:\n{told}")


def _told(said: str) -> str:
    """What a command that failed said of it: our failure block, else the end of all, without servox's traceback."""
    block = re.search(r"^.* - ((?:FAILED|REJECTED|STOPPED)\b.*?)(?=^\S|^  [|+]|\Z)", said, re.DOTALL | re.MULTILINE)
    return block[1].rstrip() if block is not None else "\n".join(said.splitlines()[-60:])


def _shown(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    before = ""
    for line in process.stdout:
        yield line
        if (found := _PROGRESS.search(line)) and found[1] != before:
            before = found[1]
            note(f"  {before}")


async def _records(live: Live) -> list[RunRecord]:
    records = [record async for record in live.workspace.records()]
    failed = [record for record in records if record.reason != Reason.SUCCESS]
    if failed:
        raise failure(Reason.BUG, f"run {failed[0].run_id} of the demo failed: {failed[0].reason}: {failed[0].message}")
    return records[::-1]


async def _kept(live: Live, records: list[RunRecord], keep: Path) -> list[tuple[RunRecord, Path]]:
    """Copies the executed notebooks out of the emulated S3, which ends with the demo."""
    kept = []
    for record in records:
        body = await live.workspace.get(record.run_id, "output.ipynb")
        if body is None:
            raise failure(Reason.NO_RESULT, f"run {record.run_id} left no output.ipynb")
        path = keep / f"{record.run_id}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        kept.append((record, path))
    return kept


def _settings(record: RunRecord) -> str:
    return f"{record.settings['core.replicas']} x {record.settings['core.inst_type']}"


def _row(record: RunRecord, notebook: Path) -> dict[str, Any]:
    phases, metrics = record.phases, record.metrics
    return {
        "CORE NODES": _settings(record),
        "PROVISIONING": seconds(phases["provisioning_time"]),
        "BOOTSTRAP": seconds(phases["bootstrap_time"]),
        "JOB": seconds(metrics["duration"]),
        "TEARDOWN": seconds(phases["teardown_time"]),
        "USD": dollars(metrics["cost"]),
        "ACCURACY": f"{metrics['accuracy']:.4f}",
        "NOTEBOOK": str(notebook),
    }
