"""What the optimizer says of itself: one JSON document, which the page shows too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from servo_emr.optimizer.create_cluster import Command
from servo_emr.optimizer.flow import Flow
from servo_emr.optimizer.policy import PAUSED
from servo_emr.optimizer.search import Best
from servo_emr.optimizer.trial import Trial

__all__ = ["status", "waiting"]


def waiting(application: str | None) -> dict[str, Any]:
    """The document before any servo has come."""
    return {
        "application": application,
        "state": "waiting",
        "why": "No servo has asked for a command yet.",
        **dict.fromkeys(("best", "current", "saving", "trial", "expected_gain_usd", "recommendation", "servo_seen_at")),
        "spent_usd": 0.0,
        "runs": 0,
        "trials": [],
    }


def status(flow: Flow, command: Command) -> dict[str, Any]:
    """The document of a study: USD, seconds, times as ISO 8601 in UTC.

    state: waiting for a servo, exploring, settled, paused or stopped (until a person has looked). why: of the running
    trial, or of the state. expected_gain_usd: what the next trial is expected to save per future run.
    """
    with flow.lock:
        policy, trial = flow.policy, flow.study.running
        best, spent = policy.best(), policy.spent()
        stopped, phase = policy.stopped, policy.phase
        late = math.fsum(flow.study.recall("late", {}).values())
        document = {
            **waiting(flow.study.application),
            **_state(flow),
            "because": phase.get("because"),
            "applied": bool(phase.get("applied")),
            "objective": asdict(policy.objective),
            "limits": asdict(policy.limits),
            "best": None if best is None else asdict(best),
            "current": _current(flow),
            "spent_usd": math.fsum(one.spent_usd for one in flow.study.trials) + late,
            "exploration": asdict(spent),
            "runs": spent.runs,
            "trial": None if trial is None else _running(flow, trial),
            "expected_gain_usd": phase.get("expected_gain_usd") if trial is None else trial.plan.expected_gain_usd,
            "stopped": None if stopped is None else {**stopped, "since": _time(stopped["since"])},
            "servo_seen_at": _time(flow.servo_seen_at),
            "trials": [_trial(one, phase["first_trial"]) for one in flow.study.trials],
        }
        document["saving"] = _saving(document["current"], best)
        if best is not None:
            words, note = command(best.settings) or (None, None)
            document["recommendation"] = {"settings": dict(best.settings), "command": words, "note": note}
        return document


def _state(flow: Flow) -> dict[str, Any]:
    policy, trial = flow.policy, flow.study.running
    if flow.failure:
        return {"state": "stopped", "why": flow.failure}
    if policy.stopped is not None:
        reason, message = policy.stopped["reason"], policy.stopped["message"]
        state = "paused" if reason == PAUSED else "stopped"
        return {"state": state, "why": message if reason == PAUSED else f"{reason}: {message}"}
    if flow.refused_description:
        return {"state": "stopped", "why": flow.refused_description}
    if policy.descriptor is None:
        return {}
    name = policy.phase["name"]
    return {"state": name, "why": trial.plan.why if trial else policy.phase.get("reason", "Exploring begins.")}


def _current(flow: Flow) -> dict[str, Any] | None:
    """The settings that were there before, and what they took."""
    settings = flow.study.recall("current")
    if not settings:
        return None
    found = next((one for one in flow.policy.trials() if one.plan.settings == settings and _done(one)), None)
    outcome = found.outcome if found else None
    return {
        "settings": settings,
        "duration_s": outcome.duration_s if outcome else None,
        "cost_usd": outcome.cost_usd if outcome else None,
    }


def _done(trial: Trial) -> bool:
    return trial.outcome is not None and trial.outcome.state == "done"


def _saving(current: Mapping[str, Any] | None, best: Best | None) -> dict[str, float] | None:
    """What the best saves of one run, and the share that it is of what was paid, or taken, before; below 0 where it is
    dearer, as the fastest may be.
    """
    if current is None or best is None or best.cost_usd is None or not current["cost_usd"]:
        return None
    saved, sooner = current["cost_usd"] - best.cost_usd, current["duration_s"] - best.duration_s
    return {
        "usd_per_run": saved,
        "share": saved / current["cost_usd"],
        "seconds_per_run": sooner,
        "share_of_time": sooner / current["duration_s"],
    }


def _running(flow: Flow, trial: Trial) -> dict[str, Any]:
    latest = flow.latest
    return {
        **_trial(trial, 0),
        "state": "asked" if latest is None else "running",
        "expected_gain_total_usd": trial.plan.expected_gain_total_usd,
        "deadline_s": trial.plan.deadline_s,
        "max_cost_usd": trial.plan.max_cost_usd,
        "run_id": latest.run_id if latest else None,
        "phase": latest.phase if latest else None,
        "usd_so_far": latest.usd if latest else None,
    }


def _trial(trial: Trial, first: int) -> dict[str, Any]:
    """counts: whether it was of the job as it is now."""
    plan, outcome = trial.plan, trial.outcome
    return {
        "number": trial.number,
        "counts": trial.number >= first,
        "kind": plan.kind,
        "settings": dict(plan.settings),
        "why": plan.why,
        "predicted_duration_s": plan.predicted_duration_s,
        "predicted_cost_usd": plan.predicted_cost_usd,
        "expected_gain_usd": plan.expected_gain_usd,
        "state": outcome.state if outcome else "asked",
        "reason": outcome.reason if outcome else None,
        "message": outcome.message if outcome else "",
        "run_id": outcome.run_id if outcome else None,
        "duration_s": outcome.duration_s if outcome else None,
        "cost_usd": outcome.cost_usd if outcome else None,
        "spent_usd": trial.spent_usd,
        "attempts": len(trial.attempts) + (outcome is not None),
        "asked_at": _time(plan.asked_at),
        "ended_at": _time(outcome.ended_at if outcome else None),
    }


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
