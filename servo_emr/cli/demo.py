"""`servo-emr demo`: the main job on the embedded defaults: an emulated EMR, a real notebook, the real servo, and the
bundled optimizer that drives it until it has found the cheapest cluster."""

from __future__ import annotations

import asyncio
import importlib.resources
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from servo_emr.cli.demo_display import core_nodes, display
from servo_emr.cli.demo_parts import optimizer, servo, statuses
from servo_emr.cli.emulated import EMULATED, emulator
from servo_emr.cli.output import OUTPUT, Output, dollars, emit_json, note, seconds
from servo_emr.cli.report import write_report
from servo_emr.cli.settings_file import load
from servo_emr.cli.tables import table
from servo_emr.domain.errors import Reason, failure
from servo_emr.domain.run import RunRecord
from servo_emr.wiring import Live, assemble

__all__ = ["demo"]

BUCKET = "servo-emr-demo"
_MODEL = (
    "Durations follow the emulator's stated scaling law (docs/emulator.md), because two cores cannot show scaling; "
    "the notebooks really ran, and their metrics are what they computed."
)


def demo(
    keep: Path = typer.Option(Path("demo-output"), "--keep", help="Folder for the executed notebooks."),
    speed: float = typer.Option(600.0, "--speed", min=1.0, help="How fast emulated time passes between steps."),
    runs: int = typer.Option(8, "--runs", min=2, help="How many runs the optimizer may make at most."),
    report: Path = typer.Option(Path("report.html"), "--report", metavar="FILE", help="The report to write."),
    output: Output = OUTPUT,
) -> None:
    """Find the cheapest emulated cluster for a Spark notebook, with the real servo and the bundled optimizer."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is ended, the servo first
    with (
        importlib.resources.as_file(importlib.resources.files("servo_emr") / "demo") as assets,
        tempfile.TemporaryDirectory(prefix="servo-emr-demo-") as scratch,
    ):
        folder, settings = Path(scratch), assets / "servo.yaml"
        config = load(settings)
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
            status = _searched(settings, folder, runs)
            live = assemble(config, note)
            records = asyncio.run(_records(live))
            keep.mkdir(parents=True, exist_ok=True)
            notebooks = asyncio.run(_kept(live, records, keep))
            shutil.copy(folder / "study.db", keep / "study.db")
            best = status["best"]
            asyncio.run(write_report(live, report, None if best is None else best["settings"]))
    if output is Output.JSON:
        emit_json([record.to_json() for record in records])
    else:
        typer.echo(f"\n{_outcome(status, {record.run_id: record for record in records}, notebooks)}\n")
        typer.echo(f"The report: {report}\n")
        typer.echo(f"{EMULATED}\n{_MODEL}")


def _searched(settings: Path, folder: Path, runs: int) -> dict[str, Any]:
    """The whole search, shown as it goes on; the optimizer's last word."""
    note("$ servo-emr prices -o json > prices.json")
    command = [sys.executable, "-m", "servo_emr.cli", "-c", str(settings), "prices", "-o", "json"]
    with (folder / "prices.json").open("w") as prices:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=prices, check=True, env=dict(os.environ))
    note(f"$ servo-emr optimizer --port 0 --storage sqlite:///study.db --prices prices.json --runs {runs}")
    words = ["--prices", str(folder / "prices.json"), "--runs", str(runs)]
    status: dict[str, Any] = {}
    with optimizer(folder, settings, words) as environment, servo(settings, folder, environment) as running:
        note(f"$ OPSANI_BASE_URL={environment['OPSANI_BASE_URL']} servo run")
        with display() as show:
            for status in statuses(environment["OPSANI_BASE_URL"], running):
                show(status)
    return status


async def _records(live: Live) -> list[RunRecord]:
    """The oldest first. What a search may meet is part of it; anything else is a failure of the demo."""
    records = [record async for record in live.workspace.records()]
    met = (Reason.SUCCESS, Reason.DEADLINE, Reason.MAX_COST)
    failed = [record for record in records if record.reason not in met]
    if failed:
        raise failure(Reason.BUG, f"run {failed[0].run_id} of the demo failed: {failed[0].reason}: {failed[0].message}")
    return records[::-1]


async def _kept(live: Live, records: list[RunRecord], keep: Path) -> dict[str, Path]:
    """Copies the executed notebooks out of the emulated S3, which ends with the demo; their paths by run."""
    kept = {}
    for record in records:
        body = await live.workspace.get(record.run_id, "output.ipynb")
        if body is None and record.reason == Reason.SUCCESS:
            raise failure(Reason.NO_RESULT, f"run {record.run_id} left no output.ipynb")
        if body is not None:
            kept[record.run_id] = keep / f"{record.run_id}.ipynb"
            kept[record.run_id].write_bytes(body)
    return kept


def _outcome(status: Mapping[str, Any], records: Mapping[str, RunRecord], notebooks: Mapping[str, Path]) -> str:
    rows = [_row(trial, records.get(trial["run_id"]), notebooks) for trial in status["trials"]]
    best, saving = status["best"], status["saving"]
    lines = [table(rows), ""]
    if best is not None:
        often = f"measured {best['repeats']} times" if best["repeats"] > 1 else "measured once"
        lines.append(f"Cheapest: {core_nodes(best['settings'])}, {dollars(best['cost_usd'])} USD a run, {often}.")
    if saving is not None and saving["share"] < 0.005:
        lines.append("The settings before it were as good.")
    elif saving is not None:
        lines.append(f"Saves {saving['share']:.0%} a run of what the settings before it cost.")
    lines.append(f"Why it stopped: {status['why']}")
    lines.append(f"The search itself took {status['runs']} runs and {dollars(status['spent_usd'])} USD, emulated.")
    if status["recommendation"]:
        lines.append(f"As a command:\n  {status['recommendation']['command']}")
    return "\n".join(lines)


def _row(trial: Mapping[str, Any], record: RunRecord | None, notebooks: Mapping[str, Path]) -> dict[str, Any]:
    metrics = record.metrics if record is not None else {}
    done = trial["state"] == "done"
    return {
        "TRIAL": trial["kind"],
        "CORE NODES": core_nodes(trial["settings"]),
        "JOB": seconds(trial["duration_s"]) if done else trial["reason"],
        "USD": dollars(trial["cost_usd"] if done else trial["spent_usd"]),
        "EXPECTED": dollars(trial["predicted_cost_usd"]),
        "ACCURACY": f"{metrics['accuracy']:.4f}" if "accuracy" in metrics else "",
        "NOTEBOOK": str(notebooks.get(trial["run_id"], "")),
    }
