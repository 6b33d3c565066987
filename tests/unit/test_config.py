"""The `emr:` section: every documented key works, and whatever is wrong is named by path, value and remedy."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servo_emr.cli.settings_file import load
from servo_emr.config import EMRConfiguration
from servo_emr.description import components
from servo_emr.domain.errors import UsageError
from servo_emr.domain.spec import Role, canonical

ROOT = Path(__file__).resolve().parent.parent.parent

# The sample of the documentation, with every key that there is.
DOCUMENTED = yaml.safe_load(
    r"""
region: us-east-1
target: ec2
workspace: s3://acme-servo/nightly-etl
job:
  notebook: s3://acme-notebooks/etl.ipynb
  parameters: {sample: 0.1, out: "s3://acme-data/out/{run_id}", n: "{core.replicas}"}
  kernel: python3
  timeout: 2h
  expected_duration: 20m
  repeats: 3
  wheels: s3://acme-servo/wheels
  metrics:
    rows:  {from: notebook, name: rows, unit: count}
    speed: {from: output, pattern: 'rate=([\d.]+)', unit: rps}
cluster:
  release_label: emr-7.1.0
  applications: [Spark]
  subnet_ids: [subnet-a, subnet-b]
  service_role: EMR_DefaultRole
  instance_profile: EMR_EC2_DefaultRole
  log_uri: s3://acme-servo/nightly-etl/logs
  tags: {team: data}
components:
  primary: {inst_type: {values: [m5.xlarge], value: m5.xlarge, pinned: true}}
  core:
    inst_type: {values: [m5.xlarge, c5.xlarge, r5.xlarge], value: m5.xlarge}
    replicas: {min: 2, max: 12, step: 1, value: 4}
    market: spot
    bid_price: 0.15
limits:
  cost_per_run: 5.00
  cost_per_hour: 20.00
  spend_per_day: 100.00
  unproductive_spend: 10.00
  provisioning: 20m
  nodes: 20
  vcpus: 256
report_details: false
"""
)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The documented section with one value changed, or added."""
    section = copy.deepcopy(DOCUMENTED)
    *parents, last = path.split("/")
    inner = section
    for name in parents:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return section


def refusal(section: dict[str, Any]) -> str:
    with pytest.raises(UsageError) as refused:
        load(Path("servo.yaml"), section)
    return str(refused.value)


def test_every_documented_key_is_accepted_and_reaches_the_run() -> None:
    config = EMRConfiguration.parse_obj(DOCUMENTED)
    spec = config.to_spec()
    assert (spec.region, spec.nodes, spec.inst_types) == ("us-east-1", 5, ("m5.xlarge",))
    assert (spec.job.timeout_s, spec.job.expected_s, spec.job.kernel) == (7200.0, 1200.0, "python3")
    assert spec.job.parameter_values["sample"] == 0.1
    assert spec.job.wheels == "s3://acme-servo/wheels"
    assert [(m.name, m.source, m.key, m.unit) for m in spec.job.metrics] == [
        ("rows", "notebook", "rows", "count"),
        ("speed", "output", r"rate=([\d.]+)", "rps"),
    ]
    assert spec.cluster.subnet_ids == ("subnet-a", "subnet-b")
    assert spec.cluster.tags == (("team", "data"),)
    limits = spec.limits
    assert (limits.cost_per_run, limits.cost_per_hour, limits.spend_per_day) == (5.0, 20.0, 100.0)
    assert (limits.unproductive_spend, limits.provisioning_s, limits.nodes, limits.vcpus) == (10.0, 1200.0, 20, 256)
    assert "s3://acme-servo/wheels" in spec.bootstrap
    assert config.space.configured == {
        "primary.inst_type": "m5.xlarge",
        "core.inst_type": "m5.xlarge",
        "core.replicas": 4,
    }
    assert [(step.name, step.repeat, step.argv[-1]) for step in spec.steps] == [
        ("notebook 1 of 3", 1, "{run}/job.json"),
        ("notebook 2 of 3", 2, "{run}/job-2.json"),
        ("notebook 3 of 3", 3, "{run}/job-3.json"),
    ]
    assert [(group.market, group.bid_usd) for group in spec.groups] == [("on-demand", None), ("spot", 0.15)]
    assert config.units["rows"] == "count"
    assert config.units["cost"] == "USD"


