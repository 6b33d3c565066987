"""The error tree: every reason has one class, and a class takes no other's reason."""

from __future__ import annotations

import re

import pytest

from servo_emr.domain.errors import (
    Aborted,
    Censored,
    ConfigurationError,
    EnvironmentFailure,
    JobError,
    OperatorError,
    OurDefect,
    Reason,
    RunError,
    Verdict,
    failure,
)

CLASSES = {
    Verdict.CONFIGURATION: ConfigurationError,
    Verdict.ENVIRONMENT: EnvironmentFailure,
    Verdict.JOB: JobError,
    Verdict.OPERATOR: OperatorError,
    Verdict.CENSORED: Censored,
    Verdict.ABORTED: Aborted,
    Verdict.INTERNAL: OurDefect,
}
FAILURES = [reason for reason in Reason if reason is not Reason.SUCCESS]


@pytest.mark.parametrize("reason", FAILURES)
def test_every_reason_but_success_has_the_error_class_of_its_verdict(reason: Reason) -> None:
    error = failure(reason, "It broke.", remedy="Mend it.", public="broken", details={"a": 1})
    assert type(error) is CLASSES[reason.verdict]
    assert (error.reason, error.public, error.details) == (reason, "broken", {"a": 1})
    assert str(error) == "It broke. Mend it."


def test_success_is_no_failure() -> None:
    assert Reason.SUCCESS.verdict is Verdict.SUCCEEDED
    with pytest.raises(KeyError):
        failure(Reason.SUCCESS, "It did not break.")


@pytest.mark.parametrize("kind", CLASSES.values())
def test_a_class_refuses_the_reason_of_another(kind: type[RunError]) -> None:
    other = next(reason for reason in FAILURES if reason.verdict is not kind.verdict)
    with pytest.raises(ValueError, match=f"{kind.__name__} cannot carry"):
        kind("It broke.", other)


def test_reasons_are_the_wire_contract_of_verdict_slash_word() -> None:
    odd = {reason.value for reason in Reason if not re.fullmatch(r"[a-z]+/[a-z-]+", reason)}
    assert odd == {"success", "deadline", "max-cost", "shutdown"}
    assert {reason.value for reason in Reason} >= {
        "configuration/unknown-setting",
        "configuration/out-of-bounds",
        "environment/instance-lost",
        "job/cell-error",
        "operator/unreleased",
        "internal/bug",
    }


def test_what_an_error_says_in_full_is_not_what_may_leave_the_account() -> None:
    error = failure(Reason.CELL_ERROR, "KeyError in cell 3: 'customer 4711'", public="KeyError in cell 3")
    assert "4711" in str(error)
    assert "4711" not in error.public


def test_details_are_a_copy_of_what_was_given() -> None:
    details = {"a": 1}
    error = failure(Reason.BUG, "It broke.", details=details)
    details["b"] = 2
    assert error.details == {"a": 1}
