"""Every answer of the emulated EMR, as it goes over the wire, against the service model that clients have.

One emulator lives through whatever its clusters can go through, and every answer on the way is kept. Both directions:
nothing is answered that the model does not have, and what the model has and is never answered is listed here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.model import ServiceModel

import servo_emr.emulator
from servo_emr.emulator.emr.operations import OPERATIONS
from tests.support.answers import Kept, Look, literals_in, shapes_of
from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, fleet, fleet_job_flow, group, job_flow, volumes

SPARK = {"Classification": "spark-defaults", "Properties": {"spark.executor.cores": "2"}}
NESTED = {"Classification": "hadoop-env", "Properties": {}, "Configurations": [{**SPARK, "Classification": "export"}]}
KEPT = {"KeepJobFlowAliveWhenNoSteps": True}
TIMEOUT = {"TimeoutDurationMinutes": 5, "TimeoutAction": "TERMINATE_CLUSTER"}

FAULTS = [
    {"kind": "bootstrap-failure", "cluster": "bootstrap"},
    {"kind": "quota", "cluster": "quota"},
    {"kind": "lose-instance", "cluster": "primary", "role": "MASTER", "after": 60},
    {"kind": "lose-instance", "cluster": "loser", "role": "CORE", "after": 60, "interrupts": True},
    *(
        {"kind": "lose-instance", "cluster": name, "role": role, "code": code, "replaced": False, "after": 10}
        for name, role, code in (
            ("rich", "TASK", "BOOTSTRAP_FAILURE"),
            ("weighted", "CORE", "BOOTSTRAP_FAILURE"),
            ("done", "CORE", "INTERNAL_ERROR"),
            ("failing", "CORE", "VALIDATION_ERROR"),
        )
    ),
    {"kind": "no-capacity", "cluster": "timeout", "role": "CORE", "market": "SPOT"},
    {"kind": "end-step", "cluster": "rich", "state": "FAILED", "after": 50, "occurrence": 2},
    {"kind": "end-step", "cluster": "failing", "state": "FAILED", "after": 10, "message": "exit status 3"},
]

# Literals that the model has and this emulator never answers.
UNHEARD = {
    "InstanceGroupState": {"ARRESTED", "SHUTTING_DOWN", "ENDED"},  # of the API before 2013
    "InstanceFleetState": {"RECONFIGURING"},
    "InstanceGroupStateChangeReasonCode": {"INTERNAL_ERROR", "VALIDATION_ERROR"},
    "InstanceFleetStateChangeReasonCode": {"INTERNAL_ERROR", "VALIDATION_ERROR"},
    "InstanceState": {"AWAITING_FULFILLMENT"},  # an instance has a row once EC2 has promised it
    "ActionOnFailure": {"TERMINATE_JOB_FLOW"},  # given back to whoever uses it
    # Only given back, as they were asked for.
    "SpotProvisioningAllocationStrategy": {
        "price-capacity-optimized", "lowest-price", "diversified", "capacity-optimized-prioritized",
    },
    "OnDemandProvisioningAllocationStrategy": {"prioritized"},
    "OnDemandCapacityReservationPreference": {"none"},
    "ScaleDownBehavior": {"TERMINATE_AT_INSTANCE_HOUR"},
    "RepoUpgradeOnBoot": {"SECURITY"},
    "SpotProvisioningTimeoutAction": {"SWITCH_TO_ON_DEMAND"},
}  # fmt: skip

# Members that the model has and this emulator never answers, with all that is in them.
UNTOLD = {
    "DescribeCluster.Cluster.RequestedAmiVersion",
    "DescribeCluster.Cluster.RunningAmiVersion",
    "DescribeCluster.Cluster.Applications[].Version",
    "DescribeCluster.Cluster.Applications[].AdditionalInfo",
    "DescribeCluster.Cluster.KerberosAttributes",
    "DescribeCluster.Cluster.OutpostArn",
    "DescribeCluster.Cluster.PlacementGroups[]",
    "DescribeCluster.Cluster.ExtendedSupport",
    "DescribeCluster.Cluster.MonitoringConfiguration",
    "DescribeCluster.Cluster.SessionEnabled",
    "DescribeReleaseLabel.Applications",
    "DescribeReleaseLabel.AvailableOSReleases",
    "DescribeReleaseLabel.NextToken",
    "ListBootstrapActions.Marker",  # 16 actions at most
    "ListClusters.Clusters[].OutpostArn",
    "ListClusters.Marker",  # another test has enough clusters
    "ListInstanceFleets.InstanceFleets[].Context",
    "ListInstanceFleets.InstanceFleets[].LaunchSpecifications.SpotSpecification.BlockDurationMinutes",
    "ListInstanceFleets.Marker",  # three fleets at most
    "ListInstanceGroups.InstanceGroups[].AutoScalingPolicy",
    "ListInstanceGroups.Marker",  # fifty groups at most
    "ListInstances.Instances[].PublicIpAddress",
    "ModifyCluster.ExtendedSupport",
} | {
    f"{steps}.{member}"
    for steps in ("ListSteps.Steps[]", "DescribeStep.Step")
    for member in (
        "Config.MainClass", "Config.Properties{}", "Status.StateChangeReason.Code",
        "Status.StateChangeReason.Message", "ExecutionRoleArn", "LogUri",
        "EncryptionKeyArn", "AdditionalInfo",
    )
    if (steps, member) != ("ListSteps.Steps[]", "ExecutionRoleArn")
}  # fmt: skip


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    """The answers to all that is done to clusters that go through whatever they can."""
    kept = Kept()
    with EmulatorProcess("--no-execute", "--model", "a=200,b=0,c=0,d=0", "--noise", "0", "--seed", "kept") as process:
        emr = boto3.client(
            "emr",
            endpoint_url=process.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )
        emr.meta.events.register("before-parse.emr", kept.keep)
        httpx.post(f"{process.url}/_emulator/faults", json=FAULTS, trust_env=False).raise_for_status()
        live(process, emr)
        emr.close()
    yield kept


def live(emulator: EmulatorProcess, emr: Any) -> None:
    rich, weighted, *others = launch(emulator, emr)
    left = [rich, weighted, *others]
    for seconds in (1, 60, 270, 60, 60, 60, 70):
        left = look(emr, left)
        emulator.advance(seconds)
    change(emulator, emr, rich, weighted)
    for seconds in (1, 30, 60, 120, 240, 240):
        left = look(emr, left)
        emulator.advance(seconds)
    emr.terminate_job_flows(JobFlowIds=[rich, weighted])
    left = look(emr, left)
    emulator.advance(200)
    look(emr, left)


def launch(emulator: EmulatorProcess, emr: Any) -> list[str]:
    emulator.client("s3").create_bucket(Bucket="logs")
    # Bids are above the 60 % of the price on demand that an invented spot price has at most: nothing is reclaimed here,
    # whatever the hour.
    core = group(
        "CORE", 2, Name="c", Market="SPOT", BidPrice="0.15", CustomAmiId="ami-0", Configurations=[SPARK, NESTED],
        EbsConfiguration={"EbsOptimized": True, **volumes("gp3", 32, 2, Iops=3000, Throughput=125)},
    )  # fmt: skip
    rich = job_flow(
        *[command("true", action="CONTINUE")] * 3, command("true", action="CANCEL_AND_WAIT"),
        instances={
            **KEPT, "InstanceGroups": [group("MASTER", 1), core, group("TASK", 50, "c5.xlarge")],
            "Ec2KeyName": "me", "EmrManagedMasterSecurityGroup": "sg-1", "EmrManagedSlaveSecurityGroup": "sg-2",
            "ServiceAccessSecurityGroup": "sg-3", "AdditionalMasterSecurityGroups": ["sg-4"],
            "AdditionalSlaveSecurityGroups": ["sg-5"], "UnhealthyNodeReplacement": True,
        },
        Name="rich", LogUri="s3://logs/emr", Configurations=[SPARK, NESTED], Tags=[{"Key": "a", "Value": "b"}],
        Applications=[{"Name": "Spark", "Args": ["x"]}], AutoTerminationPolicy={"IdleTimeout": 7200},
        CustomAmiId="ami-0", RepoUpgradeOnBoot="NONE", OSReleaseLabel="2.0", EbsRootVolumeSize=20,
        EbsRootVolumeIops=3000, EbsRootVolumeThroughput=125, ScaleDownBehavior="TERMINATE_AT_TASK_COMPLETION",
        AutoScalingRole="EMR_AutoScaling_DefaultRole", SecurityConfiguration="tls", LogEncryptionKmsKeyId="k",
        BootstrapActions=[{"Name": "b", "ScriptBootstrapAction": {"Path": "s3://b/x.sh", "Args": ["y"]}}],
    )  # fmt: skip
    reservation = {"UsageStrategy": "use-capacity-reservations-first", "CapacityReservationPreference": "open",
                   "CapacityReservationResourceGroupArn": "arn:aws:resource-groups:::group/g"}  # fmt: skip
    on_demand = {"AllocationStrategy": "lowest-price", "CapacityReservationOptions": reservation}
    spot = {**TIMEOUT, "AllocationStrategy": "capacity-optimized"}
    storage = {"EbsOptimized": True, **volumes("gp3", 32, Iops=3000, Throughput=125)}
    bid = {
        "InstanceType": "m5.xlarge", "WeightedCapacity": 2, "BidPrice": "0.15", "Priority": 1.0,
        "CustomAmiId": "ami-0", "Configurations": [SPARK, NESTED], "EbsConfiguration": storage,
    }  # fmt: skip
    weighted = fleet(
        "CORE", bid, {"InstanceType": "c5.xlarge", "BidPriceAsPercentageOfOnDemandPrice": 75.0}, Name="f",
        TargetSpotCapacity=4, TargetOnDemandCapacity=1,
        LaunchSpecifications={"SpotSpecification": spot, "OnDemandSpecification": on_demand},
        ResizeSpecifications={
            "SpotResizeSpecification": {"TimeoutDurationMinutes": 5, "AllocationStrategy": "capacity-optimized"},
            "OnDemandResizeSpecification": {"TimeoutDurationMinutes": 5, **on_demand},
        },
    )  # fmt: skip
    waiting = fleet("CORE", TargetSpotCapacity=1, LaunchSpecifications={"SpotSpecification": TIMEOUT})
    flows = [
        rich,
        fleet_job_flow(fleets=[weighted], instances=KEPT, Name="weighted"),
        job_flow(command("true"), Name="done"),
        job_flow(command("true"), Name="failing", LogUri="s3://logs/emr"),
        job_flow(Name="bootstrap"),
        job_flow(Name="quota"),
        job_flow(Name="primary", instances=KEPT),
        job_flow(command("true"), Name="loser", instances=KEPT),
        job_flow(Name="nowhere", instances={"Placement": {"AvailabilityZone": "us-east-1e"}}),
        fleet_job_flow(fleets=[waiting], Name="timeout"),
        fleet_job_flow(Name="places", instances={"Placement": {"AvailabilityZones": ["us-east-1a", "us-east-1b"]}}),
    ]
    subnet = emulator.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    flows[2]["Instances"]["Ec2SubnetId"] = subnet
    return [str(emr.run_job_flow(**flow)["JobFlowId"]) for flow in flows]


def look(emr: Any, clusters: list[str]) -> list[str]:
    """Every answer about every cluster; those that have not ended."""
    left = []
    emr.list_clusters()
    for cluster_id in clusters:
        cluster = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
        fleets = cluster["InstanceCollectionType"] == "INSTANCE_FLEET"
        (emr.list_instance_fleets if fleets else emr.list_instance_groups)(ClusterId=cluster_id)
        emr.get_paginator("list_instances").paginate(ClusterId=cluster_id).build_full_result()
        steps = emr.get_paginator("list_steps").paginate(ClusterId=cluster_id).build_full_result()["Steps"]
        for step in steps[-4:]:
            emr.describe_step(ClusterId=cluster_id, StepId=step["Id"])
        if not cluster["Status"]["State"].startswith("TERMINATED"):
            left.append(cluster_id)
    return left


def change(emulator: EmulatorProcess, emr: Any, rich: str, weighted: str) -> None:
    """Everything that can be done to a cluster that is ready."""
    emr.add_tags(ResourceId=rich, Tags=[{"Key": "c"}])
    emr.remove_tags(ResourceId=rich, TagKeys=["a"])
    emr.get_auto_termination_policy(ClusterId=rich)
    emr.put_auto_termination_policy(ClusterId=rich, AutoTerminationPolicy={"IdleTimeout": 3600})
    emr.remove_auto_termination_policy(ClusterId=rich)
    emr.set_termination_protection(JobFlowIds=[rich], TerminationProtected=False)
    emr.set_visible_to_all_users(JobFlowIds=[rich], VisibleToAllUsers=True)
    emr.set_unhealthy_node_replacement(JobFlowIds=[rich], UnhealthyNodeReplacement=False)
    emr.set_keep_job_flow_alive_when_no_steps(JobFlowIds=[rich], KeepJobFlowAliveWhenNoSteps=True)
    emr.modify_cluster(ClusterId=rich, StepConcurrencyLevel=1)
    emr.list_bootstrap_actions(ClusterId=rich)
    emr.list_release_labels(MaxResults=5)
    emr.describe_release_label(ReleaseLabel="emr-7.1.0")
    emr.list_supported_instance_types(ReleaseLabel="emr-7.1.0")
    steps = emr.add_job_flow_steps(JobFlowId=rich, Steps=[command("true")] * 60)["StepIds"]
    while emr.describe_step(ClusterId=rich, StepId=steps[0])["Step"]["Status"]["State"] != "RUNNING":
        emulator.advance(25)
    emr.cancel_steps(ClusterId=rich, StepIds=[*steps[:1], *steps[3:], "s-NOBODY"])
    by_role = {
        entry["InstanceGroupType"]: entry for entry in emr.list_instance_groups(ClusterId=rich)["InstanceGroups"]
    }
    rows = emr.list_instances(ClusterId=rich, InstanceGroupTypes=["TASK"], InstanceStates=["RUNNING"])["Instances"]
    task = [row["Ec2InstanceId"] for row in rows if row["InstanceGroupId"] == by_role["TASK"]["Id"]]
    shrink = {"InstancesToTerminate": task[:1], "InstancesToProtect": task[1:2], "InstanceTerminationTimeout": 60}
    policy = {"DecommissionTimeout": 60, "InstanceResizePolicy": shrink}
    changes = [
        {"InstanceGroupId": by_role["TASK"]["Id"], "InstanceCount": 40, "ShrinkPolicy": policy},
        {"InstanceGroupId": by_role["CORE"]["Id"], "Configurations": [SPARK]},
    ]
    emr.modify_instance_groups(ClusterId=rich, InstanceGroups=changes)
    emr.add_instance_groups(JobFlowId=rich, InstanceGroups=[group("TASK", 1)])
    (core,) = (
        entry for entry in emr.list_instance_fleets(ClusterId=weighted)["InstanceFleets"] if entry.get("Name") == "f"
    )
    larger = {"InstanceFleetId": core["Id"], "TargetOnDemandCapacity": 5}
    emr.modify_instance_fleet(ClusterId=weighted, InstanceFleet=larger)
    emr.add_instance_fleet(ClusterId=weighted, InstanceFleet=fleet("TASK", TargetSpotCapacity=1))


@pytest.fixture(scope="module")
def model() -> ServiceModel:
    return boto3.session.Session()._session.get_service_model("emr")


@pytest.fixture(scope="module")
def found(kept: Kept, model: ServiceModel) -> Look:
    found = Look()
    for operation, documents in kept.documents.items():
        shape = model.operation_model(operation).output_shape
        for document in documents:
            if shape is None:
                assert document == {}, operation
            else:
                found.at(document, shape, operation)
    return found


def test_every_operation_has_answered(kept: Kept) -> None:
    assert kept.documents.keys() == OPERATIONS.keys()


def test_no_answer_has_a_member_a_type_or_a_literal_that_the_model_has_not(found: Look) -> None:
    assert sorted(found.problems) == []


def test_every_literal_of_the_model_is_answered_or_known_never_to_be(found: Look, model: ServiceModel) -> None:
    possible: dict[str, set[str]] = defaultdict(set)
    for operation in OPERATIONS:
        for path, shape in shapes_of(model.operation_model(operation).output_shape, operation).items():
            if not untold_by(path):
                possible[shape.name] |= set(getattr(shape, "enum", None) or ())
    unheard = {name: literals - found.heard[name] for name, literals in possible.items()}
    assert {name: literals for name, literals in unheard.items() if literals} == UNHEARD


def test_every_member_of_the_model_is_answered_or_known_never_to_be(found: Look, model: ServiceModel) -> None:
    possible: set[str] = set()
    for operation in OPERATIONS:
        possible |= shapes_of(model.operation_model(operation).output_shape, operation).keys()
    silent = {path for path in possible - found.told if not untold_by(path)}
    assert sorted(silent) == []
    assert sorted(prefix for prefix in UNTOLD if prefix in found.told) == [], "these are told after all"
    younger = {"DescribeStep.Step.AdditionalInfo", "ListSteps.Steps[].AdditionalInfo"}  # than the oldest SDK allowed
    assert sorted(UNTOLD - possible - younger) == [], "these are not in the model"


def test_every_state_and_reason_in_the_code_is_one_of_the_model(model: ServiceModel) -> None:
    paths = Path(servo_emr.emulator.__file__).parent.rglob("*.py")
    written = {word for path in paths for word in literals_in(path)}
    known = {
        literal
        for name in model.shape_names
        if name.endswith(("State", "StateChangeReasonCode"))
        for literal in getattr(model.shape_for(name), "enum", None) or ()
    }
    assert len(written) > 15
    assert sorted(written - known) == []


def untold_by(path: str) -> bool:
    return any(path == prefix or path.startswith((f"{prefix}.", f"{prefix}[", f"{prefix}{{")) for prefix in UNTOLD)
