"""`servo-emr runs` and `resume`: the records of the workspace, and the breaker that is read off them."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import typer

from servo_emr.cli.chosen import Chosen, Sort, chosen_by
from servo_emr.cli.output import OUTPUT, Output, coloured, columns, dollars, emit_json, fitted, note, seconds, when
from servo_emr.cli.settings_file import file_of, load
from servo_emr.cli.tables import table
from servo_emr.domain.errors import Reason, RunError, UsageError, Verdict
from servo_emr.domain.run import RunRecord
from servo_emr.lifecycle import breaker
from servo_emr.lifecycle.guards import so_far, spent
from servo_emr.lifecycle.past import read_past
from servo_emr.report.nodes import cluster
from servo_emr.report.table import rows, to_csv
from servo_emr.wiring import Live, assemble

__all__ = ["LISTED", "Listing", "left_out", "listing", "resume", "row", "runs"]

DROPPED = ("CLUSTER", "WHEN (UTC)", "STATE", "DURATION")
"""What a narrow terminal does without, in this order: the run's id tells when it began."""


_NODES = 12
"""Columns that the nodes may be wrapped into, if no type is longer, before a list of runs becomes facts: what the
longest reason leaves of 80."""


LISTED = 50
"""How many runs are listed for people where no number is asked for; what is read by a program is whole."""


