"""Instance fleets of RunJobFlow, AddInstanceFleet and ModifyInstanceFleet -> `FleetRequest`s.

Raises AwsError, as AWS would. Which types a zone offers is looked up; how a fleet is filled is not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from servo_emr.emulator.emr.launch_nodes import (
    block_devices,
    check_bid,
    check_configurations,
    check_type,
    ebs_optimized,
    parse_volumes,
)
from servo_emr.emulator.emr.refusals import not_modelled, refuse_others
from servo_emr.emulator.protocol.errors import validation
from servo_emr.emulator.world.records import FleetRequest, FleetType

__all__ = ["change_resizing", "check_fleet_roles", "offered_only", "parse_fleet"]

_MEMBERS = (
    "Name", "InstanceFleetType", "TargetOnDemandCapacity", "TargetSpotCapacity", "InstanceTypeConfigs",
    "LaunchSpecifications", "ResizeSpecifications",
)  # fmt: skip
_TYPE_MEMBERS = (
    "InstanceType", "WeightedCapacity", "BidPrice", "BidPriceAsPercentageOfOnDemandPrice", "EbsConfiguration",
    "Configurations", "CustomAmiId", "Priority",
)  # fmt: skip
_TYPES, _TYPES_BY_STRATEGY = 5, 30
_SPOT_TIMEOUT = (5, 1440)  # minutes
_RESIZE_TIMEOUT = (5, 10_080)  # minutes


def parse_fleet(document: Mapping[str, Any], supported: set[str]) -> FleetRequest:
    """`supported`: the instance types of the release."""
    refuse_others(document, _MEMBERS, "an instance fleet")
    role, name = document["InstanceFleetType"], document.get("Name")
    on_demand, spot = document.get("TargetOnDemandCapacity", 0), document.get("TargetSpotCapacity", 0)
    _check_targets(role, name, on_demand, spot)
    specification = document.get("LaunchSpecifications", {})
    spot_specification = _spot(specification)
    types, described = _types(document.get("InstanceTypeConfigs", ()), role, name, supported, _strategy(specification))
    attributes = {
        "InstanceTypeSpecifications": described,
        "LaunchSpecifications": specification or None,
        "ResizeSpecifications": _resizing(document.get("ResizeSpecifications", {})) or None,
    }
    minutes = spot_specification.get("TimeoutDurationMinutes")
    return FleetRequest(
        role=role,
        types=types,
        on_demand=on_demand,
        spot=spot,
        name=name,
        spot_timeout=None if minutes is None else minutes * 60.0,
        spot_action=spot_specification.get("TimeoutAction", "TERMINATE_CLUSTER"),
        attributes={member: value for member, value in attributes.items() if value is not None},
    )


def change_resizing(request: FleetRequest, specification: Mapping[str, Any]) -> FleetRequest:
    """The fleet with the ResizeSpecifications of a ModifyInstanceFleet; empty ones change nothing."""
    if not specification:
        return request
    return replace(request, attributes={**request.attributes, "ResizeSpecifications": _resizing(specification)})


def offered_only(request: FleetRequest, offered: Iterable[str]) -> FleetRequest:
    """The fleet without the types that its zone does not offer; it still gives them back. None may be left."""
    known = set(offered)
    return replace(request, types=tuple(entry for entry in request.types if entry.instance_type in known))


def check_fleet_roles(roles: Iterable[str]) -> None:
    """`roles`: those of all fleets that a cluster is to have."""
    count = Counter(roles)
    for role in count:
        if count[role] > 1:
            raise validation(f"Multiple {role.lower()} instance fleets supplied, you can specify at most one.")
    if not count["MASTER"]:
        raise validation(
            "No master instance fleets were supplied; you must specify exactly one master instance fleet. "
            "Revise the configuration and resubmit."
        )
    if count["TASK"] and not count["CORE"]:
        raise validation("Clusters with task instance fleets must also define core instance fleets.")


def _check_targets(role: str, name: str | None, on_demand: int, spot: int) -> None:
    """Targets of a fleet that is to be launched."""
    if role == "MASTER" and (on_demand, spot) not in {(1, 0), (0, 1)}:
        raise validation(
            "A master instance fleet can only have a target capacity of 1. Revise the configuration and resubmit."
        )
    if on_demand + spot < 1:
        raise validation(
            f"The instance fleet ({name or 'null'}) should have a value of one or greater for either "
            "targetOnDemandCapacity or targetSpotCapacity."
        )


def _strategy(specification: Mapping[str, Any]) -> bool:
    return any("AllocationStrategy" in entry for entry in specification.values())


def _types(
    documents: Sequence[Mapping[str, Any]], role: str, name: str | None, supported: set[str], strategy: bool
) -> tuple[tuple[FleetType, ...], list[dict[str, Any]]]:
    """(types, InstanceTypeSpecifications)"""
    limit = _TYPES_BY_STRATEGY if strategy else _TYPES
    if not 1 <= len(documents) <= limit:
        raise validation(
            f"The instance fleet ({name or 'null'}) has {len(documents)} instance types; it takes 1 to {_TYPES}, or to "
            f"{_TYPES_BY_STRATEGY} with an allocation strategy."
        )
    doubled = [entry for entry, count in Counter(doc["InstanceType"] for doc in documents).items() if count > 1]
    if doubled:
        raise validation(
            f"The instance fleet: {name or 'null'} contains duplicate instance types [{', '.join(doubled)}]. "
            "Revise the configuration and resubmit."
        )
    parsed = [_type(document, role, name, supported) for document in documents]
    return tuple(entry for entry, _ in parsed), [described for _, described in parsed]


def _type(
    document: Mapping[str, Any], role: str, name: str | None, supported: set[str]
) -> tuple[FleetType, dict[str, Any]]:
    refuse_others(document, _TYPE_MEMBERS, "an instance type of a fleet")
    weight = document.get("WeightedCapacity", 1)
    if role == "MASTER" and weight != 1:
        raise validation(
            "All instance types in the master instance fleet must have weighted capacity as 1. "
            "Revise the configuration and resubmit."
        )
    if weight < 1:
        raise validation("Weighted capacity cannot be zero. Revise the configuration and resubmit.")
    bid, percent = check_bid(document.get("BidPrice")), document.get("BidPriceAsPercentageOfOnDemandPrice")
    if bid is not None and percent is not None:
        raise validation(
            "Specify at most one of bidPrice or bidPriceAsPercentageOfOnDemandPrice value for the Spot Instance "
            f"fleet : {name or 'null'} request."
        )
    if bid is None and percent is None:
        percent = 100.0
    storage = document.get("EbsConfiguration", {})
    optimized, volumes = ebs_optimized(storage), parse_volumes(storage)
    instance_type = check_type(document["InstanceType"], supported)
    described = {
        "InstanceType": instance_type,
        "WeightedCapacity": weight,
        "BidPrice": bid,
        "BidPriceAsPercentageOfOnDemandPrice": percent,
        "Configurations": check_configurations(document.get("Configurations", ()), f"the type {instance_type}"),
        "EbsBlockDevices": block_devices(volumes),
        "EbsOptimized": optimized,
        "CustomAmiId": document.get("CustomAmiId"),
        "Priority": document.get("Priority"),
    }
    return FleetType(instance_type, weight, bid, percent, volumes), described


def _spot(specification: Mapping[str, Any]) -> Mapping[str, Any]:
    """The SpotSpecification, checked; empty when there is none."""
    spot: Mapping[str, Any] = specification.get("SpotSpecification", {})
    if "BlockDurationMinutes" in spot:
        raise not_modelled("SpotSpecification.BlockDurationMinutes, which AWS ended in 2022")
    if spot:
        _check_minutes(spot["TimeoutDurationMinutes"], _SPOT_TIMEOUT, "SpotSpecification.TimeoutDurationMinutes")
    return spot


def _resizing(specification: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, entry in specification.items():
        if "TimeoutDurationMinutes" in entry:
            _check_minutes(entry["TimeoutDurationMinutes"], _RESIZE_TIMEOUT, f"{name}.TimeoutDurationMinutes")
    return specification


def _check_minutes(minutes: int, bounds: tuple[int, int], where: str) -> None:
    shortest, longest = bounds
    if not shortest <= minutes <= longest:
        raise validation(f"{where} is {shortest} to {longest}, not {minutes}.")
