"""Idleness of one cluster, and the auto-termination policy that ends it.

As AWS documents it, what keeps a cluster busy is a YARN application or a pending step: a step that runs without
YARN, a shell or a notebook, does not. Not modelled of AWS's list: HDFS in use, notebook and user interface
connections, and the file `isbusy` on the primary node.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from servo_emr.emulator.world.agenda import Agenda
from servo_emr.emulator.world.events import Event
from servo_emr.emulator.world.records import Cluster, StepRequest
from servo_emr.emulator.world.stage import Stage
from servo_emr.emulator.world.step_queue import StepQueue

__all__ = ["Idleness", "uses_yarn"]

_ON_YARN = frozenset(
    {
        "spark-submit", "spark-shell", "spark-sql", "spark-example", "run-example", "pyspark", "sparkR",
        "hadoop", "mapred", "yarn", "hadoop-streaming", "s3-dist-cp",
        "hive", "hive-script", "beeline", "pig", "pig-script", "sqoop", "flink-yarn-session",
    }
)  # fmt: skip
# What runs another command: any word of its arguments may be that.
_RUNS_ANOTHER = frozenset({"bash", "sh", "sudo", "env", "nice", "nohup", "time", "timeout"})


class Idleness:
    """Watches from the moment the cluster is ready; `idled` is called each time it has been idle for the timeout."""

    def __init__(
        self, cluster: Cluster, stage: Stage, agenda: Agenda, steps: StepQueue, idled: Callable[[], None]
    ) -> None:
        self._cluster = cluster
        self._stage = stage
        self._agenda = agenda
        self._steps = steps
        self._idled = idled
        self._since: float | None = None
        self._end: Event | None = None

    def look(self) -> None:
        """Something has changed that may begin or end idleness."""
        busy = self._steps.pending or any(uses_yarn(step.request) for step in self._steps.running)
        if busy:
            self._since = None
            self._watch()
        elif self._since is None:
            self._since = self._stage.now
            self._watch()

    def set_timeout(self, seconds: int | None) -> None:
        """A timeout counts from the beginning of the idleness, however long ago that was. None: no policy."""
        self._cluster.idle_timeout = seconds
        self._watch()

    def _watch(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if self._cluster.alive and self._since is not None and self._cluster.idle_timeout is not None:
            left = self._since + self._cluster.idle_timeout - self._stage.now
            self._end = self._agenda.later(max(0.0, left), self._come_to_end)

    def _come_to_end(self) -> None:
        self._since = self._stage.now  # should the cluster not end now, it is idle anew
        self._watch()
        self._idled()


def uses_yarn(request: StepRequest) -> bool:
    """Whether a YARN application runs while the step does, as far as its words tell.

    Of a script in S3 they tell nothing; it is taken for one without.
    """
    if request.jar.rpartition("/")[2] == "script-runner.jar":
        return False
    if request.jar != "command-runner.jar":
        return True  # a jar is run by `hadoop jar`
    words = request.args[:1]
    if _name(words[0]) in _RUNS_ANOTHER:
        words = tuple(re.findall(r"[\w./-]+", " ".join(request.args)))
    local = re.search(r"--master[= ]+local", " ".join(request.args)) is not None
    return not local and any(_name(word) in _ON_YARN for word in words)


def _name(command: str) -> str:
    return command.rpartition("/")[2]
