"""What instance groups and the types of fleets have in common: type, bid, EBS volumes, configurations.

Documents -> checked values. Knows neither groups nor fleets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from servo_emr.emulator.emr.refusals import refuse_others
from servo_emr.emulator.protocol.errors import validation
from servo_emr.emulator.world.records import Volume

__all__ = [
    "block_devices",
    "check_bid",
    "check_configurations",
    "check_type",
    "device_name",
    "ebs_optimized",
    "parse_volumes",
]

_VOLUME_KINDS = ("gp3", "gp2", "io1", "st1", "sc1", "standard")
_VOLUME_GIB = (1, 1024)
_THROUGHPUT = (125, 1000)
_VOLUMES_PER_INSTANCE = 25
_BID_DIGITS = 3


def check_type(instance_type: str, supported: set[str]) -> str:
    """`supported`: the types of the release. Raises AwsError."""
    if instance_type not in supported:
        raise validation(f"Instance type '{instance_type}' is not supported.")
    return instance_type


def check_bid(bid: str | None) -> str | None:
    """A price in USD as a decimal string. Raises AwsError."""
    if bid is None:
        return None
    try:
        price = float(bid)
    except ValueError:
        price = math.nan
    if not math.isfinite(price) or not set(bid) <= set("+-.0123456789"):
        raise validation(f"The bid price is invalid: '{bid}'. Revise the configuration and resubmit.")
    if price <= 0:
        raise validation("The bid price is negative or zero.")
    if len(bid.partition(".")[2]) > _BID_DIGITS:
        raise validation(f"No more than {_BID_DIGITS} digits are allowed after decimal place in bid price: '{bid}'.")
    return bid


def check_configurations(documents: Sequence[Mapping[str, Any]], where: str) -> list[dict[str, Any]]:
    """The configurations as they are given back, each with its classification. Raises AwsError."""
    checked = []
    for document in documents:
        classification = document.get("Classification")
        if not classification:
            raise validation(f"{where}: a configuration needs a Classification, such as spark-defaults.")
        entry = {"Classification": classification, "Properties": dict(document.get("Properties", {}))}
        nested = check_configurations(document.get("Configurations", ()), f"{where}: {classification}")
        checked.append(entry | ({"Configurations": nested} if nested else {}))
    return checked


def parse_volumes(configuration: Mapping[str, Any]) -> tuple[Volume, ...]:
    """Every volume of one instance, VolumesPerInstance unfolded. Raises AwsError."""
    volumes: list[Volume] = []
    for document in configuration.get("EbsBlockDeviceConfigs", ()):
        count = document.get("VolumesPerInstance", 1)
        if count < 1:
            raise validation(f"VolumesPerInstance must be positive, not {count}.")
        volumes += [_volume(document["VolumeSpecification"])] * count
    if len(volumes) > _VOLUMES_PER_INSTANCE:
        raise validation(f"An instance has at most {_VOLUMES_PER_INSTANCE} EBS volumes, not {len(volumes)}.")
    return tuple(volumes)


def ebs_optimized(configuration: Mapping[str, Any]) -> bool | None:
    """None when the configuration does not say. Raises AwsError for members that are not modelled."""
    refuse_others(configuration, ("EbsBlockDeviceConfigs", "EbsOptimized"), "EbsConfiguration")
    optimized = configuration.get("EbsOptimized")
    return None if optimized is None else bool(optimized)


def block_devices(volumes: Sequence[Volume]) -> list[dict[str, Any]]:
    """The EbsBlockDevices of a group or type."""
    return [
        {
            "VolumeSpecification": {
                "VolumeType": volume.kind,
                "SizeInGB": volume.gib,
                "Iops": volume.iops,
                "Throughput": volume.throughput,
            },
            "Device": device_name(index),
        }
        for index, volume in enumerate(volumes)
    ]


def device_name(index: int) -> str:
    """What an instance sees its volume as, the first that was asked for being 0."""
    return f"/dev/sd{chr(ord('b') + index)}"


def _volume(document: Mapping[str, Any]) -> Volume:
    kind, gib = document["VolumeType"], document["SizeInGB"]
    iops, throughput = document.get("Iops"), document.get("Throughput")
    if kind not in _VOLUME_KINDS:
        raise validation(f"The EBS volume type '{kind}' is not one of {', '.join(_VOLUME_KINDS)}.")
    smallest, largest = _VOLUME_GIB
    if not smallest <= gib <= largest:
        raise validation(f"SizeInGB of an EBS volume is {smallest} to {largest}, not {gib}.")
    if kind == "io1" and iops is None:
        raise validation("IOPS setting is required for volume type.")
    if iops is not None and kind not in {"io1", "gp3"}:
        raise validation(f"IOPS setting is not supported for volume type {kind}.")
    slowest, fastest = _THROUGHPUT
    if throughput is not None and (kind != "gp3" or not slowest <= throughput <= fastest):
        raise validation(
            f"Throughput is {slowest} to {fastest} MiB/s and for gp3 volumes only, not {throughput} for {kind}."
        )
    return Volume(kind, gib, iops, throughput)
