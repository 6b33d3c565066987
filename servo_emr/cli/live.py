"""What a person sees while a command waits: a display that is drawn again and again on a terminal, lines elsewhere.

All of it goes to standard error. Lines say no more often than every minute that nothing has changed.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import loguru
import servo.logging

from servo_emr.cli.output import coloured, note, seconds
from servo_emr.domain.errors import RunError
from servo_emr.domain.ports import Clock
from servo_emr.domain.run import RunState
from servo_emr.heartbeat import beating
from servo_emr.lifecycle.watch import Progress
from servo_emr.progress import left, line

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Display", "displayed"]

QUIET_S = 60.0
TICK_S = 1.0


class Display:
    """Shows the progress of one command, and what has to be said meanwhile.

    Args:
        clock: by which time and dollars go on between two reports.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest: Progress | None = None
        self._work: dict[str, float] = {}
        self._live: Any = None
        self._said: tuple[RunState, str, int | None] | None = None
        self._said_at = 0.0

    def show(self, progress: Progress) -> None:
        """A run has been looked at."""
        if self._latest is None or progress.run_id != self._latest.run_id:
            self._said = None
        self._latest = progress
        now = time.monotonic()
        changed = (progress.state, progress.step, progress.cell) != self._said
        if self._live is not None:
            self._live.update(self._drawn(), refresh=True)
        elif changed or now - self._said_at >= QUIET_S:
            note(line(progress))
            self._said, self._said_at = (progress.state, progress.step, progress.cell), now

    def say(self, text: str) -> None:
        """A sentence that stays."""
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            note(text)

    @contextlib.contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Something else that is waited for, while the body runs."""
        self._work[what] = self._clock.now()
        if self._live is None:
            note(f"{what} ...")
        try:
            yield
        finally:
            del self._work[what]
            self._tick()

    def _tick(self) -> None:
        if self._live is not None:
            self._live.update(self._drawn(), refresh=True)

    def _drawn(self) -> RenderableType:
        from rich.text import Text

        lines: list[str] = []
        with contextlib.suppress(RunError):  # the emulator's clock is out of reach: the last look stands
            now = self._clock.now()
            lines += [f"{what}, {seconds(max(0.0, now - began))}" for what, began in self._work.items()]
            if self._latest is not None:
                self._latest = self._latest.later(now)
        if self._latest is not None:
            lines += _frame(self._latest, self._live.console.width)
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")

    @contextlib.asynccontextmanager
    async def drawing(self) -> AsyncIterator[None]:
        """On a terminal the display is drawn while the body runs; elsewhere its lines are printed."""
        if not sys.stderr.isatty() or not sys.stdout.isatty():
            yield
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, no_color=not coloured(err=True))
        if not console.is_terminal or console.is_dumb_terminal:
            yield
            return
        live = Live(
            "", console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        try:
            with live as self._live:
                console.show_cursor(True)  # a second Ctrl-C leaves at once, and nobody could give it back then
                async with beating(self._tick, TICK_S):
                    yield
        finally:
            last, self._live = self._latest, None
            if last is not None:
                console.print("\n".join(_frame(last, console.width)), markup=False, highlight=False)


def _frame(progress: Progress, width: int) -> list[str]:
    """The lines that are drawn of a run."""
    elapsed = f"{seconds(progress.elapsed_s)} since the launch, {progress.cost_usd:.4f} USD so far"
    step = f", {progress.step}" if progress.step else ""
    cell = f"{step}, cell {progress.cell} of {progress.cells}" if progress.cells else step
    bar = max(10, min(40, width - 60))
    done = round(bar * progress.percent / 100)
    path = " ".join(f"[{state}]" if state is progress.state else str(state) for state in RunState)
    expected = left(progress)
    return [
        f"run {progress.run_id}{'  ' + progress.cluster_id if progress.cluster_id else ''}",
        path if len(path) <= width else f"phase {progress.state.order + 1} of {len(RunState)}",
        f"{'#' * done}{'.' * (bar - done)} {progress.percent:2d} %  {elapsed}",
        f"{progress.state}{cell}{': ' if expected else ''}{expected}",
    ]


@contextlib.asynccontextmanager
async def displayed(clock: Clock) -> AsyncIterator[Display]:
    """A display; what servox's logger has to say goes to it while the body runs, from warnings up.

    Failures are not repeated: who waits for a run shows its record.
    """
    display = Display(clock)
    ours = {
        "sink": lambda message: display.say(f"Mind: {message.record['message']}"),
        "level": "WARNING",
        "filter": lambda record: record["level"].name == "WARNING",
    }
    loguru.logger.configure(handlers=[servo.logging.DEFAULT_FILE_HANDLER, ours])
    try:
        async with display.drawing():
            yield display
    finally:
        servo.logging.reset_to_defaults()
