"""Objects of any size over HTTP, with a real SDK: refused by their size, and memory stays where it is."""

from __future__ import annotations

import contextlib
import gzip
import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from servo_emr.aws.door import Door
from servo_emr.aws.ec2 import gunzip_tail
from servo_emr.aws.step_logs import S3StepLogs
from servo_emr.aws.workspace import S3Workspace
from servo_emr.domain.errors import Reason, RunError, TooLarge
from servo_emr.domain.run import Observation, RunState
from servo_emr.domain.spec import MetricSpec
from servo_emr.lifecycle.guards import Ceilings
from servo_emr.lifecycle.watch import Watch
from servo_emr.notebook.evidence import NotebookEvidence
from tests.support.memory import MemoryWorkspace
from tests.support.peak import growth_mib
from tests.support.samples import KEY, RUN_ID, SPEC, notebook, result_json
from tests.support.scripted_target import Script, ScriptedTarget
from tests.support.simclock import SimClock

HUGE = 300 * 1024 * 1024
LIMIT = 50 * 1024 * 1024
PIECE = b" " * (1 << 20)


class Store:
    """An S3 whose every object is HUGE, and is made while it is sent. `told`: whether it says so beforehand."""

    def __init__(self) -> None:
        self.told = True
        self.sent = 0
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("ETag", '"huge"')
                if store.told:
                    self.send_header("Content-Length", str(HUGE))
                self.end_headers()
                with contextlib.suppress(OSError):  # whoever asked has had enough
                    for _ in range(HUGE // len(PIECE)):
                        self.wfile.write(PIECE)
                        store.sent += len(PIECE)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    made = Store()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{made.server.server_address[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


async def get_the_huge() -> int:
    workspace = S3Workspace(Door("us-east-1"), "s3://acme-servo/nightly")
    with pytest.raises(TooLarge) as refused:
        await workspace.get(RUN_ID, "output.ipynb", limit=LIMIT)
    assert refused.value.limit == LIMIT
    return refused.value.size


@pytest.mark.parametrize("told", [True, False], ids=["of a size that is told", "of a size that nobody tells"])
async def test_an_executed_notebook_of_300_megabytes_is_refused_before_it_is_read(store: Store, told: bool) -> None:
    store.told = told
    assert growth_mib(get_the_huge) < 250, "a notebook of 50 MiB at most, and what reading it takes"
    if told:
        assert store.sent <= 16 * 1024 * 1024, "what the sockets take before the connection is given up"
        assert await get_the_huge() == HUGE


async def test_a_document_and_a_notebook_of_300_megabytes_are_refused_by_name(store: Store) -> None:
    workspace = S3Workspace(Door("us-east-1"), "s3://acme-servo/nightly")
    with pytest.raises(RunError, match=f"records/dt=2026-11-20/{RUN_ID}") as record:
        await workspace.record(RUN_ID)
    with pytest.raises(RunError, match=r"etl\.ipynb has 314572800 bytes") as job:
        await workspace.read("s3://acme-notebooks/etl.ipynb")
    assert (record.value.reason, job.value.reason) == (Reason.BUCKET, Reason.NOTEBOOK)
    logs = await S3StepLogs(Door("us-east-1")).read("s3://acme-servo/logs", "j-1", "s-1")
    assert ["too large to be shown, 314572800 bytes" in str(log.text) for log in logs] == [True, True, True]


def unpack_the_packed() -> None:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        for _ in range(200):
            file.write(PIECE)
        file.write(b"the end")
    assert gunzip_tail(packed.getvalue(), 100).endswith("the end")
    endless = gunzip_tail(packed.getvalue() * 6, 100)  # a gzip file may have several members
    assert endless.endswith("[only the first 1024 MiB were unpacked]")


def test_a_log_that_packs_a_thousand_to_one_is_unpacked_a_piece_at_a_time_and_not_without_end() -> None:
    assert growth_mib(unpack_the_packed) < 20


METRICS = replace(SPEC, job=replace(SPEC.job, metrics=(MetricSpec("rows", "notebook", "rows", "count"),)))


@pytest.mark.parametrize(
    "output",
    [
        b"[" * 100_000,
        notebook({"output_type": "stream", "name": "stdout", "text": 5}),
        notebook({"output_type": "display_data", "data": [1], "metadata": {}}),
        notebook({"name": "no type"}),
        notebook().replace(b'"duration": 1.5', b'"duration": NaN'),
        notebook().replace(b'{"status": "completed", "duration": 1.5}', b'"text"'),
    ],
    ids=["nested", "text is a number", "data is a list", "no type", "NaN for a duration", "metadata is text"],
)
async def test_whatever_stands_in_the_executed_notebook_is_evidence_or_a_problem_and_fits_a_record(
    output: bytes,
) -> None:
    workspace = MemoryWorkspace()
    await workspace.put(RUN_ID, "result.json", result_json())
    await workspace.put(RUN_ID, "output.ipynb", output)
    evidence = await NotebookEvidence(workspace).collect(RUN_ID, METRICS, ("rows",))
    assert evidence.metrics == {}
    assert evidence.problem is None or evidence.problem.reason is Reason.NO_RESULT
    await workspace.write("facts", dict(evidence.facts), None)  # refuses what JSON cannot say


@pytest.mark.parametrize(
    "progress",
    [b"[" * 100_000, b"x" * 1_000_000, b"[]", b'{"cell": "NaN", "cells": 1}', b'{"cell": 1e999, "cells": 1}', b"\xff"],
    ids=["nested", "huge", "a list", "text", "infinite", "no text"],
)
async def test_whatever_stands_in_progress_json_ends_no_run(progress: bytes) -> None:
    clock = SimClock()
    target, workspace, warned = ScriptedTarget(clock, Script()), MemoryWorkspace(), []
    handle = target.launch(SPEC, KEY)
    await workspace.put(KEY.run_id, "progress.json", progress)
    watch = Watch(target, workspace, clock, lambda told: None, warned.append)

    async def entered(state: RunState) -> None:
        """Nobody minds."""

    look = await watch.until_decided(handle, SPEC, Ceilings(SPEC, clock.now(), 1.0), entered)
    assert isinstance(look, Observation)
    assert look.steps_ended
    assert any("progress.json" in text for text in warned)
