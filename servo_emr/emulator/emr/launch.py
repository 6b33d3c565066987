"""RunJobFlow's document -> a `Launch`: what AWS refuses at once is refused, and so is what is not modelled here.

Nothing that would change how a cluster behaves is silently dropped: a member that is neither acted on nor merely
given back is refused by its name. Groups, fleets, steps and the place are read by modules of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from servo_emr.emulator.emr.launch_fleets import check_fleet_roles, offered_only, parse_fleet
from servo_emr.emulator.emr.launch_groups import FORM, check_roles, groups_of_form, parse_groups
from servo_emr.emulator.emr.launch_nodes import check_configurations
from servo_emr.emulator.emr.launch_place import choose_place
from servo_emr.emulator.emr.launch_steps import parse_steps
from servo_emr.emulator.emr.refusals import not_modelled, refuse_others
from servo_emr.emulator.emr.releases import fleets_available, idle_timeout_available
from servo_emr.emulator.protocol.errors import validation
from servo_emr.emulator.region import Regions
from servo_emr.emulator.world.records import Bootstrap, FleetRequest, GroupRequest, Launch

__all__ = ["check_concurrency", "check_idle_timeout", "parse_launch", "parse_tags", "supported_types"]

_CONCURRENCY = (1, 256)
_IDLE_SECONDS = (60, 604_800)
_TAG_LIMIT = 50
_BOOTSTRAP_LIMIT = 16

# Given back by DescribeCluster and without effect here.
_GIVEN_BACK = (
    "VisibleToAllUsers", "ScaleDownBehavior", "EbsRootVolumeSize", "EbsRootVolumeIops", "EbsRootVolumeThroughput",
    "CustomAmiId", "RepoUpgradeOnBoot", "OSReleaseLabel", "AutoScalingRole", "SecurityConfiguration",
    "LogEncryptionKmsKeyId",
)  # fmt: skip
_ACTED_ON = (
    "Name", "LogUri", "ReleaseLabel", "Instances", "Steps", "BootstrapActions", "Applications", "JobFlowRole",
    "ServiceRole", "Tags", "StepConcurrencyLevel", "AutoTerminationPolicy", "Configurations",
)  # fmt: skip
_INSTANCES_GIVEN_BACK = (
    "Ec2KeyName", "EmrManagedMasterSecurityGroup", "EmrManagedSlaveSecurityGroup", "ServiceAccessSecurityGroup",
    "AdditionalMasterSecurityGroups", "AdditionalSlaveSecurityGroups",
)  # fmt: skip
_INSTANCES_ACTED_ON = (
    "InstanceGroups", "InstanceFleets", *FORM, "KeepJobFlowAliveWhenNoSteps", "TerminationProtected", "Ec2SubnetId",
    "Ec2SubnetIds", "Placement", "UnhealthyNodeReplacement",
)  # fmt: skip


def parse_launch(document: Mapping[str, Any], region: str, regions: Regions) -> Launch:
    """The launch that a RunJobFlow of the right shape asks for. Raises AwsError, as AWS would or naming the member."""
    refuse_others(document, (*_ACTED_ON, *_GIVEN_BACK), "RunJobFlow")
    instances = document["Instances"]
    refuse_others(instances, (*_INSTANCES_ACTED_ON, *_INSTANCES_GIVEN_BACK), "RunJobFlow Instances")
    release = _release(document, region, regions)
    _check_roles(document, regions)
    groups, fleets = _nodes(instances, release, supported_types(region, release, regions))
    place = choose_place(instances, region, regions, groups, fleets)
    if place.refusal is None:
        fleets = tuple(offered_only(fleet, regions.offered(region, place.zone)) for fleet in fleets)
    policy = document.get("AutoTerminationPolicy")
    return Launch(
        region=region,
        name=document["Name"],
        release_label=release,
        groups=groups,
        fleets=fleets,
        steps=parse_steps(document.get("Steps", ())),
        concurrency=check_concurrency(document.get("StepConcurrencyLevel", 1)),
        bootstraps=_bootstraps(document.get("BootstrapActions", ())),
        log_uri=_log_uri(document.get("LogUri")),
        keep_alive=instances.get("KeepJobFlowAliveWhenNoSteps", False),
        protected=instances.get("TerminationProtected", False),
        idle_timeout=check_idle_timeout(policy, release) if policy is not None else None,
        subnet=place.subnet,
        zone=place.zone,
        tags=parse_tags(document.get("Tags", ())),
        spark_defaults=_spark_defaults(document.get("Configurations", ())),
        attributes=_attributes(document, instances),
        ec2_attributes={name: instances[name] for name in _INSTANCES_GIVEN_BACK if name in instances}
        | {"IamInstanceProfile": document["JobFlowRole"]}
        | {"RequestedEc2SubnetIds": list(place.requested_subnets)}
        | {"RequestedEc2AvailabilityZones": list(place.requested_zones)},
        refusal=place.refusal,
    )


def supported_types(region: str, release: str, regions: Regions) -> set[str]:
    """The instance types of the release. Raises KeyError for an unknown one."""
    return {str(entry["Type"]) for entry in regions.types(region, release)}


def parse_tags(documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Raises AwsError for a tag that AWS would refuse."""
    tags: dict[str, str] = {}
    for document in documents:
        key, value = document.get("Key", ""), document.get("Value", "")
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise validation(f"Tag {key!r}: a key has 1 to 128 characters, a value at most 256.")
        tags[key] = value
    if len(tags) > _TAG_LIMIT:
        raise validation(f"A cluster has at most {_TAG_LIMIT} tags, not {len(tags)}.")
    return tags


