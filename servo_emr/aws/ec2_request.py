"""RunJobFlow's document for a run on EMR on EC2. Pure: equal arguments give equal documents.

What is never asked for, whatever servo.yaml says, stands here too: a cluster that stays when its steps are done,
termination protection, scaling.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from servo_emr.domain.attempt import subnet_of
from servo_emr.domain.bounds import text_of
from servo_emr.domain.cluster import (
    ClusterSpec,
    Configuration,
    Disk,
    Fleet,
    Market,
    NodeGroup,
    Role,
    TimeoutAction,
)
from servo_emr.domain.spec import JobStage, RunKey, RunSpec, Step
from servo_emr.domain.trial import filled, resolve

__all__ = ["MARKETS", "ROLES", "TAG", "WORKSPACE_TAG", "run_job_flow"]

TAG = "servo-emr:run"
WORKSPACE_TAG = "servo-emr:workspace"
ROLES = {Role.PRIMARY: "MASTER", Role.CORE: "CORE", Role.TASK: "TASK"}
MARKETS = {Market.ON_DEMAND: "ON_DEMAND", Market.SPOT: "SPOT"}
_ACTIONS = {
    TimeoutAction.SWITCH_TO_ON_DEMAND: "SWITCH_TO_ON_DEMAND",
    TimeoutAction.TERMINATE_CLUSTER: "TERMINATE_CLUSTER",
}


def run_job_flow(spec: RunSpec, key: RunKey, attempt: int = 1) -> dict[str, Any]:
    """The request that launches the run for the `attempt`th time."""
    cluster = spec.cluster
    tags = {**dict(cluster.tags), TAG: key.run_id, WORKSPACE_TAG: key.workspace_id}
    actions = [(action.name, action.path, list(action.args)) for action in cluster.bootstrap_actions]
    if spec.bootstrap:
        script, *arguments = (key.fill(word) for word in spec.bootstrap)
        actions.append(("notebook environment", script, arguments))
    return {
        "Name": key.name,
        "ReleaseLabel": cluster.release_label,
        "Applications": [{"Name": name} for name in cluster.applications],
        "ServiceRole": cluster.service_role,
        "JobFlowRole": cluster.instance_profile,
        "Instances": _instances(spec, key, attempt),
        "BootstrapActions": [
            {"Name": name, "ScriptBootstrapAction": {"Path": path, "Args": args}} for name, path, args in actions
        ],
        "Steps": [_step(step, key, _on_failure(spec, step)) for step in spec.steps],
        "Tags": [{"Key": name, "Value": value} for name, value in sorted(tags.items())],
        **_asked(
            LogUri=f"{cluster.log_uri.rstrip('/')}/" if cluster.log_uri else None,
            Configurations=_configurations(cluster.configurations) or None,
            StepConcurrencyLevel=cluster.step_concurrency if cluster.step_concurrency > 1 else None,
            **_image(cluster),
        ),
    }


def _image(cluster: ClusterSpec) -> dict[str, Any]:
    return {
        "SecurityConfiguration": cluster.security_configuration,
        "LogEncryptionKmsKeyId": cluster.log_kms_key,
        "CustomAmiId": cluster.ami_id,
        "OSReleaseLabel": cluster.os_release_label,
        "RepoUpgradeOnBoot": cluster.repo_upgrade_on_boot,
        "EbsRootVolumeSize": cluster.root_volume.gib,
        "EbsRootVolumeIops": cluster.root_volume.iops,
        "EbsRootVolumeThroughput": cluster.root_volume.throughput,
    }


def _instances(spec: RunSpec, key: RunKey, attempt: int) -> dict[str, Any]:
    cluster, groups = spec.cluster, spec.groups
    security = cluster.security_groups
    used = [group for group in groups if group.count]
    # Of fleets EMR chooses the subnet itself, in every attempt.
    subnets = (
        _asked(Ec2SubnetIds=list(cluster.subnet_ids) or None)
        if spec.fleets
        else _asked(Ec2SubnetId=subnet_of(cluster.subnet_ids, key.run_id, attempt))
    )
    nodes: dict[str, Any] = (
        {"InstanceFleets": [_fleet(group, group.fleet or Fleet()) for group in used]}
        if spec.fleets
        else {"InstanceGroups": [_group(group) for group in used]}
    )
    return {
        **nodes,
        "KeepJobFlowAliveWhenNoSteps": False,
        "TerminationProtected": False,
        **subnets,
        **_asked(
            Ec2KeyName=cluster.key_pair,
            UnhealthyNodeReplacement=cluster.unhealthy_node_replacement,
            EmrManagedMasterSecurityGroup=security.primary,
            EmrManagedSlaveSecurityGroup=security.core_and_task,
            ServiceAccessSecurityGroup=security.service_access,
            AdditionalMasterSecurityGroups=list(security.additional_primary) or None,
            AdditionalSlaveSecurityGroups=list(security.additional_core_and_task) or None,
        ),
    }


def _group(group: NodeGroup) -> dict[str, Any]:
    bid = group.bid_usd if group.market is Market.SPOT else None
    return {
        "Name": str(group.role),
        "InstanceRole": ROLES[group.role],
        "InstanceType": group.inst_type,
        "InstanceCount": group.count,
        "Market": MARKETS[group.market],
        **_asked(
            BidPrice=_usd(bid),
            EbsConfiguration=_disks(group),
            CustomAmiId=group.ami_id,
            Configurations=_configurations(group.configurations) or None,
        ),
    }


def _fleet(group: NodeGroup, fleet: Fleet) -> dict[str, Any]:
    on_demand, spot = group.units
    reservations = fleet.reservations
    specifications = {
        "SpotSpecification": {
            "TimeoutDurationMinutes": fleet.spot_timeout_min,
            "TimeoutAction": _ACTIONS[fleet.timeout_action],
            **_asked(AllocationStrategy=fleet.spot_allocation),
        }
        if spot
        else None,
        "OnDemandSpecification": {
            "AllocationStrategy": fleet.on_demand_allocation,
            **_asked(
                CapacityReservationOptions=None
                if reservations is None
                else _asked(
                    UsageStrategy=reservations.usage,
                    CapacityReservationPreference=reservations.preference,
                    CapacityReservationResourceGroupArn=reservations.resource_group_arn,
                )
            ),
        }
        if fleet.on_demand_allocation
        else None,
    }
    launch = _asked(**specifications)
    return {
        "Name": str(group.role),
        "InstanceFleetType": ROLES[group.role],
        "TargetOnDemandCapacity": on_demand,
        "TargetSpotCapacity": spot,
        "InstanceTypeConfigs": [_type(group, fleet, inst_type, spot > 0) for inst_type in group.inst_types],
        **({"LaunchSpecifications": launch} if launch else {}),
    }


def _type(group: NodeGroup, fleet: Fleet, inst_type: str, spot: bool) -> dict[str, Any]:
    entry = fleet.of(inst_type)
    bid = entry.bid_usd
    if bid is None and entry.bid_percent is None:
        bid = group.bid_usd
    return {
        "InstanceType": inst_type,
        "WeightedCapacity": entry.weight,
        **_asked(
            BidPrice=_usd(bid) if spot else None,
            BidPriceAsPercentageOfOnDemandPrice=entry.bid_percent if spot else None,
            Priority=entry.priority,
            EbsConfiguration=_disks(group),
            CustomAmiId=group.ami_id,
            Configurations=_configurations(group.configurations) or None,
        ),
    }


def _disks(group: NodeGroup) -> dict[str, Any] | None:
    asked = _asked(
        EbsBlockDeviceConfigs=None if group.disks is None else [_device(disk) for disk in group.disks],
        EbsOptimized=group.ebs_optimized,
    )
    return asked or None


def _device(disk: Disk) -> dict[str, Any]:
    volume = disk.volume
    specification = {
        "VolumeType": volume.kind,
        "SizeInGB": int(volume.gib),
        **_asked(Iops=volume.iops, Throughput=volume.throughput),
    }
    return {"VolumeSpecification": specification, "VolumesPerInstance": disk.count}


def _configurations(configurations: Iterable[Configuration]) -> list[dict[str, Any]]:
    return [
        {
            "Classification": one.classification,
            "Properties": dict(one.properties),
            **_asked(Configurations=_configurations(one.configurations) or None),
        }
        for one in configurations
    ]


def _on_failure(spec: RunSpec, step: Step) -> str:
    """What EMR does when a step fails.

    Where clean-up follows it goes on: the runners leave the rest of the job out. With several steps at once the service
    takes no other action; the run is then ended from outside.
    """
    if spec.cluster.step_concurrency > 1 or spec.of_stage(JobStage.CLEANUP):
        return "CONTINUE"
    return step.on_failure or "TERMINATE_CLUSTER"


def _step(step: Step, key: RunKey, on_failure: str) -> dict[str, Any]:
    known = key.references(step)
    words = [key.fill(word) for word in step.argv] if step.ours else list(filled(step.argv, known))
    properties = [{"Key": name, "Value": text_of(resolve(text, known))} for name, text in step.properties]
    return {
        "Name": step.name,
        "ActionOnFailure": on_failure,
        "HadoopJarStep": {
            "Jar": step.jar,
            "Args": words,
            **_asked(MainClass=step.main_class, Properties=properties or None),
        },
    }


def _usd(amount: float | None) -> str | None:
    return None if amount is None else format(Decimal(repr(amount)), "f")


def _asked(**members: Any) -> dict[str, Any]:
    """The members that have a value: what nobody asked for is the service's own choice."""
    return {name: value for name, value in members.items() if value is not None}
