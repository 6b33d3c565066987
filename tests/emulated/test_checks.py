"""Readiness checks: each passes, fails with its remedy, or says what right it lacks; together they are quick."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from servo_emr.aws.door import Door
from servo_emr.aws.workspace import S3Workspace
from servo_emr.checks import Checked, Outcome, check_all
from servo_emr.checks.every import PATIENCE_S
from servo_emr.checks.workspace import round_trip
from servo_emr.clock import SystemClock
from servo_emr.config import EMRConfiguration
from servo_emr.domain.errors import Verdict
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.wiring import for_checks
from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook, write_notebook
from tests.support.optimizer import Optimizer
from tests.support.servo import command, configuration, write_configuration

URI = "s3://acme-servo/nightly"
LAW, SPEED = ("--no-execute", "--model", "a=300,b=0,c=0,d=0"), 0.0
TRUST_NOBODY = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
NAMES = [
    "credentials",
    "service role",
    "instance profile",
    "workspace",
    "notebook",
    "release label",
    "instance types",
    "subnets",
    "vCPU quota",
    "prices",
    "log URI",
    "lease",
    "breaker",
    "budget",
    "clusters",
]


@pytest.fixture(scope="module")
def small_subnet(emulator: EmulatorProcess) -> str:
    """A subnet with eleven free addresses."""
    ec2 = emulator.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/28", AvailabilityZone="us-east-1a")["Subnet"]
    return str(subnet["SubnetId"])


@pytest.fixture(scope="module")
def odd_roles(emulator: EmulatorProcess) -> None:
    """A role that nobody of EMR's may assume, alone and in a profile; a profile without a role."""
    iam = emulator.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": [TRUST_NOBODY]})
    iam.create_role(RoleName="odd", AssumeRolePolicyDocument=trust)
    for name in ("odd", "empty"):
        iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName="odd", RoleName="odd")


