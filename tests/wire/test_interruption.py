"""A real `servo run` under a supervisor, interrupted in every way: no cluster is left, no run is paid twice."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.optimizer import describe, measure
from tests.support.persistent import PersistentOptimizer
from tests.support.promise import alive, broken
from tests.support.proxy import Call, When, named
from tests.support.sampled import sampled
from tests.support.servo import command, until
from tests.support.stage import Scene, Stage

WANTED = ["duration", "cost"]


def seconds_of_the_step(stage: Stage, cluster_id: str) -> float:
    times = stage.account.step(cluster_id)["Status"]["Timeline"]
    return float((times["EndDateTime"] - times["StartDateTime"]).total_seconds())


def phase(report: dict[str, Any]) -> str:
    """The phase that a progress report names."""
    return str(report["message"].split("run ", 1)[1].split(": ", 1)[1].split(",", 1)[0])


@pytest.mark.nightly
def test_f31_a_cancel_ends_the_cluster_and_only_then_another_is_launched(stage: Stage, tmp_path: Path) -> None:
    """In the job: the optimizer cancels; the cluster is ended, and only then is the next measurement's launched."""
    with stage.scene(tmp_path, "cancel") as scene:
        uid = scene.optimizer.ask(measure(WANTED))
        scene.optimizer.cancel_when(lambda report: phase(report) == "running")
        assert scene.settled(uid)["status"] == "cancelled"
        answer = scene.ask(measure(WANTED))
        first, second = scene.clusters()
        assert scene.servo.starts == 2
        assert broken(scene) == []
    assert [result["status"] for result in scene.optimizer.terminal(uid)] == ["cancelled"]
    assert answer["annotations"]["cluster_id"] == second["Id"]
    assert "recovered" not in answer["annotations"]
    assert first["Status"]["StateChangeReason"]["Code"] == "USER_REQUEST"
    cancelled, measured = scene.records()
    assert (cancelled["verdict"], cancelled["reason"], cancelled["state"]) == ("aborted", "shutdown", "verified")
    assert (cancelled["cluster_id"], measured["verdict"]) == (first["Id"], "succeeded")
    assert cancelled["cost"]["usd"] > 0


MOMENTS: dict[str, tuple[When, Callable[[], Callable[[Call], bool]]]] = {
    "while the launch is in flight": ("before", lambda: named("RunJobFlow")),
    "in provisioning": ("after", lambda: named("DescribeCluster")),
    "in the job": ("after", lambda: named("GetObject", "/progress.json")),
}


@pytest.mark.parametrize("moment", sampled(MOMENTS, "in the job"))
def test_f28_sigterm_ends_the_cluster_and_the_optimizer_hears_of_it(stage: Stage, tmp_path: Path, moment: str) -> None:
    """While the launch is in flight (a call that blocks), in provisioning and in the job: SIGTERM; `aborted` is
    answered, and the next start verifies the end."""
    when, at = MOMENTS[moment]
    with stage.scene(tmp_path, f"sigterm {moment}".replace(" ", "-")) as scene:
        stage.proxy.trap(when, at(), scene.terminate, drop=False)
        aborted = scene.ask(measure(WANTED))
        # The next start, which comes by itself, has verified the end before it asks for a command.
        assert scene.ask(describe())["status"] == "ok"
        (cluster,) = scene.clusters()
        (record,) = scene.records()
        assert (scene.servo.starts, len(stage.proxy.calls("RunJobFlow"))) == (2, 1)
        assert broken(scene) == []
    assert (aborted["status"], aborted["reason"]) == ("aborted", "shutdown")
    assert aborted["message"].splitlines()[-1].startswith(f"run={record['run_id']} cost_usd=")
    assert (record["cluster_id"], record["verdict"], record["state"]) == (cluster["Id"], "aborted", "verified")
    assert cluster["Status"]["StateChangeReason"]["Code"] == "USER_REQUEST"


@pytest.mark.nightly
def test_after_sigterm_the_same_is_measured_anew(stage: Stage, tmp_path: Path) -> None:
    with stage.scene(tmp_path, "anew") as scene:
        stage.proxy.trap("after", named("ListSteps"), scene.terminate, drop=False)
        aborted = scene.ask(measure(WANTED))
        answer = scene.ask(measure(WANTED))
        first, second = scene.clusters()
        assert len(stage.proxy.calls("RunJobFlow")) == 2
        assert broken(scene) == []
    assert (aborted["status"], answer["status"]) == ("aborted", "ok")
    assert answer["annotations"]["cluster_id"] == second["Id"]
    assert "recovered" not in answer["annotations"]
    assert first["Status"]["StateChangeReason"]["Code"] == "USER_REQUEST"