def test_a_job_that_is_not_repeated_has_one_step_with_the_plain_names() -> None:
    spec = EMRConfiguration.parse_obj(changed("job/repeats", 1)).to_spec()
    assert [(step.name, step.argv[-1]) for step in spec.steps] == [("notebook", "{run}/job.json")]


def test_the_configuration_in_the_root_of_the_project_loads() -> None:
    assert load(ROOT / "servo.yaml").to_spec().job.timeout_s == 7200.0


def test_the_generated_example_is_valid_and_survives_being_written_down() -> None:
    example = EMRConfiguration.generate()
    text = example.yaml(exclude_unset=True)
    again = EMRConfiguration.parse_obj(yaml.safe_load(text))
    assert again.to_spec() == example.to_spec()
    assert again.space == example.space
    # servox writes examples out whole as well.
    assert EMRConfiguration.parse_obj(yaml.safe_load(example.yaml(by_alias=True))).to_spec() == example.to_spec()


def test_task_nodes_are_a_component_once_they_are_configured() -> None:
    section = changed("components/task", copy.deepcopy(DOCUMENTED["components"]["core"]))
    config = EMRConfiguration.parse_obj(section)
    assert config.space.components == ("primary", "core", "task")
    assert config.to_spec().group(Role.TASK) is not None


