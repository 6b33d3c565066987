"""The bundled optimizer and a real servo, either of them killed, a trial cancelled: nothing is lost or paid twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundled import Asked, Theatre, theatre

TABLE = [("m5.xlarge", count, 3000.0 / count) for count in range(1, 5)]
TABLE += [("c5.xlarge", count, 2400.0 / count) for count in range(1, 5)]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    with theatre(tmp_path_factory.mktemp("theatre"), TABLE) as found:
        yield found


MOMENTS = {
    "before": ["HELLO", "WHATS_NEXT", "MEASUREMENT progress", "MEASUREMENT"],
    "after": [
        "HELLO",
        "WHATS_NEXT DESCRIBE",
        "DESCRIPTION",
        "WHATS_NEXT ADJUST",
        "ADJUSTMENT",
        "WHATS_NEXT MEASURE",
        "MEASUREMENT progress",
        "MEASUREMENT",
    ],
}
"""When it is killed: before that request reaches it, or after it has answered and before the servo has heard it."""
FEW = ["MEASUREMENT"]
KILLED = [
    pytest.param("after", FEW, id="a few"),
    *(pytest.param(when, moments, id=when, marks=pytest.mark.nightly) for when, moments in MOMENTS.items()),
]


@pytest.mark.timeout(900)  # a process is started for each moment
@pytest.mark.parametrize(("when", "moments"), KILLED)
def test_an_optimizer_killed_at_every_stage_goes_on_with_the_very_same_trial(
    stage: Theatre, tmp_path: Path, when: str, moments: list[str]
) -> None:
    left = list(moments)
    with stage.play(tmp_path, f"killed-{when}", "--runs", "1") as play:

        def kill(asked: Asked) -> bool:
            if asked.name not in left:
                return False
            left.remove(asked.name)
            play.optimizer.restart()
            return True

        setattr(play.relay, when, kill)
        status = play.settled()
        assert left == []
        assert play.optimizer.starts == 1 + len(moments)
        assert [(trial["state"], trial["attempts"]) for trial in status["trials"]] == [("done", 1)]
        assert len(play.clusters()) == 1
        assert play.wrong(status) == []
        # However often it was given out, there was one measurement: the servo was never told another uid.
        assert len({command["cmd_uid"] for command in play.relay.commands("MEASURE")}) == 1
        assert play.servo.starts == 1


def test_a_servo_killed_in_a_run_gets_the_same_trial_under_another_uid_and_adopts_its_cluster(
    stage: Theatre, tmp_path: Path
) -> None:
    with stage.play(tmp_path, "killed-servo", "--runs", "1") as play:

        def kill(asked: Asked) -> bool:
            if asked.name == "MEASUREMENT progress" and not play.dead:
                play.dead.append("servo")
                play.servo.send(signal.SIGKILL)
            return False

        play.relay.after = kill
        status = play.settled()
        first, second = play.relay.commands("MEASURE")
        assert first["cmd_uid"] != second["cmd_uid"]
        assert first["param"] == second["param"]
        assert (play.servo.starts, play.servo.statuses) == (2, [-signal.SIGKILL])
        assert [(trial["number"], trial["state"]) for trial in status["trials"]] == [(0, "done")]
        assert len(play.clusters()) == 1
        assert play.wrong(status) == []


@pytest.mark.nightly
def test_a_cancelled_trial_ends_its_cluster_and_is_not_asked_again(stage: Theatre, tmp_path: Path) -> None:
    with stage.play(tmp_path, "cancelled", "--runs", "2") as play:
        answers: list[int] = []
        held: list[bool] = []

        def cancel(asked: Asked) -> bool:
            if asked.name == "MEASUREMENT progress" and not answers:
                answers.append(play.optimizer.order("cancel").status_code)
            return False

        def hold(asked: Asked) -> bool:
            """Nothing passes between the word and its effect: the job must not end by itself meanwhile."""
            if asked.name == "MEASUREMENT progress" and answers and not held:
                held.append(True)
                stage.clock.moves.clear()
            if asked.name == "HELLO":
                stage.clock.moves.set()
            return False

        play.relay.before, play.relay.after = hold, cancel
        status = play.settled()
        cancelled, other = status["trials"]
        first, second = play.clusters()
        assert answers == [200]
        assert (cancelled["state"], other["state"]) == ("cancelled", "done")
        assert cancelled["settings"] != other["settings"]
        assert first["Status"]["StateChangeReason"]["Code"] == "USER_REQUEST"
        assert second["Status"]["StateChangeReason"]["Code"] == "ALL_STEPS_COMPLETED"
        assert cancelled["spent_usd"] > 0
        assert status["spent_usd"] == pytest.approx(cancelled["spent_usd"] + other["spent_usd"])
        assert stage.account.alive() == []
        told = [asked.body["param"]["status"] for asked in play.relay.seen if asked.name == "MEASUREMENT"]
        assert told == ["cancelled", "ok"]
