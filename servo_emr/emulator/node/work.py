"""The work of the clusters, really done: one node a cluster, a process for each bootstrap action and step, their logs.

Stands behind the world's `Machine`. When something happens on W is not decided here.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from servo_emr.emulator.node.janitor import NODE
from servo_emr.emulator.node.logs import KEPT, Logs, step_began, step_ended
from servo_emr.emulator.node.node import Node, Process
from servo_emr.emulator.world.events import Job
from servo_emr.emulator.world.records import Cluster, Instance, Step

__all__ = ["RealJob", "RealMachine"]

# The jar that runs a script; any other jar that a request may name runs a command.
_SCRIPT_RUNNER = "script-runner.jar"


class RealJob:
    """A process and the moment of its end. `over` is called, without locks, from a thread of its own when it ends."""

    def __init__(self, process: Process, *, cap: float | None, over: Callable[[], None]) -> None:
        self._process = process
        self._over = over
        self._exit_status: int | None = None
        self._finished_at = 0.0
        self._capped = False
        self._timer = threading.Timer(cap, self._reach_cap) if cap is not None else None
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        threading.Thread(target=self._watch, name="emulator-process", daemon=True).start()

    @property
    def exit_status(self) -> int | None:
        return self._exit_status

    @property
    def finished_at(self) -> float:
        return self._finished_at

    def kill(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._process.kill()

    @property
    def outcome(self) -> str:
        status = self._exit_status
        if self._capped:
            return "killed by the emulator: it had run longer than --process-cap allows in real time"
        if status is None:
            return "ended from outside"
        return f"ended by signal {-status}" if status < 0 else f"exit status {status}"

    def _watch(self) -> None:
        status = self._process.wait()
        self._finished_at = time.monotonic()
        if self._timer is not None:
            self._timer.cancel()
        self._exit_status = status
        self._over()

    def _reach_cap(self) -> None:
        self._capped = True
        self._process.kill()


class RealMachine:
    """Nodes below one scratch folder. `endpoint` and `over` (a process has ended) may be called from any thread.

    `buckets` gives the names of the buckets that there are. `cap` is the longest a process may run in real seconds;
    None: no limit. `cores` is what a node's Spark uses.
    """

    def __init__(
        self,
        *,
        root: Path,
        endpoint: Callable[[], str],
        buckets: Callable[[], Sequence[str]],
        logs: Logs,
        cores: int,
        cap: float | None,
        over: Callable[[], None],
    ) -> None:
        self._root = root
        self._endpoint = endpoint
        self._buckets = buckets
        self._logs = logs
        self._cores = cores
        self._cap = cap
        self._over = over
        self._nodes: dict[str, Node] = {}
        self._steps: dict[str, RealJob] = {}  # by the step's id, until its logs have been published

    def boot(self, cluster: Cluster) -> None:
        try:
            self._nodes[cluster.id] = Node(
                cluster_id=cluster.id,
                root=self._folder(cluster) / NODE,
                endpoint=self._endpoint(),
                region=cluster.launch.region,
                cores=self._cores,
                buckets=self._buckets,
            )
        except (ValueError, RuntimeError) as error:
            raise OSError(str(error)) from error

    def bootstrap(self, cluster: Cluster, index: int) -> Job:
        action = cluster.launch.bootstraps[index]
        mark = _bootstrap_mark(index)
        folder = self._log_folder(cluster, mark)
        process = self._nodes[cluster.id].start_script(
            action.path, action.args, mark=mark, stdout=folder / "stdout", stderr=folder / "stderr"
        )
        return RealJob(process, cap=self._cap, over=self._over)

    def step(self, cluster: Cluster, step: Step) -> Job:
        folder = self._log_folder(cluster, step.id)
        (folder / "controller").write_text(step_began(cluster, step), encoding="utf-8")
        node, args = self._nodes[cluster.id], step.request.args
        files = {"stdout": folder / "stdout", "stderr": folder / "stderr"}
        if step.request.jar.rpartition("/")[2] == _SCRIPT_RUNNER:
            process = node.start_script(args[0], args[1:], mark=step.id, **files)
        else:
            process = node.start(args, mark=step.id, **files)
        job = RealJob(process, cap=self._cap, over=self._over)
        self._steps[step.id] = job
        return job

    def outcome(self, job: Job) -> str:
        return job.outcome if isinstance(job, RealJob) else f"exit status {job.exit_status}"

    def log_file(self, cluster: Cluster, step: Step) -> str | None:
        return self._logs.error_log(cluster, step)

    def publish_step(self, cluster: Cluster, step: Step, keep: float = 1.0) -> None:
        job = self._steps.pop(step.id)
        folder = self._log_folder(cluster, step.id)
        with (folder / "controller").open("a", encoding="utf-8") as controller:
            controller.write(step_ended(step, job.outcome, job.exit_status))
        self._logs.put_step(cluster, step, _files(folder), keep)
        shutil.rmtree(folder)

    def publish_bootstrap(self, cluster: Cluster, index: int, instance: Instance, keep: float = 1.0) -> None:
        folder = self._log_folder(cluster, _bootstrap_mark(index))
        self._logs.put_bootstrap(cluster, index, instance, _files(folder), keep)
        shutil.rmtree(folder)

    def shut_down(self, cluster: Cluster) -> None:
        node = self._nodes.pop(cluster.id, None)
        if node is not None:
            node.destroy()
        for step in cluster.steps:
            self._steps.pop(step.id, None)
        if self._folder(cluster).exists():
            shutil.rmtree(self._folder(cluster))

    def close(self) -> None:
        """Ends every node and removes the scratch folder."""
        for node in self._nodes.values():
            node.destroy()
        self._nodes.clear()
        shutil.rmtree(self._root)

    def _folder(self, cluster: Cluster) -> Path:
        return self._root / cluster.id

    def _log_folder(self, cluster: Cluster, name: str) -> Path:
        folder = self._folder(cluster) / "logs" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _bootstrap_mark(index: int) -> str:
    return f"bootstrap-{index + 1}"


def _files(folder: Path) -> Mapping[str, bytes]:
    """The end of every file in the folder, by name."""
    return {path.name: _tail(path) for path in sorted(folder.iterdir())}


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - KEPT))
        return file.read(KEPT)
