"""What a result means for its trial: the connector's closed list of reasons, and a failure's last line of figures."""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass

__all__ = ["Fate", "Figures", "fate", "figures", "so_far"]


class Fate(enum.StrEnum):
    """What becomes of a trial. AGAIN and INTERRUPTED ask for the same once more, PERSON waits for somebody first."""

    DONE = "done"
    INFEASIBLE = "infeasible"
    CENSORED = "censored"
    JOB = "job"
    AGAIN = "again"
    INTERRUPTED = "interrupted"
    PERSON = "person"


_BY_FAMILY = {
    "configuration": Fate.INFEASIBLE,
    "environment": Fate.AGAIN,
    "job": Fate.JOB,
    "operator": Fate.PERSON,
    "internal": Fate.AGAIN,
    "deadline": Fate.CENSORED,
    "max-cost": Fate.CENSORED,
    "shutdown": Fate.INTERRUPTED,
}
_BY_STATUS = {
    "rejected": Fate.INFEASIBLE,
    "aborted": Fate.INTERRUPTED,
    "cancelled": Fate.INTERRUPTED,
}


def fate(status: str, reason: str) -> Fate:
    """By the reason where it is one of the connector's, else by the status; what is not known may pass by itself."""
    if status == "ok":
        return Fate.DONE
    return _BY_FAMILY.get(reason.partition("/")[0]) or _BY_STATUS.get(status) or Fate.AGAIN


@dataclass(frozen=True)
class Figures:
    """What a failure cost. run_id and duration_s are None where the line has none."""

    run_id: str | None = None
    cost_usd: float = 0.0
    duration_s: float | None = None


_LAST_LINE = re.compile(r"run=(\S{1,200}) cost_usd=(\d{1,9}(?:\.\d{1,9})?) duration_s=(none|\d{1,9}(?:\.\d{1,9})?)")
_SO_FAR = re.compile(r"run (\S{1,200}): (.{0,200}?), \d{1,9} s, (\d{1,9}(?:\.\d{1,9})?) USD so far")


def figures(message: str) -> Figures:
    """The figures of the last line of a failure's message; nothing spent when it has none."""
    lines = message.splitlines()
    found = _LAST_LINE.fullmatch(lines[-1].strip()) if lines else None
    if found is None:
        return Figures()
    run = None if found[1] == "none" else found[1]
    duration = None if found[3] == "none" else float(found[3])
    return Figures(run, float(found[2]), duration if duration and math.isfinite(duration) else None)


@dataclass(frozen=True)
class SoFar:
    """What a progress report of the connector says."""

    run_id: str
    phase: str
    usd: float


def so_far(message: str) -> SoFar | None:
    """The run, its phase and its dollars so far; None when the report is not about a run."""
    found = _SO_FAR.search(message[:2000])
    return None if found is None else SoFar(found[1], found[2], float(found[3]))
