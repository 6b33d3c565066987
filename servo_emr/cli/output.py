"""What commands print: facts for people, one JSON document with `-o json`.

On a terminal lines are broken to its width; elsewhere they are left whole, for whoever reads them next. Colours are for
terminals only, never where NO_COLOR is set, and say nothing that the words do not.
"""

from __future__ import annotations

import enum
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from servo_emr.domain.errors import UsageError

__all__ = [
    "NARROWEST",
    "OUTPUT",
    "RUN",
    "Output",
    "coloured",
    "columns",
    "dollars",
    "emit_json",
    "facts",
    "fitted",
    "note",
    "seconds",
    "unwritable",
    "when",
]


class Output(enum.StrEnum):
    """Forms of output."""

    TEXT = "text"
    JSON = "json"


RUN = typer.Argument(..., metavar="RUN", help="The run's id, as `servo-emr runs` lists it.")
OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text for people, json: one document on standard output.")


def emit_json(document: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(document, indent=2, sort_keys=True, allow_nan=False))


def note(text: str) -> None:
    """A line for the person at the terminal, on standard error, so that standard output stays what was asked for."""
    width = columns(err=True)
    # A last line that is empty is meant.
    typer.echo(text if width is None else fitted(text, width) + "\n" * text.endswith("\n"), err=True)


def unwritable(path: Path, error: OSError) -> UsageError:
    """What to say when the file of --output cannot be written."""
    return UsageError(
        f"--output {path}: {error.strerror}. Name a file in a folder that is there and may be written to."
    )


def coloured(err: bool = False) -> bool:
    """Whether standard output (or error) is a terminal that may show colours."""
    stream = sys.stderr if err else sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns(err: bool = False) -> int | None:
    """The width of the terminal that standard output (or error) is; None where it is none."""
    stream = sys.stderr if err else sys.stdout
    if not stream.isatty():
        return None
    # shutil asks standard output, which may be a file while standard error is the terminal.
    own = 0 if os.environ.get("COLUMNS") else os.get_terminal_size(stream.fileno()).columns
    return own or shutil.get_terminal_size().columns


NARROWEST = 30
"""Columns: text in fewer of them is a ladder, no paragraph."""

_GAP = 2


def fitted(text: str, width: int | None) -> str:
    """`text` in lines of at most `width` characters; what a line is continued with stands under its second column.

    Words are left whole, and lines that are commands, since links and commands are there to be copied.
    """
    if width is None:
        return text
    lines: list[str] = []
    for line in text.splitlines():
        evidence = _EVIDENCE.match(line)
        if evidence is not None and not line[evidence.end() :].strip("-="):
            line = line[:width]  # a rule, as tracebacks have it: shorter it is the same
        second = evidence or _SECOND_COLUMN.match(line)
        indent = len(second[0]) if second is not None else 0
        if width - indent < NARROWEST:
            indent = len(line) - len(line.lstrip())
        lines += (
            [line]
            if len(line) <= width or line.startswith("$ ")
            else textwrap.wrap(
                line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
            )
        )
    return "\n".join(lines)


_SECOND_COLUMN = re.compile(r"\s*(?:\S| (?! ))*\S {2,}(?=\S)|\s*(?:\| )?\s*(?=\S)")


_EVIDENCE = re.compile(r"\s*\| \s*")
"""What a line of a log or a traceback is led in by: wide gaps in it are no columns."""


def facts(pairs: Mapping[str, Any], width: int | None = None) -> str:
    """Names and values, one a line; what is empty is left out. `width` as in `table`."""
    shown = {name: str(value) for name, value in pairs.items() if value not in (None, "", [], {}, ())}
    taken = max(map(len, shown), default=0) + _GAP
    if width is not None and width - taken >= NARROWEST:
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
