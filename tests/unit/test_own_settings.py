"""Settings of one's own under `components`: where their values go, what they may be, what is wrong with them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import servo
import yaml
from hypothesis import given
from hypothesis import strategies as st

from servo_emr.aws.ec2_request import run_job_flow
from servo_emr.cli.settings_file import load
from servo_emr.config import EMRConfiguration
from servo_emr.description import components
from servo_emr.domain.bounds import EnumBound, RangeBound
from servo_emr.domain.cluster import Market, Role
from servo_emr.domain.errors import ConfigurationError, UsageError
from servo_emr.domain.targets import parse_target
from tests.support.clusters import FORTY, WHOLE
from tests.support.samples import KEY

OWN = yaml.safe_load(
    """
primary: {inst_type: {values: [m5.xlarge], value: m5.xlarge, pinned: true}}
core:
  inst_type: {values: [m5.xlarge, c5.xlarge], value: m5.xlarge}
  replicas: {min: 2, max: 12, value: 4}
  market: {values: [on-demand, spot], value: spot}
  ebs_size: {min: 32, max: 256, step: 32, value: 64, unit: GiB, target: "cluster.core.ebs[0].size"}
  ebs_type: {values: [gp2, gp3], value: gp3, target: "cluster.core.ebs[0].type"}
task:
  inst_type: {values: [m5.xlarge], value: m5.xlarge}
  replicas: {min: 0, max: 4, value: 0}
spark:
  memory:
    {min: 2, max: 16, value: 4, unit: GiB, format: "{}g",
     target: "configurations.spark-defaults[spark.executor.memory]"}
  fraction: {min: 0.4, max: 0.8, step: 0.1, value: 0.6, target: "configurations.spark-defaults[spark.memory.fraction]"}
  python: {values: [python3.9, python3.11], value: python3.9, target: "configurations.spark-env.export[PYSPARK_PYTHON]"}
  vmem:
    values: [true, false]
    value: false
    target: "cluster.core.configurations.yarn-site[yarn.nodemanager.vmem-check-enabled]"
job:
  batch_size: {values: [32, 64, 128], value: 64, target: job.parameters.batch_size}
  exact: {values: [true, false], value: true, target: job.parameters.exact}
  heap: {min: 1, max: 8, value: 2, format: "-Xmx{}g", target: job.parameters.heap}
emr:
  release: {values: [emr-7.1.0, emr-7.2.0], value: emr-7.1.0, target: cluster.release_label}
  root: {min: 20, max: 100, step: 10, value: 30, unit: GiB, target: cluster.root_volume.size}
