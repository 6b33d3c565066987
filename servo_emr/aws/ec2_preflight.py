"""Read-only questions before a launch on EC2: does the release support the types, does a configured zone offer them.

What the region offers is remembered for a day: a launch then costs no such call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from servo_emr.aws.door import Door, Refusal, understood
from servo_emr.aws.ec2_architectures import Architectures, architecture
from servo_emr.domain.errors import Reason, RunError
from servo_emr.domain.ports import Clock, Finding, Preflight
from servo_emr.domain.spark import NodeSize
from servo_emr.domain.spec import RunSpec

__all__ = ["Ec2Preflight"]

_DAY_S = 86_400.0
_UNKNOWN_SUBNET = ("InvalidSubnetID.NotFound", "InvalidSubnetId.NotFound", "InvalidSubnetID.Malformed")


@dataclass
class _Memory:
    """What has been asked already, until it is too old."""

    until: float = 0.0
    supported: dict[tuple[str, str], NodeSize | None] = field(default_factory=dict)
    """(release, type) -> its size, None when the release does not support the type."""
    zones: dict[str, str] = field(default_factory=dict)
    offered: dict[str, frozenset[str]] = field(default_factory=dict)


class Ec2Preflight:
    """Asks EMR and EC2.

    Args:
        door: to both.
        clock: decides when the answers are too old.
    """

    def __init__(self, door: Door, clock: Clock) -> None:
        self._door = door
        self._clock = clock
        self._memory = _Memory()
        self._fit = Architectures(door)

    async def check(self, spec: RunSpec) -> Preflight:
        """Findings on the spec's release, types and subnets; the vCPUs of the types; the subnets that will do."""
        now = self._clock.now()
        if now >= self._memory.until:
            self._memory = _Memory(until=now + _DAY_S)
        findings: list[Finding] = []
        await self._guarded(findings, "which types the release supports", self._types(spec, findings))
        subnets = list(spec.cluster.subnet_ids)
        await self._guarded(findings, "which zones offer the types", self._zones(spec, findings, subnets))
        release = spec.cluster.release_label
        sizes = {t: size for t in spec.inst_types if (size := self._memory.supported.get((release, t)))}
        fit = self._fit.check(spec, sizes, findings)
        await self._guarded(findings, "what images and wheels are for", fit)
        vcpus = {name: size.vcpus for name, size in sizes.items()}
        return Preflight(tuple(findings), vcpus, tuple(subnets), sizes)

    async def _guarded(self, findings: list[Finding], what: str, question: object) -> None:
        """Asks; a question that may not or cannot be asked becomes a finding."""
        try:
            with understood(what):
                await question  # type: ignore[misc]
        except RunError as error:
            told = f"{error.message} {error.remedy}".strip()
            findings.append(Finding(error.reason, f"not checked {what} ({error.public or error.reason}).", False, told))

    async def _types(self, spec: RunSpec, findings: list[Finding]) -> None:
        release = spec.cluster.release_label
        try:
            await self._ask_types(release, spec.inst_types)
        except Refusal as refusal:
            remedy = "Correct emr.cluster.release_label in servo.yaml; `aws emr list-release-labels` shows them."
            findings.append(Finding(Reason.RELEASE_LABEL, f"release label {release}: {refusal.message}", True, remedy))
            return
        for inst_type in spec.inst_types:
            if self._memory.supported[release, inst_type] is None:
                findings.append(
                    Finding(
                        Reason.TYPE_UNSUPPORTED,
                        f"{inst_type} is not supported by {release}.",
                        True,
                        "Take it out of emr.components in servo.yaml, or choose a release that supports it.",
                        f"{inst_type} is not supported by {release}",
                    )
                )

    async def _ask_types(self, release: str, inst_types: Iterable[str]) -> None:
        missing = {t for t in inst_types if (release, t) not in self._memory.supported}
        if not missing:
            return
        token: dict[str, Any] = {}
        while missing:
            answer = await self._door.call(
                "emr",
                "ListSupportedInstanceTypes",
                expected=("InvalidRequestException", "ValidationException"),
                ReleaseLabel=release,
                **token,
            )
            for item in answer["SupportedInstanceTypes"]:
                self._memory.supported[release, item["Type"]] = NodeSize(
                    int(item["VCPU"]), float(item.get("MemoryGB", 0)), architecture(str(item.get("Architecture", "")))
                )
                missing.discard(item["Type"])
            if not answer.get("Marker"):
                break
            token = {"Marker": answer["Marker"]}
        for inst_type in missing:
            self._memory.supported[release, inst_type] = None

    async def _zones(self, spec: RunSpec, findings: list[Finding], subnets: list[str]) -> None:
        """Leaves in `subnets` those in whose zone every group can be had; none left is a certain finding."""
        try:
            await self._ask_zones(subnets)
        except Refusal as refusal:
            remedy = "Correct emr.cluster.subnet_ids in servo.yaml."
            findings.append(Finding(Reason.NETWORK, f"subnets: {refusal.message}", True, remedy))
            return
        await self._ask_offers(spec.inst_types)
        offered = self._memory.offered
        # Of the types that a fleet may be of, one that is offered is enough.
        groups = [group.inst_types for group in spec.groups if group.count]
        zones = {subnet: self._memory.zones[subnet] for subnet in subnets}
        fitting = [s for s in subnets if all(any(zones[s] in offered[t] for t in types) for types in groups)]
        places = set(zones.values())
        lacking = [
            types
            for types in groups
            if not any((places & offered[name]) if subnets else offered[name] for name in types)
        ]
        nowhere = list(dict.fromkeys(name for types in lacking for name in types))
        if subnets and not fitting and not nowhere:
            nowhere = list(spec.inst_types)
        if nowhere:
            place = "the zones of emr.cluster.subnet_ids" if subnets else "the region"
            findings.append(
                Finding(
                    Reason.TYPE_UNSUPPORTED,
                    f"{', '.join(nowhere)}: not offered (together) in {place}.",
                    True,
                    "Name a subnet in another zone, or take the type out of emr.components in servo.yaml.",
                    f"{', '.join(nowhere)} not offered",
                )
            )
        else:
            subnets[:] = _zone_by_zone(fitting, self._memory.zones)

    async def _ask_zones(self, subnets: Iterable[str]) -> None:
        missing = [subnet for subnet in subnets if subnet not in self._memory.zones]
        if missing:
            answer = await self._door.call("ec2", "DescribeSubnets", expected=_UNKNOWN_SUBNET, SubnetIds=missing)
            for subnet in answer["Subnets"]:
                self._memory.zones[subnet["SubnetId"]] = subnet["AvailabilityZone"]

    async def _ask_offers(self, inst_types: Iterable[str]) -> None:
        missing = [t for t in inst_types if t not in self._memory.offered]
        if not missing:
            return
        offers: dict[str, set[str]] = {t: set() for t in missing}
        pages = self._door.pages(
            "ec2",
            "DescribeInstanceTypeOfferings",
            "InstanceTypeOfferings",
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": missing}],
        )
        async for offer in pages:
            offers[offer["InstanceType"]].add(offer["Location"])
        self._memory.offered.update({t: frozenset(zones) for t, zones in offers.items()})


def _zone_by_zone(subnets: Sequence[str], zones: Mapping[str, str]) -> list[str]:
    """The subnets so that the next one is in another zone, where there is one: a zone that lacks capacity lacks it in
    all its subnets."""
    turns: Counter[str] = Counter()
    placed = []
    for subnet in subnets:
        placed.append((turns[zones[subnet]], subnet))
        turns[zones[subnet]] += 1
    return [subnet for _, subnet in sorted(placed, key=lambda turn: turn[0])]
