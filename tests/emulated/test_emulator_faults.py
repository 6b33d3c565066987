"""Faults on demand: what a client of one attempt is told, and what is true all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError

from servo_emr.emulator.emr.operations import OPERATIONS
from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, job_flow


@pytest.fixture(scope="module")
def process() -> Iterator[EmulatorProcess]:
    with EmulatorProcess() as emulator:
        yield emulator


@pytest.fixture
def emulator(process: EmulatorProcess) -> Iterator[EmulatorProcess]:
    """No fault and no living cluster is left to the next test."""
    yield process
    post(process, [])
    alive = [cluster["id"] for cluster in process.state()["clusters"] if cluster["ended"] is None]
    for cluster_id in alive:
        process.client("emr").terminate_job_flows(JobFlowIds=[cluster_id])
    process.advance(100)


@pytest.fixture
def emr(emulator: EmulatorProcess) -> Any:
    return emulator.client("emr")


def post(emulator: EmulatorProcess, document: Any) -> httpx.Response:
    return httpx.post(f"{emulator.url}/_emulator/faults", json=document, trust_env=False)


def set_faults(emulator: EmulatorProcess, *faults: dict[str, Any]) -> None:
    answer = post(emulator, list(faults))
    assert answer.status_code == 200, answer.text


def struck(emulator: EmulatorProcess) -> list[int]:
    return [fault["struck"] for fault in emulator.get("faults")]


def error_of(call: Callable[..., Any], **request: Any) -> dict[str, Any]:
    """Code, Message and Status of the error that a call answers."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    answer = caught.value.response
    return {**answer["Error"], "Status": answer["ResponseMetadata"]["HTTPStatusCode"]}


def lost(call: Callable[..., Any], **request: Any) -> BotoCoreError:
    """The error of a call whose connection was closed without an answer."""
    with pytest.raises(ConnectionClosedError) as caught:
        call(**request)
    return caught.value


def names(emulator: EmulatorProcess) -> list[str]:
    """The clusters that really are there, by name."""
    return [cluster["name"] for cluster in emulator.state()["clusters"]]


def launch(emr: Any, name: str) -> str:
    return str(emr.run_job_flow(**job_flow(command("true"), Name=name))["JobFlowId"])


def test_a_launch_whose_answer_is_dropped_has_taken_effect(emulator: EmulatorProcess, emr: Any) -> None:
    set_faults(emulator, {"operation": "RunJobFlow", "kind": "drop-reply", "occurrence": 1})
    lost(launch, emr=emr, name="lost")
    assert [c["Name"] for c in emr.list_clusters(ClusterStates=["STARTING"])["Clusters"]] == ["lost"]
    assert launch(emr, "heard").startswith("j-")
    assert names(emulator)[-2:] == ["lost", "heard"]
    assert struck(emulator) == [1]


def test_a_call_without_an_answer_is_on_record_too(emulator: EmulatorProcess, emr: Any) -> None:
    before = len(emulator.calls("elasticmapreduce", "ListClusters"))
    set_faults(emulator, {"operation": "ListClusters", "kind": "drop-reply", "occurrence": 1})
    lost(emr.list_clusters)
    emr.list_clusters()
    assert [call["status"] for call in emulator.calls("elasticmapreduce", "ListClusters")[before:]] == [0, 200]


def test_a_refusal_is_dropped_as_well_as_a_success(emulator: EmulatorProcess, emr: Any) -> None:
    set_faults(emulator, {"operation": "DescribeCluster", "kind": "drop-reply", "occurrence": 1})
    lost(emr.describe_cluster, ClusterId="j-NOBODY")
    assert error_of(emr.describe_cluster, ClusterId="j-NOBODY")["Code"] == "InvalidRequestException"


def test_an_error_before_the_effect_leaves_nothing_behind(emulator: EmulatorProcess, emr: Any) -> None:
    throttle = {"operation": "RunJobFlow", "kind": "error", "code": "ThrottlingException", "message": "Rate exceeded"}
    set_faults(emulator, {**throttle, "status": 400, "when": "before", "occurrence": 2})
    launch(emr, "first")
    error = error_of(launch, emr=emr, name="second")
    assert error == {"Code": "ThrottlingException", "Message": "Rate exceeded", "Status": 400}
    launch(emr, "third")
    assert names(emulator)[-2:] == ["first", "third"]
    assert struck(emulator) == [1]


def test_an_error_after_the_effect_leaves_a_cluster_behind(emulator: EmulatorProcess, emr: Any) -> None:
    fault = {"operation": "RunJobFlow", "kind": "error", "code": "ServiceUnavailable", "status": 503, "when": "after"}
    set_faults(emulator, fault | {"occurrence": 1})
    error = error_of(launch, emr=emr, name="there")
    assert (error["Code"], error["Status"]) == ("ServiceUnavailable", 503)
    assert names(emulator)[-1] == "there"
    cluster_id = emr.list_clusters(ClusterStates=["STARTING"])["Clusters"][0]["Id"]
    assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Name"] == "there"


