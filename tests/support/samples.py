"""Values that tests start from: the run of the sample servo.yaml, and documents of a job."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from servo_emr.domain.run import Observation, RunState, StepLook, StepState, Timeline
from servo_emr.domain.settings import EnumBound, RangeBound, Setting, Space
from servo_emr.domain.spec import ClusterSpec, JobSpec, LimitSpec, NodeGroup, Role, RunKey, RunSpec, Step

__all__ = ["KEY", "RUN_ID", "SPACE", "SPEC", "WORKSPACE", "limited", "look", "notebook", "result_json", "step_look"]

WORKSPACE = "s3://acme-servo/nightly-etl"
RUN_ID = "20261120t101530-0123abcd"
KEY = RunKey(WORKSPACE, "cafe0123", RUN_ID)

SPACE = Space(
    (
        Setting("primary", "inst_type", EnumBound(("m5.xlarge",)), "m5.xlarge", pinned=True),
        Setting("core", "inst_type", EnumBound(("m5.xlarge", "c5.xlarge", "r5.xlarge")), "m5.xlarge"),
        Setting("core", "replicas", RangeBound(2, 12, 2), 4),
    )
)

SPEC = RunSpec(
    region="us-east-1",
    groups=(NodeGroup(Role.PRIMARY, "m5.xlarge", 1), NodeGroup(Role.CORE, "m5.xlarge", 4)),
    cluster=ClusterSpec("emr-7.1.0", log_uri=f"{WORKSPACE}/logs"),
    job=JobSpec("s3://acme-notebooks/etl.ipynb", "{}", "python3", timeout_s=7200.0, expected_s=1200.0),
    steps=(Step("notebook", ("spark-submit", "{run}/run_notebook.py", "{run}/job.json"), measured=True),),
    bootstrap=("{run}/bootstrap.sh", "{run}"),
)


def limited(spec: RunSpec = SPEC, **limits: Any) -> RunSpec:
    """`spec` with these limits and no others."""
    return replace(spec, limits=LimitSpec(**limits))


def step_look(
    state: StepState = StepState.COMPLETED,
    started: float | None = 100.0,
    ended: float | None = 200.0,
    step_id: str = "s-1",
    **failure: str,
) -> StepLook:
    return StepLook(step_id, "notebook", state, Timeline(0.0, started, ended), failure)


def look(*steps: StepLook, state: RunState = RunState.VERIFIED, **fields: Any) -> Observation:
    return Observation(state, Timeline(0.0, 90.0, 260.0), steps, **fields)


def result_json(run_id: str = RUN_ID, status: str = "succeeded", **fields: Any) -> bytes:
    """result.json as the runner on the cluster writes it."""
    document = {
        "schema": 1,
        "run_id": run_id,
        "status": status,
        "cells": 3,
        "cell_index": None,
        "ename": "",
        "evalue": "",
        "traceback": "",
        "kernel_died": False,
        "jvm_lost": False,
        "started_at": "2026-11-20T10:22:30Z",
        "ended_at": "2026-11-20T10:42:30Z",
    }
    return json.dumps({**document, **fields}).encode()


def notebook(*outputs: dict[str, Any], source: str = "print(1)", parameters: str | None = None) -> bytes:
    """A notebook of one code cell with these outputs, and a parameters cell before it if one is given."""
    cells: list[dict[str, Any]] = []
    if parameters is not None:
        cells.append(_code(parameters, {"tags": ["parameters"]}, []))
    cells.append(_code(source, {"papermill": {"status": "completed", "duration": 1.5}}, list(outputs)))
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def _code(source: str, metadata: dict[str, Any], outputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": f"c{len(source)}",
        "execution_count": None,
        "metadata": metadata,
        "source": source,
        "outputs": outputs,
    }