def check_concurrency(level: int) -> int:
    """How many steps may run at once. Raises AwsError."""
    fewest, most = _CONCURRENCY
    if not fewest <= level <= most:
        raise validation(f"StepConcurrencyLevel is {fewest} to {most}, not {level}.")
    return level


def check_idle_timeout(policy: Mapping[str, Any], release: str) -> int:
    """Seconds. Raises AwsError."""
    if not idle_timeout_available(release):
        raise validation(f"Auto-termination policies are not available for the release {release}.")
    seconds = policy.get("IdleTimeout")
    shortest, longest = _IDLE_SECONDS
    if not isinstance(seconds, int) or not shortest <= seconds <= longest:
        raise validation(f"AutoTerminationPolicy.IdleTimeout is {shortest} to {longest} seconds, not {seconds}.")
    return seconds


def _nodes(
    instances: Mapping[str, Any], release: str, supported: set[str]
) -> tuple[tuple[GroupRequest, ...], tuple[FleetRequest, ...]]:
    """(groups, fleets), one of which is empty."""
    groups, fleets = instances.get("InstanceGroups"), instances.get("InstanceFleets")
    form = any(name in instances for name in FORM)
    if bool(groups) + bool(fleets) + form != 1:
        raise validation(
            "Please configure instances using one and only one of the following: instance groups; instance fleets; "
            "instance count, master and slave instance type."
        )
    if fleets:
        if not fleets_available(release):
            raise validation(f"Instance fleets are not available for the release {release}.")
        parsed_fleets = tuple(parse_fleet(document, supported) for document in fleets)
        check_fleet_roles(fleet.role for fleet in parsed_fleets)
        return (), parsed_fleets
    parsed = parse_groups(groups or groups_of_form(instances), supported)
    check_roles(group.role for group in parsed)
    return parsed, ()


def _attributes(document: Mapping[str, Any], instances: Mapping[str, Any]) -> dict[str, object]:
    """What DescribeCluster gives back and nothing acts on."""
    attributes: dict[str, object] = {name: document[name] for name in _GIVEN_BACK if name in document}
    if "UnhealthyNodeReplacement" in instances:
        attributes["UnhealthyNodeReplacement"] = instances["UnhealthyNodeReplacement"]
    return attributes | {
        "Applications": document.get("Applications", []),
        "ServiceRole": document["ServiceRole"],
        "Configurations": check_configurations(document.get("Configurations", ()), "RunJobFlow"),
    }


def _spark_defaults(documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    defaults: dict[str, str] = {}
    for document in documents:
        if document.get("Classification") == "spark-defaults":
            defaults |= document.get("Properties", {})
    return defaults


def _release(document: Mapping[str, Any], region: str, regions: Regions) -> str:
    release = document.get("ReleaseLabel")
    if not release:
        raise validation("A release label is required: AMI versions (before emr-4) are not supported.")
    if release not in regions.releases(region):
        raise validation(f"The supplied release label is invalid: {release}.")
    return str(release)


def _check_roles(document: Mapping[str, Any], regions: Regions) -> None:
    service_role, profile = document.get("ServiceRole"), document.get("JobFlowRole")
    if not service_role:
        raise validation("ServiceRole is required for creating cluster.")
    if not profile:
        raise validation("InstanceProfile is required for creating cluster.")
    if not regions.has_role(service_role):
        raise validation(f"Invalid ServiceRole: {service_role}.")
    if not regions.has_instance_profile(profile):
        raise validation(f"Invalid InstanceProfile: {profile}.")


def _bootstraps(documents: Sequence[Mapping[str, Any]]) -> tuple[Bootstrap, ...]:
    if len(documents) > _BOOTSTRAP_LIMIT:
        raise validation(f"A cluster has at most {_BOOTSTRAP_LIMIT} bootstrap actions, not {len(documents)}.")
    actions = []
    for document in documents:
        script = document["ScriptBootstrapAction"]
        if not script["Path"].startswith("s3://"):
            raise not_modelled(f"the bootstrap action path {script['Path']!r}, only s3://bucket/key")
        args = tuple(script.get("Args", ()))
        if any("\0" in word for word in (script["Path"], *args)):
            raise validation(f"The bootstrap action {document['Name']!r}: an argument holds a NUL character.")
        actions.append(Bootstrap(document["Name"], script["Path"], args))
    return tuple(actions)


def _log_uri(uri: str | None) -> str | None:
    if uri is None:
        return None
    scheme, _, rest = uri.partition("://")
    if scheme not in {"s3", "s3n"} or not rest.strip("/"):
        raise validation(f"The log URI {uri!r} is not s3://bucket/prefix.")
    return f"s3://{rest}"
