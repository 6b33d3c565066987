"""The stack of deploy/cloudformation, made by CloudFormation over HTTP, and the demo's job run with what it made.

The emulator's CloudFormation is moto's: it makes buckets, roles, policies, profiles and the host, leaves out what
NOT_EMULATED lists, attaches no managed policy to a role, and of a bucket's properties applies the encryption only. What
it leaves out is read in tests/test_infrastructure.py, and has been seen nowhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook
from tests.support.servo import command

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "deploy" / "cloudformation" / "servo-emr.yaml"
DEMO = ROOT / "servo_emr" / "demo"
NOT_EMULATED = {"WorkspaceBucketPolicy", "LogBucketPolicy", "Budget"}
WORKSPACE_ID = "0a1b2c3d"
LAW = ("--model", "a=300,b=720,c=0,d=0", "--seed", "stack")


@pytest.fixture(scope="module")
def stack(account: Account) -> dict[str, str]:
    """The outputs of a stack with everything in it."""
    subnet = account["ec2"].describe_subnets()["Subnets"][0]
    parameters = {
        "Prefix": "team/training",
        "NotebookKey": "job/training.ipynb",
        "WorkspaceId": WORKSPACE_ID,
        "OidcProvider": "oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF",
        "HostSubnet": subnet["SubnetId"],
        "HostVpc": subnet["VpcId"],
        "BudgetUsdPerMonth": "50",
        "BudgetEmail": "somebody@example.com",
    }
    account["cloudformation"].create_stack(
        StackName="servo",
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    (made,) = account["cloudformation"].describe_stacks(StackName="servo")["Stacks"]
    assert made["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in made["Outputs"]}


@pytest.fixture(scope="module")
def folder(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's servo.yaml, its places those of the stack, as docs/deploy.md says."""
    document = yaml.safe_load((DEMO / "servo.yaml").read_text())
    emr, bucket = document["emr"], stack["Workspace"].split("/")[2]
    emr["workspace"] = stack["Workspace"]
    emr["job"]["notebook"] = stack["Notebook"]
    emr["job"]["parameters"] = {"data": f"s3://{bucket}/job/data", "out": f"s3://{bucket}/out/{{run_id}}"}
    emr["cluster"] |= {
        "log_uri": stack["LogUri"],
        "service_role": stack["ServiceRole"],
        "instance_profile": stack["InstanceProfile"],
        "tags": {"for-use-with-amazon-emr-managed-policies": "true"},
    }
    emr["limits"]["provisioning"] = "3h"  # emulated hours pass while a loaded machine thinks
    document["optimizer"] = {"id": "example.com/stack", "token": "none"}
    made = tmp_path_factory.mktemp("stack")
    (made / "servo.yaml").write_text(yaml.safe_dump(document))
    return made


