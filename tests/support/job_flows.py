"""The RunJobFlow request that the emulator's tests vary."""

from __future__ import annotations

from typing import Any

__all__ = ["command", "group", "job_flow"]


def group(role: str, count: int, instance_type: str = "m5.xlarge", **more: Any) -> dict[str, Any]:
    return {"InstanceRole": role, "InstanceCount": count, "InstanceType": instance_type, **more}


def command(*argv: str, action: str = "TERMINATE_CLUSTER", name: str = "step") -> dict[str, Any]:
    """A step that runs argv."""
    jar = {"Jar": "command-runner.jar", "Args": list(argv)}
    return {"Name": name, "ActionOnFailure": action, "HadoopJarStep": jar}


def job_flow(*steps: dict[str, Any], instances: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A RunJobFlow of one primary and two core nodes."""
    return {
        "Name": "nightly",
        "ReleaseLabel": "emr-7.1.0",
        "ServiceRole": "EMR_DefaultRole",
        "JobFlowRole": "EMR_EC2_DefaultRole",
        "Applications": [{"Name": "Spark"}],
        "Instances": {"InstanceGroups": [group("MASTER", 1), group("CORE", 2)], **(instances or {})},
        "Steps": list(steps),
        **more,
    }
