"""RunJobFlow's document -> a `Launch`: what AWS refuses at once is refused, and so is what is not modelled here.

Nothing that would change how a cluster behaves is silently dropped: a member that is neither acted on nor merely
given back is refused by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from servo_emr.emulator.errors import AwsError, validation
from servo_emr.emulator.records import Bootstrap, GroupRequest, Launch, StepRequest
from servo_emr.emulator.region import Regions

__all__ = ["STEP_LIMIT", "check_idle_timeout", "parse_launch", "parse_steps", "parse_tags"]

STEP_LIMIT = 256
_STEP_CHARACTERS = 10_240
_IDLE_SECONDS = (60, 604_800)
_TAG_LIMIT = 50
_BOOTSTRAP_LIMIT = 16

# Given back by DescribeCluster and without effect here, as on AWS they have none on a job's course.
_GIVEN_BACK = (
    "VisibleToAllUsers",
    "ScaleDownBehavior",
    "EbsRootVolumeSize",
    "EbsRootVolumeIops",
    "EbsRootVolumeThroughput",
)
_ACTED_ON = (
    "Name", "LogUri", "ReleaseLabel", "Instances", "Steps", "BootstrapActions", "Applications", "JobFlowRole",
    "ServiceRole", "Tags", "StepConcurrencyLevel", "AutoTerminationPolicy",
)  # fmt: skip
_INSTANCES_GIVEN_BACK = (
    "Ec2KeyName", "EmrManagedMasterSecurityGroup", "EmrManagedSlaveSecurityGroup", "ServiceAccessSecurityGroup",
    "AdditionalMasterSecurityGroups", "AdditionalSlaveSecurityGroups",
)  # fmt: skip
_INSTANCES_ACTED_ON = (
    "InstanceGroups", "InstanceFleets", "KeepJobFlowAliveWhenNoSteps", "TerminationProtected", "Ec2SubnetId",
    "Ec2SubnetIds", "Placement", "UnhealthyNodeReplacement",
)  # fmt: skip
_GROUP_ACTED_ON = ("Name", "Market", "InstanceRole", "BidPrice", "InstanceType", "InstanceCount")


def parse_launch(document: Mapping[str, Any], region: str, regions: Regions) -> Launch:
    """The launch that a RunJobFlow of the right shape asks for. Raises AwsError, as AWS would or naming the member."""
    _refuse_others(document, (*_ACTED_ON, *_GIVEN_BACK), "RunJobFlow")
    instances = document["Instances"]
    _refuse_others(instances, (*_INSTANCES_ACTED_ON, *_INSTANCES_GIVEN_BACK), "RunJobFlow Instances")
    if document.get("StepConcurrencyLevel", 1) != 1:
        raise _not_modelled("StepConcurrencyLevel other than 1")
    release = _release(document, region, regions)
    _check_roles(document, regions)
    groups = _groups(instances, region, release, regions)
    subnet, zone = _place(instances, region, regions)
    steps = parse_steps(document.get("Steps", ()))
    if len(steps) > STEP_LIMIT:
        raise validation(f"Maximum number of steps ({STEP_LIMIT}) for a job flow exceeded: {len(steps)}.")
    policy = document.get("AutoTerminationPolicy")
    return Launch(
        region=region,
        name=document["Name"],
        release_label=release,
        groups=groups,
        steps=steps,
        bootstraps=_bootstraps(document.get("BootstrapActions", ())),
        log_uri=_log_uri(document.get("LogUri")),
        keep_alive=instances.get("KeepJobFlowAliveWhenNoSteps", False),
        protected=instances.get("TerminationProtected", False),
        idle_timeout=check_idle_timeout(policy) if policy is not None else None,
        subnet=subnet,
        zone=zone,
        tags=parse_tags(document.get("Tags", ())),
        attributes={name: document[name] for name in _GIVEN_BACK if name in document}
        | {"Applications": document.get("Applications", []), "ServiceRole": document["ServiceRole"]}
        | {name: instances[name] for name in ("UnhealthyNodeReplacement",) if name in instances},
        ec2_attributes={name: instances[name] for name in _INSTANCES_GIVEN_BACK if name in instances}
        | {"IamInstanceProfile": document["JobFlowRole"]},
    )


def parse_steps(documents: Sequence[Mapping[str, Any]]) -> tuple[StepRequest, ...]:
    """The steps of RunJobFlow or AddJobFlowSteps. Raises AwsError."""
    return tuple(_step(document, index) for index, document in enumerate(documents, start=1))


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


def check_idle_timeout(policy: Mapping[str, Any]) -> int:
    """Seconds. Raises AwsError."""
    seconds = policy.get("IdleTimeout")
    shortest, longest = _IDLE_SECONDS
    if not isinstance(seconds, int) or not shortest <= seconds <= longest:
        raise validation(f"AutoTerminationPolicy.IdleTimeout is {shortest} to {longest} seconds, not {seconds}.")
    return seconds


def _refuse_others(document: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    asked_for = [name for name, value in document.items() if value is not False and value not in ([], {}, "")]
    others = sorted(set(asked_for) - set(known))
    if others:
        raise _not_modelled(f"{where}: {', '.join(others)}")


def _not_modelled(what: str) -> AwsError:
    return validation(f"This emulator does not model {what}. Leave it out, or run on AWS.")


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
        raise validation("InstanceProfile (JobFlowRole) is required for creating cluster.")
    if not regions.has_role(service_role):
        raise validation(f"Invalid ServiceRole: {service_role}.")
    if not regions.has_instance_profile(profile):
        raise validation(f"Invalid InstanceProfile: {profile}.")


def _groups(instances: Mapping[str, Any], region: str, release: str, regions: Regions) -> tuple[GroupRequest, ...]:
    documents = instances.get("InstanceGroups")
    if instances.get("InstanceFleets"):
        if documents:
            raise validation("Instance fleets and instance groups are mutually exclusive.")
        raise _not_modelled("RunJobFlow Instances: InstanceFleets")
    if not documents:
        raise validation("Instances must have InstanceGroups.")
    supported = {entry["Type"] for entry in regions.types(region, release)}
    groups = tuple(_group(document, supported) for document in documents)
    roles = [group.role for group in groups]
    if roles.count("MASTER") != 1:
        raise validation("There must be exactly one MASTER instance group.")
    if roles.count("CORE") > 1:
        raise validation("There can be at most one CORE instance group.")
    if "TASK" in roles and "CORE" not in roles:
        raise validation("A TASK instance group needs a CORE instance group.")
    return groups


def _group(document: Mapping[str, Any], supported: set[str]) -> GroupRequest:
    _refuse_others(document, _GROUP_ACTED_ON, "an instance group's")
    role, instance_type, count = document["InstanceRole"], document["InstanceType"], document["InstanceCount"]
    if instance_type not in supported:
        raise validation(f"Instance type '{instance_type}' is not supported.")
    if role == "MASTER" and count == 3:
        raise _not_modelled("a MASTER instance group of three")
    if role == "MASTER" and count != 1:
        raise validation(f"The MASTER instance group has one instance, not {count}.")
    if count < (1 if role == "CORE" else 0):
        raise validation(f"InstanceCount of the {role} instance group must be positive, not {count}.")
    return GroupRequest(
        role=role,
        instance_type=instance_type,
        count=count,
        market=document.get("Market", "ON_DEMAND"),
        name=document.get("Name"),
        bid_price=document.get("BidPrice"),
    )


def _place(instances: Mapping[str, Any], region: str, regions: Regions) -> tuple[str | None, str | None]:
    """(subnet, zone)"""
    placement = instances.get("Placement", {})
    if placement.get("AvailabilityZones"):
        raise _not_modelled("Placement.AvailabilityZones, which is for instance fleets")
    subnets = instances.get("Ec2SubnetIds", [])
    subnet, zone = instances.get("Ec2SubnetId"), placement.get("AvailabilityZone")
    if len(subnets) > 1:
        raise validation("Instance groups take one subnet; several are for instance fleets.")
    if subnets and subnet:
        raise validation("Ec2SubnetId and Ec2SubnetIds are mutually exclusive.")
    subnet = subnet or (subnets[0] if subnets else None)
    if subnet is None:
        default = regions.default_subnet(region, zone)
        if default is None:
            raise validation(f"There is no default subnet in availability zone {zone or '(any)'}.")
        return default
    if zone:
        raise validation("A subnet and an availability zone are mutually exclusive.")
    found = regions.zone_of(region, subnet)
    if found is None:
        raise validation(f"The subnet configuration was invalid: The subnet ID '{subnet}' does not exist.")
    return subnet, found


def _step(document: Mapping[str, Any], index: int) -> StepRequest:
    _refuse_others(document, ("Name", "ActionOnFailure", "HadoopJarStep"), f"step {index}:")
    jar_step = document["HadoopJarStep"]
    _refuse_others(jar_step, ("Jar", "Args"), f"step {index}: HadoopJarStep")
    jar, args = jar_step["Jar"], tuple(jar_step.get("Args", ()))
    if jar != "command-runner.jar":
        raise _not_modelled(f"step {index}: the jar {jar!r}, only 'command-runner.jar'")
    if not args:
        raise validation(f"Step {index}: command-runner.jar needs Args, the command to run.")
    if len(jar) + sum(len(arg) for arg in args) > _STEP_CHARACTERS:
        raise validation(f"Step {index}: the strings of its HadoopJarStep exceed {_STEP_CHARACTERS} characters.")
    if any("\0" in arg for arg in args):
        raise validation(f"Step {index}: an argument holds a NUL character.")
    return StepRequest(document["Name"], jar, args, document.get("ActionOnFailure", "CONTINUE"))


def _bootstraps(documents: Sequence[Mapping[str, Any]]) -> tuple[Bootstrap, ...]:
    if len(documents) > _BOOTSTRAP_LIMIT:
        raise validation(f"A cluster has at most {_BOOTSTRAP_LIMIT} bootstrap actions, not {len(documents)}.")
    actions = []
    for document in documents:
        script = document["ScriptBootstrapAction"]
        if not script["Path"].startswith("s3://"):
            raise _not_modelled(f"the bootstrap action path {script['Path']!r}, only s3://bucket/key")
        actions.append(Bootstrap(document["Name"], script["Path"], tuple(script.get("Args", ()))))
    return tuple(actions)


def _log_uri(uri: str | None) -> str | None:
    if uri is None:
        return None
    scheme, _, rest = uri.partition("://")
    if scheme not in {"s3", "s3n"} or not rest.strip("/"):
        raise validation(f"The log URI {uri!r} is not s3://bucket/prefix.")
    return f"s3://{rest}"
