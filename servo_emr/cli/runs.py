"""`servo-emr runs`, `show` and `resume`: the records of the workspace, and the breaker that is read off them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import typer

from servo_emr.cli.output import OUTPUT, Output, columns, dollars, emit_json, facts, fitted, note, seconds, table, when
from servo_emr.cli.settings_file import file_of, load
from servo_emr.domain.errors import RunError, UsageError
from servo_emr.domain.run import RunRecord
from servo_emr.domain.spec import is_run_id
from servo_emr.failure_block import failure_of, launches
from servo_emr.lifecycle import breaker
from servo_emr.lifecycle.guards import spent
from servo_emr.lifecycle.past import read_past
from servo_emr.wiring import Live, assemble

__all__ = ["page", "record_of", "resume", "row", "runs", "show"]


def row(record: RunRecord) -> dict[str, str]:
    """A run in one line of a table."""
    return {
        "RUN": record.run_id,
        "WHEN (UTC)": when(record.created_at),
        "SETTINGS": " ".join(str(value) for value in record.settings.values()),
        "STATE": str(record.state),
        "OUTCOME": record.reason or "",
        "DURATION": seconds(record.phases.get("duration")),
        "USD": dollars(spent(record)),
        "CLUSTER": record.cluster_id or "",
    }


def runs(
    context: typer.Context,
    limit: int = typer.Option(50, "-n", "--limit", min=1, help="At most so many, the newest."),
    output: Output = OUTPUT,
) -> None:
    """List the runs of the workspace, newest first."""
    live = assemble(load(file_of(context.obj)), note)
    records, standing = asyncio.run(_newest(live, limit))
    why = standing.open_because(live.config.limits.unproductive_spend)
    if why is not None:
        note(f"The breaker is open: {why}. `servo-emr resume` closes it.")
    if output is Output.JSON:
        emit_json([record.to_json() for record in records])
    elif records:
        typer.echo(table([row(record) for record in records], columns()))
    else:
        typer.echo(f"No runs yet in {live.workspace.uri}.")


async def _newest(live: Live, limit: int) -> tuple[list[RunRecord], breaker.Standing]:
    records: list[RunRecord] = []
    unreadable: list[RunError] = []
    async for record in live.workspace.records(unreadable=unreadable.append):
        records.append(record)
        if len(records) >= limit:
            break
    for error in unreadable:
        note(f"Left out: {error}")
    if unreadable:
        note("While a record cannot be read nothing is launched, and the breaker cannot be told.")
        return records, breaker.Standing()
    past = await read_past(live.workspace, live.clock.now())
    return records, breaker.standing(past, await breaker.resumed_at(live.workspace))


def resume(context: typer.Context, output: Output = OUTPUT) -> None:
    """Close the circuit breaker, after a person has looked: measurements launch clusters again."""
    config = load(file_of(context.obj))
    live = assemble(config, note)
    before = asyncio.run(breaker.resume(live.workspace, live.clock))
    why = before.open_because(config.limits.unproductive_spend)
    if output is Output.JSON:
        emit_json({"was_open_because": why, "runs": before.runs, "usd": before.usd})
    else:
        typer.echo(f"Closed. It was open: {why}." if why else "It was closed; its counts begin anew.")


def show(context: typer.Context, run: str = typer.Argument(..., metavar="RUN"), output: Output = OUTPUT) -> None:
    """Show all that is known of one run."""
    record = asyncio.run(record_of(assemble(load(file_of(context.obj)), note), run))
    if output is Output.JSON:
        emit_json(record.to_json())
    else:
        typer.echo(page(record, columns()))


async def record_of(live: Live, run: str) -> RunRecord:
    """The record of a run that the command line names.

    Raises:
        UsageError: there is none.
    """
    if not is_run_id(run):
        raise UsageError(f"{run!r} is not a run's id; `servo-emr runs` lists them")
    found = await live.workspace.record(run)
    if found is None:
        raise UsageError(f"there is no run {run} in {live.workspace.uri}; `servo-emr runs` lists them")
    return found[0]


_IN_BLOCK = ("instances", "cell_error", "cell_index", "ename", "traceback", "logs", "output", "aws", "step", "errors")
"""Details that the failure block shows, or that are of no use to people."""


def page(record: RunRecord, width: int | None = None) -> str:
    """All that is known of one run, for people, in lines of at most `width` characters."""
    cost: dict[str, Any] = dict(record.cost or {})
    failed = failure_of(record) or ""
    parts = [
        facts(
            {
                "Run": record.run_id,
                "When (UTC)": f"{when(record.created_at)} to {when(record.ended_at)}",
                "Outcome": f"{record.reason or 'not yet'} ({record.state})",
                "Settings": ", ".join(f"{name}={value}" for name, value in record.settings.items()),
                "Cluster": record.cluster_id,
                "Notebook SHA-256": record.notebook_sha256,
            },
            width,
        ),
        "" if failed else _block("Earlier launches", _numbered(launches(record)), width),
        fitted(failed, width),
        _block("Phases", {name: seconds(value) for name, value in record.phases.items()}, width),
        _block("Metrics", {n: f"{value:.6g} {record.units.get(n, '')}" for n, value in record.metrics.items()}, width),
        _block("Without a value", record.missing, width),
        _block(
            "Dollars",
            {
                "one run of the job": dollars(cost.get("usd")),
                "billed": dollars(spent(record)),
                "EC2": dollars(cost.get("ec2_usd")),
                "EMR fee": dollars(cost.get("fee_usd")),
                "EMR fee, lower reading": dollars(cost.get("fee_low_usd")),
                "EBS": dollars(cost.get("ebs_usd")),
                "while the job ran": dollars(cost.get("job_usd")),
                "basis": cost.get("basis"),
                "note": "; ".join(cost.get("notes", ())),
            }
            if cost
            else {"so far": f"{dollars(record.cost_so_far)} (running total, no bill)"},
            width,
        ),
        "" if failed else _block("Cause", {k: value for k, value in record.cause.items() if k != "errors"}, width),
        _block("Left behind", record.urls, width),
        _block("Details", {key: _shown(value) for key, value in record.details.items() if key not in _IN_BLOCK}, width),
    ]
    parts += [fitted(f"Mind: {warning}", width) for warning in record.warnings]
    return "\n\n".join(part for part in parts if part)


def _numbered(lines: list[str]) -> dict[str, str]:
    """Lines that begin with a number and a colon, by that number."""
    return dict(line.split(": ", 1) for line in lines)


def _block(title: str, pairs: Any, width: int | None) -> str:
    body = facts(pairs, None if width is None else width - 2)
    return f"{title}\n" + "\n".join(f"  {line}" for line in body.splitlines()) if body else ""


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return ("\n" + value).replace("\n", "\n    ").rstrip() if "\n" in value else value
    return json.dumps(value, indent=1, ensure_ascii=False).replace("\n", "\n    ")
