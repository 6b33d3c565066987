"""What commands print: tables and facts for people, one JSON document with `-o json`.

On a terminal lines are broken to its width; elsewhere they are left whole, for whoever reads them next. No colours.
"""

from __future__ import annotations

import enum
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import tabulate
import typer

__all__ = ["OUTPUT", "Output", "columns", "dollars", "emit_json", "facts", "fitted", "note", "seconds", "table", "when"]


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


def columns(err: bool = False) -> int | None:
    """The width of the terminal that standard output (or error) is; None where it is none."""
    stream = sys.stderr if err else sys.stdout
    return shutil.get_terminal_size().columns if stream.isatty() else None


def table(rows: Sequence[Mapping[str, Any]], width: int | None = None, wide: str = "") -> str:
    """Rows of equal keys as a plain table.

    Args:
        width: the room there is; None for as much as it takes. A table that cannot be made to fit becomes a list of
            facts, row by row.
        wide: the column that is wrapped when there is too little room.
    """
    if not rows:
        return ""
    cells = [{name: str(value) for name, value in row.items()} for row in rows]
    # tabulate gives a heading two columns more than it has letters
    taken = {name: max(len(name) + _GAP, *(_longest(row[name]) for row in cells)) for name in cells[0]}
    excess = 0 if width is None else sum(taken.values()) + _GAP * (len(taken) - 1) - width
    if width is not None and excess > 0:
        room = taken.get(wide, 0) - excess
        if room < _NARROWEST:
            return "\n\n".join(facts(row, width) for row in cells)
        cells = [{**row, wide: fitted(row[wide], room)} for row in cells]
    # What looks like a number is left as it was written: 0.1050 USD is not 0.105.
    return tabulate.tabulate([list(row.values()) for row in cells], list(cells[0]), "plain", disable_numparse=True)


_GAP = 2
_NARROWEST = 30
"""Columns: text in fewer of them is a ladder, no paragraph."""


def _longest(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


def fitted(text: str, width: int | None) -> str:
    """`text` in lines of at most `width` characters; what a line is continued with stands under its second column.

    Words are left whole, since links and commands are there to be copied.
    """
    if width is None:
        return text
    lines: list[str] = []
    for line in text.splitlines():
        second = _SECOND_COLUMN.match(line)
        indent = len(second[0]) if second is not None else 0
        if width - indent < _NARROWEST:
            indent = len(line) - len(line.lstrip())
        lines += (
            [line]
            if len(line) <= width
            else textwrap.wrap(
                line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
            )
        )
    return "\n".join(lines)


_SECOND_COLUMN = re.compile(r"\s*(?:\S| (?! ))*\S {2,}(?=\S)|\s*(?:\| )?\s*(?=\S)")


def facts(pairs: Mapping[str, Any], width: int | None = None) -> str:
    """Names and values, one a line; what is empty is left out. `width` as in `table`."""
    shown = {name: str(value) for name, value in pairs.items() if value not in (None, "", [], {}, ())}
    taken = max(map(len, shown), default=0) + _GAP
    if width is not None and width - taken >= _NARROWEST:
        shown = {name: fitted(value, width - taken) for name, value in shown.items()}
    return "\n".join(f"{name:<{taken}}{_hung(value, taken)}" for name, value in shown.items())


def _hung(text: str, indent: int) -> str:
    """The further lines of `text` below its first."""
    return text.replace("\n", "\n" + " " * indent)


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