@pytest.fixture
def world(emulator: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a notebook, this process's AWS pointed at the emulator; faults are taken back."""
    for name, value in emulator.env.items():
        monkeypatch.setenv(name, value)
    job_notebook(tmp_path / "job.ipynb")
    write_notebook(tmp_path / "plain.ipynb", "print(1)")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    set_faults(emulator)


def set_faults(emulator: EmulatorProcess, *faults: dict[str, Any]) -> None:
    httpx.post(f"{emulator.url}/_emulator/faults", json=list(faults), trust_env=False).raise_for_status()


def checked(changes: Mapping[str, Any] | None = None) -> dict[str, Checked]:
    """The results by name; of several quotas the last."""
    config = EMRConfiguration.parse_obj(configuration(changes)["emr"])
    return {result.name: result for result in asyncio.run(check_all(for_checks(config, lambda text: None)))}


def test_all_checks_of_a_good_configuration_pass_in_under_ten_seconds_and_write_one_document(
    emulator: EmulatorProcess, world: Path, account: Account
) -> None:
    assert PATIENCE_S < 10
    for _ in range(3):  # one that took longer than PATIENCE_S is not OK, as on a busy machine the first may
        results = checked()
        if {result.outcome for result in results.values()} == {Outcome.OK}:
            break
    assert list(results) == NAMES
    assert {result.outcome for result in results.values()} == {Outcome.OK}, results
    assert account.keys(URI) == ["check.json"]
    asked = {call["operation"] for call in emulator.calls() if call["service"] != "s3"}
    assert all(name.startswith(("Get", "List", "Describe")) for name in asked), asked
    assert checked()["workspace"].outcome is Outcome.OK  # over its own document of the time before


@pytest.mark.parametrize(
    ("changes", "name", "finding", "remedy"),
    [
        ({"cluster.service_role": "none"}, "service role", "does not exist", "create-default-roles"),
        ({"cluster.service_role": "odd"}, "service role", "by lambda", "elasticmapreduce.amazonaws.com"),
        ({"cluster.instance_profile": "none"}, "instance profile", "does not exist", "create-default-roles"),
        ({"cluster.instance_profile": "empty"}, "instance profile", "holds no role", "add-role-to-instance-profile"),
        ({"cluster.instance_profile": "odd"}, "instance profile", "by lambda", "ec2.amazonaws.com"),
        ({"workspace": "s3://no-such-bucket/x"}, "workspace", "NoSuchBucket", "Make the bucket"),
        ({"job.notebook": "gone.ipynb"}, "notebook", "No such file", "Correct the path"),
        ({"job.notebook": "plain.ipynb"}, "notebook", "no cell tagged 'parameters'", "Tag the cell"),
        ({"job.parameters.typo": 1}, "notebook", "typo: no such name", "mode, correct, nodes"),
        ({"cluster.release_label": "emr-7.99.0"}, "release label", "emr-7.99.0", "list-release-labels"),
        (
            {"components.core.inst_type.values": ["m5.xlarge", "z9.huge"]},
            "instance types",
            "z9.huge is not supported",
            "Take it out of emr.components",
        ),
        ({"cluster.subnet_ids": ["subnet-0123456789abcdef0"]}, "subnets", "do not exist", "emr.cluster.subnet_ids"),
        (
            {"components.core.replicas": {"min": 90, "max": 90, "value": 90}},
            "vCPU quota",
            "256 vCPUs in the whole account, the cluster to start with has 364",
            "Ask for 364 in Service Quotas (L-1216C47A)",
        ),
        (
            {"components.core.inst_type.values": ["m5.xlarge", "g4dn.xlarge"]},
            "prices",
            "No price for g4dn.xlarge",
            "emr.prices.overrides.g4dn.xlarge",
        ),
        ({"cluster.log_uri": "s3://no-such-bucket/logs"}, "log URI", "NoSuchBucket", "Make the bucket"),
    ],
)
def test_what_is_wrong_in_servo_yaml_fails_its_check_with_a_remedy(
    world: Path, odd_roles: None, changes: dict[str, Any], name: str, finding: str, remedy: str
) -> None:
    result = checked(changes)[name]
    assert (result.outcome, result.error is None) == (Outcome.FAILED, False)
    assert finding in result.finding
    assert remedy in result.remedy


def test_what_may_do_is_a_warning(world: Path, small_subnet: str) -> None:
    results = checked(
        {
            "cluster.subnet_ids": [small_subnet],
            "cluster.log_uri": None,
            "components.core.replicas": {"min": 1, "max": 90, "value": 2},
        }
    )
    assert results["subnets"].outcome is Outcome.WARNING
    assert "the largest cluster has 91 nodes" in results["subnets"].finding
    assert "emr.limits.nodes" in results["subnets"].remedy
    assert results["vCPU quota"].outcome is Outcome.WARNING
    assert "Ask for 364" in results["vCPU quota"].remedy
    assert (results["log URI"].outcome, results["log URI"].remedy) == (Outcome.WARNING, "Set it in servo.yaml.")
    narrow = checked(
        {"cluster.subnet_ids": [small_subnet], "components.core.replicas": {"min": 9, "max": 30, "value": 20}}
    )
    assert narrow["subnets"].outcome is Outcome.FAILED
    assert "Free addresses" in narrow["subnets"].remedy


def test_a_quota_counts_limits_markets_and_families(world: Path) -> None:
    changes = {"components.core.replicas": {"min": 1, "max": 90, "value": 2}, "limits.vcpus": 100}
    assert "the largest cluster has 100" in checked(changes)["vCPU quota"].finding
    spot = {"components.core.market": "spot", "prices.live": False}
    config = EMRConfiguration.parse_obj(configuration(spot)["emr"])
    results = asyncio.run(check_all(for_checks(config, lambda text: None)))
    quotas = [result.finding for result in results if result.name == "vCPU quota"]
    assert [finding.split(":")[0] for finding in quotas] == [
        "Standard on-demand (L-1216C47A)",
        "Standard spot (L-34B43A08)",
    ]
    unknown = checked({"components.core.inst_type.values": ["m5.xlarge", "x1.32xlarge"]})["vCPU quota"]
    assert (unknown.outcome, "x1.32xlarge" in unknown.finding) == (Outcome.NOT_CHECKED, True)
    assert "Service Quotas console" in unknown.remedy


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        ("sts:GetCallerIdentity", ["credentials"]),
        ("iam:GetRole", ["service role"]),
        ("iam:GetInstanceProfile", ["instance profile"]),
        ("ec2:DescribeSubnets", ["subnets"]),
        ("service-quotas:GetServiceQuota", ["vCPU quota"]),
        ("ListSupportedInstanceTypes", ["release label", "instance types", "vCPU quota"]),
        ("ec2:DescribeInstanceTypeOfferings", ["instance types"]),
        ("ListClusters", ["clusters"]),
        ("s3:ListObjectsV2", ["log URI", "breaker", "budget"]),
    ],
)
def test_what_may_not_be_asked_says_so_and_names_the_action(
    emulator: EmulatorProcess, world: Path, operation: str, names: list[str]
) -> None:
    set_faults(emulator, {"kind": "access-denied", "operation": operation})
    results = checked()
    open_ = [name for name, result in results.items() if result.outcome is Outcome.NOT_CHECKED]
    assert sorted(open_) == sorted(names)
    for name in names:
        assert operation.rpartition(":")[2] in results[name].finding + results[name].remedy
        assert "Allow " in results[name].remedy
    assert {result.outcome for result in results.values()} == {Outcome.OK, Outcome.NOT_CHECKED}