@pytest.mark.nightly
def test_f28_sigterm_with_the_optimizer_gone_ends_the_cluster_and_the_next_start_verifies_it(
    stage: Stage, tmp_path: Path
) -> None:
    """In the job: SIGTERM while the optimizer cannot be reached; no answer, and the next start verifies the end."""
    with stage.scene(tmp_path, "gone") as scene:

        def leave_it_alone(call: Call) -> None:
            scene.servo.hold()
            scene.optimizer.close()
            scene.terminate(call)

        stage.proxy.trap("after", named("GetObject", "/progress.json"), leave_it_alone, drop=False)
        scene.optimizer.ask(measure(WANTED))
        until(
            "the servo is told to end",
            lambda: any(call.operation == "TerminateJobFlows" for call in stage.proxy.calls()),
        )
        until("its cluster is not alive", lambda: not alive(scene))
        scene.servo.ended()
    (record,) = scene.records()
    assert (record["verdict"], record["reason"], record["released"]) == ("aborted", "shutdown", True)
    assert scene.optimizer.terminal() == []
    with stage.scene(tmp_path, "gone") as scene:
        assert scene.ask(describe())["status"] == "ok"
        (record,) = scene.records()
        (cluster,) = scene.clusters()
        assert broken(scene) == []
    assert (record["state"], record["cluster_id"]) == ("verified", cluster["Id"])
    assert record["cost"]["usd"] > 0


def written_after(operation: str) -> Callable[[Call], bool]:
    """The first write of a record after a call of that operation."""
    seen: list[Call] = []

    def matches(call: Call) -> bool:
        if call.operation == operation:
            seen.append(call)
        return bool(seen) and call.operation == "PutObject" and "/records/" in call.key

    return matches


DEATHS: dict[str, tuple[When, Callable[[], Callable[[Call], bool]]]] = {
    "in provisioning": ("after", lambda: named("DescribeCluster")),
    "in the job": ("before", lambda: named("GetObject", "/progress.json", nth=2)),
    "after the job and before the answer": ("before", lambda: written_after("ListInstances")),
}


@pytest.mark.parametrize("moment", sampled(DEATHS, "in the job"))
def test_f27_after_a_kill_the_same_cluster_is_measured(stage: Stage, tmp_path: Path, moment: str) -> None:
    """In provisioning, in the job, and between the job and the answer: kill -9; the restarted servo measures the same
    cluster."""
    when, at = DEATHS[moment]
    with stage.scene(tmp_path, f"killed {moment}".replace(" ", "-")) as scene:
        stage.proxy.trap(when, at(), scene.kill)
        answer = scene.ask(measure(WANTED))
        (cluster,) = scene.clusters()
        (record,) = scene.records()
        assert (scene.servo.starts, scene.servo.statuses) == (2, [-signal.SIGKILL])
        assert len(stage.proxy.calls("RunJobFlow")) == 1
        assert broken(scene) == []
    assert record["cluster_id"] == answer["annotations"]["cluster_id"] == cluster["Id"]
    assert record["run_id"] == answer["annotations"]["run_id"]
    assert answer["annotations"]["recovered"]
    duration = answer["metrics"]["duration"]["value"]
    assert duration == pytest.approx(seconds_of_the_step(stage, cluster["Id"]), abs=0.001)
    assert answer["metrics"]["cost"]["value"] == pytest.approx(record["cost"]["usd"], abs=0.0001)


@pytest.mark.nightly
def test_f31_a_command_that_is_asked_again_under_its_uid_gets_the_run_that_was_written_down_for_it(
    stage: Stage, tmp_path: Path
) -> None:
    """After the answer is on record: killed, and the same command comes twice; it is given the same run."""
    with stage.scene(tmp_path, "again", optimizer=lambda: PersistentOptimizer(forgetful=False)) as scene:
        stage.proxy.trap("after", written_after("ListInstances"), scene.kill)
        answer = scene.ask(measure(WANTED))
        (cluster,) = scene.clusters()
        assert (scene.servo.starts, broken(scene)) == (2, [])
    assert answer["annotations"]["cluster_id"] == cluster["Id"]
    assert answer["metrics"]["duration"]["value"] == pytest.approx(900.0, abs=0.01)


@pytest.mark.nightly
def test_a_launch_whose_answer_is_lost_is_found_and_measured(stage: Stage, tmp_path: Path) -> None:
    with stage.scene(tmp_path, "lost") as scene:
        stage.proxy.trap("after", named("RunJobFlow"), lambda call: None)
        answer = scene.ask(measure(WANTED))
        (cluster,) = scene.clusters()
        assert len(stage.proxy.calls("RunJobFlow")) == 1
        assert (scene.servo.starts, broken(scene)) == (1, [])
        assert "got no clear answer" in scene.servo.log
    assert (answer["status"], answer["annotations"]["cluster_id"]) == ("ok", cluster["Id"])
    assert answer["metrics"]["duration"]["value"] == pytest.approx(900.0, abs=0.01)


