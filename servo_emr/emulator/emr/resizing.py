"""EMR's operations on the groups and fleets of a cluster that is there: adding, resizing, reconfiguring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from servo_emr.emulator.emr import answers
from servo_emr.emulator.emr.launch import supported_types
from servo_emr.emulator.emr.launch_fleets import change_resizing, check_fleet_roles, offered_only, parse_fleet
from servo_emr.emulator.emr.launch_groups import check_roles, parse_groups
from servo_emr.emulator.emr.launch_nodes import check_configurations
from servo_emr.emulator.emr.launch_place import missing_types
from servo_emr.emulator.emr.refusals import refuse_others
from servo_emr.emulator.emr.releases import version
from servo_emr.emulator.emr.request import Call, Document, modifiable
from servo_emr.emulator.protocol.errors import invalid_request, validation
from servo_emr.emulator.world.records import Cluster, FleetRequest, Group, GroupRequest

__all__ = ["add_instance_fleet", "add_instance_groups", "modify_instance_fleet", "modify_instance_groups"]

_RESIZABLE = frozenset({"RUNNING", "WAITING"})
_RECONFIGURABLE_SINCE = (5, 21)
_FLEET_CHANGES = ("InstanceFleetId", "TargetOnDemandCapacity", "TargetSpotCapacity", "ResizeSpecifications")


def add_instance_groups(call: Call) -> Document:
    cluster = modifiable(call.job_flow(call.document["JobFlowId"]))
    if cluster.fleets:
        raise validation("Instance groups cannot be added to a cluster that uses instance fleets.")
    _check_resizable(cluster)
    requests = parse_groups(call.document["InstanceGroups"], _supported(call, cluster))
    check_roles([*(group.request.role for group in cluster.groups), *(request.role for request in requests)])
    _check_offered(call, cluster, requests, ())
    groups = [call.world.add_group(cluster, request) for request in requests]
    return {
        "JobFlowId": cluster.id,
        "InstanceGroupIds": [group.id for group in groups],
        "ClusterArn": answers.arn_of(cluster),
    }


def add_instance_fleet(call: Call) -> Document:
    cluster = call.active()
    if not cluster.fleets:
        raise invalid_request("Instance fleets cannot be added to a cluster that uses instance groups.")
    _check_resizable(cluster)
    request = parse_fleet(call.document["InstanceFleet"], _supported(call, cluster))
    check_fleet_roles([*(fleet.request.role for fleet in cluster.fleets), request.role])
    _check_offered(call, cluster, (), (request,))
    fleet = call.world.add_fleet(cluster, offered_only(request, _offered(call, cluster)))
    return {"ClusterId": cluster.id, "InstanceFleetId": fleet.id, "ClusterArn": answers.arn_of(cluster)}


def modify_instance_groups(call: Call) -> Document:
    changes = [(document, *_group_of(call, document)) for document in call.document.get("InstanceGroups", ())]
    # All or nothing: what is wrong with any of them is found before the first is changed.
    for document, cluster, group in changes:
        _check_resizable(modifiable(cluster))
        _check_group_change(document, cluster, group)
    for document, cluster, group in changes:
        if "Configurations" in document:
            _reconfigure(call, document, cluster, group)
        else:
            _resize(call, document, cluster, group)
    return {}


def modify_instance_fleet(call: Call) -> Document:
    cluster, document = call.active(), call.document["InstanceFleet"]
    fleet = next((known for known in cluster.fleets if known.id == document["InstanceFleetId"]), None)
    if fleet is None:
        raise invalid_request(f"Instance fleet id '{document['InstanceFleetId']}' is not valid.")
    refuse_others(document, _FLEET_CHANGES, "ModifyInstanceFleet")
    _check_resizable(cluster)
    if fleet.request.role == "MASTER":
        raise invalid_request("The master instance fleet cannot be modified.")
    on_demand = document.get("TargetOnDemandCapacity", fleet.on_demand)
    spot = document.get("TargetSpotCapacity", fleet.spot)
    if fleet.request.role == "CORE" and on_demand + spot < 1:
        raise invalid_request("The core instance fleet must keep a target capacity of at least 1.")
    fleet.request = change_resizing(fleet.request, document.get("ResizeSpecifications", {}))
    call.world.resize_fleet(cluster, fleet, on_demand, spot)
    return {}


def _group_of(call: Call, document: Mapping[str, Any]) -> tuple[Cluster, Group]:
    """The group that is to change; ClusterId may be left out, since a group's id says enough."""
    cluster_id, group_id = call.document.get("ClusterId"), document["InstanceGroupId"]
    clusters = call.world.clusters if cluster_id is None else [call.cluster(cluster_id)]
    for cluster in clusters:
        for group in cluster.groups:
            if group.id == group_id and call.sees(cluster):
                return cluster, group
    raise validation(f"Instance group id '{group_id}' is not valid.")


