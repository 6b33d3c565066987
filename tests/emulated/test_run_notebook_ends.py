"""The runner on this machine, with real papermill and kernels: every way a notebook can end, and what is left behind.

Jobs and notebooks lie in a temporary folder; S3 is another file's matter.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import servo_emr
from servo_emr.notebook.results import ResultStatus, read_notebook, read_result
from servo_emr.notebook.step import job_document

RUNNER = Path(servo_emr.__file__).parent / "notebook" / "cluster" / "run_notebook.py"
RUN_ID = "20261120t101530-0123abcd"
MARKDOWN = "markdown"
BANNER = "papermill-error-cell-tag"


def cell(source: str, kind: str = "code", tags: tuple[str, ...] = ()) -> dict[str, Any]:
    made: dict[str, Any] = {"cell_type": kind, "metadata": {"tags": list(tags)}, "source": source}
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def notebook(*cells: str | dict[str, Any], kernel: str = "python3") -> bytes:
    spec = {"name": kernel, "display_name": kernel, "language": "python"}
    made = [cell(item) if isinstance(item, str) else item for item in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {"kernelspec": spec}, "cells": made}).encode()


def environments_with(mark: str) -> list[int]:
    """The processes that have `mark` among their environment or arguments, this one left out."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            text = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            dead = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if mark.encode() in text and not dead:
            found.append(int(folder.name))
    return found


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Waits for other processes, which have no clock of ours."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return value