def test_without_the_right_to_write_the_workspace_fails(emulator: EmulatorProcess, world: Path) -> None:
    set_faults(emulator, {"kind": "access-denied", "operation": "s3:PutObject"})
    result = checked()["workspace"]
    assert (result.outcome, "s3:PutObject" in result.finding) == (Outcome.FAILED, True)
    assert "Allow s3:PutObject" in result.remedy


def test_a_store_that_does_not_keep_conditions_is_found_out(emulator: EmulatorProcess, world: Path) -> None:
    class Careless(S3Workspace):
        """Writes whatever was there before."""

        async def write(self, name: str, body: Mapping[str, Any], expected: str | None) -> str:
            known = await self.document(name)
            return await super().write(name, body, known and known.version)

    result = asyncio.run(round_trip(Careless(Door("us-east-1"), URI), SystemClock()))
    assert result.outcome is Outcome.FAILED
    assert "conditional writes" in result.remedy


def test_expired_credentials_fail_and_the_rest_is_not_checked(emulator: EmulatorProcess, world: Path) -> None:
    set_faults(emulator, {"kind": "expired-credentials", "operation": "*:*"})
    results = checked()
    assert results["credentials"].outcome is Outcome.FAILED
    assert "Renew the servo's AWS credentials" in results["credentials"].remedy
    assert results["service role"].outcome is Outcome.NOT_CHECKED
    assert Outcome.OK not in {result.outcome for name, result in results.items() if name not in ("notebook", "prices")}


def test_a_silent_service_keeps_none_of_the_others_waiting(emulator: EmulatorProcess, world: Path) -> None:
    checked()  # the emulator has made what it needs for each service
    set_faults(emulator, {"kind": "slow", "operation": "iam:GetRole", "seconds": 5})
    config = EMRConfiguration.parse_obj(configuration()["emr"])

    async def asked() -> tuple[Checked, ...]:
        return await check_all(for_checks(config, lambda text: None), patience_s=3.5)

    results = {result.name: result for result in asyncio.run(asked())}
    assert results["service role"].outcome is Outcome.NOT_CHECKED
    assert "no answer in 3.5 s" in results["service role"].finding
    assert results["instance profile"].outcome is Outcome.OK


