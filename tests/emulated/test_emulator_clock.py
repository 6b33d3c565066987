"""The clock and the gate over HTTP: W by hand and at speed, processes that hold it, and who is let in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, job_flow


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--model", "a=100,b=0,c=0,d=0", "--noise", "0") as process:
        yield process


def clock(emulator: EmulatorProcess, method: str = "GET", **more: Any) -> httpx.Response:
    return httpx.request(method, f"{emulator.url}/_emulator/clock", timeout=60, trust_env=False, **more)


def step_of(emr: Any, cluster_id: str) -> dict[str, Any]:
    return dict(emr.list_steps(ClusterId=cluster_id)["Steps"][0]["Status"])


def test_by_hand_w_moves_exactly_as_told(emulator: EmulatorProcess) -> None:
    start = emulator.now()
    assert emulator.now() == start
    assert emulator.advance(12.5) == start + 12.5
    assert clock(emulator).json() == {"now": start + 12.5, "rate": 0.0}


def test_an_advance_waits_for_a_process_that_outlasts_its_time_on_w(emulator: EmulatorProcess) -> None:
    emr = emulator.client("emr")
    cluster_id = emr.run_job_flow(**job_flow(command("sleep", "0.5")))["JobFlowId"]
    emulator.advance(1000)
    line = step_of(emr, cluster_id)["Timeline"]
    assert (line["EndDateTime"] - line["StartDateTime"]).total_seconds() == pytest.approx(100)


def test_who_waits_for_a_moment_is_answered_when_it_comes(emulator: EmulatorProcess) -> None:
    until = emulator.now() + 30
    answers: list[httpx.Response] = []
    query = {"until": until, "timeout": 30}
    waiter = threading.Thread(target=lambda: answers.append(clock(emulator, params=query)))
    waiter.start()
    emulator.advance(20)
    assert waiter.is_alive()
    emulator.advance(20)
    waiter.join(30)
    assert answers[0].json()["now"] >= until


def test_a_wait_ends_with_its_timeout(emulator: EmulatorProcess) -> None:
    now = emulator.now()
    assert clock(emulator, params={"until": now + 1, "timeout": 0.05}).json()["now"] == now


def test_at_speed_w_runs_by_itself_and_clusters_with_it() -> None:
    with EmulatorProcess("--model", "a=100,b=0,c=0,d=0", speed=2000) as emulator:
        emr = emulator.client("emr")
        cluster_id = emr.run_job_flow(**job_flow(command("true")))["JobFlowId"]
        until = emulator.now() + 800
        while emulator.get("clock", until=until, timeout=30)["now"] < until:
            pass
        assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "TERMINATED"
        clock(emulator, "POST", json={"speed": 0})
        assert emulator.now() == emulator.now()


def test_on_the_wall_a_step_takes_what_it_takes() -> None:
    with EmulatorProcess(durations="wall") as emulator:
        emr = emulator.client("emr")
        cluster_id = emr.run_job_flow(**job_flow(command("sleep", "0.7")))["JobFlowId"]
        emulator.advance(1000)
        line = step_of(emr, cluster_id)["Timeline"]
        took = (line["EndDateTime"] - line["StartDateTime"]).total_seconds()
        assert 0.69 < took < 60, "real seconds, not emulated ones"
        assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "TERMINATED"


def test_a_process_beyond_the_cap_is_killed_and_its_step_has_failed() -> None:
    with EmulatorProcess("--process-cap", "0.5s", "--model", "a=100,b=0,c=0,d=0") as emulator:
        emr = emulator.client("emr")
        cluster_id = emr.run_job_flow(**job_flow(command("bash", "-c", "sleep 500 & sleep 500")))["JobFlowId"]
        emulator.advance(1000)
        status = step_of(emr, cluster_id)
        assert status["State"] == "FAILED"
        assert "--process-cap" in status["FailureDetails"]["Message"]


@pytest.mark.parametrize(
    ("method", "route", "more", "status", "words"),
    [
        ("GET", "clock?until=soon", {}, 400, "until is a number"),
        ("GET", "clock?timeout=1", {}, 400, "without until"),
        ("GET", "clock?at=1", {}, 400, "unknown parameter at"),
        ("POST", "clock", {"json": {"advance": -1}}, 400, "advance is a number"),
        ("POST", "clock", {"json": {"advance": 1e12}}, 400, "advance is at most"),
        ("POST", "clock", {"json": {"speed": True}}, 400, "speed is a number"),
        ("POST", "clock", {"json": {"speed": 1e7}}, 400, "speed is at most 1e+06"),
        ("POST", "clock", {"json": {"advance": 1, "speed": 2}}, 400, "the body is"),
        ("POST", "clock", {"content": "{"}, 400, "not JSON"),
        ("POST", "clock", {"json": [1]}, 400, "not a JSON object"),
        ("DELETE", "clock", {}, 404, "no such route"),
        ("GET", "calls?since=1", {}, 400, "unknown parameter since"),
        ("GET", "", {}, 404, "no such route"),
    ],
)
def test_a_request_that_makes_no_sense_is_answered_in_words(
    emulator: EmulatorProcess, method: str, route: str, more: dict[str, Any], status: int, words: str
) -> None:
    answer = httpx.request(method, f"{emulator.url}/_emulator/{route}", trust_env=False, **more)
    assert answer.status_code == status
    assert words in answer.json()["error"]


@pytest.mark.parametrize("path", ["/_emulator/clock", "/", "/bucket/key", "/webhdfs/v1/b?op=LISTSTATUS"])
@pytest.mark.parametrize("headers", [{"Origin": "http://127.0.0.1"}, {"Host": "evil.example:80"}, {"Host": "10.0.0.1"}])
def test_nothing_that_a_web_page_could_send_is_let_in(
    emulator: EmulatorProcess, path: str, headers: dict[str, str]
) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        answer = httpx.request(method, emulator.url + path, headers=headers, trust_env=False)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "localhost:9", "[::1]:5", "bucket.localhost:1"])
def test_every_name_of_loopback_is_let_in(emulator: EmulatorProcess, host: str) -> None:
    answer = httpx.get(f"{emulator.url}/_emulator/clock", headers={"Host": host}, trust_env=False)
    assert answer.status_code == 200
