"""How a search looks while it goes on: a table that is kept up to date on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from servo_emr.cli.output import dollars, note, seconds

__all__ = ["core_nodes", "display"]

Show = Callable[[Mapping[str, Any]], None]


@contextlib.contextmanager
def display() -> Iterator[Show]:
    """A function that is given the optimizer's status as often as one likes. Writes to standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines().show
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield lambda status: live.update(_drawn(status))


def core_nodes(settings: Mapping[str, Any]) -> str:
    """Settings as people say them."""
    return f"{settings['core.replicas']} x {settings['core.inst_type']}"


class _Lines:
    """Says what is new since the last time."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def show(self, status: Mapping[str, Any]) -> None:
        for trial in status["trials"]:
            self._say(f"trial {trial['number']}: {core_nodes(trial['settings'])} ({trial['kind']}): {trial['why']}")
            if trial["state"] != "asked":
                self._say(f"  {trial['number']}: {_end(trial)}")
            elif (running := status["trial"]) and running["phase"]:
                usd = dollars(running["usd_so_far"])
                self._say(f"  {trial['number']}: {running['phase']}, {usd} USD so far", key=running["phase"])
        if status["state"] == "settled":
            self._say(f"settled: {status['why']}")

    def _say(self, line: str, key: str = "") -> None:
        said = f"{line.partition(':')[0]}: {key}" if key else line
        if said not in self._said:
            self._said.add(said)
            note(line)


def _end(trial: Mapping[str, Any]) -> str:
    if trial["state"] == "done":
        return f"job {seconds(trial['duration_s'])}, {dollars(trial['cost_usd'])} USD a run"
    return f"{trial['state']} ({trial['reason']}), {dollars(trial['spent_usd'])} USD"


def _drawn(status: Mapping[str, Any]) -> Group:
    table = Table(box=None, pad_edge=False)
    for heading in ("TRIAL", "CORE NODES", "WHY", "JOB", "USD A RUN", ""):
        table.add_column(heading, overflow="fold")
    best = status["best"] or {}
    for trial in status["trials"]:
        running = status["trial"] if trial["state"] == "asked" else None
        state = "" if trial["state"] == "done" else trial["reason"] or trial["state"]
        if running:
            phase = running["phase"] or "asked"
            state = f"{phase}, {dollars(running['usd_so_far'])} USD so far" if running["usd_so_far"] else phase
        table.add_row(
            str(trial["number"]),
            core_nodes(trial["settings"]),
            trial["kind"],
            seconds(trial["duration_s"]),
            dollars(trial["cost_usd"]),
            state,
            style="green" if trial["settings"] == best.get("settings") and trial["state"] == "done" else None,
        )
    spent = f"Spent {dollars(status['spent_usd'])} USD, emulated. "
    return Group(table, Text(f"\n{spent}{status['state'].capitalize()}: {status['why']}"))
