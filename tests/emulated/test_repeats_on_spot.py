"""Several repeats on spot nodes: one step each, medians in the metrics, the bill by the price history; and `prices`."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from servo_emr.pricing.table import PACKAGED
from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook
from tests.support.servo import command, write_configuration

LAW = ("--model", "a=300,b=0,c=0,d=0,w=0", "--noise", "0.2", "--prices", str(PACKAGED))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("repeats")
    job_notebook(path / "job.ipynb")
    changes = {"job.repeats": 2, "components.core.market": "spot", "components.core.bid_price": 0.15}
    write_configuration(path, changes)
    return path


@pytest.fixture(scope="module")
def record(emulator: EmulatorProcess, folder: Path) -> dict[str, Any]:
    words = ("cycle", "--yes", "--set", "core.replicas=1", "-o", "json")
    done = command("servo-emr", *words, folder=folder, environment=emulator.env)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_each_repeat_is_a_step_of_its_own_with_files_of_its_own(record: dict[str, Any], account: Account) -> None:
    assert [step["name"] for step in record["steps"]] == ["notebook 1 of 2", "notebook 2 of 2"]
    assert {step["state"] for step in record["steps"]} == {"completed"}
    keys = {key.rpartition("/")[2] for key in account.keys(f"s3://acme-servo/nightly/runs/{record['run_id']}")}
    assert {"job.json", "job-2.json", "result.json", "result-2.json", "output.ipynb", "output-2.ipynb"} <= keys
    assert [item["result"] for item in record["details"]["repeats"]] == ["succeeded", "succeeded"]


def test_the_metrics_are_those_of_one_repeat_and_the_bill_is_that_of_both(record: dict[str, Any]) -> None:
    durations = [step["timeline"]["ended"] - step["timeline"]["ready"] for step in record["steps"]]
    assert durations[0] != durations[1]
    metrics, cost = record["metrics"], record["cost"]
    assert metrics["duration"] == pytest.approx(statistics.median(durations), abs=0.01)
    assert record["details"]["repeat_seconds"] == pytest.approx(durations, abs=0.01)
    assert 0 < metrics["job_cost"] < metrics["cost"] < metrics["billed_cost"] == cost["billed_usd"]
    assert metrics["billed_cost"] - metrics["cost"] == pytest.approx(metrics["job_cost"], rel=0.5)
    assert record["cost_so_far"] == cost["billed_usd"], "budgets count what was spent"


def test_the_spot_nodes_are_billed_by_the_price_history_below_their_bid(record: dict[str, Any]) -> None:
    (core,) = [item for item in record["cost"]["instances"] if item["market"] == "SPOT"]
    assert record["request"]["Instances"]["InstanceGroups"][1]["Market"] == "SPOT"
    assert record["request"]["Instances"]["InstanceGroups"][1]["BidPrice"] == "0.15"
    assert 0 < core["ec2_usd"] < core["seconds"] / 3600 * 0.15
    assert core["fee_usd"] == pytest.approx(core["seconds"] / 3600 * 0.048), "the EMR fee knows no spot"
    assert "spot" in record["cost"]["basis"]


def test_the_prices_of_the_run_are_in_its_record_and_kept_in_the_workspace(
    record: dict[str, Any], account: Account
) -> None:
    assert record["prices"]["rates"]["m5.xlarge"]["ec2"] == 0.192
    assert 0 < record["prices"]["spot"]["m5.xlarge"] < 0.192
    kept = json.loads(account.read("s3://acme-servo/nightly/prices.json"))
    assert [item["rate"]["inst_type"] for item in kept["rates"]] == ["m5.xlarge"]


def test_prices_shows_every_price_in_use_with_its_source(emulator: EmulatorProcess, folder: Path) -> None:
    done = command("servo-emr", "prices", folder=folder, environment=emulator.env)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["PRICE", "OF", "USD", "FROM"]
    assert any(line.startswith("m5.xlarge ") and "AWS Price List of 2023-08-30" in line for line in lines)
    assert any(line.startswith("m5.xlarge on spot ") for line in lines)
    assert any(line.startswith("EBS gp3 ") for line in lines)


def test_an_unknown_type_hides_no_known_one_and_says_how_to_pin_it(emulator: EmulatorProcess, folder: Path) -> None:
    words = ("prices", "m5.xlarge", "x9.large", "-o", "json")
    done = command("servo-emr", *words, folder=folder, environment=emulator.env)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["currency"], document["region"], list(document["rates"])) == ("USD", "us-east-1", ["m5.xlarge"])
    assert list(document["unknown"]) == ["x9.large"]
    assert "emr.prices.overrides.x9.large" in done.stderr
