"""Whole lives of emulated clusters over HTTP: steps really run, W is driven by hand."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, group, job_flow

LOGS = "s3://acme-logs/emr"


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    # Steps of 100 s, whatever the cluster: the tests look at states, not at the law.
    with EmulatorProcess("--model", "a=100,b=0,c=0,d=0", "--noise", "0", "--seed", "lifecycle") as process:
        process.client("s3").create_bucket(Bucket="acme-logs")
        yield process


@pytest.fixture
def emr(emulator: EmulatorProcess) -> Iterator[Any]:
    """A client; the clusters that a test left alive are ended after it."""
    emr = emulator.client("emr")
    yield emr
    alive = [cluster["id"] for cluster in emulator.state()["clusters"] if cluster["state"] in {"RUNNING", "WAITING"}]
    if alive:
        emr.terminate_job_flows(JobFlowIds=alive)
    emulator.advance(500)


def status(emr: Any, cluster_id: str) -> dict[str, Any]:
    return dict(emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"])


def steps_of(emr: Any, cluster_id: str) -> list[dict[str, Any]]:
    """Oldest first."""
    return list(reversed(emr.list_steps(ClusterId=cluster_id)["Steps"]))


def states(emr: Any, cluster_id: str) -> list[str]:
    return [step["Status"]["State"] for step in steps_of(emr, cluster_id)]


def logs(emulator: EmulatorProcess, cluster_id: str) -> dict[str, bytes]:
    """Log objects of a cluster, unpacked, by what follows its id."""
    s3 = emulator.client("s3")
    listed = s3.list_objects_v2(Bucket="acme-logs", Prefix=f"emr/{cluster_id}/").get("Contents", [])
    bodies = {entry["Key"]: s3.get_object(Bucket="acme-logs", Key=entry["Key"])["Body"].read() for entry in listed}
    return {key.removeprefix(f"emr/{cluster_id}/"): gzip.decompress(body) for key, body in bodies.items()}


def test_a_transient_cluster_runs_its_steps_and_ends(emulator: EmulatorProcess, emr: Any) -> None:
    steps = [command("bash", "-c", "echo $0 to $1", "from", "here; echo no"), command("python3", "-c", "print(6 * 7)")]
    launched = emr.run_job_flow(**job_flow(*steps, LogUri=LOGS))
    cluster_id = launched["JobFlowId"]
    assert launched["ClusterArn"].endswith(f":cluster/{cluster_id}")
    seen = []
    for _ in range(30):
        state = status(emr, cluster_id)["State"]
        if not seen or seen[-1] != state:
            seen.append(state)
        emulator.advance(40)
    assert seen == ["STARTING", "BOOTSTRAPPING", "RUNNING", "TERMINATING", "TERMINATED"]
    assert status(emr, cluster_id)["StateChangeReason"] == {"Code": "ALL_STEPS_COMPLETED", "Message": "Steps completed"}
    hours = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["NormalizedInstanceHours"]
    assert hours == 3 * 8, "of three instances, an xlarge being 8, a begun hour"
    first, second = steps_of(emr, cluster_id)
    for step in (first, second):
        line = step["Status"]["Timeline"]
        assert step["Status"]["State"] == "COMPLETED"
        assert (line["EndDateTime"] - line["StartDateTime"]).total_seconds() == pytest.approx(100)
    assert second["Status"]["Timeline"]["StartDateTime"] >= first["Status"]["Timeline"]["EndDateTime"]
    written = logs(emulator, cluster_id)
    assert written[f"steps/{first['Id']}/stdout.gz"] == b"from to here; echo no\n", "arguments meet no shell of ours"
    assert written[f"steps/{second['Id']}/stdout.gz"] == b"42\n"
    assert b"Step succeeded with exitCode 0" in written[f"steps/{second['Id']}/controller.gz"]


def test_the_description_gives_back_what_was_asked_for(emulator: EmulatorProcess, emr: Any) -> None:
    request = job_flow(command("true"), LogUri=LOGS, Tags=[{"Key": "team", "Value": "data"}], VisibleToAllUsers=True)
    request["Instances"] |= {"Ec2KeyName": "me"}
    cluster_id = emr.run_job_flow(**request)["JobFlowId"]
    cluster = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
    assert (cluster["Name"], cluster["ReleaseLabel"]) == ("nightly", "emr-7.1.0")
    assert cluster["LogUri"] == "s3n://acme-logs/emr/", "as AWS gives it back"
    assert cluster["AutoTerminate"] is True and cluster["TerminationProtected"] is False
    assert cluster["Tags"] == [{"Key": "team", "Value": "data"}]
    assert cluster["Applications"] == [{"Name": "Spark"}]
    attributes = cluster["Ec2InstanceAttributes"]
    assert (attributes["IamInstanceProfile"], attributes["Ec2KeyName"]) == ("EMR_EC2_DefaultRole", "me")
    subnets = emulator.client("ec2").describe_subnets(SubnetIds=[attributes["Ec2SubnetId"]])["Subnets"]
    assert subnets[0]["AvailabilityZone"] == attributes["Ec2AvailabilityZone"]
    groups = emr.list_instance_groups(ClusterId=cluster_id)["InstanceGroups"]
    assert [(entry["InstanceGroupType"], entry["RequestedInstanceCount"]) for entry in groups] == [
        ("MASTER", 1),
        ("CORE", 2),
    ]
    assert [entry["RunningInstanceCount"] for entry in groups] == [0, 0]
    emulator.advance(500)
    assert [entry["RunningInstanceCount"] for entry in emr.list_instance_groups(ClusterId=cluster_id)["InstanceGroups"]]


def test_a_failing_step_tells_how_and_ends_the_cluster_with_errors(emulator: EmulatorProcess, emr: Any) -> None:
    failing = command("bash", "-c", "echo oh no >&2; exit 3")
    cluster_id = emr.run_job_flow(**job_flow(failing, command("true"), LogUri=LOGS))["JobFlowId"]
    emulator.advance(1000)
    assert status(emr, cluster_id)["State"] == "TERMINATED_WITH_ERRORS"
    reason = status(emr, cluster_id)["StateChangeReason"]
    assert reason == {"Code": "STEP_FAILURE", "Message": "Shut down as step failed"}
    failed, never = steps_of(emr, cluster_id)
    assert (failed["Status"]["State"], never["Status"]["State"]) == ("FAILED", "CANCELLED")
    details = failed["Status"]["FailureDetails"]
    assert (details["Reason"], details["Message"]) == ("Unknown Error.", "exit status 3")
    assert details["LogFile"] == f"{LOGS}/{cluster_id}/steps/{failed['Id']}/stderr.gz"
    assert logs(emulator, cluster_id)[f"steps/{failed['Id']}/stderr.gz"] == b"oh no\n"
    assert f"steps/{never['Id']}/stdout.gz" not in logs(emulator, cluster_id)


def test_a_command_that_does_not_exist_fails_its_step_only(emulator: EmulatorProcess, emr: Any) -> None:
    steps = [command("no-such-command", action="CONTINUE"), command("true", action="CONTINUE")]
    cluster_id = emr.run_job_flow(**job_flow(*steps))["JobFlowId"]
    emulator.advance(1000)
    assert states(emr, cluster_id) == ["FAILED", "COMPLETED"]
    last = status(emr, cluster_id)
    assert (last["State"], last["StateChangeReason"]) == ("TERMINATED", {}), "TERMINATED, and no reason at all"


def test_of_an_output_without_bounds_the_end_is_kept(emulator: EmulatorProcess, emr: Any) -> None:
    endless = command("bash", "-c", "head -c 20000000 /dev/zero; echo the end")
    cluster_id = emr.run_job_flow(**job_flow(endless, LogUri=LOGS))["JobFlowId"]
    emulator.advance(1000)
    (step,) = steps_of(emr, cluster_id)
    kept = logs(emulator, cluster_id)[f"steps/{step['Id']}/stdout.gz"]
    assert len(kept) == 16 * 1024 * 1024
    assert kept.endswith(b"the end\n")


def test_a_failed_bootstrap_action_ends_the_cluster(emulator: EmulatorProcess, emr: Any) -> None:
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket="acme-boot")
    s3.put_object(Bucket="acme-boot", Key="good.sh", Body=b'echo "got $1" > $HOME/mark\n')
    s3.put_object(Bucket="acme-boot", Key="bad.sh", Body=b"#!/bin/bash\ncat $HOME/mark; echo broken >&2; exit 9\n")
    actions = [
        {"Name": "good", "ScriptBootstrapAction": {"Path": "s3://acme-boot/good.sh", "Args": ["x y"]}},
        {"Name": "bad", "ScriptBootstrapAction": {"Path": "s3://acme-boot/bad.sh"}},
    ]
    cluster_id = emr.run_job_flow(**job_flow(command("true"), LogUri=LOGS, BootstrapActions=actions))["JobFlowId"]
    emulator.advance(1000)
    last = status(emr, cluster_id)
    assert (last["State"], last["StateChangeReason"]["Code"]) == ("TERMINATED_WITH_ERRORS", "BOOTSTRAP_FAILURE")
    (detail,) = last["ErrorDetails"]
    assert detail["ErrorCode"] == "BOOTSTRAP_FAILURE_PRIMARY_WITH_NON_ZERO_CODE"
    (primary,) = emr.list_instances(ClusterId=cluster_id, InstanceGroupTypes=["MASTER"])["Instances"]
    assert detail["ErrorData"][0]["primary-instance-id"] == primary["Ec2InstanceId"]
    folder = f"node/{primary['Ec2InstanceId']}/bootstrap-actions"
    written = logs(emulator, cluster_id)
    assert written[f"{folder}/2/stdout.gz"] == b"got x y\n"
    assert written[f"{folder}/2/stderr.gz"] == b"broken\n"
    assert states(emr, cluster_id) == ["CANCELLED"]
    listed = emr.list_bootstrap_actions(ClusterId=cluster_id)["BootstrapActions"]
    assert listed == [
        {"Name": "good", "ScriptPath": "s3://acme-boot/good.sh", "Args": ["x y"]},
        {"Name": "bad", "ScriptPath": "s3://acme-boot/bad.sh", "Args": []},
    ]


def test_a_cluster_is_ended_while_its_step_runs(emulator: EmulatorProcess, emr: Any) -> None:
    endless = command("bash", "-c", "echo begun; sleep 1000 & sleep 1000")
    cluster_id = emr.run_job_flow(**job_flow(endless, LogUri=LOGS))["JobFlowId"]
    while states(emr, cluster_id) != ["RUNNING"]:
        emulator.advance(20)
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
    assert status(emr, cluster_id)["State"] == "TERMINATING"
    assert states(emr, cluster_id) == ["CANCELLED"]
    emulator.advance(100)
    last = status(emr, cluster_id)
    assert last["State"] == "TERMINATED"
    assert last["StateChangeReason"] == {"Code": "USER_REQUEST", "Message": "Terminated by user request"}
    instances = emr.list_instances(ClusterId=cluster_id)["Instances"]
    assert {entry["Status"]["State"] for entry in instances} == {"TERMINATED"}
    assert all(entry["Status"]["Timeline"]["EndDateTime"] for entry in instances)
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
    assert status(emr, cluster_id)["State"] == "TERMINATED", "ending the dead is no error and changes nothing"


def test_steps_are_cancelled(emulator: EmulatorProcess, emr: Any) -> None:
    flow = job_flow(command("sleep", "1000"), command("true"), command("true"))
    cluster_id = emr.run_job_flow(**flow)["JobFlowId"]
    while states(emr, cluster_id)[0] != "RUNNING":
        emulator.advance(20)
    running, pending, last = [step["Id"] for step in steps_of(emr, cluster_id)]
    answer = emr.cancel_steps(ClusterId=cluster_id, StepIds=[running, pending, "s-NOBODY"])["CancelStepsInfoList"]
    assert [info["Status"] for info in answer] == ["SUBMITTED", "SUBMITTED", "FAILED"]
    assert states(emr, cluster_id) == ["CANCEL_PENDING", "CANCELLED", "PENDING"]
    emulator.advance(11)
    assert states(emr, cluster_id) == ["CANCELLED", "CANCELLED", "RUNNING"]
    emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[command("sleep", "1000")])
    emulator.advance(101)
    forced = steps_of(emr, cluster_id)[-1]["Id"]
    emr.cancel_steps(ClusterId=cluster_id, StepIds=[forced], StepCancellationOption="TERMINATE_PROCESS")
    emulator.advance(6)
    assert states(emr, cluster_id)[-2:] == ["COMPLETED", "CANCELLED"], "sooner than one that is asked to end"
    assert emr.describe_step(ClusterId=cluster_id, StepId=last)["Step"]["Status"]["State"] == "COMPLETED"
    (info,) = emr.cancel_steps(ClusterId=cluster_id, StepIds=[last])["CancelStepsInfoList"]
    assert info["Status"] == "FAILED" and "COMPLETED" in info["Reason"]


def test_a_cluster_kept_alive_takes_steps_until_it_is_ended(emulator: EmulatorProcess, emr: Any) -> None:
    cluster_id = emr.run_job_flow(**job_flow(instances={"KeepJobFlowAliveWhenNoSteps": True}))["JobFlowId"]
    emulator.advance(500)
    assert status(emr, cluster_id)["State"] == "WAITING"
    added = emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[command("true"), command("false", action="CONTINUE")])
    assert len(added["StepIds"]) == 2
    assert status(emr, cluster_id)["State"] == "RUNNING"
    emulator.advance(300)
    assert states(emr, cluster_id) == ["COMPLETED", "FAILED"]
    assert status(emr, cluster_id)["State"] == "WAITING"
    emr.put_auto_termination_policy(ClusterId=cluster_id, AutoTerminationPolicy={"IdleTimeout": 3600})
    emulator.advance(3600)
    assert status(emr, cluster_id)["State"] == "TERMINATED"
    with pytest.raises(ClientError, match="may not be modified"):
        emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[command("true")])


def test_a_protected_cluster_is_not_ended_by_a_call(emulator: EmulatorProcess, emr: Any) -> None:
    cluster_id = emr.run_job_flow(**job_flow(instances={"TerminationProtected": True}))["JobFlowId"]
    with pytest.raises(ClientError, match="termination protected") as caught:
        emr.terminate_job_flows(JobFlowIds=[cluster_id])
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    emr.set_termination_protection(JobFlowIds=[cluster_id], TerminationProtected=False)
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
    emulator.advance(100)
    assert status(emr, cluster_id)["State"] == "TERMINATED"


def test_tags_are_added_and_taken_away(emulator: EmulatorProcess, emr: Any) -> None:
    cluster_id = emr.run_job_flow(**job_flow())["JobFlowId"]
    emr.add_tags(ResourceId=cluster_id, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b"}])
    emr.remove_tags(ResourceId=cluster_id, TagKeys=["a", "never"])
    assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Tags"] == [{"Key": "b", "Value": ""}]


def test_boto3_s_own_waiters_understand_the_states(emulator: EmulatorProcess, emr: Any) -> None:
    good = emr.run_job_flow(**job_flow(command("true")))["JobFlowId"]
    bad = emr.run_job_flow(**job_flow(command("false")))["JobFlowId"]
    emulator.advance(1000)
    once = {"Delay": 0, "MaxAttempts": 1}
    emr.get_waiter("cluster_terminated").wait(ClusterId=good, WaiterConfig=once)
    emr.get_waiter("step_complete").wait(ClusterId=good, StepId=steps_of(emr, good)[0]["Id"], WaiterConfig=once)
    with pytest.raises(WaiterError, match="failure state"):
        emr.get_waiter("cluster_terminated").wait(ClusterId=bad, WaiterConfig=once)


def test_lists_come_in_pages_newest_first(emulator: EmulatorProcess, emr: Any) -> None:
    steps = [command("true", name=f"s{index}") for index in range(120)]
    instances = {"InstanceGroups": [group("MASTER", 1), group("CORE", 70)]}
    cluster_id = emr.run_job_flow(**job_flow(*steps, instances=instances))["JobFlowId"]
    first = emr.list_steps(ClusterId=cluster_id)
    assert len(first["Steps"]) == 50 and first["Steps"][0]["Name"] == "s119"
    pages = list(emr.get_paginator("list_steps").paginate(ClusterId=cluster_id))
    assert [len(page["Steps"]) for page in pages] == [50, 50, 20]
    assert [step["Name"] for page in pages for step in page["Steps"]] == [f"s{index}" for index in range(119, -1, -1)]
    emulator.advance(100)
    pages = list(emr.get_paginator("list_instances").paginate(ClusterId=cluster_id))
    assert [len(page["Instances"]) for page in pages] == [50, 21]
    assert len({entry["Id"] for page in pages for entry in page["Instances"]}) == 71
    core = emr.list_instances(ClusterId=cluster_id, InstanceGroupTypes=["MASTER"], InstanceStates=["PROVISIONING"])
    assert len(core["Instances"]) == 1
    emr.terminate_job_flows(JobFlowIds=[cluster_id])


def test_clusters_are_listed_newest_first_and_filtered(emulator: EmulatorProcess, emr: Any) -> None:
    before = emulator.now()
    emulator.advance(1)
    made = []
    for _ in range(52):
        made.append(emr.run_job_flow(**job_flow())["JobFlowId"])
        emulator.advance(1)
    pages = list(emr.get_paginator("list_clusters").paginate(CreatedAfter=before))
    assert [len(page["Clusters"]) for page in pages] == [50, 2]
    assert [entry["Id"] for page in pages for entry in page["Clusters"]] == list(reversed(made))
    assert emr.list_clusters(CreatedBefore=before + 0.5, CreatedAfter=before)["Clusters"] == []
    for start in range(0, 50, 10):
        emr.terminate_job_flows(JobFlowIds=made[start : start + 10])
    alive = emr.list_clusters(CreatedAfter=before, ClusterStates=["STARTING"])["Clusters"]
    assert [entry["Id"] for entry in alive] == list(reversed(made[50:]))
    emr.terminate_job_flows(JobFlowIds=made[50:])


def test_a_cluster_is_seen_in_its_own_region_only(emulator: EmulatorProcess, emr: Any) -> None:
    cluster_id = emr.run_job_flow(**job_flow())["JobFlowId"]
    elsewhere = emulator.client("emr", region="eu-west-1")
    with pytest.raises(ClientError, match="is not valid"):
        elsewhere.describe_cluster(ClusterId=cluster_id)
    there = elsewhere.run_job_flow(**job_flow())
    assert ":eu-west-1:" in there["ClusterArn"]
    assert [entry["Id"] for entry in elsewhere.list_clusters()["Clusters"]] == [there["JobFlowId"]]