class Run:
    """One job in a folder; `mark` is in the environment of every process of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mark = folder, f"mark-{uuid.uuid4().hex}"
        self.process: subprocess.Popen[str] | None = None

    def start(self, body: bytes | None, timeout_s: float = 60.0, **changes: Any) -> subprocess.Popen[str]:
        if body is not None:
            (self.folder / "input.ipynb").write_bytes(body)
        job = job_document(RUN_ID, str(self.folder), changes.pop("parameters", {}), None, timeout_s) | changes
        (self.folder / "job.json").write_text(json.dumps(job))
        self.process = subprocess.Popen(
            [sys.executable, str(RUNNER), str(self.folder / "job.json")],
            env={**os.environ, "TEST_MARK": self.mark, "TEST_FOLDER": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self.process

    def finish(self) -> int:
        assert self.process is not None
        self.said, _ = self.process.communicate(timeout=290)
        return self.process.returncode

    def __call__(self, body: bytes | None, timeout_s: float = 60.0, **changes: Any) -> int:
        self.start(body, timeout_s, **changes)
        return self.finish()

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    @property
    def result(self) -> Any:
        return read_result((self.folder / "result.json").read_bytes(), RUN_ID)

    @property
    def output(self) -> Any:
        return read_notebook((self.folder / "output.ipynb").read_bytes())

    @property
    def statuses(self) -> list[str]:
        """What papermill wrote of each cell that it ran; its own banners it leaves out."""
        told = [cell["metadata"].get("papermill") for cell in self.read("output.ipynb")["cells"]]
        return [one["status"] for one in told if one]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    left = environments_with(made.mark)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    if made.process is not None and made.process.stdout is not None:
        made.process.stdout.close()
    assert left == [], "no process outlives its run"


LEAVES_PROCESSES = """
import os, subprocess, time
mark = os.environ["TEST_MARK"]
subprocess.Popen(["setsid", "sleep", "3600"])
# Twice forked, in a session of its own, with nothing in its environment: only its arguments carry the mark.
subprocess.run(["sh", "-c", f"setsid sh -c 'sleep 3600; : {mark}' & "], env={"PATH": os.environ["PATH"]})
open(os.environ["TEST_FOLDER"] + "/started", "w").close()
"""


def test_a_notebook_that_runs_through_succeeds_and_leaves_no_process(run: Run) -> None:
    cells = (cell("# Title", MARKDOWN), cell("a = 1", tags=("parameters",)), LEAVES_PROCESSES, "print(a, text)")
    text = 'it\'s "quoted" $HOME `id` {x}\n\N{GREEK SMALL LETTER ALPHA}'
    assert run(notebook(*cells), parameters={"a": [1, 2.5, None, {"b": True}], "text": text}) == 0
    assert run.result.succeeded
    assert (run.read("result.json")["cells"], run.result.cell_index) == (4, None)
    assert set(run.statuses) == {"completed"}
    assert run.output.errors == ()
    assert run.output.streams == f"[1, 2.5, None, {{'b': True}}] {text}\n"
    assert run.read("progress.json") | {"at": ""} == {"schema": 1, "run_id": RUN_ID, "cell": 4, "cells": 4, "at": ""}


def test_a_notebook_that_names_no_language_is_run_in_its_kernels(run: Run) -> None:
    document = json.loads(notebook(cell("a = 1", tags=("parameters",)), "print(a)"))
    document["metadata"] = {}
    assert run(json.dumps(document).encode(), parameters={"a": 2}, kernel="python3") == 0
    assert run.output.streams == "2\n"


def test_a_failing_cell_is_named_as_in_the_input_although_papermill_moves_the_cells(run: Run) -> None:
    canary = "x" * 100_000
    cells = (
        cell("an old error banner", MARKDOWN, tags=(BANNER,)),
        cell("size = 1", tags=("parameters",)),
        "def deep(n):\n    raise ValueError('\\x1b[31m' + 'x' * n)",
        "deep(size)",
        "never = 1",
    )
    assert run(notebook(*cells), parameters={"size": len(canary)}) == 1
    result = run.result
    assert (result.status, result.cell_index, result.ename) == (ResultStatus.FAILED, 3, "ValueError")
    assert run.read("result.json")["cells"] == 5
    assert "deep(size)" in result.traceback
    assert "\x1b" not in result.evalue + result.traceback
    assert (run.folder / "result.json").stat().st_size < 25_000
    assert [(error.index, error.ename) for error in run.output.errors] == [(3, "ValueError")]
    assert run.statuses[-3:] == ["completed", "failed", "pending"]


@pytest.mark.parametrize(
    ("source", "status"),
    [("os._exit(0)", 0), ("os._exit(3)", 3), ("os.kill(os.getpid(), 9)", -9), ("os.abort()", -6)],
)
def test_a_kernel_that_dies_is_a_failure_although_papermill_calls_the_rest_completed_and_its_end_is_told(
    run: Run, source: str, status: int
) -> None:
    assert run(notebook("a = 1", f"import os\n{source}", "b = 1")) == 1
    result = run.result
    assert result.kernel_exit == status
    assert (result.status, result.kernel_died, result.cell_index) == (ResultStatus.FAILED, True, 1)
    assert result.ename == "DeadKernelError"
    assert run.statuses == ["completed", "failed", "pending"]
    assert [error.index for error in run.output.errors] == [1]


def test_leaving_early_by_sys_exit_is_not_success(run: Run) -> None:
    assert run(notebook("import sys\nsys.exit(0)", "b = 1")) == 1
    assert (run.result.status, run.result.ename, run.result.cell_index) == (ResultStatus.FAILED, "SystemExit", 0)


def test_the_time_limit_ends_the_run_and_everything_it_has_started_a_stopped_kernel_too(run: Run) -> None:
    stops = LEAVES_PROCESSES + "import signal\nos.kill(os.getpid(), signal.SIGSTOP)"
    # From the start of the runner: papermill is imported and the kernel started in it, on however slow a machine.
    assert run(notebook("a = 1", stops), timeout_s=15) == 124
    assert (run.folder / "started").exists()
    result = run.result
    assert (result.status, result.cell_index, result.kernel_died) == (ResultStatus.TIMEOUT, 1, False)
    assert result.evalue == "the time limit of 15 s has passed"
    assert run.statuses[1] == "running"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_stop_is_told_as_such_and_leaves_no_process(run: Run, number: signal.Signals, code: int) -> None:
    process = run.start(notebook(LEAVES_PROCESSES + "time.sleep(3600)"))
    until((run.folder / "started").exists)
    process.send_signal(number)
    assert run.finish() == code
    assert (run.result.status, run.result.evalue) == (ResultStatus.TERMINATED, f"stopped by {number.name}")


def test_when_the_runner_is_killed_papermill_and_the_kernel_follow(run: Run) -> None:
    process = run.start(notebook(LEAVES_PROCESSES + "time.sleep(3600)"))
    until((run.folder / "started").exists)
    process.kill()
    process.wait()
    until(lambda: not environments_with(run.mark))
    assert not (run.folder / "result.json").exists()


def test_when_papermill_is_killed_the_result_says_so(run: Run) -> None:
    source = "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(3600)"
    assert run(notebook("a = 1", source)) == 1
    result = run.result
    assert (result.status, result.ename, result.cell_index) == (ResultStatus.ERROR, "PapermillDied", 1)
    assert "signal 9" in result.evalue


ENDLESS = """
import sys
from IPython.display import HTML, display
display(HTML("first"))
for _ in range(200):
    print("x" * 1_000_000, flush=True)
