"""EMR on EC2: the service's words in ours.

Exhaustive tables from the API's states and codes to the domain's; a test walks the SDK's enumerations against them.
Where the service gives only a sentence, `REFUSALS` holds the documented phrases and what each means. A document that
lacks what the API promises is a KeyError or its like here; the caller turns it into an error of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from servo_emr.domain.errors import Reason
from servo_emr.domain.run import InstanceRow, RunState, StepLook, StepState, Timeline, Volume

__all__ = [
    "CAUSES",
    "CLUSTER_STATES",
    "REFUSALS",
    "STEP_STATES",
    "asked_volumes",
    "end_reason",
    "failed_bootstrap",
    "instance_row",
    "refusal_reason",
    "step_look",
    "times",
]

CLUSTER_STATES = {
    "STARTING": RunState.PROVISIONING,
    "BOOTSTRAPPING": RunState.BOOTSTRAPPING,
    "RUNNING": RunState.RUNNING,
    "WAITING": RunState.RUNNING,
    "TERMINATING": RunState.ENDING,
    "TERMINATED": RunState.VERIFIED,
    "TERMINATED_WITH_ERRORS": RunState.VERIFIED,
}

ALIVE = tuple(state for state, run_state in CLUSTER_STATES.items() if run_state is not RunState.VERIFIED)

_ROLES = {"MASTER": "primary", "CORE": "core", "TASK": "task"}

STEP_STATES = {
    "PENDING": StepState.PENDING,
    "CANCEL_PENDING": StepState.RUNNING,
    "RUNNING": StepState.RUNNING,
    "COMPLETED": StepState.COMPLETED,
    "CANCELLED": StepState.CANCELLED,
    "FAILED": StepState.FAILED,
    "INTERRUPTED": StepState.INTERRUPTED,
}

CAUSES: dict[str, Reason | None] = {
    "INTERNAL_ERROR": Reason.SERVICE_INTERNAL,
    "VALIDATION_ERROR": Reason.ROLE,
    "INSTANCE_FAILURE": Reason.INSTANCE_LOST,
    "INSTANCE_FLEET_TIMEOUT": Reason.CAPACITY,
    "BOOTSTRAP_FAILURE": Reason.BOOTSTRAP,
    "USER_REQUEST": Reason.INTERRUPTED,
    "STEP_FAILURE": None,
    "ALL_STEPS_COMPLETED": None,
}
"""Cluster StateChangeReason codes. None: the steps tell what happened. A VALIDATION_ERROR without a better word is
most often a role or instance profile that does not fit."""

_ERROR_CODES = (
    ("INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY", Reason.CAPACITY),
    ("INTERNAL_ERROR_SPOT", Reason.SPOT),
    ("BOOTSTRAP_FAILURE", Reason.BOOTSTRAP),
    ("VALIDATION_ERROR_INSTANCE_TYPE_NOT_SUPPORTED", Reason.TYPE_UNSUPPORTED),
    ("VALIDATION_ERROR_SUBNET", Reason.NETWORK),
    ("VALIDATION_ERROR_SECURITY_GROUP", Reason.NETWORK),
    ("INTERNAL_ERROR", Reason.SERVICE_INTERNAL),
)
"""ErrorDetails codes by their documented beginnings; the first that fits counts."""

_UNSUPPORTED = r"(invalid|unsupported) instance type|instance types? .{0,60}?(not supported|unsupported|invalid)"
REFUSALS = (
    (r"quota|vcpu limit|exceed", Reason.QUOTA),
    (r"insufficient|capacity|not supported in the requested availability zone", Reason.CAPACITY),
    (_UNSUPPORTED, Reason.TYPE_UNSUPPORTED),
    (r"release label", Reason.RELEASE_LABEL),
    (r"subnet|security group", Reason.NETWORK),
    (r"instance ?profile|role", Reason.ROLE),
)
"""What messages that come without a code of their own are about, lower case; the first that occurs counts. Whatever may
pass by itself comes first, since a type that is called unsupported is never tried again."""


def asked_volumes(group: Mapping[str, Any]) -> tuple[Volume, ...] | None:
    """The EBS volumes of each instance of a group, or of a type of a fleet, as its document lists them; None when it
    lists none."""
    specifications = [device["VolumeSpecification"] for device in group.get("EbsBlockDevices", ())]
    if not specifications:
        return None
    return tuple(
        Volume(s["VolumeType"], float(s["SizeInGB"]), s.get("Iops"), s.get("Throughput")) for s in specifications
    )


def _of_type(group: Mapping[str, Any], inst_type: str) -> Mapping[str, Any]:
    """The document that tells of the volumes of a type: the group itself, or the fleet's entry for the type."""
    types = group.get("InstanceTypeSpecifications", ())
    return next((entry for entry in types if entry.get("InstanceType") == inst_type), group)


