"""The steps of a run: of which stage, of what kind, what they run. Pure data.

Only `run` steps are measured. Preparation comes before them; clean-up after them, whether or not they succeeded.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["COMMAND_RUNNER", "JobStage", "Kind", "Step"]

COMMAND_RUNNER = "command-runner.jar"
"""The jar by which EMR runs a command on the primary node."""


class JobStage(enum.StrEnum):
    """The stages of a job, in their order; the value is the key in servo.yaml."""

    PREPARE = "prepare"
    RUN = "run"
    CLEANUP = "cleanup"


class Kind(enum.StrEnum):
    """What a step is; the value is the key in servo.yaml that says so. A jar's step is the service's own, word by word;
    the others run under a runner of ours, which holds their time limit on the cluster and tells how they ended."""

    NOTEBOOK = "notebook"
    SCRIPT = "script"
    APPLICATION = "application"
    COMMAND = "command"
    RESTORE = "restore"
    JAR = "jar"


@dataclass(frozen=True)
class Step:
    """One step of the cluster. `argv` goes to the service as it is, never through a shell.

    repeat says to which measured run of the job on this cluster the step belongs, counted from 1.
    folder: of its files in the run's folder, "" or with a slash at its end. source: the program that is read and copied
    there, an s3:// URI or a local path; None: the job's notebook, or nothing. command: what our runner runs, with
    references, {run.program} being the copy. asked: a digest of the words before settings are filled in, "" of a
    notebook: what differs in it is another job. parameters: canonical JSON text of a notebook's own ones. reads:
    further objects and prefixes in S3 that the nodes read.
    jar, main_class, properties, on_failure: a jar's, in the service's own words.
    """

    name: str
    argv: tuple[str, ...]
    measured: bool
    repeat: int = 1
    stage: JobStage = JobStage.RUN
    kind: Kind = Kind.NOTEBOOK
    folder: str = ""
    source: str | None = None
    command: tuple[str, ...] = ()
    asked: str = ""
    parameters: str = "{}"
    kernel: str | None = None
    timeout_s: float | None = None
    reads: tuple[str, ...] = ()
    jar: str = COMMAND_RUNNER
    main_class: str | None = None
    properties: tuple[tuple[str, str], ...] = ()
    on_failure: str | None = None

    @property
    def ours(self) -> bool:
        """Whether a runner of ours runs it, which leaves a result."""
        return self.kind is not Kind.JAR
