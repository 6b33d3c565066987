"""`servo run` where W is real time while processes run: a time limit on the cluster itself, a bootstrap that fails."""

from __future__ import annotations

import json

import pytest

from tests.support.aws import Account
from tests.support.conversation import Conversation, converse
from tests.support.emulator import EmulatorProcess
from tests.support.optimizer import measure

LAW = None


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory, emulator: EmulatorProcess, account: Account) -> Conversation:
    """A notebook that sleeps for ten minutes and may run for three seconds."""
    changes = {"job.timeout": "3s", "workspace": "s3://acme-servo/late"}
    script = {"run": measure([], {"parameters": {"mode": "sleep"}})}
    return converse(tmp_path_factory.mktemp("late"), emulator, account, script, changes)


@pytest.fixture(scope="module")
def unprepared(tmp_path_factory: pytest.TempPathFactory, emulator: EmulatorProcess, account: Account) -> Conversation:
    """The wheels are to come from a bucket that nobody made."""
    changes = {"job.wheels": "s3://acme-wheels/none", "workspace": "s3://acme-servo/unprepared"}
    return converse(tmp_path_factory.mktemp("unprepared"), emulator, account, {"run": measure()}, changes)


@pytest.mark.nightly
def test_a_job_beyond_its_time_limit_is_ended_on_the_cluster_and_never_tried_again(
    late: Conversation, account: Account
) -> None:
    turn = late["run"]
    assert turn.outcome == ("rejected", "configuration/job-timeout")
    assert (len(turn.launched), turn.alive) == (1, [])
    result = json.loads(account.read(f"s3://acme-servo/late/runs/{turn.run_id}/result.json"))
    assert (result["status"], result["timeout_s"]) == ("timeout", 3.0)
    assert account.step(turn.launched[0])["Status"]["State"] == "FAILED"
    assert 3.0 <= float(turn.last_line["duration_s"]) < 300.0


@pytest.mark.nightly
def test_a_failed_bootstrap_action_is_a_failure_of_the_environment(unprepared: Conversation, account: Account) -> None:
    turn = unprepared["run"]
    assert turn.outcome == ("failed", "environment/bootstrap")
    assert (len(turn.launched), turn.alive) == (4, []), "a cluster that could not be prepared is relaunched three times"
    assert turn.last_line["duration_s"] == "none"
    assert float(turn.last_line["cost_usd"]) > 0
    record = account.record("s3://acme-servo/unprepared", turn.run_id)
    assert record["cause"]["code"] == "BOOTSTRAP_FAILURE"
    assert record["cause"]["errors"][0]["ErrorCode"] == "BOOTSTRAP_FAILURE_PRIMARY_WITH_NON_ZERO_CODE"
    assert "emr.job.wheels" in record["remedy"]


@pytest.mark.nightly
def test_the_bucket_of_the_wheels_is_not_named_outside_the_account(unprepared: Conversation) -> None:
    assert "acme-wheels" not in "\n".join(body.text for body in unprepared.received)
