"""What `servo-emr import` reads, and the smallest document that AWS shows, field by field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from servo_emr.aws.ec2_request import run_job_flow
from servo_emr.config import EMRConfiguration
from servo_emr.importing import Draft, imported, read_source
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


def left_of(draft: Draft) -> dict[str, str]:
    return {one.path: one.why for one in draft.left}


def test_the_variables_of_edxs_playbook_are_its_groups() -> None:
    text = SAMPLE.with_name("variables.yml").read_text()
    kind, draft = imported(read_source(text), GIVEN)
    config = EMRConfiguration.parse_obj(draft.emr)
    groups = run_job_flow(config.to_spec(), KEY)["Instances"]["InstanceGroups"]
    assert kind == "ansible"
    assert [(g["InstanceRole"], g["InstanceType"], g["InstanceCount"], g["Market"]) for g in groups] == [
        ("MASTER", "m5.xlarge", 1, "ON_DEMAND"),
        ("CORE", "m5.2xlarge", 1, "ON_DEMAND"),
        ("TASK", "c5.xlarge", 2, "SPOT"),
    ]
    assert groups[2]["BidPrice"] == "0.12"
    assert draft.emr["job"]["run"] == [
        {"name": "install", "script": "s3://acme-servo/steps/install.sh", "args": ["--all"]}
    ]
    assert left_of(draft).keys() >= {"name", "user_info", "ami_version", "keypair_name", "applications.1.args"}
    assert "key_pair" not in draft.emr["cluster"]


def test_every_kind_of_step_and_form_of_edxs_module_is_carried_or_said() -> None:
    document = {
        "instance_groups": {"master": {"type": "m5.xlarge"}, "core": {"num_instances": 2, "type": "m5.xlarge"}},
        "bootstrap_actions": {"boot": "s3://acme-servo/boot.sh"},
        "configurations": [{"Classification": "spark", "Properties": {"maximizeResourceAllocation": "true"}}],
        "tags": [{"Key": "team", "Value": "data"}],
        "steps": [
            {"type": "hive_install"},
            {"type": "streaming", "step_args": ["-input", "x"], "action_on_failure": "CONTINUE"},
            {"jar": "s3://acme-servo/a.jar", "main_class": "a.B", "step_args": [1], "properties": [{"Key": "a"}]},
            {"type": "pig", "name": "report"},
        ],
    }
    _, draft = imported(read_source(json.dumps(document)), GIVEN)
    assert EMRConfiguration.parse_obj(draft.emr)
    assert draft.emr["cluster"] == {
        "configurations": [{"classification": "spark", "properties": {"maximizeResourceAllocation": "true"}}],
        "tags": {"team": "data"},
        "bootstrap_actions": [{"name": "boot", "path": "s3://acme-servo/boot.sh"}],
        "applications": ["Hive"],
        "release_label": "emr-7.1.0",
    }
    assert draft.emr["job"]["run"] == [
        {"jar": "command-runner.jar", "args": ["hadoop-streaming", "-input", "x"], "action_on_failure": "CONTINUE"},
        {"jar": "s3://acme-servo/a.jar", "args": ["1"], "action_on_failure": "TERMINATE_JOB_FLOW",
         "main_class": "a.B", "properties": {"a": ""}},
    ]  # fmt: skip
    assert {"steps.0", "steps.3"} <= left_of(draft).keys()


BATCH = """
batch:
  command: ./run.sh --type {web.inst_type} --nodes {web.nodes:.0f} --timeout {_control.userdata.timeout}
  application:
    components:
      web:
        settings:
          inst_type: {type: enum, unit: ec2, step: 1, value: c5.2xlarge, values: [c5.2xlarge, m5.xlarge]}
          nodes: {type: range, min: 1, max: 50, step: 1, unit: count}
          twice: {type: formula, formula: web.nodes * 2, default: 2}
  metrics: {good: {output_regex: 'took (\\d+)'}, bad: {output_regex: took}}
