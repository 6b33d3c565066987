"""What the emulated EMR refuses, and how: AWS's error codes, and by name whatever it does not model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, group, job_flow, volumes

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/elasticmapreduce/aws4_request, SignedHeaders=host, Signature=0"
)
SCRIPT_RUNNER = "s3://eu-west-1.elasticmapreduce/libs/script-runner/script-runner.jar"


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess() as process:
        yield process


@pytest.fixture(scope="module")
def emr(emulator: EmulatorProcess) -> Any:
    """A client that sends what its own service model would refuse."""
    return emulator.client("emr", check=False)


def refused(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    """(code, message) of the error that a call answers, always with HTTP 400."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def with_(path: str, value: Any) -> dict[str, Any]:
    """A good RunJobFlow with one member, given as A.B.0.C, set to `value`."""
    request: Any = copy.deepcopy(job_flow(command("true")))
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    target = request
    for part in way:
        target = target[part]
    target[last] = value
    return dict(request)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("ReleaseLabel", "emr-9.9.9", "release label is invalid: emr-9.9.9"),
        ("ReleaseLabel", None, "release label is required"),
        ("ServiceRole", "Nobody", "Invalid ServiceRole: Nobody"),
        ("ServiceRole", None, "ServiceRole is required"),
        ("JobFlowRole", "Nobody", "Invalid InstanceProfile: Nobody"),
        ("JobFlowRole", None, "InstanceProfile"),
        ("Instances.InstanceGroups.1.InstanceType", "m99.xlarge", "'m99.xlarge' is not supported"),
        ("Instances.InstanceGroups.1.InstanceType", "m7a.xlarge.x", "is not supported"),
        ("Instances.InstanceGroups.1.InstanceCount", 0, "at least one instance"),
        ("Instances.InstanceGroups.0.InstanceCount", 2, "must specify a single instance"),
        ("Instances.InstanceGroups.0.InstanceCount", 3, "does not model a MASTER instance group of three"),
        ("Instances.InstanceGroups.1.BidPrice", "0.2", "bid price for on demand instance group"),
        ("Instances.InstanceGroups.1", group("CORE", 1, Market="SPOT", BidPrice="cheap"), "bid price is invalid"),
        ("Instances.InstanceGroups.1", group("CORE", 1, Market="SPOT", BidPrice="1e3"), "bid price is invalid"),
        ("Instances.InstanceGroups.1", group("CORE", 1, Market="SPOT", BidPrice="0.0"), "negative or zero"),
        ("Instances.InstanceGroups.1", group("CORE", 1, Market="SPOT", BidPrice="0.1234"), "No more than 3 digits"),
        ("Instances.InstanceGroups.1.Market", "AUCTION", "InstanceGroups.2.member.Market"),
        ("Instances.InstanceGroups.1.EbsConfiguration", volumes("gp9", 10), "'gp9' is not one of gp3, gp2"),
        ("Instances.InstanceGroups.1.EbsConfiguration", volumes("gp2", 1025), "SizeInGB of an EBS volume is 1 to 1024"),
        ("Instances.InstanceGroups.1.EbsConfiguration", volumes("io1", 10), "IOPS setting is required"),
        ("Instances.InstanceGroups.1.EbsConfiguration", volumes("st1", 10, Iops=100), "IOPS setting is not supported"),
        ("Instances.InstanceGroups.1.EbsConfiguration", volumes("gp2", 10, Throughput=200), "for gp3 volumes only"),
        ("Instances.InstanceGroups.1.EbsConfiguration", volumes("gp2", 10, count=26), "at most 25 EBS volumes"),
        ("Instances.InstanceGroups.1.EbsConfiguration", volumes("gp2", 10, count=0), "VolumesPerInstance must be"),
        ("Instances.InstanceGroups.1.Configurations", [{"Properties": {}}], "needs a Classification"),
        ("Instances.InstanceGroups.1.AutoScalingPolicy", {"Constraints": {"MinCapacity": 1, "MaxCapacity": 2},
                                                          "Rules": []}, "AutoScalingPolicy"),
        ("Instances.InstanceGroups", [], "one and only one of the following"),
        ("Instances.InstanceGroups", [group("CORE", 1)], "exactly one master"),
        ("Instances.InstanceGroups", [group("MASTER", 1), group("TASK", 1)], "must also define core"),
        ("Instances.InstanceGroups", [group("MASTER", 1), group("CORE", 1), group("CORE", 1)], "at most one core"),
        ("Instances.InstanceGroups", [group("MASTER", 1), group("CORE", 1), *[group("TASK", 1)] * 49], "at most 48"),
        ("Instances.InstanceFleets", [{"InstanceFleetType": "MASTER"}], "one and only one of the following"),
        ("Instances.InstanceCount", 3, "one and only one of the following"),
        ("Instances", {"InstanceCount": 0, "MasterInstanceType": "m5.xlarge"}, "InstanceCount must be positive"),
        ("Instances", {"InstanceCount": 2}, "MasterInstanceType is required"),
        ("Instances", {"InstanceCount": 2, "MasterInstanceType": "m5.xlarge"}, "SlaveInstanceType is required"),
        ("Instances.Ec2SubnetId", "subnet-0", "'subnet-0' does not exist"),
        ("Instances.Ec2SubnetIds", ["subnet-0", "subnet-1"], "Only one subnet may be specified"),
        ("Instances.Placement", {"AvailabilityZone": "us-east-1z"}, "us-east-1z"),
        ("Instances.Placement", {"AvailabilityZones": ["us-east-1a"]}, "is for instance fleets"),
        ("Instances.HadoopVersion", "2.4.0", "HadoopVersion"),
        ("Steps", [command("true")] * 257, "Maximum number of steps"),
        ("Steps.0.HadoopJarStep.Args", ["x" * 10_240], "exceed 10240 characters"),
        ("Steps.0.HadoopJarStep.Args", [], "needs Args"),
        ("Steps.0.HadoopJarStep.Args", ["a\0b"], "NUL"),
        ("Steps.0.HadoopJarStep.Jar", "s3://b/job.jar", "the jar 's3://b/job.jar'"),
        ("Steps.0.HadoopJarStep.Jar", SCRIPT_RUNNER, "the first being a script in S3"),
        ("Steps.0.HadoopJarStep.MainClass", "org.acme.Main", "MainClass"),
        ("Steps.0.HadoopJarStep.Properties", [{"Key": "a", "Value": "b"}], "Properties"),
        ("Steps.0.ActionOnFailure", "SHRUG", "Steps.1.member.ActionOnFailure"),
        ("AutoTerminationPolicy", {"IdleTimeout": 59}, "60 to 604800 seconds, not 59"),
        ("StepConcurrencyLevel", 0, "StepConcurrencyLevel is 1 to 256, not 0"),
        ("StepConcurrencyLevel", 257, "StepConcurrencyLevel is 1 to 256, not 257"),
        ("ManagedScalingPolicy", {"ComputeLimits": {"UnitType": "VCPU", "MinimumCapacityUnits": 1,
                                                    "MaximumCapacityUnits": 2}}, "ManagedScalingPolicy"),
        ("Configurations", [{"Properties": {"a": "b"}}], "needs a Classification"),
        ("Configurations", [{"Classification": "hadoop-env", "Configurations": [{}]}], "hadoop-env: a configuration"),
        ("KerberosAttributes", {"Realm": "EC2.INTERNAL", "KdcAdminPassword": "x"}, "KerberosAttributes"),
        ("PlacementGroupConfigs", [{"InstanceRole": "MASTER"}], "PlacementGroupConfigs"),
        ("StepExecutionRoleArn", "arn:aws:iam::1:role/me", "StepExecutionRoleArn"),
        ("SessionEnabled", True, "SessionEnabled"),
        ("BootstrapActions", [{"Name": "b", "ScriptBootstrapAction": {"Path": "/x.sh"}}], "'/x.sh'"),
        ("BootstrapActions", [{"Name": "b", "ScriptBootstrapAction": {"Path": "s3://b/x", "Args": ["\0"]}}], "NUL"),
        ("LogUri", "/var/log", "'/var/log' is not s3://"),
        ("Tags", [{"Key": "k" * 129, "Value": ""}], "1 to 128 characters"),
        ("Name", "n" * 257, "length at most 256"),
        ("Name", 7, "valid types"),
    ],
)  # fmt: skip
def test_a_launch_is_refused_at_once_by_the_member_that_is_wrong(emr: Any, path: str, value: Any, words: str) -> None:
    code, message = refused(emr.run_job_flow, **with_(path, value))
    assert code == "ValidationException"
    assert words in message
    assert emr.list_clusters()["Clusters"] == [], "nothing was launched"