"""
)


def section(changes: dict[str, Any] | None = None, own: Any = OWN) -> dict[str, Any]:
    """A configuration with settings of its own, changed by dotted path below components."""
    whole = copy.deepcopy(WHOLE)
    whole["components"] = copy.deepcopy(own)
    del whole["cluster"]["core"]["market"]
    whole["cluster"]["step_concurrency"] = 1
    whole["job"]["parameters"] = {"note": "{spark.memory} and {job.batch_size}", "size": "{job.batch_size}"}
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        inner = whole["components"]
        for name in parents:
            inner = inner.setdefault(name, {})
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    return whole


def applied(**values: Any) -> dict[str, Any]:
    """The request with these values; `__` stands for the dot."""
    config = EMRConfiguration.parse_obj(section())
    wanted = [(name.replace("__", "."), value) for name, value in values.items()]
    spec = config.space.apply(config.to_spec(), config.space.changed(config.space.configured, wanted))
    return {"request": run_job_flow(spec, KEY), "parameters": spec.job.parameter_values, "spec": spec}


def properties(request: dict[str, Any], classification: str) -> dict[str, str]:
    return next(c["Properties"] for c in request["Configurations"] if c["Classification"] == classification)


def test_the_configured_values_are_in_their_places() -> None:
    found = applied()
    defaults = properties(found["request"], "spark-defaults")
    assert (defaults["spark.executor.memory"], defaults["spark.memory.fraction"]) == ("4g", "0.6")
    assert defaults["spark.sql.shuffle.partitions"] == "200", "what cluster.configurations says stays"
    assert found["parameters"] == {
        "batch_size": 64, "exact": True, "heap": "-Xmx2g", "note": "4g and 64", "size": 64,
    }  # fmt: skip
    assert found["request"]["EbsRootVolumeSize"] == 30


def test_every_value_that_is_adjusted_goes_where_its_target_says() -> None:
    found = applied(
        spark__memory="8", spark__fraction="0.7", spark__python="python3.11", spark__vmem="true", job__batch_size="128",
        job__exact="false", job__heap=5, emr__release="emr-7.2.0", emr__root=40, core__ebs_size=96.0, task__replicas=2,
    )  # fmt: skip
    request = found["request"]
    defaults = properties(request, "spark-defaults")
    assert (defaults["spark.executor.memory"], defaults["spark.memory.fraction"]) == ("8g", "0.7")
    nested = next(c["Configurations"] for c in request["Configurations"] if c["Classification"] == "spark-env")
    assert nested == [{"Classification": "export", "Properties": {"PYSPARK_PYTHON": "python3.11"}}]
    assert (request["ReleaseLabel"], request["EbsRootVolumeSize"]) == ("emr-7.2.0", 40)
    primary, core, task = request["Instances"]["InstanceGroups"]
    assert (task["InstanceRole"], task["InstanceCount"]) == ("TASK", 2)
    (device,) = core["EbsConfiguration"]["EbsBlockDeviceConfigs"]
    assert device["VolumeSpecification"]["SizeInGB"] == 96
    assert core["Configurations"][0]["Properties"]["yarn.nodemanager.vmem-check-enabled"] == "true"
    assert "Configurations" not in primary
    assert found["parameters"] == {
        "batch_size": 128, "exact": False, "heap": "-Xmx5g", "note": "8g and 128", "size": 128,
    }  # fmt: skip


def test_a_market_that_changes_takes_its_bid_along() -> None:
    spot, bought = applied()["request"], applied(core__market="on-demand")["request"]
    assert spot["Instances"]["InstanceGroups"][1]["BidPrice"] == "0.15"
    assert bought["Instances"]["InstanceGroups"][1]["Market"] == "ON_DEMAND"
    assert "BidPrice" not in bought["Instances"]["InstanceGroups"][1]
    group = applied()["spec"].group(Role.CORE)
    assert (group.market, group.on_spot) == (Market.SPOT, True)
    assert EMRConfiguration.parse_obj(section({"core.market.value": "on-demand"})).may_be_on_spot


def test_a_kind_of_volume_drops_what_it_does_not_take() -> None:
    (device,) = applied(core__ebs_type="gp2")["request"]["Instances"]["InstanceGroups"][1]["EbsConfiguration"][
        "EbsBlockDeviceConfigs"
    ]
    assert device == {"VolumeSpecification": {"VolumeType": "gp2", "SizeInGB": 64}, "VolumesPerInstance": 2}


def test_no_value_passes_through_a_shell_or_becomes_another_property() -> None:
    nasty = '$(rm -rf /); "x" </value>\n{core.replicas}'
    own = section({"job.nasty": {"values": ["a", nasty], "value": nasty, "target": "configurations.core-site[x]"}})
    config = EMRConfiguration.parse_obj(own)
    request = run_job_flow(config.space.apply(config.to_spec(), config.space.configured), KEY)
    assert properties(json.loads(json.dumps(request)), "core-site") == {"x": nasty.replace("{core.replicas}", "4")}


def test_references_in_properties_are_filled_with_what_runs() -> None:
    own = section()
    own["cluster"]["configurations"][0]["properties"]["spark.default.parallelism"] = "{core.replicas}"
    config = EMRConfiguration.parse_obj(own)
    spec = config.space.apply(config.to_spec(), {**config.space.configured, "core.replicas": 7})
    assert properties(run_job_flow(spec, KEY), "spark-defaults")["spark.default.parallelism"] == "7"


def test_the_optimizer_sees_ranges_and_values_with_units() -> None:
    config = EMRConfiguration.parse_obj(section())
    described = {c.name: {s.name: s for s in c.settings} for c in components(config.space, config.space.configured)}
    assert list(described) == ["primary", "core", "task", "emr", "job", "spark"]
    memory, fraction = described["spark"]["memory"], described["spark"]["fraction"]
    assert isinstance(memory, servo.RangeSetting)
    assert (memory.min, memory.max, memory.step, memory.value, memory.unit) == (2, 16, 1, 4, "GiB")
    assert (fraction.min, fraction.step, fraction.value) == (0.4, 0.1, 0.6)
    batch = described["job"]["batch_size"].__opsani_repr__()["batch_size"]
    assert batch == {"type": "enum", "values": ["32", "64", "128"], "value": "64", "pinned": False}
    assert described["job"]["exact"].values == ["true", "false"]
    assert isinstance(described["core"]["market"], servo.EnumSetting)


def test_a_configuration_with_settings_of_its_own_survives_being_written_down() -> None:
    config = EMRConfiguration.parse_obj(section())
    again = EMRConfiguration.parse_obj(yaml.safe_load(config.yaml()))
    assert again.space == config.space
    assert again.to_spec() == config.to_spec()


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spark.memory.target", "configuration.spark-defaults[x]", "did you mean something like configurations.CLASS"),
        ("spark.memory.target", "configurations.spark_defaults[x]", "did you mean 'spark-defaults'?"),
        ("spark.memory.target", "configurations.spark-env.exports[x]", "did you mean 'export'?"),
        ("spark.memory.target", "cluster.release", "did you mean something like cluster.release_label?"),
        ("spark.memory.target", "job.parameter.x", "did you mean something like job.parameters.NAME?"),
        ("spark.memory.target", "cluster.core.ebs[0].sise", "did you mean something like cluster.ROLE.ebs[N].size?"),
        ("spark.memory.targets", "x", "emr.components.spark.memory: unknown key 'targets': did you mean 'target'?"),
        ("spark.memory.min", 20, "emr.components.spark.memory: min 20 is above max 16"),
        ("spark.memory.min", True, "min True is not a number"),
        ("spark.memory.max", float("inf"), "max inf is not a number"),
        ("spark.memory.step", float("nan"), "step nan is not a number"),
        ("spark.memory.max", None, "takes either values, or min and max"),
        ("spark.memory.values", [4], "takes either values, or min and max"),
        ("spark.memory.step", 0, "step 0 must be above 0"),
        ("spark.memory.value", 99, "value 99 is outside 2 to 16"),
        ("spark.fraction.value", 0.65, "value 0.65 is not on the grid 0.4, 0.5, ... 0.8"),
        ("spark.memory.format", "g", "emr.components.spark.memory.format (it is 'g'): must hold {} once"),
        ("spark.memory.format", "{}{0}", "must hold {} once"),
        ("emr.root.format", "{}g", "components -> emr -> root: format is for properties and parameters"),
        ("emr.release.values", ["emr-7.1.0", "7.2"], "components -> emr -> release: '7.2' is no release_label"),
        (
            "emr.release.values",
            ["emr-7.1.0", "emr-6.9.0"],
            "emr-6.9.0: root_volume.iops and throughput are of gp3 root",
        ),
        ("emr.root.max", 9000, "components -> emr -> root: 9000 is no whole number from 10 to 2048"),
        ("core.ebs_size.max", 2048, "2048 is no whole number from 1 to 1024"),
        ("core.ebs_size.target", "cluster.core.ebs[1].size", "cluster.core.ebs has 1 entries, counted from 0"),
        ("core.ebs_type.values", ["gp3", "gp4"], "'gp4' is no kind of volume: gp2, gp3"),
        ("core.on_demand", {"min": 0, "max": 2, "value": 0, "target": "cluster.core.fleet.on_demand"}, "has no fleet"),
        ("primary.bid", {"values": [0.1], "value": 0.1, "target": "cluster.primary.bid_price"}, "is for spot nodes"),
        ("job.batch_size.values", [32, 64, "64"], "64 stands twice"),
        ("job.batch_size.value", 33, "value 33 is not one of 32, 64, 128"),
        ("job.copy", {**OWN["job"]["exact"]}, "components -> job -> exact: job.copy has the same target"),
        ("core.replica", {"min": 1, "max": 2, "value": 1}, "unknown key 'replica': did you mean 'replicas'?"),
        ("cor", {"inst_type": {}}, "unknown key 'cor': did you mean 'core'?"),
        ("Spark", {"x": {"target": "x"}}, "unknown key 'Spark': a component's name has small letters"),
        ("spark.Memory", {"target": "x"}, "'Memory' cannot be a setting's name"),
        ("core.market.value", "SPOT", "emr.components.core.market.value (it is 'SPOT'): must be on-demand or spot"),
        ("core.market.values", ["spots"], "did you mean 'spot'?"),
    ],
)
def test_whatever_is_wrong_with_a_setting_is_named_by_path_value_and_remedy(path: str, value: Any, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        load(Path("servo.yaml"), section({path: value}))
    assert words in str(refused.value)


def test_a_setting_that_could_change_nothing_is_refused() -> None:
    own = section()
    own["cluster"]["core"]["ebs"] = [{"type": "gp2", "size": 64}]
    own["components"]["core"]["iops"] = {"min": 3000, "max": 4000, "value": 3000, "target": "cluster.core.ebs[0].iops"}
    assert EMRConfiguration.parse_obj(own), "gp3 may be chosen"
    del own["components"]["core"]["ebs_type"]
    with pytest.raises(UsageError, match="iops is for gp3 and io1, and the volumes are of another kind"):
        load(Path("servo.yaml"), own)
    own = section()
    own["components"]["web"] = {"cpu": {"values": [1, 2], "value": 1}}
    own["cluster"]["bootstrap_actions"] = [{"name": "b", "path": "s3://acme-servo/b.sh", "args": ["{web.cpu}"]}]
    own["cluster"]["tags"] = {"cpu": "{web.cpu}"}
    with pytest.raises(UsageError, match=r"nothing refers to \{web.cpu\}"):
        load(Path("servo.yaml"), own)
    own = section()
    own["job"] = {"run": [{"notebook": "a.ipynb", "parameters": {"batch_size": 1}}]}
    with pytest.raises(UsageError, match=r"every notebook of job\.run has a parameter batch_size of its own"):
        load(Path("servo.yaml"), own)
    own["job"]["run"].append({"notebook": "b.ipynb"})
    assert EMRConfiguration.parse_obj(own)


def test_a_reference_in_a_property_that_misses_a_setting_is_refused_and_anybody_elses_braces_are_left() -> None:
    own = section()
    properties = {"a": "{spark.memroy}", "b": "${user.name}"}
    own["cluster"]["core"]["configurations"] = [{"classification": "x", "properties": properties}]
    with pytest.raises(UsageError, match=r"\{spark.memroy\} refers to nothing: did you mean \{spark.memory\}\?"):
        load(Path("servo.yaml"), own)
    del properties["a"]
    assert EMRConfiguration.parse_obj(own)


def test_a_reference_to_nothing_names_the_nearest_setting() -> None:
    own = section()
    own["job"]["parameters"] = {"x": "{spark.memroy}"}
    with pytest.raises(UsageError, match=r"\{spark.memroy\} refers to nothing; did you mean \{spark.memory\}\?"):
        load(Path("servo.yaml"), own)


def test_an_adjustment_out_of_bounds_is_refused_and_says_where_the_bounds_are() -> None:
    config = EMRConfiguration.parse_obj(section())
    for selector, value in (
        ("spark.memory", 17),
        ("spark.fraction", 0.45),
        ("job.exact", "yes"),
        ("job.batch_size", 1),
    ):
        with pytest.raises(ConfigurationError, match=f"emr.components.{selector}"):
            config.space.changed(config.space.configured, [(selector, value)])


def test_forty_settings_are_described_adjusted_and_applied() -> None:
    config = EMRConfiguration.parse_obj(FORTY)
    assert len(config.space.settings) == 40
    described = components(config.space, config.space.configured)
    assert sum(len(component.settings) for component in described) == 40
    values = config.space.changed(
        config.space.configured, [(s.selector, _last(s.bound)) for s in config.space.settings if not s.pinned]
    )
    request = run_job_flow(config.space.apply(config.to_spec(), values), KEY)
    defaults = properties(request, "spark-defaults")
    assert defaults["spark.sql.shuffle.partitions"] == "400"
    assert len(defaults) == 20


def _last(bound: EnumBound | RangeBound) -> Any:
    return bound.values[-1] if isinstance(bound, EnumBound) else bound.high


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers())))
def test_whatever_comes_in_a_bound_gives_one_of_its_own_values(value: object) -> None:
    for bound in (EnumBound((32, 64, True, "x", 0.5)), RangeBound(0.4, 0.8, 0.1), RangeBound(2, 16, 2)):
        try:
            found = bound.coerce(value)
        except ValueError:
            continue
        if isinstance(bound, EnumBound):
            assert any(found is one or (type(found) is type(one) and found == one) for one in bound.values)
        else:
            assert bound.low <= found <= bound.high


@pytest.mark.parametrize("text", ["1e999999999", "9" * 5000, "nan", "-inf", "0x4", "1_0", "", " "])
def test_a_strange_number_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number|is outside"):
        RangeBound(1, 10).coerce(text)


@pytest.mark.parametrize("text", ["configurations.a[b]", "cluster.task.configurations.a.b[c.d]", "job.parameters.x1"])
def test_a_target_is_read_as_it_is_written(text: str) -> None:
    assert parse_target(text) == parse_target(str(text))
