"""Time intervals of a run's measured steps, by the service's own clock. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from servo_emr.domain.run import StepLook
from servo_emr.domain.spec import RunSpec

__all__ = ["measured_intervals", "measured_seconds", "union_seconds"]


def union_seconds(intervals: Sequence[tuple[float, float]]) -> float:
    """Length in seconds of the union of intervals (start, end); an interval that ends before it starts is an error."""
    total, reach = 0.0, float("-inf")
    for start, end in sorted(intervals):
        if end < start:
            raise ValueError(f"an interval ends {start - end:.3f} s before it starts")
        total += max(0.0, end - max(start, reach))
        reach = max(reach, end)
    return total


def measured_intervals(spec: RunSpec, steps: Sequence[StepLook]) -> list[list[tuple[float, float]]]:
    """For each repeat, (start, end) of those of its measured steps that ran.

    `steps` are as `known_steps` puts them: each in the place of its own in the spec, by its id.
    """
    repeats: list[list[tuple[float, float]]] = [[] for _ in range(spec.job.repeats)]
    for step, look in zip(spec.steps, steps, strict=False):
        if step.measured and look.timeline.ready is not None and look.timeline.ended is not None:
            repeats[step.repeat - 1].append((look.timeline.ready, look.timeline.ended))
    return repeats


def measured_seconds(spec: RunSpec, steps: Sequence[StepLook]) -> list[float] | None:
    """Seconds that each repeat's measured steps took by the service's own clock: the length of their union.

    None when a measured step has no start or no end.

    Raises:
        ValueError: a step ended before it started.
    """
    repeats = measured_intervals(spec, steps)
    if sum(map(len, repeats)) < sum(step.measured for step in spec.steps):
        return None
    return [union_seconds(intervals) for intervals in repeats]
