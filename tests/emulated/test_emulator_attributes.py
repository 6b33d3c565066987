"""What can be changed about a cluster that is there, steps at once and its attributes, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, job_flow


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    # Steps of 100 s, whatever the cluster.
    with EmulatorProcess("--model", "a=100,b=0,c=0,d=0", "--noise", "0", "--seed", "attributes") as process:
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


def kept_alive(emulator: EmulatorProcess, emr: Any, *steps: dict[str, Any], **more: Any) -> str:
    instances = {"KeepJobFlowAliveWhenNoSteps": True}
    cluster_id = emr.run_job_flow(**job_flow(*steps, instances=instances, **more))["JobFlowId"]
    emulator.advance(450)
    return str(cluster_id)


def cluster_of(emr: Any, cluster_id: str) -> dict[str, Any]:
    return dict(emr.describe_cluster(ClusterId=cluster_id)["Cluster"])


def states(emr: Any, cluster_id: str) -> list[str]:
    """Of the steps, oldest first."""
    return [step["Status"]["State"] for step in reversed(emr.list_steps(ClusterId=cluster_id)["Steps"])]


def message(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return str(caught.value.response["Error"]["Message"])


def test_several_steps_run_at_once_and_a_failure_only_continues(emulator: EmulatorProcess, emr: Any) -> None:
    steps = [command("true"), command("false"), command("true"), command("true")]
    cluster_id = kept_alive(emulator, emr, *steps, StepConcurrencyLevel=3)
    while "RUNNING" not in states(emr, cluster_id):
        emulator.advance(10)
    assert states(emr, cluster_id) == ["RUNNING", "RUNNING", "RUNNING", "PENDING"]
    assert cluster_of(emr, cluster_id)["StepConcurrencyLevel"] == 3
    emulator.advance(250)
    assert states(emr, cluster_id) == ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"]
    assert cluster_of(emr, cluster_id)["Status"]["State"] == "WAITING", "TERMINATE_CLUSTER has no effect then"
    for action in ("TERMINATE_CLUSTER", "CANCEL_AND_WAIT", "TERMINATE_JOB_FLOW"):
        refused = message(emr.add_job_flow_steps, JobFlowId=cluster_id, Steps=[command("true", action=action)])
        assert action in refused and "is not valid" in refused
    emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[command("true", action="CONTINUE")] * 3)
    assert emr.modify_cluster(ClusterId=cluster_id, StepConcurrencyLevel=1)["StepConcurrencyLevel"] == 1
    assert states(emr, cluster_id)[4:] == ["RUNNING"] * 3, "what runs goes on"
    emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[command("true"), command("true")])
    emulator.advance(110)
    assert states(emr, cluster_id)[4:] == ["COMPLETED"] * 3 + ["RUNNING", "PENDING"]
    emr.modify_cluster(ClusterId=cluster_id, StepConcurrencyLevel=2)
    assert states(emr, cluster_id)[7:] == ["RUNNING"] * 2
    assert "1 to 256, not 0" in message(emr.modify_cluster, ClusterId=cluster_id, StepConcurrencyLevel=0)


def test_whether_a_cluster_stays_without_steps_can_be_changed(emulator: EmulatorProcess, emr: Any) -> None:
    cluster_id = kept_alive(emulator, emr, command("true"))
    assert cluster_of(emr, cluster_id)["AutoTerminate"] is False
    emr.set_keep_job_flow_alive_when_no_steps(JobFlowIds=[cluster_id], KeepJobFlowAliveWhenNoSteps=False)
    assert cluster_of(emr, cluster_id)["AutoTerminate"] is True
    emulator.advance(400)
    status = cluster_of(emr, cluster_id)["Status"]
    assert (status["State"], status["StateChangeReason"]["Code"]) == ("TERMINATED", "ALL_STEPS_COMPLETED")
    other = emr.run_job_flow(**job_flow(command("true")))["JobFlowId"]
    emr.set_keep_job_flow_alive_when_no_steps(JobFlowIds=[other], KeepJobFlowAliveWhenNoSteps=True)
    emulator.advance(900)
    assert cluster_of(emr, other)["Status"]["State"] == "WAITING"


def test_a_policy_ends_an_idle_cluster_unless_it_is_removed(emulator: EmulatorProcess, emr: Any) -> None:
    cluster_id = kept_alive(emulator, emr, AutoTerminationPolicy={"IdleTimeout": 1200})
    policy = {"IdleTimeout": 1200}
    assert emr.get_auto_termination_policy(ClusterId=cluster_id)["AutoTerminationPolicy"] == policy
    emr.remove_auto_termination_policy(ClusterId=cluster_id)
    assert "AutoTerminationPolicy" not in emr.get_auto_termination_policy(ClusterId=cluster_id)
    emulator.advance(7200)
    assert cluster_of(emr, cluster_id)["Status"]["State"] == "WAITING"
    emr.put_auto_termination_policy(ClusterId=cluster_id, AutoTerminationPolicy=policy)
    emulator.advance(1800)
    assert cluster_of(emr, cluster_id)["Status"]["State"] == "TERMINATED"
    for call in (emr.put_auto_termination_policy, emr.remove_auto_termination_policy):
        more = {"AutoTerminationPolicy": policy} if call == emr.put_auto_termination_policy else {}
        assert "is not active" in message(call, ClusterId=cluster_id, **more)


def test_attributes_are_set_and_told(emulator: EmulatorProcess, emr: Any) -> None:
    given = {
        "CustomAmiId": "ami-0", "RepoUpgradeOnBoot": "NONE", "OSReleaseLabel": "2023.5.20240819.0",
        "EbsRootVolumeSize": 20, "EbsRootVolumeIops": 3000, "EbsRootVolumeThroughput": 125,
        "ScaleDownBehavior": "TERMINATE_AT_TASK_COMPLETION", "AutoScalingRole": "EMR_AutoScaling_DefaultRole",
    }  # fmt: skip
    flow = job_flow(instances={"KeepJobFlowAliveWhenNoSteps": True, "UnhealthyNodeReplacement": False}, **given)
    cluster_id = emr.run_job_flow(**flow)["JobFlowId"]
    cluster = cluster_of(emr, cluster_id)
    assert {name: cluster[name] for name in given} == given
    assert (cluster["UnhealthyNodeReplacement"], cluster["VisibleToAllUsers"]) == (False, True)
    emr.set_unhealthy_node_replacement(JobFlowIds=[cluster_id], UnhealthyNodeReplacement=True)
    emr.set_visible_to_all_users(JobFlowIds=[cluster_id], VisibleToAllUsers=False)
    emr.set_termination_protection(JobFlowIds=[cluster_id], TerminationProtected=True)
    cluster = cluster_of(emr, cluster_id)
    told = cluster["UnhealthyNodeReplacement"], cluster["VisibleToAllUsers"], cluster["TerminationProtected"]
    assert told == (True, False, True)
    emr.set_termination_protection(JobFlowIds=[cluster_id], TerminationProtected=False)
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
    emulator.advance(200)
    for call, more in [
        (emr.set_termination_protection, {"TerminationProtected": True}),
        (emr.set_visible_to_all_users, {"VisibleToAllUsers": True}),
        (emr.set_unhealthy_node_replacement, {"UnhealthyNodeReplacement": True}),
        (emr.set_keep_job_flow_alive_when_no_steps, {"KeepJobFlowAliveWhenNoSteps": True}),
    ]:
        assert "may not be modified" in message(call, JobFlowIds=[cluster_id], **more)
    assert "is not active" in message(emr.modify_cluster, ClusterId=cluster_id, StepConcurrencyLevel=2)
