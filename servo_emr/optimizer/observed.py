"""Trials that have ended, as the search sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from servo_emr.optimizer.search import Observation
from servo_emr.optimizer.search.terms import Outcome as Seen
from servo_emr.optimizer.trial import Trial, Value

__all__ = ["observed"]

_SEEN: Mapping[str, Seen] = {
    "done": "done",
    "infeasible": "infeasible",
    "censored": "censored",
    "failed": "failed",
    "cancelled": "failed",
}


def observed(trials: Sequence[Trial]) -> list[Observation]:
    """What failed once says nothing about the configuration. What a person has cancelled, and what has failed twice, is
    not to be tried a third time, whatever the reason was.
    """
    found: list[Observation] = []
    failures: dict[tuple[tuple[str, Value], ...], int] = {}
    for trial in trials:
        outcome = trial.outcome
        if outcome is None:
            continue
        state, duration = _SEEN[outcome.state], outcome.duration_s
        if state == "censored" and not duration:
            state = "failed"  # nothing is known of how long the job would have taken
        if state == "failed":
            key = tuple(sorted(trial.plan.settings.items()))
            failures[key] = failures.get(key, 0) + 1
            if failures[key] > 1 or outcome.state == "cancelled":
                state = "infeasible"
        cost = outcome.cost_usd if state == "done" else None
        phases = dict(outcome.phases)
        found.append(Observation(dict(trial.plan.settings), state, duration, cost, trial.spent_usd, phases))
    return found
