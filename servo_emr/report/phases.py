"""Where the time and the money of one run went, phase by phase. Pure.

Seconds are EMR's own; dollars are the bill's: each instance's, at its average rate, for as long as it was there in a
phase. What a run was billed beyond its last phase (the floor of a minute) counts as its ending, so that phases always
add up to the bill.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from servo_emr.domain.run import RunRecord
from servo_emr.domain.spec import JobStage

__all__ = ["BESIDE", "PHASES", "dollars", "seconds"]

BESIDE = "preparation and clean-up"
"""Of runs that have such steps."""
PHASES = ("provisioning", "bootstrapping", "job", BESIDE, "between steps", "ending")

_Span = tuple[float, float]


def seconds(record: RunRecord) -> dict[str, float]:
    """Seconds of each phase; empty for a run whose cluster's beginning or end is not known."""
    return {phase: math.fsum(end - start for start, end in spans) for phase, spans in _spans(record).items()}


def dollars(record: RunRecord) -> dict[str, float]:
    """USD of each phase of the run's last cluster, which add up to its bill: what earlier launches cost is in none of
    them. Empty for a run without a bill or without known phases."""
    cost, spans = record.cost or {}, _spans(record)
    lives = _lives(record)
    if not cost.get("instances") or not spans or lives is None:
        return {}
    found = {
        phase: math.fsum(rate * _overlap(life, span) for life, rate in lives.items() for span in parts)
        for phase, parts in spans.items()
    }
    rest = float(cost["billed_usd"]) - record.earlier_usd - math.fsum(found.values())
    return {**found, "ending": max(0.0, found["ending"] + rest)}


def _spans(record: RunRecord) -> Mapping[str, Sequence[_Span]]:
    """For each phase the (start, end) that belong to it, disjoint."""
    start, end = record.timeline.created, record.timeline.ended
    if start is None or end is None or end < start:
        return {}
    ready = end if record.timeline.ready is None else min(max(record.timeline.ready, start), end)
    provisioning = record.phases.get("provisioning_time")
    there = ready if provisioning is None else min(start + provisioning, ready)
    stages = [
        (step.stage, (max(step.timeline.ready, ready), min(step.timeline.ended, end)))
        for step in record.steps
        if step.timeline.ready is not None and step.timeline.ended is not None
    ]
    # Steps of these stages never run beside others.
    beside = _union([span for stage, span in stages if stage in (JobStage.PREPARE, JobStage.CLEANUP)])
    steps = _union([span for _, span in stages])
    last = steps[-1][1] if steps else ready
    edges = [ready, *(edge for span in steps for edge in span)]
    between = [(edges[i], edges[i + 1]) for i in range(0, len(edges) - 1, 2)] if steps else []
    return {
        "provisioning": [(start, there)],
        "bootstrapping": [(there, ready)],
        "job": _union([span for stage, span in stages if stage not in (JobStage.PREPARE, JobStage.CLEANUP)]),
        **({BESIDE: beside} if beside else {}),
        "between steps": between,
        "ending": [(last, end)],
    }


def _union(spans: Sequence[_Span]) -> list[_Span]:
    merged: list[_Span] = []
    for start, end in sorted(span for span in spans if span[1] > span[0]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _lives(record: RunRecord) -> dict[_Span, float] | None:
    """(creation, end of what is billed) -> USD per second of all instances billed for just that time: nodes of a group
    mostly come and go together. None unless the record knows both of each."""
    created = {row["instance_id"]: row["timeline"]["created"] for row in record.details.get("instances", ())}
    found: dict[_Span, float] = {}
    for item in (record.cost or {}).get("instances", ()):
        at, lasted = created.get(item["instance_id"]), item["seconds"]
        if at is None or lasted <= 0:
            return None
        rate = (item["ec2_usd"] + item["fee_usd"] + item["ebs_usd"]) / lasted
        found[at, at + lasted] = found.get((at, at + lasted), 0.0) + rate
    return found


def _overlap(first: _Span, second: _Span) -> float:
    return max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
