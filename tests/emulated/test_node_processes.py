"""Processes of the emulated node: started without a shell, and ended with everything that they have started."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servo_emr.emulator.node.process import Process, start
from tests.support.node import PATIENCE

MARKS = {"TEST_NODE": "", "TEST_STEP": "s-1"}


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a Python program as a process of a node; whatever it does, nothing of it outlives the test."""
    started = []

    def launch(program: str, *arguments: str, step: str = "s-1") -> Process:
        process = start(
            [sys.executable, "-c", program, *arguments],
            environment={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            folder=tmp_path,
            stdout=tmp_path / f"{step}.out",
            stderr=tmp_path / f"{step}.err",
            marks={"TEST_NODE": str(tmp_path), "TEST_STEP": step},
        )
        started.append(process)
        return process

    yield launch
    for process in started:
        process.kill()


def wait_for(path: Path) -> str:
    """The text of a file that a process is about to write, whole lines only."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text(encoding="utf-8")).endswith("\n"):
            return text
        time.sleep(0.01)
    raise AssertionError(f"{path.name} was not written")


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_the_exit_status_is_the_commands(launch: Callable[..., Process]) -> None:
    process = launch("raise SystemExit(3)")
    assert process.wait(PATIENCE) == 3
    assert process.poll() == 3


def test_waiting_gives_up_after_the_timeout(launch: Callable[..., Process]) -> None:
    process = launch("import time; time.sleep(600)")
    assert process.wait(0.01) is None
    assert process.poll() is None
    process.kill()
    assert process.poll() == -signal.SIGKILL


def test_standard_input_is_empty_and_the_output_goes_to_the_two_files(
    launch: Callable[..., Process], tmp_path: Path
) -> None:
    program = "import sys; print(repr(sys.stdin.read())); print('complaint', file=sys.stderr)"
    assert launch(program).wait(PATIENCE) == 0
    assert (tmp_path / "s-1.out").read_text(encoding="utf-8") == "''\n"
    assert (tmp_path / "s-1.err").read_text(encoding="utf-8") == "complaint\n"


def test_nothing_of_this_environment_is_inherited(
    launch: Callable[..., Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "of the servo")
    assert launch("import os; print(sorted(os.environ))").wait(PATIENCE) == 0
    names = (tmp_path / "s-1.out").read_text(encoding="utf-8")
    assert names == "['HOME', 'LC_CTYPE', 'PATH', 'TEST_NODE', 'TEST_STEP']\n"


def test_a_command_that_does_not_exist_ends_with_127_and_says_so(tmp_path: Path) -> None:
    process = start(
        ["no-such-command", "x"],
        environment={"PATH": "/usr/bin:/bin"},
        folder=tmp_path,
        stdout=tmp_path / "out",
        stderr=tmp_path / "err",
        marks=MARKS,
    )
    assert (process.poll(), process.wait(0), process.session) == (127, 127, None)
    assert "'no-such-command'" in (tmp_path / "err").read_text(encoding="utf-8")
    process.kill()
    assert process.poll() == 127


KERNEL = """
import os, subprocess, sys
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(sleep, start_new_session=True, env=None if sys.argv[1] == "marked" else {})
print(child.pid, flush=True)
if sys.argv[2] == "stays":
    child.wait()
"""


@pytest.mark.parametrize("environment", ["marked", "cleared"])
def test_a_kernel_in_a_session_of_its_own_is_killed_with_its_parent(
    launch: Callable[..., Process], tmp_path: Path, environment: str
) -> None:
    process = launch(KERNEL, environment, "stays")
    kernel = int(wait_for(tmp_path / "s-1.out"))
    assert os.getsid(kernel) != process.session
    process.kill()
    assert not alive(kernel)
    assert process.poll() == -signal.SIGKILL


def test_a_stopped_kernel_whose_parent_has_ended_is_killed(launch: Callable[..., Process], tmp_path: Path) -> None:
    process = launch(KERNEL, "marked", "leaves")
    kernel = int(wait_for(tmp_path / "s-1.out"))
    assert process.wait(PATIENCE) == 0
    os.kill(kernel, signal.SIGSTOP)
    assert alive(kernel)
    process.kill()
    assert not alive(kernel)
    assert process.poll() == 0


def test_a_child_without_the_marks_is_known_by_the_session_after_its_parent_has_ended(
    launch: Callable[..., Process], tmp_path: Path
) -> None:
    process = launch(
        "import subprocess, sys\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "print(subprocess.Popen(sleep, env={}).pid, flush=True)"
    )
    child = int(wait_for(tmp_path / "s-1.out"))
    assert process.wait(PATIENCE) == 0
    process.kill()
    assert not alive(child)


def test_a_process_that_is_another_one_at_every_look_is_killed(launch: Callable[..., Process], tmp_path: Path) -> None:
    program = (
        "import os, time\n"
        "for generation in range(10000):\n"
        "    time.sleep(0.03)\n"
        "    if os.fork():\n"
        "        os._exit(0)\n"
        "    os.setsid()\n"
        "    if generation == 3:\n"
        "        print('running', flush=True)\n"
    )
    process = launch(program)
    wait_for(tmp_path / "s-1.out")
    process.kill()
    mark = f"TEST_NODE={tmp_path}".encode()
    left = [path for path in Path("/proc").glob("[0-9]*/environ") if mark in _read(path)]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_processes_of_another_step_live_on(launch: Callable[..., Process]) -> None:
    sleep = "import time; time.sleep(600)"
    one, other = launch(sleep), launch(sleep, step="s-10")
    one.kill()
    assert (one.poll(), other.poll()) == (-signal.SIGKILL, None)


def test_killing_what_has_ended_does_nothing(launch: Callable[..., Process]) -> None:
    process = launch("pass")
    assert process.wait(PATIENCE) == 0
    assert process.session is not None
    process.kill()
    process.kill()
    assert (process.poll(), process.wait(), process.session) == (0, 0, None)
