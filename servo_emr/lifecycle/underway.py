"""Which of a run's steps is under way, by a look at them: what its time limits hold for. Pure.

A look's steps begin with the run's own, in the order of its spec.
"""

from __future__ import annotations

from servo_emr.domain.run import Observation, StepLook, StepState
from servo_emr.domain.spec import JobStage, RunSpec, Step

__all__ = ["job_since", "latest", "limited", "over", "tidying", "where"]


def _pairs(spec: RunSpec, look: Observation) -> list[tuple[Step, StepLook]]:
    return list(zip(spec.steps, look.steps, strict=False))


def latest(spec: RunSpec, look: Observation) -> Step | None:
    """The step that runs now, or ran last; None before the first."""
    started = [
        (seen.timeline.ready, number)
        for number, (_, seen) in enumerate(_pairs(spec, look))
        if seen.timeline.ready is not None
    ]
    return spec.steps[max(started)[1]] if started else None


def where(spec: RunSpec, look: Observation) -> str:
    """Stage and name of the step that runs now, or ran last, for people; empty where the job has but one, or none has
    begun."""
    step = latest(spec, look)
    if step is None or not spec.staged:
        return ""
    stage = spec.of_stage(step.stage)
    count = f", step {stage.index(step) + 1} of {len(stage)}" if len(stage) > 1 else ""
    return f"{step.stage}{count}"


def limited(spec: RunSpec, look: Observation) -> tuple[float, float] | None:
    """(when it started, its time limit) of the step whose limit comes first of those that run now, of the one that ran
    last while none does; None before the first."""
    started = [
        (seen.timeline.ready, spec.limit_s(step), seen.state.ended)
        for step, seen in _pairs(spec, look)
        if seen.timeline.ready is not None
    ]
    running = [(at, limit) for at, limit, ended in started if not ended]
    if running:
        return min(running, key=sum)
    return max(((at, limit) for at, limit, _ in started), default=None)


def over(spec: RunSpec, look: Observation) -> bool:
    """Whether the run's own steps can tell nothing more: all have ended, or one has failed and EMR would run the others
    for nothing. Where clean-up follows it goes on for that."""
    own = _pairs(spec, look)
    if len(own) == len(spec.steps) and all(seen.state.ended for _, seen in own):
        return True
    failed = [step for step, seen in own if seen.state is StepState.FAILED]
    goes_on = spec.cluster.step_concurrency > 1 or any(step.on_failure == "CONTINUE" for step in failed)
    return bool(failed) and goes_on and not spec.of_stage(JobStage.CLEANUP)


def job_since(spec: RunSpec, look: Observation) -> float | None:
    """When the measured steps of the repeat that runs now began; None while none of them runs."""
    step = latest(spec, look)
    if step is None or not step.measured:
        return None
    starts = [
        seen.timeline.ready
        for asked, seen in _pairs(spec, look)
        if asked.measured and asked.repeat == step.repeat and seen.timeline.ready is not None
    ]
    return min(starts)


def tidying(spec: RunSpec, look: Observation) -> bool:
    """Whether the job is over, and what is left is clean-up."""
    job = [seen for step, seen in _pairs(spec, look) if step.stage is not JobStage.CLEANUP]
    return 0 < len(job) < len(look.steps) and all(seen.state.ended for seen in job)
