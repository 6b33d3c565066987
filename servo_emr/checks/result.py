"""What a check says: outcome, finding, remedy. Knows none of the checks."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from servo_emr.domain.errors import Reason, RunError, failure

__all__ = ["Checked", "Outcome", "failed", "not_asked", "passed", "refused", "warned"]


class Outcome(enum.StrEnum):
    """How grave what a check found is. Only FAILED keeps a servo from starting and a cycle from spending."""

    OK = "ok"
    WARNING = "warning"
    NOT_CHECKED = "not checked"
    FAILED = "failure"


@dataclass(frozen=True)
class Checked:
    """The answer of one check.

    Attributes:
        name: the check's, one word or two.
        finding: what was found, a sentence.
        remedy: what to do; empty when there is nothing to do.
        error: the failure that a run would meet, or what kept the check from asking; None when all is well.
    """

    name: str
    outcome: Outcome
    finding: str
    remedy: str = ""
    error: RunError | None = None


def passed(name: str, finding: str) -> Checked:
    """All is well."""
    return Checked(name, Outcome.OK, finding)


def warned(name: str, finding: str, remedy: str) -> Checked:
    """It works, and somebody should know."""
    return Checked(name, Outcome.WARNING, finding, remedy)


def failed(name: str, reason: Reason, finding: str, remedy: str) -> Checked:
    """It cannot work like that."""
    return refused(name, failure(reason, f"{name}: {finding}", remedy=remedy), finding)


def refused(name: str, error: RunError, finding: str = "") -> Checked:
    """The same for a failure that somebody else has put into words."""
    return Checked(name, Outcome.FAILED, finding or error.message, error.remedy, error)


def not_asked(name: str, error: RunError) -> Checked:
    """It could not be asked: that is neither good nor bad, but it must be said."""
    return Checked(name, Outcome.NOT_CHECKED, error.message, error.remedy, error)
