"""boto3's own waiters and paginators on clusters that run while they wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, fleet, fleet_job_flow, group, job_flow

# Waiters look every few hundredths of a second while W is moved on beside them.
OFTEN = {"Delay": 0.02, "MaxAttempts": 2000}


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--model", "a=100,b=0,c=0,d=0", "--noise", "0", "--seed", "waiters") as process:
        yield process


@pytest.fixture(scope="module")
def emr(emulator: EmulatorProcess) -> Any:
    return emulator.client("emr")


@pytest.fixture
def passing(emulator: EmulatorProcess) -> Iterator[None]:
    """W moves on by itself, in steps small enough that a waiter sees every state."""
    stop = threading.Event()

    def move() -> None:
        while not stop.is_set():
            emulator.advance(20)

    mover = threading.Thread(target=move)
    mover.start()
    yield
    stop.set()
    mover.join()


@pytest.mark.usefixtures("passing")
def test_waiters_see_a_cluster_run_its_step_complete_and_the_cluster_end(emr: Any) -> None:
    instances = {"KeepJobFlowAliveWhenNoSteps": True}
    cluster_id = emr.run_job_flow(**job_flow(command("true"), instances=instances))["JobFlowId"]
    emr.get_waiter("cluster_running").wait(ClusterId=cluster_id, WaiterConfig=OFTEN)
    assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] in {"RUNNING", "WAITING"}
    (step,) = emr.list_steps(ClusterId=cluster_id)["Steps"]
    emr.get_waiter("step_complete").wait(ClusterId=cluster_id, StepId=step["Id"], WaiterConfig=OFTEN)
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
    emr.get_waiter("cluster_terminated").wait(ClusterId=cluster_id, WaiterConfig=OFTEN)


@pytest.mark.usefixtures("passing")
def test_waiters_fail_when_what_they_wait_for_cannot_come(emr: Any) -> None:
    cluster_id = emr.run_job_flow(**job_flow(command("false")))["JobFlowId"]
    (step,) = emr.list_steps(ClusterId=cluster_id)["Steps"]
    with pytest.raises(WaiterError, match="failure state"):
        emr.get_waiter("step_complete").wait(ClusterId=cluster_id, StepId=step["Id"], WaiterConfig=OFTEN)
    with pytest.raises(WaiterError, match="failure state"):
        emr.get_waiter("cluster_terminated").wait(ClusterId=cluster_id, WaiterConfig=OFTEN)
    nowhere = job_flow(instances={"Placement": {"AvailabilityZone": "us-east-1e"}})
    cluster_id = emr.run_job_flow(**nowhere)["JobFlowId"]
    with pytest.raises(WaiterError, match="failure state"):
        emr.get_waiter("cluster_running").wait(ClusterId=cluster_id, WaiterConfig=OFTEN)


def test_every_paginator_of_boto3_walks_all_pages(emulator: EmulatorProcess, emr: Any) -> None:
    groups = {"InstanceGroups": [group("MASTER", 1), group("CORE", 1), *[group("TASK", 2)] * 48]}
    cluster_id = emr.run_job_flow(**job_flow(*[command("true")] * 51, instances=groups))["JobFlowId"]
    fleets = [fleet("CORE", TargetOnDemandCapacity=52), fleet("TASK", TargetOnDemandCapacity=1)]
    other_id = emr.run_job_flow(**fleet_job_flow(fleets=fleets))["JobFlowId"]
    emulator.advance(60)
    for name, target, key, sizes in [
        ("list_steps", cluster_id, "Steps", [50, 1]),
        ("list_instances", cluster_id, "Instances", [50, 48]),
        ("list_instances", other_id, "Instances", [50, 4]),
        ("list_instance_groups", cluster_id, "InstanceGroups", [50]),
        ("list_instance_fleets", other_id, "InstanceFleets", [3]),
        ("list_bootstrap_actions", cluster_id, "BootstrapActions", [0]),
    ]:
        pages = list(emr.get_paginator(name).paginate(ClusterId=target))
        assert [len(page[key]) for page in pages] == sizes, name
        ids = [entry["Id"] for page in pages for entry in page[key]]
        assert len(set(ids)) == len(ids)
    limited = emr.get_paginator("list_steps").paginate(ClusterId=cluster_id, PaginationConfig={"MaxItems": 7})
    assert len(limited.build_full_result()["Steps"]) == 7
    emr.terminate_job_flows(JobFlowIds=[cluster_id, other_id])
    emulator.advance(200)
