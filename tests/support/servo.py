"""Real `servo` and `servo-emr` commands as processes, each in a folder and with an environment of its own."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.support.launched import launch, run

__all__ = ["PATIENCE", "ServoRun", "command", "configuration", "until", "write_configuration"]

PATIENCE = 120.0  # real seconds: a bound on a hang, no expectation

_EMR: dict[str, Any] = {
    "region": "us-east-1",
    "workspace": "s3://acme-servo/nightly",
    "job": {
        "notebook": "job.ipynb",
        "parameters": {"mode": "ok", "nodes": "{core.replicas}"},
        "metrics": {
            "accuracy": {"from": "notebook", "name": "accuracy"},
            "speed": {"from": "output", "pattern": r"rate=([\d.]+)", "unit": "rps"},
        },
    },
    "cluster": {
        "release_label": "emr-7.1.0",
        "applications": ["Hadoop"],
        "log_uri": "s3://acme-servo/nightly/logs",
    },
    "components": {
        "primary": {"inst_type": {"values": ["m5.xlarge"], "value": "m5.xlarge", "pinned": True}},
        "core": {
            "inst_type": {"values": ["m5.xlarge", "c5.xlarge"], "value": "m5.xlarge"},
            "replicas": {"min": 1, "max": 6, "value": 2},
        },
    },
    "limits": {"provisioning": "3h"},  # emulated hours pass while a loaded machine thinks
}


def configuration(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A servo.yaml as a document, with `changes` by dotted path below `emr`; None takes a key away."""
    emr = copy.deepcopy(_EMR)
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        section = emr
        for name in parents:
            section = section.setdefault(name, {})
        if value is None:
            del section[last]
        else:
            section[last] = value
    return {"optimizer": {"id": "example.com/nightly", "token": "s3cret"}, "connectors": ["emr"], "emr": emr}


def write_configuration(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Writes servo.yaml into a folder."""
    path = folder / "servo.yaml"
    path.write_text(yaml.safe_dump(configuration(changes), sort_keys=False))
    return path


def command(
    program: str, *arguments: str, folder: Path, environment: Mapping[str, str], patience: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Runs `servo` or `servo-emr` to its end."""
    whole = {**os.environ, **environment}
    return run(program, *arguments, folder=folder, environment=whole, patience=patience)


class ServoRun:
    """A `servo run` in a folder with a servo.yaml, driven by the optimizer at a URL. Usable as a context manager."""

    def __init__(self, folder: Path, optimizer_url: str, environment: Mapping[str, str]) -> None:
        self._log = folder / "servo.log"
        with self._log.open("w") as log:
            self.process = launch(
                "servo",
                "-c",
                str(folder / "servo.yaml"),
                "run",
                folder=folder,
                environment={**os.environ, **environment, "OPSANI_BASE_URL": optimizer_url},
                stdout=log.fileno(),
            )

    @property
    def log(self) -> str:
        """What it has said so far, on both streams."""
        return self._log.read_text()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> int:
        """Ends it as a supervisor would, by SIGTERM; its exit status, which is servox's and always 1."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def __enter__(self) -> ServoRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def until(what: str, condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Asks until the condition gives something, and returns that."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"after {patience:g} s still not: {what}")
