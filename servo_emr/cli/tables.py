"""Rows as a plain table, by rich: columns and spaces, no lines drawn, so that a pipe gets what a person sees.

What has to go where there is too little room is decided by whoever shows the table. A word is never cut.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from servo_emr.cli.output import NARROWEST, facts, fitted

__all__ = ["table"]

_GAP = 2
_NUMBER = re.compile(r"[-~]?\d[\d.,]*|")
_ANY_WIDTH = 100_000


def table(
    rows: Sequence[Mapping[str, Any]],
    width: int | None = None,
    wide: str = "",
    drop: Sequence[str] = (),
    styles: Mapping[str, Mapping[str, str]] | None = None,
    least: int = NARROWEST,
) -> str:
    """Rows of equal keys as a plain table; columns of numbers stand to the right.

    Args:
        width: the room there is; None for as much as it takes. A table that cannot be made to fit becomes a list of
            facts, row by row, with all its columns.
        wide: the column that is wrapped when there is too little room.
        drop: the columns that are left out then, the first of them first, before anything is wrapped.
        least: the narrowest that `wide` may become.
        styles: column -> value -> rich style, for a terminal that shows colours; the value says the same without it.
    """
    if not rows:
        return ""
    cells = [{name: str(value) for name, value in row.items()} for row in rows]
    kept = list(cells[0])
    if width is not None:
        for name in drop:
            if _excess(cells, kept, width) > 0 and name in kept:
                kept.remove(name)
        if (excess := _excess(cells, kept, width)) > 0:
            room = _taken(cells, wide) - excess if wide in kept else 0
            if room < least:
                return "\n\n".join(facts(row, width) for row in cells)
            cells = [{**row, wide: fitted(row[wide], room)} for row in cells]
    return _drawn(cells, kept, styles or {})


def _drawn(cells: Sequence[Mapping[str, str]], kept: Sequence[str], styles: Mapping[str, Mapping[str, str]]) -> str:
    from rich.console import Console  # here: no other command than one that shows a table waits for it
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold" if styles else "")
    for name in kept:
        number = all(_NUMBER.fullmatch(row[name]) for row in cells)
        grid.add_column(Text(name), justify="right" if number else "left", no_wrap=True)
    for row in cells:
        grid.add_row(*(Text(row[name], styles.get(name, {}).get(row[name], "")) for name in kept))
    out = io.StringIO()
    console = Console(
        file=out,
        width=_ANY_WIDTH,
        force_terminal=bool(styles),
        color_system="standard" if styles else None,
        legacy_windows=False,
        _environ={},
    )
    console.print(grid)
    return "\n".join(_stripped(line) for line in out.getvalue().splitlines())


def _stripped(line: str) -> str:
    """A line without what pads it to the table's width, inside the codes of a style too."""
    return re.sub(r"[ ]+((?:\x1b\[[0-9;]*m)*)$", r"\1", line)


def _taken(cells: Sequence[Mapping[str, str]], name: str) -> int:
    return max(len(name), *(_longest(row[name]) for row in cells))


def _excess(cells: Sequence[Mapping[str, str]], kept: Sequence[str], width: int) -> int:
    return sum(_taken(cells, name) for name in kept) + _GAP * (len(kept) - 1) - width


def _longest(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)
