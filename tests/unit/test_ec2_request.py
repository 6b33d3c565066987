"""RunJobFlow as it is sent: pure, valid by the service's own model, and for the sample exactly the one in the docs."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.model
import botocore.validate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servo_emr.aws.door import Door
from servo_emr.aws.ec2 import Ec2Target, gunzip_tail
from servo_emr.cli.settings_file import load
from servo_emr.domain.cluster import Fleet
from servo_emr.domain.spec import ClusterSpec, Market, NodeGroup, Role, RunKey, RunSpec
from servo_emr.notebook.step import argv, bootstrap
from tests.support.samples import KEY, SPEC
from tests.support.simclock import SimClock

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Ec2Target(Door("us-east-1"), "us-east-1", SimClock())
MODEL = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("emr", "service-2"), "emr")


_ROLES = {Role.PRIMARY: "MASTER", Role.CORE: "CORE", Role.TASK: "TASK"}


def check_by_the_model(request: dict[str, Any]) -> None:
    """What the SDK checks before it sends, and the limits that are only written in the model's documentation."""
    shape = MODEL.operation_model("RunJobFlow").input_shape
    report = botocore.validate.ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    assert len(request["Name"]) <= 256
    for step in request["Steps"]:
        assert sum(len(word) for word in step["HadoopJarStep"]["Args"]) <= 10_240


def test_the_sample_configurations_request_is_the_one_in_the_docs() -> None:
    spec = load(ROOT / "servo.yaml").to_spec()
    key = RunKey(load(ROOT / "servo.yaml").workspace, "1f2e3d4c", "20261120t101530-0123abcd")
    request = TARGET.request(spec, key)
    check_by_the_model(request)
    assert request == json.loads((ROOT / "docs" / "runjobflow.json").read_text())


@pytest.mark.parametrize("fleet", [None, Fleet()], ids=["groups", "fleets"])
def test_attempts_with_groups_go_to_one_subnet_after_the_other_and_fleets_have_them_all(fleet: Fleet | None) -> None:
    subnets = ("subnet-a", "subnet-b", "subnet-c")
    spec = replace(
        SPEC,
        groups=tuple(replace(group, fleet=fleet) for group in SPEC.groups),
        cluster=replace(SPEC.cluster, subnet_ids=subnets),
    )
    asked = [TARGET.request(spec, KEY, attempt)["Instances"] for attempt in (1, 2, 3, 4)]
    if fleet is None:
        assert {one["Ec2SubnetId"] for one in asked[:3]} == set(subnets)
        assert asked[3] == asked[0]
    else:
        assert [one["Ec2SubnetIds"] for one in asked] == [list(subnets)] * 4


specs = st.builds(
    lambda core, count, task, bid, subnets, tags, log, spark, wheels: replace(
        SPEC,
        groups=(
            SPEC.groups[0],
            NodeGroup(Role.CORE, core, count),
            *([NodeGroup(Role.TASK, core, task, Market.SPOT, bid)] if task is not None else []),
        ),
        cluster=ClusterSpec(
            "emr-7.1.0",
            applications=("Spark",) if spark else (),
            subnet_ids=tuple(subnets),
            log_uri=log,
            tags=tuple(tags.items()),
        ),
        steps=(replace(SPEC.steps[0], argv=argv(("Spark",) if spark else ())),),
        bootstrap=bootstrap(wheels),
    ),
    st.sampled_from(["m5.xlarge", "r6gd.16xlarge", "u-12tb1.112xlarge"]),
    st.integers(1, 500),
    st.none() | st.integers(0, 20),
    st.none() | st.floats(0.0001, 30.0),
    st.lists(st.sampled_from(["subnet-a", "subnet-b", "subnet-c"]), unique=True),
    st.dictionaries(st.text("abcXYZ:/ ", min_size=1, max_size=128), st.text(max_size=256), max_size=5),
    st.sampled_from([None, "s3://acme/logs", "s3://acme/logs/"]),
    st.booleans(),
    st.sampled_from([None, "s3://acme/wheels"]),
)


