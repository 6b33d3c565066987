"""Success is a whitelist: every way that a run is known to end, and what it is called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servo_emr.domain.errors import Reason, failure
from servo_emr.domain.run import JobEvidence, Observation, RunState, StepState
from servo_emr.domain.spec import Step
from servo_emr.lifecycle.verdict import judge
from tests.support.samples import SPEC, look, step_look

FINE = JobEvidence(None)
NOTHING = JobEvidence(failure(Reason.NO_RESULT, "there is no result.json.", public="no result"))
CELL = JobEvidence(failure(Reason.CELL_ERROR, "KeyError in cell 3: 4711", public="KeyError in cell 3"))
DEAD_KERNEL = JobEvidence(failure(Reason.OUT_OF_MEMORY, "The kernel died.", public="the kernel died"))
TIMEOUT = JobEvidence(failure(Reason.JOB_TIMEOUT, "The job passed its limit.", public="the job passed its limit"))

DONE = step_look(StepState.COMPLETED)
FAILED = step_look(StepState.FAILED, Reason="Unknown Error.")
CANCELLED = step_look(StepState.CANCELLED)
INTERRUPTED = step_look(StepState.INTERRUPTED)
PENDING = step_look(StepState.PENDING, None, None)
RUNNING = step_look(StepState.RUNNING, 100.0, None)


def test_only_completed_steps_and_clean_evidence_are_success() -> None:
    assert judge(SPEC, look(DONE), FINE) is None


@pytest.mark.parametrize(
    "reason", [None, Reason.INTERRUPTED, Reason.SERVICE_INTERNAL, Reason.INSTANCE_LOST, Reason.BOOTSTRAP]
)
def test_what_the_cluster_says_takes_nothing_from_a_job_that_is_done(reason: Reason | None) -> None:
    assert judge(SPEC, look(DONE, end_reason=reason, cause_code="X"), FINE) is None


ENDS: dict[str, tuple[Observation, JobEvidence | None, Reason]] = {
    "completed without a result": (look(DONE), NOTHING, Reason.NO_RESULT),
    "completed and nobody looked": (look(DONE), None, Reason.NO_RESULT),
    "completed with an error in a cell": (look(DONE), CELL, Reason.CELL_ERROR),
    "completed though the kernel died": (look(DONE), DEAD_KERNEL, Reason.OUT_OF_MEMORY),
    "failed by a cell": (look(FAILED), CELL, Reason.CELL_ERROR),
    "failed by a dead kernel": (look(FAILED), DEAD_KERNEL, Reason.OUT_OF_MEMORY),
    "failed by the time limit on the cluster": (look(FAILED), TIMEOUT, Reason.JOB_TIMEOUT),
    "failed without a result": (look(FAILED), NOTHING, Reason.STEP_FAILED),
    "failed and nobody looked": (look(FAILED), None, Reason.STEP_FAILED),
    "failed though the result says succeeded": (look(FAILED), FINE, Reason.STEP_FAILED),
    "F15: failed, terminated, empty reason code": (look(FAILED, cause_code=""), NOTHING, Reason.STEP_FAILED),
    "failed by a cell while a person ended the cluster": (
        look(FAILED, end_reason=Reason.INTERRUPTED, cause_code="USER_REQUEST"),
        CELL,
        Reason.CELL_ERROR,
    ),
    "F17: failed because a person ended the cluster": (
        look(FAILED, end_reason=Reason.INTERRUPTED, cause_code="USER_REQUEST"),
        NOTHING,
        Reason.INTERRUPTED,
    ),
    "F17: cancelled because a person ended the cluster": (
        look(CANCELLED, end_reason=Reason.INTERRUPTED, cause_code="USER_REQUEST"),
        None,
        Reason.INTERRUPTED,
    ),
    "F17: ended by a person before the step ran": (
        look(PENDING, end_reason=Reason.INTERRUPTED, cause_code="USER_REQUEST"),
        None,
        Reason.INTERRUPTED,
    ),
    "F16: step cancelled by a person": (look(CANCELLED), NOTHING, Reason.INTERRUPTED),
    "F12: primary lost, step failed": (
        look(FAILED, end_reason=Reason.INSTANCE_LOST, cause_code="INSTANCE_FAILURE"),
        NOTHING,
        Reason.INSTANCE_LOST,
    ),
    "F12: primary lost, step never updated": (
        look(RUNNING, end_reason=Reason.INSTANCE_LOST, cause_code="INSTANCE_FAILURE"),
        None,
        Reason.INSTANCE_LOST,
    ),
    "F13: core node lost, step interrupted": (look(INTERRUPTED), NOTHING, Reason.INSTANCE_LOST),
    "F13: interrupted and the cluster says why": (
        look(INTERRUPTED, end_reason=Reason.SERVICE_INTERNAL, cause_code="INTERNAL_ERROR"),
        None,
        Reason.SERVICE_INTERNAL,
    ),
    "F10: bootstrap failed, steps cancelled": (
        look(CANCELLED, end_reason=Reason.BOOTSTRAP, cause_code="BOOTSTRAP_FAILURE"),
        None,
        Reason.BOOTSTRAP,
    ),
    "F10: bootstrap failed, no step listed": (
        look(end_reason=Reason.BOOTSTRAP, cause_code="BOOTSTRAP_FAILURE"),
        None,
        Reason.BOOTSTRAP,
    ),
    "F9: no capacity": (look(CANCELLED, end_reason=Reason.CAPACITY), None, Reason.CAPACITY),
    "F6: quota": (look(PENDING, end_reason=Reason.QUOTA), None, Reason.QUOTA),
    "F14: spot taken back": (look(INTERRUPTED, end_reason=Reason.SPOT), None, Reason.SPOT),
    "F4: role refused minutes later": (look(PENDING, end_reason=Reason.ROLE), None, Reason.ROLE),
    "F5: type refused minutes later": (
        look(PENDING, end_reason=Reason.TYPE_UNSUPPORTED),
        None,
        Reason.TYPE_UNSUPPORTED,
    ),
    "F11: internal error": (look(PENDING, end_reason=Reason.SERVICE_INTERNAL), None, Reason.SERVICE_INTERNAL),
    "ended without any reason before its steps": (look(PENDING), None, Reason.SERVICE_INTERNAL),
    "ended without any reason and without steps": (look(), None, Reason.SERVICE_INTERNAL),
    "ended while its step was seen running": (look(RUNNING), FINE, Reason.SERVICE_INTERNAL),
}


@pytest.mark.parametrize(("seen", "evidence", "reason"), ENDS.values(), ids=ENDS)
def test_anything_else_is_a_failure_with_its_cause(
    seen: Observation, evidence: JobEvidence | None, reason: Reason
) -> None:
    error = judge(SPEC, seen, evidence)
    assert error is not None
    assert error.reason is reason
    assert error.message
    assert error.public


@pytest.mark.parametrize("state", [state for state in StepState if state is not StepState.COMPLETED])
@pytest.mark.parametrize("evidence", [FINE, NOTHING, None])
def test_no_state_of_a_step_but_completed_is_ever_success(state: StepState, evidence: JobEvidence | None) -> None:
    assert judge(SPEC, look(step_look(state)), evidence) is not None


def test_every_step_has_to_be_completed_and_there_must_be_as_many_as_asked_for() -> None:
    spec = replace(SPEC, steps=(Step("prepare", ("x",), measured=False), *SPEC.steps))
    assert judge(spec, look(DONE, DONE), FINE) is None
    assert judge(spec, look(DONE), FINE) is not None
    assert judge(spec, look(FAILED, DONE), FINE) is not None
    assert judge(spec, look(DONE, CANCELLED), FINE) is not None


def test_the_failed_step_is_told_apart_from_those_that_were_cancelled_after_it() -> None:
    spec = replace(SPEC, steps=(*SPEC.steps, *SPEC.steps))
    failed = step_look(StepState.FAILED, Reason="Application error", Message="exit 1", LogFile="s3://x")
    error = judge(spec, look(failed, CANCELLED), NOTHING)
    assert error is not None
    assert error.reason is Reason.STEP_FAILED
    assert "Application error exit 1" in error.message
    assert error.details["step"]["LogFile"] == "s3://x"
    assert "s3://" not in error.public


def test_a_step_that_failed_after_it_had_succeeded_is_not_said_to_have_left_no_result() -> None:
    error = judge(SPEC, look(FAILED), FINE)
    assert error is not None
    assert "no result" not in error.message


def test_what_emr_says_of_a_clusters_end_stays_in_the_account() -> None:
    seen = look(
        CANCELLED,
        end_reason=Reason.BOOTSTRAP,
        cause_code="BOOTSTRAP_FAILURE",
        cause_message="bootstrap action 1 returned CANARY",
        errors=({"ErrorCode": "BOOTSTRAP_FAILURE_PRIMARY_WITH_NON_ZERO_CODE", "ErrorMessage": "CANARY"},),
    )
    error = judge(SPEC, seen, None)
    assert error is not None
    assert "CANARY" in error.message
    assert error.details["errors"][0]["ErrorMessage"] == "CANARY"
    assert "CANARY" not in error.public
    assert "log_uri" in error.remedy


def test_a_verdict_needs_no_particular_state_of_the_cluster() -> None:
    for state in RunState:
        assert judge(SPEC, look(DONE, state=state), FINE) is None
        assert judge(SPEC, look(FAILED, state=state), NOTHING) is not None
