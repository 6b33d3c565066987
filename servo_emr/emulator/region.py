"""What AWS knows of a region before anything runs in it: instance types, releases, roles, subnets.

Types and releases are moto's copies of real lists; roles and subnets are whatever clients made in moto's IAM and
EC2, beside the default subnets and the two default roles of EMR. Knows no clusters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.exceptions import ServiceException
from moto.ec2.models import ec2_backends
from moto.emr.models import emr_backends
from moto.iam.models import iam_backends

__all__ = ["ACCOUNT", "Regions"]

ACCOUNT: str = DEFAULT_ACCOUNT_ID
_DEFAULT_ROLES = (("EMR_DefaultRole", "elasticmapreduce.amazonaws.com"), ("EMR_EC2_DefaultRole", "ec2.amazonaws.com"))


class Regions:
    """Facts by region name. Methods raise KeyError for a region that does not exist."""

    def __init__(self) -> None:
        self._sizes: dict[str, tuple[int, float]] = {}
        self._offered: dict[str, frozenset[str]] = {}
        self._types: dict[tuple[str, str], Sequence[Mapping[str, Any]]] = {}

    def exists(self, region: str) -> bool:
        try:
            emr_backends[ACCOUNT][region]
        except KeyError:
            return False
        return True

    def releases(self, region: str) -> Sequence[str]:
        """Newest first."""
        return list(emr_backends[ACCOUNT][region].list_release_labels())

    def types(self, region: str, release: str) -> Sequence[Mapping[str, Any]]:
        """What ListSupportedInstanceTypes answers. Raises KeyError for an unknown release."""
        known = self._types.get((region, release))
        if known is None:
            backend = emr_backends[ACCOUNT][region]
            if release not in backend.list_release_labels():
                raise KeyError(release)
            known = self._types[region, release] = list(backend.list_supported_instance_types(release))
        return known

    def cores(self, instance_type: str) -> int:
        """vCPUs of a type that some release supports. Raises KeyError."""
        return self._size(instance_type)[0]

    def memory_gib(self, instance_type: str) -> float:
        """Memory of a type that some release supports. Raises KeyError."""
        return self._size(instance_type)[1]

    def _size(self, instance_type: str) -> tuple[int, float]:
        if not self._sizes:
            # Every type that any release supports; the list of a release is a subset.
            known = emr_backends[ACCOUNT]["us-east-1"]._instance_types
            self._sizes = {name: (int(type_["VCPU"]), float(type_["MemoryGB"])) for name, type_ in known.items()}
        return self._sizes[instance_type]

    def has_role(self, name_or_arn: str) -> bool:
        try:
            iam_backends[ACCOUNT]["aws"].get_role(_name(name_or_arn))
        except ServiceException:
            return False
        return True

    def has_instance_profile(self, name_or_arn: str) -> bool:
        try:
            iam_backends[ACCOUNT]["aws"].get_instance_profile(_name(name_or_arn))
        except ServiceException:
            return False
        return True

    def zone_of(self, region: str, subnet: str) -> str | None:
        """The availability zone of a subnet; None when there is no such subnet."""
        try:
            return str(ec2_backends[ACCOUNT][region].get_subnet(subnet).availability_zone)
        except ServiceException:
            return None

    def default_subnets(self, region: str) -> Sequence[tuple[str, str]]:
        """(subnet, zone) of the default VPC, zones in order."""
        subnets = sorted(ec2_backends[ACCOUNT][region].describe_subnets(), key=lambda subnet: subnet.availability_zone)
        return [(str(subnet.id), str(subnet.availability_zone)) for subnet in subnets if subnet.default_for_az]

    def offered(self, region: str, zone: str) -> frozenset[str]:
        """The instance types that EC2 offers in the zone, as DescribeInstanceTypeOfferings answers."""
        if zone not in self._offered:
            entries = ec2_backends[ACCOUNT][region].describe_instance_type_offerings(
                "availability-zone", {"location": [zone]}
            )
            self._offered[zone] = frozenset(str(entry["InstanceType"]) for entry in entries)
        return self._offered[zone]

    def make_default_roles(self) -> None:
        """The roles that `aws emr create-default-roles` makes, with the instance profile."""
        iam = iam_backends[ACCOUNT]["aws"]
        for name, principal in _DEFAULT_ROLES:
            trust = {
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Principal": {"Service": principal}, "Action": "sts:AssumeRole"},
                ],
            }
            iam.create_role(name, json.dumps(trust), "/", None, "", [], None)
        profile = _DEFAULT_ROLES[1][0]
        iam.create_instance_profile(profile, "/", [profile])


def _name(name_or_arn: str) -> str:
    return name_or_arn.rpartition("/")[2] if name_or_arn.startswith("arn:") else name_or_arn
