"""How long a run still takes, by what like runs took; a first guess where there were none, and said to be one. Pure.

How long a cluster takes to begin and to end hangs little on its nodes: without like runs the newest others that
succeeded tell that, and the job alone is guessed.

What remains of a phase is the median of those like runs whose phase was longer than this one's so far: a run that is
late is not expected to end at once. One that is longer than all of them is overdue, and no time is promised.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from servo_emr.domain.run import TEARDOWN_S, RunRecord, RunState
from servo_emr.domain.spec import RunSpec
from servo_emr.lifecycle.figures import PROVISIONING_S, like_runs, succeeded

__all__ = ["Forecast", "forecast"]

_LAUNCH = {"provisioning_time", "bootstrap_time"}


@dataclass(frozen=True)
class Forecast:
    """What is expected of a run: seconds from the launch to the first step, of the whole job, and of the end.

    The lists hold what like runs took, or without any what others did but for the job; the guesses serve where they
    are empty. `runs` counts the like ones, `others` those that serve in their place.
    """

    runs: int
    others: int
    provisioning: Sequence[float]
    job: Sequence[float]
    teardown: Sequence[float]
    guessed_provisioning: float
    guessed_job: float
    guessed_teardown: float = TEARDOWN_S

    @property
    def basis(self) -> str:
        """What it is drawn from, in a few words."""
        if self.runs:
            return "by 1 like run" if self.runs == 1 else f"by {self.runs} like runs"
        if self.others:
            return f"job first guessed, the rest by {self.others} other run{'' if self.others == 1 else 's'}"
        return "first guess"

    @property
    def provisioning_s(self) -> float:
        """What is expected from the launch to the first step."""
        return _middle(self.provisioning, self.guessed_provisioning)

    def remaining(self, state: RunState, phase_s: float) -> tuple[float, bool]:
        """(seconds until the cluster's end, whether the phase at hand has lasted longer than was ever seen).

        Of an overdue phase the seconds are those of the phases after it.

        Args:
            phase_s: how long the run has been provisioning and bootstrapping, or running, or ending.
        """
        job, teardown = _middle(self.job, self.guessed_job), _middle(self.teardown, self.guessed_teardown)
        if state.terminal:
            return 0.0, False
        if state.order < RunState.RUNNING.order:
            seen, guess, after = self.provisioning, self.guessed_provisioning, job + teardown
        elif state is RunState.RUNNING:
            seen, guess, after = self.job, self.guessed_job, teardown
        else:
            seen, guess, after = self.teardown, self.guessed_teardown, 0.0
        longer = [seconds for seconds in seen or (guess,) if seconds > phase_s]
        return (statistics.median(longer) - phase_s + after, False) if longer else (after, True)


def forecast(spec: RunSpec, history: Iterable[RunRecord]) -> Forecast:
    """What the runs before, newest first, let expect of a run of `spec`."""
    newest = list(history)
    like = like_runs(spec, newest)
    others = [] if like else [record for record in succeeded(newest) if _LAUNCH.issubset(record.phases)]
    clusters = [record.phases for record in like or others]
    launches = [phases for phases in clusters if _LAUNCH.issubset(phases)]
    return Forecast(
        runs=len(like),
        others=len(others),
        provisioning=[phases["provisioning_time"] + phases["bootstrap_time"] for phases in launches],
        job=[_steps_took(spec, record.phases) for record in like if "duration" in record.phases],
        teardown=[phases["teardown_time"] for phases in clusters if "teardown_time" in phases],
        guessed_provisioning=PROVISIONING_S,
        guessed_job=spec.job.repeats * spec.job.expected_s + spec.job.beside_s,
    )


def _steps_took(spec: RunSpec, phases: Mapping[str, float]) -> float:
    """What all steps of a like run took, those that are not measured among them."""
    others = sum(phases.get(name, 0.0) for name in ("prepare_time", "cleanup_time"))
    return spec.job.repeats * phases["duration"] + others


def _middle(seen: Sequence[float], guess: float) -> float:
    return statistics.median(seen) if seen else guess
