"""F25 and F26: what goes wrong in the job itself, and on the node before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.rig import GOOD, Job, Rig, scrap
from tests.support.samples import notebook, result_json

Make = Callable[..., Rig]

NO_NUMBERS: dict[str, Any] = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "negative": -1.5,
    "text": "0.9",
    "truth": True,
    "null": None,
    "list": [1],
    "huge": 10**400,
}


async def test_f25_a_step_that_hangs_is_ended_at_its_limit(rig: Make) -> None:
    """In the job: a step that never ends is ended by the servo's own deadline, and its configuration is to blame."""
    scene = rig()
    scene.shop.faults({"kind": "stuck", "phase": "step"})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "configuration/job-timeout")
    assert scene.shop.struck() == 1
    (cluster,) = scene.clusters()
    lived = cluster["Status"]["Timeline"]["EndDateTime"] - cluster["Status"]["Timeline"]["CreationDateTime"]
    assert lived.total_seconds() < 960 + 30 * 60, "the job's own limit and 30 minutes"
    assert scene.holds() == []


async def test_f25_a_metric_that_is_no_plain_number_never_reaches_the_wire(rig: Make) -> None:
    """In collecting: NaN, infinity, a negative number, text and the like, or nothing, are left out, and named as
    missing; what is a number beside them is reported."""
    wanted = {name: {"from": "notebook", "name": name} for name in [*NO_NUMBERS, "fine", "absent"]}
    output = notebook(*(scrap(name, value) for name, value in NO_NUMBERS.items()), scrap("fine", 0.5))
    scene = rig(Job(output=output), job__metrics=wanted)
    answer = await scene.cycle(["duration", *wanted])
    assert answer["status"] == "ok"
    assert sorted(answer["metrics"]) == ["duration", "fine"]
    assert all(name in answer["annotations"]["warnings"] for name in [*NO_NUMBERS, "absent"])
    assert scene.records()[0]["metrics"].keys() == {"duration", "fine"}
    assert scene.holds() == []


ENDS: dict[str, tuple[Job, str]] = {
    "the kernel is killed": (
        Job(lambda run_id: result_json(run_id, "failed", ename="DeadKernelError", kernel_died=True, kernel_exit=-9)),
        "configuration/out-of-memory",
    ),
    "a cell error that leaves the metadata clean": (
        Job(
            output=notebook(
                {"output_type": "error", "ename": "KeyError", "evalue": "'a'", "traceback": ["KeyError: 'a'"]}
            )
        ),
        "job/cell-error",
    ),
    "result.json is missing": (Job(lambda run_id: None), "job/no-result"),
    "result.json is another run's": (Job(lambda run_id: result_json()), "job/no-result"),
    "result.json is nested without end": (Job(lambda run_id: b"[" * 200_000), "job/no-result"),
    "result.json is huge": (Job(lambda run_id: result_json(run_id, evalue="x" * 2_000_000)), "job/no-result"),
    "the executed notebook is missing": (Job(output=None), "job/no-result"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_f25_a_job_that_did_not_earn_a_number_gives_none(rig: Make, end: str) -> None:
    """In collecting: whatever the job has left that proves no success is a failure with its cause, and no number."""
    job, reason = ENDS[end]
    scene = rig(job)
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", reason)
    assert answer["message"].splitlines()[-1].startswith("run=2")
    assert scene.records()[0]["cost"]["usd"] > 0, "a failure costs what it cost"
    assert scene.holds() == []


async def test_f25_an_executed_notebook_without_bounds_costs_its_own_metrics_and_no_memory(rig: Make) -> None:
    """In collecting: an executed notebook beyond 50 MiB is not read; the duration stands, its metrics are missing."""
    scene = rig(Job(output=b" " * (51 * 1024 * 1024)))
    answer = await scene.cycle(["duration", "accuracy"])
    assert (answer["status"], list(answer["metrics"])) == ("ok", ["duration"])
    (record,) = scene.records()
    assert record["missing"]["accuracy"] == "the executed notebook is too large to be read back: more than 50 MiB"
    assert scene.holds() == []


async def test_f25_endless_text_stays_in_the_account_and_out_of_the_record(rig: Make) -> None:
    """In collecting: 8 MB of output and a traceback of 900 kB; the record and the answer stay small."""
    printed = {"output_type": "stream", "name": "stdout", "text": "x" * 8_000_000}
    failed = Job(
        lambda run_id: result_json(run_id, "failed", ename="E" * 4_000, evalue="v" * 4_000, traceback="t" * 900_000),
        notebook(*GOOD, printed),
    )
    scene = rig(failed)
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "job/cell-error")
    assert len(answer["message"]) < 500
    (key,) = [key for key in scene.account.keys(f"{scene.workspace}/records") if key.endswith(".json")]
    assert len(scene.account.read(f"{scene.workspace}/records/{key}")) < 200_000
    assert scene.holds() == []


async def test_f26_a_node_on_which_papermill_cannot_be_installed_is_a_failure_of_the_environment(rig: Make) -> None:
    """In bootstrapping: pip fails on every cluster; no step is paid for, and the failure names the bootstrap action."""
    scene = rig()
    words = "On the master instance (i-0a1b), bootstrap action 1 returned a non-zero return code"
    scene.shop.faults({"kind": "bootstrap-failure", "message": words})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "environment/bootstrap")
    clusters = scene.clusters()
    assert 1 <= len(clusters) <= 4
    steps = [step for c in clusters for step in scene.account["emr"].list_steps(ClusterId=c["Id"])["Steps"]]
    assert {step["Status"]["State"] for step in steps} == {"CANCELLED"}
    assert scene.holds() == []
