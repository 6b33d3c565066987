"""`servo-emr report`: the records of the workspace as one HTML file."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from servo_emr.cli.output import Output, emit_json, note, unwritable
from servo_emr.cli.settings_file import file_of, load
from servo_emr.domain.errors import RunError, ServoEmrError, UsageError
from servo_emr.domain.run import RunRecord
from servo_emr.report.page import NoTemplates, Subject, prepare, write
from servo_emr.report.words import counted, lasted, usd
from servo_emr.wiring import Live, assemble

__all__ = ["report", "write_report"]


def report(
    context: typer.Context,
    path: Path = typer.Option(Path("report.html"), "--output", metavar="FILE", help="The file to write."),
    output: Output = typer.Option(
        Output.TEXT, "-o", help="text for people, json: one document on standard output, with the file's name in it."
    ),
) -> None:
    """Write one self-contained HTML file: the best settings, how sure that is, what the search cost, every run.

    Recommended is the cheapest: a deadline or a price limit of an optimizer is not known here.
    """
    # All that is read stays until the end: to look for garbage in it again and again takes a fifth of the time.
    gc.set_threshold(100_000, 20, 20)
    live = assemble(load(file_of(context.obj)), note, keeps_prices=False)
    written = asyncio.run(write_report(live, path))
    if output is Output.JSON:
        emit_json(written)
        return
    typer.echo(written["file"])
    note(_told(written))


async def write_report(live: Live, path: Path, recommended: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Writes the report of a workspace; its summary: file, bytes, counts, dollars, the settings that stand out.

    Args:
        recommended: the settings that an optimizer recommends; None: the cheapest that were measured.

    Raises:
        UsageError: the file cannot be written, or the `report` extra is not installed.
        ServoEmrError: there is no run to report.
        RunError: the workspace cannot be read.
    """
    unreadable: list[RunError] = []

    async def read() -> list[RunRecord]:
        return [record async for record in live.workspace.records(unreadable=unreadable.append)]

    try:
        records, _ = await asyncio.gather(read(), asyncio.to_thread(prepare))
    except NoTemplates as error:
        raise UsageError(f"this needs jinja2: pip install 'servo-emr[report]' ({error})") from error
    for left_out in unreadable:
        note(f"Left out: {left_out}")
    if not records:
        raise ServoEmrError(
            f"There is no run in {live.workspace.uri} to report. `servo-emr cycle` measures the job once."
        )
    subject = Subject(
        records=records,
        workspace=live.workspace.uri,
        made_at=live.clock.now(),
        configured=live.space.configured,
        recommended=recommended,
        emulated=live.workspace.emulated,
        unreadable=[left_out.message for left_out in unreadable],
    )
    try:
        return write(path, subject)
    except OSError as error:
        raise unwritable(path, error) from error


def _told(written: Mapping[str, Any]) -> str:
    """The summary in a sentence or two."""
    runs, failures = counted(written["runs"], "run"), counted(written["failed"], "failure")
    spent = f"{runs}, {failures}, {usd(written['spent_usd'])} spent."
    best = written["recommended"]
    found = "No run was measured."
    if best is not None:
        settings = ", ".join(f"{name}={value}" for name, value in best["settings"].items())
        found = f"Cheapest: {settings}: {usd(best['cost_usd'])} a run, {lasted(best['duration_s'])}."
    emulated = "EMULATED: none of these figures is Amazon's. " if written["emulated"] else ""
    return f"{emulated}{found} {spent}"
