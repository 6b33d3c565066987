"""What the bundled optimizer does once it has settled: looks again, and explores again when the job is another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundled import OptimizerProcess, Theatre, theatre
from tests.support.notebooks import write_notebook
from tests.support.proxy import Call
from tests.support.servo import until
from tests.support.stage import clusters_of

TABLE = [("m5.xlarge", 2, 3000.0)]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    with theatre(tmp_path_factory.mktemp("theatre"), TABLE) as found:
        yield found


ONLY = {
    "components.core.replicas": {"min": 2, "max": 2, "value": 2},
    "components.core.inst_type": {"values": ["m5.xlarge"], "value": "m5.xlarge"},
}


@pytest.mark.nightly
def test_it_explores_again_when_the_job_has_become_slower_and_when_the_notebook_has_changed(
    stage: Theatre, tmp_path: Path
) -> None:
    with stage.play(tmp_path, "drift", "--runs", "1", "--recheck", "1", changes=ONLY) as play:
        play.reaches("a look that found nothing", lambda status: kinds(status).count("recheck") == 1 and ended(status))
        stage.faults({"kind": "delay", "phase": "step", "seconds": 1500})
        slower = play.reaches("a drift", lambda status: "duration went from" in (status["because"] or ""))
        stage.faults()
        counted = [trial for trial in slower["trials"] if trial["counts"] and trial["state"] == "done"]
        assert len(counted) >= 2, "it takes two measurements that differ"
        assert all(trial["duration_s"] == pytest.approx(4500.0) for trial in counted[:2])
        assert "from 3000 to 4500 s" in slower["because"]
        write_notebook(play.folder / "job.ipynb", 'print("another job")', parameters='mode = "ok"\nnodes = 0')
        changed = play.reaches("another notebook", lambda status: status["because"] == "the notebook has changed")
        assert play.optimizer.order("pause").status_code == 200
        paused = play.reaches("paused", lambda status: status["state"] == "paused" and status["trial"] is None)
        assert {trial["state"] for trial in paused["trials"]} == {"done"}
        assert len(changed["trials"]) >= len(slower["trials"])
        assert play.wrong(paused) == []
        assert len(play.clusters()) == len(paused["trials"])


def kinds(status: Mapping[str, Any]) -> list[str]:
    return [trial["kind"] for trial in status["trials"]]


def ended(status: Mapping[str, Any]) -> bool:
    return status["trial"] is None


@pytest.mark.nightly
def test_of_two_servos_on_one_application_one_drives_and_the_other_sleeps(stage: Theatre, tmp_path: Path) -> None:
    told = "another servo drives this application"
    second = tmp_path / "second" / "servo.log"

    def hold(call: Call) -> None:
        """The first servo's launch waits until the second has asked for work."""
        until("the second servo is told to sleep", lambda: second.exists() and told in second.read_text())

    stage.proxy.trap("before", lambda call: call.operation == "RunJobFlow", hold, drop=False)
    with (
        OptimizerProcess(tmp_path, "--runs", "1") as optimizer,
        stage.servo(tmp_path / "first", "first", optimizer.url, ONLY) as driver,
    ):
        optimizer.reaches("a trial", lambda status: status["trial"] is not None)
        with stage.servo(second.parent, "second", optimizer.url, ONLY) as other:
            status = optimizer.reaches("settled", lambda status: status["applied"])
            assert other.log.count("Sleeping for") >= 1
            assert (driver.starts, other.starts) == (1, 1)
            assert told not in driver.log
        assert [(trial["state"], trial["attempts"]) for trial in status["trials"]] == [("done", 1)]
        assert len(clusters_of(stage.account, "s3://acme-servo/first")) == 1
        assert clusters_of(stage.account, "s3://acme-servo/second") == []
        assert stage.account.alive() == []
