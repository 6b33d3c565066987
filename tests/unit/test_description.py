"""Settings and metrics as the optimizer sees them."""

from __future__ import annotations

import json

import pytest
import servo

from servo_emr.description import Metric, WireUnit, components, metrics
from servo_emr.lifecycle.figures import BUILT_IN
from tests.support.samples import SPACE


def test_components_have_servox_settings_with_bounds_pins_and_values() -> None:
    primary, core = components(SPACE, {**SPACE.configured, "core.replicas": 6})
    assert [setting.name for setting in core.settings] == ["inst_type", "replicas"]
    assert isinstance(core.settings[0], servo.InstanceType)
    assert core.settings[0].values == ["m5.xlarge", "c5.xlarge", "r5.xlarge"]
    replicas = core.settings[1]
    assert isinstance(replicas, servo.Replicas)
    assert (replicas.min, replicas.max, replicas.step, replicas.value) == (2, 12, 2, 6)
    assert primary.settings[0].pinned
    assert not replicas.pinned


def test_metrics_carry_units_that_servox_does_not_know() -> None:
    found = {metric.name: metric.unit for metric in metrics({**BUILT_IN, "rows": "count", "plain": ""})}
    assert found["duration"] == "s"
    assert found["cost"] == "USD"
    assert found["node_hours"] == "h"
    assert all(isinstance(metric, servo.Metric) for metric in metrics(BUILT_IN))
    assert json.loads(json.dumps({name: unit.value for name, unit in found.items()}))["rows"] == "count"


def test_a_unit_on_the_wire_is_its_text() -> None:
    description = servo.Description(components=components(SPACE, SPACE.configured), metrics=metrics(BUILT_IN))
    opsani = description.__opsani_repr__()
    assert opsani["measurement"]["metrics"]["cost"] == {"unit": "USD"}
    assert opsani["adjustment"] if "adjustment" in opsani else opsani["application"]["components"]["core"]


def test_units_are_texts_and_servoxs_own_are_among_them() -> None:
    assert Metric("x", servo.Unit.float).unit == servo.Unit.float.value
    assert WireUnit("").name == "float"
    with pytest.raises(ValueError, match="a unit is a text"):
        Metric("x", 3)