def test_a_driver_an_open_breaker_a_spent_budget_and_a_live_cluster_are_found(
    emulator: EmulatorProcess, world: Path, account: Account
) -> None:
    now = emulator.now()
    records = [_failed_run(time.strftime(f"%Y%m%dt%H%M0{n}-0000000{n}", time.gmtime(now)), now - 60) for n in range(5)]
    documents = {
        "lease": {"schema": 1, "holder": {"host": "far", "pid": 1, "started": "1"}, "renewed_at": time.time() + 60},
        "workspace": {"schema": 1, "id": "cafe0123"},
        **{f"records/dt={time.strftime('%Y-%m-%d', time.gmtime(now))}/{r['run_id']}": r for r in records},
    }
    for name, body in documents.items():
        account["s3"].put_object(Bucket="acme-servo", Key=f"busy/{name}.json", Body=json.dumps(body).encode())
    account["emr"].run_job_flow(
        Name="servo-emr cafe0123 20260101t000000-00000009",
        ReleaseLabel="emr-7.1.0",
        ServiceRole="EMR_DefaultRole",
        JobFlowRole="EMR_EC2_DefaultRole",
        Instances={"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True},
    )
    results = checked({"workspace": "s3://acme-servo/busy", "limits.spend_per_day": 10})
    expected = {
        "lease": (Outcome.FAILED, "another process drives this workspace", "stop it"),
        "breaker": (Outcome.FAILED, "5 runs in a row", "servo-emr resume"),
        "budget": (Outcome.FAILED, "15.0000 USD", "raise the limit"),
        "clusters": (Outcome.WARNING, "20260101t000000-00000009", "servo-emr sweep"),
    }
    for name, (outcome, finding, remedy) in expected.items():
        assert results[name].outcome is outcome
        assert finding in results[name].finding
        assert remedy in results[name].remedy


def _failed_run(run_id: str, created_at: float) -> dict[str, Any]:
    """The record of a run that AWS ended, after three dollars."""
    record = RunRecord(
        run_id,
        "cafe0123",
        created_at,
        identity="",
        spec={},
        notebook_sha256="",
        cluster_id="j-1",
        state=RunState.VERIFIED,
        verdict=Verdict.ENVIRONMENT,
        reason="environment/internal",
        cost_so_far=3.0,
    )
    return record.to_json()


def test_the_command_is_a_table_one_document_and_an_exit_status(emulator: EmulatorProcess, world: Path) -> None:
    write_configuration(world)
    done = command("servo-emr", "check", folder=world, environment=emulator.env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].split() == ["CHECK", "OUTCOME", "FINDING"]
    assert "16 ok" in done.stdout
    write_configuration(world, {"cluster.service_role": "none"})
    done = command("servo-emr", "check", "-o", "json", folder=world, environment=emulator.env)
    assert (done.returncode, done.stderr) == (1, "")
    (wrong,) = [result for result in json.loads(done.stdout) if result["outcome"] != "ok"]
    assert (wrong["check"], wrong["outcome"], wrong["reason"]) == ("service role", "failure", "operator/role")
    assert "create-default-roles" in wrong["remedy"]


def test_a_cycle_whose_checks_fail_spends_nothing(emulator: EmulatorProcess, world: Path) -> None:
    write_configuration(world, {"cluster.service_role": "none"})
    before = len(emulator.calls(operation="RunJobFlow"))
    done = command("servo-emr", "cycle", "--yes", folder=world, environment=emulator.env)
    assert (done.returncode, done.stdout) == (1, "")
    *_, told = done.stderr.partition("FAILED, somebody has to set something right: ")
    assert told.startswith("operator/role\n")
    assert "create-default-roles" in told
    assert len(emulator.calls(operation="RunJobFlow")) == before


@pytest.mark.nightly
def test_servo_waits_for_what_fails_and_not_for_warnings(emulator: EmulatorProcess, world: Path) -> None:
    path = write_configuration(world, {"cluster.log_uri": None})
    path.write_text(path.read_text() + "checks: {progressive: false, verbose: true, wait: 2s, delay: 1s}\n")
    with Optimizer() as optimizer:
        environment = {**emulator.env, "OPSANI_BASE_URL": optimizer.url}
        done = command("servo", "run", "--dry-run", folder=world, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning: emr.cluster.log_uri" in done.stdout
        path = write_configuration(world, {"cluster.service_role": "none"})
        path.write_text(path.read_text() + "checks: {progressive: false, verbose: true, wait: 2s, delay: 1s}\n")
        done = command("servo", "run", "--dry-run", folder=world, environment=environment)
        assert done.returncode == 1
        assert "X FAILED" in done.stdout
