"""The life of a run drawn in the terminal: a bar for each phase and each step, one below the other. Pure.

All of it is by the service's own clock, but for the two ends, which the servo noted: the run's intent and its verdict.
Where the two clocks cannot both be right, as with an emulator whose time passes faster, the two ends are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from servo_emr.cli.output import seconds
from servo_emr.domain.run import RunRecord, StepLook

__all__ = ["Span", "drawing", "spans"]

_NARROWEST_BAR, _WIDEST_BAR = 20, 100
_APART_S = 60.0
"""Clocks that are further apart than this have nothing to say of each other."""


@dataclass(frozen=True)
class Span:
    """A piece of a run's life: its name, and from when to when, in seconds since the epoch."""

    name: str
    start: float
    end: float


def spans(record: RunRecord) -> list[Span]:
    """The phases of a run and its steps, by when they began; those of which one end is not known are left out."""
    line, phases = record.timeline, record.phases
    begun, verified = (record.created_at, record.ended_at) if _one_clock(record) else (None, None)
    fulfilled = None if line.created is None else line.created + phases.get("provisioning_time", float("nan"))
    done = max((step.timeline.ended for step in record.steps if step.timeline.ended is not None), default=None)
    found = [
        _span("queued", begun, line.created),
        _span("provisioning", line.created, fulfilled),
        _span("bootstrapping", fulfilled, line.ready),
        *(
            _span(f"{_of_stage(step)}step {number}, {step.state}", step.timeline.ready, step.timeline.ended)
            for number, step in enumerate(record.steps, 1)
        ),
        _span("ending", done, line.ended),
        _span("verified, billed", line.ended, verified),
    ]
    return [span for span in found if span is not None]


def _one_clock(record: RunRecord) -> bool:
    """Whether the cluster's life lies within the run's, as the service and the servo have noted them."""
    seen = [at for at in (record.timeline.created, record.timeline.ready, record.timeline.ended) if at is not None]
    last = float("inf") if record.ended_at is None else record.ended_at
    return all(record.created_at - _APART_S <= at <= last + _APART_S for at in seen)


def _of_stage(step: StepLook) -> str:
    """The stage of a step that is not measured, in front of its name."""
    return f"{step.stage} " if step.stage in ("prepare", "cleanup") else ""


def _span(name: str, start: float | None, end: float | None) -> Span | None:
    # A time that is not known (or no number) is before nothing.
    return Span(name, start, end) if start is not None and end is not None and end >= start else None


def drawing(found: Sequence[Span], width: int | None = None, mark: str = "#") -> str:
    """The spans as bars on one axis, `mark` a character of a bar; empty without any."""
    if not found:
        return ""
    begin, end = min(span.start for span in found), max(span.end for span in found)
    names = max(len(span.name) for span in found)
    times = [seconds(span.end - span.start) for span in found]
    taken = names + 2 + 2 + max(map(len, times))
    room = _WIDEST_BAR if width is None else width - taken
    bar = max(_NARROWEST_BAR, min(_WIDEST_BAR, room))
    if width is not None and room < _NARROWEST_BAR:
        return "\n".join(f"{span.name}  {time}" for span, time in zip(found, times, strict=True))
    scale = bar / (end - begin) if end > begin else 0.0
    lines = []
    for span, time in zip(found, times, strict=True):
        # Everything that happened is seen, however short.
        left = min(int((span.start - begin) * scale), bar - 1)
        length = max(1, min(int((span.end - begin) * scale), bar) - left)
        lines.append(f"{span.name:<{names}}  {' ' * left}{mark * length:<{bar - left}}  {time}".rstrip())
    return "\n".join(lines)
