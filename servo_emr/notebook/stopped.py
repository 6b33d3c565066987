"""What a result says of a job that did not end by itself, as the failure that it is, whatever kind of step it was."""

from __future__ import annotations

from servo_emr.domain.errors import Reason, RunError, failure
from servo_emr.domain.spec import Step
from servo_emr.notebook.results import Result, ResultStatus

__all__ = ["killed", "stopped"]


def stopped(step: Step, result: Result, who: str, public: str, where: str = "") -> RunError | None:
    """The failure of a step that passed its time limit or was terminated; None when it ended by itself.

    Args:
        who: the step, for people; public: the same in words that may leave the account.
        where: how far it had come, such as " in cell 3"; may leave the account.
    """
    if result.status is ResultStatus.TIMEOUT:
        limit = "its timeout" if step.timeout_s is not None else "emr.job.timeout"
        return failure(
            Reason.JOB_TIMEOUT,
            f"{who} passed {limit}{where} and was ended on the cluster.",
            remedy="Raise the limit in servo.yaml, or leave such small clusters out.",
            public=f"{public} passed its time limit{where}",
        )
    if result.status is ResultStatus.TERMINATED:
        return failure(Reason.INTERRUPTED, f"{who} was terminated from outside{where}.", public="terminated")
    return None


def killed(who: str, public: str, where: str = "") -> RunError:
    """The failure of what the node's kernel has killed; the words are those of `stopped`."""
    return failure(
        Reason.OUT_OF_MEMORY,
        f"{who} was killed{where}: on a cluster that is most often a lack of memory.",
        remedy="Try primary nodes with more memory; the step's logs say more.",
        public=f"{public} was killed{where}",
    )
