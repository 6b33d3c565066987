"""What a check asks of an AWS account: read-only questions and their answers as facts of ours.

Facts only; what they mean for a configuration is judged by who asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Account", "InstanceProfile", "Role", "Subnet"]


@dataclass(frozen=True)
class Role:
    """An IAM role: its ARN and the services that may assume it."""

    arn: str
    trusts: frozenset[str]


@dataclass(frozen=True)
class InstanceProfile:
    """An instance profile: its ARN and the roles in it (IAM allows one)."""

    arn: str
    roles: tuple[Role, ...]


@dataclass(frozen=True)
class Subnet:
    """A subnet: its zone and how many addresses are free in it."""

    subnet_id: str
    zone: str
    free_addresses: int


class Account(Protocol):
    """Questions that change nothing. Each raises RunError when it cannot be asked: operator/credentials, with the
    action to allow, when the right to ask is missing."""

    async def identity(self) -> str:
        """The ARN of whoever the calls are made as."""
        ...

    async def role(self, name: str) -> Role | None:
        """A role by its name or ARN, or None when there is no such role."""
        ...

    async def instance_profile(self, name: str) -> InstanceProfile | None:
        """An instance profile by its name or ARN, or None when there is none."""
        ...

    async def subnets(self, subnet_ids: Sequence[str]) -> Mapping[str, Subnet]:
        """Those of the subnets that exist, by id; without ids the default ones of the region's zones."""
        ...

    async def vcpu_quota(self, code: str) -> float | None:
        """The value of one of EC2's quotas, or None when the service does not know it."""
        ...

    async def reachable(self, uri: str) -> None:
        """Returns when the bucket of an s3:// URI exists and may be listed.

        Raises:
            RunError: operator/bucket: there is none.
        """
        ...
