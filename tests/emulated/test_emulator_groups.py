"""Clusters of instance groups: volumes, configurations, adding, resizing, reconfiguring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import fleet_job_flow, group, job_flow, volumes

SPARK = {"Classification": "spark-defaults", "Properties": {"spark.executor.cores": "2"}}
EXPORT = {"Classification": "export", "Properties": {"HADOOP_DATANODE_HEAPSIZE": "2048"}}
NESTED = {"Classification": "hadoop-env", "Properties": {}, "Configurations": [EXPORT]}


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--seed", "groups") as process:
        yield process


@pytest.fixture(scope="module")
def emr(emulator: EmulatorProcess) -> Any:
    return emulator.client("emr")


def waiting(emulator: EmulatorProcess, emr: Any, *groups: dict[str, Any], **more: Any) -> str:
    """A cluster that waits for steps; its id."""
    instances: dict[str, Any] = {"KeepJobFlowAliveWhenNoSteps": True}
    if groups:
        instances["InstanceGroups"] = list(groups)
    cluster_id = emr.run_job_flow(**job_flow(instances=instances, **more))["JobFlowId"]
    emulator.advance(600)
    return str(cluster_id)


def end(emulator: EmulatorProcess, emr: Any, cluster_id: str) -> None:
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
    emulator.advance(200)


def groups_of(emr: Any, cluster_id: str) -> dict[str, dict[str, Any]]:
    """By type, the last of each."""
    return {
        entry["InstanceGroupType"]: entry for entry in emr.list_instance_groups(ClusterId=cluster_id)["InstanceGroups"]
    }


def rows_of(emr: Any, cluster_id: str, role: str) -> list[dict[str, Any]]:
    return list(emr.list_instances(ClusterId=cluster_id, InstanceGroupTypes=[role])["Instances"])


def message(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return str(caught.value.response["Error"]["Message"])


def test_a_group_tells_its_volumes_bid_and_configurations(emulator: EmulatorProcess, emr: Any) -> None:
    core = group(
        "CORE", 2, "m5.xlarge", Name="workers", Market="SPOT", BidPrice="0.15", CustomAmiId="ami-0",
        Configurations=[SPARK],
        EbsConfiguration={
            "EbsOptimized": True,
            "EbsBlockDeviceConfigs": [
                {"VolumeSpecification": {"VolumeType": "gp2", "SizeInGB": 100}},
                {"VolumeSpecification": {"VolumeType": "io1", "SizeInGB": 100, "Iops": 100}, "VolumesPerInstance": 4},
            ],
        },
    )  # fmt: skip
    cluster_id = waiting(emulator, emr, group("MASTER", 1), core, Configurations=[NESTED], CustomAmiId="ami-1")
    described = groups_of(emr, cluster_id)["CORE"]
    assert (described["Name"], described["Market"], described["BidPrice"]) == ("workers", "SPOT", "0.15")
    assert (described["CustomAmiId"], described["EbsOptimized"]) == ("ami-0", True)
    assert described["Configurations"] == described["LastSuccessfullyAppliedConfigurations"] == [SPARK]
    assert described["ConfigurationsVersion"] == described["LastSuccessfullyAppliedConfigurationsVersion"] == 0
    devices = described["EbsBlockDevices"]
    assert [device["Device"] for device in devices] == [f"/dev/sd{letter}" for letter in "bcdef"]
    kinds = [device["VolumeSpecification"]["VolumeType"] for device in devices]
    assert kinds == ["gp2"] + ["io1"] * 4
    assert devices[1]["VolumeSpecification"] == {"VolumeType": "io1", "SizeInGB": 100, "Iops": 100}
    rows = rows_of(emr, cluster_id, "CORE")
    assert [[volume["Device"] for volume in row["EbsVolumes"]] for row in rows] == [
        [f"/dev/sd{x}" for x in "bcdef"]
    ] * 2
    ids = [volume["VolumeId"] for row in rows for volume in row["EbsVolumes"]]
    assert len(set(ids)) == 10 and all(volume_id.startswith("vol-") for volume_id in ids)
    assert rows_of(emr, cluster_id, "MASTER")[0]["EbsVolumes"] == [], "the root volume is not listed"
    cluster = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
    assert (cluster["Configurations"], cluster["CustomAmiId"]) == ([NESTED], "ami-1")
    end(emulator, emr, cluster_id)


def test_types_and_a_count_make_groups_as_well(emulator: EmulatorProcess, emr: Any) -> None:
    form = {"MasterInstanceType": "m5.xlarge", "SlaveInstanceType": "c5.xlarge", "InstanceCount": 3}
    cluster_id = emr.run_job_flow(**{**job_flow(), "Instances": form})["JobFlowId"]
    described = emr.list_instance_groups(ClusterId=cluster_id)["InstanceGroups"]
    assert [
        (entry["InstanceGroupType"], entry["InstanceType"], entry["RequestedInstanceCount"]) for entry in described
    ] == [
        ("MASTER", "m5.xlarge", 1),
        ("CORE", "c5.xlarge", 2),
    ]
    end(emulator, emr, cluster_id)
    alone = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1}
    cluster_id = emr.run_job_flow(**{**job_flow(), "Instances": alone})["JobFlowId"]
    assert [
        entry["InstanceGroupType"] for entry in emr.list_instance_groups(ClusterId=cluster_id)["InstanceGroups"]
    ] == ["MASTER"]
    end(emulator, emr, cluster_id)


def test_a_group_is_added_grown_and_shrunk_and_the_gone_stay_listed(emulator: EmulatorProcess, emr: Any) -> None:
    cluster_id = waiting(emulator, emr)
    task = group("TASK", 1, "c5.xlarge", Market="SPOT", EbsConfiguration=volumes("gp3", 50, Throughput=250))
    added = emr.add_instance_groups(JobFlowId=cluster_id, InstanceGroups=[task, group("TASK", 0, "r5.xlarge")])
    assert added["JobFlowId"] == cluster_id and len(added["InstanceGroupIds"]) == 2
    assert groups_of(emr, cluster_id)["TASK"]["Id"] == added["InstanceGroupIds"][1]
    core = groups_of(emr, cluster_id)["CORE"]["Id"]
    emr.modify_instance_groups(ClusterId=cluster_id, InstanceGroups=[{"InstanceGroupId": core, "InstanceCount": 4}])
    during = groups_of(emr, cluster_id)["CORE"]
    assert (during["Status"]["State"], during["RequestedInstanceCount"]) == ("RESIZING", 4)
    emulator.advance(900)
    after = {entry["Id"]: entry for entry in emr.list_instance_groups(ClusterId=cluster_id)["InstanceGroups"]}
    assert {entry["Status"]["State"] for entry in after.values()} == {"RUNNING"}
    assert after[core]["RunningInstanceCount"] == 4
    assert [after[added_id]["RunningInstanceCount"] for added_id in added["InstanceGroupIds"]] == [1, 0]
    victim = rows_of(emr, cluster_id, "CORE")[1]
    emr.modify_instance_groups(
        InstanceGroups=[{"InstanceGroupId": core, "EC2InstanceIdsToTerminate": [victim["Ec2InstanceId"]]}]
    )
    emulator.advance(600)
    shrunk = groups_of(emr, cluster_id)["CORE"]
    assert (shrunk["RequestedInstanceCount"], shrunk["RunningInstanceCount"]) == (3, 3), "it does not come back"
    gone = [row for row in rows_of(emr, cluster_id, "CORE") if row["Status"]["State"] == "TERMINATED"]
    assert [row["Ec2InstanceId"] for row in gone] == [victim["Ec2InstanceId"]]
    assert gone[0]["Status"]["Timeline"]["EndDateTime"] > gone[0]["Status"]["Timeline"]["ReadyDateTime"]
    kept = next(row for row in rows_of(emr, cluster_id, "CORE") if row["Status"]["State"] == "RUNNING")
    policy = {"DecommissionTimeout": 60, "InstanceResizePolicy": {"InstancesToProtect": [kept["Ec2InstanceId"]]}}
    change = {"InstanceGroupId": core, "InstanceCount": 1, "ShrinkPolicy": policy}
    emr.modify_instance_groups(ClusterId=cluster_id, InstanceGroups=[change])
    emulator.advance(600)
    alive = emr.list_instances(ClusterId=cluster_id, InstanceGroupId=core, InstanceStates=["RUNNING"])["Instances"]
    assert [row["Id"] for row in alive] == [kept["Id"]]
    assert groups_of(emr, cluster_id)["CORE"]["ShrinkPolicy"] == policy
    emulator.advance(31 * 86_400)
    assert [row["Id"] for row in rows_of(emr, cluster_id, "CORE")] == [kept["Id"]], "30 days after their end, no more"
    end(emulator, emr, cluster_id)


def test_a_group_takes_on_other_configurations(emulator: EmulatorProcess, emr: Any) -> None:
    cluster_id = waiting(emulator, emr, group("MASTER", 1), group("CORE", 1, Configurations=[SPARK]))
    core = groups_of(emr, cluster_id)["CORE"]["Id"]
    more = {"Classification": "spark-defaults", "Properties": {"spark.executor.memory": "4g"}}
    merge = {"InstanceGroupId": core, "ReconfigurationType": "MERGE", "Configurations": [more, NESTED]}
    emr.modify_instance_groups(ClusterId=cluster_id, InstanceGroups=[merge])
    both = {"Classification": "spark-defaults", "Properties": {**SPARK["Properties"], **more["Properties"]}}  # type: ignore[dict-item]
    during = groups_of(emr, cluster_id)["CORE"]
    assert during["Status"]["State"] == "RECONFIGURING"
    assert (during["Configurations"], during["ConfigurationsVersion"]) == ([both, NESTED], 1)
    assert during["LastSuccessfullyAppliedConfigurations"] == [SPARK]
    assert during["LastSuccessfullyAppliedConfigurationsVersion"] == 0
    again = {"InstanceGroupId": core, "Configurations": [SPARK]}
    assert "RECONFIGURING" in message(emr.modify_instance_groups, ClusterId=cluster_id, InstanceGroups=[again])
    grow = {"InstanceGroupId": core, "InstanceCount": 2}
    assert "RECONFIGURING" in message(emr.modify_instance_groups, ClusterId=cluster_id, InstanceGroups=[grow])
    emulator.advance(900)
    after = groups_of(emr, cluster_id)["CORE"]
    assert after["Status"]["State"] == "RUNNING"
    assert after["LastSuccessfullyAppliedConfigurations"] == [both, NESTED]
    emr.modify_instance_groups(ClusterId=cluster_id, InstanceGroups=[again])
    emulator.advance(900)
    after = groups_of(emr, cluster_id)["CORE"]
    assert (after["Configurations"], after["LastSuccessfullyAppliedConfigurationsVersion"]) == ([SPARK], 2)
    end(emulator, emr, cluster_id)


def test_a_change_of_groups_is_refused_whole(emulator: EmulatorProcess, emr: Any) -> None:
    starting = emr.run_job_flow(**job_flow())["JobFlowId"]
    core = groups_of(emr, starting)["CORE"]["Id"]
    grow = {"InstanceGroupId": core, "InstanceCount": 3}
    words = "An instance group may only be modified when the cluster is running or waiting"
    assert message(emr.modify_instance_groups, ClusterId=starting, InstanceGroups=[grow]) == words
    assert message(emr.add_instance_groups, JobFlowId=starting, InstanceGroups=[group("TASK", 1)]) == words
    end(emulator, emr, starting)
    assert "may not be modified" in message(emr.modify_instance_groups, ClusterId=starting, InstanceGroups=[grow])
    cluster_id = waiting(emulator, emr)
    known = groups_of(emr, cluster_id)
    good = {"InstanceGroupId": known["CORE"]["Id"], "InstanceCount": 3}
    for change, words in [
        ({"InstanceGroupId": "ig-NOBODY", "InstanceCount": 3}, "'ig-NOBODY' is not valid"),
        ({"InstanceGroupId": known["MASTER"]["Id"], "InstanceCount": 1}, "master instance group cannot be resized"),
        ({"InstanceGroupId": known["CORE"]["Id"], "InstanceCount": 0}, "at least one instance"),
        ({"InstanceGroupId": known["CORE"]["Id"], "EC2InstanceIdsToTerminate": ["i-0"]}, "no running instance i-0"),
        ({**good, "Configurations": [SPARK]}, "not both in one call"),
        ({"InstanceGroupId": known["CORE"]["Id"], "Configurations": [{"Properties": {}}]}, "needs a Classification"),
    ]:
        both = [good, change]
        assert words in message(emr.modify_instance_groups, ClusterId=cluster_id, InstanceGroups=both)
    assert groups_of(emr, cluster_id)["CORE"]["Status"]["State"] == "RUNNING", "nothing was changed"
    for new, words in [
        (group("MASTER", 1), "exactly one master"),
        (group("CORE", 1), "at most one core"),
        (group("TASK", 1, "m99.xlarge"), "'m99.xlarge' is not supported"),
        (group("TASK", 1, "p2.xlarge"), "p2.xlarge is not supported in the requested Availability Zone"),
    ]:
        assert words in message(emr.add_instance_groups, JobFlowId=cluster_id, InstanceGroups=[new])
    end(emulator, emr, cluster_id)
    old = waiting(
        emulator, emr, group("MASTER", 1, "m4.large"), group("CORE", 1, "m4.large"), ReleaseLabel="emr-5.20.0"
    )
    change = {"InstanceGroupId": groups_of(emr, old)["CORE"]["Id"], "Configurations": [SPARK]}
    assert "emr-5.21.0" in message(emr.modify_instance_groups, ClusterId=old, InstanceGroups=[change])
    end(emulator, emr, old)
    fleets = emr.run_job_flow(**fleet_job_flow())["JobFlowId"]
    assert "uses instance fleets" in message(
        emr.add_instance_groups, JobFlowId=fleets, InstanceGroups=[group("TASK", 1)]
    )
    end(emulator, emr, fleets)
