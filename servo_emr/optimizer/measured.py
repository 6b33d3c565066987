"""A MEASUREMENT that went well, as the outcome of a trial. Knows the connector's metrics and annotations, no study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from servo_emr.optimizer.trial import Outcome
from servo_emr.optimizer.wire import Message, readings

__all__ = ["SHOWN", "measured", "metrics_of"]

SHOWN = 500
"""So much is kept of a text that a servo has sent."""
_KEPT = ("cost_basis", "disturbed", "recovered", "warnings")


def metrics_of(descriptor: Mapping[str, Any]) -> list[str]:
    """What a servo that describes itself so is asked to measure: all it can, the job's own metrics among it."""
    return list(descriptor["measurement"]["metrics"])


def measured(message: Message, uid: str, now: float) -> Outcome:
    """What was measured. duration_s, cost_usd: None where the servo told none, or one that is not above 0: no run is
    free, and none takes no time.
    """
    values, notes = readings(message), {k: v for k, v in message.map("annotations").items() if isinstance(v, str)}
    duration, cost = (number if number > 0 else None for number in (values.get(n, 0.0) for n in ("duration", "cost")))
    phases = {
        "provisioning": values.get("provisioning_time", 0.0) + values.get("bootstrap_time", 0.0),
        "teardown": values.get("teardown_time", 0.0),
    }
    return Outcome(
        "done",
        "success",
        now,
        uid,
        run_id=notes.get("run_id"),
        duration_s=duration,
        cost_usd=cost,
        spent_usd=max(0.0, values.get("billed_cost", cost or 0.0)),
        phases={name: seconds for name, seconds in phases.items() if seconds > 0},
        notebook_sha256=notes.get("notebook_sha256", ""),
        notes={name: text[:SHOWN] for name, text in notes.items() if name in _KEPT},
    )
