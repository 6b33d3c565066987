"""What a trial brings along: userdata and references. What is not understood is refused, never guessed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.spec import RunSpec, canonical
from servo_emr.domain.trial import references, resolve, with_userdata
from tests.support.samples import SPACE, SPEC


def given_parameters(**values: Any) -> RunSpec:
    return replace(SPEC, job=replace(SPEC.job, parameters=canonical(values)))


SPEC_WITH = given_parameters(sample=0.1, out="s3://b/{run_id}")


def test_no_userdata_and_empty_userdata_change_nothing() -> None:
    assert with_userdata(SPEC_WITH, None) is SPEC_WITH
    assert with_userdata(SPEC_WITH, {}) == SPEC_WITH
    assert with_userdata(SPEC_WITH, {"parameters": None, "deadline_s": None}) == SPEC_WITH


def test_userdata_replaces_parameters_and_sets_the_trials_limits() -> None:
    spec = with_userdata(SPEC_WITH, {"parameters": {"sample": 0.5}, "deadline_s": 60, "max_cost_usd": 0.25})
    assert spec.job.parameter_values == {"sample": 0.5, "out": "s3://b/{run_id}"}
    assert (spec.limits.deadline_s, spec.limits.max_cost_usd) == (60.0, 0.25)
    assert SPEC_WITH.job.parameter_values["sample"] == 0.1


@pytest.mark.parametrize(
    ("userdata", "place"),
    [
        ("parameters", "control.userdata.emr is not"),
        ([], "control.userdata.emr is not"),
        ({"deadline": 60}, 'emr."deadline" is not one of parameters, deadline_s, max_cost_usd'),
        ({1: 2}, 'emr."1"'),
        ({"x" * 10_000: 1}, 'emr."xxx'),
        ({"parameters": {"samples": 1}}, 'parameters."samples" is not in emr.job.parameters (out, sample)'),
        ({"parameters": [1]}, "parameters is not an object"),
        ({"parameters": []}, "parameters is not an object"),
        ({"parameters": "sample=1"}, "parameters is not an object"),
        ({"parameters": ""}, "parameters is not an object"),
        ({"parameters": {"sample": math.nan}}, "what JSON cannot say"),
        ({"parameters": {"sample": math.inf}}, "what JSON cannot say"),
        ({"parameters": {"sample": "\udce9"}}, "what JSON cannot say"),
        ({"parameters": {"sample": object()}}, "what JSON cannot say"),
        ({"deadline_s": math.nan}, "deadline_s is not a number above 0"),
        ({"deadline_s": math.inf}, "deadline_s is not"),
        ({"deadline_s": -1}, "deadline_s is not"),
        ({"deadline_s": 0}, "deadline_s is not"),
        ({"deadline_s": "60"}, "deadline_s is not"),
        ({"deadline_s": True}, "deadline_s is not"),
        ({"deadline_s": 10**400}, "deadline_s is not"),
        ({"max_cost_usd": -0.0}, "max_cost_usd is not"),
        ({"max_cost_usd": [1]}, "max_cost_usd is not"),
    ],
)
def test_userdata_that_is_not_understood_is_refused_by_place(userdata: object, place: str) -> None:
    with pytest.raises(OperatorError) as refused:
        with_userdata(SPEC_WITH, userdata)
    assert refused.value.reason is Reason.USERDATA
    assert place in str(refused.value)
    assert refused.value.public == "userdata refused"
    assert len(str(refused.value)) < 400


def test_a_job_without_parameters_takes_none() -> None:
    with pytest.raises(OperatorError, match="there are none"):
        with_userdata(SPEC, {"parameters": {"sample": 1}})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["parameters", "deadline_s", "max_cost_usd", "sample", "x"]), inner)
        ),
        max_leaves=12,
    )
)
def test_any_userdata_is_either_understood_or_refused(userdata: object) -> None:
    try:
        spec = with_userdata(SPEC_WITH, userdata)
    except OperatorError as error:
        assert error.reason is Reason.USERDATA
        return
    assert spec.job.parameter_values.keys() == {"sample", "out"}
    for limit in (spec.limits.deadline_s, spec.limits.max_cost_usd):
        assert limit is None or 0 < limit < math.inf


def test_references_are_found_at_any_depth_and_nothing_else_is_one() -> None:
    value = {"a": ["{run_id}", {"b": "x{core.replicas}y{core.inst_type}"}], "c": 4, "d": "{} {x} {RUN_ID} {a.B} ${run}"}
    assert references(value) == {"run_id", "core.replicas", "core.inst_type"}
    assert references(None) == references([]) == references({}) == set()


def test_a_text_that_is_one_reference_takes_the_type_of_what_it_refers_to() -> None:
    known = {"core.replicas": 4, "run_id": "r"}
    value = {"n": "{core.replicas}", "t": "n={core.replicas}", "u": "{task.replicas}", "l": ["{run_id}", 1, None]}
    assert resolve(value, known) == {"n": 4, "t": "n=4", "u": "{task.replicas}", "l": ["r", 1, None]}


def test_what_a_reference_gives_is_not_read_for_references_again() -> None:
    assert resolve("a {core.inst_type}", {"core.inst_type": "{run_id}", "run_id": "r"}) == "a {run_id}"


def test_references_in_a_trials_own_parameters_are_filled_like_those_of_servo_yaml() -> None:
    asked = with_userdata(SPEC_WITH, {"parameters": {"sample": "{core.replicas}"}})
    assert SPACE.apply(asked, {"core.replicas": 6}).job.parameter_values["sample"] == 6
