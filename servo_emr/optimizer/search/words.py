"""Why a trial is made, and why none is, each in a sentence for a person."""

from __future__ import annotations

from servo_emr.optimizer.search.standing import Standing
from servo_emr.optimizer.search.worth import Outlook

__all__ = ["confirm", "explore", "first", "second", "stop"]


def first(failed_before: bool) -> str:
    """For the first point."""
    if failed_before:
        return "Nothing could be measured yet: a cheap cluster, unlike those that could not run the job."
    return "Nothing is known of the job yet: the cheapest cluster, if it scales well."


def second() -> str:
    """For the second point."""
    return "Little is known of the job yet: a cheap cluster that is far from the one that was tried."


def confirm(repeats: int) -> str:
    """For the best once more."""
    if repeats == 1:
        return "It is the best so far, by one measurement: once more before it is declared."
    return f"It is the best so far, but its {repeats} measurements differ: once more before it is declared."


def explore(promise: Outlook, row: int, best: Standing | None, runs: int) -> str:
    """For a point that may be better than the best."""
    expected = f"about {promise.seconds[row]:.0f} s and {promise.usd[row]:.2f} USD a run are expected"
    if best is None:
        return f"Nothing measured meets the objective yet: here {expected}."
    total = promise.gain_usd[row] * runs
    return f"It promises the most for its price: {expected}, and {total:.2f} USD less over {runs} runs on average."


def stop(total_usd: float, trial_usd: float) -> str:
    """When no trial pays."""
    return (
        f"no trial pays any more: the most promising one is expected to save {total_usd:.2f} USD over all declared "
        f"runs and to cost {trial_usd:.2f} USD"
    )
