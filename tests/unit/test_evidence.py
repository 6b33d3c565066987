"""What a run left behind: success needs result.json of this very run and a notebook without an error."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from servo_emr.domain.errors import Reason
from servo_emr.domain.run import JobEvidence
from servo_emr.domain.spec import MetricSpec
from servo_emr.notebook.evidence import NotebookEvidence
from tests.support.memory import MemoryWorkspace
from tests.support.samples import RUN_ID, SPEC, notebook, result_json

CANARY = "canary-4711"
METRICS = (MetricSpec("rows", "notebook", "rows", "count"), MetricSpec("speed", "output", r"rate=([\d.]+)", "rps"))
FULL = replace(SPEC, job=replace(SPEC.job, metrics=METRICS))
ERROR = {"output_type": "error", "ename": "KeyError", "evalue": CANARY, "traceback": [CANARY]}


def scrap(value: Any) -> dict[str, Any]:
    data = {"application/scrapbook.scrap.json+json": {"name": "rows", "data": value, "encoder": "json", "version": 1}}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


async def collect(
    result: bytes | None, executed: bytes | None, wanted: tuple[str, ...] = ("rows", "speed")
) -> JobEvidence:
    workspace = MemoryWorkspace()
    for name, body in (("result.json", result), ("output.ipynb", executed)):
        if body is not None:
            await workspace.put(RUN_ID, name, body)
    return await NotebookEvidence(workspace).collect(RUN_ID, FULL, wanted)


async def test_a_clean_run_has_no_problem_and_its_metrics() -> None:
    evidence = await collect(result_json(), notebook(scrap(3), stream("rate=2.5\nrate=4.5\n")))
    assert evidence.problem is None
    assert evidence.metrics == {"rows": 3.0, "speed": 4.5}
    assert evidence.missing == {}
    assert evidence.facts["cell_seconds"] == [1.5]


async def test_only_the_wanted_metrics_are_looked_for() -> None:
    evidence = await collect(result_json(), notebook(scrap(3)), wanted=("rows", "cost"))
    assert (evidence.metrics, evidence.missing) == ({"rows": 3.0}, {})


@pytest.mark.parametrize("value", ["many", None, True, float("nan"), float("inf"), -1, [3], 10**400])
async def test_a_metric_that_is_no_number_is_missing_with_a_reason_that_shows_nothing_of_it(value: Any) -> None:
    evidence = await collect(result_json(), notebook(scrap(value), stream("rate=.")))
    assert evidence.problem is None
    assert evidence.metrics == {}
    assert evidence.missing.keys() == {"rows", "speed"}


@pytest.mark.parametrize(
    ("result", "executed", "reason"),
    [
        (None, notebook(), Reason.NO_RESULT),
        (b"{", notebook(), Reason.NO_RESULT),
        (b"\xff", notebook(), Reason.NO_RESULT),
        (b"[]", notebook(), Reason.NO_RESULT),
        (result_json(schema=2), notebook(), Reason.NO_RESULT),
        (result_json(status="fine"), notebook(), Reason.NO_RESULT),
        (result_json(status="absent"), notebook(), Reason.NO_RESULT),
        (result_json("20200101t000000-00000000"), notebook(), Reason.NO_RESULT),
        (result_json(), None, Reason.NO_RESULT),
        (result_json(), b"no notebook", Reason.NO_RESULT),
        (result_json(), notebook(ERROR), Reason.CELL_ERROR),
        (result_json(status="failed", cell_index=3, ename="KeyError", evalue=CANARY), notebook(), Reason.CELL_ERROR),
        (result_json(status="failed", kernel_died=True, kernel_exit=-9), notebook(), Reason.OUT_OF_MEMORY),
        (result_json(kernel_died=True, kernel_exit=-9), notebook(), Reason.OUT_OF_MEMORY),
        (result_json(status="failed", kernel_died=True, kernel_exit=1), notebook(), Reason.STEP_FAILED),
        (result_json(status="failed", kernel_died=True, kernel_exit=-11), notebook(), Reason.STEP_FAILED),
        (result_json(status="failed", ename="DeadKernelError", kernel_died=True), notebook(), Reason.STEP_FAILED),
        (result_json(status="failed", kernel_died=True, kernel_exit="killed"), notebook(), Reason.NO_RESULT),
        (result_json(status="failed", ename="Py4JError", jvm_lost=True), notebook(), Reason.SERVICE_INTERNAL),
        (result_json(status="timeout", cell_index=1), notebook(), Reason.JOB_TIMEOUT),
        (result_json(status="terminated"), notebook(), Reason.INTERRUPTED),
        (result_json(status="error", ename="NoSuchKernel", evalue=CANARY), None, Reason.STEP_FAILED),
    ],
)
async def test_anything_else_is_a_problem_and_none_of_its_text_may_leave_the_account(
    result: bytes | None, executed: bytes | None, reason: Reason
) -> None:
    problem = (await collect(result, executed)).problem
    assert problem is not None
    assert problem.reason is reason
    assert problem.public
    assert CANARY not in problem.public
    assert RUN_ID not in problem.public


async def test_the_error_is_told_whole_inside_the_account() -> None:
    result = result_json(status="failed", cell_index=3, ename="KeyError", evalue=CANARY, traceback=f"Trace {CANARY}")
    evidence = await collect(result, notebook(ERROR))
    assert evidence.problem is not None
    assert CANARY in evidence.problem.message
    assert evidence.problem.public == "KeyError in cell 3"
    assert evidence.facts["cell_error"]["traceback"] == f"Trace {CANARY}"


@pytest.mark.parametrize(
    "ename", [f"secret {CANARY} text", f"{CANARY}\nrun=x cost_usd=0.0000", "E" * 500, "", "<script>", "4711 rows"]
)
async def test_what_is_not_an_exceptions_name_does_not_leave_the_account_as_one(ename: str) -> None:
    for result, executed in (
        (result_json(status="failed", cell_index=2, ename=ename), notebook()),
        (result_json(status="error", ename=ename), notebook()),
        (result_json(), notebook({**ERROR, "ename": ename})),
    ):
        problem = (await collect(result, executed)).problem
        assert problem is not None
        assert CANARY not in problem.public
        assert len(problem.public) < 100
        assert "\n" not in problem.public
        assert problem.public


@pytest.mark.parametrize("ename", ["KeyError", "py4j.protocol.Py4JJavaError", "_Mine", "AnalysisException"])
async def test_an_exceptions_name_may_leave_the_account(ename: str) -> None:
    problem = (await collect(result_json(status="failed", cell_index=0, ename=ename), notebook())).problem
    assert problem is not None
    assert problem.public == f"{ename} in cell 0"


async def test_a_kernel_that_was_not_killed_says_how_it_ended_and_nothing_against_the_cluster() -> None:
    dead = {"status": "failed", "cell_index": 1, "kernel_died": True}
    said = [(await collect(result_json(**dead, kernel_exit=status), notebook())).problem for status in (3, -11, None)]
    assert [problem.public if problem else "" for problem in said] == [
        "the kernel died in cell 1: exit status 3",
        "the kernel died in cell 1: signal 11",
        "the kernel died in cell 1: how is not known",
    ]


async def test_a_notebook_too_large_to_be_read_costs_its_own_metrics_and_not_the_run() -> None:
    read: list[int | None] = []

    class Large(MemoryWorkspace):
        async def get(self, run_id: str, name: str, limit: int | None = None) -> bytes | None:
            read.append(limit)
            return await super().get(run_id, name, limit)

    workspace = Large()
    await workspace.put(RUN_ID, "result.json", result_json())
    await workspace.put(RUN_ID, "output.ipynb", b" " * (60 * 1024 * 1024))
    evidence = await NotebookEvidence(workspace).collect(RUN_ID, FULL, ("rows", "speed"))
    assert evidence.problem is None
    why = "the executed notebook is too large to be read back: more than 50 MiB"
    assert (evidence.metrics, evidence.missing) == ({}, {"rows": why, "speed": why})
    assert evidence.facts == {"result": "succeeded", "notebook": why}
    assert read == [1024 * 1024, 50 * 1024 * 1024], "no more of it is read than can be used"


async def test_while_a_notebook_is_read_the_loop_goes_on() -> None:
    workspace = MemoryWorkspace()
    await workspace.put(RUN_ID, "result.json", result_json())
    await workspace.put(RUN_ID, "output.ipynb", notebook(stream("rate=1.5\n" * 100_000)))
    reading = asyncio.create_task(NotebookEvidence(workspace).collect(RUN_ID, FULL, ("speed",)))
    turns = 0
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    assert (await reading).metrics == {"speed": 1.5}
    assert turns > 3, "reading and parsing on the loop takes fewer turns than this"


async def repeats(*results: bytes | None) -> JobEvidence:
    """What three repeats left, the k-th with rows = k."""
    steps = tuple(replace(SPEC.steps[0], repeat=n) for n in range(1, len(results) + 1))
    spec = replace(FULL, steps=steps, job=replace(FULL.job, repeats=len(results)))
    workspace = MemoryWorkspace()
    for n, result in enumerate(results, 1):
        suffix = "" if n == 1 else f"-{n}"
        if result is not None:
            await workspace.put(RUN_ID, f"result{suffix}.json", result)
        outputs = [scrap(n * n)] + ([] if n == 2 else [stream(f"rate={n}.0")])
        await workspace.put(RUN_ID, f"output{suffix}.ipynb", notebook(*outputs))
    return await NotebookEvidence(workspace).collect(RUN_ID, spec, ("rows", "speed"))


async def test_a_metric_of_several_repeats_is_their_median_and_missing_when_one_lacks_it() -> None:
    evidence = await repeats(result_json(), result_json(), result_json())
    assert evidence.problem is None
    assert evidence.metrics == {"rows": 4.0}
    assert evidence.missing == {"speed": "repeat 2: nothing in the notebook's output matches the pattern"}
    assert [item["metrics"]["rows"] for item in evidence.facts["repeats"]] == [1.0, 4.0, 9.0]


async def test_one_failed_repeat_fails_the_run_and_says_which() -> None:
    evidence = await repeats(result_json(), result_json(status="failed", ename="KeyError", cell_index=1), None)
    assert evidence.problem is not None
    assert evidence.problem.reason is Reason.CELL_ERROR
    assert evidence.facts["repeat"] == 2
