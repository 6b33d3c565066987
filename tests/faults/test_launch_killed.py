"""F10 under a real `servo run` that is killed where one launch of a run follows another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.optimizer import measure
from tests.support.promise import broken
from tests.support.proxy import Call, named
from tests.support.stage import Stage

MOMENTS: dict[str, Callable[[], Callable[[Call], bool]]] = {
    "before the first is billed": lambda: named("ListInstances"),
    "before the second is known": lambda: named("RunJobFlow", nth=2),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_f10_a_servo_that_is_killed_between_two_launches_goes_on_with_the_same_run(
    stage: Stage, tmp_path: Path, moment: str
) -> None:
    """Between restarts: kill -9 around a relaunch: the run goes on, no launch is made twice, no bill is lost."""
    stage.emulator.faults({"kind": "bootstrap-failure", "occurrence": 1})
    with stage.scene(tmp_path, f"relaunch {moment}".replace(" ", "-")) as scene:
        stage.proxy.trap("after", MOMENTS[moment](), scene.kill)
        answer = scene.ask(measure(["duration", "cost", "billed_cost"]))
        first, second = scene.clusters()
        (record,) = scene.records()
        assert scene.servo.starts == 2
        assert broken(scene) == []
    stage.emulator.faults()
    assert answer["status"] == "ok"
    assert answer["annotations"]["recovered"]
    (attempt,) = record["attempts"]
    assert (attempt["cluster_id"], record["cluster_id"]) == (first["Id"], second["Id"])
    metrics = {name: metric["value"] for name, metric in answer["metrics"].items()}
    assert metrics["billed_cost"] == pytest.approx(metrics["cost"] + attempt["usd"])
    assert attempt["usd"] > 0
