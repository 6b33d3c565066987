"""A real servo that the bundled optimizer refuses: it sleeps, instead of asking hundreds of times a second."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.bundled import OptimizerProcess, Relay
from tests.support.notebooks import job_notebook
from tests.support.servo import ServoRun, until, write_configuration

STRANGERS = {"a wrong token": {"token": "guessed"}, "another application": {"id": "example.com/hourly"}}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_refused_servo_asks_once_and_sleeps_for_an_hour(tmp_path: Path, stranger: str) -> None:
    job_notebook(tmp_path / "job.ipynb")
    path = write_configuration(tmp_path, {"prices.live": False})
    document = yaml.safe_load(path.read_text())
    document["optimizer"].update(STRANGERS[stranger])
    path.write_text(yaml.safe_dump(document))
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    with OptimizerProcess(tmp_path) as optimizer, Relay(optimizer.url) as relay:
        servo = ServoRun(tmp_path, relay.url, nowhere)
        try:
            until("it sleeps", lambda: "will sleep for 1 hour" in servo.log)
            assert servo.alive
            assert [asked.event for asked in relay.seen] == ["HELLO"]
            assert optimizer.status()["servo_seen_at"] is None
            assert "guessed" not in optimizer.said
        finally:
            servo.process.kill()
            servo.process.wait()
