"""Which of a cluster's steps are the run's own: by their ids, once these are known. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from servo_emr.domain.run import StepLook, StepState
from servo_emr.domain.spec import RunSpec

__all__ = ["known_steps"]


def known_steps(spec: RunSpec, looks: Sequence[StepLook], ids: Sequence[str] = ()) -> tuple[StepLook, ...]:
    """The run's own steps in the order of `spec.steps`, each with its stage, and after them whatever else the cluster
    was given. A step that is not listed counts as pending: nothing is known of it.

    Args:
        looks: all steps of the cluster, oldest first.
        ids: those of the run's steps, as they were first seen. None: a cluster that is new has no other steps, and
            lists them in the order of the request.
    """
    if not ids:
        own = [replace(look, stage=str(step.stage)) for step, look in zip(spec.steps, looks, strict=False)]
        return (*own, *looks[len(own) :])
    listed = {look.step_id: look for look in looks}
    own = [
        replace(listed.get(step_id, StepLook(step_id, step.name, StepState.PENDING)), stage=str(step.stage))
        for step, step_id in zip(spec.steps, ids, strict=False)
    ]
    return (*own, *(look for look in looks if look.step_id not in ids))
