"""The figures of a finished run: phases by the service's own clock, metrics, what is missing and why. Pure."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from servo_emr.domain.errors import Reason, RunError, Verdict, failure
from servo_emr.domain.intervals import measured_seconds, union_seconds
from servo_emr.domain.money import Cost
from servo_emr.domain.run import InstanceRow, JobEvidence, Observation, RunRecord, Usage, is_spot
from servo_emr.domain.spec import JobSpec, JobStage, Role, RunSpec

__all__ = [
    "BUILT_IN",
    "PROVISIONING_S",
    "disturbed",
    "expected_job",
    "expected_provisioning",
    "expected_seconds",
    "figures",
    "like_runs",
    "nothing_to_report",
    "phases",
    "realised",
    "repeat_seconds",
    "succeeded",
]

PROVISIONING_S = 420.0
"""What provisioning is expected to take until history says better: AWS's own documented example."""

BUILT_IN = {
    "duration": "s",
    "cost": "USD",
    "billed_cost": "USD",
    "job_cost": "USD",
    "provisioning_time": "s",
    "bootstrap_time": "s",
    "teardown_time": "s",
    "total_time": "s",
    "node_hours": "h",
}
"""The metrics that every run has, with their units."""

APART_S = 300.0
"""The nodes of a launch are expected to be created within so long of each other."""

_HISTORY = 50


def phases(spec: RunSpec, look: Observation, usage: Usage | None) -> dict[str, float]:
    """Seconds of each phase, from EMR's own timelines; a phase whose ends are not both known is left out.

    provisioning_time: from the launch to the creation of the last instance that was there from the start;
    bootstrap_time: from then to the cluster's readiness (boot, bootstrap actions, applications);
    teardown_time: from the last step's end to the cluster's end; total_time: the cluster's whole life; prepare_time
    and cleanup_time: of these stages' steps, where there are any.
    """
    line = look.timeline
    created = [row.timeline.created for row in usage.rows if row.timeline.created is not None] if usage else []
    if line.ready is not None:
        created = [at for at in created if at <= line.ready]
    fulfilled = max(created, default=None)
    ends = [step.timeline.ended for step in look.steps if step.timeline.ended is not None]
    spans = {
        "provisioning_time": (line.created, fulfilled),
        "bootstrap_time": (fulfilled, line.ready),
        "teardown_time": (max(ends, default=None), line.ended),
        "total_time": (line.created, line.ended),
    }
    found = {
        name: end - start
        for name, (start, end) in spans.items()
        if start is not None and end is not None and end >= start
    }
    for stage in (JobStage.PREPARE, JobStage.CLEANUP):
        times = [step.timeline for step in look.steps if step.stage == stage]
        parts = [(at.ready, at.ended) for at in times if at.ready is not None and at.ended is not None]
        if parts and all(end >= start for start, end in parts):
            found[f"{stage}_time"] = union_seconds(parts)
    durations = repeat_seconds(spec, look)
    return {"duration": statistics.median(durations), **found} if durations else found


def repeat_seconds(spec: RunSpec, look: Observation) -> list[float]:
    """`duration` of each repeat; empty when that of one is not known: its median would be that of fewer."""
    try:
        return measured_seconds(spec, look.steps) or []
    except ValueError:  # a step that ended before it started has no length
        return []


def disturbed(spec: RunSpec, usage: Usage, look: Observation) -> str:
    """What made the run another than its configuration's, in words without names; empty when nothing did.

    Until the job's last step had ended: nodes that were lost, nodes that were added after the cluster was ready, and
    nodes that never came; before it: nodes that came far apart, so that some were paid for while the others were waited
    for.
    """
    decided = look.job_ended
    if decided is None:
        return ""
    before = [row for row in usage.rows if row.timeline.created is not None and row.timeline.created < decided]
    lost = [row for row in before if row.timeline.ended is not None and row.timeline.ended < decided]
    ready = look.timeline.ready
    added = [] if ready is None else [row for row in before if (row.timeline.created or 0.0) > ready]
    words = []
    if lost:
        spot = sum(is_spot(row) for row in lost)
        words.append(f"{_nodes(lost)} lost before the job had ended" + (f", {spot} of them on spot" if spot else ""))
    if added:
        words.append(f"{_nodes(added)} added after the cluster was ready")
    task = spec.group(Role.TASK)
    if 0 < spec.fewest_nodes - len(before) <= (0 if task is None else task.fewest_nodes):
        words.append(f"{len(before)} of {spec.fewest_nodes} nodes had come when the job ended")
    first = [row.timeline.created or 0.0 for row in before if row not in added]
    if first and (apart := max(first) - min(first)) > APART_S:
        words.append(f"provisioning was throttled: its nodes came {apart:.0f} s apart")
    return "; ".join(words)