class Listing(enum.StrEnum):
    """Forms of a list of runs."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True)
class _Found:
    """The chosen records, newest first or as sorted, and why the breaker is open; None: it is closed."""

    records: Sequence[RunRecord]
    breaker: str | None


def row(record: RunRecord, now: float) -> dict[str, str]:
    """A run in one line of a table; `now` for what one under way has cost so far."""
    total = so_far(record, now) if not record.decided and record.launched_at is not None else spent(record)
    unbilled = not record.cost and total > 0
    return {
        "RUN": record.run_id,
        "WHEN (UTC)": when(record.created_at),
        "NODES": cluster(record),
        "STATE": str(record.state),
        "OUTCOME": record.reason or "",
        # What a run took that did not succeed is no duration of the job.
        "DURATION": seconds(record.phases.get("duration")) if record.verdict is Verdict.SUCCEEDED else "",
        "USD": f"{'~' if unbilled else ''}{dollars(total)}",
        "CLUSTER": record.cluster_id or "",
    }


def runs(
    context: typer.Context,
    last: Optional[int] = typer.Option(
        None,
        "-n",
        "--last",
        "--limit",
        min=1,
        help=f"At most so many: the newest, or by --sort the first; default: {LISTED}; json, csv: all.",
    ),
    verdict: list[str] = typer.Option(
        [], "--verdict", metavar="WORD", help="Only with this verdict or reason, or `unfinished`; may be repeated."
    ),
    since: Optional[str] = typer.Option(None, "--since", help="Only since then: 90m, 24h, 7d, or 2026-11-28 (UTC)."),
    assignments: list[str] = typer.Option(
        [], "--set", metavar="COMPONENT.SETTING=VALUE", help="Only with this setting; may be repeated."
    ),
    sort: Sort = typer.Option(Sort.WHEN, "--sort", help="By when (newest first), duration or usd (least first)."),
    reverse: bool = typer.Option(False, "--reverse", help="The other way round."),
    watch: bool = typer.Option(False, "--watch", "-w", help="Go on until Ctrl-C; elsewhere than on a terminal, lines."),
    every: float = typer.Option(5.0, "--every", min=0.1, help="With --watch: seconds between two looks."),
    output: Listing = typer.Option(Listing.TEXT, "-o", "--output", help="text for people; json: records; csv: rows."),
) -> None:
    """List the runs of the workspace, newest first."""
    live = assemble(load(file_of(context.obj)), note)
    if last is None and output is Listing.TEXT:
        last = LISTED
    which = chosen_by(last, verdict, since, assignments, sort, reverse, live.clock.now())
    if watch:
        if output is not Listing.TEXT:
            raise UsageError(f"--watch: one document cannot be watched; leave out -o {output}")
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_watch(live, which, every))
        return
    found = asyncio.run(_found(live, which))
    if found.breaker is not None:
        note(_open(found.breaker))
    if output is Listing.JSON:
        emit_json([record.to_json() for record in found.records])
    elif output is Listing.CSV:
        typer.echo(to_csv(rows(found.records)), nl=False)
    else:
        text, notes = _listed(live, found, which)
        typer.echo(text)
        for sentence in notes:
            note(sentence)


def _listed(live: Live, found: _Found, which: Chosen) -> tuple[str, list[str]]:
    """The list, and what has to be said of it."""
    if not found.records:
        where = live.workspace.uri
        return f"No run in {where} is what was asked for." if which.narrows else f"No runs yet in {where}.", []
    shown = [row(record, live.clock.now()) for record in found.records]
    styles = {}
    if coloured():
        reasons = {record.reason or "" for record in found.records}
        styles = {"OUTCOME": {name: "green" if name == Reason.SUCCESS else "red" for name in reasons}}
    text = listing(shown, columns(), styles)
    notes = []
    if len(shown) == which.last == LISTED:
        notes.append(f"At most {LISTED} are listed: -n 1000 lists more, -o csv and -o json have all.")
    if any(one["USD"].startswith("~") for one in shown):
        notes.append("~ marks a running total at the cluster's full rate: there is no bill, or none yet.")
    if missing := left_out(shown, text):
        notes.append(f"No room for {', '.join(missing)}: a wider terminal, `servo-emr show RUN` or -o csv has them.")
    return text, notes


def listing(shown: Sequence[Mapping[str, str]], width: int | None, styles: Mapping[str, Mapping[str, str]]) -> str:
    """Rows of runs as a table that fits: less is shown, then the nodes take several lines."""
    words = [len(word) for one in shown for word in one["NODES"].split()]
    return table(shown, width, "NODES", DROPPED, styles, least=max(_NODES, *words))


def left_out(shown: Sequence[Mapping[str, str]], text: str) -> list[str]:
    """The columns that a listing does without although a run has something in them: facts name no empty ones."""
    return [name for name in shown[0] if name not in text and any(one[name] for one in shown)]


async def _found(live: Live, which: Chosen) -> _Found:
    unreadable: list[RunError] = []
    records = await which.of(live.workspace, unreadable.append)
    for error in unreadable:
        note(f"Left out: {error}")
    if unreadable:
        note("While a record cannot be read nothing is launched, and the breaker cannot be told.")
        return _Found(records, None)
    past = await read_past(live.workspace, live.clock.now())
    standing = breaker.standing(past, await breaker.resumed_at(live.workspace))
    why = standing.open_because(live.config.limits.unproductive_spend)
    return _Found(records, why)


def _open(why: str) -> str:
    return f"The breaker is open: {why}. `servo-emr resume` closes it."


async def _watch(live: Live, which: Chosen, every: float) -> None:
    """Looks until it is stopped: a terminal shows the list anew, elsewhere a line says what has changed."""
    if not sys.stdout.isatty():
        await _append(live, which, every)
        return
    from rich.console import Console
    from rich.live import Live as Screen
    from rich.text import Text

    console = Console(no_color=not coloured())
    with Screen("", console=console, auto_refresh=False, transient=False, vertical_overflow="crop") as screen:
        while True:
            found = await _found(live, which)
            text, notes = _listed(live, found, which)
            size = shutil.get_terminal_size()
            standing = "" if found.breaker is None else _open(found.breaker)
            said = [*notes, f"{when(live.clock.now())} UTC; Ctrl-C ends this.", standing]
            below = ["", *fitted("\n".join(said).rstrip(), size.columns).splitlines()]
            lines = [*text.splitlines()[: max(2, size.lines - len(below) - 1)], *below]
            screen.update(Text.from_ansi("\n".join(lines).rstrip(), no_wrap=True), refresh=True)
            await asyncio.sleep(every)


async def _append(live: Live, which: Chosen, every: float) -> None:
    told: dict[str, str] = {}
    while True:
        found = await _found(live, which)
        for record in reversed(found.records):
            state = f"{record.state}  {record.reason or 'not yet'}"
            if told.get(record.run_id) != state:
                one = row(record, live.clock.now())
                took = f"  {one['DURATION']}" if one["DURATION"] else ""
                typer.echo(f"{record.run_id}  {one['NODES']}  {state}{took}  {one['USD']} USD")
                told[record.run_id] = state
        await asyncio.sleep(every)


def resume(context: typer.Context, output: Output = OUTPUT) -> None:
    """Close the circuit breaker, after a person has looked: measurements launch clusters again."""
    config = load(file_of(context.obj))
    live = assemble(config, note)
    before = asyncio.run(breaker.resume(live.workspace, live.clock))
    why = before.open_because(config.limits.unproductive_spend)
    document: dict[str, Any] = {"was_open_because": why, "runs": before.runs, "usd": before.usd}
    if output is Output.JSON:
        emit_json(document)
    else:
        typer.echo(
            f"The breaker is closed. It was open: {why}."
            if why
            else "The breaker was closed already; its counts begin anew."
        )
