"""One permission removed at a time: what is said names the action, and no cluster stays alive unseen."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import servo
import servo.errors
from typer.testing import CliRunner

import servo_emr.pricing
from servo_emr.aws.permissions import OPERATIONS
from servo_emr.checks import check_all
from servo_emr.cli.main import app
from servo_emr.config import EMRConfiguration
from servo_emr.connector import EMRConnector
from servo_emr.wiring import assemble, for_checks
from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import job_flow
from tests.support.notebooks import job_notebook
from tests.support.promise import Handled, Surroundings, broken
from tests.support.servo import configuration, write_configuration
from tests.support.stride import StrideClock

CALLED_AS = {
    grant.action: f"{service}:{operation}"
    for (service, operation), grants in OPERATIONS.items()
    for grant in grants[:1]
}
"""Each action that is an operation's own -> that operation, as faults name it."""
ALONGSIDE = ("elasticmapreduce:AddTags", "iam:PassRole")
"""Actions that RunJobFlow needs beside its own."""
ASKED_BY_CHECKS = (
    "iam:GetRole",
    "iam:GetInstanceProfile",
    "servicequotas:GetServiceQuota",
    "ec2:DescribeSubnets",
    "elasticmapreduce:ListClusters",
)
ENDING = ("elasticmapreduce:TerminateJobFlows", "elasticmapreduce:SetTerminationProtection")
MEASURED = sorted({*CALLED_AS, *ALONGSIDE} - {*ASKED_BY_CHECKS, *ENDING})
NEEDING: dict[str, dict[str, Any]] = {
    "ec2:DescribeSpotPriceHistory": {"components.core.market": "spot"},
    "pricing:GetProducts": {"prices.live": True},
    "ec2:DescribeImages": {"cluster.ami_id": "ami-0123456789abcdef0"},
    "elasticmapreduce:ListInstanceFleets": {
        f"cluster.{role}": {"fleet": {"on_demand_allocation": "lowest-price"}} for role in ("primary", "core")
    },
}
"""What a configuration must ask for, so that an action is needed at all."""
PRICES = str(Path(servo_emr.pricing.__file__).with_name("us-east-1.csv"))


def test_every_action_of_the_policy_is_removed_somewhere_below() -> None:
    everything = {grant.action for grants in OPERATIONS.values() for grant in grants}
    assert {*MEASURED, *ASKED_BY_CHECKS, *ENDING} == everything


@dataclass
class Told:
    """What was said, wherever it was said, and what became of it."""

    record: dict[str, Any]
    reason: str
    texts: list[str] = field(default_factory=list)

    def says(self, words: str) -> bool:
        return any(words in text for text in self.texts)


@dataclass
class Scene:
    """An account whose permissions can be taken away, and a configuration on a workspace of its own."""

    emulator: EmulatorProcess
    account: Account
    folder: Path
    uri: str = ""

    def remove(self, action: str) -> None:
        """The action is refused from now on, to the servo alone."""
        if action in ALONGSIDE:
            denied = f"User: arn:aws:iam::123456789012:user/emulated is not authorized to perform: {action}"
            fault = {"kind": "error", "operation": "RunJobFlow", "code": "AccessDeniedException", "message": denied}
        else:
            fault = {"kind": "access-denied", "operation": CALLED_AS[action].removeprefix("emr:")}
        self.faults(fault)

    def faults(self, *faults: dict[str, Any]) -> None:
        answer = httpx.post(f"{self.emulator.url}/_emulator/faults", json=list(faults), trust_env=False)
        answer.raise_for_status()

    def config(self, changes: dict[str, Any] | None = None) -> EMRConfiguration:
        own = {
            "workspace": self.uri,
            "cluster.log_uri": f"{self.uri}/logs",
            "job.timeout": "16m",
            "prices.live": False,
            **(changes or {}),
        }
        write_configuration(self.folder, own)
        return EMRConfiguration.parse_obj(configuration(own)["emr"])

    async def measured(self, changes: dict[str, Any] | None = None) -> Told:
        """One adjustment and one measurement, with all that the log, the answers and the record say. The permission is
        given back then."""
        connector = EMRConnector(name="emr", config=self.config(changes))
        told = Told({}, "success")
        sink = servo.logger.add(told.texts.append, level="WARNING", format="{message}")
        try:
            await connector.adjust([servo.Adjustment(component_name="core", setting_name="replicas", value=1)])
            measurement = await connector.measure()
            told.texts.append(str(measurement.annotations))
        except servo.errors.EventError as error:
            told.reason = str(error.reason)
        finally:
            servo.logger.remove(sink)
            self.faults()
        keys = [key for key in self.account.keys(f"{self.uri}/records") if key.endswith(".json")]
        if keys:
            told.record = json.loads(self.account.read(f"{self.uri}/records/{keys[-1]}"))
            told.texts.append(json.dumps(told.record))
        return told

    def swept(self) -> tuple[int, str]:
        """The exit status of `servo-emr sweep --yes`, and what it says on standard error."""
        # In a thread of its own, because a test's event loop is running here.
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(CliRunner(mix_stderr=False).invoke, app, ["sweep", "--yes"]).result()
        return done.exit_code, done.stderr


