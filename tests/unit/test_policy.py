"""The least-privilege policies: made of the calls that the code makes, scoped, and of a form that IAM takes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

import servo_emr.aws
from servo_emr.aws.permissions import NODES, OPERATIONS, actions_of
from servo_emr.aws.policy import Facts, nodes_policy, servo_policy

LEAST = Facts(
    region="eu-west-1",
    workspace="s3://acme-servo/nightly",
    service_role="EMR_DefaultRole",
    instance_profile="EMR_EC2_DefaultRole",
    live_prices=False,
)
MOST = replace(
    LEAST,
    programs=("s3://acme-notebooks/a/etl.ipynb",),
    log_uri="s3://acme-logs/emr/",
    wheels="s3://acme-servo/wheels",
    bootstrap=("s3://acme-servo/certificates.sh",),
    live_prices=True,
    spot=True,
    images=True,
    reads=("s3://acme-data/golden/", "s3://acme-jobs/a.jar"),
    restores=True,
)
CALLS = ("call", "call_once", "pages")
MANAGED_POLICY_LIMIT = 6144


def called() -> Iterator[tuple[str, str]]:
    """(service, operation) of every call that is written in the package; each is spelled out."""
    for path in Path(servo_emr.aws.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS):
                continue
            service, operation = node.args[:2]
            if path.name == "door.py" and isinstance(service, ast.Name):
                continue  # `pages` hands on what it was given
            assert isinstance(service, ast.Constant) and isinstance(operation, ast.Constant), (path, node.lineno)
            yield service.value, operation.value


def actions(document: dict[str, Any]) -> set[str]:
    return {action for statement in document["Statement"] for action in statement["Action"]}


def statement(document: dict[str, Any], sid: str) -> dict[str, Any]:
    (found,) = [one for one in document["Statement"] if one["Sid"] == sid]
    return dict(found)


def listed(document: dict[str, Any]) -> dict[str, list[str]]:
    """bucket's ARN -> the prefixes that may be listed."""
    return {
        one["Resource"][0]: one.get("Condition", {}).get("StringLike", {}).get("s3:prefix", ["*"])
        for one in document["Statement"]
        if one["Action"] == ["s3:ListBucket"]
    }


def test_every_call_in_the_code_is_in_the_table_and_nothing_else_is() -> None:
    assert set(called()) == set(OPERATIONS)


def test_every_action_is_one_that_amazons_own_policies_name() -> None:
    granted = actions(servo_policy(MOST)) | actions(nodes_policy(MOST))
    assert granted == {grant.action for grants in OPERATIONS.values() for grant in grants} | {
        grant.action for grant in NODES
    }
    assert all(re.fullmatch(r"[a-z0-9]+:[A-Z][A-Za-z0-9]+", action) for action in granted)
    assert sorted(action for action in granted if f'"{action}"' not in aws_managed_policies_data) == []


@pytest.mark.parametrize("facts", [LEAST, MOST, replace(MOST, region="cn-north-1", account="123456789012")])
def test_the_documents_are_such_as_iam_takes(facts: Facts) -> None:
    for document in (servo_policy(facts), nodes_policy(facts)):
        assert set(document) == {"Version", "Statement"}
        assert document["Version"] == "2012-10-17"
        sids = [one["Sid"] for one in document["Statement"]]
        assert len(set(sids)) == len(sids)
        for one in document["Statement"]:
            assert set(one) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
            assert re.fullmatch(r"[A-Za-z0-9]+", one["Sid"])
            assert one["Effect"] == "Allow"
            assert one["Action"] and one["Resource"]
            for resource in one["Resource"]:
                assert resource == "*" or re.fullmatch(r"arn:aws(-cn)?:[a-z0-9]+:[a-z0-9-]*:(\*|\d*):.+", resource)
            for keys in one.get("Condition", {}).values():
                assert all(isinstance(value, list) and value for value in keys.values())
        # IAM does not count white space.
        assert len(re.sub(r"\s", "", json.dumps(document))) < MANAGED_POLICY_LIMIT


