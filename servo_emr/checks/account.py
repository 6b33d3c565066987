"""What the account has to have: an identity, two roles, addresses in its subnets, vCPUs."""

from __future__ import annotations

from collections.abc import Mapping

from servo_emr.checks.range import Group, most_nodes, needed_vcpus
from servo_emr.checks.result import Checked, Outcome, failed, not_asked, passed, refused, warned
from servo_emr.domain.account import Account, Role
from servo_emr.domain.errors import Reason, RunError
from servo_emr.domain.spec import ClusterSpec, LimitSpec, Market

__all__ = ["addresses", "identity", "instance_profile", "service_role", "vcpu_quota"]

_EMR, _EC2 = "elasticmapreduce", "ec2"
_STANDARD = frozenset("a c d h i im is m r t z".split())
_QUOTAS: tuple[tuple[str, frozenset[str], Mapping[Market, str]], ...] = (
    ("Standard", _STANDARD, {Market.ON_DEMAND: "L-1216C47A", Market.SPOT: "L-34B43A08"}),
    ("G and VT", frozenset(("g", "gr", "vt")), {Market.ON_DEMAND: "L-DB2E81BA", Market.SPOT: "L-3819A6DF"}),
    ("P", frozenset(("p",)), {Market.ON_DEMAND: "L-417A185B", Market.SPOT: "L-7212CCBC"}),
)
"""EC2's quotas of running vCPUs: families of types, and a code for each way to buy them."""


async def identity(account: Account) -> Checked:
    """Whether there are credentials, and whose they are."""
    name = "credentials"
    try:
        return passed(name, f"calls are made as {await account.identity()}")
    except RunError as error:
        # Denied is no answer, but the credentials are good for one.
        code = error.details.get("aws", {}).get("code", "") if error.reason is Reason.CREDENTIALS else ""
        return not_asked(name, error) if str(code).startswith("AccessDenied") else refused(name, error)


async def service_role(account: Account, cluster: ClusterSpec) -> Checked:
    """Whether EMR's service role is there and EMR may assume it."""
    name, place = "service role", f"emr.cluster.service_role: {cluster.service_role}"
    make = "Make it (`aws emr create-default-roles` makes the default ones), or correct the name in servo.yaml."
    try:
        role = await account.role(cluster.service_role)
    except RunError as error:
        return not_asked(name, error)
    if role is None:
        return failed(name, Reason.ROLE, f"{place} does not exist", make)
    if not _trusts(role, _EMR):
        return failed(
            name,
            Reason.ROLE,
            f"{place} may not be assumed by EMR, but by {_shown(role)}",
            "Let its trust policy allow sts:AssumeRole to elasticmapreduce.amazonaws.com.",
        )
    return passed(name, f"{role.arn}")


async def instance_profile(account: Account, cluster: ClusterSpec) -> Checked:
    """Whether the nodes' instance profile is there and holds a role that EC2 may assume."""
    name, place = "instance profile", f"emr.cluster.instance_profile: {cluster.instance_profile}"
    make = "Make it (`aws emr create-default-roles` makes the default ones), or correct the name in servo.yaml."
    try:
        profile = await account.instance_profile(cluster.instance_profile)
    except RunError as error:
        return not_asked(name, error)
    if profile is None:
        return failed(name, Reason.ROLE, f"{place} does not exist", make)
    if not profile.roles:
        return failed(
            name, Reason.ROLE, f"{place} holds no role", "Add one with `aws iam add-role-to-instance-profile`."
        )
    if not any(_trusts(role, _EC2) for role in profile.roles):
        return failed(
            name,
            Reason.ROLE,
            f"{place}: its role may not be assumed by EC2, but by {_shown(profile.roles[0])}",
            "Let the role's trust policy allow sts:AssumeRole to ec2.amazonaws.com.",
        )
    return passed(name, f"{profile.arn} with {profile.roles[0].arn}")


def _trusts(role: Role, service: str) -> bool:
    # Some regions and partitions have names of their own: ec2.amazonaws.com.cn.
    return any(principal.partition(".")[0] == service for principal in role.trusts)


def _shown(role: Role) -> str:
    return ", ".join(sorted(role.trusts)) or "no service"