@pytest.fixture(scope="module")
def printed(folder: Path, emulator: EmulatorProcess, stack: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The policies that `servo-emr policy` prints where nodes may be on spot, their statements by their names."""
    document = yaml.safe_load((folder / "servo.yaml").read_text())
    document["emr"]["components"]["core"]["market"] = "spot"
    (folder / "spot.yaml").write_text(yaml.safe_dump(document))
    words = ("--account", "123456789012", "--node-role", stack["NodeRoleName"], "--workspace-id", WORKSPACE_ID)
    words = ("-c", str(folder / "spot.yaml"), "policy", *words, "-o", "json")
    done = command("servo-emr", *words, folder=folder, environment=emulator.env)
    assert done.returncode == 0, done.stderr
    return {whose: statements(policy) for whose, policy in json.loads(done.stdout).items()}


def statements(policy: dict[str, Any]) -> dict[str, Any]:
    """A policy's statements by their Sid, with lists where IAM takes a single value as well."""

    def listed(value: Any) -> list[str]:
        return sorted([value] if isinstance(value, str) else value)

    return {
        one["Sid"]: {
            "Effect": one["Effect"],
            "Action": listed(one["Action"]),
            "Resource": listed(one["Resource"]),
            "Condition": {
                operator: {key: listed(value) for key, value in keys.items()}
                for operator, keys in one.get("Condition", {}).items()
            },
        }
        for one in policy["Statement"]
    }


def test_the_stack_s_servo_may_do_what_the_policy_command_prints_and_nothing_else(
    account: Account, stack: dict[str, str], printed: dict[str, dict[str, Any]]
) -> None:
    version = account["iam"].get_policy_version(PolicyArn=stack["ServoPolicyArn"], VersionId="v1")
    found = statements(version["PolicyVersion"]["Document"])
    assert found == printed["servo"]
    assert {"EndOurClusters", "PassNodeRole", "SpotPrices", "Write"} <= set(found)


def test_the_stack_s_nodes_may_do_what_the_policy_command_prints_and_nothing_else(
    account: Account, stack: dict[str, str], printed: dict[str, dict[str, Any]]
) -> None:
    iam, role = account["iam"], stack["NodeRoleName"]
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["servo-emr-nodes"]
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    found = iam.get_role_policy(RoleName=role, PolicyName="servo-emr-nodes")["PolicyDocument"]
    assert statements(found) == printed["nodes"]


def test_everything_is_made_but_what_the_emulator_has_no_notion_of(account: Account, stack: dict[str, str]) -> None:
    listed = account["cloudformation"].list_stack_resources(StackName="servo")["StackResourceSummaries"]
    made = {one["LogicalResourceId"] for one in listed if one.get("PhysicalResourceId")}
    wanted = set(yaml.load(TEMPLATE.read_text(), Loader=_Tags)["Resources"])
    assert made == wanted - NOT_EMULATED
    for uri in (stack["Workspace"], stack["LogUri"]):
        rules = account["s3"].get_bucket_encryption(Bucket=uri.split("/")[2])["ServerSideEncryptionConfiguration"]
        assert rules["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_the_roles_are_for_those_who_take_them(account: Account, stack: dict[str, str]) -> None:
    iam = account["iam"]
    trusted = {
        role["RoleName"]: role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]
        for role in iam.list_roles()["Roles"]
    }
    assert trusted[stack["ServiceRole"]] == {"Service": "elasticmapreduce.amazonaws.com"}
    assert trusted[stack["NodeRoleName"]] == {"Service": "ec2.amazonaws.com"}
    on_eks = stack["ServoRoleArn"].rpartition("/")[2]
    assert list(trusted[on_eks]) == ["Federated"]
    profile = iam.get_instance_profile(InstanceProfileName=stack["InstanceProfile"])["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == [stack["NodeRoleName"]]
    (reservation,) = account["ec2"].describe_instances(InstanceIds=[stack["HostId"]])["Reservations"]
    assert reservation["Instances"][0]["IamInstanceProfile"]["Arn"]


def ran(account: Account, stack: dict[str, str], folder: Path, emulator: EmulatorProcess) -> dict[str, Any]:
    """The record of a cycle with what the stack has made, its cluster and its logs looked at."""
    done = command("servo-emr", "cycle", "--yes", "-o", "json", folder=folder, environment=emulator.env, patience=800)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    assert (record["verdict"], record["state"]) == ("succeeded", "verified")
    cluster = account["emr"].describe_cluster(ClusterId=record["cluster_id"])["Cluster"]
    assert cluster["ServiceRole"].endswith(stack["ServiceRole"])
    assert cluster["Ec2InstanceAttributes"]["IamInstanceProfile"].endswith(stack["InstanceProfile"])
    assert account.alive() == []
    assert any(record["cluster_id"] in key for key in account.keys(stack["LogUri"]))
    kept = account.keys(stack["Workspace"])
    assert any(key.endswith(f"runs/{record['run_id']}/output.ipynb") for key in kept)
    return record


@pytest.mark.nightly
def test_a_job_runs_with_what_the_stack_has_made(
    account: Account, stack: dict[str, str], folder: Path, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    """The demo's servo.yaml with a notebook that needs no Spark, which takes minutes to start on a busy machine."""
    document = yaml.safe_load((folder / "servo.yaml").read_text())
    job = document["emr"]["job"]
    job |= {"notebook": job["notebook"].replace("training", "short"), "parameters": {"nodes": "{core.replicas}"}}
    job["metrics"] = {"accuracy": {"from": "notebook", "name": "accuracy"}}
    document["emr"]["cluster"]["applications"] = ["Hadoop"]
    document["emr"]["components"]["core"]["replicas"]["value"] = 1
    (tmp_path / "servo.yaml").write_text(yaml.safe_dump(document))
    account["s3"].upload_file(
        str(job_notebook(tmp_path / "short.ipynb")), job["notebook"].split("/")[2], "job/short.ipynb"
    )
    assert ran(account, stack, tmp_path, emulator)["metrics"]["accuracy"] > 0


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_the_demo_s_job_runs_with_what_the_stack_has_made(
    account: Account, stack: dict[str, str], folder: Path, emulator: EmulatorProcess
) -> None:
    bucket = stack["Workspace"].split("/")[2]
    for name in ("training.ipynb", "data/shapes.json"):
        account["s3"].upload_file(str(DEMO / name), bucket, f"job/{name}")
    assert ran(account, stack, folder, emulator)["metrics"]["accuracy"] > 0.8


class _Tags(yaml.SafeLoader):
    """YAML with CloudFormation's tags, whose values are of no interest here."""


_Tags.add_multi_constructor("!", lambda loader, suffix, node: suffix)
