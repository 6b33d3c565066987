"""Where a cluster goes: subnet and availability zone, and whether its instance types are offered there.

Raises AwsError for what AWS refuses at once; a type that is not offered in the zone ends the cluster minutes later,
which is told as a `Refusal`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servo_emr.emulator.protocol.errors import validation
from servo_emr.emulator.region import Regions
from servo_emr.emulator.world.records import ErrorDetail, FleetRequest, GroupRequest, Reason

__all__ = ["Place", "Refusal", "choose_place", "missing_types"]

Refusal = tuple[Reason, tuple[ErrorDetail, ...]]

_NOT_OFFERED = "VALIDATION_ERROR_INSTANCE_TYPE_NOT_SUPPORTED"
_DOCUMENT = f"https://docs.aws.amazon.com/emr/latest/ManagementGuide/{_NOT_OFFERED}.html"


@dataclass(frozen=True)
class Place:
    """`refusal`: why the cluster cannot be there. The others are what was asked for, as DescribeCluster tells it."""

    subnet: str
    zone: str
    requested_subnets: tuple[str, ...]
    requested_zones: tuple[str, ...]
    refusal: Refusal | None


def choose_place(
    instances: Mapping[str, Any],
    region: str,
    regions: Regions,
    groups: Sequence[GroupRequest],
    fleets: Sequence[FleetRequest],
) -> Place:
    """Of the places that were asked for, or of all default subnets, the first that offers the types."""
    placement = instances.get("Placement", {})
    subnets = tuple(instances.get("Ec2SubnetIds", ()))
    if subnets and instances.get("Ec2SubnetId"):
        raise validation("Ec2SubnetId and Ec2SubnetIds are mutually exclusive.")
    if instances.get("Ec2SubnetId"):
        subnets = (instances["Ec2SubnetId"],)
    zones = tuple(placement.get("AvailabilityZones", ()))
    if zones and not fleets:
        raise validation("Placement.AvailabilityZones is for instance fleets; use AvailabilityZone.")
    if placement.get("AvailabilityZone"):
        zones = (placement["AvailabilityZone"], *zones)
    if subnets and zones:
        raise validation("A subnet and an availability zone are mutually exclusive.")
    if len(subnets) > 1 and not fleets:
        raise validation(
            "Only one subnet may be specified for clusters configured with instance groups or instance count, master "
            "and slave instance type. Revise the configuration and resubmit."
        )
    candidates = _candidates(subnets, zones, region, regions)
    missing = [missing_types(regions.offered(region, zone), groups, fleets) for _, zone in candidates]
    # Which of several AWS takes is its own choice; here it is the first that lacks nothing, else the first.
    best = next((index for index, types in enumerate(missing) if not types), 0)
    subnet, zone = candidates[best]
    return Place(subnet, zone, subnets, zones, _refusal(missing[best], [zone for _, zone in candidates]))


def missing_types(
    offered: frozenset[str], groups: Sequence[GroupRequest], fleets: Sequence[FleetRequest]
) -> tuple[str, ...]:
    """Types without which the cluster cannot be: a group's type, or all types of a fleet. Each once, in order."""
    missing = [group.instance_type for group in groups if group.instance_type not in offered]
    for fleet in fleets:
        types = [entry.instance_type for entry in fleet.types]
        if not any(instance_type in offered for instance_type in types):
            missing += types
    return tuple(dict.fromkeys(missing))


def _candidates(subnets: Sequence[str], zones: Sequence[str], region: str, regions: Regions) -> list[tuple[str, str]]:
    """(subnet, zone) of every place that was asked for; of every default subnet when none was."""
    if subnets:
        found = [(subnet, regions.zone_of(region, subnet)) for subnet in subnets]
        for subnet, zone in found:
            if zone is None:
                raise validation(f"The subnet configuration was invalid: The subnet ID '{subnet}' does not exist.")
        return [(subnet, zone) for subnet, zone in found if zone is not None]
    defaults = regions.default_subnets(region)
    for zone in zones:
        if zone not in {known for _, known in defaults}:
            raise validation(f"There is no default subnet in availability zone {zone}.")
    chosen = [place for place in defaults if not zones or place[1] in zones]
    if not chosen:
        raise validation(f"There is no default subnet in {region}: name one in Ec2SubnetId.")
    return chosen


def _refusal(types: Sequence[str], zones: Sequence[str]) -> Refusal | None:
    if not types:
        return None
    message = f"The requested instance type {', '.join(types)} is not supported in the requested Availability Zone."
    data = {
        "instance-types": ", ".join(types),
        "availability-zones": ", ".join(zones),
        "public-doc": _DOCUMENT,
    }
    return Reason("VALIDATION_ERROR", message), (ErrorDetail(_NOT_OFFERED, message, data),)
