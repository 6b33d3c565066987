"""Stages really run on the emulated cluster: what is restored, measured, tidied, and what a failed step leads to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from servo_emr.cli.show import page
from servo_emr.domain.run import RunRecord
from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.servo import command, write_configuration

LAW = ("--model", "a=300,b=0,c=0,d=0")
WORKSPACE = "s3://acme-servo/nightly"

PAGE = (Path(__file__).parents[2] / "docs" / "stages.md").read_text()
"""Its example is what runs here."""


def block(language: str) -> str:
    """The first example in a language."""
    return PAGE.partition(f"```{language}\n")[2].partition("```")[0]


JOB = yaml.safe_load(block("yaml"))["job"]
STAGES: dict[str, Any] = {
    "job.notebook": None,
    "job.parameters": None,
    "job.prepare": JOB["prepare"],
    "job.run": [{"command": ["echo", "nodes={core.replicas}"]}, *JOB["run"]],
    "job.cleanup": JOB["cleanup"],
    "job.metrics": {
        **JOB["metrics"],
        "label": {"from": "file", "name": "label"},
        "nodes": {"from": "output", "pattern": r"nodes=(\d+)"},
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, emulator: EmulatorProcess) -> Path:
    path = tmp_path_factory.mktemp("stages")
    (path / "count.sh").write_text(block("bash"))
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket="acme-data")
    s3.put_object(Bucket="acme-data", Key="golden/orders/orders.csv", Body=b"1\n2\n3\n4\n")
    return path


def cycle(emulator: EmulatorProcess, folder: Path, changes: dict[str, Any], status: int) -> dict[str, Any]:
    """The record of a cycle of the stages, changed."""
    write_configuration(folder, {**STAGES, **changes})
    done = command("servo-emr", "cycle", "--yes", "-o", "json", folder=folder, environment=emulator.env, patience=280)
    assert done.returncode == status, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def measured(emulator: EmulatorProcess, folder: Path) -> dict[str, Any]:
    return cycle(emulator, folder, {}, 0)


@pytest.fixture(scope="module")
def failed(emulator: EmulatorProcess, folder: Path, measured: dict[str, Any]) -> dict[str, Any]:
    """The first measured step fails, and so does the clean-up's first."""
    changes = {
        "job.prepare": [],
        "job.run": [
            {"command": ["bash", "-c", "echo why >&2; exit 3"], "name": "load"},
            {"script": "count.sh", "args": ["s3://acme-data/golden", "{run.metrics}"], "name": "count"},
        ],
        "job.cleanup": [{"command": ["false"]}, {"command": ["touch", "tidied"], "name": "tidy"}],
    }
    return cycle(emulator, folder, changes, 1)


def seconds(step: dict[str, Any]) -> float:
    return float(step["timeline"]["ended"] - step["timeline"]["ready"])


def test_only_the_measured_steps_are_in_the_duration_and_all_are_paid_for(measured: dict[str, Any]) -> None:
    assert [(s["stage"], s["name"], s["state"]) for s in measured["steps"]] == [
        ("prepare", "restore", "completed"),
        ("run", "echo", "completed"),
        ("run", "count.sh", "completed"),
        ("cleanup", "drop the copy", "completed"),
    ]
    run = [seconds(step) for step in measured["steps"] if step["stage"] == "run"]
    assert measured["metrics"]["duration"] == pytest.approx(sum(run))
    life = measured["phases"]["total_time"]
    assert life > sum(seconds(step) for step in measured["steps"]) > sum(run)
    assert measured["metrics"]["job_cost"] < measured["metrics"]["cost"] == measured["metrics"]["billed_cost"]
    assert set(measured["phases"]) >= {"prepare_time", "cleanup_time"}


def test_metrics_come_from_output_and_from_the_file_that_the_job_writes(measured: dict[str, Any]) -> None:
    metrics = measured["metrics"]
    assert (metrics["rows"], metrics["speed"], metrics["nodes"]) == (4.0, 2.5, 2.0)
    assert measured["missing"] == {"label": "the job's file of metrics has nothing under this name"}
    assert measured["units"]["rows"] == "count"


def test_what_was_restored_is_tidied_and_the_source_is_as_it_was(measured: dict[str, Any], account: Account) -> None:
    assert account.keys(f"{WORKSPACE}/runs/{measured['run_id']}/inputs") == []
    assert account.keys("s3://acme-data/golden") == ["orders/orders.csv"]
    assert account.read(f"{WORKSPACE}/runs/{measured['run_id']}/run-2/count.sh").decode() == block("bash")


def test_with_cleanup_emr_goes_on_after_a_failure_and_each_step_waits_for_the_one_before(
    measured: dict[str, Any], account: Account
) -> None:
    assert {step["ActionOnFailure"] for step in measured["request"]["Steps"]} == {"CONTINUE"}
    assert measured["request"]["Instances"]["KeepJobFlowAliveWhenNoSteps"] is False
    runs = f"{WORKSPACE}/runs/{measured['run_id']}"
    after = {
        name: json.loads(account.read(f"{runs}/{name}/job.json")).get("after")
        for name in ("prepare-1", "run-1", "run-2", "cleanup-1")
    }
    assert after == {
        "prepare-1": None,
        "run-1": f"{runs}/prepare-1/result.json",
        "run-2": f"{runs}/run-1/result.json",
        "cleanup-1": None,
    }


