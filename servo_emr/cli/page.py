"""`servo-emr open RUN`: the executed notebook of a run as a page of HTML."""

from __future__ import annotations

import asyncio
import sys
import webbrowser
from pathlib import Path
from typing import Optional

import typer

from servo_emr.cli.output import RUN, Output, emit_json, note, unwritable
from servo_emr.cli.settings_file import file_of, load
from servo_emr.cli.show import record_of
from servo_emr.domain.errors import Reason, TooLarge, UsageError, failure
from servo_emr.domain.run import RunRecord
from servo_emr.domain.spec import of_repeat
from servo_emr.notebook.page import NoRenderer, as_page
from servo_emr.wiring import Live, assemble

__all__ = ["open_run"]

_LARGEST = 50 * 1024 * 1024


def open_run(
    context: typer.Context,
    run: str = RUN,
    repeat: int = typer.Option(1, "--repeat", min=1, help="Which of the run's repeats."),
    output: Optional[Path] = typer.Option(None, "--output", help="The file to write; default: RUN.html."),
    form: Output = typer.Option(
        Output.TEXT, "-o", help="text for people, json: one document on standard output, with the file's name in it."
    ),
) -> None:
    """Write the executed notebook as one HTML file, and show it in the browser when you are at a terminal."""
    live = assemble(load(file_of(context.obj)), note)
    record, body = asyncio.run(_executed(live, run, repeat))
    try:
        page = as_page(body, f"{record.run_id}: {record.reason or record.state}")
    except NoRenderer as error:
        raise UsageError(f"this needs nbconvert: pip install 'servo-emr[notebook]' ({error})") from error
    except ValueError as error:
        message = f"The executed notebook of {run} cannot be shown: {error}."
        raise failure(Reason.NOTEBOOK, message, remedy=f"It is at {live.workspace.uri}/runs/{run}/.") from error
    path = output or Path(f"{run}.html")
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error
    if form is Output.JSON:
        emit_json({"run_id": run, "repeat": repeat, "file": str(path), "bytes": path.stat().st_size})
        return
    typer.echo(str(path))
    if sys.stdout.isatty():
        webbrowser.open(path.resolve().as_uri())


async def _executed(live: Live, run: str, repeat: int) -> tuple[RunRecord, bytes]:
    record = await record_of(live, run)
    first = str(record.urls.get("notebook", "")).rpartition(f"/{run}/")[2]
    if record.urls and not first:
        raise UsageError(f"run {run} measured no notebook; `servo-emr logs {run}` shows what its steps printed")
    name = of_repeat(first or "output.ipynb", repeat)
    try:
        body = await live.workspace.get(run, name, limit=_LARGEST)
    except TooLarge as error:
        uri = f"{live.workspace.uri}/runs/{run}/{name}"
        raise failure(
            Reason.NOTEBOOK,
            f"The executed notebook of {run} has {error.size} bytes; at most {_LARGEST} are made into a page.",
            remedy=f"Copy it: aws s3 cp {uri} .",
        ) from error
    if body is None:
        why = (
            "it has not written one yet" if not record.decided else f"it ended with {record.reason} before it wrote one"
        )
        raise UsageError(f"run {run} has no {name}: {why}. `servo-emr logs {run}` may say more")
    return record, body
