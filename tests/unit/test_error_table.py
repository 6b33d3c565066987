"""The connector's translation of our errors into servox's: class, reason, last line, and what stays in the account."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import servo

from servo_emr.answers import measurement, translated
from servo_emr.config import EMRConfiguration
from servo_emr.connector import EMRConnector
from servo_emr.domain.errors import Conflict, LaunchUnclear, Reason, Verdict, failure
from tests.unit.test_run import RECORD

CANARY = "canary-4711"
FAILURES = [reason for reason in Reason if reason is not Reason.SUCCESS]
CLASSES = {Verdict.CONFIGURATION: servo.AdjustmentRejectedError, Verdict.ABORTED: servo.EventAbortedError}


def connector(**changes: object) -> EMRConnector:
    return EMRConnector(name="emr", config=EMRConfiguration.generate(**changes))


@pytest.mark.parametrize("reason", FAILURES)
def test_every_reason_has_its_servox_class_and_goes_over_the_wire_without_its_evidence(reason: Reason) -> None:
    error = failure(reason, f"{CANARY} in cell 3", public="in cell 3", details={"traceback": CANARY})
    told = connector()._failed(error, servo.MeasurementFailedError, RECORD)
    assert type(told) is CLASSES.get(reason.verdict, servo.MeasurementFailedError)
    assert told.reason == str(reason)
    assert CANARY not in str(told)
    first, last = str(told).splitlines()
    assert first == f"{reason}: in cell 3"
    assert last == f"run={RECORD.run_id} cost_usd=0.5000 duration_s=100.000"


def test_with_report_details_the_evidence_goes_too_and_the_last_line_stays_the_last() -> None:
    record = replace(RECORD, details={"cell_error": {"evalue": CANARY * 5000}})
    told = connector(report_details=True)._failed(
        failure(Reason.CELL_ERROR, CANARY), servo.MeasurementFailedError, record
    )
    assert CANARY in str(told)
    assert len(str(told)) < 10_000
    assert str(told).splitlines()[-1].startswith(f"run={RECORD.run_id} cost_usd=")


@pytest.mark.parametrize("details", [False, True])
def test_a_measurement_names_no_object_and_no_account_in_its_annotations(details: bool) -> None:
    warnings = ("kept in s3://acme-servo/nightly/prices.json: denied for arn:aws:iam::123456789012:user/x (again)",)
    cost = {**(RECORD.cost or {}), "basis": "list prices of s3://acme-servo/prices"}
    notes = measurement(replace(RECORD, warnings=warnings, cost=cost), details).annotations
    assert ("acme-servo" in str(notes), "123456789012" in str(notes)) == (details, details)
    assert notes["run_id"] == RECORD.run_id
    if not details:
        assert notes["warnings"].startswith("kept in ... denied for ... (again)")


def test_a_run_without_a_duration_and_a_refusal_without_a_run_say_so_in_the_last_line() -> None:
    edge, error = connector(), failure(Reason.CAPACITY, "no capacity")
    record = replace(RECORD, phases={}, cost=None, cost_so_far=0.12344)
    told = edge._failed(error, servo.MeasurementFailedError, record)
    assert str(told).splitlines()[-1] == f"run={RECORD.run_id} cost_usd=0.1234 duration_s=none"
    told = edge._failed(error, servo.AdjustmentFailedError, None)
    assert type(told) is servo.AdjustmentFailedError
    assert str(told).splitlines()[-1] == "run=none cost_usd=0.0000 duration_s=none"


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (failure(Reason.PRICE, CANARY), Reason.PRICE),
        (LaunchUnclear(CANARY), Reason.ENDPOINT),
        (Conflict(CANARY), Reason.LEASE),
        (KeyError(CANARY), Reason.BUG),
        (ZeroDivisionError(), Reason.BUG),
    ],
)
def test_nothing_but_an_event_error_leaves_a_handler(raised: Exception, reason: Reason) -> None:
    with (
        pytest.raises(servo.EventError) as told,
        translated(lambda error: connector()._failed(error, servo.AdjustmentFailedError, None)),
    ):
        raise raised
    assert told.value.reason == str(reason)
    assert CANARY not in str(told.value)


def test_an_event_error_and_a_cancellation_pass_as_they_are() -> None:
    for raised in (servo.MeasurementFailedError("as it is"), asyncio.CancelledError()):
        with (
            pytest.raises(type(raised)) as passed,
            translated(lambda error: connector()._failed(error, servo.AdjustmentFailedError, None)),
        ):
            raise raised
        assert passed.value is raised