def _check_group_change(document: Mapping[str, Any], cluster: Cluster, group: Group) -> None:
    role, count, doomed = group.request.role, _count(document, group), _doomed(document)
    if "Configurations" in document:
        if "InstanceCount" in document or doomed:
            raise validation("An instance group is resized or reconfigured, not both in one call.")
        if version(cluster.launch.release_label) < _RECONFIGURABLE_SINCE:
            raise validation("Instance groups of running clusters are reconfigured from release emr-5.21.0 on.")
        if group.state != "RUNNING":
            raise validation(f"The instance group {group.id} is {group.state}: only a RUNNING one is reconfigured.")
        check_configurations(document["Configurations"], f"the instance group {group.id}")
        return
    if group.state == "RECONFIGURING":
        raise validation(f"The instance group {group.id} is RECONFIGURING: it cannot be resized now.")
    if role == "MASTER":
        raise validation("The master instance group cannot be resized.")
    if count < (1 if role == "CORE" else 0):
        raise validation("An instance group must have at least one instance.")
    alive = _alive(cluster, group)
    unknown = [ec2_id for ec2_id in (*doomed, *_spared(document)) if ec2_id not in alive]
    if unknown:
        raise validation(f"The instance group {group.id} has no running instance {', '.join(unknown)}.")


def _resize(call: Call, document: Mapping[str, Any], cluster: Cluster, group: Group) -> None:
    doomed, spared = _doomed(document), _spared(document)
    if spared:
        others = [ec2_id for ec2_id in reversed(_alive(cluster, group)) if ec2_id not in (*doomed, *spared)]
        doomed = [*doomed, *others]
    if "ShrinkPolicy" in document:
        _set_attributes(group, {"ShrinkPolicy": document["ShrinkPolicy"]})
    call.world.resize_group(cluster, group, _count(document, group), doomed)


def _reconfigure(call: Call, document: Mapping[str, Any], cluster: Cluster, group: Group) -> None:
    before = group.request.attributes
    wanted = check_configurations(document["Configurations"], f"the instance group {group.id}")
    old, number = before["Configurations"], before["ConfigurationsVersion"]
    assert isinstance(old, list) and isinstance(number, int)
    _set_attributes(
        group,
        {
            "Configurations": _merged(old, wanted) if document.get("ReconfigurationType") == "MERGE" else wanted,
            "ConfigurationsVersion": number + 1,
            "LastSuccessfullyAppliedConfigurations": old,
            "LastSuccessfullyAppliedConfigurationsVersion": number,
        },
    )
    call.world.reconfigure_group(cluster, group)


def _merged(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Old configurations with the properties of the new ones over them, classification by classification."""
    merged = {entry["Classification"]: entry for entry in old}
    for entry in new:
        known = merged.get(entry["Classification"], {})
        nested = _merged(known.get("Configurations", ()), entry.get("Configurations", ()))
        merged[entry["Classification"]] = {
            "Classification": entry["Classification"],
            "Properties": {**known.get("Properties", {}), **entry["Properties"]},
            **({"Configurations": nested} if nested else {}),
        }
    return list(merged.values())


def _set_attributes(group: Group, attributes: Mapping[str, object]) -> None:
    group.request = replace(group.request, attributes={**group.request.attributes, **attributes})


def _count(document: Mapping[str, Any], group: Group) -> int:
    """How many instances the group is to have: as asked, or fewer by those that are to be terminated."""
    wanted = document.get("InstanceCount")
    return group.requested - len(_doomed(document)) if wanted is None else int(wanted)


def _policy(document: Mapping[str, Any]) -> Mapping[str, Any]:
    policy: Mapping[str, Any] = document.get("ShrinkPolicy", {}).get("InstanceResizePolicy", {})
    return policy


def _doomed(document: Mapping[str, Any]) -> list[str]:
    asked = [*document.get("EC2InstanceIdsToTerminate", ()), *_policy(document).get("InstancesToTerminate", ())]
    return list(dict.fromkeys(asked))


def _spared(document: Mapping[str, Any]) -> list[str]:
    return list(_policy(document).get("InstancesToProtect", ()))


def _alive(cluster: Cluster, group: Group) -> list[str]:
    """EC2 ids of the group's instances that have not ended, oldest first."""
    return [
        instance.ec2_id
        for instance in cluster.instances
        if instance.collection_id == group.id and instance.state != "TERMINATED"
    ]


def _check_resizable(cluster: Cluster) -> None:
    if cluster.state not in _RESIZABLE:
        collection = "fleet" if cluster.fleets else "group"
        message = f"An instance {collection} may only be modified when the cluster is running or waiting"
        raise invalid_request(message) if cluster.fleets else validation(message)


def _check_offered(
    call: Call, cluster: Cluster, groups: Sequence[GroupRequest], fleets: Sequence[FleetRequest]
) -> None:
    missing = missing_types(_offered(call, cluster), groups, fleets)
    if missing:
        raise validation(
            f"The requested instance type {', '.join(missing)} is not supported in the requested Availability Zone."
        )


def _offered(call: Call, cluster: Cluster) -> frozenset[str]:
    return call.regions.offered(call.region, cluster.launch.zone or "")


def _supported(call: Call, cluster: Cluster) -> set[str]:
    return supported_types(call.region, cluster.launch.release_label, call.regions)
