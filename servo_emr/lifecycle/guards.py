"""Limits: what may be launched at all, and what makes a running run stop.

`admit` is asked when settings are adjusted and again right before a launch, whoever asked for it.
`Ceilings` is asked at every look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from servo_emr.domain.errors import Censored, ConfigurationError, OperatorError, Reason, RunError, failure
from servo_emr.domain.money import Estimate
from servo_emr.domain.ports import Preflight
from servo_emr.domain.run import Observation, RunRecord, RunState
from servo_emr.domain.spark import misfits, sized
from servo_emr.domain.spec import RunSpec
from servo_emr.lifecycle.underway import job_since, limited, tidying

__all__ = ["JOB_GRACE_S", "Ceilings", "admit", "most_vcpus", "possible", "so_far", "spent", "within_budget"]

JOB_GRACE_S = 300.0
"""How much longer than the limit on the cluster a step may run before we end it: the limit there comes first."""


def admit(spec: RunSpec, preflight: Preflight, estimate: Estimate) -> list[str]:
    """Refuses what certainly cannot or must not run; returns warnings about what is merely likely.

    Raises:
        RunError: the first certain finding, or a limit of servo.yaml that the spec passes.
    """
    limits = spec.limits
    possible(preflight)
    _within("nodes", spec.nodes, limits.nodes)
    if limits.vcpus is not None:
        unknown = [t for t in spec.inst_types if t not in preflight.vcpus]
        if unknown:
            raise _unsized("emr.limits.vcpus is set", f"the vCPUs of {', '.join(unknown)}", preflight)
        _within("vcpus", most_vcpus(spec, preflight.vcpus), limits.vcpus)
    _within("cost_per_hour", estimate.ceiling_usd_per_hour, limits.cost_per_hour)
    warnings = [finding.message for finding in preflight.findings]
    warnings += _spark_fits(spec, preflight)
    if limits.cost_per_run is not None:
        if estimate.floor_usd > limits.cost_per_run:
            raise ConfigurationError(
                f"Provisioning and one minute of this cluster cost {estimate.floor_usd:.4f} USD, "
                f"emr.limits.cost_per_run is {limits.cost_per_run:.4f}.",
                Reason.COST_CEILING,
                remedy="Raise the limit in servo.yaml, or keep such clusters out of emr.components.",
                public="the cheapest possible run is above cost_per_run",
            )
        if estimate.likely_usd > limits.cost_per_run:
            warnings.append(
                f"likely cost {estimate.likely_usd:.4f} USD is above emr.limits.cost_per_run "
                f"{limits.cost_per_run:.4f}: the run may be stopped"
            )
    return warnings


def most_vcpus(spec: RunSpec, vcpus: Mapping[str, int]) -> int:
    """The vCPUs that the cluster has at most; `vcpus` are those of each type that it may have."""
    return sum(max(vcpus[t] * sum(g.nodes_of(t)) for t in g.inst_types) for g in spec.groups if g.count)


def _spark_fits(spec: RunSpec, preflight: Preflight) -> list[str]:
    """Refuses executors that no worker can hold; what is worth a warning is returned.

    Raises:
        ConfigurationError: with the arithmetic.
        RunError: executors are to be sized, and the types' memory could not be asked.
    """
    unknown = [name for name in spec.inst_types if name not in preflight.sizes]
    if spec.cluster.spark_auto and unknown:
        raise _unsized("emr.cluster.spark is auto", f"the memory of {', '.join(unknown)}", preflight)
    wrong, mind = misfits(sized(spec, preflight.sizes), preflight.sizes)
    if wrong:
        raise ConfigurationError(
            f"Spark does not fit: {'; '.join(wrong)}.",
            Reason.OUT_OF_MEMORY if "MiB" in wrong[0] else Reason.OUT_OF_BOUNDS,
            remedy="Ask for less, for larger nodes, or set emr.cluster.spark: auto, which sizes them for each run.",
            public="Spark's settings do not fit the nodes",
        )
    return mind


def _unsized(why: str, what: str, preflight: Preflight) -> RunError:
    """The refusal of a spec whose types' sizes are needed. What kept the question from being asked says who must act:
    a throttle passes by itself."""
    finding = next(iter(preflight.findings), None)
    return failure(
        Reason.CREDENTIALS if finding is None else finding.reason,
        f"{why}, and {what} could not be asked.",
        remedy=(finding and finding.remedy) or "Allow elasticmapreduce:ListSupportedInstanceTypes.",
        public="the size of an instance type is not known",
    )


def possible(preflight: Preflight) -> None:
    """Refuses what AWS says cannot run.

    Raises:
        RunError: the first certain finding.
    """
    for finding in preflight.findings:
        if finding.certain:
            raise failure(finding.reason, finding.message, remedy=finding.remedy, public=finding.public)


def _within(name: str, asked: float, limit: float | None) -> None:
    if limit is not None and asked > limit:
        raise ConfigurationError(
            f"This cluster has {name} = {asked:.6g}, emr.limits.{name} is {limit:.6g}.",
            Reason.LIMITS,
            remedy="Raise the limit in servo.yaml, or narrow the bounds in emr.components.",
            public=f"{name} above its limit",
        )


def spent(record: RunRecord) -> float:
    """What a run cost, all its launches, in USD: its bill, or the running total where there is no bill."""
    if not record.cost:
        return record.cost_so_far
    # Records of the first version measured once: what they cost is what was billed.
    return float(record.cost.get("billed_usd", record.cost["usd"]))


def so_far(record: RunRecord, until: float) -> float:
    """What a run has cost up to a moment, in USD, while its cluster has no bill: its time at the full rate since the
    launch, beside what earlier launches cost."""
    if record.attempts and record.launched_at is None:
        return record.earlier_usd
    return record.earlier_usd + _at_rate(until - (record.launched_at or record.created_at), record.usd_per_hour)


def _at_rate(seconds: float, usd_per_hour: float) -> float:
    return max(seconds, 60.0) * usd_per_hour / 3600


def within_budget(day: Iterable[RunRecord], spec: RunSpec) -> None:
    """Refuses a launch when the runs of the last 24 hours have used up `limits.spend_per_day`.

    Raises:
        OperatorError: operator/budget.
    """
    limit = spec.limits.spend_per_day
    if limit is None:
        return
    costs = [spent(record) for record in day]
    if sum(costs) >= limit:
        raise OperatorError(
            f"{len(costs)} runs of the last 24 hours cost {sum(costs):.4f} USD, "
            f"emr.limits.spend_per_day is {limit:.4f}.",
            Reason.BUDGET,
            remedy="Wait, or raise the limit in servo.yaml.",
            public="the budget of the day is used up",
        )


@dataclass(frozen=True)
class Ceilings:
    """The limits of one run while it lives.

    `usd_per_hour` is the whole cluster's rate, spot nodes at the most that may be paid for them; `before` are the USD
    that earlier launches of the run have cost. Limits in USD hold for all launches together, limits in time for each.
    """

    spec: RunSpec
    launched: float
    usd_per_hour: float
    before: float = 0.0

    def cost_so_far(self, now: float) -> float:
        """USD since the launch at the cluster's full rate, with the floor of a minute: never less than the bill."""
        return self.before + _at_rate(now - self.launched, self.usd_per_hour)

    def passed(
        self, look: Observation, now: float, seen_at: float | None = None, unseen: RunError | None = None
    ) -> RunError | None:
        """The limit that the run has passed, or None.

        Args:
            seen_at: when `look` was taken, if not now.
            unseen: why no look since then has succeeded.
        """
        limits = self.spec.limits
        cost, seen_at = self.cost_so_far(now), now if seen_at is None else seen_at
        if limits.max_cost_usd is not None and cost > limits.max_cost_usd:
            return Censored(
                "The run passed the trial's own max_cost_usd.", Reason.MAX_COST, public="stopped at max_cost_usd"
            )
        if limits.cost_per_run is not None and cost > limits.cost_per_run:
            return self._cost_ceiling(look, now, seen_at, unseen)
        step = limited(self.spec, look)
        if step is None:
            return self._late(look, now, seen_at, unseen)
        since = job_since(self.spec, look)
        if limits.deadline_s is not None and since is not None and now - since > limits.deadline_s:
            return Censored(
                "The job passed the trial's own deadline_s.", Reason.DEADLINE, public="stopped at deadline_s"
            )
        started, limit = step
        if now > (latest := started + limit + JOB_GRACE_S):
            if seen_at <= latest:  # it may long have ended: only a look that was taken since can tell
                return None if now <= latest + JOB_GRACE_S else _unseen(now - seen_at, unseen)
            if tidying(self.spec, look):
                return None
            which = "emr.job.timeout" if limit == self.spec.job.timeout_s else "the timeout of its step"
            return ConfigurationError(
                f"The job passed {which}, {limit:.0f} s, and did not end itself.",
                Reason.JOB_TIMEOUT,
                public="the job passed its time limit",
            )
        return None

    def overdue_tidying(self, look: Observation, now: float) -> bool:
        """Whether clean-up has passed its time limit, and the servo ends it: that costs no measurement."""
        step = limited(self.spec, look)
        return step is not None and now > sum(step) + JOB_GRACE_S and tidying(self.spec, look)

    def _cost_ceiling(self, look: Observation, now: float, seen_at: float, unseen: RunError | None) -> RunError:
        """What a run that passed cost_per_run failed of. A cluster without nodes yet says nothing of its configuration:
        what is counted is time at the full rate, and nothing runs."""
        limit = self.spec.limits.cost_per_run or 0.0
        if look.state is not RunState.PROVISIONING:
            return ConfigurationError(
                f"The run passed emr.limits.cost_per_run, {limit:.4f} USD.",
                Reason.COST_CEILING,
                public="stopped at cost_per_run",
            )
        if self.cost_so_far(seen_at) <= limit:
            return _unseen(now - seen_at, unseen)
        return failure(
            Reason.CAPACITY,
            "The cluster had no nodes yet when its time, at the full rate, passed emr.limits.cost_per_run, "
            f"{limit:.4f} USD.",
            remedy="EMR may lack capacity for these types: try other types, zones, or a later time.",
            public="provisioning took too long",
        )

    def _late(self, look: Observation, now: float, seen_at: float, unseen: RunError | None) -> RunError | None:
        """Whether the first step is too late. Only a look that was taken after the limit can tell; without one, the run
        has all the time that a job may take, for it may well be running."""
        if now <= self._provisioned_by or look.state.order > RunState.RUNNING.order:
            return None
        if seen_at <= self._provisioned_by:
            return None if now <= self._unseen_until else _unseen(now - seen_at, unseen)
        return failure(
            Reason.CAPACITY,
            f"No step had started {self.spec.limits.provisioning_s:.0f} s after the launch; the cluster was "
            f"{look.state}.",
            remedy="EMR may lack capacity for these types: try other types, zones, or a later time.",
            public="provisioning took too long",
        )

    def next_limit(self, look: Observation, now: float) -> float:
        """Seconds until the next limit could be passed; a look is worth taking then."""
        limits, step = self.spec.limits, limited(self.spec, look)
        at = [
            self.launched + (usd - self.before) / self.usd_per_hour * 3600
            for usd in (limits.cost_per_run, limits.max_cost_usd)
            if usd is not None and self.usd_per_hour > 0
        ]
        if step is None:
            at.append(self._provisioned_by if now <= self._provisioned_by else self._unseen_until)
        else:
            latest = sum(step) + JOB_GRACE_S
            at.append(latest if now <= latest else latest + JOB_GRACE_S)
            if limits.deadline_s is not None and (since := job_since(self.spec, look)) is not None:
                at.append(since + limits.deadline_s)
        return min(at) - now

    @property
    def _provisioned_by(self) -> float:
        return self.launched + self.spec.limits.provisioning_s

    @property
    def _unseen_until(self) -> float:
        return self._provisioned_by + self.spec.longest_s + JOB_GRACE_S

    def job_started(self, look: Observation) -> float | None:
        """When the first step started, by the service's clock."""
        return min(_starts(look), default=None)


def _unseen(seconds: float, why: RunError | None) -> RunError:
    """A run that nobody could look at. Who must act is told by the last look that failed."""
    reason = why.reason if why is not None and why.reason is Reason.CREDENTIALS else Reason.ENDPOINT
    last = "" if why is None else f" The last one: {why.message}"
    return failure(
        reason,
        f"No look at the cluster succeeded for {seconds:.0f} s, and it must not go on unseen.{last}",
        remedy="Check network, proxy, region and credentials of the servo.",
        public="the cluster could not be looked at",
    )


def _starts(look: Observation) -> list[float]:
    return [step.timeline.ready for step in look.steps if step.timeline.ready is not None]
