"""A run's states, its record there and back, the length of overlapping steps."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servo_emr.domain.errors import Verdict
from servo_emr.domain.intervals import measured_intervals, measured_seconds, union_seconds
from servo_emr.domain.run import (
    RunRecord,
    RunState,
    StepState,
    Timeline,
)
from servo_emr.domain.spec import Step, plain
from tests.support.samples import RUN_ID, SPEC, step_look

whole = st.integers(0, 300)
intervals = st.lists(st.tuples(whole, whole).map(lambda pair: (float(min(pair)), float(max(pair)))))

RECORD = RunRecord(
    run_id=RUN_ID,
    workspace_id="cafe0123",
    created_at=1_795_000_000.25,
    identity="ab" * 32,
    spec=plain(SPEC),
    notebook_sha256="cd" * 32,
    request={"Name": "servo-emr"},
    state=RunState.VERIFIED,
    cluster_id="j-1",
    verdict=Verdict.JOB,
    reason="job/cell-error",
    message="KeyError in cell 3: 'ø'",
    details={"cell_error": {"evalue": "'ø'", "cell_index": 3}},
    steps=(step_look(StepState.FAILED, Reason="Unknown Error."), step_look(StepState.CANCELLED, None, None, "s-2")),
    timeline=Timeline(1.0, None, 3.5),
    phases={"duration": 100.0},
    metrics={"rows": 3.0},
    missing={"speed": "the job did not report it"},
    units={"rows": "count"},
    cost={"usd": 0.5, "instances": []},
    cost_so_far=0.5,
    settings={"core.replicas": 4, "core.inst_type": "m5.xlarge"},
    warnings=("mind",),
    ended_at=1_795_000_900.0,
)


def test_a_record_comes_back_from_its_json_as_it_was() -> None:
    document = json.loads(json.dumps(RECORD.to_json()))
    assert RunRecord.from_json(document) == RECORD


def test_a_record_that_has_only_begun_comes_back_as_it_was() -> None:
    record = RunRecord(RUN_ID, "", 0.0, "", {}, "")
    assert RunRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize("schema", [2, 0, "1", None, [1]])
def test_a_record_of_another_schema_is_refused_by_name(schema: object) -> None:
    with pytest.raises(ValueError, match=r"has schema .*, this version reads 1") as refused:
        RunRecord.from_json({**RECORD.to_json(), "schema": schema})
    assert repr(schema) in str(refused.value)


@pytest.mark.parametrize("name", ["state", "verdict", "timeline", "steps", "warnings", "run_id", "spec"])
def test_a_record_that_lacks_a_field_is_refused_and_the_field_named(name: str) -> None:
    document = RECORD.to_json()
    del document[name]
    with pytest.raises(ValueError, match=name):
        RunRecord.from_json(document)


@pytest.mark.parametrize(
    "changes",
    [{"state": "asleep"}, {"verdict": "fine"}, {"timeline": 3}, {"steps": [1]}, {"steps": [{}]}, {"surprise": 1}],
)
def test_a_record_with_a_field_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        RunRecord.from_json({**RECORD.to_json(), **changes})


@given(st.sampled_from(RunState), st.sampled_from(RunState))
def test_a_run_only_ever_moves_forward(now: RunState, wanted: RunState) -> None:
    moved = replace(RECORD, state=now).moved(wanted, message="said")
    assert moved.state.order == max(now.order, wanted.order)
    assert moved.message == "said"


def test_only_a_verified_run_costs_nothing_any_more() -> None:
    assert [state for state in RunState if state.terminal] == [RunState.VERIFIED]
    assert [state for state in StepState if not state.ended] == [StepState.PENDING, StepState.RUNNING]


@given(intervals)
def test_the_union_of_intervals_is_what_a_count_second_by_second_gives(spans: list[tuple[float, float]]) -> None:
    seconds = {second for start, end in spans for second in range(int(start), int(end))}
    assert union_seconds(spans) == len(seconds)


@given(intervals, st.randoms(use_true_random=False))
def test_the_union_does_not_depend_on_the_order_and_is_never_above_the_sum(
    spans: list[tuple[float, float]], random: Any
) -> None:
    shuffled = list(spans)
    random.shuffle(shuffled)
    assert union_seconds(shuffled) == union_seconds(spans)
    assert union_seconds(spans) <= sum(end - start for start, end in spans)


def test_an_interval_that_ends_before_it_starts_is_an_error_that_says_by_how_much() -> None:
    with pytest.raises(ValueError, match="ends 2\\.500 s before it starts"):
        union_seconds([(0.0, 1.0), (10.0, 7.5)])


def test_measured_steps_are_found_by_position_even_when_another_step_looks_the_same() -> None:
    twin = Step("notebook", SPEC.steps[0].argv, measured=False)
    spec = replace(SPEC, steps=(twin, SPEC.steps[0]))
    looks = (step_look(started=0.0, ended=50.0, step_id="s-1"), step_look(started=60.0, ended=90.0, step_id="s-2"))
    assert measured_intervals(spec, looks) == [[(60.0, 90.0)]]
    assert measured_seconds(spec, looks) == [30.0]


def test_each_repeat_has_a_duration_of_its_own_and_overlapping_steps_of_one_count_once() -> None:
    step = SPEC.steps[0]
    steps = (step, replace(step, repeat=2), replace(step, repeat=2))
    spec = replace(SPEC, steps=steps, job=replace(SPEC.job, repeats=2))
    looks = tuple(
        step_look(started=started, ended=ended, step_id=f"s-{started}")
        for started, ended in ((0.0, 50.0), (60.0, 90.0), (70.0, 100.0))
    )
    assert measured_seconds(spec, looks) == [50.0, 40.0]
    assert measured_seconds(spec, looks[:2]) is None, "the last step has not ended: there is no number yet"


def test_a_repeat_without_a_measured_step_is_no_spec() -> None:
    with pytest.raises(ValueError, match="every repeat of the job has a measured step"):
        replace(SPEC, job=replace(SPEC.job, repeats=2))


@pytest.mark.parametrize(("started", "ended"), [(None, None), (10.0, None), (None, 10.0)])
def test_there_is_no_duration_while_a_measured_step_has_no_start_or_end(
    started: float | None, ended: float | None
) -> None:
    assert measured_seconds(SPEC, (step_look(started=started, ended=ended),)) is None
    assert measured_seconds(SPEC, ()) is None
