"""Reading result.json and the executed notebook back: success and numbers only where they were earned."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servo_emr.notebook.results import (
    Notebook,
    NoValue,
    ResultStatus,
    UnreadableNotebook,
    read_notebook,
    read_result,
)

RUN_ID = "20261120t101530-0123abcd"
SCRAP = "application/scrapbook.scrap.json+json"
RECORD = "application/papermill.record+json"

RESULT: dict[str, Any] = {
    "schema": 1, "run_id": RUN_ID, "status": "succeeded", "cells": 3, "cell_index": None, "ename": "", "evalue": "",
    "traceback": "", "kernel_died": False, "jvm_lost": False,
    "started_at": "2026-11-20T10:15:30.000Z", "ended_at": "2026-11-20T10:16:30.000Z",
}  # fmt: skip


def encoded(**changes: Any) -> bytes:
    return json.dumps(RESULT | changes).encode()


def test_a_result_of_this_run_that_says_so_is_success() -> None:
    result = read_result(encoded(), RUN_ID)
    assert result.succeeded
    assert (result.cell_index, result.kernel_died, result.kernel_exit, result.why) == (None, False, None, "")


def test_a_failure_carries_its_cell_and_its_texts() -> None:
    changes = {"status": "failed", "cell_index": 2, "ename": "ValueError", "evalue": "no", "traceback": "Traceback"}
    result = read_result(encoded(**changes), RUN_ID)
    assert not result.succeeded
    found = (result.status, result.cell_index, result.ename, result.evalue, result.traceback)
    assert found == (ResultStatus.FAILED, 2, "ValueError", "no", "Traceback")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (None, ResultStatus.ABSENT),
        (b"", ResultStatus.UNREADABLE),
        (b"\xff", ResultStatus.UNREADABLE),
        (b'{"status": "succeeded"', ResultStatus.UNREADABLE),
        (b'"succeeded"', ResultStatus.UNREADABLE),
        (encoded(schema=2), ResultStatus.UNREADABLE),
        (encoded(status="done"), ResultStatus.UNREADABLE),
        (encoded(status="absent"), ResultStatus.UNREADABLE),
        (encoded(cell_index=True), ResultStatus.UNREADABLE),
        (encoded(kernel_exit=True), ResultStatus.UNREADABLE),
        (encoded(cell_index=-1), ResultStatus.UNREADABLE),
        (encoded(run_id="20261119t101530-0123abcd"), ResultStatus.FOREIGN),
        (encoded(run_id=None), ResultStatus.FOREIGN),
    ],
)
def test_no_result_of_this_run_is_never_success_and_says_why(body: bytes | None, status: ResultStatus) -> None:
    result = read_result(body, RUN_ID)
    assert (result.status, result.succeeded) == (status, False)
    assert result.why


@given(st.binary(max_size=60) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_garbage_is_never_success(body: bytes) -> None:
    assert not read_result(body, RUN_ID).succeeded


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": [text]}


def shown(kind: str, content: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": {kind: content}}


def error(ename: str = "ValueError") -> dict[str, Any]:
    return {"output_type": "error", "ename": ename, "evalue": "no", "traceback": ["Trace", "back"]}


def code(
    *outputs: dict[str, Any], tags: tuple[str, ...] = (), mark: int | None = None, **papermill: Any
) -> dict[str, Any]:
    told = {"status": "completed", "duration": 1.5, "exception": False} | papermill
    metadata = {"tags": list(tags), "papermill": told} | ({} if mark is None else {"servo_emr": {"cell": mark}})
    return {"cell_type": "code", "metadata": metadata, "source": "", "outputs": list(outputs), "execution_count": 1}


def put_in(tag: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {"tags": [tag]}, "source": "put in by papermill"}


def executed(*cells: dict[str, Any]) -> Notebook:
    document = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": list(cells)}
    return read_notebook(json.dumps(document).encode())


def scrap(value: Any, name: str = "rows") -> Notebook:
    return executed(code(shown(SCRAP, {"name": name, "data": value, "encoder": "json", "version": 1})))


def test_cells_are_counted_as_in_the_input_without_those_that_papermill_put_in() -> None:
    banner, injected = put_in("papermill-error-cell-tag"), code(tags=("injected-parameters",))
    notebook = executed(banner, code(), injected, code(duration=2.5), banner, code(error(), status="failed"))
    assert notebook.durations == (1.5, 2.5, 1.5)
    assert [(found.index, found.ename, found.traceback) for found in notebook.errors] == [
        (2, "ValueError", "Trace\nback")
    ]


def test_the_runners_marks_count_when_the_input_was_itself_an_output_of_papermill() -> None:
    injected = code(tags=("injected-parameters",), mark=1)
    notebook = executed(code(mark=0), injected, code(error(), mark=2))
    assert notebook.durations == (1.5, 1.5, 1.5)
    assert notebook.errors[0].index == 2


def test_a_cell_that_failed_without_an_output_is_an_error_too() -> None:
    notebook = executed(code(exception=True))
    assert [(found.index, found.ename) for found in notebook.errors] == [(0, "CellExecutionError")]


@pytest.mark.parametrize("body", [None, b"", b"[]", b'{"cells": 1}', b"\xff"])
def test_an_executed_notebook_that_cannot_be_read_is_an_error(body: bytes | None) -> None:
    with pytest.raises(UnreadableNotebook, match="executed notebook"):
        read_notebook(body)


def test_the_last_record_of_a_name_counts_whoever_wrote_it() -> None:
    notebook = executed(
        code(shown(SCRAP, {"name": "rows", "data": 1}), shown(RECORD, {"rows": 2, "speed": 0.5})),
        code(shown(SCRAP, {"name": "rows", "data": 3})),
    )
    assert notebook.metric_from_notebook("rows") == 3.0
    assert notebook.metric_from_notebook("speed") == 0.5


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "NaN"),
        (math.inf, "infinite"),
        (-1, "negative"),
        (True, "true or false"),
        ("12", "text"),
        (None, "null"),
        ([1], "a list"),
        ({"a": 1}, "an object"),
        (10**400, "too large"),
    ],
)
def test_a_record_that_is_no_plain_number_gives_no_metric_and_says_why(value: Any, why: str) -> None:
    found = scrap(value).metric_from_notebook("rows")
    assert isinstance(found, NoValue)
    assert why in found.why


def test_a_record_that_is_not_there_gives_no_metric() -> None:
    found = scrap(1).metric_from_notebook("other")
    assert found == NoValue("the notebook recorded nothing under this name")


def test_a_negative_number_counts_as_none() -> None:
    assert scrap(-0.25).metric_from_notebook("rows") == NoValue("the value is negative")


PATTERN = r"rate=(\S+)"


def test_the_last_match_in_the_output_counts_across_cells_and_streams() -> None:
    notebook = executed(code(stream("rate=1\nra"), stream("te=2\n")), code(stream("rate=3.5 rps\n", "stderr")))
    assert notebook.metric_from_output(PATTERN) == 3.5


@pytest.mark.parametrize("text", ["rate=many", "rate=1_000", "rate=nan", "rate=-inf", "rate=-1", "rat=1", "rate=1,5"])
def test_output_without_a_plain_number_gives_no_metric(text: str) -> None:
    found = executed(code(stream(text))).metric_from_output(PATTERN)
    assert isinstance(found, NoValue)
    assert text.partition("=")[2] not in found.why.split()


def test_only_the_end_of_endless_output_is_kept_and_a_missing_match_says_so() -> None:
    notebook = executed(code(stream("rate=1\n" + "x" * 3_000_000)))
    assert len(notebook.streams) == 1 << 20
    assert notebook.metric_from_output(PATTERN) == NoValue(
        "nothing in the last 1048576 characters of output matches the pattern"
    )


def test_a_pattern_without_a_group_is_refused() -> None:
    with pytest.raises(ValueError, match="has no group"):
        executed(code()).metric_from_output("rate=.*")


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=0))
def test_a_number_comes_back_as_it_was_recorded_and_as_it_was_printed(number: float) -> None:
    assert scrap(number).metric_from_notebook("rows") == number
    assert executed(code(stream(f"rate={number!r}\n"))).metric_from_output(PATTERN) == number