def test_a_termination_that_is_refused_leaves_the_cluster_alive(emulator: EmulatorProcess, emr: Any) -> None:
    cluster_id = launch(emr, "stays")
    set_faults(emulator, {"operation": "TerminateJobFlows", "kind": "error", "code": "InternalFailure", "status": 500})
    for _ in range(3):
        assert error_of(emr.terminate_job_flows, JobFlowIds=[cluster_id])["Status"] == 500
    assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "STARTING"
    assert struck(emulator) == [3], "without an occurrence every call is meant"


def test_a_fault_ends_on_the_clock(emulator: EmulatorProcess, emr: Any) -> None:
    throttle = {"operation": "ListClusters", "kind": "error", "code": "ThrottlingException", "occurrence": "every"}
    set_faults(emulator, throttle | {"until": 600})
    emulator.advance(599)
    assert error_of(emr.list_clusters)["Code"] == "ThrottlingException"
    emulator.advance(1)
    assert emr.list_clusters()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert struck(emulator) == [1]


def test_of_two_faults_of_one_call_the_first_strikes_and_both_count_the_call(
    emulator: EmulatorProcess, emr: Any
) -> None:
    fault = {"operation": "ListClusters", "kind": "error"}
    set_faults(emulator, fault | {"code": "A", "occurrence": 1}, fault | {"code": "B", "occurrence": 2})
    assert [error_of(emr.list_clusters)["Code"] for _ in range(2)] == ["A", "B"]
    set_faults(emulator, fault | {"code": "A"}, fault | {"code": "B"})
    assert [error_of(emr.list_clusters)["Code"] for _ in range(2)] == ["A", "A"]
    assert struck(emulator) == [2, 0]


def test_a_new_cluster_is_out_of_sight_until_the_lag_is_over(emulator: EmulatorProcess, emr: Any) -> None:
    old = launch(emr, "old")
    emulator.advance(60)
    set_faults(emulator, {"kind": "list-lag", "seconds": 30})
    new = launch(emr, "new")
    emulator.advance(29)
    assert [c["Id"] for c in emr.list_clusters(ClusterStates=["STARTING"])["Clusters"]] == [old]
    for look in (emr.describe_cluster, emr.list_steps):
        error = error_of(look, ClusterId=new)
        assert (error["Code"], new in error["Message"]) == ("InvalidRequestException", True)
    assert names(emulator)[-1] == "new", "it is there all the while"
    assert struck(emulator) == [3]
    emulator.advance(1)
    assert [c["Id"] for c in emr.list_clusters(ClusterStates=["STARTING"])["Clusters"]] == [new, old]
    assert emr.describe_cluster(ClusterId=new)["Cluster"]["Name"] == "new"
    assert len(emr.list_steps(ClusterId=new)["Steps"]) == 1
    assert struck(emulator) == [3]


def test_a_cluster_that_is_not_listed_yet_can_be_terminated(emulator: EmulatorProcess, emr: Any) -> None:
    set_faults(emulator, {"kind": "list-lag", "seconds": 300})
    emr.terminate_job_flows(JobFlowIds=[launch(emr, "hidden")])
    assert emulator.state()["clusters"][-1]["state"] == "TERMINATING"


def test_the_faults_are_listed_as_given_and_replaced_as_a_whole(emulator: EmulatorProcess, emr: Any) -> None:
    first = {"kind": "list-lag", "seconds": 5}
    second = {"operation": "ListSteps", "kind": "drop-reply", "occurrence": 3, "until": 60}
    assert post(emulator, [first, second]).json() == [first | {"struck": 0}, second | {"struck": 0}]
    assert emulator.get("faults") == [first | {"struck": 0}, second | {"struck": 0}]
    assert post(emulator, [second]).json() == [second | {"struck": 0}]
    assert post(emulator, []).json() == []
    assert emr.list_clusters()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_bad_document_is_refused_in_words_and_changes_nothing(emulator: EmulatorProcess) -> None:
    good = {"kind": "list-lag", "seconds": 5}
    set_faults(emulator, good)
    answer = post(emulator, [good, {"kind": "drop-reply", "operation": "RunJobFlw"}])
    assert answer.status_code == 400
    words = 'fault 2: operation RunJobFlw: emr has none of that name (did you mean "RunJobFlow"?)'
    assert answer.json()["error"] == words
    assert emulator.get("faults") == [good | {"struck": 0}]


@pytest.mark.parametrize("body", ["[", "[NaN"])
def test_what_is_no_json_is_refused(emulator: EmulatorProcess, body: str) -> None:
    answer = httpx.post(f"{emulator.url}/_emulator/faults", content=body, trust_env=False)
    assert (answer.status_code, "not JSON" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_operation_can_be_struck(emulator: EmulatorProcess, operation: str) -> None:
    set_faults(emulator, {"operation": operation, "kind": "error", "code": "ThrottlingException"})
    client = emulator.client("emr", check=False)
    method = next(name for name, mapped in client.meta.method_to_api_mapping.items() if mapped == operation)
    assert error_of(getattr(client, method))["Code"] == "ThrottlingException"
    assert struck(emulator) == [1]
