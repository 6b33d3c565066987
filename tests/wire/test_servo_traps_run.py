"""servox's traps that only a real `servo run` shows: signals, answers that end it, commands that make no sense."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.optimizer import HTTP_STATUS, Command, Received, describe, measure
from tests.support.persistent import PersistentOptimizer
from tests.support.promise import alive, broken
from tests.support.proxy import named
from tests.support.sampled import sampled
from tests.support.servo import until
from tests.support.stage import Stage


class OutOfStep(PersistentOptimizer):
    """Answers the first progress report of a run in provisioning as one that has lost step with the servo."""

    def __init__(self, reply: dict[str, Any]) -> None:
        self._reply: dict[str, Any] | None = reply
        super().__init__()

    def answer(self, body: Received) -> dict[str, Any]:
        answer = super().answer(body)
        param = body.param
        if isinstance(param, dict) and "provisioning" in str(param.get("message")) and self._reply is not None:
            reply, self._reply = self._reply, None
            return reply
        return answer


REPLIES: dict[str, dict[str, Any]] = {
    "unexpected-event": {"status": "unexpected-event", "reason": "what is this?"},
    "unexpected cmd_uid": {"status": "invalid", "reason": "unexpected cmd_uid"},
    "gone": {HTTP_STATUS: 410, "detail": "unexpected servo_uid"},
}


@pytest.mark.parametrize("name", sampled(REPLIES, "gone"))
def test_f31_an_optimizer_that_has_forgotten_the_servo_costs_no_cluster(
    stage: Stage, tmp_path: Path, name: str
) -> None:
    """In provisioning: the optimizer has been restarted and knows neither servo nor command (410, unexpected event or
    cmd_uid); servox ends, and its cluster with it."""
    with stage.scene(tmp_path, name.replace(" ", "-"), optimizer=lambda: OutOfStep(REPLIES[name])) as scene:
        scene.servo.hold()
        scene.optimizer.ask(measure(["duration"]))
        assert scene.servo.ended() == 1
        assert alive(scene) == []
        (record,) = scene.records()
        assert scene.optimizer.terminal() == []
        stays = f"the end of {record['cluster_id']} is not verified on the record of {record['run_id']}"
        assert broken(scene) == [stays], "the next start verifies it"
    assert (record["verdict"], record["released"]) == ("aborted", True)


def test_what_makes_no_sense_is_answered_and_does_not_end_servo(stage: Stage, tmp_path: Path) -> None:
    nonsense = Command("ADJUST", {"state": {"application": {"components": {}}}, "control": {}})
    with stage.scene(tmp_path, "nonsense") as scene:
        assert scene.ask(nonsense)["status"] == "ok"
        assert scene.ask(measure(["no-such-metric"]))["reason"] == "job/bad-metric"
        assert scene.ask(measure([], {"max_cost_usd": "much"}))["reason"] == "operator/userdata"
        assert scene.ask(describe())["status"] == "ok"
        assert (scene.servo.starts, scene.clusters()) == (1, [])


@pytest.mark.nightly
def test_every_signal_that_servox_handles_ends_the_cluster_before_the_process(stage: Stage, tmp_path: Path) -> None:
    signals = [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1]
    with stage.scene(tmp_path, "signals") as scene:
        for number in signals:
            stage.proxy.trap("after", named("RunJobFlow"), lambda call: scene.servo.send(number), drop=False)  # noqa: B023
            answer = scene.ask(measure(["duration"]))
            assert (answer["status"], answer["reason"]) == ("aborted", "shutdown"), number.name
            assert alive(scene) == [], number.name
        assert len(scene.clusters()) == len(signals)
        until("all of them have ended", lambda: len(scene.servo.statuses) == len(signals))
        assert set(scene.servo.statuses) == {1}


def test_a_servo_that_is_told_to_stop_gives_its_lease_back(stage: Stage, tmp_path: Path) -> None:
    with stage.scene(tmp_path, "given-back") as scene:
        assert scene.ask(describe())["status"] == "ok"
        held = json.loads(stage.account.read(f"{scene.workspace}/lease.json"))
        # While a question is held open no command ends, which is when servox closes the loop under a shutdown handler.
        asked = len(scene.optimizer.received("WHATS_NEXT"))
        until("it has just asked", lambda: len(scene.optimizer.received("WHATS_NEXT")) > asked)
        scene.servo.stop()
    assert held["holder"]["pid"] > 0
    assert json.loads(stage.account.read(f"{scene.workspace}/lease.json"))["holder"] is None