@pytest.mark.nightly
def test_a_launch_that_never_arrived_is_made_again_under_the_same_run_id(stage: Stage, tmp_path: Path) -> None:
    with stage.scene(tmp_path, "absent") as scene:
        stage.proxy.trap("before", named("RunJobFlow"), lambda call: None)
        answer = scene.ask(measure(WANTED))
        (cluster,) = scene.clusters()
        (record,) = scene.records()
        assert len(stage.proxy.calls("RunJobFlow")) == 2
        assert broken(scene) == []
    assert cluster["Name"].endswith(f" {record['run_id']}")
    assert (answer["status"], answer["annotations"]["run_id"]) == ("ok", record["run_id"])


@contextmanager
def second(first: Scene, folder: Path) -> Iterator[Scene]:
    """Another servo on the same workspace, with an optimizer of its own."""
    name = first.workspace.rsplit("/", 1)[-1]
    with first.stage.scene(folder, name) as scene:
        yield scene


@pytest.mark.nightly
def test_f30_a_second_servo_waits_says_who_drives_and_takes_over_when_the_first_is_dead(
    stage: Stage, tmp_path: Path
) -> None:
    """Two servos on one workspace: the second waits and says who drives, and takes over when the first is killed."""
    with stage.scene(tmp_path / "first", "shared") as first:
        assert first.ask(describe())["status"] == "ok"
        driver = first.servo.pid
        with second(first, tmp_path / "second") as other:
            until("the second waits", lambda: f"process {driver} on " in other.servo.log)
            assert f"drives {first.workspace}; waiting" in other.servo.log
            uid = other.optimizer.ask(measure(WANTED))

            refused = command("servo", "measure", folder=tmp_path / "second", environment=stage.env)
            assert refused.returncode == 1
            assert "operator/lease" in refused.stderr
            assert f"process {driver} on " in refused.stderr
            assert (first.clusters(), other.optimizer.terminal()) == ([], [])

            # One that waits can be told to stop like any other; its supervisor starts it again, and it waits again.
            other.servo.send(signal.SIGTERM)
            until("the second has been started again", lambda: other.servo.starts == 2)

            first.servo.hold()
            first.servo.send(signal.SIGKILL)
            answer = other.settled(uid)
            (cluster,) = other.clusters()
            assert broken(other) == []
    assert (answer["status"], answer["annotations"]["cluster_id"]) == ("ok", cluster["Id"])


@dataclass(frozen=True)
class Refusals:
    """What 300 s of refused launches came to. `at` is W at each answer, counted from the first command."""

    answers: list[dict[str, Any]]
    at: list[float]
    posts: int
    run_job_flows: int
    clusters: list[dict[str, Any]]
    records: list[dict[str, Any]]


@pytest.fixture(scope="module")
def refusals(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Refusals:
    """An optimizer that asks on and on, and a service role that does not exist. Sleeps take as long as they say."""
    answers, at = [], []
    stride, stage.clock.stride = stage.clock.stride, 0.0
    try:
        changes = {"cluster.service_role": "NoSuchRole"}
        with stage.scene(tmp_path_factory.mktemp("refused"), "refused", changes) as scene:
            scene.ask(describe())
            began, before = stage.emulator.now(), len(scene.optimizer.received())
            while True:
                answer = scene.ask(measure(WANTED))
                now = stage.emulator.now() - began
                if now > 300:
                    break
                answers.append(answer)
                at.append(now)
                posts = len(scene.optimizer.received()) - before
            launches = stage.proxy.calls("RunJobFlow")
            return Refusals(answers, at, posts, len(launches), scene.clusters(), scene.records())
    finally:
        stage.clock.stride = stride


def test_refused_launches_cost_nothing(refusals: Refusals) -> None:
    assert {(answer["status"], answer["reason"]) for answer in refusals.answers} == {("failed", "operator/role")}
    assert refusals.clusters == []
    assert {(record["cluster_id"], record["cost_so_far"], record["cost"]) for record in refusals.records} == {
        (None, 0.0, None)
    }
    assert all(" cost_usd=0.0000 " in answer["message"].splitlines()[-1] for answer in refusals.answers)


def test_refused_launches_do_not_spin(refusals: Refusals) -> None:
    # 0, 30, 90 and 210 s after the first command; the next answer would come at 450 s.
    assert [round(at) for at in refusals.at] == [0, 30, 90, 210]
    # One call for each answer, and one for the answer beyond the 300 s.
    assert refusals.run_job_flows == 5
    # A question, a progress report or two and an answer for each.
    assert refusals.posts <= 5 * len(refusals.answers)


def test_hello_tells_whether_the_breaker_is_open(stage: Stage, tmp_path: Path) -> None:
    for attempt in range(3):  # HELLO does not wait for long: on a busy machine the answer may come too late for it
        (tmp_path / str(attempt)).mkdir()
        with stage.scene(tmp_path / str(attempt), f"hello-{attempt}") as scene:
            assert scene.ask(describe())["status"] == "ok"
        (hello,) = scene.optimizer.received("HELLO")
        told = hello.param["telemetry"]["emr.breaker"]
        if not told.startswith("not known"):
            break
    assert told == "closed"
