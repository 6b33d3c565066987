"""Records of groups, fleets and instances -> the members of EMR's answers about them.

A member without a value is None and left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from servo_emr.emulator.emr.launch_nodes import block_devices, device_name
from servo_emr.emulator.world.records import Cluster, Fleet, Group, Instance, Reason, Timeline

__all__ = [
    "describe_fleet",
    "describe_group",
    "describe_instance",
    "describe_reason",
    "describe_timeline",
    "private_dns",
]


def describe_group(group: Group, instances: Iterable[Instance]) -> dict[str, Any]:
    """`instances` are those of the cluster."""
    request = group.request
    running = sum(1 for instance in instances if instance.collection_id == group.id and instance.state == "RUNNING")
    return {
        "ShrinkPolicy": {},
        **request.attributes,
        **_applied(group),
        "Id": group.id,
        "Name": request.name,
        "Market": request.market,
        "InstanceGroupType": request.role,
        "BidPrice": request.bid_price,
        "InstanceType": request.instance_type,
        "RequestedInstanceCount": group.requested,
        "RunningInstanceCount": running,
        "Status": _status(group),
        "EbsBlockDevices": block_devices(request.volumes),
    }


def describe_fleet(fleet: Fleet) -> dict[str, Any]:
    return {
        **fleet.request.attributes,
        "Id": fleet.id,
        "Name": fleet.request.name,
        "Status": _status(fleet),
        "InstanceFleetType": fleet.request.role,
        "TargetOnDemandCapacity": fleet.on_demand,
        "TargetSpotCapacity": fleet.spot,
        "ProvisionedOnDemandCapacity": fleet.provisioned_on_demand,
        "ProvisionedSpotCapacity": fleet.provisioned_spot,
    }


def describe_instance(instance: Instance, cluster: Cluster) -> dict[str, Any]:
    return {
        "Id": instance.id,
        "Ec2InstanceId": instance.ec2_id,
        "PublicDnsName": "",
        "PrivateDnsName": private_dns(instance, cluster.launch.region),
        "PrivateIpAddress": instance.private_ip,
        "Status": _status(instance),
        "InstanceFleetId" if cluster.fleets else "InstanceGroupId": instance.collection_id,
        "Market": instance.market,
        "InstanceType": instance.instance_type,
        # The first volume of an instance is its root volume, which EMR does not list.
        "EbsVolumes": [
            {"Device": device_name(index), "VolumeId": volume_id}
            for index, volume_id in enumerate(instance.volume_ids[1:])
        ],
    }


def describe_reason(reason: Reason) -> dict[str, Any]:
    return {"Code": reason.code, "Message": reason.message}


def describe_timeline(timeline: Timeline) -> dict[str, Any]:
    return {
        "CreationDateTime": timeline.created,
        "ReadyDateTime": timeline.began,
        "EndDateTime": timeline.ended,
    }


def private_dns(instance: Instance, region: str) -> str:
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{instance.private_ip.replace('.', '-')}.{domain}"


def _status(record: Group | Fleet | Instance) -> dict[str, Any]:
    return {
        "State": record.state,
        "StateChangeReason": describe_reason(record.reason),
        "Timeline": describe_timeline(record.timeline),
    }


def _applied(group: Group) -> dict[str, Any]:
    """The configurations that the group runs with; while it takes on new ones, those before."""
    if group.timeline.began is None or group.state == "RECONFIGURING":
        return {}
    attributes = group.request.attributes
    return {
        "LastSuccessfullyAppliedConfigurations": attributes["Configurations"],
        "LastSuccessfullyAppliedConfigurationsVersion": attributes["ConfigurationsVersion"],
    }