@settings(max_examples=60, deadline=None)
@given(specs, st.from_regex(r"\A[0-9]{8}t[0-9]{6}-[0-9a-f]{8}\Z"))
def test_every_request_is_valid_by_the_services_model_and_depends_on_nothing_but_its_arguments(
    spec: RunSpec, run_id: str
) -> None:
    key = RunKey("s3://acme-servo/nightly", "cafe0123", run_id)
    request = TARGET.request(spec, key)
    check_by_the_model(request)
    assert TARGET.request(replace(spec), replace(key)) == request
    assert "{run}" not in json.dumps(request)
    groups = request["Instances"]["InstanceGroups"]
    assert {g["InstanceRole"]: g["InstanceCount"] for g in groups}.get("MASTER") == 1
    assert all(g["InstanceCount"] > 0 for g in groups)
    asked = {_ROLES[group.role]: group for group in spec.groups}
    for group in groups:
        wanted = asked[group["InstanceRole"]]
        assert group["Market"] == {"on-demand": "ON_DEMAND", "spot": "SPOT"}[wanted.market]
        given = group.get("BidPrice")
        assert (None if given is None else float(given)) == wanted.bid_usd
        assert given is None or re.fullmatch(r"\d+\.\d+", given)
    chosen = request["Instances"].get("Ec2SubnetId")
    assert chosen in spec.cluster.subnet_ids if spec.cluster.subnet_ids else chosen is None


def test_no_cluster_outlives_its_run_by_the_request_alone() -> None:
    request = TARGET.request(SPEC, KEY)
    assert request["Instances"]["KeepJobFlowAliveWhenNoSteps"] is False
    assert request["Instances"]["TerminationProtected"] is False
    assert [step["ActionOnFailure"] for step in request["Steps"]] == ["TERMINATE_CLUSTER"]
    assert "AutoTerminationPolicy" not in request, "it would end a notebook that uses no YARN application"
    assert "ManagedScalingPolicy" not in request, "it would change the cluster under the measurement"


def test_the_key_is_in_the_name_and_in_the_tags() -> None:
    request = TARGET.request(replace(SPEC, cluster=replace(SPEC.cluster, tags=(("team", "data"),))), KEY)
    assert request["Name"] == KEY.name
    tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
    assert tags == {"servo-emr:run": KEY.run_id, "servo-emr:workspace": KEY.workspace_id, "team": "data"}


def test_words_of_the_command_line_are_never_joined_or_split() -> None:
    nasty = ("spark-submit", "--conf", "a=b c", "$(rm -rf /)", "; echo", "{run}/x y", "")
    request = TARGET.request(replace(SPEC, steps=(replace(SPEC.steps[0], argv=nasty),)), KEY)
    assert request["Steps"][0]["HadoopJarStep"]["Args"] == [KEY.fill(word) for word in nasty]


def test_without_a_log_uri_none_is_asked_for_and_with_one_it_is_a_folder() -> None:
    assert "LogUri" not in TARGET.request(replace(SPEC, cluster=replace(SPEC.cluster, log_uri=None)), KEY)
    assert TARGET.request(SPEC, KEY)["LogUri"] == "s3://acme-servo/nightly-etl/logs/"


def test_runs_spread_over_the_subnets() -> None:
    spec = replace(SPEC, cluster=replace(SPEC.cluster, subnet_ids=("subnet-a", "subnet-b")))
    keys = [replace(KEY, run_id=f"20261120t101530-{n:08x}") for n in range(40)]
    chosen = [TARGET.request(spec, key)["Instances"]["Ec2SubnetId"] for key in keys]
    assert 5 < chosen.count("subnet-a") < 35


@pytest.mark.parametrize("length", [0, 1, 100, 1 << 20, (1 << 20) + 100, (1 << 21) + 257, 3_000_001])
@pytest.mark.parametrize("alphabet", ["x", "0123456789abcdef\n"])
def test_the_tail_of_a_log_is_its_very_end(length: int, alphabet: str) -> None:
    text = (alphabet * (length // len(alphabet) + 1))[: max(0, length - 4)] + "END\n"
    assert gunzip_tail(gzip.compress(text.encode()), 64) == text[-64:]


def test_a_damaged_log_gives_what_can_be_read_and_says_so() -> None:
    whole = gzip.compress("".join(f"line {n * n}\n" for n in range(1000)).encode())
    cut = gunzip_tail(whole[: len(whole) // 2], 64)
    assert "line" in cut
    assert cut.endswith("\n[the log is cut off]")
    assert gunzip_tail(gzip.compress(b"one ") + gzip.compress(b"two"), 64) == "one two", "all members"
    assert "damaged" in gunzip_tail(b"no gzip at all", 64)
    assert gunzip_tail(b"", 64) == ""
    assert gunzip_tail(gzip.compress(b"\xff\xfe end"), 64).endswith(" end")
