"""A one-shot `servo` or `servo-emr` command as a process that can be signalled while it runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.support.launched import launch
from tests.support.servo import PATIENCE

__all__ = ["OneShot"]


class OneShot:
    """Runs in a folder with a servo.yaml. A context manager that leaves no process behind."""

    def __init__(self, folder: Path, environment: Mapping[str, str], program: str, *words: str) -> None:
        self._out, self._err = folder / "stdout", folder / "stderr"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = launch(
                program,
                *words,
                folder=folder,
                environment={**os.environ, **environment},
                stdout=out.fileno(),
                stderr=err.fileno(),
            )

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return self.process.wait(PATIENCE)

    def __enter__(self) -> OneShot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
