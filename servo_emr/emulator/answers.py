"""Records -> the members of EMR's answers. Times are epoch numbers; a member without a value is None and left out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from servo_emr.emulator.records import Cluster, Group, Instance, Reason, Step, Timeline
from servo_emr.emulator.region import ACCOUNT

__all__ = [
    "arn_of",
    "describe_cluster",
    "describe_group",
    "describe_instance",
    "describe_step",
    "summarise_cluster",
]

_SMALL_FACTORS = {"nano": 0.25, "micro": 0.5, "small": 1.0, "medium": 2.0, "large": 4.0, "xlarge": 8.0}


def arn_of(cluster: Cluster) -> str:
    return f"arn:aws:elasticmapreduce:{cluster.launch.region}:{ACCOUNT}:cluster/{cluster.id}"


def describe_cluster(cluster: Cluster, now: float) -> dict[str, Any]:
    launch, primary = cluster.launch, cluster.primary
    return {
        **launch.attributes,
        "Id": cluster.id,
        "Name": launch.name,
        "ClusterArn": arn_of(cluster),
        "Status": _cluster_status(cluster),
        "Ec2InstanceAttributes": {
            **launch.ec2_attributes,
            "Ec2SubnetId": launch.subnet,
            "RequestedEc2SubnetIds": [launch.subnet] if launch.subnet else [],
            "Ec2AvailabilityZone": launch.zone,
            "RequestedEc2AvailabilityZones": [],
        },
        "InstanceCollectionType": "INSTANCE_GROUP",
        # AWS gives the log URI back with the scheme of Hadoop's older file system, and a slash at its end.
        "LogUri": "s3n://" + launch.log_uri.partition("://")[2].rstrip("/") + "/" if launch.log_uri else None,
        "ReleaseLabel": launch.release_label,
        "AutoTerminate": not cluster.keep_alive,
        "TerminationProtected": cluster.protected,
        "VisibleToAllUsers": cluster.visible,
        "Tags": [{"Key": key, "Value": value} for key, value in cluster.tags.items()],
        "NormalizedInstanceHours": _normalized_hours(cluster.instances, now),
        "MasterPublicDnsName": _private_dns(primary, launch.region) if primary else None,
        "Configurations": [],
        "StepConcurrencyLevel": 1,
        "PlacementGroups": [],
    }


def summarise_cluster(cluster: Cluster, now: float) -> dict[str, Any]:
    return {
        "Id": cluster.id,
        "Name": cluster.launch.name,
        "Status": _cluster_status(cluster),
        "NormalizedInstanceHours": _normalized_hours(cluster.instances, now),
        "ClusterArn": arn_of(cluster),
    }


def describe_step(step: Step) -> dict[str, Any]:
    """For DescribeStep and ListSteps alike."""
    failure = step.failure
    return {
        "Id": step.id,
        "Name": step.request.name,
        "Config": {"Jar": step.request.jar, "Properties": {}, "Args": list(step.request.args)},
        "ActionOnFailure": step.request.action_on_failure,
        "Status": {
            "State": step.state,
            "StateChangeReason": _reason(step.reason),
            "FailureDetails": failure
            and {"Reason": failure.reason, "Message": failure.message, "LogFile": failure.log_file},
            "Timeline": {
                "CreationDateTime": step.timeline.created,
                "StartDateTime": step.timeline.began,
                "EndDateTime": step.timeline.ended,
            },
        },
    }


def describe_group(group: Group, instances: Iterable[Instance]) -> dict[str, Any]:
    """`instances` are those of the cluster."""
    request = group.request
    running = sum(1 for instance in instances if instance.collection_id == group.id and instance.state == "RUNNING")
    return {
        "Id": group.id,
        "Name": request.name,
        "Market": request.market,
        "InstanceGroupType": request.role,
        "BidPrice": request.bid_price,
        "InstanceType": request.instance_type,
        "RequestedInstanceCount": group.requested,
        "RunningInstanceCount": running,
        "Status": {
            "State": group.state,
            "StateChangeReason": _reason(group.reason),
            "Timeline": _timeline(group.timeline),
        },
        "Configurations": [],
        "EbsBlockDevices": [],
        "ShrinkPolicy": {},
    }


def describe_instance(instance: Instance, region: str) -> dict[str, Any]:
    return {
        "Id": instance.id,
        "Ec2InstanceId": instance.ec2_id,
        "PublicDnsName": "",
        "PrivateDnsName": _private_dns(instance, region),
        "PrivateIpAddress": instance.private_ip,
        "Status": {
            "State": instance.state,
            "StateChangeReason": _reason(instance.reason),
            "Timeline": _timeline(instance.timeline),
        },
        "InstanceGroupId": instance.collection_id,
        "Market": instance.market,
        "InstanceType": instance.instance_type,
        "EbsVolumes": [],
    }


def _cluster_status(cluster: Cluster) -> dict[str, Any]:
    details = [
        {"ErrorCode": detail.code, "ErrorData": [dict(detail.data)], "ErrorMessage": detail.message}
        for detail in cluster.error_details
    ]
    return {
        "State": cluster.state,
        "StateChangeReason": _reason(cluster.reason),
        "Timeline": _timeline(cluster.timeline),
        "ErrorDetails": details or None,
    }


def _reason(reason: Reason) -> dict[str, Any]:
    return {"Code": reason.code, "Message": reason.message}


def _timeline(timeline: Timeline) -> dict[str, Any]:
    return {
        "CreationDateTime": timeline.created,
        "ReadyDateTime": timeline.began,
        "EndDateTime": timeline.ended,
    }


def _private_dns(instance: Instance, region: str) -> str:
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{instance.private_ip.replace('.', '-')}.{domain}"


def _normalized_hours(instances: Iterable[Instance], now: float) -> int:
    """EMR's rough measure: started hours of each ready instance times a factor of its size, an xlarge being 8."""
    total = 0.0
    for instance in instances:
        if instance.timeline.began is not None:
            until = instance.timeline.ended if instance.timeline.ended is not None else now
            total += math.ceil((until - instance.timeline.began) / 3600) * _size_factor(instance.instance_type)
    return round(total)


def _size_factor(instance_type: str) -> float:
    size = instance_type.partition(".")[2]
    many = re.fullmatch(r"(\d+)xlarge", size)
    return 8.0 * int(many[1]) if many else _SMALL_FACTORS.get(size, 8.0)
