"""A supervisor: runs `servo run` and starts it again whenever it ends, as Kubernetes would."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.support.launched import Launched, launch
from tests.support.servo import PATIENCE, until

__all__ = ["Supervisor"]

_PAUSE_S = 0.1  # between an end and the next start
_MOST_STARTS = 30  # a crash loop is a finding, and no reason to go on


class Supervisor:
    """`servo -c FOLDER/servo.yaml run` under restart. A context manager; methods may be called from any thread.

    `starts` counts the processes, `statuses` holds the exit status of those that have ended (-9 for a SIGKILL).
    """

    def __init__(self, folder: Path, optimizer_url: str, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {**os.environ, **environment, "OPSANI_BASE_URL": optimizer_url}
        self._restart = True
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.starts = 0
        self.statuses: list[int] = []
        self.process = self._start()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether a servo runs now."""
        return self.process.poll() is None

    @property
    def log(self) -> str:
        """What all of them have said so far, on both streams."""
        return (self._folder / "servo.log").read_text()

    def send(self, number: signal.Signals) -> None:
        """Signals the servo that runs now."""
        with self._lock:
            if self.process.returncode is None:
                self.process.send_signal(number)

    def hold(self) -> None:
        """Whoever ends from now on is not started again."""
        with self._lock:
            self._restart = False

    def ended(self) -> int:
        """Waits for the end of a servo that is not started again; its exit status."""
        until("the servo has ended", self._over.is_set)
        return self.statuses[-1]

    def stop(self) -> int:
        """Ends it by SIGTERM, and starts none again; the exit status. Never leaves a process behind."""
        self.hold()
        self.send(signal.SIGTERM)
        if not self._over.wait(PATIENCE):
            self.send(signal.SIGKILL)
            self._over.wait(PATIENCE)
            raise AssertionError(f"the servo did not end {PATIENCE:g} s after SIGTERM; its log ends {self.log[-4000:]}")
        self._thread.join()
        return self.statuses[-1]

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> Launched:
        self.starts += 1
        with (self._folder / "servo.log").open("a") as log:
            return launch(
                "servo",
                "-c",
                str(self._folder / "servo.yaml"),
                "run",
                folder=self._folder,
                environment=self._environment,
                stdout=log.fileno(),
            )

    def _supervise(self) -> None:
        while True:
            self.statuses.append(self.process.wait())
            threading.Event().wait(_PAUSE_S)
            with self._lock:
                if not self._restart or self.starts >= _MOST_STARTS:
                    self._over.set()
                    return
                self.process = self._start()
