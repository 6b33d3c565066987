"""`domain.account.Account` on IAM, STS, EC2, Service Quotas and S3. Read-only calls; judges nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from servo_emr.aws.door import Door, Refusal
from servo_emr.aws.uri import split_uri
from servo_emr.domain.account import InstanceProfile, Role, Subnet

__all__ = ["AwsAccount"]

_NO_SUBNET = ("InvalidSubnetID.NotFound", "InvalidSubnetId.NotFound", "InvalidSubnetID.Malformed")


class AwsAccount:
    """The account that the door's credentials belong to.

    Args:
        door: to one region.
    """

    def __init__(self, door: Door) -> None:
        self._door = door

    async def identity(self) -> str:
        return str((await self._door.call("sts", "GetCallerIdentity"))["Arn"])

    async def role(self, name: str) -> Role | None:
        try:
            answer = await self._door.call("iam", "GetRole", expected=("NoSuchEntity",), RoleName=_last(name))
        except Refusal:
            return None
        return _role(answer["Role"])

    async def instance_profile(self, name: str) -> InstanceProfile | None:
        try:
            answer = await self._door.call(
                "iam", "GetInstanceProfile", expected=("NoSuchEntity",), InstanceProfileName=_last(name)
            )
        except Refusal:
            return None
        profile = answer["InstanceProfile"]
        return InstanceProfile(str(profile["Arn"]), tuple(_role(role) for role in profile.get("Roles", ())))

    async def subnets(self, subnet_ids: Sequence[str]) -> Mapping[str, Subnet]:
        # A filter, not SubnetIds: one that does not exist would hide the others.
        name, values = ("subnet-id", list(subnet_ids)) if subnet_ids else ("default-for-az", ["true"])
        try:
            answer = await self._door.call(
                "ec2", "DescribeSubnets", expected=_NO_SUBNET, Filters=[{"Name": name, "Values": values}]
            )
        except Refusal:
            return {}
        return {
            str(item["SubnetId"]): Subnet(
                str(item["SubnetId"]), str(item["AvailabilityZone"]), int(item["AvailableIpAddressCount"])
            )
            for item in answer["Subnets"]
        }

    async def vcpu_quota(self, code: str) -> float | None:
        try:
            answer = await self._door.call(
                "service-quotas",
                "GetServiceQuota",
                expected=("NoSuchResourceException",),
                ServiceCode="ec2",
                QuotaCode=code,
            )
        except Refusal:
            return None
        return float(answer["Quota"]["Value"])

    async def reachable(self, uri: str) -> None:
        bucket, prefix = split_uri(uri)
        await self._door.call("s3", "ListObjectsV2", Bucket=bucket, Prefix=prefix, MaxKeys=1)


def _last(name: str) -> str:
    """The bare name: IAM's questions do not take an ARN."""
    return name.rpartition("/")[2]


def _role(document: Mapping[str, Any]) -> Role:
    # The SDK has already made the policy's text into a document.
    policy: Any = document.get("AssumeRolePolicyDocument") or {}
    trusts: set[str] = set()
    for statement in _listed(policy.get("Statement", ())):
        principal = statement.get("Principal", {})
        if statement.get("Effect") == "Allow" and "sts:AssumeRole" in _listed(statement.get("Action", ())):
            trusts.update(map(str, _listed(principal.get("Service", ()) if isinstance(principal, Mapping) else ())))
    return Role(str(document["Arn"]), frozenset(trusts))


def _listed(value: Any) -> list[Any]:
    """A policy writes one of something without the list around it."""
    return [value] if isinstance(value, (str, Mapping)) else list(value)
