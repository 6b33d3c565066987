"""RunJobFlow's document -> servo.yaml. Which members have a key is `aws.ec2_members`' table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from servo_emr.aws.ec2_members import KEYS, WITHOUT, within
from servo_emr.importing.document import leaves
from servo_emr.importing.draft import Draft, as_number
from servo_emr.importing.steps import from_jar_steps

__all__ = ["configurations", "from_job_flow"]

_ROLES = {"MASTER": "primary", "CORE": "core", "TASK": "task"}
_WORDS = {
    "LogUri": "log_uri", "LogEncryptionKmsKeyId": "log_kms_key", "ReleaseLabel": "release_label",
    "JobFlowRole": "instance_profile", "ServiceRole": "service_role", "SecurityConfiguration": "security_configuration",
    "CustomAmiId": "ami_id", "OSReleaseLabel": "os_release_label", "StepConcurrencyLevel": "step_concurrency",
    "EbsRootVolumeSize": "root_volume.size", "EbsRootVolumeIops": "root_volume.iops",
    "EbsRootVolumeThroughput": "root_volume.throughput",
}  # fmt: skip
_INSTANCES = {
    "Ec2KeyName": "key_pair", "UnhealthyNodeReplacement": "unhealthy_node_replacement",
    "EmrManagedMasterSecurityGroup": "security_groups.primary",
    "EmrManagedSlaveSecurityGroup": "security_groups.core_and_task",
    "ServiceAccessSecurityGroup": "security_groups.service_access",
    "AdditionalMasterSecurityGroups": "security_groups.additional_primary",
    "AdditionalSlaveSecurityGroups": "security_groups.additional_core_and_task",
}  # fmt: skip
_OURS = {
    "Name": "a cluster's name is our key: the workspace's id and the run's",
    "Instances.InstanceGroups[].Name": "groups are named by their roles",
    "Instances.InstanceFleets[].Name": "fleets are named by their roles",
}
_SHORT = ("MasterInstanceType", "SlaveInstanceType", "InstanceCount")
_ENDS = ("Instances.KeepJobFlowAliveWhenNoSteps", "Instances.TerminationProtected")


def from_job_flow(document: Mapping[str, Any], draft: Draft) -> None:
    """Puts what a request asks for into the draft, and leaves what has no key with the reason."""
    instances = document.get("Instances", {})
    for member, key in _WORDS.items():
        draft.put(f"cluster.{key}", document.get(member))
    if (upgrade := document.get("RepoUpgradeOnBoot")) is not None:
        draft.put("cluster.repo_upgrade_on_boot", str(upgrade).lower())
    for member, key in _INSTANCES.items():
        draft.put(f"cluster.{key}", instances.get(member))
    draft.put("cluster.applications", [one["Name"] for one in document.get("Applications", ())])
    draft.put("cluster.configurations", configurations(document.get("Configurations", ())))
    draft.put("cluster.tags", {one["Key"]: one.get("Value", "") for one in document.get("Tags", ())})
    draft.put(
        "cluster.bootstrap_actions",
        [_action(one["Name"], one["ScriptBootstrapAction"]) for one in document.get("BootstrapActions", ())],
    )
    one = [instances["Ec2SubnetId"]] if instances.get("Ec2SubnetId") else []
    draft.put("cluster.subnet_ids", [*one, *instances.get("Ec2SubnetIds", ())])
    _nodes(instances, draft)
    from_jar_steps(document.get("Steps", ()), draft.stage, "Steps", draft)
    _left(document, draft)


def configurations(documents: Any) -> list[dict[str, Any]]:
    """Configurations of the API in our words."""
    return [
        {
            "classification": one["Classification"],
            **({"properties": dict(one["Properties"])} if one.get("Properties") else {}),
            **({"configurations": configurations(one["Configurations"])} if one.get("Configurations") else {}),
        }
        for one in documents
    ]


def _action(name: str, script: Mapping[str, Any]) -> dict[str, Any]:
    args = [str(word) for word in script.get("Args", ())]
    return {"name": name, "path": script["Path"], **({"args": args} if args else {})}


def _nodes(instances: Mapping[str, Any], draft: Draft) -> None:
    seen = set()
    for number, group in enumerate(instances.get("InstanceGroups", ())):
        role, where = _ROLES[group["InstanceRole"]], f"Instances.InstanceGroups.{number}"
        if role in seen:
            draft.leave(where, group["InstanceType"], f"one group of {role} nodes is possible: put them together")
            continue
        seen.add(role)
        count = int(as_number(group["InstanceCount"], f"{where}.InstanceCount"))
        if role == "primary" and count != 1:
            draft.leave(f"{where}.InstanceCount", count, "a cluster has one primary node")
        draft.nodes(role, group["InstanceType"], None if role == "primary" else count, f"{where}.InstanceType")
        bid = _bid(group, where)
        # By the API's words a group with a bid is on spot, where it does not say otherwise.
        spot = group.get("Market", "ON_DEMAND" if bid is None else "SPOT") == "SPOT"
        draft.put(f"cluster.{role}.market", "spot" if spot else None)
        draft.put(f"cluster.{role}.bid_price", bid if spot else None)
        if bid is not None and not spot:
            draft.leave(f"{where}.BidPrice", bid, "a bid is for spot nodes, and these are on demand")
        _own(group, role, draft)
    for number, fleet in enumerate(instances.get("InstanceFleets", ())):
        _fleet(fleet, _ROLES[fleet["InstanceFleetType"]], f"Instances.InstanceFleets.{number}", draft)
    if any(name in instances for name in _SHORT):
        count = int(as_number(instances.get("InstanceCount", 2), "Instances.InstanceCount")) - 1
        primary = instances.get("MasterInstanceType") or instances.get("SlaveInstanceType", "m5.xlarge")
        draft.nodes("primary", primary, None, "Instances.MasterInstanceType")
        draft.nodes("core", instances.get("SlaveInstanceType") or primary, max(1, count), "Instances.SlaveInstanceType")
    draft.core_nodes("Instances")


def _bid(group: Mapping[str, Any], where: str) -> float | None:
    return as_number(group["BidPrice"], f"{where}.BidPrice") if group.get("BidPrice") else None


def _own(group: Mapping[str, Any], role: str, draft: Draft) -> None:
    """What groups and the types of fleets have in common."""
    storage = group.get("EbsConfiguration", {})
    devices = [_disk(one) for one in storage.get("EbsBlockDeviceConfigs", ())]
    draft.put(f"cluster.{role}.ebs", devices)
    draft.put(f"cluster.{role}.ebs_optimized", storage.get("EbsOptimized"))
    draft.put(f"cluster.{role}.ami_id", group.get("CustomAmiId"))
    draft.put(f"cluster.{role}.configurations", configurations(group.get("Configurations", ())))


def _disk(device: Mapping[str, Any]) -> dict[str, Any]:
    volume = device["VolumeSpecification"]
    found = {
        "type": volume["VolumeType"],
        "size": volume["SizeInGB"],
        "iops": volume.get("Iops"),
        "throughput": volume.get("Throughput"),
        "count": device.get("VolumesPerInstance"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _fleet(fleet: Mapping[str, Any], role: str, where: str, draft: Draft) -> None:
    on_demand, spot = fleet.get("TargetOnDemandCapacity", 0), fleet.get("TargetSpotCapacity", 0)
    first, *others = fleet["InstanceTypeConfigs"]
    count = None if role == "primary" else on_demand + spot
    draft.nodes(role, first["InstanceType"], count, f"{where}.InstanceTypeConfigs.0.InstanceType")
    draft.put(f"cluster.{role}.market", "spot" if spot else None)
    _own(first, role, draft)
    for number, other in enumerate(others, 1):
        for name in ("EbsConfiguration", "CustomAmiId", "Configurations"):
            if other.get(name) != first.get(name):
                place = f"{where}.InstanceTypeConfigs.{number}.{name}"
                draft.leave(place, other.get(name), f"all types of a fleet have what its first has: cluster.{role}")
    launch = fleet.get("LaunchSpecifications", {})
    waits, bought = launch.get("SpotSpecification", {}), launch.get("OnDemandSpecification", {})
    kept = bought.get("CapacityReservationOptions", {})
    section = {
        "alternatives": [other["InstanceType"] for other in others],
        "types": {one["InstanceType"]: found for one in (first, *others) if (found := _type(one, where))},
        "on_demand": on_demand if spot and role != "primary" else None,
        "spot_timeout": f"{waits['TimeoutDurationMinutes']}m" if spot and "TimeoutDurationMinutes" in waits else None,
        "timeout_action": str(waits.get("TimeoutAction", "")).lower().replace("_", "-") if spot else None,
        "spot_allocation": waits.get("AllocationStrategy") if spot else None,
        "on_demand_allocation": bought.get("AllocationStrategy"),
        "reservations": {
            key: kept[member]
            for key, member in (
                ("usage", "UsageStrategy"),
                ("preference", "CapacityReservationPreference"),
                ("resource_group_arn", "CapacityReservationResourceGroupArn"),
            )
            if member in kept
        },
    }
    draft.emr.setdefault("cluster", {}).setdefault(role, {})["fleet"] = {
        name: value for name, value in section.items() if value not in (None, "", [], {}, 0)
    }


def _type(one: Mapping[str, Any], where: str) -> dict[str, Any]:
    found = {
        "weight": one.get("WeightedCapacity"),
        "bid_price": _bid(one, where),
        "bid_percent": one.get("BidPriceAsPercentageOfOnDemandPrice"),
        "priority": one.get("Priority"),
    }
    return {name: value for name, value in found.items() if value is not None and (name, value) != ("weight", 1)}


def _left(document: Mapping[str, Any], draft: Draft) -> None:
    """Everything in the document that no key says: once for each member that has a reason of its own."""
    said: set[str] = set()
    for path, value in leaves(document):
        member = _member(path)
        if member.startswith("Steps[]") or member.partition(".")[2] in _SHORT or value in ([], {}, None):
            continue
        if member in _ENDS:
            if value in (True, "true"):
                draft.leave(path, value, "every cluster ends with its last step")
            continue
        above = next((one for one in WITHOUT if within(member, one)), member)
        parts = above.count(".") + above.count("[]") + 1
        place = ".".join(path.split(".")[:parts])
        why = WITHOUT.get(above) or _OURS.get(member) or (None if member in KEYS else "RunJobFlow has no such member")
        if why is not None and place not in said:
            said.add(place)
            draft.leave(place, value if place == path else "...", why)


def _member(path: str) -> str:
    """The member of the service's model that a path of a document leads to; nested configurations are one."""
    member = re.sub(r"\.\d+(?=\.|$)", "[]", path)
    member = re.sub(r"(?<=Configurations\[\])(\.Configurations\[\])+", "", member)
    return re.sub(r"\.Properties\..+$", ".Properties{}", member)
