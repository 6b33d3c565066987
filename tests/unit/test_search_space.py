"""What may be tried: servox's descriptions as spaces, and what of a large one is weighed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servo_emr.optimizer.search.space import GROUND, Dimension, Space

TYPES = ("m5.xlarge", "c5.xlarge", "r5.xlarge")


def description(**changes: Any) -> dict[str, Any]:
    """One primary node, pinned, and a core group; `changes` replace settings of the core group."""
    core = {
        "inst_type": {"type": "enum", "values": list(TYPES), "value": "m5.xlarge", "pinned": False},
        "replicas": {"type": "range", "min": 2, "max": 12, "step": 2, "value": 4, "pinned": False},
        **changes,
    }
    primary = {
        "inst_type": {"type": "enum", "values": ["m5.xlarge", "m5.2xlarge"], "value": "m5.xlarge", "pinned": True}
    }
    return {"application": {"components": {"primary": {"settings": primary}, "core": {"settings": core}}}}


def test_a_pinned_setting_is_a_constant_and_the_others_are_dimensions() -> None:
    space = Space.from_description(description())
    assert space.constants == {"primary.inst_type": "m5.xlarge"}
    assert space.dimensions == (
        Dimension("core.inst_type", "enum", TYPES),
        Dimension("core.replicas", "range", (2, 4, 6, 8, 10, 12)),
    )
    assert space.current == {"primary.inst_type": "m5.xlarge", "core.inst_type": "m5.xlarge", "core.replicas": 4}
    assert space.size == 18


def test_a_configuration_is_the_settings_it_came_from() -> None:
    space = Space.from_description(description())
    chosen = space.settings(("r5.xlarge", 10))
    assert chosen == {"primary.inst_type": "m5.xlarge", "core.inst_type": "r5.xlarge", "core.replicas": 10}
    assert space.configuration(chosen) == ("r5.xlarge", 10)
    assert space.configuration({**chosen, "primary.inst_type": "m5.2xlarge"}) is None


@settings(max_examples=60, deadline=None)
@given(
    low=st.integers(-50, 50),
    span=st.integers(0, 100_000),
    step=st.one_of(st.integers(1, 50), st.floats(0.01, 5), st.none(), st.just(0)),
    part=st.floats(0, 1),
)
def test_no_value_of_a_range_is_out_of_its_bounds_and_the_present_one_is_kept(
    low: int, span: int, step: float | None, part: float
) -> None:
    high, value = low + span, low + int(span * part)
    setting = {"type": "range", "min": low, "max": high, "step": step, "value": value}
    space = Space.from_description(description(cores=setting))
    values = [dimension.values for dimension in space.dimensions if dimension.selector == "core.cores"]
    for number in values[0] if values else (space.constants["core.cores"],):
        assert low <= float(number) <= high + 1e-9
    if values:
        assert value in values[0]
        assert len(values[0]) <= 65
        assert list(values[0]) == sorted(values[0])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "application"),
        ({"application": {"components": {}}}, "no settings"),
        (description(replicas={"type": "range", "min": 5, "max": 2, "step": 1, "value": 4}), "core.replicas"),
        (description(replicas={"type": "range", "min": "2", "max": 5, "value": 4}), "core.replicas: min"),
        (description(inst_type={"type": "enum", "values": [], "value": "x"}), "core.inst_type: values"),
        (description(inst_type={"type": "choice", "value": "x"}), "core.inst_type: type"),
        (description(inst_type={"type": "enum", "values": ["x"]}), "core.inst_type: value"),
        ({"application": {"components": {"core": {"settings": 3}}}}, "core: settings"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused_with_its_place(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Space.from_description(document)


def test_a_small_space_is_weighed_whole() -> None:
    space = Space.from_description(description())
    ground = space.ground(np.random.default_rng(0), [("c5.xlarge", 4)])
    assert len(ground) == len(set(ground)) == space.size


def test_of_a_large_space_a_sample_is_weighed_with_the_neighbours_of_what_matters() -> None:
    wide = {"type": "range", "min": 0, "max": 10_000, "step": 1, "value": 500}
    space = Space.from_description(description(partitions=wide))
    kept = ("r5.xlarge", 8, 500)
    ground = space.ground(np.random.default_rng(0), [kept])
    assert space.size > GROUND == len(ground) == len(set(ground))
    assert ground[0] == kept
    assert {("m5.xlarge", 8, 500), ("c5.xlarge", 8, 500), ("r5.xlarge", 6, 500)} <= set(ground)
    assert ground == space.ground(np.random.default_rng(0), [kept])
    assert ground != space.ground(np.random.default_rng(1), [kept])


def test_only_what_is_listed_is_ever_weighed() -> None:
    listed = (("m5.xlarge", 2), ("c5.xlarge", 4))
    space = Space(Space.from_description(description()).dimensions, {}, None, listed)
    assert space.ground(np.random.default_rng(0), [("r5.xlarge", 2)]) == list(listed)


def test_a_sample_of_a_large_space_has_what_was_not_tried_however_much_was() -> None:
    dimensions = tuple(Dimension(f"a.{name}", "range", tuple(range(1, 31))) for name in "xy")
    where = Space(dimensions)
    tried = [(x, y) for x in range(1, 31) for y in range(1, 31)][:850]
    found = where.ground(np.random.default_rng(0), tried)
    assert set(tried) <= set(found)
    assert len(found) == where.size == len(set(found)), "50 are left, and all are weighed"
    some = where.ground(np.random.default_rng(0), tried[:250])
    assert len(some) == GROUND
    near = set(tried[:250]).union(*(where.neighbours(one) for one in tried[:250]))
    assert len(set(some) - near) >= 20, "some of it is far from all that was tried"


def test_what_a_wider_space_allowed_is_weighed_but_not_allowed() -> None:
    where = Space((Dimension("a.x", "range", tuple(range(1, 601))), Dimension("a.k", "enum", ("b", "c"))))
    assert where.allows((600, "c"))
    assert not where.allows((601, "c"))
    assert not where.allows((1, "d"))
    wider = [(number, "d") for number in range(1, 400)]
    found = where.ground(np.random.default_rng(0), wider)
    assert set(wider) < set(found)
    assert sum(where.allows(one) for one in found) >= GROUND // 2