"""


def test_a_batch_command_that_cannot_be_carried_leaves_a_script_that_is_given_the_settings() -> None:
    _, draft = imported(read_source(BATCH), GIVEN)
    config = EMRConfiguration.parse_obj(draft.emr)
    (step,) = config.space.apply(config.to_spec(), {**config.space.configured, "web.nodes": 7}).steps
    assert (step.source, step.command[1:]) == ("job.sh", ("web.inst_type=c5.2xlarge", "web.nodes=7"))
    said = left_of(draft)
    settings = "batch.application.components.web.settings"
    assert said[f"{settings}.nodes"] == "no default is said: this one is put in"
    assert said[f"{settings}.twice"] == "a setting of type formula is code: work it out in the job"
    assert said["batch.metrics.bad.output_regex"].startswith("it has no group")
    assert list(draft.emr["job"]["metrics"]) == ["good"]


def test_a_batch_setting_to_which_the_command_does_not_refer_is_said_and_the_older_form_is_read() -> None:
    settings = {"cpu": {"type": "range", "min": 1, "max": 4, "step": 1, "value": 2}, "mem": {"values": [1], "value": 1}}
    state = {"application": {"components": {"web": {"settings": settings}}}}
    command = "./run.sh {state[application][components][web][settings][cpu][value]:.0f} {control.duration}"
    _, draft = imported(read_source(json.dumps({"batch": {"command": command, "default_state": state}})), GIVEN)
    config = EMRConfiguration.parse_obj(draft.emr)
    spec = config.space.apply(config.to_spec(), config.space.configured)
    assert spec.steps[0].command[1:] == ("2", "7200")
    told = [one.value for one in draft.left if one.path == "batch.command"]
    assert told == ["{web.cpu:.0f}", "{control.duration}", "web.mem"]


def test_what_statestores_steps_refer_to_is_a_setting_and_the_rest_is_said() -> None:
    def at(component: str, name: str) -> str:
        return f"{{application[components][{component}][settings][{name}][value]}}"

    words = ["job", at("core", "replicas"), f"--mem={at('spark', 'mem')}", f"a {at('spark', 'cpu')}"]
    ranged = {"type": "range", "min": 1, "max": 4, "value": 2}
    emr = {
        "measure_steps": [{"Name": "m", "HadoopJarStep": {"Jar": "command-runner.jar", "Args": words}}],
        "expected_duration": 900,
        "components": {
            "master": {"settings": {"inst_type": {"value": "r5.xlarge"}, "replicas": {"value": 1}}},
            "core": {"settings": {"inst_type": {"value": "r5.xlarge"}, "replicas": ranged, "disk": ranged}},
            "spark": {"settings": {"mem": ranged, "cpu": ranged}},
        },
    }
    _, draft = imported(read_source(json.dumps({"emr": emr})), GIVEN)
    config = EMRConfiguration.parse_obj(draft.emr)
    spec = config.space.apply(config.to_spec(), {**config.space.configured, "spark.mem": 4, "core.replicas": 3})
    assert spec.steps[0].argv == ("job", "3", "--mem=4", words[3])
    assert spec.job.expected_s == 900
    paths = left_of(draft).keys()
    assert {
        "emr.components.core.settings.disk",
        "emr.components.spark.settings.cpu",
        "emr.measure_steps.0.HadoopJarStep.Args.3",
    } <= paths


def test_settings_of_servo_batch_get_names_that_settings_may_have() -> None:
    settings = {"CPU": {"values": [1, 2], "default": 1}, "cpu": {"values": [3], "default": 3}}
    batch = {"command": "run {Web.CPU}", "application": {"components": {"Web": {"settings": settings}}}}
    _, draft = imported(read_source(json.dumps({"batch": batch})), GIVEN)
    config = EMRConfiguration.parse_obj(draft.emr)
    spec = config.space.apply(config.to_spec(), {**config.space.configured, "web.cpu": "2"})
    assert spec.steps[0].command == ("run", "2")
    assert left_of(draft)["batch.application.components.Web.settings.cpu"] == "another setting is called web.cpu here"


def test_json_is_read_as_json_with_its_lines_whatever_it_is_indented_with() -> None:
    document: dict[str, Any] = {"Instances": {"InstanceCount": 3}, "Name": "\N{GRINNING FACE}", "LogUri": "s3://a/b"}
    source = read_source(json.dumps(document, indent="\t"))
    assert source.values == document
    assert [source.line(path) for path in ("Instances.InstanceCount", "LogUri")] == [3, 6]


@pytest.mark.parametrize("line", ["CPU=2 ./job.sh", "cd jobs", "source env.sh", "! ./job.sh", "export A=b", ". env"])
def test_what_only_a_shell_can_run_is_not_taken_for_a_program(line: str) -> None:
    assert command_line(line, lambda name: None) is None
    assert command_line("timeouts ./job.sh", lambda name: None) == {"command": ["timeouts", "./job.sh"]}
