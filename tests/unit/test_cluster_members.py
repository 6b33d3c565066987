"""`emr.cluster` against the service's own model: a key or a reason for every member, and every key in the request."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from servo_emr.aws.door import Door
from servo_emr.aws.ec2 import Ec2Target
from servo_emr.aws.ec2_members import KEYS, WITHOUT, why_not, within
from servo_emr.aws.service_model import members, problems
from servo_emr.cli.settings_file import load
from servo_emr.config import EMRConfiguration
from servo_emr.domain.errors import UsageError
from servo_emr.domain.spec import plain, spec_from_json
from tests.support.clusters import FLEETS, WHOLE
from tests.support.samples import KEY
from tests.support.simclock import SimClock

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Ec2Target(Door("us-east-1"), "us-east-1", SimClock())


def request(section: dict[str, Any]) -> dict[str, Any]:
    return TARGET.request(EMRConfiguration.parse_obj(section).to_spec(), KEY)


def paths(value: Any, path: str = "") -> Iterator[str]:
    """The members of a document that hold a value; a Properties map's values are `{}`, nested configurations are
    walked like the model walks them: once."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if path.endswith("Properties"):
                yield f"{path}{{}}"
            elif not (name == "Configurations" and path.endswith("Configurations[]")):
                yield from paths(inner, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{path}[]")
    else:
        yield path


def test_every_member_of_the_services_model_has_a_key_or_a_reason_and_none_has_both() -> None:
    walked = members("emr", "RunJobFlow")
    assert len(walked) > 100
    assert [path for path in walked if path not in KEYS and why_not(path) is None] == []
    assert [path for path in KEYS if path not in walked or why_not(path) is not None] == []
    assert [above for above in WITHOUT if not any(within(path, above) for path in walked)] == []


def test_what_has_a_key_is_what_the_requests_hold() -> None:
    jar = {"jar": "s3://acme-servo/a.jar", "args": ["x"], "main_class": "a.B", "properties": {"p": 1}}
    held = {*paths(request(WHOLE)), *paths(request(FLEETS)), *paths(request({**FLEETS, "job": {"run": [jar]}}))}
    assert held == set(KEYS)


def test_the_documentation_lists_the_same_members() -> None:
    text = (ROOT / "docs" / "runjobflow.md").read_text()
    with_key, without = text.split("## Without, deliberately")
    assert re.findall(r"^\| `([^`]+)` \|", with_key, re.M) == list(KEYS)
    assert dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", without, re.M)) == dict(WITHOUT)
    schema = EMRConfiguration.schema()
    known = {key for model in (schema, *schema["definitions"].values()) for key in model.get("properties", ())}
    for key in KEYS.values():
        words = [] if key.startswith("ours") else re.findall(r"[a-z_]+", key.split(", with")[0])
        assert [word for word in words if word not in known] == [], key


@pytest.mark.parametrize("section", [WHOLE, FLEETS], ids=["groups", "fleets"])
def test_a_whole_cluster_is_valid_by_the_model_and_survives_the_record(section: dict[str, Any]) -> None:
    spec = EMRConfiguration.parse_obj(section).to_spec()
    assert problems("emr", "RunJobFlow", TARGET.request(spec, KEY)) == []
    again = spec_from_json(json.loads(json.dumps(plain(spec))))
    assert again == spec
    assert TARGET.request(again, KEY) == TARGET.request(spec, KEY)


def test_a_whole_cluster_of_groups_becomes_the_request_that_it_describes() -> None:
    found = request(WHOLE)
    assert found["Configurations"][1]["Configurations"] == [
        {"Classification": "export", "Properties": {"PYSPARK_PYTHON": "/usr/bin/python3"}}
    ]
    assert found["Configurations"][0]["Properties"] == {
        "spark.dynamicAllocation.enabled": "false",
        "spark.sql.shuffle.partitions": "200",
    }
    core = found["Instances"]["InstanceGroups"][1]
    assert (core["Market"], core["BidPrice"], core["CustomAmiId"]) == ("SPOT", "0.15", "ami-0123456789abcdef0")
    volume = {"VolumeType": "gp3", "SizeInGB": 64, "Iops": 4000, "Throughput": 250}
    devices = core["EbsConfiguration"]["EbsBlockDeviceConfigs"]
    assert devices == [{"VolumeSpecification": volume, "VolumesPerInstance": 2}]
    assert [action["Name"] for action in found["BootstrapActions"]] == ["certificates", "notebook environment"]
    assert found["RepoUpgradeOnBoot"] == "NONE"


def test_a_fleet_asks_for_units_of_the_types_that_it_may_be_of() -> None:
    primary, core = request(FLEETS)["Instances"]["InstanceFleets"]
    assert (primary["TargetOnDemandCapacity"], primary["TargetSpotCapacity"]) == (1, 0)
    assert "SpotSpecification" not in primary.get("LaunchSpecifications", {})
    assert (core["TargetOnDemandCapacity"], core["TargetSpotCapacity"]) == (1, 3)
    types = {one["InstanceType"]: one for one in core["InstanceTypeConfigs"]}
    assert list(types) == ["m5.xlarge", "m5.2xlarge", "r5.xlarge"]
    assert [one["WeightedCapacity"] for one in types.values()] == [1, 2, 1]
    assert types["m5.2xlarge"]["BidPriceAsPercentageOfOnDemandPrice"] == 80
    assert types["r5.xlarge"]["BidPrice"] == "0.15"
    assert core["LaunchSpecifications"]["SpotSpecification"] == {
        "TimeoutDurationMinutes": 10,
        "TimeoutAction": "SWITCH_TO_ON_DEMAND",
        "AllocationStrategy": "capacity-optimized-prioritized",
    }


def changed(path: str, value: Any, section: dict[str, Any] = WHOLE) -> dict[str, Any]:
    section = copy.deepcopy(section)
    *parents, last = path.split(".")
    inner: Any = section
    for name in parents:
        inner = inner[int(name)] if name.isdigit() else inner.setdefault(name, {})
    inner[last] = value
    return section


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("cluster.key_pairs", "me", "unknown key 'key_pairs': did you mean 'key_pair'?"),
        ("cluster.core.ebs.0.sise", 1, "emr.cluster.core.ebs.0: unknown key 'sise': did you mean 'size'?"),
        ("cluster.core.ebs.0.type", "gp4", "emr.cluster.core.ebs.0.type (it is 'gp4'): must be gp2 or gp3"),
        ("cluster.core.ebs.0.type", "GP3", "did you mean 'gp3'?"),
        ("cluster.core.ebs.0.size", 5000, "emr.cluster.core.ebs.0.size (it is 5000)"),
        ("cluster.core.ebs.0.type", "st1", "iops is for gp3 and io1, not for st1"),
        ("cluster.core.ebs.0.count", 26, "emr.cluster.core.ebs.0.count (it is 26)"),
        ("cluster.core.market", "SPOT", "emr.cluster.core.market (it is 'SPOT'): must be on-demand or spot; did you"),
        ("cluster.core.ami_id", "ami-x", "emr.cluster.core.ami_id (it is 'ami-x')"),
        ("cluster.core.market", "on-demand", "cluster -> core -> bid_price is for spot nodes"),
        ("components.core.market", "spot", "components -> core -> market and cluster.core.market say the same"),
        ("cluster.applications", ["Sparks"], "'Sparks' is no application of EMR; did you mean 'Spark'?"),
        ("cluster.managed_scaling", {}, "managed scaling changes the number of nodes under the measurement"),
        ("cluster.auto_termination", 60, "every cluster ends with its last step"),
        ("cluster.keep_alive", True, "no cluster may outlive its run"),
        ("cluster.configurations.0.classification", "a b", "emr.cluster.configurations.0.classification (it is 'a b')"),
        ("cluster.configurations.0.classification", "spark-deafults", "did you mean 'spark-defaults'?"),
        ("cluster.configurations.0.properties", {"x": [1]}, "x: must be a text, a number, true or false"),
        ("cluster.configurations.1.classification", "spark-defaults", "spark-defaults stands 2 times"),
        ("cluster.bootstrap_actions.0.path", "boot.sh", "emr.cluster.bootstrap_actions.0.path (it is 'boot.sh')"),
        ("cluster.security_groups.primary", "default", "emr.cluster.security_groups.primary (it is 'default')"),
        ("cluster.root_volume.size", 5, "emr.cluster.root_volume.size (it is 5)"),
        ("cluster.release_label", "emr-6.9.0", "root_volume: iops and throughput are of gp3 root volumes"),
        ("cluster.log_uri", None, "log_kms_key encrypts what log_uri names"),
        ("cluster.step_concurrency", 257, "emr.cluster.step_concurrency (it is 257)"),
        ("job.repeats", 2, "cluster -> step_concurrency 2: the 2 repeats of the job would run at once"),
        ("cluster.task", {"market": "spot"}, "there are no task nodes"),
        ("cluster.key_pair", "k\u0001", "emr.cluster.key_pair: holds a character that the service does not take"),
        ("cluster.primary.fleet", {}, "all in groups, or all in fleets; add cluster.core.fleet"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_with_a_cluster_is_named_by_path_value_and_remedy(path: str, value: Any, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        load(Path("servo.yaml"), changed(path, value))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("alternatives", ["m5.xlarge", "a1.large", "c5.large", "r5.large", "r4.large"], None),
        ("alternatives", [f"c5.{n}xlarge" for n in range(1, 31)], "alternatives: 30 types"),
        ("spot_timeout", "4m", "must be whole minutes, 5m to 24h"),
        ("spot_timeout", "10m30s", "must be whole minutes"),
        ("timeout_action", "SWITCH_TO_ON_DEMAND", "did you mean 'switch-to-on-demand'?"),
        ("types", {"q1.large": {"weight": 1}}, "q1.large is no type of these nodes: add it to alternatives"),
        ("types", {"m5.xlarge": {"bid_price": 1, "bid_percent": 1}}, "takes bid_price or bid_percent, not both"),
        ("types", {"m5.xlarge": {"weight": 0}}, "emr.cluster.core.fleet.types.m5.xlarge.weight (it is 0)"),
        ("on_demand_allocation", None, "reservations need on_demand_allocation beside them"),
        ("on_demands", 1, "did you mean 'on_demand'?"),
    ],
)
def test_whatever_is_wrong_with_a_fleet_is_named_by_path_value_and_remedy(
    path: str, value: Any, words: str | None
) -> None:
    section = changed(f"cluster.core.fleet.{path}", value, FLEETS)
    if words is None:
        section["cluster"]["core"]["fleet"]["types"] = {}
        assert len(request(section)["Instances"]["InstanceFleets"][1]["InstanceTypeConfigs"]) == 5
        return
    with pytest.raises(UsageError) as refused:
        load(Path("servo.yaml"), section)
    assert words in str(refused.value)


def test_numbers_and_truth_values_of_yaml_are_texts_for_the_service() -> None:
    properties = yaml.safe_load("{a: 4, b: 0.5, c: true, d: 'x', e: 1e-3}")
    section = changed("cluster.configurations.0.properties", properties)
    assert request(section)["Configurations"][0]["Properties"] == {
        "a": "4", "b": "0.5", "c": "true", "d": "x", "e": "1e-3",
    }  # fmt: skip