def realised(usage: Usage) -> str:
    """What the nodes of each role really were, as their rows say: a fleet may be of other types and markets than asked
    for."""
    found: dict[str, Counter[str]] = {str(role): Counter() for role in Role}
    for row in usage.rows:
        if row.timeline.created is not None:
            kind = f"{row.inst_type} {'spot' if is_spot(row) else 'on-demand'}"
            found.setdefault(row.role or row.group, Counter())[kind] += 1
    told = {
        role: ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) for role, kinds in found.items()
    }
    return "; ".join(f"{role}: {kinds}" for role, kinds in told.items())


def _nodes(rows: list[InstanceRow]) -> str:
    return f"{len(rows)} node" if len(rows) == 1 else f"{len(rows)} nodes"


def figures(
    wanted: Iterable[str], times: Mapping[str, float], cost: Cost | None, evidence: JobEvidence | None
) -> tuple[dict[str, float], dict[str, str]]:
    """(values, reasons): the wanted metrics that have a value, and for each other one why it has none."""
    dollars: dict[str, float] = {}
    if cost is not None:
        dollars = {"cost": cost.usd, "billed_cost": cost.billed_usd, "node_hours": cost.node_hours}
        if cost.job_usd is not None:
            dollars["job_cost"] = cost.job_usd
    known = {**times, **dollars, **(evidence.metrics if evidence else {})}
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name in wanted:
        value = known.get(name)
        if value is not None and math.isfinite(value):
            values[name] = value
        elif name in BUILT_IN:
            unbilled = cost is None and BUILT_IN[name] in ("USD", "h")
            missing[name] = "the bill could not be made" if unbilled else "EMR gives no times"
        else:
            missing[name] = (evidence.missing.get(name) if evidence else None) or "the job did not report it"
    return values, missing


def expected_seconds(spec: RunSpec, history: Iterable[RunRecord]) -> float:
    """How long the job is expected to take: the median of like runs that succeeded, else what servo.yaml guesses."""
    like = [record.phases["duration"] for record in like_runs(spec, history) if "duration" in record.phases]
    return statistics.median(like) if like else spec.job.expected_s


def expected_job(spec: RunSpec, history: Iterable[RunRecord]) -> JobSpec:
    """The spec's job with what its steps are expected to take, by the runs before."""
    records = list(itertools.islice(history, _HISTORY))
    stages = ("prepare_time", "cleanup_time")
    beside = [
        sum(record.phases.get(stage, 0.0) for stage in stages)
        for record in like_runs(spec, records)
        if any(stage in record.phases for stage in stages)
    ]
    return replace(
        spec.job,
        expected_s=expected_seconds(spec, records),
        beside_s=statistics.median(beside) if beside and spec.staged else spec.job.beside_s,
    )


def expected_provisioning(spec: RunSpec, history: Iterable[RunRecord]) -> float:
    """How long it is expected to take from the launch to the cluster's readiness: the median of like runs, else what
    AWS's own documented example took."""
    parts = ("provisioning_time", "bootstrap_time")
    like = [sum(record.phases[part] for part in parts) for record in like_runs(spec, history) if _has(record, parts)]
    return statistics.median(like) if like else PROVISIONING_S


def like_runs(spec: RunSpec, history: Iterable[RunRecord]) -> list[RunRecord]:
    """The newest runs that succeeded on the same nodes."""
    nodes = [[str(group.role), group.inst_type, group.count] for group in spec.groups]
    return [
        record
        for record in succeeded(history)
        if [[g["role"], g["inst_type"], g["count"]] for g in record.spec.get("groups", [])] == nodes
    ]


def succeeded(history: Iterable[RunRecord]) -> list[RunRecord]:
    """The newest runs that succeeded."""
    return [record for record in itertools.islice(history, _HISTORY) if record.verdict is Verdict.SUCCEEDED]


def _has(record: RunRecord, phases: Iterable[str]) -> bool:
    return all(phase in record.phases for phase in phases)


def nothing_to_report(missing: Mapping[str, str]) -> RunError:
    """The failure of a run that succeeded and has a value for none of the metrics wanted: an answer without a reading
    would pass for a measurement."""
    unbilled = all(BUILT_IN.get(name) in ("USD", "h") for name in missing)
    return failure(
        Reason.PRICE if unbilled else Reason.BAD_METRIC,
        "The run succeeded, and none of the metrics asked for has a value: "
        + "; ".join(f"{name}: {why}" for name, why in missing.items())
        + ".",
        remedy="The log says why there is no bill." if unbilled else "Look at emr.job.metrics and at the notebook.",
        public="none of the metrics asked for has a value",
    )