@pytest.mark.parametrize(
    ("release", "more", "words"),
    [
        ("emr-5.29.0", {"AutoTerminationPolicy": {"IdleTimeout": 600}}, "not available for the release emr-5.29.0"),
        ("emr-6.0.0", {"AutoTerminationPolicy": {"IdleTimeout": 600}}, "not available for the release emr-6.0.0"),
        ("emr-4.6.0", {"Instances": {"InstanceFleets": [{"InstanceFleetType": "MASTER"}]}}, "the release emr-4.6.0"),
    ],
)  # fmt: skip
def test_what_came_with_a_later_release_is_refused_for_an_earlier_one(
    emr: Any, release: str, more: dict[str, Any], words: str
) -> None:
    types = {"InstanceGroups": [group("MASTER", 1, "m4.large"), group("CORE", 1, "m4.large")]}
    request = {**job_flow(instances=types), "ReleaseLabel": release, **more}
    assert words in refused(emr.run_job_flow, **request)[1]


def test_a_type_that_the_zone_does_not_offer_ends_the_cluster_minutes_later(
    emulator: EmulatorProcess, emr: Any
) -> None:
    offered = {"LocationType": "availability-zone", "Filters": [{"Name": "location", "Values": ["us-east-1e"]}]}
    pages = emulator.client("ec2").get_paginator("describe_instance_type_offerings").paginate(**offered)
    assert "m5.xlarge" not in {entry["InstanceType"] for page in pages for entry in page["InstanceTypeOfferings"]}
    request = job_flow(command("true"), instances={"Placement": {"AvailabilityZone": "us-east-1e"}})
    cluster_id = emr.run_job_flow(**request)["JobFlowId"]
    emulator.advance(10)
    assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "STARTING"
    emulator.advance(600)
    status = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]
    assert status["State"] == "TERMINATED_WITH_ERRORS"
    message = "The requested instance type m5.xlarge is not supported in the requested Availability Zone."
    assert status["StateChangeReason"] == {"Code": "VALIDATION_ERROR", "Message": message}
    (detail,) = status["ErrorDetails"]
    assert detail["ErrorCode"] == "VALIDATION_ERROR_INSTANCE_TYPE_NOT_SUPPORTED"
    data = {key: value for entry in detail["ErrorData"] for key, value in entry.items()}
    assert (data["instance-types"], data["availability-zones"]) == ("m5.xlarge", "us-east-1e")
    assert emr.list_instances(ClusterId=cluster_id)["Instances"] == [], "nothing was ever there, nothing is billed"
    assert emr.list_steps(ClusterId=cluster_id)["Steps"][0]["Status"]["State"] == "CANCELLED"


