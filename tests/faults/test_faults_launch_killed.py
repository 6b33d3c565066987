"""F10 under a real `servo run` that is killed where one launch of a run follows another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.optimizer import measure
from tests.support.promise import broken
from tests.support.proxy import Call, named
from tests.support.sampled import sampled
from tests.support.servo import PATIENCE
from tests.support.stage import Stage, staged

MOMENTS: dict[str, Callable[[], Callable[[Call], bool]]] = {
    "before the first is billed": lambda: named("ListInstances"),
    "before the second is known": lambda: named("RunJobFlow", nth=2),
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage on which steps take their time and run nothing: the run that goes on ends without a result."""
    with staged(tmp_path_factory.mktemp("stage"), "--no-execute") as found:
        yield found


@pytest.mark.parametrize("moment", sampled(MOMENTS, "before the first is billed"))
def test_f10_a_servo_that_is_killed_between_two_launches_goes_on_with_the_same_run(
    stage: Stage, tmp_path: Path, moment: str
) -> None:
    """Between restarts: kill -9 around a relaunch: the run goes on, no launch is made twice, no bill is lost."""
    stage.emulator.faults({"kind": "bootstrap-failure", "occurrence": 1})
    with stage.scene(tmp_path, f"relaunch {moment}".replace(" ", "-")) as scene:
        stage.proxy.trap("after", MOMENTS[moment](), scene.kill)
        answer = scene.settled(scene.optimizer.ask(measure(["duration", "cost"])), 2 * PATIENCE)  # two servos start
        first, second = scene.clusters()
        (record,) = scene.records()
        assert scene.servo.starts == 2
        assert broken(scene) == []
    stage.emulator.faults()
    assert (answer["status"], answer["reason"]) == ("failed", "job/no-result")
    (attempt,) = record["attempts"]
    assert (attempt["cluster_id"], record["cluster_id"]) == (first["Id"], second["Id"])
    assert (attempt["reason"], record["recovered"]) == ("environment/bootstrap", True)
    own = sum(record["cost"][part] for part in ("ec2_usd", "fee_usd", "ebs_usd"))
    assert attempt["usd"] > 0
    assert record["cost"]["billed_usd"] == pytest.approx(own + attempt["usd"])
    assert f"cost_usd={own + attempt['usd']:.4f} " in answer["message"].splitlines()[-1]
