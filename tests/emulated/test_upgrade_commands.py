"""The commands over a workspace that the version before has written: each in a process of its own, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.servo import command, write_configuration
from tests.support.written import DECIDED, LEFT, WORKSPACE


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    """An emulator with what was written in its S3."""
    with EmulatorProcess("--no-execute", data=[f"s3://acme-servo/nightly={WORKSPACE}"]) as process:
        yield process


def test_runs_show_report_and_resume_work_on_what_the_version_before_wrote(
    emulator: EmulatorProcess, tmp_path: Path
) -> None:
    write_configuration(tmp_path)

    def said(*words: str) -> str:
        done = command("servo-emr", *words, folder=tmp_path, environment=emulator.env)
        assert done.returncode == 0, (words, done.stderr)
        assert "Left out" not in done.stderr, (words, done.stderr)
        return done.stdout

    account = Account(emulator)
    before = {key: account.read(f"s3://acme-servo/nightly/{key}") for key in account.keys("s3://acme-servo/nightly")}
    listed = {one["run_id"]: one["verdict"] for one in json.loads(said("runs", "-o", "json"))}
    assert listed == {**DECIDED, LEFT: None}
    assert LEFT in said("show", LEFT)
    said("report")
    page = (tmp_path / "report.html").read_text()
    assert all(run_id in page for run_id in [*DECIDED, LEFT])
    assert "closed" in said("resume")
    after = {key: account.read(f"s3://acme-servo/nightly/{key}") for key in account.keys("s3://acme-servo/nightly")}
    account.close()
    assert after.keys() == before.keys()
    assert {key for key, body in after.items() if body != before[key]} == {"breaker.json"}
    assert json.loads(after["breaker.json"])["schema"] == 1
