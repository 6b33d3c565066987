"""The CloudFormation template, linted and read. What an emulated account makes of it is in tests/emulated."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "deploy" / "cloudformation" / "servo-emr.yaml"


class _Tags(yaml.SafeLoader):
    """YAML with CloudFormation's functions, each as {name: arguments}."""


def _function(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    return {name: loader.construct_scalar(node)}


_Tags.add_multi_constructor("!", _function)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return dict(yaml.load(TEMPLATE.read_text(), Loader=_Tags))


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in template["Resources"].items() if one["Type"] == kind}


def test_cfn_lint_has_nothing_to_say() -> None:
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(TEMPLATE)]
    linted = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_every_bucket_is_encrypted_closed_to_the_public_and_outlives_its_stack(template: dict[str, Any]) -> None:
    buckets = of_type(template, "AWS::S3::Bucket")
    assert set(buckets) == {"WorkspaceBucket", "LogBucket"}
    for name, bucket in buckets.items():
        properties = bucket["Properties"]
        assert all(properties["PublicAccessBlockConfiguration"].values()), name
        assert len(properties["PublicAccessBlockConfiguration"]) == 4, name
        assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"], name
        assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain"), name
        (rule,) = properties["LifecycleConfiguration"]["Rules"]
        assert rule["Status"] == "Enabled", name
    plain = [one["Properties"]["Bucket"]["Ref"] for one in of_type(template, "AWS::S3::BucketPolicy").values()]
    assert sorted(plain) == sorted(buckets), "without encryption on the way nobody is let in"


def test_no_rule_deletes_a_record(template: dict[str, Any]) -> None:
    (rule,) = template["Resources"]["WorkspaceBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert not {key for key in rule if key.startswith("Expiration")}
    assert "NoncurrentVersionExpiration" in rule
    (logs,) = template["Resources"]["LogBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert logs["ExpirationInDays"] == {"Ref": "LogDays"}


def test_whoever_runs_the_servo_has_its_policy_and_nothing_more_for_aws(template: dict[str, Any]) -> None:
    held = {
        name: role["Properties"].get("ManagedPolicyArns", [])
        for name, role in of_type(template, "AWS::IAM::Role").items()
        if name.startswith("Servo")
    }
    shell = {"Sub": "arn:${AWS::Partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"}
    policy = {"Ref": "ServoPolicy"}
    assert held == {"ServoOnEksRole": [policy], "ServoOnHostRole": [policy, shell]}
    broad = [
        (name, statement["Action"])
        for name, one in template["Resources"].items()
        if "PolicyDocument" in one["Properties"]
        for statement in one["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow" and "*" in "".join(statement["Action"])
    ]
    assert broad == []


def test_a_host_takes_no_connection_keeps_its_keys_to_itself_and_installs_with_the_shared_script(
    template: dict[str, Any], tmp_path: Path
) -> None:
    host = template["Resources"]["Host"]["Properties"]
    assert host["MetadataOptions"]["HttpTokens"] == "required"
    assert host["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    assert "SecurityGroupIngress" not in template["Resources"]["HostSecurityGroup"]["Properties"]
    script = host["UserData"]["Fn::Base64"]["Sub"]
    assert set(re.findall(r"\$\{(.*?)\}", script)) == {"AWS::Region", "WorkspaceBucket"}
    assert re.search(
        r"bash install\.sh /opt/servo-emr servo_emr-\*\.whl constraints\.txt optimizer$", script, re.MULTILINE
    )
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_budget_counts_what_carries_our_tag_and_can_be_left_out(template: dict[str, Any]) -> None:
    budget = template["Resources"]["Budget"]
    assert budget["Condition"] == "WithBudget"
    assert template["Parameters"]["BudgetUsdPerMonth"]["Default"] == 0
    (tag,) = budget["Properties"]["Budget"]["CostFilters"]["TagKeyValue"]
    assert tag == {"Join": ["$", ["user:servo-emr:workspace", {"Ref": "WorkspaceId"}]]}
    thresholds = [one["Notification"]["Threshold"] for one in budget["Properties"]["NotificationsWithSubscribers"]]
    assert thresholds == [80, 100]