def test_after_a_failed_step_the_rest_of_the_job_is_left_out_and_clean_up_runs(
    failed: dict[str, Any], account: Account
) -> None:
    assert failed["reason"] == "job/step-failed"
    assert failed["message"] == "load ended with exit status 3."
    assert [(s["name"], s["state"]) for s in failed["steps"]] == [
        ("load", "failed"),
        ("count", "failed"),
        ("false", "failed"),
        ("tidy", "completed"),
    ]
    kept = account.keys(f"{WORKSPACE}/runs/{failed['run_id']}")
    assert [key for key in kept if "/run-2/" in key and ("result" in key or "output" in key)] == []
    assert failed["details"]["failed_step"] == {"stage": "run", "name": "load", "number": 1}
    assert account.alive() == []
    assert failed["state"] == "verified"
    (warning,) = [text for text in failed["warnings"] if text.startswith("clean-up")]
    assert warning.startswith("clean-up: false is failed: ")


def test_people_are_shown_the_stages(failed: dict[str, Any]) -> None:
    shown = page(RunRecord.from_json(failed))
    assert "Failed step     run: load (step 1)" in shown
    assert "cleanup step 3, failed" in shown
    assert next(line.split()[0] for line in shown.splitlines() if " tidy " in line) == "cleanup"


@pytest.mark.nightly
def test_a_failed_cleanup_is_a_warning_and_the_measurement_stands(emulator: EmulatorProcess, folder: Path) -> None:
    changes = {
        "job.prepare": [],
        "job.run": [{"command": ["echo", "rate=1"]}],
        "job.cleanup": [{"command": ["false"], "name": "tidy"}],
        "job.metrics": {"speed": STAGES["job.metrics"]["speed"]},
    }
    record = cycle(emulator, folder, changes, 0)
    assert (record["reason"], record["metrics"]["speed"]) == ("success", 1.0)
    assert [text for text in record["warnings"] if text.startswith("clean-up: tidy is failed")]


@pytest.mark.nightly
def test_a_restore_that_finds_nothing_fails_before_anything_is_measured(
    emulator: EmulatorProcess, folder: Path, account: Account
) -> None:
    record = cycle(emulator, folder, {"job.prepare": [{"restore": "s3://acme-data/golden/absent"}]}, 1)
    assert record["reason"] == "job/step-failed"
    assert "nothing could be restored from s3://acme-data/golden/absent/: nothing was there" in record["message"]
    assert record["details"]["failed_step"]["stage"] == "prepare"
    assert [s["state"] for s in record["steps"]] == ["failed", "failed", "failed", "completed"]
    assert account.alive() == []


APPLICATION = """
import json, subprocess, sys
from pyspark.sql import SparkSession, functions as F

inputs, metrics, words = sys.argv[1:]
spark = SparkSession.builder.getOrCreate()
orders = spark.read.schema("n long").csv(inputs)
found = orders.groupBy((F.col("n") % 2).alias("odd")).agg(F.sum(F.col("n") ** 2).alias("squares")).orderBy("odd")
even, odd = [row["squares"] for row in found.collect()]
told = {"even": even, "odd": odd, "partitions": int(spark.conf.get("spark.sql.shuffle.partitions"))}
subprocess.run(["aws", "s3", "cp", "--only-show-errors", "-", metrics], input=json.dumps(told), text=True, check=True)
print("words=" + str(len(words.split("|"))) + ";")
"""


@pytest.mark.nightly
@pytest.mark.timeout(1000)  # a bootstrap and a JVM on a machine that may be busy
def test_an_application_computes_in_a_spark_of_its_own_with_its_conf_on_what_was_restored(
    emulator: EmulatorProcess, folder: Path, account: Account
) -> None:
    (folder / "sum.py").write_text(APPLICATION)
    application = {
        "application": "sum.py",
        "args": ["{run.inputs}/orders.csv", "{run.metrics}", "a b|$HOME|'\";|{core.replicas}"],
        "conf": {"spark.sql.shuffle.partitions": "{core.replicas}"},
    }
    changes = {
        "cluster.applications": ["Spark"],
        "job.run": [application],
        "job.metrics": {
            **{name: {"from": "file", "name": name} for name in ("even", "odd", "partitions")},
            "words": {"from": "output", "pattern": r"words=(\d+);"},
        },
    }
    record = cycle(emulator, folder, changes, 0)
    # Of 1, 2, 3 and 4: 4 + 16 and 1 + 9.
    wanted = {"even": 20.0, "odd": 10.0, "partitions": 2.0, "words": 4.0}
    assert {name: record["metrics"][name] for name in wanted} == wanted
    assert [(s["stage"], s["state"]) for s in record["steps"]] == [
        ("prepare", "completed"),
        ("run", "completed"),
        ("cleanup", "completed"),
    ]
    assert account.alive() == []
