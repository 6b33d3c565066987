"""When somebody has to look before more is spent: trials that fail one after another, or that measure nothing.

Judges trials that have ended; neither decides what is tried nor stores anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from servo_emr.optimizer.limits import ran
from servo_emr.optimizer.trial import Trial

__all__ = ["reason_to_stop"]

_JOB_FAILURES = 4
"""So many failures of the job with no measurement, or one after another: somebody should look at the notebook."""
_GIVEN_UP = 2
"""So many trials in a row that were never let run, or never told what they took: somebody should look."""
_UNMEASURED = 8
"""After every so many runs none of which was measured, somebody should look at what they died of."""
_NEVER_LET_RUN = ("environment/", "internal/", "incomplete")


def reason_to_stop(trials: Sequence[Trial]) -> str | None:
    """Why a person should look now that the last of these has ended; None when nobody need. All of them have ended."""
    reasons = [trial.outcome.reason for trial in trials if trial.outcome is not None]
    measured = any(trial.outcome is not None and trial.outcome.state == "done" for trial in trials)
    if reasons[-1].startswith("job/"):
        count = sum(reason.startswith("job/") for reason in reasons)
        if not measured and count >= _JOB_FAILURES:
            return f"the job failed {count} times and was never measured"
        row = len(list(takewhile(lambda reason: reason.startswith("job/"), reversed(reasons))))
        if row >= _JOB_FAILURES:
            return f"the job failed {row} times one after another"
    if len(reasons) >= _GIVEN_UP and all(reason.startswith(_NEVER_LET_RUN) for reason in reasons[-_GIVEN_UP:]):
        return f"{_GIVEN_UP} trials in a row could not be run"
    before, now = (sum(map(_runs, some)) for some in (trials[:-1], trials))
    if not measured and before // _UNMEASURED < now // _UNMEASURED:
        died = ", ".join(f"{reasons.count(reason)} x {reason}" for reason in dict.fromkeys(reasons))
        return f"{now} runs were paid for and none was measured ({died})"
    return None


def _runs(trial: Trial) -> int:
    """How many clusters a trial has launched."""
    attempts = sum(1 for one in trial.attempts if one.run_id is not None or one.spent_usd > 0)
    return attempts + int(ran(trial))
