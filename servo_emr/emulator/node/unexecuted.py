"""The machine of an emulator that executes nothing: bootstrap actions and steps only take their time.

Stands behind the world's `Machine` where durations are planned. There are no nodes and no processes; a step's logs say
that it was not executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from servo_emr.emulator.node.logs import Logs, step_began, step_ended
from servo_emr.emulator.world.events import Job
from servo_emr.emulator.world.records import Cluster, Instance, Step

__all__ = ["NothingExecuted", "UnexecutedMachine"]

_OUTCOME = "not executed: this emulator only gives steps their time (--no-execute)"


@dataclass(frozen=True)
class NothingExecuted:
    """Stands where a process would: one that has ended well before anybody asks."""

    exit_status: int = 0
    finished_at: float = 0.0

    def kill(self) -> None:
        """There is nothing to end."""


class UnexecutedMachine:
    """Any number of clusters. `root` is the emulator's scratch folder, which stays empty."""

    def __init__(self, root: Path, logs: Logs) -> None:
        self._root = root
        self._logs = logs

    def boot(self, cluster: Cluster) -> None:
        """A cluster has no node here."""

    def bootstrap(self, cluster: Cluster, index: int) -> Job:
        return NothingExecuted()

    def step(self, cluster: Cluster, step: Step) -> Job:
        return NothingExecuted()

    def outcome(self, job: Job) -> str:
        return _OUTCOME

    def log_file(self, cluster: Cluster, step: Step) -> str | None:
        return self._logs.error_log(cluster, step)

    def publish_step(self, cluster: Cluster, step: Step, keep: float = 1.0) -> None:
        controller = step_began(cluster, step) + step_ended(step, _OUTCOME, None)
        files = {"controller": controller.encode(), "stdout": b"", "stderr": b""}
        self._logs.put_step(cluster, step, files, keep)

    def publish_bootstrap(self, cluster: Cluster, index: int, instance: Instance, keep: float = 1.0) -> None:
        self._logs.put_bootstrap(cluster, index, instance, {"stdout": b"", "stderr": f"{_OUTCOME}\n".encode()}, keep)

    def shut_down(self, cluster: Cluster) -> None:
        """There is nothing to end."""

    def close(self) -> None:
        """Removes the scratch folder."""
        self._root.rmdir()
