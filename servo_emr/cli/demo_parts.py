"""What the demo starts beside the emulator: the bundled optimizer and a real `servo run`, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from servo_emr.domain.errors import Reason, failure

__all__ = ["Servo", "optimizer", "servo", "statuses"]

_PREFIX = "listening on "
_PACE_S = 0.5
_TAIL = 6000
APPLICATION = "example.com/demo"


@contextlib.contextmanager
def optimizer(folder: Path, configuration: Path, words: Sequence[str]) -> Iterator[dict[str, str]]:
    """The bundled optimizer, ended with the block; the environment of a servo that is to be driven by it.

    Args:
        folder: where its study and its log are.
        configuration: the servo.yaml that says what a recommended cluster has beside its settings.
        words: its command line, but for the port and the storage.

    Raises:
        RunError: it did not start.
    """
    known = {"OPSANI_OPTIMIZER": APPLICATION, "OPSANI_TOKEN": secrets.token_urlsafe(16)}
    command = [
        sys.executable,
        "-m",
        "servo_emr.cli",
        "-c",
        str(configuration),
        "optimizer",
        "--port",
        "0",
        "--with-parent",
    ]
    command += ["--storage", f"sqlite:///{folder / 'study.db'}", *words]
    with (folder / "optimizer.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **known},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith(_PREFIX):
                raise _broken("the optimizer did not start", folder / "optimizer.log")
            yield {**known, "OPSANI_BASE_URL": line.removeprefix(_PREFIX).strip()}
        finally:
            _end(process, signal.SIGTERM)


class Servo:
    """A `servo run` under way; its words are in `log`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log

    def must_live(self) -> None:
        """Raises RunError when it has ended."""
        if self._process.poll() is not None:
            raise _broken(f"servo run ended with status {self._process.returncode}", self._log)


@contextlib.contextmanager
def servo(configuration: Path, folder: Path, environment: dict[str, str]) -> Iterator[Servo]:
    """A real `servo run`, ended with the block as a supervisor would: it releases what it has launched."""
    log = folder / "servo.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("servo")), "-c", str(configuration), "run"],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Servo(process, log)
        finally:
            _end(process, signal.SIGTERM)


def statuses(url: str, running: Servo) -> Iterator[dict[str, Any]]:
    """The optimizer's status again and again, until the best settings are applied; that is the last one.

    Raises:
        RunError: the servo has ended, or the optimizer waits for a person.
    """
    with httpx.Client(base_url=url, timeout=30.0, trust_env=False) as client:
        while True:
            answer = client.get("/status.json")
            answer.raise_for_status()
            status: dict[str, Any] = answer.json()
            yield status
            if status["state"] == "stopped":
                raise failure(Reason.BUG, f"the optimizer stopped: {status['why']}")
            if status["state"] == "settled" and status["best"] is None:
                raise failure(Reason.BUG, f"nothing could be measured: {status['why']}")
            if status["state"] == "settled" and status["applied"]:
                return
            running.must_live()
            time.sleep(_PACE_S)


def _end(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    process.send_signal(number)
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _broken(what: str, log: Path) -> Exception:
    return failure(Reason.BUG, f"{what}; its log ends:\n{log.read_text(errors='replace')[-_TAIL:]}")
