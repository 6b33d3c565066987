"""Our checks as servox's: what its `run --check` and `--dry-run` go by, and what they show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import servo

from servo_emr.checks.result import Checked, Outcome

__all__ = ["as_servox"]

_SEVERITY = {
    Outcome.OK: servo.ErrorSeverity.common,
    Outcome.WARNING: servo.ErrorSeverity.warning,
    Outcome.NOT_CHECKED: servo.ErrorSeverity.warning,
    Outcome.FAILED: servo.ErrorSeverity.critical,
}


def as_servox(results: Iterable[Checked], matching: Any) -> list[servo.Check]:
    """One servox check for each of ours that `matching` (a CheckFilter or None) lets through.

    servox waits for every check to succeed, those of severity `warning` too: only a failure is told as one.
    """
    checks = [
        servo.Check(
            name=result.name,
            severity=_SEVERITY[result.outcome],
            success=result.outcome is not Outcome.FAILED,
            message=result.finding if result.outcome is Outcome.OK else f"{result.outcome}: {result.finding}",
            hint=result.remedy or None,
        )
        for result in results
    ]
    return [check for check in checks if matching is None or matching.matches(check)]