def test_without_a_place_one_is_taken_that_offers_the_types(emulator: EmulatorProcess, emr: Any) -> None:
    cluster_id = emr.run_job_flow(**job_flow())["JobFlowId"]
    attributes = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Ec2InstanceAttributes"]
    assert attributes["Ec2AvailabilityZone"] != "us-east-1e"
    assert (attributes["RequestedEc2SubnetIds"], attributes["RequestedEc2AvailabilityZones"]) == ([], [])
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
    emulator.advance(100)


def test_a_subnet_made_in_ec2_and_roles_made_in_iam_are_known(emulator: EmulatorProcess, emr: Any) -> None:
    ec2, iam = emulator.client("ec2"), emulator.client("iam")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    zone = "us-east-1c"
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.1.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
    role = iam.create_role(RoleName="Emr", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    iam.create_instance_profile(InstanceProfileName="Nodes")
    request = job_flow(ServiceRole=role, JobFlowRole="Nodes", instances={"Ec2SubnetIds": [subnet]})
    cluster_id = emr.run_job_flow(**request)["JobFlowId"]
    attributes = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Ec2InstanceAttributes"]
    assert (attributes["Ec2SubnetId"], attributes["Ec2AvailabilityZone"]) == (subnet, zone)
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
    emulator.advance(100)


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("list_instance_fleets", {"ClusterId": "j-NOBODY"}, "InvalidRequestException"),
        ("add_instance_groups", {"JobFlowId": "j-NOBODY", "InstanceGroups": []}, "ValidationException"),
        ("add_instance_fleet", {"ClusterId": "j-NOBODY", "InstanceFleet": {"InstanceFleetType": "TASK"}},
         "InvalidRequestException"),
        ("modify_instance_groups", {"InstanceGroups": [{"InstanceGroupId": "ig-NOBODY"}]}, "ValidationException"),
        ("modify_instance_fleet", {"ClusterId": "j-NOBODY", "InstanceFleet": {"InstanceFleetId": "if-1"}},
         "InvalidRequestException"),
        ("modify_cluster", {"ClusterId": "j-NOBODY", "StepConcurrencyLevel": 2}, "InvalidRequestException"),
        ("get_auto_termination_policy", {"ClusterId": "j-NOBODY"}, "InvalidRequestException"),
        ("remove_auto_termination_policy", {"ClusterId": "j-NOBODY"}, "InvalidRequestException"),
        ("set_keep_job_flow_alive_when_no_steps", {"JobFlowIds": ["j-0"], "KeepJobFlowAliveWhenNoSteps": True},
         "ValidationException"),
        ("set_visible_to_all_users", {"JobFlowIds": ["j-0"], "VisibleToAllUsers": True}, "ValidationException"),
        ("set_unhealthy_node_replacement", {"JobFlowIds": ["j-0"], "UnhealthyNodeReplacement": True},
         "ValidationException"),
        ("describe_release_label", {"ReleaseLabel": "emr-0"}, "InvalidRequestException"),
        ("list_instances", {"ClusterId": "j-1", "InstanceStates": ["ASLEEP"]}, "ValidationException"),
        ("describe_cluster", {"ClusterId": "j-NOBODY"}, "InvalidRequestException"),
        ("list_steps", {"ClusterId": "j-NOBODY"}, "InvalidRequestException"),
        ("describe_step", {"ClusterId": "j-NOBODY", "StepId": "s-1"}, "InvalidRequestException"),
        ("list_instances", {"ClusterId": "j-NOBODY"}, "InvalidRequestException"),
        ("list_instance_groups", {"ClusterId": "j-NOBODY"}, "InvalidRequestException"),
        ("cancel_steps", {"ClusterId": "j-NOBODY", "StepIds": ["s-1"]}, "InvalidRequestException"),
        ("add_tags", {"ResourceId": "j-NOBODY", "Tags": []}, "InvalidRequestException"),
        ("remove_tags", {"ResourceId": "j-NOBODY", "TagKeys": []}, "InvalidRequestException"),
        ("terminate_job_flows", {"JobFlowIds": ["j-NOBODY"]}, "ValidationException"),
        ("add_job_flow_steps", {"JobFlowId": "j-NOBODY", "Steps": []}, "ValidationException"),
        ("set_termination_protection", {"JobFlowIds": ["j-0"], "TerminationProtected": True}, "ValidationException"),
        ("put_auto_termination_policy", {"ClusterId": "j-NOBODY"}, "InvalidRequestException"),
        ("list_supported_instance_types", {"ReleaseLabel": "emr-0"}, "InvalidRequestException"),
        ("list_clusters", {"Marker": "no marker"}, "InvalidRequestException"),
        ("list_clusters", {"ClusterStates": ["ASLEEP"]}, "ValidationException"),
        ("describe_cluster", {}, "ValidationException"),
        ("terminate_job_flows", {"JobFlowIds": ["j-1"] * 11}, "ValidationException"),
    ],
)  # fmt: skip
def test_every_operation_refuses_what_does_not_exist(emr: Any, operation: str, request_: Any, code: str) -> None:
    assert refused(getattr(emr, operation), **request_)[0] == code