def test_no_action_is_a_pattern_and_everything_is_granted_only_where_amazon_knows_nothing_narrower() -> None:
    wide = {action for one in servo_policy(MOST)["Statement"] if one["Resource"] == ["*"] for action in one["Action"]}
    assert wide == {
        "ec2:DescribeImages",
        "ec2:DescribeInstanceTypeOfferings",
        "ec2:DescribeSpotPriceHistory",
        "ec2:DescribeSubnets",
        "elasticmapreduce:ListClusters",
        "elasticmapreduce:ListSupportedInstanceTypes",
        "elasticmapreduce:RunJobFlow",
        "pricing:GetProducts",
        "servicequotas:GetServiceQuota",
    }


def test_clusters_are_launched_with_our_tag_and_only_such_are_ended() -> None:
    for workspace_id in ("*", "cafe0123"):
        document = servo_policy(replace(MOST, workspace_id=workspace_id, account="123456789012"))
        launch, end = statement(document, "LaunchWithOurTag"), statement(document, "EndOurClusters")
        assert launch["Condition"] == {
            "StringLike": {"elasticmapreduce:RequestTag/servo-emr:workspace": [workspace_id]}
        }
        assert end["Condition"] == {"StringLike": {"elasticmapreduce:ResourceTag/servo-emr:workspace": [workspace_id]}}
        assert end["Resource"] == ["arn:aws:elasticmapreduce:eu-west-1:123456789012:cluster/*"]
        assert end["Action"] == ["elasticmapreduce:SetTerminationProtection", "elasticmapreduce:TerminateJobFlows"]


def test_each_role_is_passed_to_its_own_service_alone() -> None:
    named = servo_policy(replace(LEAST, instance_profile="a-profile", node_role="nodes", account="123456789012"))
    nodes, emr = statement(named, "PassNodeRole"), statement(named, "PassServiceRole")
    assert nodes["Resource"] == ["arn:aws:iam::123456789012:role/nodes"]
    assert nodes["Condition"] == {"StringLike": {"iam:PassedToService": ["ec2.amazonaws.com*"]}}
    assert emr["Resource"] == ["arn:aws:iam::123456789012:role/EMR_DefaultRole"]
    assert emr["Condition"] == {"StringLike": {"iam:PassedToService": ["elasticmapreduce.amazonaws.com*"]}}
    profile = statement(named, "LookAtInstanceProfile")["Resource"]
    assert profile == ["arn:aws:iam::123456789012:instance-profile/a-profile"]
    arn = "arn:aws:iam::123456789012:role/teams/data/emr"
    assert statement(servo_policy(replace(LEAST, service_role=arn)), "PassServiceRole")["Resource"] == [arn]
    assert statement(servo_policy(LEAST), "PassNodeRole")["Resource"] == ["arn:aws:iam::*:role/EMR_EC2_DefaultRole"]


def test_objects_are_read_and_written_only_where_the_configuration_says() -> None:
    document = servo_policy(MOST)
    assert statement(document, "Write")["Resource"] == ["arn:aws:s3:::acme-servo/nightly/*"]
    assert statement(document, "Read")["Resource"] == [
        "arn:aws:s3:::acme-logs/emr/*",
        "arn:aws:s3:::acme-notebooks/a/etl.ipynb",
        "arn:aws:s3:::acme-servo/nightly/*",
    ]
    assert listed(document) == {
        "arn:aws:s3:::acme-servo": ["nightly", "nightly/*", "wheels", "wheels/*"],
        "arn:aws:s3:::acme-notebooks": ["a/etl.ipynb"],
        "arn:aws:s3:::acme-logs": ["emr", "emr/*"],
    }


def test_what_a_pattern_fits_already_is_not_said_again_and_a_whole_bucket_has_no_condition() -> None:
    nested = replace(LEAST, log_uri="s3://acme-servo/nightly/logs", programs=("s3://acme-servo/nightly/job.ipynb",))
    assert statement(servo_policy(nested), "Read")["Resource"] == ["arn:aws:s3:::acme-servo/nightly/*"]
    assert listed(servo_policy(nested)) == {"arn:aws:s3:::acme-servo": ["nightly", "nightly/*"]}
    beside = replace(LEAST, log_uri="s3://acme-servo/nightly-logs")
    assert listed(servo_policy(beside)) == {
        "arn:aws:s3:::acme-servo": ["nightly", "nightly-logs", "nightly-logs/*", "nightly/*"]
    }
    whole = servo_policy(replace(LEAST, workspace="s3://acme-servo"))
    assert statement(whole, "Write")["Resource"] == ["arn:aws:s3:::acme-servo/*"]
    assert listed(whole) == {"arn:aws:s3:::acme-servo": ["*"]}


