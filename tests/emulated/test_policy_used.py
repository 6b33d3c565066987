"""The policies against the calls that are really made: every command and every path that calls, on one emulator."""

from __future__ import annotations

import asyncio
import fnmatch
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import servo
from typer.testing import CliRunner

import servo_emr.pricing
from servo_emr.aws.permissions import NODES, OPERATIONS
from servo_emr.cli.main import app
from servo_emr.config import EMRConfiguration
from servo_emr.connector import EMRConnector
from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import job_flow
from tests.support.notebooks import job_notebook
from tests.support.servo import configuration, write_configuration
from tests.support.stride import StrideClock

URI = "s3://acme-servo/nightly"
SIGNED = {"elasticmapreduce": "emr", "servicequotas": "service-quotas"}
"""Services as requests are signed for them -> as the SDK calls them."""
SERVO, NODE = "emulated", "emulated-instance-profile"
NODE_ACTIONS = {"GetObject": "s3:GetObject", "HeadObject": "s3:GetObject", "PutObject": "s3:PutObject",
                "ListObjectsV2": "s3:ListBucket"}  # fmt: skip
OF_RESTORES = {"s3:GetObjectTagging", "s3:PutObjectTagging"}
"""Used by version 2 of the AWS CLI for large objects, when inputs are restored; the emulated node has version 1."""
SUBMITTED = (
    "request.json job.json run_notebook.py run_command.py servo_emr_job.py servo_emr_child.py servo_emr_outputs.py "
    "servo_emr_processes.py bootstrap.sh constraints.txt input.ipynb"
).split()
PRICES = str(Path(servo_emr.pricing.__file__).with_name("us-east-1.csv"))


@dataclass
class Used:
    """What was called, and what the command granted."""

    servo: set[tuple[str, str]]
    nodes: set[str]
    granted: dict[str, Any]
    written: list[str]
    """What the nodes wrote, below the run's folder."""
    alive: list[str]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    folder = tmp_path_factory.mktemp("used")
    seed = folder / "seed"
    seed.mkdir()
    job_notebook(seed / "job.ipynb")
    words = ("--model", "a=900,b=0,c=0,d=0", "--noise", "0", "--process-cap", "5m", "--prices", PRICES)
    data = [f"s3://acme-servo/={folder / 'none'}", f"s3://acme-notebooks/={seed}"]
    (folder / "none").mkdir()
    with (
        EmulatorProcess(*words, data=data) as emulator,
        StrideClock(emulator, 600.0) as clock,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**emulator.env, "SERVO_EMR_CLOCK": clock.url}.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        account = Account(emulator)
        granted = _everything(folder, account)
        calls = emulator.calls()
        (run, *_) = [key.split("/")[0] for key in account.keys(f"{URI}/runs") if key.endswith("result.json")]
        keys = [key.removeprefix(f"{run}/") for key in account.keys(f"{URI}/runs") if key.startswith(run)]
        yield Used(
            {(SIGNED.get(c["service"], c["service"]), c["operation"]) for c in calls if c["caller"] == SERVO},
            {c["operation"] for c in calls if c["caller"] == NODE},
            granted,
            [key for key in keys if key not in SUBMITTED],
            account.alive(),
        )
        account.close()


def _everything(folder: Path, account: Account) -> dict[str, Any]:
    """Every command, every event of the servo, a success, a failure, a protected stray; the policies printed."""
    subnets = [subnet["SubnetId"] for subnet in account["ec2"].describe_subnets()["Subnets"][:1]]
    changes = {
        "job.notebook": "s3://acme-notebooks/job.ipynb",
        "cluster.subnet_ids": subnets,
        "components.core.market": "spot",
    }
    write_configuration(folder, changes)
    connector = EMRConnector(name="emr", config=EMRConfiguration.parse_obj(configuration(changes)["emr"]))
    asyncio.run(_events(connector))
    _command("check", "-o", "json")
    _command("plan")
    _command("prices")
    record = json.loads(_command("cycle", "--yes", "-o", "json"))
    assert record["reason"] == "success", record["message"]
    write_configuration(folder, {**changes, "job.parameters.mode": "fail"})
    _command("cycle", "--yes", status=1)
    workspace_id = record["workspace_id"]
    account["emr"].run_job_flow(
        **job_flow(instances={"TerminationProtected": True, "KeepJobFlowAliveWhenNoSteps": True})
        | {"Name": f"servo-emr {workspace_id} 20260101t000000-0badc0de"},
        Tags=[{"Key": "servo-emr:workspace", "Value": workspace_id}],
    )
    _command("sweep", "--yes")
    run = record["run_id"]
    for words in (("runs",), ("show", run), ("logs", run), ("resume",)):
        _command(*words)
    return dict(json.loads(_command("policy", "-o", "json")))


async def _events(connector: EMRConnector) -> None:
    adjustment = servo.Adjustment(component_name="core", setting_name="replicas", value=1)
    await connector.describe()
    await connector.adjust([adjustment])
    await connector.startup()
    await connector.shutdown()


def _command(*words: str, status: int = 0) -> str:
    """A command of `servo-emr` in this process; what it prints."""
    done = CliRunner(mix_stderr=False).invoke(app, list(words))
    assert done.exit_code == status, (words, done.stdout, done.stderr, done.exception)
    return done.stdout


def actions(document: dict[str, Any]) -> set[str]:
    return {action for statement in document["Statement"] for action in statement["Action"]}


ELSEWHERE = {("emr", "ListInstanceFleets"), ("ec2", "DescribeImages")}
"""Called for instance fleets and for images of one's own alone, which test_whole_clusters.py has."""


def test_every_operation_of_the_table_was_called_and_no_other(used: Used) -> None:
    assert used.servo == set(OPERATIONS) - ELSEWHERE


def test_every_action_of_the_policy_was_used_and_every_action_used_is_in_it(used: Used) -> None:
    needed = {
        grant.action for operation in used.servo | {("emr", "ListInstanceFleets")} for grant in OPERATIONS[operation]
    }
    assert needed == actions(used.granted["servo"])


def test_the_nodes_called_nothing_that_their_policy_does_not_grant(used: Used) -> None:
    assert set(NODE_ACTIONS) >= used.nodes >= {"GetObject", "PutObject"}
    assert {NODE_ACTIONS[name] for name in used.nodes} <= actions(used.granted["nodes"])
    assert {grant.action for grant in NODES} - OF_RESTORES == set(NODE_ACTIONS.values())


def test_the_nodes_wrote_only_what_their_policy_lets_them_write(used: Used) -> None:
    (results,) = [one for one in used.granted["nodes"]["Statement"] if one["Sid"] == "WriteResults"]
    patterns = [resource.rpartition("/")[2] for resource in results["Resource"]]
    assert {key for key in used.written if not any(fnmatch.fnmatch(key, p) for p in patterns)} == set()
    assert {"output.ipynb", "progress.json", "result.json"} <= set(used.written)


def test_nothing_is_left_alive(used: Used) -> None:
    assert used.alive == []
