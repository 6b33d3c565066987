"""What `servo-emr import` reads, and the smallest document that AWS shows, field by field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from servo_emr.aws.ec2_request import run_job_flow
from servo_emr.config import EMRConfiguration
from servo_emr.importing import imported, read_source
from servo_emr.importing.steps import command_line
from tests.support.samples import KEY

SAMPLE = Path(__file__).resolve().parent.parent / "fixtures" / "imports" / "documented.json"
GIVEN = {"region": "us-east-1", "workspace": "s3://acme-servo/imported", "cluster.release_label": "emr-7.1.0"}


def test_the_form_of_the_api_references_own_example_is_carried_field_by_field() -> None:
    source = json.loads(SAMPLE.read_text())
    kind, draft = imported(read_source(SAMPLE.read_text()), GIVEN)
    config = EMRConfiguration.parse_obj(draft.emr)
    new = run_job_flow(config.space.apply(config.to_spec(), config.space.configured), KEY)
    assert kind == "RunJobFlow"
    assert new["Steps"] == source["Steps"]
    (asked,) = source["Instances"]["InstanceGroups"]
    primary, core = new["Instances"]["InstanceGroups"]
    assert {**primary, "Name": asked["Name"]} == asked
    assert (core["InstanceRole"], core["InstanceType"], core["InstanceCount"]) == ("CORE", "m5.xlarge", 1)
    assert new["Instances"]["KeepJobFlowAliveWhenNoSteps"] is new["Instances"]["TerminationProtected"] is False
    assert new["BootstrapActions"] == [], "a jar of EMR's own needs nothing of ours"
    said = {one.path: one.why for one in draft.left}
    assert said.keys() == {
        "",  # the release, which the source does not say
        "Instances",
        "Instances.InstanceGroups.0.InstanceType",
        "Instances.InstanceGroups.0.Name",
        "Name",
        "VisibleToAllUsers",
        "AmiVersion",
    }
    assert said["Instances"] == "a cluster has core nodes here: one m5.xlarge is added"


def test_a_bid_says_that_a_group_is_on_spot_unless_the_group_says_otherwise() -> None:
    def group(**more: Any) -> dict[str, Any]:
        return {"InstanceRole": "CORE", "InstanceType": "m5.xlarge", "InstanceCount": 2, "BidPrice": "0.1", **more}

    primary = {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1}
    drafts = [
        imported(read_source(json.dumps({"Instances": {"InstanceGroups": [primary, one]}})), GIVEN)[1]
        for one in (group(), group(Market="ON_DEMAND"))
    ]
    assert [one.emr["cluster"].get("core") for one in drafts] == [{"market": "spot", "bid_price": 0.1}, None]
    assert [[left.value for left in one.left if left.path.endswith("BidPrice")] for one in drafts] == [[], [0.1]]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"instance_groups": {"core": {"num_instances": "{{ n }}", "type": "m5.xlarge"}}},
         "instance_groups.core.num_instances is '{{ n }}', and has to be a number"),
        ({"Instances": {"MasterInstanceType": "m5.xlarge", "InstanceCount": "few"}},
         "Instances.InstanceCount is 'few', and has to be a number"),
    ],
)  # fmt: skip
def test_what_should_be_a_number_and_is_none_is_named_by_path_and_value(document: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        imported(read_source(json.dumps(document)), GIVEN)


def test_an_ansible_cluster_of_one_node_gets_a_core_node() -> None:
    groups = {"master": {"num_instances": 1, "type": "m5.2xlarge"}, "core": {"num_instances": 0, "type": "m5.xlarge"}}
    _, draft = imported(read_source(json.dumps({"instance_groups": groups})), GIVEN)
    assert EMRConfiguration.parse_obj(draft.emr).space.configured["core.inst_type"] == "m5.2xlarge"
    assert "no core nodes" in [one.value for one in draft.left]


def test_settings_of_servo_batch_get_names_that_settings_may_have() -> None:
    settings = {"CPU": {"values": [1, 2], "default": 1}, "cpu": {"values": [3], "default": 3}}
    batch = {"command": "run {Web.CPU}", "application": {"components": {"Web": {"settings": settings}}}}
    _, draft = imported(read_source(json.dumps({"batch": batch})), GIVEN)
    config = EMRConfiguration.parse_obj(draft.emr)
    spec = config.space.apply(config.to_spec(), {**config.space.configured, "web.cpu": "2"})
    assert spec.steps[0].command == ("run", "2")
    assert [one.why for one in draft.left if one.path.endswith("settings.cpu")] == [
        "another setting is called web.cpu here"
    ]


def test_json_is_read_as_json_with_its_lines_whatever_it_is_indented_with() -> None:
    document: dict[str, Any] = {"Instances": {"InstanceCount": 3}, "Name": "\N{GRINNING FACE}", "LogUri": "s3://a/b"}
    source = read_source(json.dumps(document, indent="\t"))
    assert source.values == document
    assert [source.line(path) for path in ("Instances.InstanceCount", "LogUri")] == [3, 6]


@pytest.mark.parametrize("line", ["CPU=2 ./job.sh", "cd jobs", "source env.sh", "! ./job.sh", "export A=b", ". env"])
def test_what_only_a_shell_can_run_is_not_taken_for_a_program(line: str) -> None:
    assert command_line(line, lambda name: None) is None
    assert command_line("timeouts ./job.sh", lambda name: None) == {"command": ["timeouts", "./job.sh"]}
