"""Clusters of instance fleets: what is refused, what they get, how they change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, fleet, fleet_job_flow, job_flow, volumes

SPOT = {"TimeoutDurationMinutes": 20, "TimeoutAction": "SWITCH_TO_ON_DEMAND"}
STRATEGY = {"SpotSpecification": {**SPOT, "AllocationStrategy": "capacity-optimized"}}
MANY = [f"{family}.{size}" for family in ("m5", "c5", "r5") for size in ("xlarge", "2xlarge", "4xlarge")]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--model", "a=100,b=0,c=0,d=0", "--noise", "0", "--seed", "fleets") as process:
        yield process


@pytest.fixture(scope="module")
def emr(emulator: EmulatorProcess) -> Any:
    return emulator.client("emr", check=False)


def error(call: Any, **request: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    answer: Any = caught.value.response
    return {**answer["Error"], "ErrorCode": answer.get("ErrorCode")}


def waiting(emulator: EmulatorProcess, emr: Any, **more: Any) -> str:
    """A cluster of fleets that waits for steps; its id."""
    instances = {"KeepJobFlowAliveWhenNoSteps": True, **more.pop("instances", {})}
    cluster_id = emr.run_job_flow(**fleet_job_flow(instances=instances, **more))["JobFlowId"]
    emulator.advance(1000)
    assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "WAITING"
    return str(cluster_id)


def fleets_of(emr: Any, cluster_id: str) -> dict[str, dict[str, Any]]:
    """By type."""
    return {
        entry["InstanceFleetType"]: entry for entry in emr.list_instance_fleets(ClusterId=cluster_id)["InstanceFleets"]
    }


def end(emulator: EmulatorProcess, emr: Any, cluster_id: str) -> None:
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
    emulator.advance(200)


@pytest.mark.parametrize(
    ("fleets", "words"),
    [
        ([fleet("CORE", TargetOnDemandCapacity=0)], "should have a value of one or greater"),
        ([fleet("MASTER", TargetOnDemandCapacity=1)], "Multiple master instance fleets"),
        ([fleet("TASK", TargetSpotCapacity=1)], "must also define core"),
        ([fleet("CORE", "m99.xlarge", TargetSpotCapacity=1)], "'m99.xlarge' is not supported"),
        ([fleet("CORE", "m5.xlarge", "m5.xlarge", Name="c", TargetSpotCapacity=1)],
         "The instance fleet: c contains duplicate instance types [m5.xlarge]"),
        ([fleet("CORE", *MANY[:6], TargetSpotCapacity=1)], "has 6 instance types; it takes 1 to 5, or to 30"),
        ([fleet("CORE", TargetSpotCapacity=1, InstanceTypeConfigs=[])], "has 0 instance types"),
        ([fleet("CORE", {"InstanceType": "m5.xlarge", "WeightedCapacity": 0}, TargetSpotCapacity=1)],
         "Weighted capacity cannot be zero"),
        ([fleet("CORE", {"InstanceType": "m5.xlarge", "BidPrice": "x"}, TargetSpotCapacity=1)], "bid price is invalid"),
        ([fleet("CORE", {"InstanceType": "m5.xlarge", "BidPrice": "0.1", "BidPriceAsPercentageOfOnDemandPrice": 50.0},
                TargetSpotCapacity=1)], "Specify at most one of bidPrice"),
        ([fleet("CORE", TargetSpotCapacity=1, LaunchSpecifications={"SpotSpecification": {**SPOT,
                "TimeoutDurationMinutes": 4}})], "SpotSpecification.TimeoutDurationMinutes is 5 to 1440, not 4"),
        ([fleet("CORE", TargetSpotCapacity=1, LaunchSpecifications={"SpotSpecification": {**SPOT,
                "TimeoutAction": "SHRUG"}})], "TimeoutAction"),
        ([fleet("CORE", TargetSpotCapacity=1, LaunchSpecifications={"SpotSpecification": {**SPOT,
                "BlockDurationMinutes": 60}})], "BlockDurationMinutes"),
        ([fleet("CORE", TargetSpotCapacity=1, ResizeSpecifications={"SpotResizeSpecification": {
                "TimeoutDurationMinutes": 1}})], "SpotResizeSpecification.TimeoutDurationMinutes is 5 to 10080"),
        ([fleet("CORE", TargetSpotCapacity=1, Context="x")], "Context"),
        ([fleet("CORE", {"InstanceType": "m5.xlarge", "EbsConfiguration": volumes("gp9", 1)}, TargetSpotCapacity=1)],
         "'gp9' is not one of"),
    ],
)  # fmt: skip
def test_a_fleet_is_refused_at_once_by_what_is_wrong_with_it(
    emr: Any, fleets: list[dict[str, Any]], words: str
) -> None:
    answer = error(emr.run_job_flow, **fleet_job_flow(fleets=fleets))
    assert (answer["Code"], words in answer["Message"]) == ("ValidationException", True), answer["Message"]


@pytest.mark.parametrize(
    ("primary", "words"),
    [
        (fleet("MASTER", TargetOnDemandCapacity=2), "can only have a target capacity of 1"),
        (fleet("MASTER", TargetOnDemandCapacity=1, TargetSpotCapacity=1), "can only have a target capacity of 1"),
        (fleet("MASTER", {"InstanceType": "m5.xlarge", "WeightedCapacity": 2}, TargetSpotCapacity=1), "capacity as 1"),
        (fleet("CORE", TargetOnDemandCapacity=1), "No master instance fleets were supplied"),
    ],
)
def test_there_is_one_primary(emr: Any, primary: dict[str, Any], words: str) -> None:
    request = fleet_job_flow(instances={"InstanceFleets": [primary]})
    assert words in error(emr.run_job_flow, **request)["Message"]


def test_a_fleet_is_filled_to_its_target_and_beyond_by_weights(emulator: EmulatorProcess, emr: Any) -> None:
    types = [
        {"InstanceType": "m4.xlarge", "BidPrice": "0.5", "WeightedCapacity": 3},
        {
            "InstanceType": "m4.2xlarge",
            "BidPrice": "0.9",
            "WeightedCapacity": 5,
            "EbsConfiguration": volumes("gp3", 64, 2),
        },
    ]
    core = fleet(
        "CORE", *types, Name="workers", TargetSpotCapacity=11, LaunchSpecifications={"SpotSpecification": SPOT}
    )
    cluster_id = emr.run_job_flow(**fleet_job_flow(command("true"), fleets=[core]))["JobFlowId"]
    described = fleets_of(emr, cluster_id)["CORE"]
    assert described["Status"]["State"] == "PROVISIONING"
    assert (described["Name"], described["TargetSpotCapacity"], described["TargetOnDemandCapacity"]) == (
        "workers",
        11,
        0,
    )
    assert described["LaunchSpecifications"] == {"SpotSpecification": SPOT}
    first, second = described["InstanceTypeSpecifications"]
    assert (first["BidPrice"], first["WeightedCapacity"], first["EbsBlockDevices"]) == ("0.5", 3, [])
    assert [device["Device"] for device in second["EbsBlockDevices"]] == ["/dev/sdb", "/dev/sdc"]
    emulator.advance(480)
    cluster = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
    assert cluster["InstanceCollectionType"] == "INSTANCE_FLEET"
    fleets = fleets_of(emr, cluster_id)
    assert {entry["Status"]["State"] for entry in fleets.values()} == {"RUNNING"}
    assert fleets["MASTER"]["ProvisionedOnDemandCapacity"] == 1
    rows = emr.list_instances(ClusterId=cluster_id, InstanceFleetType="CORE")["Instances"]
    weights = {"m4.xlarge": 3, "m4.2xlarge": 5}
    provisioned = sum(weights[row["InstanceType"]] for row in rows)
    assert fleets["CORE"]["ProvisionedSpotCapacity"] == provisioned
    assert 11 <= provisioned < 11 + 5, "as much as needed, in whole instances"
    assert {(row["Market"], row["InstanceFleetId"]) for row in rows} == {("SPOT", fleets["CORE"]["Id"])}
    assert not any("InstanceGroupId" in row for row in rows)
    assert all(len(row["EbsVolumes"]) == (2 if row["InstanceType"] == "m4.2xlarge" else 0) for row in rows)
    assert rows == emr.list_instances(ClusterId=cluster_id, InstanceFleetId=fleets["CORE"]["Id"])["Instances"]
    emulator.advance(300)
    status = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]
    assert (status["State"], status["StateChangeReason"]["Code"]) == ("TERMINATED", "ALL_STEPS_COMPLETED")
    assert {entry["Status"]["State"] for entry in fleets_of(emr, cluster_id).values()} == {"TERMINATED"}


def test_a_fleet_grows_and_shrinks_and_gets_a_task_fleet_beside_it(emulator: EmulatorProcess, emr: Any) -> None:
    cluster_id = waiting(emulator, emr)
    added = emr.add_instance_fleet(ClusterId=cluster_id, InstanceFleet=fleet("TASK", "c5.xlarge", TargetSpotCapacity=3))
    assert added["ClusterId"] == cluster_id
    core = fleets_of(emr, cluster_id)["CORE"]["Id"]
    change = {"InstanceFleetId": core, "TargetOnDemandCapacity": 4,
              "ResizeSpecifications": {"OnDemandResizeSpecification": {"TimeoutDurationMinutes": 10}}}  # fmt: skip
    emr.modify_instance_fleet(ClusterId=cluster_id, InstanceFleet=change)
    during = fleets_of(emr, cluster_id)
    assert (during["CORE"]["Status"]["State"], during["CORE"]["TargetOnDemandCapacity"]) == ("RESIZING", 4)
    assert during["TASK"]["Id"] == added["InstanceFleetId"]
    assert during["TASK"]["Status"]["State"] == "PROVISIONING"
    emulator.advance(900)
    after = fleets_of(emr, cluster_id)
    assert {entry["Status"]["State"] for entry in after.values()} == {"RUNNING"}
    assert after["CORE"]["ProvisionedOnDemandCapacity"] == 4
    assert after["TASK"]["ProvisionedSpotCapacity"] == 3
    assert after["CORE"]["ResizeSpecifications"]["OnDemandResizeSpecification"] == {"TimeoutDurationMinutes": 10}
    emr.modify_instance_fleet(
        ClusterId=cluster_id, InstanceFleet={"InstanceFleetId": core, "TargetOnDemandCapacity": 1}
    )
    emulator.advance(900)
    assert fleets_of(emr, cluster_id)["CORE"]["ProvisionedOnDemandCapacity"] == 1
    rows = emr.list_instances(ClusterId=cluster_id, InstanceFleetType="CORE")["Instances"]
    assert sorted(row["Status"]["State"] for row in rows) == ["RUNNING"] + ["TERMINATED"] * 3, "the gone stay listed"
    end(emulator, emr, cluster_id)


def test_a_change_of_fleets_is_refused_by_what_is_wrong_with_it(emulator: EmulatorProcess, emr: Any) -> None:
    starting = emr.run_job_flow(**fleet_job_flow())["JobFlowId"]
    task = fleet("TASK", TargetSpotCapacity=1)
    assert "running or waiting" in error(emr.add_instance_fleet, ClusterId=starting, InstanceFleet=task)["Message"]
    end(emulator, emr, starting)
    groups = emr.run_job_flow(**job_flow(instances={"KeepJobFlowAliveWhenNoSteps": True}))["JobFlowId"]
    answer = error(emr.add_instance_fleet, ClusterId=groups, InstanceFleet=task)
    assert (answer["Code"], "uses instance groups" in answer["Message"]) == ("InvalidRequestException", True)
    fleets = error(emr.list_instance_fleets, ClusterId=groups)
    assert "Use the ListInstanceGroups operation instead." in fleets["Message"]
    assert "cannot be used" in error(emr.list_instances, ClusterId=groups, InstanceFleetType="CORE")["Message"]
    end(emulator, emr, groups)
    cluster_id = waiting(emulator, emr)
    known = fleets_of(emr, cluster_id)
    for change, words in [
        ({"InstanceFleetId": "if-NOBODY"}, "'if-NOBODY' is not valid"),
        ({"InstanceFleetId": known["MASTER"]["Id"], "TargetOnDemandCapacity": 1}, "master instance fleet cannot"),
        ({"InstanceFleetId": known["CORE"]["Id"], "TargetOnDemandCapacity": 0}, "at least 1"),
        (
            {"InstanceFleetId": known["CORE"]["Id"], "InstanceTypeConfigs": [{"InstanceType": "r5.xlarge"}]},
            "does not model ModifyInstanceFleet: InstanceTypeConfigs",
        ),
    ]:
        assert words in error(emr.modify_instance_fleet, ClusterId=cluster_id, InstanceFleet=change)["Message"]
    core = fleet("CORE", TargetSpotCapacity=1)
    assert "Multiple core" in error(emr.add_instance_fleet, ClusterId=cluster_id, InstanceFleet=core)["Message"]
    answer = error(emr.list_instance_groups, ClusterId=cluster_id)
    assert answer["Message"] == (
        "Instance fleets and instance groups are mutually exclusive. The EMR cluster specified in the request uses "
        "instance fleets. The ListInstanceGroups operation does not support clusters that use instance fleets. "
        "Use the ListInstanceFleets operation instead."
    )
    assert answer["ErrorCode"] == "API_DOES_NOT_SUPPORT_INSTANCE_FLEET_CLUSTERS"
    assert "cannot be used" in error(emr.list_instances, ClusterId=cluster_id, InstanceGroupTypes=["CORE"])["Message"]
    end(emulator, emr, cluster_id)


def test_of_several_subnets_one_is_taken_that_offers_the_types(emulator: EmulatorProcess, emr: Any) -> None:
    by_zone = {
        entry["AvailabilityZone"]: entry["SubnetId"] for entry in emulator.client("ec2").describe_subnets()["Subnets"]
    }
    subnets = [by_zone["us-east-1e"], by_zone["us-east-1b"]]
    core = fleet("CORE", *MANY, TargetSpotCapacity=2, LaunchSpecifications=STRATEGY)
    request = fleet_job_flow(fleets=[core], instances={"Ec2SubnetIds": subnets})
    cluster_id = emr.run_job_flow(**request)["JobFlowId"]
    attributes = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Ec2InstanceAttributes"]
    assert (attributes["Ec2AvailabilityZone"], attributes["Ec2SubnetId"]) == ("us-east-1b", subnets[1])
    assert attributes["RequestedEc2SubnetIds"] == subnets
    end(emulator, emr, cluster_id)
    zones = {"Placement": {"AvailabilityZones": ["us-east-1e", "us-east-1c"]}}
    cluster_id = emr.run_job_flow(**fleet_job_flow(instances=zones))["JobFlowId"]
    attributes = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Ec2InstanceAttributes"]
    assert attributes["Ec2AvailabilityZone"] == "us-east-1c"
    assert attributes["RequestedEc2AvailabilityZones"] == ["us-east-1e", "us-east-1c"]
    end(emulator, emr, cluster_id)


def test_a_type_that_the_zone_does_not_offer_is_passed_over(emulator: EmulatorProcess, emr: Any) -> None:
    place = {"Placement": {"AvailabilityZone": "us-east-1d"}}
    core = fleet("CORE", "m3.xlarge", "m4.xlarge", TargetOnDemandCapacity=2)
    cluster_id = emr.run_job_flow(**fleet_job_flow(fleets=[core], instances=place))["JobFlowId"]
    emulator.advance(60)
    rows = emr.list_instances(ClusterId=cluster_id, InstanceFleetType="CORE")["Instances"]
    assert [row["InstanceType"] for row in rows] == ["m4.xlarge"] * 2
    types = fleets_of(emr, cluster_id)["CORE"]["InstanceTypeSpecifications"]
    assert [entry["InstanceType"] for entry in types] == ["m3.xlarge", "m4.xlarge"], "as asked for"
    end(emulator, emr, cluster_id)


@pytest.mark.parametrize(
    ("action", "state", "reason"),
    [
        ("SWITCH_TO_ON_DEMAND", "TERMINATED", "ALL_STEPS_COMPLETED"),
        ("TERMINATE_CLUSTER", "TERMINATED_WITH_ERRORS", "INSTANCE_FLEET_TIMEOUT"),
    ],
)
def test_a_fleet_whose_spot_capacity_does_not_come_in_time_does_what_it_was_told(
    emulator: EmulatorProcess, emr: Any, action: str, state: str, reason: str
) -> None:
    fault = {"kind": "no-capacity", "role": "CORE", "market": "SPOT"}
    httpx.post(f"{emulator.url}/_emulator/faults", json=[fault], trust_env=False).raise_for_status()
    specification = {"SpotSpecification": {"TimeoutDurationMinutes": 10, "TimeoutAction": action}}
    core = fleet(
        "CORE", "m5.xlarge", TargetOnDemandCapacity=1, TargetSpotCapacity=2, LaunchSpecifications=specification
    )
    cluster_id = emr.run_job_flow(**fleet_job_flow(command("true"), fleets=[core]))["JobFlowId"]
    emulator.advance(590)
    assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "STARTING"
    emulator.advance(1200)
    status = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]
    assert (status["State"], status["StateChangeReason"]["Code"]) == (state, reason)
    rows = emr.list_instances(ClusterId=cluster_id, InstanceFleetType="CORE")["Instances"]
    assert [row["Market"] for row in rows] == ["ON_DEMAND"] * (3 if state == "TERMINATED" else 1)
    httpx.post(f"{emulator.url}/_emulator/faults", json=[], trust_env=False).raise_for_status()
