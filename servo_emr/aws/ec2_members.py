"""RunJobFlow member by member: the key of servo.yaml that says it, or why there is none.

The one table from which the documentation's is made, errors find their key, and `servo-emr import` its words. A test
walks the SDK's model of the request: no member may be missing here.
"""

from __future__ import annotations

from collections.abc import Mapping

from servo_emr.aws.ec2_request import run_job_flow
from servo_emr.aws.service_model import problems
from servo_emr.domain.spec import RunKey, RunSpec

__all__ = ["KEYS", "WITHOUT", "key_of", "request_problems", "why_not", "within"]

_GROUP, _FLEET = "Instances.InstanceGroups[]", "Instances.InstanceFleets[]"
_TYPE = f"{_FLEET}.InstanceTypeConfigs[]"
_DISK = "EbsConfiguration.EbsBlockDeviceConfigs[]"
_SPOT = f"{_FLEET}.LaunchSpecifications.SpotSpecification"
_BOUGHT = f"{_FLEET}.LaunchSpecifications.OnDemandSpecification"
_RESERVED = f"{_BOUGHT}.CapacityReservationOptions"


def _nodes(above: str) -> dict[str, str]:
    """What groups and the types of fleets have in common."""
    return {
        f"{above}.{_DISK}.VolumeSpecification.VolumeType": "cluster.ROLE.ebs[].type",
        f"{above}.{_DISK}.VolumeSpecification.SizeInGB": "cluster.ROLE.ebs[].size",
        f"{above}.{_DISK}.VolumeSpecification.Iops": "cluster.ROLE.ebs[].iops",
        f"{above}.{_DISK}.VolumeSpecification.Throughput": "cluster.ROLE.ebs[].throughput",
        f"{above}.{_DISK}.VolumesPerInstance": "cluster.ROLE.ebs[].count",
        f"{above}.EbsConfiguration.EbsOptimized": "cluster.ROLE.ebs_optimized",
        f"{above}.CustomAmiId": "cluster.ROLE.ami_id",
        f"{above}.Configurations[].Classification": "cluster.ROLE.configurations[].classification",
        f"{above}.Configurations[].Properties{{}}": "cluster.ROLE.configurations[].properties",
    }


KEYS: Mapping[str, str] = {
    "Name": "ours: the workspace's id and the run's",
    "LogUri": "cluster.log_uri",
    "LogEncryptionKmsKeyId": "cluster.log_kms_key",
    "ReleaseLabel": "cluster.release_label",
    f"{_GROUP}.Name": "ours: the role",
    f"{_GROUP}.InstanceRole": "components.ROLE",
    f"{_GROUP}.InstanceType": "components.ROLE.inst_type",
    f"{_GROUP}.InstanceCount": "components.ROLE.replicas",
    f"{_GROUP}.Market": "cluster.ROLE.market",
    f"{_GROUP}.BidPrice": "cluster.ROLE.bid_price",
    **_nodes(_GROUP),
    f"{_FLEET}.Name": "ours: the role",
    f"{_FLEET}.InstanceFleetType": "components.ROLE",
    f"{_FLEET}.TargetOnDemandCapacity": "components.ROLE.replicas, cluster.ROLE.market, cluster.ROLE.fleet.on_demand",
    f"{_FLEET}.TargetSpotCapacity": "components.ROLE.replicas, cluster.ROLE.market, cluster.ROLE.fleet.on_demand",
    f"{_TYPE}.InstanceType": "components.ROLE.inst_type, cluster.ROLE.fleet.alternatives[]",
    f"{_TYPE}.WeightedCapacity": "cluster.ROLE.fleet.types.TYPE.weight",
    f"{_TYPE}.BidPrice": "cluster.ROLE.fleet.types.TYPE.bid_price, cluster.ROLE.bid_price",
    f"{_TYPE}.BidPriceAsPercentageOfOnDemandPrice": "cluster.ROLE.fleet.types.TYPE.bid_percent",
    f"{_TYPE}.Priority": "cluster.ROLE.fleet.types.TYPE.priority",
    **_nodes(_TYPE),
    f"{_SPOT}.TimeoutDurationMinutes": "cluster.ROLE.fleet.spot_timeout",
    f"{_SPOT}.TimeoutAction": "cluster.ROLE.fleet.timeout_action",
    f"{_SPOT}.AllocationStrategy": "cluster.ROLE.fleet.spot_allocation",
    f"{_BOUGHT}.AllocationStrategy": "cluster.ROLE.fleet.on_demand_allocation",
    f"{_RESERVED}.UsageStrategy": "cluster.ROLE.fleet.reservations.usage",
    f"{_RESERVED}.CapacityReservationPreference": "cluster.ROLE.fleet.reservations.preference",
    f"{_RESERVED}.CapacityReservationResourceGroupArn": "cluster.ROLE.fleet.reservations.resource_group_arn",
    "Instances.Ec2KeyName": "cluster.key_pair",
    "Instances.KeepJobFlowAliveWhenNoSteps": "ours: always false",
    "Instances.TerminationProtected": "ours: always false",
    "Instances.UnhealthyNodeReplacement": "cluster.unhealthy_node_replacement",
    "Instances.Ec2SubnetId": "cluster.subnet_ids",
    "Instances.Ec2SubnetIds[]": "cluster.subnet_ids, with fleets",
    "Instances.EmrManagedMasterSecurityGroup": "cluster.security_groups.primary",
    "Instances.EmrManagedSlaveSecurityGroup": "cluster.security_groups.core_and_task",
    "Instances.ServiceAccessSecurityGroup": "cluster.security_groups.service_access",
    "Instances.AdditionalMasterSecurityGroups[]": "cluster.security_groups.additional_primary",
    "Instances.AdditionalSlaveSecurityGroups[]": "cluster.security_groups.additional_core_and_task",
    "Steps[].Name": "job.STAGE[].name",
    "Steps[].ActionOnFailure": "job.STAGE[].action_on_failure, with a jar; else ours: see docs/stages.md",
    "Steps[].HadoopJarStep.Jar": "job.STAGE[].jar, with a jar; else ours: command-runner.jar",
    "Steps[].HadoopJarStep.Args[]": "job.STAGE[].args, with a jar; else ours, from job and cluster.applications",
    "Steps[].HadoopJarStep.MainClass": "job.STAGE[].main_class, with a jar",
    "Steps[].HadoopJarStep.Properties[].Key": "job.STAGE[].properties, with a jar",
    "Steps[].HadoopJarStep.Properties[].Value": "job.STAGE[].properties, with a jar",
    "BootstrapActions[].Name": "cluster.bootstrap_actions[].name",
    "BootstrapActions[].ScriptBootstrapAction.Path": "cluster.bootstrap_actions[].path",
    "BootstrapActions[].ScriptBootstrapAction.Args[]": "cluster.bootstrap_actions[].args",
    "Applications[].Name": "cluster.applications",
    "Configurations[].Classification": "cluster.configurations[].classification",
    "Configurations[].Properties{}": "cluster.configurations[].properties",
    "JobFlowRole": "cluster.instance_profile",
    "ServiceRole": "cluster.service_role",
    "Tags[].Key": "cluster.tags",
    "Tags[].Value": "cluster.tags",
    "SecurityConfiguration": "cluster.security_configuration",
    "CustomAmiId": "cluster.ami_id",
    "EbsRootVolumeSize": "cluster.root_volume.size",
    "EbsRootVolumeIops": "cluster.root_volume.iops",
    "EbsRootVolumeThroughput": "cluster.root_volume.throughput",
    "RepoUpgradeOnBoot": "cluster.repo_upgrade_on_boot",
    "OSReleaseLabel": "cluster.os_release_label",
    "StepConcurrencyLevel": "cluster.step_concurrency",
}
"""Members that a request may hold, and what of servo.yaml (below `emr.`) says them; ROLE is primary, core or task,
STAGE prepare, run or cleanup."""

