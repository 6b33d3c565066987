"""The tables of the page: their columns, cells and sorting keys. Pure; how they look is the template's business."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from servo_emr.report import phases
from servo_emr.report.findings import Findings
from servo_emr.report.runs import Choice, Kind, Run
from servo_emr.report.table import COLUMNS, METRIC
from servo_emr.report.words import NONE, lasted, usd

__all__ = ["Cell", "Table", "compared", "phase_totals", "runs_table"]

_METRICS = 4
"""Metrics of the job's own that have a column; the others are among a run's details."""


@dataclass(frozen=True)
class Cell:
    """What a cell shows, for a number what it is sorted by, and the class of the style that it has."""

    text: str
    key: float | None = None
    number: bool = False
    look: str = ""


@dataclass(frozen=True)
class Table:
    """All runs, newest first: names of columns with whether they hold numbers, and (run, cells)."""

    columns: Sequence[tuple[str, bool]]
    rows: Sequence[tuple[Run, Sequence[Cell]]]


def runs_table(runs: Sequence[Run]) -> Table:
    """The table of all runs."""
    names = list(runs[0].row)
    settings = [n for n in names if n not in COLUMNS and not n.startswith(METRIC)]
    varying = [n for n in settings if len({run.row[n] for run in runs}) > 1]
    metrics = [n for n in names if n.startswith(METRIC)][:_METRICS]
    columns = [
        *((name, _numeric(runs, name)) for name in varying),
        ("Outcome", False),
        ("Duration", True),
        ("Cost of a run", True),
        ("Spent", True),
        *((name.removeprefix(METRIC), True) for name in metrics),
        ("Mind", False),
        ("Begun (UTC)", False),
    ]
    return Table(columns, [(run, _cells(run, varying, metrics)) for run in reversed(runs)])


def _numeric(runs: Sequence[Run], name: str) -> bool:
    return all(isinstance(run.row[name], int | float) for run in runs if run.row[name] is not None)


def _cells(run: Run, settings: Sequence[str], metrics: Sequence[str]) -> list[Cell]:
    return [
        *(_value(run.row[name]) for name in settings),
        Cell(run.record.reason or str(run.record.state), look="outcome"),
        _bounded(run, "duration_s", "duration_at_least_s", lasted),
        _bounded(run, "cost_usd", "cost_at_least_usd", usd),
        Cell(usd(run.spent), run.spent, True),
        *(_value(run.row[name], number=True) for name in metrics),
        Cell(", ".join(_flags(run)), look="mind"),
        Cell(str(run.row["created_at"]).replace("T", " ").rstrip("Z"), run.record.created_at),
    ]


def _value(value: Any, number: bool = False) -> Cell:
    """`number`: the column is one of numbers, so that a missing one stands where they do."""
    if value is None:
        return Cell(NONE, number=number)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(f"{value:.6g}", float(value), True)
    return Cell(str(value))


def _bounded(run: Run, measured: str, at_least: str, words: Any) -> Cell:
    """A figure, or the bound that is known of it."""
    value, bound = run.row[measured], run.row[at_least]
    if value is not None:
        return Cell(words(value), float(value), True)
    return Cell(NONE, number=True) if bound is None else Cell(f"≥ {words(bound)}", float(bound), True)


def _flags(run: Run) -> list[str]:
    """What is to be minded when the run's figures are read."""
    row = run.row
    return [
        text
        for text, holds in (
            ("emulated", row["emulated"]),
            ("disturbed", row["disturbed"]),
            ("lower bounds", run.kind is Kind.BOUND),
            ("earlier notebook", run.kind is Kind.EARLIER),
            ("no bill", not row["billed"] and run.spent > 0),
            ("end not verified", row["unreleased"]),
            ("recovered", row["recovered"]),
        )
        if holds
    ]


def compared(found: Findings) -> list[tuple[str, Choice]]:
    """The settings that matter, each once with all its roles, the recommended ones first."""
    roles: dict[str, tuple[list[str], Choice]] = {}
    baseline = "baseline (servo.yaml)" if found.baseline_is_configured else "baseline (measured first)"
    for role, choice in (
        ("recommended", found.best),
        ("cheapest", found.choices[0] if found.choices else None),
        ("runner-up", found.runner_up),
        ("fastest", found.fastest),
        (baseline, found.baseline),
    ):
        if choice is not None:
            roles.setdefault(choice.key, ([], choice))[0].append(role)
    return [(", ".join(names), choice) for names, choice in roles.values()]


def phase_totals(found: Findings) -> list[dict[str, Any]]:
    """Over all runs: seconds and dollars of each phase, split into measured runs and all others; launches that
    came to nothing; and what no phase can be charged with because there is no bill."""
    rows: list[dict[str, Any]] = []
    known = [(run, phases.seconds(run.record), phases.dollars(run.record)) for run in found.runs]
    for phase in phases.PHASES:
        if phase == phases.BESIDE and not any(phase in times for _, times, _ in known):
            continue
        charged = [(run.kind, money.get(phase, 0.0)) for run, _, money in known]
        rows.append(
            {
                "phase": phase,
                "seconds": math.fsum(times.get(phase, 0.0) for _, times, _ in known),
                "usd": math.fsum(usd_ for _, usd_ in charged),
                "lost_usd": math.fsum(usd_ for kind, usd_ in charged if kind is not Kind.MEASURED),
            }
        )
    earlier = math.fsum(run.record.earlier_usd for run, _, money in known if money)
    if earlier:
        rows.append({"phase": "earlier launches", "seconds": None, "usd": earlier, "lost_usd": earlier})
    unknown = [run for run, _, money in known if not money and run.spent > 0]
    if unknown:
        lost = math.fsum(run.spent for run in unknown if run.kind is not Kind.MEASURED)
        rows.append(
            {
                "phase": "not told apart",
                "seconds": None,
                "usd": math.fsum(run.spent for run in unknown),
                "lost_usd": lost,
            }
        )
    return rows