_numbers = itertools.count()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmulatorProcess, StrideClock]]:
    empty = tmp_path_factory.mktemp("empty")
    words = ("--no-execute", "--model", "a=900,b=0,c=0,d=0", "--noise", "0", "--prices", PRICES)
    with EmulatorProcess(*words, data=[f"s3://acme-servo/={empty}"]) as process, StrideClock(process, 600.0) as clock:
        yield process, clock


@pytest.fixture(scope="module")
def account(stage: tuple[EmulatorProcess, StrideClock]) -> Iterator[Account]:
    found = Account(stage[0])
    yield found
    found.close()


@pytest.fixture
def scene(
    stage: tuple[EmulatorProcess, StrideClock],
    account: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    process, clock = stage
    for name, value in {**process.env, "SERVO_EMR_CLOCK": clock.url}.items():
        monkeypatch.setenv(name, value)
    job_notebook(tmp_path / "job.ipynb")
    monkeypatch.chdir(tmp_path)
    yield Scene(process, account, tmp_path, f"s3://acme-servo/{next(_numbers)}")
    httpx.post(f"{process.url}/_emulator/faults", json=[], trust_env=False).raise_for_status()
    for cluster_id in account.alive():
        account["emr"].set_termination_protection(JobFlowIds=[cluster_id], TerminationProtected=False)
        account["emr"].terminate_job_flows(JobFlowIds=[cluster_id])
    process.advance(600.0)


@pytest.mark.parametrize("action", MEASURED)
async def test_a_measurement_without_a_permission_names_it_and_leaves_no_cluster(scene: Scene, action: str) -> None:
    scene.remove(action)
    told = await scene.measured(NEEDING.get(action))
    assert told.says(action), told.texts
    assert scene.account.alive() == []


@pytest.mark.parametrize("action", ASKED_BY_CHECKS)
async def test_a_check_without_a_permission_names_it(scene: Scene, action: str) -> None:
    scene.remove(action)
    results = await check_all(for_checks(scene.config(), lambda text: None))
    assert [r for r in results if action in f"{r.finding} {r.remedy}" and r.outcome == "not checked"], results


async def test_a_lost_answer_to_a_launch_without_the_permission_to_look_for_the_cluster_is_loud(scene: Scene) -> None:
    denied = {"kind": "access-denied", "operation": "ListClusters"}
    scene.faults({"kind": "drop-reply", "operation": "RunJobFlow"}, denied)
    told = await scene.measured()
    assert told.says("elasticmapreduce:ListClusters"), told.texts
    assert (told.reason, told.record["unreleased"]) == ("operator/unreleased", True)
    # It ends itself with its last step, whoever knows of it.
    scene.emulator.advance(3600.0)
    assert scene.account.alive() == []


async def test_without_the_permission_to_terminate_a_run_is_on_record_as_not_released_until_a_sweep(
    scene: Scene,
) -> None:
    denied = {"kind": "access-denied", "operation": "TerminateJobFlows"}
    scene.faults(denied, {"kind": "delay", "phase": "provisioning", "seconds": 36_000})
    told = await scene.measured({"limits.provisioning": "20m"})
    (cluster_id,) = scene.account.alive()
    assert told.says("elasticmapreduce:TerminateJobFlows"), told.texts
    assert told.says(f"aws emr terminate-clusters --region us-east-1 --cluster-ids {cluster_id}")
    assert (told.reason, told.record["unreleased"]) == ("operator/unreleased", True)
    assert scene.swept()[0] == 0
    assert scene.account.alive() == []


async def test_f3_a_cluster_whose_steps_may_not_be_listed_is_ended_and_its_end_verified(scene: Scene) -> None:
    """From the job on: elasticmapreduce:ListSteps is missing; the run fails by that name, and its cluster is seen
    ended, not told as one that may be alive."""
    before = Surroundings.of(scene.account)
    scene.remove("elasticmapreduce:ListSteps")
    told = await scene.measured({"limits.provisioning": "20m"})
    assert told.says("elasticmapreduce:ListSteps"), told.texts
    assert (told.reason != "operator/unreleased", told.record["unreleased"]) == (True, False)
    assert broken(Handled(scene.account, scene.uri, before)) == []


async def test_without_the_permission_to_take_protection_away_a_sweep_fails_and_names_it(scene: Scene) -> None:
    config = scene.config()
    workspace_id = await assemble(config, lambda text: None).workspace.identity()
    protected = job_flow(instances={"TerminationProtected": True, "KeepJobFlowAliveWhenNoSteps": True})
    tags = [{"Key": "servo-emr:workspace", "Value": workspace_id}]
    name = f"servo-emr {workspace_id} 20260101t000000-0badc0de"
    cluster_id = scene.account["emr"].run_job_flow(**{**protected, "Name": name, "Tags": tags})["JobFlowId"]
    scene.remove("elasticmapreduce:SetTerminationProtection")
    status, said = scene.swept()
    assert (status, scene.account.alive()) == (1, [cluster_id])
    assert "elasticmapreduce:SetTerminationProtection" in said
    scene.faults()
    status, said = scene.swept()
    assert (status, scene.account.alive()) == (0, [])
    assert f"{cluster_id} was protected from termination by somebody: that was switched off to end it" in said
