"""`servo run` and a scripted optimizer: what goes over the wire, what happened in the account, what is on record."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.aws import Account
from tests.support.conversation import Conversation, Turn, converse
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import CANARIES, records
from tests.support.optimizer import adjust, describe, measure

# Long enough on W for a look while it runs, and no longer in real time: the notebook takes seconds anyway.
LAW = ("--model", "a=600,b=720,c=0,d=0", "--seed", "wire")
WORKSPACE = "s3://acme-servo/nightly"
PHASES = ["queued", "provisioning", "bootstrapping", "running", "collecting", "ending", "verified"]
ASKED = ["duration", "cost", "job_cost", "node_hours", "accuracy", "speed"]

SCRIPT = {
    "describe": describe(),
    "adjust": adjust({"core.replicas": 3, "core.inst_type": "c5.xlarge", "web.cpu": 2}),
    "measure": measure(ASKED),
    "out of bounds": adjust({"core.replicas": 99}),
    "pinned": adjust({"primary.inst_type": "c5.xlarge"}),
    "unknown setting": adjust({"core.cpu": 4}),
    "foreign": adjust({"web.cpu": 4}),
    "after refusals": describe(),
    "parameters": measure(["accuracy", "nodes"], {"parameters": {"correct": 4, "nodes": 11}}),
    "unknown userdata": measure([], {"frobnicate": 1}),
    "unknown parameter": measure([], {"parameters": {"frobnicate": 1}}),
    "tiny max_cost": measure([], {"max_cost_usd": 0.001}),
    "failing": measure([], {"parameters": {"mode": "fail"}}),
    "kernel dies": measure([], {"parameters": {"mode": "die"}}),
}
CHANGES = {
    "job.parameters": {"mode": "ok", "correct": 13, "nodes": "{core.replicas}"},
    "job.metrics.nodes": {"from": "notebook", "name": "nodes", "unit": "count"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servo")


@pytest.fixture(scope="module")
def health() -> list[subprocess.CompletedProcess[str]]:
    """What a container's health check says while something is measured and when the servo has ended."""
    return []


@pytest.fixture(scope="module")
def conversation(
    folder: Path, emulator: EmulatorProcess, account: Account, health: list[subprocess.CompletedProcess[str]]
) -> Conversation:
    def ask() -> None:
        command = [sys.executable, "-m", "servo_emr.alive"]
        health.append(subprocess.run(command, capture_output=True, text=True, timeout=60, check=False))

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SERVO_EMR_ALIVE", str(folder / "alive"))
        had = converse(folder, emulator, account, SCRIPT, CHANGES, {"measure": ask})
        ask()
    return had


@pytest.fixture(scope="module")
def detailed(
    tmp_path_factory: pytest.TempPathFactory, emulator: EmulatorProcess, account: Account, conversation: Conversation
) -> Conversation:
    """The failing notebook once more, with report_details."""
    script = {"failing": measure([], {"parameters": {"mode": "fail"}})}
    changes = {"report_details": True, "workspace": "s3://acme-servo/detailed"}
    return converse(tmp_path_factory.mktemp("detailed"), emulator, account, script, changes)


def described(inst_type: str, replicas: int) -> dict[str, Any]:
    """The components as they go over the wire."""
    primary = {"type": "enum", "pinned": True, "unit": "ec2", "value": "m5.xlarge", "values": ["m5.xlarge"]}
    values = ["m5.xlarge", "c5.xlarge"]
    core = {
        "inst_type": {"type": "enum", "pinned": False, "unit": "ec2", "value": inst_type, "values": values},
        "replicas": {"type": "range", "pinned": False, "value": replicas, "min": 1, "max": 6, "step": 1},
    }
    return {"components": {"primary": {"settings": {"inst_type": primary}}, "core": {"settings": core}}}


UNITS = {
    "duration": {"unit": "s"},
    "cost": {"unit": "USD"},
    "billed_cost": {"unit": "USD"},
    "job_cost": {"unit": "USD"},
    "provisioning_time": {"unit": "s"},
    "bootstrap_time": {"unit": "s"},
    "teardown_time": {"unit": "s"},
    "total_time": {"unit": "s"},
    "node_hours": {"unit": "h"},
    "accuracy": {"unit": ""},
    "speed": {"unit": "rps"},
    "nodes": {"unit": "count"},
}


def test_the_servo_presents_itself_before_it_asks_and_takes_its_leave(conversation: Conversation) -> None:
    events = [body.event for body in conversation.received]
    assert events[:2] == ["HELLO", "WHATS_NEXT"]
    assert events[-1] == "GOODBYE"
    assert {body.path for body in conversation.received} == {"/accounts/example.com/applications/nightly/servo"}
    assert {body.authorization for body in conversation.received} == {"Bearer s3cret"}