WITHOUT: Mapping[str, str] = {
    "AdditionalInfo": "a preview feature's own JSON, for which AWS publishes no form",
    "AmiVersion": "of releases before emr-4, which have no release label",
    "Instances.MasterInstanceType": "the short form of instance groups, which say it whole",
    "Instances.SlaveInstanceType": "the short form of instance groups, which say it whole",
    "Instances.InstanceCount": "the short form of instance groups, which say it whole",
    "Instances.HadoopVersion": "of releases before emr-4; the release decides it",
    "Instances.Placement": "a subnet says the zone, and several are tried in turn",
    f"{_GROUP}.AutoScalingPolicy": "it changes the number of nodes under the measurement",
    f"{_FLEET}.ResizeSpecifications": "a cluster is never resized: its size is what is measured",
    f"{_FLEET}.Context": "reserved by AWS",
    f"{_SPOT}.BlockDurationMinutes": "AWS ended spot blocks in 2022",
    "Steps[].StepMonitoringConfiguration": "logs go to cluster.log_uri, where failures are explained from",
    "StepExecutionRoleArn": "steps work as the instance profile's role, for which `servo-emr policy` is made",
    "SupportedProducts": "of releases before emr-4",
    "NewSupportedProducts": "of releases before emr-4",
    "Applications[].Version": "the release decides the versions of its applications",
    "Applications[].Args": "for applications of releases before emr-4",
    "Applications[].AdditionalInfo": "for third-party applications under test, by AWS's words",
    "VisibleToAllUsers": "without effect since 2021",
    "AutoScalingRole": "nothing scales by itself: see AutoScalingPolicy",
    "ScaleDownBehavior": "a cluster is never scaled down",
    "KerberosAttributes": "it holds passwords, which would stand in servo.yaml and in the run's record",
    "ManagedScalingPolicy": "it changes the number of nodes under the measurement",
    "PlacementGroupConfigs": "for three primary nodes, which a cluster of one job has no use for",
    "AutoTerminationPolicy": "every cluster ends with its last step; an idle limit would end a notebook without YARN",
    "ExtendedSupport": "reserved by AWS",
    "MonitoringConfiguration": "logs go to cluster.log_uri, where failures are explained from",
    "SessionEnabled": "for interactive sessions, which no unattended run has",
}
"""Members, and with each all that is in it, that no request of ours holds; and why."""

_NO_RUN = RunKey("s3://workspace/prefix", "workspace-id", "00000000t000000-00000000")


def why_not(path: str) -> str | None:
    """Why there is no key for a member, given by its path; None where there is one, or no such member."""
    return next((why for above, why in WITHOUT.items() if within(path, above)), None)


def within(path: str, above: str) -> bool:
    """Whether a member is the one at `above`, or in it."""
    return path == above or path.startswith((f"{above}.", f"{above}[", f"{above}{{"))


def key_of(path: str) -> str:
    """The key of servo.yaml that says a member, or the member's own path where none does alone."""
    key = KEYS.get(path)
    return path if key is None or key.startswith("ours") else f"emr.{key}"


def request_problems(spec: RunSpec) -> list[str]:
    """A sentence for everything in the spec's request that the service's model does not allow."""
    found = problems("emr", "RunJobFlow", run_job_flow(spec, _NO_RUN))
    return [f"{key_of(path)}: {what}" for path, what in found]
