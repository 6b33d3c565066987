"""`servo-emr cycle`, `plan`, `runs` and `show`: one cycle without an optimizer, and what is left of it to look at."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook, spark_notebook
from tests.support.servo import command, write_configuration

LAW = ("--model", "a=300,b=0,c=0,d=0")
NO_RUN = "00000000t000000-00000000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cycle")
    job_notebook(path / "job.ipynb")
    write_configuration(path)
    return path


@pytest.fixture(scope="module")
def planned(emulator: EmulatorProcess, folder: Path, account: Account) -> dict[str, Any]:
    """The document of a plan, made before there was anything in the workspace, where it leaves nothing."""
    done = command(
        "servo-emr", "plan", "--set", "core.replicas=1", "-o", "json", folder=folder, environment=emulator.env
    )
    assert done.returncode == 0, done.stderr
    assert account.keys("s3://acme-servo/nightly") == []
    assert emulator.calls(operation="RunJobFlow") == []
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def measured(emulator: EmulatorProcess, folder: Path, planned: dict[str, Any]) -> dict[str, Any]:
    """The record of a cycle, as the command printed it."""
    words = ("cycle", "--yes", "--set", "core.replicas=1", "-o", "json")
    done = command("servo-emr", *words, folder=folder, environment=emulator.env)
    assert done.returncode == 0, done.stderr
    assert "EMULATED" not in done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def failed(emulator: EmulatorProcess, folder: Path, measured: dict[str, Any]) -> dict[str, Any]:
    """The record of a cycle whose notebook fails: the command then ends with status 1."""
    write_configuration(folder, {"job.parameters.mode": "fail"})
    done = command("servo-emr", "cycle", "--yes", "-o", "json", folder=folder, environment=emulator.env)
    assert done.returncode == 1, done.stderr
    return dict(json.loads(done.stdout))


def shown(emulator: EmulatorProcess, folder: Path, *arguments: str) -> str:
    """What a command of `servo-emr` that succeeds prints."""
    done = command("servo-emr", *arguments, folder=folder, environment=emulator.env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_plan_shows_settings_dollars_and_no_findings(planned: dict[str, Any]) -> None:
    assert planned["settings"] == {"primary.inst_type": "m5.xlarge", "core.inst_type": "m5.xlarge", "core.replicas": 1}
    assert (planned["findings"], planned["warnings"], planned["refusal"]) == ([], [], None)
    assert planned["estimate"]["usd_per_hour"] == pytest.approx(2 * (0.192 + 0.048 + (64 * 0.10 + 15 * 0.08) / 720))
    assert planned["estimate"]["floor_usd"] == pytest.approx(planned["estimate"]["usd_per_hour"] * 480 / 3600)


def test_a_cycle_runs_exactly_the_request_that_was_planned(
    planned: dict[str, Any], measured: dict[str, Any], account: Account
) -> None:
    run_id, workspace_id = measured["run_id"], measured["workspace_id"]
    expected = json.dumps(planned["request"]).replace(NO_RUN, run_id).replace("workspace-id", workspace_id)
    assert measured["request"] == json.loads(expected)
    assert json.loads(account.read(f"s3://acme-servo/nightly/runs/{run_id}/request.json")) == measured["request"]
    (cluster,) = [c for c in account.clusters() if c["Id"] == measured["cluster_id"]]
    assert cluster["Name"] == measured["request"]["Name"]
    assert account.alive() == []


def test_a_cycle_prints_the_record_and_nothing_else(measured: dict[str, Any], account: Account) -> None:
    assert measured["reason"] == "success"
    assert measured["metrics"]["accuracy"] == 0.8125
    assert measured == account.record("s3://acme-servo/nightly", measured["run_id"])


def test_show_gives_the_record_back(emulator: EmulatorProcess, folder: Path, measured: dict[str, Any]) -> None:
    assert json.loads(shown(emulator, folder, "show", measured["run_id"], "-o", "json")) == measured


def test_runs_lists_the_newest_first(
    emulator: EmulatorProcess, folder: Path, measured: dict[str, Any], failed: dict[str, Any]
) -> None:
    assert json.loads(shown(emulator, folder, "runs", "-o", "json")) == [failed, measured]
    assert json.loads(shown(emulator, folder, "runs", "-n", "1", "-o", "json")) == [failed]


def test_runs_is_a_table_for_people(
    emulator: EmulatorProcess, folder: Path, measured: dict[str, Any], failed: dict[str, Any]
) -> None:
    header, first, second = shown(emulator, folder, "runs").splitlines()
    assert header.split()[0] == "RUN"
    assert first.split()[0] == failed["run_id"]
    assert "job/cell-error" in first
    assert f"{measured['cost']['usd']:.4f}" in second.split()


def test_a_failed_run_is_shown_whole_with_its_cause(
    emulator: EmulatorProcess, folder: Path, failed: dict[str, Any]
) -> None:
    page = shown(emulator, folder, "show", failed["run_id"])
    for part in ("job/cell-error", "ValueError in cell 2: canary-in-the-exception", failed["cluster_id"], "Traceback"):
        assert part in page


def test_without_a_terminal_a_cycle_asks_for_yes_and_launches_nothing(emulator: EmulatorProcess, folder: Path) -> None:
    before = len(emulator.calls(operation="RunJobFlow"))
    done = command("servo-emr", "cycle", folder=folder, environment=emulator.env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "--yes" in done.stderr
    assert len(emulator.calls(operation="RunJobFlow")) == before


def test_ctrl_c_at_the_question_ends_it_and_launches_nothing(
    emulator: EmulatorProcess, account: Account, tmp_path: Path
) -> None:
    job_notebook(tmp_path / "job.ipynb")
    write_configuration(tmp_path)
    before = len(emulator.calls(operation="RunJobFlow"))
    ours, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "servo_emr.cli", "cycle"],
        cwd=tmp_path,
        env={**os.environ, **emulator.env},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            while "Launch it? [y/N]" not in said and (more := process.stdout.read(1)):
                said += more
            process.send_signal(signal.SIGINT)
            said += process.stdout.read()
        finally:
            os.close(ours)  # nobody is left to ask, whatever went wrong
    os.close(terminal)
    assert process.returncode == 1
    assert said.endswith("Stopped.\n")
    assert len(emulator.calls(operation="RunJobFlow")) == before


@pytest.mark.parametrize("words", [("--data", "s3://acme-data/in=."), ("--durations", "model"), ("--speed", "9")])
def test_what_is_about_an_emulator_needs_one(emulator: EmulatorProcess, folder: Path, words: tuple[str, str]) -> None:
    done = command("servo-emr", "cycle", "--yes", *words, folder=folder, environment=emulator.env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: {words[0]} is about an emulated EMR: it goes with --emulated\n"


def test_a_notebook_that_the_emulated_s3_cannot_have_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    write_configuration(tmp_path, {"job.notebook": "s3://acme-notebooks/etl/job.ipynb"})
    done = command("servo-emr", "cycle", "--emulated", "--data", "s3://acme-data/=.", folder=tmp_path, environment={})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        "Error: s3://acme-notebooks/etl/job.ipynb is not in the emulated S3, which holds only what --data puts there: "
        "add --data s3://acme-notebooks/etl/=FOLDER, or name a local file in servo.yaml"
    )


def test_durations_that_do_not_exist_are_refused_before_anything_is_started(folder: Path) -> None:
    done = command("servo-emr", "cycle", "--emulated", "--durations", "guess", folder=folder, environment={})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: --durations guess: wall, model or replay:FILE\n"


@pytest.mark.nightly
def test_a_spark_notebook_on_an_emulator_of_its_own_takes_the_time_of_the_table_that_is_named(tmp_path: Path) -> None:
    rows = "".join(f"m5.xlarge,{count},1,{400 + count}\n" for count in range(1, 9))
    (tmp_path / "runs.csv").write_text(f"instance_type,node_count,completed,elapsed_seconds\n{rows}")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "names.csv").write_text("kind,name\n0,nought\n1,one\n2,two\n")
    spark_notebook(tmp_path / "spark.ipynb")
    changes = {
        "job.notebook": "spark.ipynb",
        "job.parameters": {"names_at": "s3://acme-data/in/names.csv", "out": "s3://acme-servo/out/{run_id}"},
        "job.metrics": {"rows": {"from": "notebook", "name": "rows"}, "sum": {"from": "notebook", "name": "sum"}},
        "cluster.applications": ["Spark"],
        "cluster.service_role": "a-role-of-a-real-account",
    }
    write_configuration(tmp_path, changes)
    words = ("cycle", "--emulated", "--speed", "600", "--durations", "replay:runs.csv", "--set", "core.replicas=2")
    words += ("--data", "s3://acme-data/in=in", "-o", "json")
    done = command("servo-emr", *words, folder=tmp_path, environment={})
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["request"]["Steps"][0]["HadoopJarStep"]["Args"][0] == "spark-submit"
    assert (record["metrics"]["rows"], record["metrics"]["sum"]) == (30, sum(range(30)))
    assert record["metrics"]["duration"] == pytest.approx(402, abs=0.01)
    assert record["state"] == "verified"
    assert done.stderr.count("EMULATED: ") == 2
