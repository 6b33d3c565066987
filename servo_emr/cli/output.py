"""What commands print: tables and facts for people, one JSON document with `-o json`."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import tabulate
import typer

__all__ = ["OUTPUT", "Output", "dollars", "emit_json", "facts", "note", "seconds", "table", "when"]


class Output(enum.StrEnum):
    """Forms of output."""

    TEXT = "text"
    JSON = "json"


OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text for people, json: one document on standard output.")


def emit_json(document: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(document, indent=2, sort_keys=True, allow_nan=False))


def note(text: str) -> None:
    """A line for the person at the terminal, on standard error, so that standard output stays what was asked for."""
    typer.echo(text, err=True)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as a plain table."""
    if not rows:
        return ""
    # What looks like a number is left as it was written: 0.1050 USD is not 0.105.
    return tabulate.tabulate([list(row.values()) for row in rows], list(rows[0]), "plain", disable_numparse=True)


def facts(pairs: Mapping[str, Any]) -> str:
    """Names and values, one a line; what is empty is left out."""
    shown = {name: value for name, value in pairs.items() if value not in (None, "", [], {}, ())}
    width = max(map(len, shown), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in shown.items())


def when(at: float | None) -> str:
    """A time as people read it, UTC."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def seconds(value: float | None) -> str:
    """A duration as people read it."""
    if value is None:
        return ""
    whole = round(value)
    if whole < 120:
        return f"{value:.1f} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def dollars(value: float | None) -> str:
    """An amount in USD to a hundredth of a cent."""
    return "" if value is None else f"{value:.4f}"
