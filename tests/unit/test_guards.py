"""Limits: each one refuses what passes it and nothing else, before a launch and while a run lives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servo_emr.domain.errors import ConfigurationError, OperatorError, Reason, RunError
from servo_emr.domain.money import Estimate
from servo_emr.domain.ports import Finding, Preflight
from servo_emr.domain.run import Observation, RunRecord, RunState, StepState
from servo_emr.lifecycle.guards import JOB_GRACE_S, Ceilings, admit, spent, within_budget
from servo_emr.lifecycle.past import Past
from tests.support.samples import RUN_ID, SPEC, limited, look, step_look

ESTIMATE = Estimate(
    usd_per_hour=1.2,
    ceiling_usd_per_hour=1.2,
    ec2_usd_per_hour=0.9,
    fee_usd_per_hour=0.24,
    ebs_usd_per_hour=0.06,
    primary_usd_per_hour=0.24,
    floor_usd=0.16,
    likely_usd=0.56,
    likely_s=1680.0,
    high_usd=2.9,
    high_s=8700.0,
    basis="test",
)
VCPUS = Preflight(vcpus={"m5.xlarge": 4})
RATE = 1.2


def record(created_at: float, usd: float, billed: bool = True) -> RunRecord:
    cost = {"usd": usd} if billed else None
    return RunRecord(RUN_ID, "cafe0123", created_at, "", {}, "", cost=cost, cost_so_far=usd)


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"nodes": 5},
        {"vcpus": 20},
        {"cost_per_hour": 1.2},
        {"cost_per_run": 0.56},
        {"nodes": 5, "vcpus": 20, "cost_per_hour": 1.2, "cost_per_run": 0.56},
    ],
)
def test_a_cluster_exactly_at_its_limits_is_admitted_without_a_word(limits: dict[str, float]) -> None:
    assert admit(limited(**limits), VCPUS, ESTIMATE) == []


@pytest.mark.parametrize(
    ("limits", "reason", "words"),
    [
        ({"nodes": 4}, Reason.LIMITS, "nodes = 5, emr.limits.nodes is 4"),
        ({"vcpus": 19}, Reason.LIMITS, "vcpus = 20, emr.limits.vcpus is 19"),
        ({"cost_per_hour": 1.19}, Reason.LIMITS, "cost_per_hour = 1.2, emr.limits.cost_per_hour is 1.19"),
        ({"cost_per_run": 0.1599}, Reason.COST_CEILING, "one minute of this cluster cost 0.1600 USD"),
    ],
)
def test_a_cluster_above_a_limit_is_rejected_with_both_figures(
    limits: dict[str, float], reason: Reason, words: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        admit(limited(**limits), VCPUS, ESTIMATE)
    assert refused.value.reason is reason
    assert words in refused.value.message
    assert refused.value.remedy


def test_a_likely_cost_above_the_ceiling_is_a_warning_and_no_refusal() -> None:
    (warning,) = admit(limited(cost_per_run=0.5), VCPUS, ESTIMATE)
    assert "0.5600 USD is above emr.limits.cost_per_run 0.5000" in warning


def test_a_floor_exactly_at_the_ceiling_may_still_be_tried() -> None:
    (warning,) = admit(limited(cost_per_run=0.16), VCPUS, ESTIMATE)
    assert "may be stopped" in warning


@pytest.mark.parametrize("reason", [Reason.TYPE_UNSUPPORTED, Reason.NETWORK, Reason.RELEASE_LABEL])
def test_a_certain_finding_refuses_with_its_own_reason(reason: Reason) -> None:
    findings = (Finding(Reason.THROTTLED, "not asked", False), Finding(reason, "It cannot be.", True, "Do that."))
    with pytest.raises(RunError, match=r"It cannot be\. Do that\.") as refused:
        admit(SPEC, Preflight(findings), ESTIMATE)
    assert refused.value.reason is reason


def test_what_could_not_be_asked_is_a_warning() -> None:
    assert admit(SPEC, Preflight((Finding(Reason.CREDENTIALS, "not checked", False),)), ESTIMATE) == ["not checked"]


def test_a_vcpu_limit_is_not_waved_through_when_the_vcpus_are_not_known() -> None:
    with pytest.raises(OperatorError, match=r"m5\.xlarge could not be asked") as refused:
        admit(limited(vcpus=1000), Preflight(), ESTIMATE)
    assert refused.value.reason is Reason.CREDENTIALS


def test_vcpus_that_could_not_be_asked_for_a_passing_reason_are_not_the_operators_fault() -> None:
    unasked = Preflight((Finding(Reason.THROTTLED, "not checked which types the release supports", False),))
    with pytest.raises(RunError) as refused:
        admit(limited(vcpus=1000), unasked, ESTIMATE)
    assert refused.value.reason is Reason.THROTTLED


def test_a_run_cost_its_bill_and_without_one_the_running_total() -> None:
    assert spent(record(0.0, 0.5)) == 0.5
    assert spent(record(0.0, 0.25, billed=False)) == 0.25
    assert spent(replace(record(0.0, 0.5), cost={"usd": 0.5, "billed_usd": 0.9})) == 0.9, "budgets count what was spent"


def test_the_hourly_limit_counts_spot_nodes_at_the_most_that_may_be_paid_for_them() -> None:
    spot = replace(ESTIMATE, usd_per_hour=0.6)
    assert admit(limited(cost_per_hour=1.2), VCPUS, spot) == []
    with pytest.raises(ConfigurationError, match=r"cost_per_hour = 1\.2"):
        admit(limited(cost_per_hour=1.0), VCPUS, spot)


@pytest.mark.parametrize(("limit", "refused"), [(None, False), (1.0, False), (0.75, True), (0.5, True)])
def test_the_days_budget_counts_the_runs_of_the_last_24_hours(limit: float | None, refused: bool) -> None:
    now = 1_000_000.0
    runs = [record(now - 60, 0.5), record(now - 3600, 0.25, billed=False), record(now - 86_401, 100.0)]

    spec, day = limited(spend_per_day=limit), Past(tuple(runs), now).of_last_day()
    if refused:
        with pytest.raises(OperatorError, match=r"2 runs of the last 24 hours cost 0\.7500 USD") as error:
            within_budget(day, spec)
        assert error.value.reason is Reason.BUDGET
    else:
        within_budget(day, spec)
        assert next(day, None) is None or limit is None, "all of them were counted"


PENDING = look(step_look(StepState.PENDING, None, None), state=RunState.PROVISIONING)
BOOTING = replace(PENDING, state=RunState.BOOTSTRAPPING)
RUNNING = look(step_look(StepState.RUNNING, 400.0, None), state=RunState.RUNNING)


@pytest.mark.parametrize(
    ("limits", "seen", "at", "reason"),
    [
        ({"cost_per_run": 1.0}, RUNNING, 3001.0, Reason.COST_CEILING),
        ({"max_cost_usd": 1.0}, RUNNING, 3001.0, Reason.MAX_COST),
        ({"cost_per_run": 1.0, "max_cost_usd": 1.0}, RUNNING, 3001.0, Reason.MAX_COST),
        ({"deadline_s": 600.0}, RUNNING, 1001.0, Reason.DEADLINE),
        ({}, RUNNING, 400.0 + 7200.0 + JOB_GRACE_S + 1, Reason.JOB_TIMEOUT),
        ({"provisioning_s": 1200.0}, PENDING, 1201.0, Reason.CAPACITY),
        ({"cost_per_run": 0.1}, PENDING, 301.0, Reason.CAPACITY),
        ({"max_cost_usd": 0.1}, PENDING, 301.0, Reason.MAX_COST),
        ({"cost_per_run": 0.1}, BOOTING, 301.0, Reason.COST_CEILING),
    ],
)
def test_a_limit_is_passed_one_second_after_it_and_not_at_it(
    limits: dict[str, float], seen: Observation, at: float, reason: Reason
) -> None:
    ceilings = Ceilings(limited(**limits), 0.0, RATE)
    assert ceilings.passed(seen, at - 1) is None
    error = ceilings.passed(seen, at)
    assert error is not None
    assert error.reason is reason
    assert ceilings.next_limit(seen, at - 1) <= 0.0 + 1e-9 or at - 1 + ceilings.next_limit(seen, at - 1) == at - 1


def test_a_cluster_that_has_no_nodes_yet_is_given_up_for_its_cost_without_blaming_its_configuration() -> None:
    ceilings = Ceilings(limited(cost_per_run=3.0), 0.0, 20.0)
    assert ceilings.passed(PENDING, 539.0) is None
    error, unseen = ceilings.passed(PENDING, 541.0), ceilings.passed(PENDING, 541.0, seen_at=300.0)
    assert error is not None
    assert (error.reason, "cost_per_run" in error.message) == (Reason.CAPACITY, True)
    assert unseen is not None
    assert unseen.reason is Reason.ENDPOINT, "it may have been provisioned since"


def test_a_job_is_past_its_time_only_when_it_was_seen_running_past_it() -> None:
    ceilings, limit = Ceilings(limited(), 0.0, RATE), 400.0 + 7200.0 + JOB_GRACE_S
    assert ceilings.passed(RUNNING, limit + 1, seen_at=limit - 100.0) is None
    assert ceilings.next_limit(RUNNING, limit + 1) == pytest.approx(JOB_GRACE_S - 1)
    unseen = ceilings.passed(RUNNING, limit + JOB_GRACE_S + 1, seen_at=limit - 100.0)
    assert unseen is not None
    assert unseen.reason is Reason.ENDPOINT
    seen = ceilings.passed(RUNNING, limit + 61, seen_at=limit + 60)
    assert seen is not None
    assert seen.reason is Reason.JOB_TIMEOUT


def test_the_jobs_time_limits_hold_for_each_repeat_anew() -> None:
    repeats = tuple(replace(SPEC.steps[0], repeat=n) for n in (1, 2))
    spec = replace(SPEC, steps=repeats, job=replace(SPEC.job, repeats=2))
    second = look(step_look(ended=7000.0), step_look(StepState.RUNNING, 7001.0, None), state=RunState.RUNNING)
    ceilings = Ceilings(spec, 0.0, RATE)
    assert ceilings.passed(second, 14_000.0) is None
    error = ceilings.passed(second, 7001.0 + 7200.0 + JOB_GRACE_S + 1)
    assert error is not None
    assert error.reason is Reason.JOB_TIMEOUT
    assert ceilings.job_started(second) == 100.0


def test_the_next_limit_is_the_earliest_of_all() -> None:
    ceilings = Ceilings(limited(cost_per_run=1.0, deadline_s=600.0), 0.0, RATE)
    assert ceilings.next_limit(RUNNING, 500.0) == pytest.approx(500.0)
    assert ceilings.next_limit(PENDING, 500.0) == pytest.approx(700.0)
    assert Ceilings(limited(cost_per_run=1.0), 0.0, 0.0).next_limit(PENDING, 0.0) == 1200.0


def test_a_job_that_has_started_is_not_late_and_one_that_is_ending_neither() -> None:
    ceilings = Ceilings(SPEC, 0.0, RATE)
    assert ceilings.passed(RUNNING, 1300.0) is None
    assert ceilings.passed(replace(PENDING, state=RunState.ENDING), 1300.0) is None


def test_the_running_total_starts_with_a_minute_and_follows_the_whole_clusters_rate() -> None:
    ceilings = Ceilings(SPEC, 1000.0, 3.6)
    assert ceilings.cost_so_far(1000.0) == pytest.approx(0.06)
    assert ceilings.cost_so_far(1000.0 + 3600.0) == pytest.approx(3.6)
    assert ceilings.job_started(look()) is None
