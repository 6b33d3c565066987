"""What a command's result says became of it, as the failure that it is: of a script, an application, any program."""

from __future__ import annotations

import signal

from servo_emr.domain.errors import Reason, RunError, failure
from servo_emr.domain.spec import Kind, Step
from servo_emr.notebook.results import Result, ResultStatus
from servo_emr.notebook.stopped import killed, stopped

__all__ = ["command_problem"]

_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Of a process that was killed, and of a shell that saw its last command killed."""


def command_problem(step: Step, result: Result) -> RunError | None:
    """What speaks against the success of a command whose result was read; None when nothing does."""
    if result.succeeded:
        return None
    if (ended := stopped(step, result, step.name, "a step")) is not None:
        return ended
    if result.exit_status in _KILLED:
        return killed(step.name, "a step")
    if result.status is ResultStatus.FAILED:
        return failure(
            Reason.STEP_FAILED,
            f"{step.name} ended with {result.evalue}.",
            remedy="Its logs say why.",
            public=f"a step ended with {_how(result.exit_status)}",
        )
    if step.kind is Kind.RESTORE:
        return failure(
            Reason.STEP_FAILED,
            f"{step.name}: nothing could be restored from {', '.join(step.reads)}: {result.evalue}.",
            remedy="Correct restore in servo.yaml, or put there what the job reads.",
            public="nothing was restored",
        )
    return failure(
        Reason.STEP_FAILED,
        f"{step.name} could not be run: {result.ename}: {result.evalue}",
        public="a step could not be run",
    )


def _how(status: int | None) -> str:
    if status is None:
        return "an unknown status"
    return f"signal {-status}" if status < 0 else f"exit status {status}"
