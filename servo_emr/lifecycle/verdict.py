"""Success is earned: what a finished run's steps, cluster and evidence together say. Pure.

Success is a whitelist: every step of preparation and every measured one COMPLETED, and the evidence has no problem.
Never decided from the cluster's state alone, which lies in both directions. Clean-up has no say: that it failed is told
as a warning.
"""

from __future__ import annotations

from servo_emr.domain.errors import Reason, RunError, Verdict, failure
from servo_emr.domain.run import JobEvidence, Observation, StepLook, StepState
from servo_emr.domain.spec import JobStage, RunSpec, Step

__all__ = ["judge", "untidied"]

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
        spec: what was asked for; the look's steps begin with its own, in its order.
        look: the last look.
        evidence: what the job left behind; None when there is no job to speak of (no step ever started).
    """
    job = [seen for step, seen in zip(spec.steps, look.steps, strict=False) if step.stage is not JobStage.CLEANUP]
    failed = next((seen for seen in job if seen.state.ended and seen.state is not StepState.COMPLETED), None)
    if len(look.steps) >= len(spec.steps) and all(seen.state is StepState.COMPLETED for seen in job):
        return _of_step(spec, None if evidence is None else evidence.step, _job(evidence))
    if failed is not None and failed.state is StepState.FAILED:
        number = job.index(failed)
        return _of_step(spec, number, _failed_step(spec.steps[number], failed, look, _about(evidence, number)))
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


def untidied(spec: RunSpec, look: Observation) -> tuple[str, ...]:
    """A sentence for each step of clean-up that did not complete. They cost no measurement."""
    told = []
    for step, seen in zip(spec.steps, look.steps, strict=False):
        if step.stage is not JobStage.CLEANUP or seen.state is StepState.COMPLETED:
            continue
        said = " ".join(seen.failure.get(key, "") for key in ("Reason", "Message")).strip()
        how = f"is {seen.state}" if seen.state.ended else "did not run to its end"
        told.append(f"clean-up: {step.name} {how}{f': {said}' if said else ''}; what it was to tidy may be left")
    return tuple(told)


def _about(evidence: JobEvidence | None, number: int) -> JobEvidence | None:
    """The evidence, unless it is known to tell of another step than that one."""
    other = evidence is not None and evidence.step not in (None, number)
    return None if other else evidence


def _of_step(spec: RunSpec, number: int | None, problem: RunError | None) -> RunError | None:
    """The problem, with the step that it is of where there are several."""
    if problem is not None and number is not None and spec.staged:
        step = spec.steps[number]
        problem.details["failed_step"] = {"stage": str(step.stage), "name": step.name, "number": number + 1}
    return problem


def _job(evidence: JobEvidence | None) -> RunError | None:
    if evidence is not None:
        return evidence.problem
    return failure(Reason.NO_RESULT, "The step completed and left no result.json.", public="no result")


def _failed_step(asked: Step, step: StepLook, look: Observation, evidence: JobEvidence | None) -> RunError:
    """A failed step's cause: the job's own word where it left one, else the cluster's, else only that it failed."""
    problem = evidence.problem if evidence is not None else None
    if problem is not None and problem.reason is not Reason.NO_RESULT:
        return problem
    if look.end_reason is not None and look.end_reason.verdict is Verdict.ENVIRONMENT:
        return _ended(look)
    said = " ".join(step.failure.get(key, "") for key in ("Reason", "Message")).strip()
    left = " and left no result" if evidence is None or problem is not None else " and its result says otherwise"
    return failure(
        Reason.STEP_FAILED,
        f"Step {step.name} failed{left if asked.ours else ''}: {said or 'EMR gives no reason'}.",
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