def test_a_key_with_a_wildcard_in_its_name_is_that_key() -> None:
    document = servo_policy(replace(LEAST, programs=("s3://acme-notebooks/what?*$.ipynb",)))
    assert statement(document, "Read")["Resource"][0] == "arn:aws:s3:::acme-notebooks/what${?}${*}${$}.ipynb"


def test_only_what_the_configuration_uses_is_granted() -> None:
    assert actions(servo_policy(MOST)) - actions(servo_policy(LEAST)) == {
        "pricing:GetProducts",
        "ec2:DescribeSpotPriceHistory",
        "ec2:DescribeImages",
    }
    assert [one["Sid"] for one in nodes_policy(LEAST)["Statement"]] == ["ReadRuns", "WriteResults", "ListRuns"]


def test_a_node_writes_results_and_logs_but_nothing_that_another_run_would_execute() -> None:
    document = nodes_policy(MOST)
    assert statement(document, "WriteResults")["Resource"] == [
        "arn:aws:s3:::acme-servo/nightly/runs/*/metrics*.json",
        "arn:aws:s3:::acme-servo/nightly/runs/*/output*.ipynb",
        "arn:aws:s3:::acme-servo/nightly/runs/*/output*.txt",
        "arn:aws:s3:::acme-servo/nightly/runs/*/progress*.json",
        "arn:aws:s3:::acme-servo/nightly/runs/*/result*.json",
    ]
    assert statement(document, "WriteLogs")["Resource"] == ["arn:aws:s3:::acme-logs/emr/*"]
    assert statement(document, "ReadBootstrapActions")["Resource"] == ["arn:aws:s3:::acme-servo/certificates.sh"]
    assert statement(document, "ReadWheels")["Resource"] == ["arn:aws:s3:::acme-servo/wheels/*"]
    assert statement(document, "ReadWhatStepsRead")["Resource"] == [
        "arn:aws:s3:::acme-data/golden/*",
        "arn:aws:s3:::acme-jobs/a.jar",
    ]
    assert statement(document, "ReadTagsOfWhatIsRestored")["Resource"] == ["arn:aws:s3:::acme-data/golden/*"]
    restored = statement(document, "WriteRestored")
    assert restored["Action"] == ["s3:PutObject", "s3:PutObjectTagging"]
    assert restored["Resource"] == ["arn:aws:s3:::acme-servo/nightly/runs/*/inputs/*"]


@pytest.mark.parametrize(
    ("region", "arn"),
    [
        ("us-gov-west-1", "arn:aws-us-gov:elasticmapreduce:us-gov-west-1:*:cluster/*"),
        ("cn-north-1", "arn:aws-cn:elasticmapreduce:cn-north-1:*:cluster/*"),
        ("us-east-1", "arn:aws:elasticmapreduce:us-east-1:*:cluster/*"),
    ],
)
def test_resources_are_named_in_the_regions_own_part_of_amazon(region: str, arn: str) -> None:
    assert statement(servo_policy(replace(LEAST, region=region)), "TagAtLaunch")["Resource"] == [arn]


def test_a_refusal_names_the_actions_that_may_be_missing_as_iam_spells_them() -> None:
    assert actions_of("emr", "RunJobFlow") == (
        "elasticmapreduce:RunJobFlow",
        "elasticmapreduce:AddTags",
        "iam:PassRole",
    )
    assert actions_of("service-quotas", "GetServiceQuota") == ("servicequotas:GetServiceQuota",)
    assert actions_of("s3", "ListObjectsV2") == ("s3:ListBucket",)
    assert actions_of("sts", "GetCallerIdentity") == ("sts:GetCallerIdentity",)


def test_the_documents_tables_hold_every_action_once_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    for name, document in (("servo", servo_policy(MOST)), ("nodes", nodes_policy(MOST))):
        table = text.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
        named = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
        assert sorted(named) == sorted(actions(document))
