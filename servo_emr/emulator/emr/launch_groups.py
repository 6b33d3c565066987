"""Instance groups of RunJobFlow and AddInstanceGroups -> `GroupRequest`s. Raises AwsError, as AWS would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from servo_emr.emulator.emr.launch_nodes import (
    check_bid,
    check_configurations,
    check_type,
    ebs_optimized,
    parse_volumes,
)
from servo_emr.emulator.emr.refusals import not_modelled, refuse_others
from servo_emr.emulator.protocol.errors import validation
from servo_emr.emulator.world.records import GroupRequest

__all__ = ["FORM", "check_roles", "groups_of_form", "parse_groups"]

_ACTED_ON = (
    "Name", "Market", "InstanceRole", "BidPrice", "InstanceType", "InstanceCount", "EbsConfiguration",
)  # fmt: skip
_GIVEN_BACK = ("Configurations", "CustomAmiId")
_TASK_GROUPS = 48
FORM = ("MasterInstanceType", "SlaveInstanceType", "InstanceCount")


def parse_groups(documents: Sequence[Mapping[str, Any]], supported: set[str]) -> tuple[GroupRequest, ...]:
    """`supported`: the instance types of the release."""
    return tuple(_group(document, supported) for document in documents)


def groups_of_form(instances: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The groups that MasterInstanceType, SlaveInstanceType and InstanceCount mean together."""
    count, primary = instances.get("InstanceCount", 0), instances.get("MasterInstanceType")
    core = instances.get("SlaveInstanceType")
    if count < 1:
        raise validation(f"InstanceCount must be positive, not {count}.")
    if primary is None:
        raise validation("MasterInstanceType is required beside InstanceCount.")
    groups = [{"InstanceRole": "MASTER", "InstanceType": primary, "InstanceCount": 1}]
    if count > 1:
        if core is None:
            raise validation("SlaveInstanceType is required for an InstanceCount above 1.")
        groups.append({"InstanceRole": "CORE", "InstanceType": core, "InstanceCount": count - 1})
    return groups


def check_roles(roles: Iterable[str]) -> None:
    """`roles`: those of all groups that a cluster is to have."""
    count = Counter(roles)
    if count["MASTER"] != 1:
        raise validation("You must specify exactly one master instance group.")
    if count["CORE"] > 1:
        raise validation("You can specify at most one core instance group.")
    if count["TASK"] and not count["CORE"]:
        raise validation("Clusters with task nodes must also define core nodes.")
    if count["TASK"] > _TASK_GROUPS:
        raise validation(f"A cluster has at most {_TASK_GROUPS} task instance groups, not {count['TASK']}.")


def _group(document: Mapping[str, Any], supported: set[str]) -> GroupRequest:
    refuse_others(document, (*_ACTED_ON, *_GIVEN_BACK), "an instance group")
    role, count = document["InstanceRole"], document["InstanceCount"]
    instance_type = check_type(document["InstanceType"], supported)
    market, bid = document.get("Market", "ON_DEMAND"), check_bid(document.get("BidPrice"))
    if role == "MASTER" and count == 3:
        raise not_modelled("a MASTER instance group of three")
    if role == "MASTER" and count != 1:
        raise validation("A master instance group must specify a single instance.")
    if count < (1 if role == "CORE" else 0):
        raise validation("An instance group must have at least one instance.")
    if bid is not None and market != "SPOT":
        raise validation("Attempted to set bid price for on demand instance group.")
    storage = document.get("EbsConfiguration", {})
    attributes = {"EbsOptimized": ebs_optimized(storage), "CustomAmiId": document.get("CustomAmiId")}
    configurations = check_configurations(document.get("Configurations", ()), f"the {role} instance group")
    return GroupRequest(
        role=role,
        instance_type=instance_type,
        count=count,
        market=market,
        name=document.get("Name"),
        bid_price=bid,
        volumes=parse_volumes(storage),
        attributes={name: value for name, value in attributes.items() if value is not None}
        | {"Configurations": configurations, "ConfigurationsVersion": 0},
    )
