"""After a cluster has ended: its usage, its bill, its figures, and the log tails that explain a failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from servo_emr.domain.attempt import Attempt
from servo_emr.domain.errors import Reason, RunError, Verdict
from servo_emr.domain.intervals import measured_intervals
from servo_emr.domain.known_steps import known_steps
from servo_emr.domain.money import Cost, Quote
from servo_emr.domain.ports import Clock, Handle, LaunchTarget, PriceBook
from servo_emr.domain.run import JobEvidence, Observation, RunRecord, RunState, Usage
from servo_emr.domain.spec import Role, RunSpec, plain
from servo_emr.lifecycle.diary import Diary
from servo_emr.lifecycle.figures import BUILT_IN, disturbed, figures, phases, realised, repeat_seconds
from servo_emr.lifecycle.guards import so_far

__all__ = ["Settle", "Settled"]

_USAGE_TRIES_S = (0.0, 10.0, 30.0, 60.0)
"""An instance may be listed, and its end be told, later than its cluster's."""
_LOG_TRIES_S = (0.0, 30.0, 60.0, 120.0, 120.0)
"""Logs arrive when the cluster ends, or up to five minutes later."""


@dataclass(frozen=True)
class Settled:
    """What an ended cluster came to.

    dead says that it and all its instances are seen ended; alive are ids of those that are still listed as alive. usd
    is its bill, or, where it has none, its time at the full rate; 0 for one that is seen to have ended without ever
    having an instance.
    """

    dead: bool
    alive: tuple[str, ...]
    cost: Cost | None
    usd: float
    billed: bool


class Settle:
    """Reads a dead cluster's usage and logs.

    Args:
        target, book, clock: the ports.
        warn: called with a sentence for the log.
    """

    def __init__(self, target: LaunchTarget, book: PriceBook, clock: Clock, warn: Callable[[str], None]) -> None:
        self._target = target
        self._book = book
        self._clock = clock
        self._warn = warn

    async def account(
        self, diary: Diary, handle: Handle, spec: RunSpec, look: Observation, patient: bool = False
    ) -> Settled:
        """Puts an ended run's figures into its record, and for a failure its logs; returns what its cluster came to.

        The metrics that the job itself reported are in the record already.

        Args:
            patient: wait for the logs: nothing else tells the cause.
        """
        record = diary.record
        look = replace(look, steps=known_steps(spec, look.steps, _ids(record, look)))
        usage, own = await self.bill(handle, spec, look, record.prices)
        none_came = own is None and usage is not None and _none_came(usage, look)
        cost = None if own is None else _with_attempts(own, record.attempts)
        times = phases(spec, look, usage)
        reported = {name: value for name, value in record.metrics.items() if name not in BUILT_IN}
        values, missing = figures(record.units, times, cost, JobEvidence(None, reported, record.missing))
        if not all(attempt.billed for attempt in record.attempts):
            for name in ("billed_cost", "node_hours"):
                if values.pop(name, None) is not None:
                    missing[name] = "an earlier launch of this run has no bill"
        details: dict[str, Any] = {}
        if usage is not None:
            words = (record.details.get("throttled"), disturbed(spec, usage, look))
            details |= {"instances": plain(usage.rows), "disturbed": "; ".join(filter(None, words))}
            details |= {"realised": realised(usage)} if spec.fleets else {}
        if spec.job.repeats > 1:
            details["repeat_seconds"] = repeat_seconds(spec, look)
        if record.given_up or (record.decided and record.verdict not in (Verdict.SUCCEEDED, Verdict.ABORTED)):
            details["logs"] = await self._logs(handle, spec, look, patient)
        alive = tuple(row.instance_id for row in usage.rows if not row.ended) if usage is not None else ()
        until = look.timeline.ended if look.state.terminal else None
        total = so_far(record, until or self._clock.now()) if cost is None else cost.billed_usd
        if none_came:
            total = record.earlier_usd
        diary.note(
            state=RunState.VERIFIED if look.state.terminal and not alive else diary.record.state,
            steps=look.steps,
            timeline=look.timeline,
            cause={"code": look.cause_code, "message": look.cause_message, "errors": plain(look.errors)},
            phases=times,
            metrics=values,
            missing=missing,
            cost=None if cost is None else plain(cost),
            cost_so_far=total,
            details={**diary.record.details, **details},
        )
        usd = total - record.earlier_usd if own is None else own.billed_usd
        dead = look.state.terminal and usage is not None and not alive
        return Settled(dead, alive, own, usd, own is not None or none_came)

    async def bill(
        self, handle: Handle, spec: RunSpec, look: Observation, prices: Mapping[str, Any] | None
    ) -> tuple[Usage | None, Cost | None]:
        """(usage, cost) of an ended cluster; None for what could not be had, with the cause in the log.

        Args:
            prices: the quote on the run's record; None in a record of the first version: today's serve then.
        """
        usage = await self._usage(handle, spec, look)
        if usage is None or not usage.rows:
            self._warn(f"EMR lists no instances of {handle.cluster_id}: there is no bill")
            return usage, None
        few = ""
        if _unlisted(usage, spec, look):
            few = f"EMR lists {_created(usage)} of {spec.fewest_nodes} instances"
            self._warn(f"{few} of {handle.cluster_id}")
            # Of task nodes some may never come; without the others no step begins.
            if _created(usage) < sum(group.fewest_nodes for group in spec.groups if group.role is not Role.TASK):
                return usage, None
        try:
            quote = await self._book.quote(spec) if prices is None else Quote.from_json(prices)
            cost = await self._book.bill(usage, quote, measured_intervals(spec, look.steps))
        except (RunError, ValueError) as error:
            self._warn(f"no bill for {handle.cluster_id}: {error}")
            return usage, None
        return usage, replace(cost, notes=(*cost.notes, few)) if few else cost

    async def _usage(self, handle: Handle, spec: RunSpec, look: Observation) -> Usage | None:
        """The instance rows, once they are complete, or as they are after the last try."""
        usage: Usage | None = None
        for wait in _USAGE_TRIES_S:
            if wait:
                await self._clock.sleep(wait)
            try:
                usage = await self._target.usage(handle)
            except RunError as error:
                self._warn(f"the instances of {handle.cluster_id} could not be listed: {error.message}")
                continue
            told = all(row.ended and (row.timeline.ended or not row.timeline.created) for row in usage.rows)
            if usage.rows and told and not _unlisted(usage, spec, look):
                break
        return usage

    async def _logs(self, handle: Handle, spec: RunSpec, look: Observation, patient: bool) -> list[dict[str, Any]]:
        """The tails of the logs that explain a failure. `patient`: wait for them, nothing else tells the cause."""
        tails = []
        for wait in _LOG_TRIES_S if patient else _LOG_TRIES_S[:1]:
            if wait:
                await self._clock.sleep(wait)
            tails = await self._target.logs(handle, spec, look)
            if not tails or any(tail.text for tail in tails):
                break
        return [{"name": tail.name, "uri": tail.uri, "text": tail.text} for tail in tails]


