"""Records of clusters and steps -> the members of EMR's answers about them.

Times are epoch numbers; a member without a value is None and left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from servo_emr.emulator.emr.node_answers import describe_reason, describe_timeline, private_dns
from servo_emr.emulator.region import ACCOUNT
from servo_emr.emulator.world.records import Cluster, Instance, Step

__all__ = [
    "arn_of",
    "describe_cluster",
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
            "Ec2AvailabilityZone": launch.zone,
        },
        "InstanceCollectionType": "INSTANCE_FLEET" if cluster.fleets else "INSTANCE_GROUP",
        # AWS gives the log URI back with the scheme of Hadoop's older file system, and a slash at its end.
        "LogUri": "s3n://" + launch.log_uri.partition("://")[2].rstrip("/") + "/" if launch.log_uri else None,
        "ReleaseLabel": launch.release_label,
        "AutoTerminate": not cluster.keep_alive,
        "TerminationProtected": cluster.protected,
        "VisibleToAllUsers": cluster.visible,
        "Tags": [{"Key": key, "Value": value} for key, value in cluster.tags.items()],
        "NormalizedInstanceHours": _normalized_hours(cluster.instances, now),
        "MasterPublicDnsName": private_dns(primary, launch.region) if primary else None,
        "StepConcurrencyLevel": cluster.concurrency,
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
            "StateChangeReason": describe_reason(step.reason),
            "FailureDetails": failure
            and {"Reason": failure.reason, "Message": failure.message, "LogFile": failure.log_file},
            "Timeline": {
                "CreationDateTime": step.timeline.created,
                "StartDateTime": step.timeline.began,
                "EndDateTime": step.timeline.ended,
            },
        },
    }


def _cluster_status(cluster: Cluster) -> dict[str, Any]:
    details = [
        {"ErrorCode": detail.code, "ErrorData": [dict(detail.data)], "ErrorMessage": detail.message}
        for detail in cluster.error_details
    ]
    return {
        "State": cluster.state,
        "StateChangeReason": describe_reason(cluster.reason),
        "Timeline": describe_timeline(cluster.timeline),
        "ErrorDetails": details or None,
    }


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
