"""The service's words in ours: a state or code that AWS adds fails here, before it fails in somebody's account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import botocore.loaders
import botocore.model
import pytest

from servo_emr.aws.ec2_model import (
    ALIVE,
    CAUSES,
    CLUSTER_STATES,
    STEP_STATES,
    end_reason,
    refusal_reason,
    step_look,
    times,
)
from servo_emr.domain.errors import Reason
from servo_emr.domain.run import RunState, StepState, Timeline


@pytest.fixture(scope="module")
def model() -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("emr", "service-2"), "emr")


@pytest.mark.parametrize(
    ("enumeration", "table"),
    [("ClusterState", CLUSTER_STATES), ("StepState", STEP_STATES), ("ClusterStateChangeReasonCode", CAUSES)],
)
def test_the_tables_have_exactly_the_services_words(
    model: botocore.model.ServiceModel, enumeration: str, table: dict[str, Any]
) -> None:
    assert sorted(table) == sorted(model.shape_for(enumeration).enum)


def test_whatever_is_not_seen_ended_is_alive() -> None:
    assert set(CLUSTER_STATES) - set(ALIVE) == {"TERMINATED", "TERMINATED_WITH_ERRORS"}
    assert [word for word, state in CLUSTER_STATES.items() if state.terminal] == [
        "TERMINATED",
        "TERMINATED_WITH_ERRORS",
    ]
    assert CLUSTER_STATES["TERMINATING"] is RunState.ENDING


def test_only_completed_is_success_and_a_step_that_is_being_cancelled_has_not_ended() -> None:
    assert [word for word, state in STEP_STATES.items() if state is StepState.COMPLETED] == ["COMPLETED"]
    assert not STEP_STATES["CANCEL_PENDING"].ended


def error(code: str) -> dict[str, str]:
    return {"ErrorCode": code, "ErrorMessage": "in words"}


@pytest.mark.parametrize(
    ("code", "message", "errors", "reason"),
    [
        ("", "", [], None),
        ("ALL_STEPS_COMPLETED", "Steps completed", [], None),
        ("STEP_FAILURE", "Shut down as step failed", [], None),
        ("USER_REQUEST", "Terminated by user request", [], Reason.INTERRUPTED),
        ("BOOTSTRAP_FAILURE", "On the master instance, bootstrap action 1 returned 1", [], Reason.BOOTSTRAP),
        ("INSTANCE_FAILURE", "The master node was terminated", [], Reason.INSTANCE_LOST),
        ("INSTANCE_FLEET_TIMEOUT", "", [], Reason.CAPACITY),
        ("INTERNAL_ERROR", "", [], Reason.SERVICE_INTERNAL),
        ("INTERNAL_ERROR", "", [error("INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY_AZ")], Reason.CAPACITY),
        ("INTERNAL_ERROR", "", [error("INTERNAL_ERROR_SPOT_PRICE_INCREASE_PRIMARY")], Reason.SPOT),
        ("INTERNAL_ERROR", "", [error("INTERNAL_ERROR_SPOT_NO_CAPACITY_PRIMARY")], Reason.SPOT),
        ("INTERNAL_ERROR", "", [error("INTERNAL_ERROR_OF_A_NEW_KIND")], Reason.SERVICE_INTERNAL),
        ("BOOTSTRAP_FAILURE", "", [error("BOOTSTRAP_FAILURE_BA_DOWNLOAD_FAILED_PRIMARY")], Reason.BOOTSTRAP),
        ("VALIDATION_ERROR", "", [error("VALIDATION_ERROR_INSTANCE_TYPE_NOT_SUPPORTED")], Reason.TYPE_UNSUPPORTED),
        ("VALIDATION_ERROR", "", [error("VALIDATION_ERROR_SUBNET_NOT_FROM_ONE_VPC")], Reason.NETWORK),
        ("VALIDATION_ERROR", "", [error("VALIDATION_ERROR_SECURITY_GROUP_NOT_FROM_ONE_VPC")], Reason.NETWORK),
        (
            "VALIDATION_ERROR",
            "The requested instance type c7i.xlarge is not supported in the requested Availability Zone.",
            [],
            Reason.CAPACITY,
        ),
        ("VALIDATION_ERROR", "EC2 QUOTA EXCEEDED", [], Reason.QUOTA),
        ("VALIDATION_ERROR", "The instance profile has no permission", [], Reason.ROLE),
        ("VALIDATION_ERROR", "something new", [], Reason.ROLE),
        ("A_CODE_OF_TOMORROW", "", [], Reason.SERVICE_INTERNAL),
        ("USER_REQUEST", "", [{"ErrorData": []}], Reason.INTERRUPTED),
    ],
)
def test_what_ended_a_cluster(code: str, message: str, errors: list[dict[str, Any]], reason: Reason | None) -> None:
    assert end_reason(code, message, errors) is reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Instance type 'x9.large' is not supported by release", Reason.TYPE_UNSUPPORTED),
        ("The supplied release label is invalid: emr-99.0.0.", Reason.RELEASE_LABEL),
        ("The subnet configuration was invalid: subnet-1 does not exist.", Reason.NETWORK),
        ("Invalid InstanceProfile: Nobody.", Reason.ROLE),
        ("ServiceRole: Nobody does not exist", Reason.ROLE),
        ("Instance count would exceed the limit", Reason.QUOTA),
        ("You have requested more vCPU capacity than your current vCPU limit of 32 allows", Reason.QUOTA),
        ("The requested number of instances exceeds your EC2 quota for this instance type.", Reason.QUOTA),
        ("You have requested more vCPU than your limit for the instance type's bucket: quota L-1", Reason.QUOTA),
        ("Insufficient instance capacity for instance type m5.xlarge", Reason.CAPACITY),
        ("We currently do not have sufficient m5.xlarge capacity. Try a different instance type.", Reason.CAPACITY),
        ("Supported instance types for release label emr-9.9.9 could not be found.", Reason.RELEASE_LABEL),
        ("The bid price for instance type m5.xlarge must be a number", None),
        ("Invalid instance type: x9.large", Reason.TYPE_UNSUPPORTED),
        ("Something that nobody has heard of", None),
        ("", None),
    ],
)
def test_what_a_refusal_without_a_code_is_about(message: str, reason: Reason | None) -> None:
    assert refusal_reason(message) is reason


def test_times_become_seconds_and_what_is_absent_stays_absent() -> None:
    at = datetime(2026, 11, 20, 10, 15, 30, 250_000, UTC)
    assert times({"CreationDateTime": at}, "ReadyDateTime") == Timeline(at.timestamp(), None, None)
    assert times({"StartDateTime": at, "EndDateTime": at}, "StartDateTime") == Timeline(
        None, at.timestamp(), at.timestamp()
    )
    assert times({}, "ReadyDateTime") == Timeline()


def test_a_steps_failure_is_kept_in_the_services_own_words() -> None:
    details = {"Reason": "Unknown Error.", "LogFile": "s3://b/stderr.gz", "Message": ""}
    step = {"Id": "s-1", "Name": "notebook", "Status": {"State": "FAILED", "FailureDetails": details}}
    look = step_look(step)
    assert (look.step_id, look.state, look.timeline) == ("s-1", StepState.FAILED, Timeline())
    assert look.failure == {"Reason": "Unknown Error.", "LogFile": "s3://b/stderr.gz"}