def _ids(record: RunRecord, look: Observation) -> Sequence[str]:
    """The ids of the run's own steps, where the record has them and they are this cluster's."""
    known = [step.step_id for step in record.steps if step.stage]
    return known if set(known) <= {step.step_id for step in look.steps} else ()


def _none_came(usage: Usage, look: Observation) -> bool:
    """Whether a cluster is seen to have ended without ever having had an instance: nothing of it was billed.

    A bootstrap action that failed has run on one, whatever is listed.
    """
    none = look.timeline.ready is None and look.end_reason is not Reason.BOOTSTRAP
    return look.state.terminal and none and not _created(usage)


def _with_attempts(cost: Cost, attempts: Sequence[Attempt]) -> Cost:
    """A run's cost: what one run of the job costs is its last cluster's, what was spent is everything."""
    if not attempts:
        return cost
    usd = sum(attempt.usd for attempt in attempts)
    return replace(
        cost,
        billed_usd=cost.billed_usd + usd,
        node_hours=cost.node_hours + sum(attempt.node_hours for attempt in attempts),
        notes=(*cost.notes, f"billed are {len(attempts)} earlier launches too, {usd:.4f} USD"),
    )


def _created(usage: Usage) -> int:
    return sum(row.timeline.created is not None for row in usage.rows)


def _unlisted(usage: Usage, spec: RunSpec, look: Observation) -> bool:
    """Whether fewer instances are listed than the cluster must have had: its steps ran."""
    ran = any(step.timeline.ready is not None for step in look.steps)
    return ran and _created(usage) < spec.fewest_nodes