def times(timeline: Mapping[str, Any], ready: str) -> Timeline:
    """A Timeline of the API (datetimes) in ours; `ready` names its middle member."""

    def at(key: str) -> float | None:
        value = timeline.get(key)
        return None if value is None else float(value.timestamp())

    return Timeline(at("CreationDateTime"), at(ready), at("EndDateTime"))


def step_look(step: Mapping[str, Any]) -> StepLook:
    """One StepSummary of the API in our words."""
    status = step["Status"]
    failed = status.get("FailureDetails", {})
    return StepLook(
        step_id=step["Id"],
        name=step["Name"],
        state=STEP_STATES[status["State"]],
        timeline=times(status.get("Timeline", {}), "StartDateTime"),
        failure={key: str(value) for key, value in failed.items() if value},
    )


def instance_row(row: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]]) -> InstanceRow:
    """One Instance of the API in our words; `groups` are the documents of the cluster's groups or fleets, by id."""
    status = row["Status"]
    group_id = row.get("InstanceGroupId") or row.get("InstanceFleetId") or ""
    group = groups.get(group_id, {})
    role = group.get("InstanceGroupType") or group.get("InstanceFleetType") or ""
    return InstanceRow(
        instance_id=row.get("Ec2InstanceId") or row["Id"],
        inst_type=row["InstanceType"],
        group=group_id,
        market=row.get("Market", "ON_DEMAND"),
        state=status["State"],
        timeline=times(status.get("Timeline", {}), "ReadyDateTime"),
        ended=status["State"] == "TERMINATED",
        cause=status.get("StateChangeReason", {}).get("Message", ""),
        volumes=asked_volumes(_of_type(group, row["InstanceType"])),
        role=_ROLES.get(role, ""),
    )


def end_reason(code: str, message: str, errors: Sequence[Mapping[str, Any]]) -> Reason | None:
    """What ended a cluster, in our closed list: ErrorDetails first, then a telling message, then the reason code."""
    if code == "INTERNAL_ERROR" and "service quota" in message.lower():
        return Reason.QUOTA  # a quota has no code of its own, neither here nor in ErrorDetails
    for error in errors:
        for beginning, reason in _ERROR_CODES:
            if str(error.get("ErrorCode", "")).startswith(beginning):
                return reason
    if code == "VALIDATION_ERROR" and (told := refusal_reason(message)) is not None:
        return told
    return CAUSES.get(code, Reason.SERVICE_INTERNAL) if code else None


def failed_bootstrap(errors: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """(instance id, number) of the bootstrap action that ErrorDetails say failed on the primary node, or None."""
    for error in errors:
        if str(error.get("ErrorCode", "")).startswith("BOOTSTRAP_FAILURE"):
            told = {key: value for data in error.get("ErrorData", ()) for key, value in data.items()}
            instance, number = told.get("primary-instance-id"), told.get("bootstrap-action")
            if instance and number and str(number).isdigit():
                return str(instance), str(number)
    return None


def refusal_reason(message: str) -> Reason | None:
    """What a message of the service without a code of its own is about, or None."""
    lowered = message.lower()
    return next((reason for pattern, reason in REFUSALS if re.search(pattern, lowered)), None)
