"""Whether the images and wheels of a spec are for the architecture of its instance types: Graviton is arm64.

Asked only where a spec names an image of its own, or wheels for a primary node of Graviton.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from servo_emr.aws.door import Door, Refusal
from servo_emr.aws.uri import split_uri
from servo_emr.domain.cluster import Role
from servo_emr.domain.errors import Reason
from servo_emr.domain.ports import Finding
from servo_emr.domain.spark import NodeSize
from servo_emr.domain.spec import RunSpec

__all__ = ["Architectures", "architecture"]

_UNKNOWN_IMAGE = ("InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable")
_PLATFORM = re.compile(r"-(?:[^-]*_)?(x86_64|amd64|i686|aarch64|arm64)\.whl$")
_ARM = ("aarch64", "arm64")


def architecture(told: str) -> str:
    """An architecture as EC2 names it, however EMR spells it."""
    return "arm64" if told.lower() in _ARM else "x86_64"


class Architectures:
    """Asks EC2 about images and S3 about wheels.

    Args:
        door: to both.
    """

    def __init__(self, door: Door) -> None:
        self._door = door

    async def check(self, spec: RunSpec, sizes: Mapping[str, NodeSize], findings: list[Finding]) -> None:
        """Adds a finding for everything that cannot start on the types that it is meant for."""
        await self._images(spec, sizes, findings)
        primary = spec.group(Role.PRIMARY)
        size = sizes.get(primary.inst_type) if primary is not None else None
        if spec.job.wheels and size is not None and size.architecture == "arm64":
            await self._wheels(spec.job.wheels, primary.inst_type if primary else "", findings)

    async def _images(self, spec: RunSpec, sizes: Mapping[str, NodeSize], findings: list[Finding]) -> None:
        used = {
            (image, name)
            for group in spec.groups
            for name in group.inst_types
            if (image := group.ami_id or spec.cluster.ami_id) and name in sizes
        }
        for image in sorted({image for image, _ in used}):
            try:
                answer = await self._door.call("ec2", "DescribeImages", expected=_UNKNOWN_IMAGE, ImageIds=[image])
                found = {one["ImageId"]: one for one in answer["Images"]}
            except Refusal:
                found = {}
            if image not in found:
                text = f"The image {image} does not exist in the region, or is not shared with this account."
                remedy = "Correct emr.cluster.ami_id, or that of a role, in servo.yaml."
                findings.append(Finding(Reason.RELEASE_LABEL, text, True, remedy, "an image does not exist"))
                continue
            built_for = found[image].get("Architecture", "")
            for name in sorted(name for one, name in used if one == image):
                if sizes[name].architecture != built_for:
                    text = f"The image {image} is for {built_for}, and {name} is {sizes[name].architecture}."
                    remedy = "Give the role an ami_id of its own, or take the type out of emr.components."
                    public = f"an image does not fit {name}"
                    findings.append(Finding(Reason.TYPE_UNSUPPORTED, text, True, remedy, public))

    async def _wheels(self, prefix: str, inst_type: str, findings: list[Finding]) -> None:
        bucket, key = split_uri(prefix)
        folder = f"{key.rstrip('/')}/" if key.strip("/") else ""
        others: dict[str, bool] = {}
        async for item in self._door.pages("s3", "ListObjectsV2", "Contents", Bucket=bucket, Prefix=folder):
            if tag := _PLATFORM.search(item["Key"]):
                package = item["Key"].rpartition("/")[2].partition("-")[0].lower()
                others[package] = others.get(package, False) or tag[1] in _ARM
        lacking = sorted(package for package, fits in others.items() if not fits)
        if lacking:
            text = f"{inst_type} is arm64, and emr.job.wheels has {', '.join(lacking[:5])} for x86_64 alone."
            remedy = "Put their aarch64 wheels there too (pip download --platform manylinux2014_aarch64)."
            public = f"wheels do not fit {inst_type}"
            findings.append(Finding(Reason.TYPE_UNSUPPORTED, text, True, remedy, public))
