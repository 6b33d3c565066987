"""`servo-emr check`: whether a run could work, all checks at once, each with its remedy. Launches nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import typer

from servo_emr.checks import Checked, Outcome, check_all
from servo_emr.checks.optimizer import of_optimizer
from servo_emr.cli.output import OUTPUT, Output, coloured, columns, emit_json, note
from servo_emr.cli.settings_file import file_of, load, optimizer_of
from servo_emr.cli.tables import table
from servo_emr.domain.errors import RunError
from servo_emr.wiring import for_checks

__all__ = ["check", "refusal", "show_checks"]


def check(context: typer.Context, output: Output = OUTPUT) -> None:
    """Check whether a run could work: rights, roles, workspace, notebook, types, quotas, prices. Launches nothing."""
    path = file_of(context.obj)
    results = [*asyncio.run(check_all(for_checks(load(path), note))), of_optimizer(optimizer_of(path))]
    if output is Output.JSON:
        emit_json([_plain(result) for result in results])
    else:
        typer.echo(_page(results))
    if any(result.outcome is Outcome.FAILED for result in results):
        raise typer.Exit(1)


def _plain(result: Checked) -> dict[str, Any]:
    return {
        "check": result.name,
        "outcome": str(result.outcome),
        "finding": result.finding,
        "remedy": result.remedy,
        "reason": None if result.error is None else str(result.error.reason),
    }


def _page(results: Sequence[Checked]) -> str:
    counted = [(sum(result.outcome is outcome for result in results), outcome) for outcome in Outcome]
    summary = ", ".join(_counted(count, outcome) for count, outcome in counted if count)
    styles = {"OUTCOME": _STYLES} if coloured() else None
    return f"{table(_rows(results), columns(), 'FINDING', styles=styles)}\n\n{summary}"


def _counted(count: int, outcome: Outcome) -> str:
    return f"{count} {outcome}{'s' if count > 1 and outcome in (Outcome.WARNING, Outcome.FAILED) else ''}"


_STYLES = {"ok": "green", "warning": "yellow", "failure": "red"}


def _rows(results: Sequence[Checked]) -> list[dict[str, str]]:
    """A row of each check. What helps several of them is said at the first: without credentials that is most."""
    said: set[str] = set()
    rows = []
    for result in results:
        advice = f"\n-> {result.remedy}" if result.remedy and result.remedy not in said else ""
        said.add(result.remedy)
        rows.append({"CHECK": result.name, "OUTCOME": str(result.outcome), "FINDING": result.finding + advice})
    return rows


def show_checks(results: Sequence[Checked]) -> None:
    """Prints what is not in order, on standard error: before a launch nobody wants to read what is."""
    wrong = [result for result in results if result.outcome is not Outcome.OK]
    note(f"{len(results) - len(wrong)} of {len(results)} checks are in order.\n")
    if wrong:
        note(table(_rows(wrong), columns(err=True), "FINDING") + "\n")


def refusal(results: Sequence[Checked]) -> RunError | None:
    """Why nothing is to be launched: the first check that failed, as the failure that a run would meet."""
    return next((result.error for result in results if result.outcome is Outcome.FAILED), None)