def test_a_health_check_sees_the_servo_alive_and_then_ended(
    conversation: Conversation, health: list[subprocess.CompletedProcess[str]]
) -> None:
    during, after = health
    assert (during.returncode, during.stderr) == (0, "")
    assert re.match(r"alive \d+ s ago: ", during.stdout)
    assert (after.returncode, "has ended" in after.stdout) == (1, True)


def test_describe_shows_the_configured_components_and_every_metric_with_its_unit(conversation: Conversation) -> None:
    assert conversation["describe"].answer == {
        "status": "ok",
        "message": None,
        "reason": "success",
        "descriptor": {"application": described("m5.xlarge", 2), "measurement": {"metrics": UNITS}},
        "cmd_uid": "cmd-1",
    }


def test_adjust_answers_with_the_values_that_will_run_and_leaves_other_components_to_others(
    conversation: Conversation,
) -> None:
    turn = conversation["adjust"]
    assert turn.answer == {
        "status": "ok",
        "message": None,
        "reason": "success",
        "state": {"application": described("c5.xlarge", 3), "measurement": {"metrics": UNITS}},
        "cmd_uid": "cmd-2",
    }
    assert turn.launched == []


def test_a_measurement_answers_with_the_metrics_asked_for_and_no_others(conversation: Conversation) -> None:
    answer = conversation["measure"].answer
    assert answer.keys() == {"status", "message", "reason", "metrics", "annotations", "cmd_uid"}
    assert conversation["measure"].outcome == ("ok", "success")
    assert answer["message"] is None
    assert list(answer["metrics"]) == ASKED
    assert {name: point["unit"] for name, point in answer["metrics"].items()} == {
        name: UNITS[name]["unit"] for name in ASKED
    }
    assert all(point.keys() == {"unit", "value"} for point in answer["metrics"].values())
    assert all(isinstance(point["value"], float) for point in answer["metrics"].values())


def test_a_measurement_is_annotated_with_where_its_figures_are_from(conversation: Conversation, folder: Path) -> None:
    turn = conversation["measure"]
    notes = turn.answer["annotations"]
    assert notes.keys() == {"run_id", "cluster_id", "cost_basis", "repeats", "notebook_sha256"}
    assert re.fullmatch(r"\d{8}t\d{6}-[0-9a-f]{8}", notes["run_id"])
    assert [notes["cluster_id"]] == turn.launched
    assert notes["repeats"] == "1"
    assert notes["notebook_sha256"] == hashlib.sha256((folder / "job.ipynb").read_bytes()).hexdigest()
    for part in ("us-east-1", "on-demand", "list price of 2023-08-30", "not included: S3 requests"):
        assert part in notes["cost_basis"]


def test_the_notebooks_metrics_are_those_of_the_executed_notebook_in_s3(
    conversation: Conversation, account: Account
) -> None:
    turn = conversation["measure"]
    recorded = records(account.read(f"{WORKSPACE}/runs/{turn.run_id}/output.ipynb"))
    assert recorded == {"accuracy": 0.8125, "nodes": 3}
    metrics = turn.answer["metrics"]
    assert metrics["accuracy"]["value"] == recorded["accuracy"]
    assert metrics["speed"]["value"] == 32.5


def test_the_duration_is_the_steps_own_timeline(conversation: Conversation, account: Account) -> None:
    turn = conversation["measure"]
    (step,) = account["emr"].list_steps(ClusterId=turn.launched[0])["Steps"]
    times = step["Status"]["Timeline"]
    seconds = (times["EndDateTime"] - times["StartDateTime"]).total_seconds()
    assert step["Status"]["State"] == "COMPLETED"
    assert turn.answer["metrics"]["duration"]["value"] == pytest.approx(seconds, abs=0.001)


def test_the_cost_is_the_bill_that_the_instances_come_to_at_list_prices(
    conversation: Conversation, account: Account
) -> None:
    turn = conversation["measure"]
    volumes = (64 * 0.10 + 15 * 0.08) / 720  # two gp2 volumes of an xlarge and a gp3 root, by the month of 30 days
    per_hour = {"m5.xlarge": 0.192 + 0.048 + volumes, "c5.xlarge": 0.17 + 0.043 + volumes}
    dollars = hours = 0.0
    rows = account["emr"].list_instances(ClusterId=turn.launched[0])["Instances"]
    for row in rows:
        times = row["Status"]["Timeline"]
        lived = max(60.0, (times["EndDateTime"] - times["CreationDateTime"]).total_seconds()) / 3600
        dollars += lived * per_hour[row["InstanceType"]]
        hours += lived
    assert sorted(row["InstanceType"] for row in rows) == ["c5.xlarge"] * 3 + ["m5.xlarge"]
    metrics = turn.answer["metrics"]
    assert metrics["cost"]["value"] == pytest.approx(dollars, abs=0.0001)
    assert metrics["node_hours"]["value"] == pytest.approx(hours, abs=0.00001)
    job = metrics["duration"]["value"] / 3600 * (0.24 + 3 * 0.213 + 4 * volumes)
    assert metrics["job_cost"]["value"] == pytest.approx(job, abs=0.0001)


