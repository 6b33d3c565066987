"""Faults of calls, seen by real clients: each service in its own words, before and after the effect, whoever calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, job_flow


@pytest.fixture(scope="module")
def process() -> Iterator[EmulatorProcess]:
    with EmulatorProcess() as emulator:
        emulator.client("s3").create_bucket(Bucket="acme")
        yield emulator


@pytest.fixture
def emulator(process: EmulatorProcess) -> Iterator[EmulatorProcess]:
    """No fault is left to the next test."""
    yield process
    set_faults(process)


def set_faults(emulator: EmulatorProcess, *faults: dict[str, Any]) -> None:
    answer = httpx.post(f"{emulator.url}/_emulator/faults", json=list(faults), trust_env=False)
    assert answer.status_code == 200, answer.text


def struck(emulator: EmulatorProcess) -> list[int]:
    return [fault["struck"] for fault in emulator.get("faults")]


def refused(call: Callable[..., Any], **request: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value


def code_of(call: Callable[..., Any], **request: Any) -> tuple[str, int]:
    answer = refused(call, **request).response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


CALLS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "emr": ("ListClusters", lambda client: client.list_clusters()),
    "s3": ("ListBuckets", lambda client: client.list_buckets()),
    "ec2": ("DescribeSubnets", lambda client: client.describe_subnets()),
    "sts": ("GetCallerIdentity", lambda client: client.get_caller_identity()),
    "iam": ("GetRole", lambda client: client.get_role(RoleName="EMR_DefaultRole")),
    "pricing": ("DescribeServices", lambda client: client.describe_services(ServiceCode="AmazonEC2")),
    "service-quotas": ("ListServices", lambda client: client.list_services()),
}
SAID: dict[str, dict[str, tuple[str, int]]] = {
    "throttle": {
        "emr": ("ThrottlingException", 400),
        "s3": ("SlowDown", 503),
        "ec2": ("RequestLimitExceeded", 503),
        "sts": ("Throttling", 400),
        "iam": ("Throttling", 400),
        "pricing": ("ThrottlingException", 400),
        "service-quotas": ("TooManyRequestsException", 400),
    },
    "access-denied": {
        "emr": ("AccessDeniedException", 400),
        "s3": ("AccessDenied", 403),
        "ec2": ("UnauthorizedOperation", 403),
        "sts": ("AccessDenied", 403),
        "iam": ("AccessDenied", 403),
        "pricing": ("AccessDeniedException", 400),
        "service-quotas": ("AccessDeniedException", 400),
    },
    "expired-credentials": {
        "emr": ("ExpiredTokenException", 400),
        "s3": ("ExpiredToken", 400),
        "ec2": ("RequestExpired", 400),
        "sts": ("ExpiredToken", 403),
        "iam": ("ExpiredToken", 403),
        "pricing": ("ExpiredTokenException", 400),
        "service-quotas": ("ExpiredTokenException", 400),
    },
    "server-error": {
        "emr": ("InternalFailure", 500),
        "s3": ("InternalError", 500),
        "ec2": ("InternalError", 500),
        "sts": ("InternalFailure", 500),
        "iam": ("InternalFailure", 500),
        "pricing": ("InternalErrorException", 500),
        "service-quotas": ("ServiceException", 500),
    },
}


@pytest.mark.parametrize("service", CALLS)
def test_every_service_refuses_in_its_own_words(emulator: EmulatorProcess, service: str) -> None:
    operation, call = CALLS[service]
    client = emulator.client(service)
    for kind, said in SAID.items():
        set_faults(emulator, {"kind": kind, "operation": f"{service}:{operation}"})
        assert code_of(call, client=client) == said[service], kind
        assert struck(emulator) == [1]
    signed = {"emr": "elasticmapreduce", "service-quotas": "servicequotas"}.get(service, service)
    recorded = [(call["error"], call["status"]) for call in emulator.calls(signed, operation)[-len(SAID) :]]
    assert recorded == [said[service] for said in SAID.values()]


@pytest.mark.parametrize("service", CALLS)
def test_a_clock_that_is_off_refuses_and_shows_its_time(emulator: EmulatorProcess, service: str) -> None:
    operation, call = CALLS[service]
    set_faults(emulator, {"kind": "clock-skew", "operation": f"{service}:{operation}", "seconds": 3600})
    answer = refused(call, client=emulator.client(service)).response
    shown = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
    assert shown - time.time() == pytest.approx(3600, abs=60)


def test_one_permission_is_taken_away_and_the_message_names_it(emulator: EmulatorProcess) -> None:
    set_faults(emulator, {"kind": "access-denied", "operation": "RunJobFlow"})
    error = refused(emulator.client("emr").run_job_flow, **job_flow(command("true")))
    assert "not authorized to perform: elasticmapreduce:RunJobFlow because" in error.response["Error"]["Message"]
    assert emulator.client("emr").list_clusters()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_write_can_take_effect_before_it_fails_and_not_at_all(emulator: EmulatorProcess) -> None:
    s3 = emulator.client("s3")

    def put(key: str) -> None:
        s3.put_object(Bucket="acme", Key=key, Body=b"x")

    def keys() -> set[str]:
        return {item["Key"] for item in s3.list_objects_v2(Bucket="acme", Prefix="w/").get("Contents", ())}

    for when, key in (("before", "w/1"), ("after", "w/2")):
        set_faults(emulator, {"kind": "server-error", "operation": "s3:PutObject", "when": when})
        assert code_of(put, key=key) == ("InternalError", 500)
    assert keys() == {"w/2"}
    for when, key in (("before", "w/3"), ("after", "w/4")):
        set_faults(emulator, {"kind": "drop-reply", "operation": "s3:Put*", "when": when})
        with pytest.raises(ConnectionClosedError):
            put(key)
    assert keys() == {"w/2", "w/4"}
    set_faults(emulator, {"kind": "access-denied", "operation": "s3:HeadObject"})
    assert code_of(s3.head_object, Bucket="acme", Key="w/2") == ("403", 403), "an answer to HEAD has no body"


def test_conditional_writes_conflict_and_plain_ones_do_not(emulator: EmulatorProcess) -> None:
    s3 = emulator.client("s3")
    set_faults(emulator, {"kind": "conflict", "occurrence": 1})
    s3.put_object(Bucket="acme", Key="c", Body=b"plain")
    conditional = {"Bucket": "acme", "Key": "d", "Body": b"new", "IfNoneMatch": "*"}
    assert code_of(s3.put_object, **conditional) == ("ConditionalRequestConflict", 409)
    s3.put_object(**conditional)
    assert struck(emulator) == [1]


def test_a_slow_answer_is_given_up_and_has_taken_effect(emulator: EmulatorProcess) -> None:
    impatient = boto3.client(
        "s3",
        endpoint_url=emulator.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=0.2),
    )
    set_faults(emulator, {"kind": "slow", "operation": "s3:PutObject", "seconds": 2})
    with pytest.raises(ReadTimeoutError):
        impatient.put_object(Bucket="acme", Key="slow", Body=b"x")
    impatient.close()
    assert emulator.client("s3").get_object(Bucket="acme", Key="slow")["Body"].read() == b"x"
    set_faults(emulator, {"kind": "slow", "operation": "ListClusters", "seconds": 0.2, "when": "before"})
    assert emulator.client("emr").list_clusters()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert struck(emulator) == [1], "who is patient hears the answer"


def test_answers_are_altered(emulator: EmulatorProcess) -> None:
    emr = emulator.client("emr")
    cluster_id = emr.run_job_flow(**job_flow(command("true"), LogUri="s3://acme/logs"))["JobFlowId"]
    emulator.advance(7200)
    ended = "Steps.Status.Timeline.EndDateTime"
    (before,) = emr.list_steps(ClusterId=cluster_id)["Steps"]
    set_faults(
        emulator,
        {"kind": "alter", "operation": "ListInstances", "member": "Instances.Status.Timeline.EndDateTime"}
        | {"remove": True},
        {"kind": "alter", "operation": "ListSteps", "member": ended, "by": -86400},
        {"kind": "alter", "operation": "DescribeCluster", "member": "Cluster.LogUri", "to": "s3n://acme/logs/"},
    )
    rows = emr.list_instances(ClusterId=cluster_id)["Instances"]
    assert len(rows) == 3
    assert all("EndDateTime" not in row["Status"]["Timeline"] for row in rows)
    (after,) = emr.list_steps(ClusterId=cluster_id)["Steps"]
    moved = after["Status"]["Timeline"]["EndDateTime"] - before["Status"]["Timeline"]["EndDateTime"]
    assert moved.total_seconds() == pytest.approx(-86400)
    assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["LogUri"] == "s3n://acme/logs/"
    assert code_of(emr.list_steps, ClusterId="j-NOBODY")[0] == "InvalidRequestException"


def test_the_node_has_permissions_of_its_own(emulator: EmulatorProcess) -> None:
    s3, emr = emulator.client("s3"), emulator.client("emr")
    s3.put_object(Bucket="acme", Key="input", Body=b"x")
    fetch = command("aws", "s3", "cp", "s3://acme/input", "-", action="CONTINUE", name="fetch")
    set_faults(emulator, {"kind": "access-denied", "operation": "s3:*", "caller": "node"})
    cluster_id = emr.run_job_flow(**job_flow(fetch))["JobFlowId"]
    emulator.advance(7200)
    assert emr.list_steps(ClusterId=cluster_id)["Steps"][0]["Status"]["State"] == "FAILED"
    assert struck(emulator)[0] > 0
    assert s3.get_object(Bucket="acme", Key="input")["Body"].read() == b"x", "nobody else is denied"


def test_the_recorded_rows_are_exact(emulator: EmulatorProcess) -> None:
    emr = emulator.client("emr")
    before = emulator.now()
    cluster_id = emr.run_job_flow(**job_flow(command("true", name="only")))["JobFlowId"]
    emulator.advance(7200)
    rows = emulator.get("instances", cluster=cluster_id)
    answers = {row["Id"]: row for row in emr.list_instances(ClusterId=cluster_id)["Instances"]}
    assert [row["id"] for row in rows] and {row["id"] for row in rows} == set(answers)
    for row in rows:
        told = answers[row["id"]]
        assert (row["type"], row["market"], row["ec2_id"], row["state"]) == (
            told["InstanceType"],
            told["Market"],
            told["Ec2InstanceId"],
            told["Status"]["State"],
        )
        assert row["zone"].startswith("us-east-1")
        assert before < row["created"] < row["ready"] < row["ended"] < emulator.now()
        assert row["ended"] == pytest.approx(told["Status"]["Timeline"]["EndDateTime"].timestamp(), abs=1)
    (step,) = emulator.get("steps", cluster=cluster_id)
    assert (step["cluster"], step["name"], step["state"]) == (cluster_id, "only", "COMPLETED")
    assert before < step["started"] < step["ended"]
    assert len(emulator.get("instances")) >= len(rows)
    assert emulator.get("instances", cluster="j-NOBODY") == []
