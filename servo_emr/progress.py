"""Where a run stands, in one line: for the servo's log, the optimizer and a terminal. Pure.

It holds nothing of the job but counts: the line leaves the account.
"""

from __future__ import annotations

from servo_emr.lifecycle.watch import Progress

__all__ = ["left", "line"]


def line(progress: Progress) -> str:
    """Run, phase, cell, seconds since the launch, dollars so far, and what is expected to be left."""
    cells = f", cell {progress.cell} of {progress.cells}" if progress.cells else ""
    expected = left(progress)
    step = f", {progress.step}" if progress.step else ""
    return (
        f"run {progress.run_id}: {progress.state}{step}{cells}, {progress.elapsed_s:.0f} s, "
        f"{progress.cost_usd:.4f} USD so far{', ' if expected else ''}{expected}"
    )


def left(progress: Progress) -> str:
    """What is expected to be left, and by what; empty where nothing is expected: before the launch, after the end."""
    if progress.overdue:
        like = progress.basis.endswith(("like run", "like runs"))
        return f"this phase takes longer than {'any like run' if like else 'was expected'}"
    if progress.remaining_s is None:
        return ""
    return f"about {_rounded(progress.remaining_s)} left ({progress.basis})"


def _rounded(seconds: float) -> str:
    """A forecast is no measurement: whole minutes, and below two of them tens of seconds."""
    if seconds < 120:
        return f"{max(10, round(seconds, -1)):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