def test_everything_of_a_run_is_in_the_workspace(conversation: Conversation, account: Account, folder: Path) -> None:
    run_id = conversation["measure"].run_id
    kept = account.keys(f"{WORKSPACE}/runs/{run_id}")
    assert set(kept) >= {
        "request.json", "job.json", "run_notebook.py", "bootstrap.sh", "constraints.txt", "input.ipynb",
        "output.ipynb", "progress.json", "result.json",
    }  # fmt: skip
    home = f"{WORKSPACE}/runs/{run_id}"
    assert account.read(f"{home}/input.ipynb") == (folder / "job.ipynb").read_bytes()
    job = json.loads(account.read(f"{home}/job.json"))
    assert (job["run_id"], job["parameters"]) == (run_id, {"mode": "ok", "correct": 13, "nodes": 3})
    result = json.loads(account.read(f"{home}/result.json"))
    assert (result["run_id"], result["status"]) == (run_id, "succeeded")
    workspace_id = json.loads(account.read(f"{WORKSPACE}/workspace.json"))["id"]
    assert json.loads(account.read(f"{home}/request.json"))["Name"] == f"servo-emr {workspace_id} {run_id}"
    assert f"servo-emr {workspace_id} {run_id}" in {cluster["Name"] for cluster in account.clusters()}


def test_the_record_holds_what_the_optimizer_was_told(conversation: Conversation, account: Account) -> None:
    turn = conversation["measure"]
    record = account.record(WORKSPACE, turn.run_id)
    assert (record["verdict"], record["reason"], record["state"]) == ("succeeded", "success", "verified")
    assert record["metrics"] == {name: point["value"] for name, point in turn.answer["metrics"].items()}
    assert record["settings"] == {"primary.inst_type": "m5.xlarge", "core.inst_type": "c5.xlarge", "core.replicas": 3}
    assert record["cluster_id"] == turn.launched[0]


@pytest.mark.parametrize("name", SCRIPT)
def test_a_measurement_launches_one_cluster_and_nothing_else_any(conversation: Conversation, name: str) -> None:
    turn = conversation[name]
    launching = ("measure", "parameters", "tiny max_cost", "failing", "kernel dies")
    expected = 1 if name in launching else 0
    assert (len(turn.launched), turn.run_job_flows) == (expected, expected)
    assert turn.alive == []


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("out of bounds", "rejected", "configuration/out-of-bounds"),
        ("pinned", "rejected", "configuration/out-of-bounds"),
        ("unknown setting", "rejected", "configuration/unknown-setting"),
        ("unknown userdata", "failed", "operator/userdata"),
        ("unknown parameter", "failed", "operator/userdata"),
    ],
)
def test_what_may_not_be_is_refused_without_a_run(
    conversation: Conversation, name: str, status: str, reason: str
) -> None:
    turn = conversation[name]
    assert turn.answer.keys() == {"status", "message", "reason", "cmd_uid"}
    assert turn.outcome == (status, reason)
    assert turn.answer["message"].splitlines()[-1] == "run=none cost_usd=0.0000 duration_s=none"


def test_what_was_refused_was_not_staged(conversation: Conversation) -> None:
    assert conversation["foreign"].outcome == ("ok", "success")
    assert conversation["foreign"].answer["state"]["application"] == described("c5.xlarge", 3)
    assert conversation["after refusals"].answer["descriptor"]["application"] == described("c5.xlarge", 3)


def test_a_trials_own_parameters_arrive_in_the_notebook(conversation: Conversation, account: Account) -> None:
    turn = conversation["parameters"]
    assert turn.answer["metrics"] == {
        "accuracy": {"unit": "", "value": 0.25},
        "nodes": {"unit": "count", "value": 11.0},
    }
    assert records(account.read(f"{WORKSPACE}/runs/{turn.run_id}/output.ipynb")) == {"accuracy": 0.25, "nodes": 11}