def test_steps_of_a_cluster_are_asked_for_by_id_or_by_state(emulator: EmulatorProcess, emr: Any) -> None:
    silent = {name: value for name, value in command("true", name="b").items() if name != "ActionOnFailure"}
    cluster_id = emr.run_job_flow(**job_flow(command("true", name="a"), silent))["JobFlowId"]
    newest, oldest = emr.list_steps(ClusterId=cluster_id)["Steps"]
    assert (newest["ActionOnFailure"], oldest["ActionOnFailure"]) == ("CONTINUE", "TERMINATE_CLUSTER")
    assert [s["Name"] for s in emr.list_steps(ClusterId=cluster_id, StepIds=[oldest["Id"]])["Steps"]] == ["a"]
    assert len(emr.list_steps(ClusterId=cluster_id, StepStates=["PENDING"])["Steps"]) == 2
    both = {"StepIds": [newest["Id"]], "StepStates": ["PENDING"]}
    assert refused(emr.list_steps, ClusterId=cluster_id, **both)[0] == "InvalidRequestException"
    assert refused(emr.describe_step, ClusterId=cluster_id, StepId="s-NOBODY")[0] == "InvalidRequestException"
    many = [command("true")] * 255
    assert "Maximum number of active steps" in refused(emr.add_job_flow_steps, JobFlowId=cluster_id, Steps=many)[1]
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
    emulator.advance(100)
    assert refused(emr.add_tags, ResourceId=cluster_id, Tags=[{"Key": "k"}])[0] == "InvalidRequestException"


