"""A job of stages through `servo run`: what is described, adjusted and measured is the job, and nothing beside it."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from tests.support.aws import Account
from tests.support.conversation import Conversation, converse
from tests.support.emulator import EmulatorProcess
from tests.support.optimizer import adjust, describe, measure

LAW = ("--model", "a=300,b=0,c=0,d=0", "--seed", "stages")
WORKSPACE = "s3://acme-servo/nightly"
CHANGES: dict[str, Any] = {
    "job.notebook": None,
    "job.parameters": None,
    "job.repeats": 2,
    "job.prepare": [{"command": ["echo", "rate=99"]}],
    "job.run": [
        {"command": ["echo", "rate={core.replicas}"], "name": "load"},
        {"script": "count.sh", "args": ["{web.threads}", "{run.metrics}"]},
    ],
    "job.cleanup": [{"command": ["echo", "rate=77"]}],
    "job.metrics": {
        "speed": {"from": "output", "pattern": r"rate=(\d+)"},
        "threads": {"from": "file", "name": "threads"},
    },
    "components.web": {"threads": {"values": [1, 2, 4], "value": 1}},
}
SCRIPT = {
    "describe": describe(),
    "adjust": adjust({"core.replicas": 3, "web.threads": "4"}),
    "measure": measure(["duration", "job_cost", "cost", "speed", "threads"]),
}

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory, emulator: EmulatorProcess, account: Account) -> Conversation:
    folder = tmp_path_factory.mktemp("stages")
    (folder / "count.sh").write_text('echo "{\\"threads\\": $1}" | aws s3 cp --only-show-errors - "$2"\n')
    return converse(folder, emulator, account, SCRIPT, CHANGES)


@pytest.fixture(scope="module")
def record(conversation: Conversation, account: Account) -> dict[str, Any]:
    return account.record(WORKSPACE, conversation["measure"].run_id)


def seconds(step: dict[str, Any]) -> float:
    return float(step["timeline"]["ended"] - step["timeline"]["ready"])


def test_the_jobs_own_setting_is_described_and_adjusted_like_any_other(conversation: Conversation) -> None:
    told = conversation["describe"].answer["descriptor"]["application"]["components"]
    assert told["web"]["settings"]["threads"] == {
        "type": "enum", "pinned": False, "value": "1", "values": ["1", "2", "4"],
    }  # fmt: skip
    assert conversation["adjust"].outcome == ("ok", "success")
    assert conversation["adjust"].launched == []


def test_only_the_measured_steps_are_in_the_duration_that_the_optimizer_hears(
    conversation: Conversation, record: dict[str, Any]
) -> None:
    turn = conversation["measure"]
    assert turn.outcome == ("ok", "success")
    heard = {name: metric["value"] for name, metric in turn.answer["metrics"].items()}
    assert [(step["stage"], step["name"]) for step in record["steps"]] == [
        ("prepare", "echo"),
        ("run", "load, 1 of 2"),
        ("run", "count.sh, 1 of 2"),
        ("run", "load, 2 of 2"),
        ("run", "count.sh, 2 of 2"),
        ("cleanup", "echo"),
    ]
    run = [seconds(step) for step in record["steps"] if step["stage"] == "run"]
    repeats = [run[0] + run[1], run[2] + run[3]]
    assert heard["duration"] == pytest.approx(statistics.median(repeats))
    assert min(seconds(step) for step in record["steps"]) > 0
    assert heard["job_cost"] < heard["cost"]
    assert (heard["speed"], heard["threads"]) == (3.0, 4.0)


def test_the_cluster_of_a_job_of_stages_is_gone_when_the_answer_is_there(
    conversation: Conversation, record: dict[str, Any]
) -> None:
    turn = conversation["measure"]
    assert (len(turn.launched), turn.run_job_flows, turn.alive) == (1, 1, [])
    assert (record["state"], record["cluster_id"]) == ("verified", turn.launched[0])
    assert {step["state"] for step in record["steps"]} == {"completed"}
