"""What the optimizer hears: a run's record as a servox Measurement, one of our errors as one of servox's.

The error-translation table stands here. All of an error goes to the log; on the wire goes only what may leave the
account, unless servo.yaml says `report_details`.
"""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import servo
import servo.errors

from servo_emr.description import Metric, WireUnit
from servo_emr.domain.errors import (
    Aborted,
    ConfigurationError,
    LaunchUnclear,
    OurDefect,
    Reason,
    RunError,
    ServoEmrError,
    failure,
)
from servo_emr.domain.run import RunRecord
from servo_emr.failure_block import failure_block
from servo_emr.lifecycle.guards import spent

__all__ = ["measurement", "told", "translated"]

_DETAILS_LIMIT = 8_000
_PLACES = re.compile(r"\b(?:s3[an]?://|arn:)\S+")
"""S3 URIs and ARNs: names of the account's own things, which prices' notes and AWS's words may hold."""

_CLASSES: dict[type[RunError], type[servo.EventError]] = {
    ConfigurationError: servo.AdjustmentRejectedError,
    Aborted: servo.EventAbortedError,
}
"""The error-translation table; what is not in it becomes the failure of the event at hand."""


def measurement(record: RunRecord, details: bool) -> servo.Measurement:
    """The answer for a run that succeeded. `details`: whether reasons of the job may leave the account."""
    at = datetime.fromtimestamp(record.ended_at or record.created_at, UTC)
    readings = [
        servo.DataPoint(Metric(name, WireUnit(record.units[name])), at, value) for name, value in record.metrics.items()
    ]
    return servo.Measurement(readings=readings, annotations=_annotations(record, details))


def _annotations(record: RunRecord, details: bool) -> dict[str, str]:
    warnings = list(record.warnings)
    if record.missing:
        detailed = [f"{name}: {why}" for name, why in record.missing.items()]
        warnings.append("no value for " + ", ".join(detailed if details else record.missing))
    notes = {
        "run_id": record.run_id,
        "cluster_id": record.cluster_id or "",
        "cost_basis": str(record.cost["basis"]) if record.cost else "no bill could be made",
        "repeats": str(record.spec["job"].get("repeats", 1)),
        "notebook_sha256": record.notebook_sha256,
    }
    if record.details.get("disturbed"):
        notes["disturbed"] = str(record.details["disturbed"])
    if record.details.get("realised"):
        notes["realised"] = str(record.details["realised"])
    if record.recovered:
        notes["recovered"] = "the servo was restarted during this run"
    if warnings:
        notes["warnings"] = "; ".join(warnings)
    return notes if details else {name: _PLACES.sub("...", text) for name, text in notes.items()}


def told(error: RunError, kind: type[servo.EventError], record: RunRecord | None, details: bool) -> servo.EventError:
    """The servox error for one of ours.

    Args:
        kind: the failure of the event at hand.
        record: the run's, None when there was none.
        details: whether all of it may leave the account.
    """
    text = f"{error.reason}: {error.public}" if error.public else str(error.reason)
    if details:
        text = f"{text}\n{failure_block(error, record)[:_DETAILS_LIMIT]}"
    return _CLASSES.get(type(error), kind)(f"{text}\n{_last_line(record)}", reason=str(error.reason))


def _last_line(record: RunRecord | None) -> str:
    """A failure costs what it cost, and the optimizer has no other way to learn it."""
    if record is None:
        return "run=none cost_usd=0.0000 duration_s=none"
    duration = record.phases.get("duration")
    shown = "none" if duration is None else f"{duration:.3f}"
    return f"run={record.run_id} cost_usd={spent(record):.4f} duration_s={shown}"


@contextlib.contextmanager
def translated(tell: Callable[[RunError], servo.EventError]) -> Iterator[None]:
    """Lets nothing out but servox's EventErrors and cancellation: anything else would end the servo's process.

    Args:
        tell: makes the servox error for one of ours.
    """
    try:
        yield
    except servo.errors.EventError:
        raise
    except RunError as error:
        raise tell(error) from error
    except LaunchUnclear as error:
        raise tell(failure(Reason.ENDPOINT, str(error), public="no clear answer")) from error
    except ServoEmrError as error:
        raise tell(failure(Reason.LEASE, str(error), public="changed by somebody else")) from error
    except Exception as error:
        details = {"traceback": traceback.format_exc()}
        defect = OurDefect(f"{type(error).__name__}: {error}", Reason.BUG, public=type(error).__name__, details=details)
        raise tell(defect) from error
