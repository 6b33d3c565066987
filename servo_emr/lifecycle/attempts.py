"""Which launches that came to nothing are tried again within the same run; what of them stays on its record.

Only what may pass by itself, or elsewhere, is tried again: a bootstrap action that failed, and capacity that was not to
be had. A next attempt is made only when the one before is seen dead, instances and all.
"""

from __future__ import annotations

from dataclasses import replace

from servo_emr.domain.attempt import Attempt
from servo_emr.domain.errors import Reason, RunError
from servo_emr.domain.ports import Workspace
from servo_emr.domain.run import Observation, RunRecord, RunState, Timeline
from servo_emr.domain.spec import RunSpec, plain
from servo_emr.lifecycle import breaker
from servo_emr.lifecycle.figures import PROVISIONING_S
from servo_emr.lifecycle.guards import spent
from servo_emr.lifecycle.past import Past
from servo_emr.lifecycle.settle import Settled

__all__ = ["RELAUNCHES", "next_attempt", "relaunched", "unaffordable", "why", "worth_another"]

RELAUNCHES = 3
"""So many launches beside the first may be made for one run."""
_PASSING = (Reason.BOOTSTRAP, Reason.CAPACITY)
_WITHOUT_NODES = (RunState.QUEUED, RunState.PROVISIONING)
_OF_THE_CLUSTER = ("instances", "disturbed", "realised", "throttled", "repeat_seconds", "logs")
"""Details that tell of one cluster, not of the run."""


def worth_another(error: RunError, record: RunRecord, look: Observation) -> bool:
    """Whether the launch under way is given up for another one.

    Args:
        error: what it failed of.
        record: the run's, in the state that the launch has come to.
        look: the last look at its cluster.
    """
    if error.reason not in _PASSING or len(record.attempts) >= RELAUNCHES:
        return False
    if any(step.timeline.ready is not None for step in look.steps):
        return False
    # A cluster that ended itself has said what of. One that we end for its slowness lacks capacity only while it has
    # no nodes; later something else is slow, and would be again.
    return look.state.order >= RunState.ENDING.order or record.state in _WITHOUT_NODES


def why(error: RunError) -> dict[str, str]:
    """What a launch is given up for, as its run's record keeps it."""
    return {
        "reason": str(error.reason),
        "message": error.message,
        "remedy": error.remedy,
        "public": error.public,
    }


async def unaffordable(workspace: Workspace, record: RunRecord, spec: RunSpec, past: Past) -> str | None:
    """Which limit leaves no room for another launch, or None when there is room.

    Args:
        past: the runs before this one.

    Raises:
        RunError: the workspace cannot be read.
    """
    limits, usd = spec.limits, spent(record)
    floor = record.usd_per_hour * (PROVISIONING_S + 60.0) / 3600
    for name, limit in (("emr.limits.cost_per_run", limits.cost_per_run), ("max_cost_usd", limits.max_cost_usd)):
        if limit is not None and usd + floor > limit:
            return f"{name}, {limit:.4f} USD, leaves no room: {usd:.4f} are spent, another launch costs {floor:.4f}"
    others = replace(past, records=tuple(one for one in past.records if one.run_id != record.run_id))
    if limits.spend_per_day is not None:
        day = usd + sum(spent(one) for one in others.of_last_day())
        if day >= limits.spend_per_day:
            return f"emr.limits.spend_per_day, {limits.spend_per_day:.4f} USD, is used up: {day:.4f} are spent"
    if limits.unproductive_spend is not None:
        row = usd + breaker.standing(others, await breaker.resumed_at(workspace)).usd
        if row >= limits.unproductive_spend:
            return (
                f"emr.limits.unproductive_spend, {limits.unproductive_spend:.4f} USD, is used up: {row:.4f} are spent"
            )
    return None


def next_attempt(record: RunRecord, subnet_id: str | None, settled: Settled, now: float) -> RunRecord:
    """The record once its launch, which is seen dead, has joined the earlier ones: ready for the next."""
    attempt = Attempt(
        number=len(record.attempts) + 1,
        cluster_id=record.cluster_id,
        subnet_id=subnet_id,
        launched_at=record.launched_at,
        ended_at=record.timeline.ended or now,
        reason=record.given_up["reason"],
        message=record.given_up["message"],
        usd=settled.usd,
        node_hours=settled.cost.node_hours if settled.cost is not None else 0.0,
        billed=settled.billed,
        cost=None if settled.cost is None else plain(settled.cost),
        details={
            "cause": dict(record.cause),
            **{key: record.details[key] for key in ("instances", "logs") if key in record.details},
        },
    )
    return replace(
        record,
        attempts=(*record.attempts, attempt),
        given_up={},
        cluster_id=None,
        launched_at=None,
        state=RunState.QUEUED,
        steps=(),
        timeline=Timeline(),
        cause={},
        phases={},
        metrics={},
        missing={},
        cost=None,
        cost_so_far=record.earlier_usd + settled.usd,
        details={key: value for key, value in record.details.items() if key not in _OF_THE_CLUSTER},
    )


def relaunched(record: RunRecord) -> str:
    """What is said of a run that was launched more than once."""
    told = ", ".join(attempt.reason for attempt in record.attempts)  # it leaves the account: no ids of subnets
    usd = record.earlier_usd
    return f"launched {len(record.attempts) + 1} times; before the last: {told}; {usd:.4f} USD, in billed_cost alone"