def test_types_and_releases_are_listed_from_real_lists(emr: Any) -> None:
    first = emr.list_supported_instance_types(ReleaseLabel="emr-7.1.0")
    rest = emr.list_supported_instance_types(ReleaseLabel="emr-7.1.0", Marker=first["Marker"])
    types = {entry["Type"]: entry for entry in first["SupportedInstanceTypes"] + rest["SupportedInstanceTypes"]}
    assert len(types) > 600 and "Marker" not in rest
    assert (types["m5.xlarge"]["VCPU"], types["m5.xlarge"]["MemoryGB"]) == (4, 16.0)
    assert types["m6g.xlarge"]["Architecture"] != types["m6i.xlarge"]["Architecture"]
    assert emr.describe_release_label(ReleaseLabel="emr-7.1.0")["ReleaseLabel"] == "emr-7.1.0"
    newest = emr.list_release_labels(MaxResults=1)["ReleaseLabels"]
    assert [emr.describe_release_label()["ReleaseLabel"]] == newest
    labels = emr.list_release_labels(Filters={"Prefix": "emr-7."}, MaxResults=5)
    assert len(labels["ReleaseLabels"]) == 5 and labels["NextToken"]
    assert all(label.startswith("emr-7.") for label in labels["ReleaseLabels"])


def post(emulator: EmulatorProcess, target: str, body: str, **headers: str) -> httpx.Response:
    named = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1", **headers}
    return httpx.post(emulator.url, content=body, headers=named, trust_env=False)


@pytest.mark.parametrize(
    ("target", "body", "authorization", "status", "code"),
    [
        ("ElasticMapReduce.ListStudios", "{}", SIGNED, 400, "UnknownOperationException"),
        ("ElasticMapReduce.MakeTea", "{}", SIGNED, 400, "UnknownOperationException"),
        ("ElasticMapReduce.ListClusters", "{", SIGNED, 400, "SerializationException"),
        ("ElasticMapReduce.ListClusters", '{"Colour": 1}', SIGNED, 400, "ValidationException"),
        ("ElasticMapReduce.ListClusters", "[]", SIGNED, 400, "SerializationException"),
        ("ElasticMapReduce.ListClusters", '{"Marker": "\\uD800"}', SIGNED, 400, "SerializationException"),
        ("ElasticMapReduce.ListClusters", "{}", SIGNED.replace("us-east", "moon"), 400, "InvalidSignatureException"),
        ("ElasticMapReduce.ListClusters", "{}", "", 403, "MissingAuthenticationTokenException"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_answered_by_name(
    emulator: EmulatorProcess, target: str, body: str, authorization: str, status: int, code: str
) -> None:
    answer = post(emulator, target, body, **({"Authorization": authorization} if authorization else {}))
    assert answer.status_code == status
    assert answer.json()["__type"] == code
    if code == "UnknownOperationException":
        assert target.rpartition(".")[2] in answer.json()["message"]