for _ in range(300):
    display(HTML("y" * 100_000))
"""
# ZeroMQ may drop of such a flood what is not read in time; what comes after it is not lost.
AFTERWARDS = """
for number in range(200):
    print("rate=%d" % number, file=sys.stderr if number % 2 else sys.stdout, flush=True)
display(HTML("last"))
"""
# The kernel's parent is the process that runs papermill.
ITS_MEMORY = """
import os
status = open("/proc/%d/status" % os.getppid()).read()
print("peak=%d KiB" % int(status.split("VmHWM:")[1].split()[0]))
"""


def test_f25_a_notebook_that_prints_200_megabytes_fills_neither_memory_nor_the_executed_notebook(run: Run) -> None:
    """In the job, with a real papermill: 200 MB printed and 30 MB shown; papermill stays below 800 MB of memory, the
    executed notebook below 40 MB, and the end of what was printed is in it."""
    assert run(notebook(ENDLESS, AFTERWARDS, ITS_MEMORY), timeout_s=280.0) == 0
    assert (run.folder / "output.ipynb").stat().st_size < 40_000_000
    found = run.output
    assert (found.errors, found.metric_from_output(r"rate=(\d+)")) == ((), 199.0)
    peak = found.metric_from_output(r"peak=(\d+) KiB")
    assert isinstance(peak, float)
    assert peak < 800_000
    text = (run.folder / "output.ipynb").read_text()
    assert "[left out: the notebook printed more than is kept" in text
    assert "[left out: 1000" in text
    assert "first" in text
    assert "last" in text


@pytest.mark.parametrize(
    ("body", "changes", "ename"),
    [
        (None, {}, "FileNotFoundError"),
        (b"not a notebook", {}, "NotJSONError"),
        (notebook("a = 1"), {"kernel": "no-such-kernel"}, "NoSuchKernel"),
        (notebook("a = 1"), {"output": "/nonexistent/output.ipynb"}, "FileNotFoundError"),
    ],
    ids=["no-input", "no-notebook", "no-kernel", "no-output"],
)
def test_what_keeps_the_notebook_from_running_is_an_error_with_its_cause(
    run: Run, body: bytes | None, changes: dict[str, Any], ename: str
) -> None:
    assert run(body, **changes) == 1
    result = run.result
    assert (result.status, result.ename, result.cell_index) == (ResultStatus.ERROR, ename, None)
    assert result.evalue
    assert result.traceback


def test_a_result_that_cannot_be_written_is_a_failure_of_the_step(run: Run) -> None:
    assert run(notebook("a = 1"), result="/nonexistent/result.json") == 3
    assert "cannot write /nonexistent/result.json" in run.said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": 2}, "is not a job of schema 1"),
        ({"timeout_s": 0}, "timeout_s is 0, it must be a number of seconds above 0"),
        ({"timeout_s": True}, "timeout_s is True"),
    ],
)
def test_an_unusable_job_is_refused_with_its_cause(run: Run, changes: dict[str, Any], said: str) -> None:
    assert run(notebook("a = 1"), **changes) == 2
    assert said in run.said
    assert not (run.folder / "result.json").exists()
