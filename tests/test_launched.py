"""A forked program shows and returns what one shows and returns that an interpreter has been started for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.launched import launch, run
from tests.support.servo import PATIENCE, until


@pytest.mark.parametrize(
    "words",
    [
        ("servo-emr", "--version"),
        ("servo-emr", "runs", "-n", "none"),
        ("servo-emr", "emulator", "--port", "70000"),
        ("servo-emr", "optimizer", "--help"),
        ("servo", "version"),
        ("servo", "-c", "nothing.yaml", "describe"),
    ],
    ids=" ".join,
)
def test_it_shows_and_returns_the_same(tmp_path: Path, words: tuple[str, ...]) -> None:
    program, *rest = words
    fresh = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *rest],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    forked = run(*words, folder=tmp_path, environment=os.environ, patience=PATIENCE)
    assert (forked.returncode, forked.stdout, forked.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr)
    assert fresh.stdout + fresh.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 0)])
def test_it_takes_signals_and_its_end_is_told_as_often_as_it_is_asked_for(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    words = ("emulator", "--port", "0", "--speed", "0", "--durations", "model")
    with (tmp_path / "said").open("w") as said:
        process = launch("servo-emr", *words, folder=tmp_path, environment=os.environ, stderr=said.fileno())
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on ")
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.send_signal(number)
    assert process.wait(PATIENCE) == process.wait() == process.poll() == status
    assert process.stdout.read() == ""
    process.stdout.close()
    process.send_signal(number)  # which nobody gets
    until("nobody has its id", lambda: not Path(f"/proc/{process.pid}").exists())