@pytest.mark.parametrize(
    ("path", "place", "nearest"),
    [
        ("regoin", "emr", "region"),
        ("job/notebok", "emr.job", "notebook"),
        ("job/metrics/rows/units", "emr.job.metrics.rows", "unit"),
        ("job/metrics/rows/source", "emr.job.metrics.rows", None),
        ("cluster/release", "emr.cluster", "release_label"),
        ("components/cores", "emr.components", "core"),
        ("components/primary/replica", "emr.components.primary", None),
        ("components/core/replicas/maximum", "emr.components.core.replicas", "max"),
        ("components/core/inst_type/valeus", "emr.components.core.inst_type", "values"),
        ("limits/cost_per_runs", "emr.limits", "cost_per_run"),
        ("prices/override", "emr.prices", "overrides"),
        ("prices/overrides/m5.xlarge/ec", "emr.prices.overrides.m5.xlarge", "ec2"),
    ],
)
def test_an_unknown_key_is_refused_at_every_level_and_the_nearest_known_one_named(
    path: str, place: str, nearest: str | None
) -> None:
    message = refusal(changed(path, "x"))
    assert f"{place}: unknown key '{path.rsplit('/', 1)[-1]}'" in message
    assert (f"did you mean '{nearest}'?" if nearest else "known are ") in message


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("components/core/replicas/max", 1, "emr.components.core.replicas: min 2 is above max 1: exchange them"),
        ("components/core/replicas/value", 13, "value 13 is outside 2 to 12"),
        ("components/core/replicas/value", 4.5, "emr.components.core.replicas.value (it is 4.5)"),
        ("components/core/replicas/value", "4", "emr.components.core.replicas.value (it is '4')"),
        ("components/core/replicas/value", True, "emr.components.core.replicas.value"),
        ("components/core/replicas/min", 0, "emr.components.core.replicas.min (it is 0)"),
        ("components/core/replicas/step", 0, "emr.components.core.replicas.step (it is 0)"),
        ("components/core/replicas", {"min": 2, "max": 12, "step": 5, "value": 4}, "not on the grid 2, 7, ... 12"),
        ("components/core/inst_type/value", "m5.large", "emr.components.core.inst_type.value (it is 'm5.large')"),
        ("components/core/inst_type/values", [], "emr.components.core.inst_type.values"),
        ("components/core/inst_type/values", ["large"], "emr.components.core.inst_type.values.0 (it is 'large')"),
        ("components/core", None, "emr.components.core"),
        ("region", "Virginia", "emr.region (it is 'Virginia')"),
        ("target", "eks", "emr.target (it is 'eks')"),
        ("workspace", "acme-servo/nightly", "emr.workspace (it is 'acme-servo/nightly')"),
        ("workspace", "s3://", "emr.workspace"),
        ("workspace", "s3://Acme", "emr.workspace"),
        ("workspace", "s3://acme/a b", "emr.workspace"),
        ("workspace", "s3://acme-servo/nightly\n", "emr.workspace"),
        ("workspace", "https://acme.s3.amazonaws.com/x", "emr.workspace"),
        ("cluster/log_uri", "logs", "emr.cluster.log_uri (it is 'logs')"),
        ("job/wheels", "./wheels", "emr.job.wheels (it is './wheels')"),
        ("job/notebook", "", "emr.job.notebook"),
        ("job/notebook", "https://example.com/etl.ipynb", "emr.job.notebook (it is 'https://example.com/etl.ipynb')"),
        ("job/notebook", "s3://acme-notebooks", "emr.job.notebook (it is 's3://acme-notebooks')"),
        ("job/timeout", "0s", "emr.job.timeout (it is '0s'): must be longer than 0"),
        ("job/timeout", "-5m", "must be longer than 0"),
        ("job/timeout", "soon", "emr.job.timeout (it is 'soon')"),
        ("job/timeout", float("inf"), "emr.job.timeout (it is inf)"),
        ("job/timeout", float("nan"), "emr.job.timeout (it is nan)"),
        ("job/expected_duration", "99999999999999h", "emr.job.expected_duration"),
        ("job/repeats", 0, "emr.job.repeats (it is 0)"),
        ("job/repeats", 51, "emr.job.repeats (it is 51)"),
        ("job/repeats", 2.0, "emr.job.repeats (it is 2.0)"),
        ("components/core/market", "SPOT", "emr.components.core.market (it is 'SPOT')"),
        ("components/primary/bid_price", 0.1, "bid_price is for spot nodes: set market: spot beside it"),
        ("components/core/bid_price", 0.1234, "bid_price 0.1234 has more than the three decimals that EMR takes"),
        ("components/core/bid_price", -0.1, "emr.components.core.bid_price (it is -0.1)"),
        ("prices", {"ebs": {"gp9": {"gib_month": 0.1}}}, "emr.prices.ebs"),
        ("prices", {"ebs": {"gp3": {"gib_month": 0}}}, "emr.prices.ebs.gp3.gib_month (it is 0)"),
        ("job/kernel", "py; rm", "emr.job.kernel"),
        ("job/parameters", {"not a name": 1}, "'not a name' cannot be a parameter's name"),
        ("job/parameters", {"x": float("nan")}, "'x' holds a value that JSON cannot say"),
        ("job/parameters", {"day": yaml.safe_load("2026-11-20")}, "'day' holds a value that JSON cannot say"),
        ("job/parameters", {"x": "\udce9"}, "'x' holds a value that JSON cannot say"),
        ("job/parameters", {"x": "{core.replica}"}, "job -> parameters -> x: {core.replica} refers to nothing"),
        ("job/parameters", {"x": ["{task.replicas}"]}, "{task.replicas} refers to nothing"),
        ("job/metrics", {"cost": {"from": "notebook", "name": "c"}}, "'cost' is a built-in metric"),
        ("job/metrics", {"a b": {"from": "notebook", "name": "c"}}, "'a b' cannot be a metric's name"),
        ("job/metrics", {"rows": {"name": "rows"}}, "emr.job.metrics.rows.from"),
        ("job/metrics", {"rows": {"from": "logs", "name": "rows"}}, "emr.job.metrics.rows.from (it is 'logs')"),
        ("job/metrics", {"rows": {"from": "notebook"}}, "from: notebook takes 'name' and no 'pattern'"),
        ("job/metrics", {"rows": {"from": "notebook", "name": "r", "pattern": "(x)"}}, "takes 'name' and no 'pattern'"),
        ("job/metrics", {"rows": {"from": "output", "pattern": "("}}, "pattern: not a regular expression"),
        ("job/metrics", {"rows": {"from": "output", "pattern": "x"}}, "pattern: has no group"),
        ("cluster/release_label", "7.1.0", "emr.cluster.release_label (it is '7.1.0')"),
        ("cluster/subnet_ids", ["net-1"], "emr.cluster.subnet_ids.0 (it is 'net-1')"),
        ("cluster/tags", {"aws:x": "1"}, "no aws: or servo-emr:"),
        ("cluster/tags", {"k" * 129: "1"}, "at most 128"),
        ("limits/cost_per_run", 0, "emr.limits.cost_per_run (it is 0)"),
        ("limits/cost_per_run", float("nan"), "emr.limits.cost_per_run"),
        ("limits/cost_per_run", float("inf"), "emr.limits.cost_per_run"),
        ("limits/cost_per_hour", -1, "emr.limits.cost_per_hour"),
        ("limits/spend_per_day", "much", "emr.limits.spend_per_day (it is 'much')"),
        ("limits/nodes", 0, "emr.limits.nodes"),
        ("limits/nodes", True, "emr.limits.nodes (it is True): must be a number"),
        ("limits/vcpus", 16.5, "emr.limits.vcpus (it is 16.5): value is not a valid integer"),
        ("limits/cost_per_run", True, "emr.limits.cost_per_run (it is True): must be a number"),
        ("components/core/bid_price", True, "emr.components.core.bid_price (it is True): must be a number"),
        ("cluster/release_label", "emr-7", "emr.cluster.release_label (it is 'emr-7'): must be a whole label, such as"),
        ("limits/provisioning", "0s", "emr.limits.provisioning (it is '0s'): must be longer than 0"),
        ("limits/provisioning", float("inf"), "emr.limits.provisioning"),
        ("prices", {"overrides": {"m5.xlarge": {"ec2": 0, "fee": 1}}}, "emr.prices.overrides.m5.xlarge.ec2 (it is 0)"),
        ("prices", {"overrides": {"m5.xlarge": {"ec2": float("inf"), "fee": 1}}}, "emr.prices.overrides.m5.xlarge.ec2"),
        ("prices", {"overrides": {"m5.xlarge": {"ec2": 1}}}, "emr.prices.overrides.m5.xlarge.fee"),
    ],
)
def test_whatever_is_wrong_is_named_by_path(path: str, value: Any, words: str) -> None:
    message = refusal(changed(path, value))
    assert words in message
    assert message.startswith("servo.yaml: emr")


