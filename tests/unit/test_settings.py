"""Settings: whatever comes in, what comes out is inside the bounds and on the grid, or a ConfigurationError."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from servo_emr.domain.errors import ConfigurationError, Reason
from servo_emr.domain.settings import EnumBound, RangeBound, Setting, Space, Value
from servo_emr.domain.spec import Role, RunSpec, canonical
from tests.support.samples import SPACE, SPEC

anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.lists(st.integers())
    | st.dictionaries(st.text(), st.integers())
    | st.decimals()
    | st.complex_numbers()
    | st.integers(-50, 50).map(str)
    | st.floats(-50, 50).map(str)
    | st.sampled_from(["m5.xlarge", "c5.xlarge", "r5.xlarge", "M5.XLARGE", "m5.xlarge ", "m5.xlarge;rm"])
)


def parameters(spec: RunSpec, **values: object) -> RunSpec:
    return replace(spec, job=replace(spec.job, parameters=canonical(values)))


@pytest.mark.parametrize("value", [4, 4.0, "4", "4.0", " 4", "4e0", "+4"])
def test_a_whole_number_is_taken_however_it_is_spelled(value: object) -> None:
    values = SPACE.changed(SPACE.configured, [("core.replicas", value)])
    assert values["core.replicas"] == 4
    assert type(values["core.replicas"]) is int


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, None, "", "four", "4,0", "4.5", 4.5, math.nan, math.inf, 1e400, "nan", "1e400", "inf"),
        *("9" * 10_000, 10**400, -(10**5000), [4], {"value": 4}, b"4", 4j, "0x4", "1_0", "1e3", "5"),
        *(1, 13, 0, -4, 3, 11.0),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_anything_else_is_out_of_bounds_and_the_message_stays_short(value: object) -> None:
    with pytest.raises(ConfigurationError) as refused:
        SPACE.changed(SPACE.configured, [("core.replicas", value)])
    error = refused.value
    assert error.reason is Reason.OUT_OF_BOUNDS
    assert error.message.startswith("core.replicas: ")
    assert "emr.components.core.replicas" in error.remedy
    assert len(str(error)) < 300
    assert error.public.startswith("core.replicas is ")


@given(st.lists(st.tuples(st.sampled_from([s.selector for s in SPACE.settings]), anything)))
@example([("core.replicas", "12.0")])
def test_whatever_comes_in_what_comes_out_is_allowed(adjustments: list[tuple[str, object]]) -> None:
    try:
        values = SPACE.changed(SPACE.configured, adjustments)
        spec = SPACE.apply(SPEC, values)
    except ConfigurationError:
        return
    core = spec.group(Role.CORE)
    assert core is not None
    assert core.count in range(2, 13, 2)
    assert core.inst_type in ("m5.xlarge", "c5.xlarge", "r5.xlarge")
    assert spec.group(Role.PRIMARY) == SPEC.group(Role.PRIMARY)


@given(anything, anything)
def test_apply_is_a_door_of_its_own_even_if_nobody_coerced_before(kind: object, count: object) -> None:
    try:
        spec = SPACE.apply(SPEC, {"core.inst_type": kind, "core.replicas": count})  # type: ignore[dict-item]
    except ConfigurationError as error:
        assert error.reason is Reason.OUT_OF_BOUNDS
        return
    core = spec.group(Role.CORE)
    assert core is not None
    assert core.count in range(2, 13, 2)
    assert type(core.count) is int
    assert core.inst_type in ("m5.xlarge", "c5.xlarge", "r5.xlarge")


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 20), anything)
def test_a_range_gives_only_numbers_of_its_grid(low: int, width: int, step: int, value: object) -> None:
    bound = RangeBound(low, low + width, step)
    try:
        number = bound.coerce(value)
    except ValueError:
        return
    assert number in range(low, low + width + 1, step)


def test_a_pinned_setting_takes_its_own_value_and_no_other() -> None:
    pinned = Setting("core", "inst_type", EnumBound(("m5.xlarge", "c5.xlarge")), "m5.xlarge", pinned=True)
    assert pinned.coerce("m5.xlarge") == "m5.xlarge"
    with pytest.raises(ConfigurationError, match=r"pinned to m5\.xlarge, 'c5\.xlarge' was asked for") as refused:
        pinned.coerce("c5.xlarge")
    assert refused.value.reason is Reason.OUT_OF_BOUNDS
    assert "Unpin emr.components.core.inst_type" in refused.value.remedy


def test_a_type_that_is_not_listed_is_refused_with_what_is() -> None:
    with pytest.raises(ConfigurationError, match=r"'m5.24xlarge' is not one of m5.xlarge, c5.xlarge, r5.xlarge"):
        SPACE.changed(SPACE.configured, [("core.inst_type", "m5.24xlarge")])


@pytest.mark.parametrize(
    ("selector", "nearest"), [("core.replica", "core.replicas"), ("cor.inst_type", "core.inst_type")]
)
def test_an_unknown_setting_names_the_nearest(selector: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Did you mean {nearest}") as refused:
        SPACE.changed(SPACE.configured, [(selector, 4)])
    assert refused.value.reason is Reason.UNKNOWN_SETTING


@pytest.mark.parametrize("selector", ["", "replicas" * 1000, "élan.vital"])
def test_an_unknown_setting_without_a_likeness_lists_what_there_is(selector: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Known are primary.inst_type, core.inst_type, core.replicas") as said:
        SPACE.changed(SPACE.configured, [(selector, 4)])
    assert len(str(said.value)) < 300


def test_one_bad_adjustment_leaves_the_current_values_alone() -> None:
    current: dict[str, Value] = dict(SPACE.configured)
    with pytest.raises(ConfigurationError):
        SPACE.changed(current, [("core.replicas", 6), ("core.inst_type", "x1.32xlarge")])
    assert current == SPACE.configured


def test_staged_values_that_are_no_longer_allowed_give_way_with_a_warning() -> None:
    staged = {"core.replicas": 99, "core.inst_type": "c5.xlarge", "primary.inst_type": "c5.xlarge", "task.replicas": 3}
    values, warnings = SPACE.legal(staged)
    assert values == {"primary.inst_type": "m5.xlarge", "core.inst_type": "c5.xlarge", "core.replicas": 4}
    assert len(warnings) == 3
    assert "core.replicas: 99 is outside 2 to 12" in warnings[0]
    assert "4 is used" in warnings[0]
    assert "it is ignored" in warnings[2]


@given(st.dictionaries(st.sampled_from([s.selector for s in SPACE.settings]) | st.text(), anything))
def test_whatever_is_staged_what_will_run_is_allowed_and_complete(staged: dict[str, object]) -> None:
    values, warnings = SPACE.legal(staged)
    assert values.keys() == SPACE.configured.keys()
    assert all(SPACE[selector].coerce(value) == value for selector, value in values.items())
    assert len(warnings) <= len(staged)


def test_apply_changes_only_what_the_values_ask_for() -> None:
    spec = SPACE.apply(SPEC, {"core.replicas": 6})
    assert [(g.role, g.inst_type, g.count) for g in spec.groups] == [
        (Role.PRIMARY, "m5.xlarge", 1),
        (Role.CORE, "m5.xlarge", 6),
    ]
    assert replace(spec, groups=SPEC.groups) == SPEC


def test_references_in_parameters_take_the_value_that_runs_with_its_type() -> None:
    spec = parameters(SPEC, n="{core.replicas}", name="{core.inst_type} x {core.replicas}", out="s3://b/{run_id}")
    values = SPACE.apply(spec, {**SPACE.configured, "core.replicas": "6.0"}).job.parameter_values
    assert values == {"n": 6, "name": "m5.xlarge x 6", "out": "s3://b/{run_id}"}


def test_a_space_lists_each_component_once_and_in_order() -> None:
    assert SPACE.components == ("primary", "core")
    with pytest.raises(KeyError):
        SPACE["task.replicas"]
    assert Space(()).configured == {}