def test_a_trial_that_passes_its_own_max_cost_is_cut_short(conversation: Conversation, account: Account) -> None:
    turn = conversation["tiny max_cost"]
    assert turn.outcome == ("failed", "max-cost")
    assert float(turn.last_line["cost_usd"]) > 0.001
    assert turn.last_line["duration_s"] == "none"
    status = account["emr"].describe_cluster(ClusterId=turn.launched[0])["Cluster"]["Status"]
    assert (status["State"], status["StateChangeReason"]["Code"]) == ("TERMINATED", "USER_REQUEST")


def test_a_failing_cell_is_told_by_its_exception_and_its_place_only(
    conversation: Conversation, account: Account
) -> None:
    turn = conversation["failing"]
    assert turn.outcome == ("failed", "job/cell-error")
    first, *between, _ = turn.answer["message"].splitlines()
    assert first == "job/cell-error: ValueError in cell 2"
    assert between == []
    record = account.record(WORKSPACE, turn.run_id)
    times = account.step(turn.launched[0])["Status"]["Timeline"]
    assert float(turn.last_line["cost_usd"]) == pytest.approx(record["cost"]["usd"], abs=0.00006)
    seconds = (times["EndDateTime"] - times["StartDateTime"]).total_seconds()
    assert float(turn.last_line["duration_s"]) == pytest.approx(seconds, abs=0.001)


def test_nothing_of_the_notebook_leaves_the_account(conversation: Conversation) -> None:
    everything = "\n".join(body.text for body in conversation.received)
    assert "canary" not in everything
    assert "Traceback" not in everything
    assert "s3://" not in everything


@pytest.mark.parametrize("place", CANARIES)
def test_everything_of_a_failure_is_on_record(conversation: Conversation, account: Account, place: str) -> None:
    record = account.record(WORKSPACE, conversation["failing"].run_id)
    assert record["details"]["cell_error"]["cell_index"] == 2
    assert CANARIES[place] in json.dumps(record["details"], ensure_ascii=False)
    assert [log["name"] for log in record["details"]["logs"]] == ["stderr", "stdout", "controller"]


def test_a_failure_is_in_the_servos_own_log_with_its_traceback(conversation: Conversation) -> None:
    assert CANARIES["exception"] in conversation.log
    assert "Traceback (most recent call last)" in conversation.log.partition("job/cell-error")[2]


@pytest.mark.nightly
def test_with_report_details_the_optimizer_hears_all_of_it(detailed: Conversation) -> None:
    turn = detailed["failing"]
    assert turn.outcome == ("failed", "job/cell-error")
    assert CANARIES["exception"] in turn.answer["message"]
    assert CANARIES["source"] in turn.answer["message"]
    assert "s3://acme-servo/detailed/runs/" in turn.answer["message"]
    assert turn.last_line["run"] != "none"


def test_a_kernel_that_is_killed_is_the_configurations_fault(conversation: Conversation) -> None:
    turn = conversation["kernel dies"]
    assert turn.outcome == ("rejected", "configuration/out-of-memory")
    assert turn.answer["message"].splitlines()[0].endswith("the kernel was killed in cell 2")
    assert float(turn.last_line["cost_usd"]) > 0


@pytest.mark.parametrize("name", ["measure", "parameters", "failing", "kernel dies"])
def test_progress_names_run_phase_and_dollars_and_never_goes_back(conversation: Conversation, name: str) -> None:
    turn = conversation[name]
    told = [said(report["message"]) for report in turn.progress]
    assert {run for run, _, _ in told} == {turn.run_id}
    phases = [PHASES.index(phase) for _, phase, _ in told]
    assert phases == sorted(phases)
    assert {"provisioning", "running"} <= {phase for _, phase, _ in told}
    percents = [report["progress"] for report in turn.progress]
    assert percents == sorted(percents)
    assert all(0 < percent < 100 for percent in percents)
    dollars = [usd for _, _, usd in told]
    assert dollars == sorted(dollars)
    assert dollars[0] > 0


def said(message: str) -> tuple[str, str, float]:
    """(run id, phase, dollars so far) of a progress report."""
    found = re.search(r"run (\S+): (\w+)(?:, cell \d+ of \d+)?, \d+ s, (\d+\.\d{4}) USD so far", message)
    assert found, message
    return found[1], found[2], float(found[3])


def test_all_turns_of_the_script_were_answered(conversation: Conversation) -> None:
    answered: dict[str, Turn] = dict(conversation.turns)
    assert list(answered) == list(SCRIPT)
    assert [turn.answer["cmd_uid"] for turn in answered.values()] == [f"cmd-{n}" for n in range(1, len(SCRIPT) + 1)]
