"""Whether the job is still the one that was measured: another notebook, or a time or price beyond the noise."""

from __future__ import annotations

import math
from collections.abc import Iterable

from servo_emr.optimizer.trial import Outcome

__all__ = ["NOISE", "drifted", "other_notebook"]

NOISE = 0.03
"""Relative standard deviation of equal runs: the median of what has been published of Spark on EC2."""

_SIGMAS = 3.5


def other_notebook(before: Iterable[Outcome], after: Outcome) -> bool:
    """Whether another notebook ran than the one whose runs are `before`; one that did not say counts as the same."""
    known = {one.notebook_sha256 for one in before if one.notebook_sha256}
    return bool(known) and bool(after.notebook_sha256) and after.notebook_sha256 not in known


def drifted(
    duration_s: float, cost_usd: float | None, repeats: int, after: Outcome, noise: float = NOISE
) -> str | None:
    """How a measurement differs from the estimate made of `repeats` equal ones; None when noise can explain it.

    A run that says it was disturbed proves nothing.
    """
    if "disturbed" in after.notes:
        return None
    bound = _SIGMAS * noise * math.sqrt(1 + 1 / max(1, repeats))
    for name, unit, before, now in (
        ("duration", "s", duration_s, after.duration_s),
        ("cost", "USD", cost_usd, after.cost_usd),
    ):
        if before and now and abs(math.log(now / before)) > bound:
            return f"{name} went from {before:.4g} to {now:.4g} {unit}, by more than noise explains ({bound:.0%})"
    return None
