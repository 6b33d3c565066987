"""The recommended cluster as a command of the AWS CLI: what the real CLI makes of it is what the servo would ask for.

The CLI runs in this process; its call is answered before anything is sent.
"""

from __future__ import annotations

import copy
import importlib.resources
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from servo_emr.aws.ec2_request import run_job_flow
from servo_emr.cli.create_cluster import command_for, create_cluster
from servo_emr.config import EMRConfiguration
from servo_emr.optimizer.create_cluster import STEP_NOTE
from servo_emr.optimizer.create_cluster import create_cluster as alone
from tests.support.clusters import FLEETS, WHOLE
from tests.support.samples import KEY

OWN = ("Name", "Steps", "Tags", "BootstrapActions", "VisibleToAllUsers")
"""Members that are the run's own, and the one that the CLI always sends, which is without effect since 2021."""


def asked(command: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The RunJobFlow request that `aws` makes of a command."""
    monkeypatch.setenv("AWS_DATA_PATH", str(importlib.resources.files("awscli") / "data"))  # it sets this when imported
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    from awscli.clidriver import create_clidriver

    requests: list[dict[str, Any]] = []

    def answer(params: Mapping[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        requests.append(json.loads(params["body"]))
        return AWSResponse("", 200, {}, None), {"JobFlowId": "j-1", "ResponseMetadata": {}}

    words = shlex.split(command)
    assert words[0] == "aws"
    driver = create_clidriver()
    driver.session.register("before-call.emr.RunJobFlow", answer)
    assert driver.main(words[1:]) == 0
    (request,) = requests
    return request


def changed(section: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
    """A section with other values at dotted places, `__` standing for the dot."""
    found: dict[str, Any] = copy.deepcopy(dict(section))
    for place, value in keys.items():
        *above, last = place.split("__")
        inner = found
        for name in above:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return found


@pytest.mark.parametrize("section", [WHOLE, FLEETS], ids=["groups", "fleets"])
def test_all_that_servo_yaml_says_of_a_cluster_is_in_the_command(
    section: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EMRConfiguration.parse_obj(section)
    settings = {**config.space.configured, "core.replicas": 3}
    request = asked(create_cluster(config, settings), monkeypatch)
    wanted = run_job_flow(config.space.apply(config.to_spec(), settings), KEY)
    for member in ("InstanceGroups", "InstanceFleets"):  # a name for people, which the CLI makes of the role
        for nodes in (*request["Instances"].get(member, ()), *wanted["Instances"].get(member, ())):
            del nodes["Name"]
    subnets = wanted["Instances"].pop("Ec2SubnetId", None), request["Instances"].pop("Ec2SubnetId", None)
    assert set(subnets) <= {None, *config.cluster.subnet_ids}
    assert {name: one for name, one in request.items() if name not in OWN} == {
        name: one for name, one in wanted.items() if name not in OWN
    }
    tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", ())}
    assert tags == config.cluster.tags, "and none of ours: what carries them is swept"
    ours = [action["Name"] for action in wanted["BootstrapActions"]]
    assert [action["Name"] for action in request.get("BootstrapActions", ())] == ours[:-1]
    assert "Steps" not in request


def test_a_market_that_was_tried_is_in_the_command_and_no_application_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    section = changed(
        WHOLE,
        cluster={"release_label": "emr-7.1.0", "applications": []},
        components__core__market={"values": ["on-demand", "spot"], "value": "on-demand"},
    )
    config = EMRConfiguration.parse_obj(section)
    command = create_cluster(config, {**config.space.configured, "core.market": "spot", "core.replicas": 2})
    assert "Name=Spark" not in command
    request = asked(command, monkeypatch)
    assert request.get("Applications", []) == []
    markets = {group["InstanceRole"]: group["Market"] for group in request["Instances"]["InstanceGroups"]}
    assert markets == {"MASTER": "ON_DEMAND", "CORE": "SPOT"}


@pytest.mark.parametrize(
    ("section", "settings", "why"),
    [
        ({"cluster": {}}, {}, "region: field required"),
        (WHOLE, {"core.replicas": 99}, "core.replicas: 99"),
    ],
)
def test_settings_that_servo_yaml_does_not_know_become_a_command_that_says_what_it_lacks(
    section: dict[str, Any], settings: dict[str, Any], why: str
) -> None:
    tried = {"primary.inst_type": "m5.xlarge", "core.inst_type": "c5.xlarge", "core.replicas": 2, **settings}
    found = command_for(Path("servo.yaml"), section)(tried)
    assert found is not None
    assert found[0] == (alone(tried) or ("",))[0]
    assert found[1].startswith(STEP_NOTE)
    assert "types and numbers of nodes alone" in found[1] and why in found[1]


def test_spark_that_is_sized_at_a_launch_is_said_not_to_be_in_the_command() -> None:
    section = changed(WHOLE, cluster={"release_label": "emr-7.1.0", "spark": "auto"})
    settings = EMRConfiguration.parse_obj(section).space.configured
    found = command_for(Path("servo.yaml"), section)(settings)
    assert found is not None and "`spark: auto`" in found[1]


def test_without_servo_yaml_types_and_numbers_are_a_command_that_a_shell_does_not_take_apart() -> None:
    settings = {"primary.inst_type": "m5.xlarge; id", "core.inst_type": "c5.2xlarge", "core.replicas": 4}
    command, note = alone({**settings, "task.replicas": 0}) or ("", "")
    assert shlex.split(command)[-2:] == [
        "InstanceGroupType=MASTER,InstanceType=m5.xlarge; id,InstanceCount=1",
        "InstanceGroupType=CORE,InstanceType=c5.2xlarge,InstanceCount=4",
    ]
    assert "RELEASE_LABEL" in command and note == STEP_NOTE
    assert alone({"web.cpu": 2}) is None
