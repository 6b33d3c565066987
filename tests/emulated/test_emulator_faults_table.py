"""Every fault that AWS can cause to a run can be said, and strikes: one entry of the table for each, by its number.

A client of one attempt on an emulator that executes nothing, W by hand. `docs/faults.md` has the same table in words.
"""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from servo_emr.emulator.faults.set import KINDS
from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, group, job_flow

PAGE = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
SPOT = {"InstanceGroups": [group("MASTER", 1), group("CORE", 2, Market="SPOT")]}
CAPACITY = "INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY_AZ"
UNSUPPORTED = "VALIDATION_ERROR_INSTANCE_TYPE_NOT_SUPPORTED"


class Scene:
    """One emulator and what a test does with it."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self.emulator = emulator
        self.emr: Any = emulator.client("emr")
        self.s3: Any = emulator.client("s3")

    def set(self, *faults: dict[str, Any]) -> None:
        answer = httpx.post(f"{self.emulator.url}/_emulator/faults", json=list(faults), trust_env=False)
        assert answer.status_code == 200, answer.text

    def struck(self) -> list[int]:
        return [fault["struck"] for fault in self.emulator.get("faults")]

    def launch(self, *, action: str = "TERMINATE_CLUSTER", instances: dict[str, Any] | None = None) -> str:
        step = command("true", action=action)
        flow = job_flow(step, instances=instances, LogUri="s3://acme/logs")
        return str(self.emr.run_job_flow(**flow)["JobFlowId"])

    def run(self, seconds: float = 7200, **how: Any) -> str:
        """A cluster that has been launched that long ago."""
        cluster_id = self.launch(**how)
        self.emulator.advance(seconds)
        return cluster_id

    def cluster(self, cluster_id: str) -> dict[str, Any]:
        return dict(self.emr.describe_cluster(ClusterId=cluster_id)["Cluster"])

    def status(self, cluster_id: str) -> tuple[str, str | None]:
        """State and the code of its reason."""
        status = self.cluster(cluster_id)["Status"]
        return status["State"], status["StateChangeReason"].get("Code")

    def errors(self, cluster_id: str) -> list[str]:
        return [detail["ErrorCode"] for detail in self.cluster(cluster_id)["Status"].get("ErrorDetails", ())]

    def step(self, cluster_id: str) -> str:
        return str(self.emr.list_steps(ClusterId=cluster_id)["Steps"][0]["Status"]["State"])

    def launched(self) -> int:
        """How many clusters there really are."""
        return len(self.emulator.state()["clusters"])


@pytest.fixture(scope="module")
def process() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--no-execute") as emulator:
        emulator.client("s3").create_bucket(Bucket="acme")
        yield emulator


@pytest.fixture
def scene(process: EmulatorProcess) -> Iterator[Scene]:
    """No fault and no living cluster is left to the next test."""
    made = Scene(process)
    yield made
    made.set()
    alive = [cluster["id"] for cluster in process.state()["clusters"] if cluster["ended"] is None]
    for cluster_id in alive:
        made.emr.set_termination_protection(JobFlowIds=[cluster_id], TerminationProtected=False)
        made.emr.terminate_job_flows(JobFlowIds=[cluster_id])
    process.advance(3600)


def code_of(call: Callable[..., Any], **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return str(caught.value.response["Error"]["Code"])


def lost(call: Callable[..., Any], **request: Any) -> None:
    with pytest.raises(ConnectionClosedError):
        call(**request)


def f1_a_launch_whose_answer_is_lost(scene: Scene) -> None:
    before = scene.launched()
    scene.set(
        {"kind": "drop-reply", "operation": "RunJobFlow", "occurrence": 1},
        {"kind": "server-error", "operation": "RunJobFlow", "occurrence": 2, "when": "after"},
        {"kind": "throttle", "operation": "RunJobFlow", "occurrence": 3, "when": "after"},
    )
    lost(scene.launch)
    assert [code_of(scene.launch) for _ in range(2)] == ["InternalFailure", "ThrottlingException"]
    assert scene.launched() == before + 3


def f2_a_launch_is_throttled_for_minutes(scene: Scene) -> None:
    before = scene.launched()
    scene.set({"kind": "throttle", "operation": "RunJobFlow", "until": 300})
    assert code_of(scene.launch) == "ThrottlingException"
    scene.emulator.advance(300)
    assert scene.launch().startswith("j-")
    assert scene.launched() == before + 1


def f3_a_permission_is_missing(scene: Scene) -> None:
    scene.set({"kind": "access-denied", "operation": "RunJobFlow"})
    assert code_of(scene.launch) == "AccessDeniedException"


def f4_a_launch_is_refused_at_once(scene: Scene) -> None:
    scene.set({"kind": "error", "operation": "RunJobFlow", "code": "ValidationException", "message": "No such subnet"})
    assert code_of(scene.launch) == "ValidationException"


def f5_a_launch_is_refused_minutes_later(scene: Scene) -> None:
    late = {"kind": "end-cluster", "phase": "provisioning", "after": 120, "code": "VALIDATION_ERROR"}
    scene.set(late | {"error": UNSUPPORTED})
    cluster_id = scene.run(119)
    assert scene.status(cluster_id)[0] == "STARTING"
    scene.emulator.advance(300)
    assert scene.status(cluster_id) == ("TERMINATED_WITH_ERRORS", "VALIDATION_ERROR")
    assert scene.errors(cluster_id) == [UNSUPPORTED]


def f6_a_quota_does_not_suffice(scene: Scene) -> None:
    scene.set(
        {"kind": "quota"},
        {"kind": "error", "operation": "RunJobFlow", "code": "ValidationException", "occurrence": 2},
    )
    cluster_id = scene.run()
    assert scene.status(cluster_id) == ("TERMINATED_WITH_ERRORS", "INTERNAL_ERROR")
    assert "service quota" in scene.cluster(cluster_id)["Status"]["StateChangeReason"]["Message"]
    assert code_of(scene.launch) == "ValidationException"


def f7_a_new_cluster_is_not_seen_yet(scene: Scene) -> None:
    scene.set({"kind": "list-lag", "seconds": 60})
    cluster_id = scene.launch()
    assert code_of(scene.cluster, cluster_id=cluster_id) == "InvalidRequestException"
    assert cluster_id not in [row["Id"] for row in scene.emr.list_clusters()["Clusters"]]
    scene.emulator.advance(60)
    assert scene.emr.list_clusters()["Clusters"][0]["Id"] == cluster_id


def f8_starting_for_ever(scene: Scene) -> None:
    scene.set({"kind": "no-capacity", "role": "CORE"})
    cluster_id = scene.run(6 * 3600)
    assert scene.status(cluster_id)[0] == "STARTING"
    assert scene.emr.list_instances(ClusterId=cluster_id, InstanceGroupTypes=["CORE"])["Instances"] == []


def f9_a_fleets_time_is_up(scene: Scene) -> None:
    scene.set(
        {"kind": "stuck", "phase": "provisioning"},
        {"kind": "end-cluster", "phase": "provisioning", "after": 3600, "code": "INSTANCE_FLEET_TIMEOUT"},
    )
    assert scene.status(scene.run()) == ("TERMINATED_WITH_ERRORS", "INSTANCE_FLEET_TIMEOUT")


def f10_bootstrap_fails_once_and_always(scene: Scene) -> None:
    scene.set({"kind": "bootstrap-failure", "occurrence": 1})
    assert [scene.status(scene.run())[1] for _ in range(2)] == ["BOOTSTRAP_FAILURE", "ALL_STEPS_COMPLETED"]
    scene.set({"kind": "bootstrap-failure", "code": "BOOTSTRAP_FAILURE_BA_DOWNLOAD_FAILED_PRIMARY"})
    for cluster_id in [scene.run() for _ in range(2)]:
        assert scene.errors(cluster_id) == ["BOOTSTRAP_FAILURE_BA_DOWNLOAD_FAILED_PRIMARY"]


def f11_an_internal_error(scene: Scene) -> None:
    scene.set(
        {"kind": "end-cluster", "after": 60, "code": "INTERNAL_ERROR", "error": CAPACITY, "message": "No capacity"}
    )
    cluster_id = scene.run()
    assert scene.status(cluster_id) == ("TERMINATED_WITH_ERRORS", "INTERNAL_ERROR")
    assert scene.errors(cluster_id) == [CAPACITY]


def f12_the_primary_is_lost(scene: Scene) -> None:
    scene.set({"kind": "lose-instance", "role": "MASTER", "phase": "step", "after": 30})
    cluster_id = scene.run()
    assert scene.status(cluster_id)[0] == "TERMINATED_WITH_ERRORS"
    assert scene.step(cluster_id) != "COMPLETED"


def f13_a_core_node_is_lost_and_the_step_interrupted(scene: Scene) -> None:
    scene.set({"kind": "lose-instance", "role": "CORE", "phase": "step", "after": 30, "interrupts": True})
    cluster_id = scene.run(action="CONTINUE")
    assert scene.step(cluster_id) == "INTERRUPTED"


def f14_spot_capacity_is_reclaimed(scene: Scene) -> None:
    scene.set({"kind": "reclaim-spot", "role": "CORE", "phase": "step", "after": 30})
    cluster_id = scene.run(instances=SPOT)
    assert scene.step(cluster_id) == "COMPLETED", "slower on AWS; here a law decides"
    ends = sorted(row["ended"] for row in scene.emulator.get("instances", cluster=cluster_id) if row["role"] == "CORE")
    assert ends[0] < scene.emulator.get("steps", cluster=cluster_id)[0]["ended"]
    untouched = scene.run()
    rows = scene.emulator.get("instances", cluster=untouched)
    assert len(rows) == 3, "on-demand instances are spared"


def f15_a_failed_step_and_an_end_without_a_reason(scene: Scene) -> None:
    scene.set({"kind": "end-step", "state": "FAILED", "message": "died"})
    cluster_id = scene.run(action="CONTINUE")
    assert scene.step(cluster_id) == "FAILED"
    assert scene.status(cluster_id) == ("TERMINATED", None)


def f16_a_person_cancels_the_step(scene: Scene) -> None:
    scene.set({"kind": "end-step", "state": "CANCELLED", "after": 30})
    assert scene.step(scene.run()) == "CANCELLED"


def f17_a_person_terminates_the_cluster(scene: Scene) -> None:
    scene.set({"kind": "user-terminates", "phase": "step", "after": 30})
    cluster_id = scene.run()
    assert scene.status(cluster_id) == ("TERMINATED", "USER_REQUEST")
    assert scene.step(cluster_id) != "COMPLETED"


def f18_a_person_protects_the_cluster(scene: Scene) -> None:
    scene.set({"kind": "protect", "phase": "provisioning", "after": 30})
    cluster_id = scene.run(31)
    assert scene.cluster(cluster_id)["TerminationProtected"] is True
    assert code_of(scene.emr.terminate_job_flows, JobFlowIds=[cluster_id]) == "ValidationException"


def f19_a_termination_fails_or_is_ignored(scene: Scene) -> None:
    scene.set(
        {"kind": "server-error", "operation": "TerminateJobFlows", "occurrence": 1},
        {"kind": "throttle", "operation": "TerminateJobFlows", "occurrence": 2},
        {"kind": "ignore-termination", "occurrence": 1},
        {"kind": "stuck", "phase": "step"},
    )
    cluster_id = scene.run(1000)
    terminate = scene.emr.terminate_job_flows
    assert [code_of(terminate, JobFlowIds=[cluster_id]) for _ in range(2)] == ["InternalFailure", "ThrottlingException"]
    terminate(JobFlowIds=[cluster_id])
    scene.emulator.advance(600)
    assert scene.status(cluster_id)[0] == "RUNNING"
    terminate(JobFlowIds=[cluster_id])
    scene.emulator.advance(600)
    assert scene.status(cluster_id)[0] == "TERMINATED"


def f20_terminating_for_twenty_minutes(scene: Scene) -> None:
    scene.set({"kind": "delay", "phase": "terminating", "seconds": 1200})
    cluster_id = scene.run(100)
    scene.emr.terminate_job_flows(JobFlowIds=[cluster_id])
    scene.emulator.advance(1200)
    assert scene.status(cluster_id)[0] == "TERMINATING"
    scene.emulator.advance(120)
    assert scene.status(cluster_id)[0] == "TERMINATED"


def f21_looks_are_throttled_for_minutes(scene: Scene) -> None:
    cluster_id = scene.launch()
    scene.set({"kind": "throttle", "operation": "Describe*", "until": 600})
    assert code_of(scene.cluster, cluster_id=cluster_id) == "ThrottlingException"
    scene.emulator.advance(600)
    assert scene.cluster(cluster_id)["Id"] == cluster_id


def f22_the_network_and_the_clock(scene: Scene) -> None:
    scene.set(
        {"kind": "error", "operation": "ListClusters", "code": "ServiceUnavailable", "status": 503, "occurrence": 1},
        {"kind": "drop-reply", "operation": "ListClusters", "when": "before", "occurrence": 2},
        {"kind": "clock-skew", "operation": "ListClusters", "seconds": -3600, "occurrence": 3},
        {"kind": "slow", "operation": "ListClusters", "seconds": 2, "occurrence": 4},
    )
    assert code_of(scene.emr.list_clusters) == "ServiceUnavailable"
    lost(scene.emr.list_clusters)
    with pytest.raises(ClientError) as caught:
        scene.emr.list_clusters()
    shown = parsedate_to_datetime(caught.value.response["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
    assert time.time() - shown == pytest.approx(3600, abs=60)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    patience = Config(retries={"total_max_attempts": 1}, read_timeout=0.2)
    impatient = boto3.client("emr", endpoint_url=scene.emulator.url, config=patience, **keys)
    with pytest.raises(ReadTimeoutError):
        impatient.list_clusters()
    impatient.close()


def f23_the_credentials_expire(scene: Scene) -> None:
    scene.set({"kind": "expired-credentials", "operation": "*:*", "since": 1000})
    assert scene.status(scene.run(999))[0] == "RUNNING"
    scene.emulator.advance(1)
    assert code_of(scene.emr.list_clusters) == "ExpiredTokenException"
    assert code_of(scene.s3.list_buckets) == "ExpiredToken"
    assert code_of(scene.emulator.client("ec2").describe_subnets) == "RequestExpired"


def f24_the_endpoint_is_down_at_teardown(scene: Scene) -> None:
    cluster_id = scene.run(100)
    scene.set({"kind": "drop-reply", "operation": "*:*", "when": "before", "since": 10, "until": 1000})
    scene.emulator.advance(10)
    lost(scene.emr.terminate_job_flows, JobFlowIds=[cluster_id])
    lost(scene.s3.list_buckets)
    assert scene.emulator.state()["clusters"][-1]["state"] == "STARTING"
    scene.emulator.advance(990)
    assert scene.cluster(cluster_id)["Id"] == cluster_id


def f25_the_step_hangs(scene: Scene) -> None:
    scene.set({"kind": "stuck", "phase": "step"})
    assert scene.step(scene.run(24 * 3600)) == "RUNNING"


def f26_what_the_job_needs_cannot_be_installed(scene: Scene) -> None:
    scene.set({"kind": "bootstrap-failure", "message": "No matching distribution found for papermill"})
    reason = scene.cluster(scene.run())["Status"]["StateChangeReason"]
    assert (reason["Code"], "papermill" in reason["Message"]) == ("BOOTSTRAP_FAILURE", True)


def f29_conditional_writes_that_fail(scene: Scene) -> None:
    scene.set(
        {"kind": "conflict", "occurrence": 1},
        {"kind": "error", "operation": "s3:PutObject", "code": "PreconditionFailed", "status": 412, "occurrence": 2},
    )
    put = {"Bucket": "acme", "Key": "record", "Body": b"{}", "IfNoneMatch": "*"}
    codes = [code_of(scene.s3.put_object, **put) for _ in range(2)]
    assert codes == ["ConditionalRequestConflict", "PreconditionFailed"]
    scene.s3.put_object(**put)


def f32_prices_and_types_that_cannot_be_had(scene: Scene) -> None:
    scene.set(
        {"kind": "access-denied", "operation": "pricing:GetProducts"},
        {"kind": "access-denied", "operation": "ec2:DescribeSpotPriceHistory"},
        {"kind": "error", "operation": "ec2:DescribeInstanceTypes", "code": "InvalidInstanceType"},
    )
    ec2 = scene.emulator.client("ec2")
    assert code_of(scene.emulator.client("pricing").get_products, ServiceCode="AmazonEC2") == "AccessDeniedException"
    assert code_of(ec2.describe_spot_price_history) == "UnauthorizedOperation"
    assert code_of(ec2.describe_instance_types, InstanceTypes=["m5.xlarge"]) == "InvalidInstanceType"


def f33_times_that_make_no_sense(scene: Scene) -> None:
    cluster_id = scene.run()
    ended = "Status.Timeline.EndDateTime"
    scene.set(
        {"kind": "alter", "operation": "ListInstances", "member": f"Instances.{ended}", "remove": True},
        {"kind": "alter", "operation": "ListSteps", "member": f"Steps.{ended}", "by": -86400},
    )
    rows = scene.emr.list_instances(ClusterId=cluster_id)["Instances"]
    assert [row["Status"]["State"] for row in rows if "EndDateTime" not in row["Status"]["Timeline"]] == [
        "TERMINATED"
    ] * 3
    times = scene.emr.list_steps(ClusterId=cluster_id)["Steps"][0]["Status"]["Timeline"]
    assert times["EndDateTime"] < times["StartDateTime"]


def f34_logs_that_are_late_cut_off_or_not_to_be_had(scene: Scene) -> None:
    def logs(cluster_id: str) -> list[str]:
        listing = scene.s3.list_objects_v2(Bucket="acme", Prefix=f"logs/{cluster_id}/steps/")
        return [item["Key"] for item in listing.get("Contents", ())]

    scene.set(
        {"kind": "logs", "delay": 7200, "keep": 0.5, "occurrence": 1},
        {"kind": "alter", "operation": "DescribeCluster", "member": "Cluster.LogUri", "to": "s3n://acme/logs/"},
        {"kind": "access-denied", "operation": "s3:GetObject", "occurrence": 2},
    )
    cluster_id = scene.run(3600)
    assert scene.status(cluster_id)[0] == "TERMINATED"
    assert scene.cluster(cluster_id)["LogUri"] == "s3n://acme/logs/"
    assert logs(cluster_id) == []
    scene.emulator.advance(7200)
    key = next(key for key in logs(cluster_id) if "controller" in key)
    cut = scene.s3.get_object(Bucket="acme", Key=key)["Body"].read()
    with pytest.raises(EOFError):
        gzip.decompress(cut)
    assert code_of(scene.s3.get_object, Bucket="acme", Key=key) == "AccessDenied"


TABLE: dict[str, Callable[[Scene], None]] = {
    name.partition("_")[0].upper(): case for name, case in globals().items() if re.match(r"f\d+_", name)
}


@pytest.mark.parametrize("number", TABLE)
def test_the_fault_can_be_said_and_strikes(scene: Scene, number: str) -> None:
    TABLE[number](scene)
    assert all(scene.struck()), scene.emulator.get("faults")


def test_every_fault_that_aws_can_cause_is_in_the_table() -> None:
    told = re.findall(r"^\| (F\d+) \|", PAGE, re.MULTILINE)
    assert list(TABLE) == told
    assert set(told) == {f"F{number}" for number in (*range(1, 27), 29, 32, 33, 34)}


def test_every_kind_of_fault_is_provoked_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert set(re.findall(r'"kind": "([a-z-]+)"', source)) == set(KINDS)