@pytest.mark.parametrize("key", ["region", "workspace", "job", "cluster", "components"])
def test_what_has_to_be_there_is_asked_for_by_name(key: str) -> None:
    section = copy.deepcopy(DOCUMENTED)
    del section[key]
    assert f"emr.{key}" in refusal(section)


def test_several_mistakes_are_told_at_once_one_a_line() -> None:
    section = changed("region", "Virginia")
    section["cluster"]["release_label"] = "7"
    section["limits"]["nodes"] = -1
    assert len(refusal(section).splitlines()) == 3


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # how busy the machine is says nothing of us
@given(st.integers(-2, 20), st.integers(-2, 20), st.integers(-1, 8), st.integers(-2, 20), st.booleans())
def test_whatever_bounds_are_accepted_can_be_described_and_applied(
    low: int, high: int, step: int, value: int, pinned: bool
) -> None:
    replicas = {"min": low, "max": high, "step": step, "value": value, "pinned": pinned}
    try:
        config = EMRConfiguration.parse_obj(changed("components/core/replicas", replicas))
    except ValueError:
        return
    assert 1 <= low <= value <= high
    assert (value - low) % step == 0
    (primary, core) = components(config.space, config.space.configured)
    assert (primary.name, core.name) == ("primary", "core")
    spec = config.space.apply(config.to_spec(), config.space.configured)
    assert spec.groups == config.to_spec().groups
    assert canonical(spec)


def test_every_key_is_in_the_documentation() -> None:
    schema = EMRConfiguration.schema()
    keys = {key for model in (schema, *schema["definitions"].values()) for key in model.get("properties", ())}
    text = (ROOT / "docs" / "configuration-reference.md").read_text()
    assert {"restore", "main_class", "prepare"} <= keys
    assert {key for key in keys if not re.search(rf"\b{key}\b", text)} == set()
    assert {"bid_price", "throughput_month", "live", "release_label", "values", "pattern"} <= keys


def undescribed(
    model: type[pydantic.BaseModel], place: str, above: tuple[type[pydantic.BaseModel], ...] = ()
) -> Iterator[str]:
    """The fields of a model and of the models in it that say nothing of what they are for; one within itself once."""
    if model in above:
        return
    for name, field in model.__fields__.items():
        if not field.field_info.description:
            yield f"{place}.{name}"
        if isinstance(field.type_, type) and issubclass(field.type_, pydantic.BaseModel):
            yield from undescribed(field.type_, f"{place}.{name}", (*above, model))


def test_every_field_has_a_description() -> None:
    assert list(undescribed(EMRConfiguration, "emr")) == []