async def addresses(account: Account, cluster: ClusterSpec, allowed: tuple[Group, ...], limits: LimitSpec) -> Checked:
    """Whether the subnets exist and have an address for every node of the largest cluster."""
    name, ids = "subnets", cluster.subnet_ids
    try:
        found = await account.subnets(ids)
    except RunError as error:
        return not_asked(name, error)
    missing = [subnet_id for subnet_id in ids if subnet_id not in found]
    if missing:
        remedy = "Correct emr.cluster.subnet_ids in servo.yaml, or the region."
        return failed(name, Reason.NETWORK, f"{', '.join(missing)} do not exist in this region", remedy)
    if not found:
        return failed(
            name, Reason.NETWORK, "the region has no default subnet", "Name subnets in emr.cluster.subnet_ids."
        )
    most, start = most_nodes(allowed, limits.nodes), sum(group.start for group in allowed)
    shown = (
        ", ".join(f"{subnet.subnet_id} ({subnet.zone}) {subnet.free_addresses}" for subnet in found.values())
        if ids
        else f"at least {min(subnet.free_addresses for subnet in found.values())} in each default subnet"
    )
    narrow = [subnet for subnet in found.values() if subnet.free_addresses < most]
    remedy = "Free addresses, name larger subnets, or lower emr.limits.nodes."
    # A run takes one of the subnets, by chance: each has to hold it.
    if any(subnet.free_addresses < start for subnet in narrow):
        return failed(
            name, Reason.NETWORK, f"free addresses: {shown}; the cluster to start with has {start} nodes", remedy
        )
    if narrow:
        return warned(name, f"free addresses: {shown}; the largest cluster has {most} nodes", remedy)
    return passed(name, f"free addresses: {shown}; the largest cluster has {most} nodes")


async def vcpu_quota(
    account: Account, allowed: tuple[Group, ...], vcpus: Mapping[str, int], limits: LimitSpec
) -> list[Checked]:
    """Whether the account's quotas hold the largest cluster; one answer for each quota that is needed.

    Args:
        vcpus: of each type, as far as the service told them.
    """
    name, answers = "vCPU quota", []
    types = {name for group in allowed for name in group.types}
    for title, letters, codes in _QUOTAS:
        family = frozenset(t for t in types if _letters(t) in letters)
        types -= family
        for market, code in codes.items():
            concerned = [group for group in allowed if group.market is market and family & set(group.types)]
            if not concerned:
                continue
            unknown = [t for group in concerned for t in group.types if t in family and t not in vcpus]
            if unknown:
                why = f"the vCPUs of {', '.join(dict.fromkeys(unknown))} are not known"
                answers.append(_open(name, why, "Allow elasticmapreduce:ListSupportedInstanceTypes."))
                continue
            most = needed_vcpus(allowed, vcpus, family, market, largest=True)
            most = most if limits.vcpus is None else min(most, limits.vcpus)
            start = needed_vcpus(allowed, vcpus, family, market, largest=False)
            answers.append(await _quota(account, name, f"{title} {market} ({code})", code, most, start))
    if types:
        why = f"no quota of {', '.join(sorted(types))} is known here"
        answers.append(_open(name, why, "Look at EC2's page of the Service Quotas console."))
    return answers


async def _quota(account: Account, name: str, title: str, code: str, most: int, start: int) -> Checked:
    try:
        quota = await account.vcpu_quota(code)
    except RunError as error:
        return not_asked(name, error)
    if quota is None:
        return _open(name, f"Service Quotas does not know {title}", "Look at EC2's page of the Service Quotas console.")
    finding = f"{title}: {quota:g} vCPUs in the whole account"
    remedy = f"Ask for {max(most, start)} in Service Quotas ({code}), or lower emr.limits.vcpus."
    if start > quota:
        return failed(name, Reason.QUOTA, f"{finding}, the cluster to start with has {start}", remedy)
    if most > quota:
        return warned(name, f"{finding}, the largest cluster has {most}", remedy)
    return passed(name, f"{finding}, the largest cluster has {most}")


def _open(name: str, finding: str, remedy: str) -> Checked:
    return Checked(name, Outcome.NOT_CHECKED, finding, remedy)


def _letters(inst_type: str) -> str:
    """The letters of a type's family before its generation: "r" of r5d.xlarge, "im" of im4gn.large."""
    family = inst_type.partition(".")[0]
    return family[: next((i for i, letter in enumerate(family) if letter.isdigit()), len(family))]
