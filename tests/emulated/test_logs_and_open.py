"""`servo-emr logs` and `open`: a run's step logs while it runs and afterwards, and its executed notebook as a page."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from servo_emr.domain.run import RunRecord, RunState, StepLook, StepState, Timeline
from servo_emr.notebook.page import LONGEST_OUTPUT, as_page
from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import CANARIES, job_notebook
from tests.support.oneshot import OneShot
from tests.support.samples import notebook
from tests.support.servo import command, until, write_configuration

URI = "s3://acme-servo/nightly"
LAW = ("--model", "a=300,b=0,c=0,d=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs")
    job_notebook(path / "job.ipynb")
    write_configuration(path, {"job.parameters.mode": "fail"})
    return path


@pytest.fixture(scope="module")
def followed(emulator: EmulatorProcess, account: Account, folder: Path) -> tuple[dict[str, Any], str, str]:
    """A run whose notebook fails: its record, and what following its logs from the launch on printed."""
    cycle, follow = folder / "cycle", folder / "follow"
    for path in (cycle, follow):
        path.mkdir()
    config = str(folder / "servo.yaml")

    def launched() -> str:
        keys = [key for key in account.keys(URI) if key.startswith("records/")]
        found = [key.rpartition("/")[2].removesuffix(".json") for key in keys]
        return found[0] if found and account.record(URI, found[0])["cluster_id"] else ""

    (cycle / "job.ipynb").write_bytes((folder / "job.ipynb").read_bytes())
    with OneShot(cycle, emulator.env, "servo-emr", "-c", config, "cycle", "--yes", "-o", "json") as running:
        run_id = until("a cluster", launched)
        with OneShot(follow, emulator.env, "servo-emr", "-c", config, "logs", run_id, "--follow") as reading:
            assert running.wait() == 1, running.stderr
            assert reading.wait() == 0, reading.stderr
            return json.loads(running.stdout), reading.stdout, reading.stderr


def test_following_shows_each_log_once_and_ends_with_the_run(followed: tuple[dict[str, Any], str, str]) -> None:
    record, out, err = followed
    assert "no step has started yet: the run is " in err
    step = record["steps"][0]["step_id"]
    for name in ("controller", "stdout", "stderr"):
        header = f"{name}: {URI}/logs/{record['cluster_id']}/steps/{step}/{name}.gz <=="
        assert out.count(header) == 1
    assert out.count(CANARIES["exception"]) >= 1


def test_logs_are_read_again_afterwards(
    emulator: EmulatorProcess, folder: Path, followed: tuple[dict[str, Any], str, str]
) -> None:
    record, out, _ = followed
    words = ("logs", record["run_id"])
    done = command("servo-emr", *words, folder=folder, environment=emulator.env)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(out.splitlines())
    done = command("servo-emr", *words, "--only", "stderr", "-o", "json", folder=folder, environment=emulator.env)
    (log,) = json.loads(done.stdout)
    assert (log["name"], log["step_id"]) == ("stderr", record["steps"][0]["step_id"])


def test_open_writes_the_executed_notebook_as_a_page(
    emulator: EmulatorProcess, folder: Path, followed: tuple[dict[str, Any], str, str]
) -> None:
    run_id = followed[0]["run_id"]
    done = command("servo-emr", "open", run_id, folder=folder, environment=emulator.env)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{run_id}.html\n", "")
    page = (folder / f"{run_id}.html").read_text()
    assert f"<title>{run_id}: job/cell-error</title>" in page
    for canary in CANARIES.values():
        assert canary in page
    words = ("open", run_id, "--output", "page.html", "-o", "json")
    done = command("servo-emr", *words, folder=folder, environment=emulator.env)
    size = (folder / "page.html").stat().st_size
    assert json.loads(done.stdout) == {"run_id": run_id, "repeat": 1, "file": "page.html", "bytes": size}
    done = command("servo-emr", "open", run_id, "--repeat", "2", folder=folder, environment=emulator.env)
    assert done.returncode == 2
    assert "has no output-2.ipynb: it ended with job/cell-error" in done.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cluster_id": None, "state": RunState.QUEUED}, "no cluster was launched for this run"),
        ({"urls": {}}, "emr.cluster.log_uri was not set for this run"),
        ({"steps": ()}, "no step has started"),
        ({}, ": s3://acme-servo/late/j-1/steps/s-1/stdout.gz (EMR puts logs there about every five minutes"),
    ],
)
def test_where_logs_are_not_there_it_says_where_and_why(
    emulator: EmulatorProcess, account: Account, folder: Path, changes: dict[str, Any], said: str
) -> None:
    now = emulator.now()
    run_id = "20260101t000000-0000000a"
    step = StepLook("s-1", "notebook", StepState.FAILED, Timeline(now, now, now))
    values: dict[str, Any] = {"cluster_id": "j-1", "state": RunState.VERIFIED, "steps": (step,)}
    values |= {"urls": {"logs": "s3://acme-servo/late"}, "verdict": "job", "reason": "job/step-failed", "ended_at": now}
    record = RunRecord(run_id, "cafe0123", now, identity="", spec={}, notebook_sha256="", **{**values, **changes})
    body = json.dumps(record.to_json()).encode() + b"\n"
    account["s3"].put_object(Bucket="acme-servo", Key=f"nightly/records/dt=2026-01-01/{run_id}.json", Body=body)
    done = command("servo-emr", "logs", run_id, folder=folder, environment=emulator.env)
    assert (done.returncode, done.stdout) == (0, "")
    assert said in done.stderr


def test_a_log_that_is_cut_off_says_so(emulator: EmulatorProcess, account: Account, folder: Path) -> None:
    now = emulator.now()
    run_id = "20260101t000000-0000000b"
    step = StepLook("s-1", "notebook", StepState.COMPLETED, Timeline(now, now, now))
    record = RunRecord(
        run_id,
        "cafe0123",
        now,
        identity="",
        spec={},
        notebook_sha256="",
        cluster_id="j-2",
        steps=(step,),
        urls={"logs": "s3n://acme-servo/cut"},
        verdict="job",  # type: ignore[arg-type]
        reason="job/no-result",
    )
    whole = gzip.compress("\n".join(map(str, range(5000))).encode())
    objects = {
        f"nightly/records/dt=2026-01-01/{run_id}.json": json.dumps(record.to_json()).encode() + b"\n",
        "cut/j-2/steps/s-1/stdout.gz": whole[: len(whole) // 2],
        "cut/j-2/steps/s-1/stderr.gz": b"no gzip",
    }
    for key, body in objects.items():
        account["s3"].put_object(Bucket="acme-servo", Key=key, Body=body)
    done = command("servo-emr", "logs", run_id, folder=folder, environment=emulator.env)
    assert "\n100\n101\n" in done.stdout
    assert "[the log is cut off]" in done.stdout
    assert "[the log is damaged: " in done.stdout


def test_a_page_runs_and_fetches_nothing_and_is_bounded() -> None:
    wild = "<script>alert(1)</script><img src='http://x.invalid/a.png'><table><tr onclick='x'><td>7</td></tr></table>"
    outputs = [
        {"output_type": "display_data", "metadata": {}, "data": {"text/html": wild}},
        {"output_type": "stream", "name": "stdout", "text": "x" * (3 * LONGEST_OUTPUT) + "<b>"},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": "A" * (21 * LONGEST_OUTPUT)}},
    ]
    page = as_page(notebook(*outputs, source="print('<i>')"), "a <b> c")
    for never in ("<script", "http", "onclick", "<img", "<b>"):
        assert never not in page
    assert "<td>7</td>" in page
    assert "characters are left out here" in page
    assert "image/png of" in page
    assert len(page) < 2 * LONGEST_OUTPUT


def test_wrong_words_are_told(emulator: EmulatorProcess, folder: Path) -> None:
    for words, said in (
        (("logs", "x"), "'x' is not a run's id"),
        (("logs", "20260101t000000-00000000", "--only", "syslog"), "--only syslog: it is one of controller"),
        (("logs", "20260101t000000-00000000", "-f", "-o", "json"), "one document cannot be followed"),
        (("open", "20260101t000000-00000000"), "there is no run"),
    ):
        done = command("servo-emr", *words, folder=folder, environment=emulator.env)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
