"""The runner of commands, as a process on local paths: its limit, its guard, what it leaves, what it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import servo_emr

RUNNER = Path(servo_emr.__file__).parent / "notebook" / "cluster" / "run_command.py"
RUN_ID = "20261120t101530-0123abcd"


def start(folder: Path, *command: str, **fields: Any) -> subprocess.Popen[bytes]:
    job = {"schema": 1, "run_id": RUN_ID, "command": command, "timeout_s": 60, "result": str(folder / "result.json"),
           "output": str(folder / "output.txt"), **fields}  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job))
    return subprocess.Popen(
        [sys.executable, str(RUNNER), str(folder / "job.json")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run(folder: Path, *command: str, **fields: Any) -> tuple[int, bytes, str]:
    """(exit status, standard output, standard error)"""
    process = start(folder, *command, **fields)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err.decode()


def result(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "result.json").read_text()))


def test_what_a_command_prints_goes_on_and_its_end_is_kept(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.write('a' * 3_000_000 + 'the end'); sys.stderr.write('aside')"
    status, out, err = run(tmp_path, sys.executable, "-c", code)
    assert (status, len(out)) == (0, 3_000_007)
    assert "aside" in err
    kept = (tmp_path / "output.txt").read_bytes()
    assert (len(kept), kept[-8:]) == (1024 * 1024, b"athe end")
    assert (result(tmp_path)["status"], result(tmp_path)["run_id"]) == ("succeeded", RUN_ID)


@pytest.mark.parametrize(
    ("command", "status", "evalue", "exit_status"),
    [(("sh", "-c", "exit 3"), "failed", "exit status 3", 3), (("sh", "-c", "kill -9 $$"), "failed", "signal 9", -9)],
)
def test_how_a_command_failed_is_in_its_result(
    tmp_path: Path, command: tuple[str, ...], status: str, evalue: str, exit_status: int
) -> None:
    assert run(tmp_path, *command)[0] == 1
    told = result(tmp_path)
    assert (told["status"], told["evalue"], told["exit_status"]) == (status, evalue, exit_status)


def test_a_command_that_does_not_exist_leaves_a_result_too(tmp_path: Path) -> None:
    assert run(tmp_path, "no-such-program")[0] == 1
    assert (result(tmp_path)["status"], result(tmp_path)["ename"]) == ("error", "FileNotFoundError")


def test_words_are_words_whatever_is_in_them(tmp_path: Path) -> None:
    words = ("a b", "$(touch hacked)", "'; ls", "{", "\n")
    _, out, _ = run(tmp_path, sys.executable, "-c", "import sys, json; print(json.dumps(sys.argv[1:]))", *words)
    assert tuple(json.loads(out)) == words


@pytest.mark.parametrize(
    ("text", "said"), [("echo by bash: ${0##*/} $1", b"by bash: job.sh x y\n"), ("#!/bin/cat\nx", b"#!/bin/cat\nx")]
)
def test_a_script_is_fetched_and_run_by_its_first_line_else_by_bash(tmp_path: Path, text: str, said: bytes) -> None:
    (tmp_path / "job.sh").write_text(text)
    args = () if text.startswith("#!") else ("x y",)
    status, out, err = run(tmp_path, "{program}", *args, fetch=str(tmp_path / "job.sh"))
    assert (status, out) == (0, said), err


def test_at_the_time_limit_it_says_so_and_leaves_no_process(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"setsid sleep 600 & echo $! > {pid}; sleep 600"
    status, _, err = run(tmp_path, "sh", "-c", code, timeout_s=5)
    assert (status, result(tmp_path)["status"]) == (124, "timeout"), err
    assert gone(int(pid.read_text()))


def test_a_signal_ends_it_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    process = start(tmp_path, "sh", "-c", f"echo $$ > {pid}; sleep 600")
    while not (pid.exists() and pid.read_text().strip()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert (process.returncode, result(tmp_path)["status"]) == (128 + signal.SIGTERM, "terminated")
    assert gone(int(pid.read_text()))


def test_a_command_whose_output_nobody_takes_any_more_still_runs_to_its_end(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.write('a' * 3_000_000 + 'rate=7')"
    process = start(tmp_path, sys.executable, "-c", code)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, result(tmp_path)["status"]) == (0, "succeeded"), err
    assert (tmp_path / "output.txt").read_bytes().endswith(b"rate=7")


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second if it goes between the opening and the reading
        return True


@pytest.mark.parametrize(
    ("before", "status"),
    [
        ({"run_id": RUN_ID, "status": "succeeded"}, 0),
        ({"run_id": RUN_ID, "status": "failed"}, 4),
        ({"run_id": "another", "status": "succeeded"}, 4),
        ([], 4),
        (None, 4),
    ],
)
def test_it_runs_only_on_word_that_the_step_before_succeeded(tmp_path: Path, before: Any, status: int) -> None:
    if before is not None:
        (tmp_path / "before.json").write_text(json.dumps(before))
    ended, out, err = run(tmp_path, "echo", "ran", after=str(tmp_path / "before.json"))
    assert (ended, out == b"ran\n", (tmp_path / "result.json").exists()) == (status, status == 0, status == 0), err
    assert ("left out: " in err) is (status == 4)


def test_without_a_usable_job_it_runs_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, "touch", str(tmp_path / "ran"), timeout_s=-1)[0] == 2
    assert not (tmp_path / "ran").exists()
