"""Success is earned: what a finished run's steps, cluster and evidence together say. Pure.

Success is a whitelist: every measured step COMPLETED, and the evidence has no problem. Never decided from the
cluster's state alone, which lies in both directions.
"""

from __future__ import annotations

from servo_emr.domain.errors import Reason, RunError, Verdict, failure
from servo_emr.domain.run import JobEvidence, Observation, StepLook, StepState
from servo_emr.domain.spec import RunSpec

__all__ = ["judge"]

_ENDED_BY = {
    Reason.INTERRUPTED: "Somebody ended the cluster.",
    Reason.BOOTSTRAP: "The bootstrap action failed.",
    Reason.CAPACITY: "EMR had no capacity for this cluster.",
    Reason.QUOTA: "A quota of the account does not allow this cluster.",
    Reason.SPOT: "Spot capacity was not to be had, or was taken back.",
    Reason.INSTANCE_LOST: "The cluster lost an instance that it cannot do without.",
    Reason.SERVICE_INTERNAL: "EMR ended the cluster with an error of its own.",
    Reason.ROLE: "EMR refused the cluster as it was being made; most often a role or instance profile does not fit.",
    Reason.TYPE_UNSUPPORTED: "EMR does not support an instance type of this cluster.",
    Reason.NETWORK: "EMR refused the cluster's subnet or security groups.",
    Reason.RELEASE_LABEL: "EMR refused the release label.",
}
_REMEDIES = {
    Reason.BOOTSTRAP: "Read its log under emr.cluster.log_uri; without a way to the package index, set emr.job.wheels.",
    Reason.QUOTA: "Ask for more, or lower emr.limits.vcpus.",
    Reason.ROLE: "Check emr.cluster.service_role and instance_profile in servo.yaml.",
    Reason.NETWORK: "Check emr.cluster.subnet_ids in servo.yaml.",
}


def judge(spec: RunSpec, look: Observation, evidence: JobEvidence | None) -> RunError | None:
    """The failure that a decided run shows, or None when it succeeded.

    Args:
        spec: what was asked for; its steps are in the order of the look's.
        look: the last look.
        evidence: what the job left behind; None when there is no job to speak of (no step ever started).
    """
    steps = look.steps
    completed = len(steps) == len(spec.steps) and all(step.state is StepState.COMPLETED for step in steps)
    if completed:
        return None if evidence is not None and evidence.problem is None else _job(evidence)
    failed = look.step_failed
    if failed is not None and failed.state is StepState.FAILED:
        return _failed_step(failed, look, evidence)
    if look.end_reason is not None:
        return _ended(look)
    if failed is not None and failed.state is StepState.CANCELLED:
        return failure(Reason.INTERRUPTED, f"Step {failed.name} was cancelled.", public="the step was cancelled")
    if failed is not None:
        return failure(
            Reason.INSTANCE_LOST, f"Step {failed.name} was interrupted: its node was lost.", public="a node was lost"
        )
    return failure(
        Reason.SERVICE_INTERNAL,
        f"The cluster ended ({look.cause_code or 'no reason given'}: {look.cause_message}) before its steps had run.",
        public="the cluster ended before its steps had run",
    )


def _job(evidence: JobEvidence | None) -> RunError:
    if evidence is not None and evidence.problem is not None:
        return evidence.problem
    return failure(Reason.NO_RESULT, "The step completed and left no result.json.", public="no result")


def _failed_step(step: StepLook, look: Observation, evidence: JobEvidence | None) -> RunError:
    """A failed step's cause: the job's own word where it left one, else the cluster's, else only that it failed."""
    problem = evidence.problem if evidence is not None else None
    if problem is not None and problem.reason is not Reason.NO_RESULT:
        return problem
    if look.end_reason is not None and look.end_reason.verdict is Verdict.ENVIRONMENT:
        return _ended(look)
    said = " ".join(step.failure.get(key, "") for key in ("Reason", "Message")).strip()
    left = "left no result" if evidence is None or problem is not None else "its result says otherwise"
    return failure(
        Reason.STEP_FAILED,
        f"Step {step.name} failed and {left}: {said or 'EMR gives no reason'}.",
        remedy="Its logs say more.",
        public="the step failed",
        details={"step": dict(step.failure)},
    )


def _ended(look: Observation) -> RunError:
    reason = look.end_reason or Reason.SERVICE_INTERNAL
    words = _ENDED_BY.get(reason, "The cluster ended.")
    told = f" EMR says: {look.cause_code}: {look.cause_message.rstrip('. ')}." if look.cause_code else ""
    return failure(
        reason,
        f"{words}{told}",
        remedy=_REMEDIES.get(reason, ""),
        public=words,
        details={"errors": [dict(error) for error in look.errors]},
    )
