"""The RunJobFlow requests that the emulator's tests vary."""

from __future__ import annotations

from typing import Any

__all__ = ["command", "fleet", "fleet_job_flow", "group", "job_flow", "volumes"]


def group(role: str, count: int, instance_type: str = "m5.xlarge", **more: Any) -> dict[str, Any]:
    return {"InstanceRole": role, "InstanceCount": count, "InstanceType": instance_type, **more}


def fleet(role: str, *types: dict[str, Any] | str, **more: Any) -> dict[str, Any]:
    """An instance fleet of those types, each a name or an InstanceTypeConfig."""
    configs = [{"InstanceType": entry} if isinstance(entry, str) else entry for entry in types or ("m5.xlarge",)]
    return {"InstanceFleetType": role, "InstanceTypeConfigs": configs, **more}


def volumes(kind: str, size: int, count: int = 1, **more: Any) -> dict[str, Any]:
    """An EbsConfiguration of `count` equal volumes."""
    specification = {"VolumeType": kind, "SizeInGB": size, **more}
    return {"EbsBlockDeviceConfigs": [{"VolumeSpecification": specification, "VolumesPerInstance": count}]}


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


def fleet_job_flow(
    *steps: dict[str, Any],
    fleets: list[dict[str, Any]] | None = None,
    instances: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A RunJobFlow of fleets: one primary and, unless others are given, two core nodes."""
    chosen = [fleet("CORE", TargetOnDemandCapacity=2)] if fleets is None else fleets
    primary = fleet("MASTER", TargetOnDemandCapacity=1)
    request = job_flow(*steps, **more)
    return {**request, "Instances": {"InstanceFleets": [primary, *chosen], **(instances or {})}}
