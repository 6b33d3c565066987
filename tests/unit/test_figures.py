"""The figures of a run: what EMR's clock says, what the bill says, and for everything else why it is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servo_emr.domain.errors import Verdict
from servo_emr.domain.money import Cost
from servo_emr.domain.run import InstanceRow, JobEvidence, Observation, RunRecord, RunState, Timeline, Usage, Volume
from servo_emr.domain.spec import NodeGroup, Role, RunSpec, plain
from servo_emr.lifecycle.figures import (
    BUILT_IN,
    PROVISIONING_S,
    disturbed,
    expected_provisioning,
    expected_seconds,
    figures,
    phases,
)
from tests.support.samples import RUN_ID, SPEC, look, step_look

ROOT = Volume("gp3", 15)
COST = Cost(
    usd=0.5,
    billed_usd=0.75,
    ec2_usd=0.55,
    fee_usd=0.15,
    fee_low_usd=0.1,
    ebs_usd=0.05,
    node_hours=2.5,
    job_usd=0.3,
    basis="test",
)


def usage(*created: float | None) -> Usage:
    rows = [
        InstanceRow(f"i-{n}", "m5.xlarge", "ig", "ON_DEMAND", "TERMINATED", Timeline(at))
        for n, at in enumerate(created)
    ]
    return Usage("us-east-1", tuple(rows), ROOT)


def record(duration: float, verdict: Verdict = Verdict.SUCCEEDED, count: int = 4) -> RunRecord:
    groups = (SPEC.groups[0], NodeGroup(Role.CORE, "m5.xlarge", count))
    spec = plain(replace(SPEC, groups=groups))
    return RunRecord(RUN_ID, "", 0.0, "", spec, "", verdict=verdict, phases={"duration": duration})


def test_phases_follow_the_services_own_clock() -> None:
    times = phases(SPEC, look(step_look()), usage(20.0, 30.0, 150.0, None))
    assert times == {
        "duration": 100.0,
        "provisioning_time": 30.0,
        "bootstrap_time": 60.0,
        "teardown_time": 60.0,
        "total_time": 260.0,
    }


def test_a_phase_whose_ends_are_not_both_known_is_left_out() -> None:
    seen = replace(look(step_look(started=100.0, ended=None)), timeline=Timeline(0.0, 90.0, None))
    assert phases(SPEC, seen, None) == {}


def test_a_phase_that_would_be_negative_is_left_out() -> None:
    seen = replace(look(step_look(ended=300.0)), timeline=Timeline(0.0, 90.0, 260.0))
    assert "teardown_time" not in phases(SPEC, seen, None)


def test_a_step_that_ended_before_it_started_has_no_duration_and_breaks_nothing_else() -> None:
    times = phases(SPEC, look(step_look(started=200.0, ended=100.0)), None)
    assert "duration" not in times
    assert times["total_time"] == 260.0


def test_every_built_in_metric_has_a_value_when_everything_is_known() -> None:
    values, missing = figures(BUILT_IN, phases(SPEC, look(step_look()), usage(20.0)), COST, None)
    assert missing == {}
    assert (values["cost"], values["billed_cost"]) == (0.5, 0.75)
    assert (values["job_cost"], values["node_hours"], values["duration"]) == (0.3, 2.5, 100.0)
    assert values.keys() == BUILT_IN.keys()


def test_only_the_metrics_that_were_asked_for_come_out() -> None:
    assert figures(["cost"], {"duration": 1.0}, COST, JobEvidence(None, {"rows": 3.0})) == ({"cost": 0.5}, {})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_metric_without_a_finite_value_is_missing_and_never_0(value: float | None) -> None:
    evidence = JobEvidence(None, {} if value is None else {"rows": value}, {"rows": "the value is not a number"})
    assert figures(["rows"], {}, None, evidence) == ({}, {"rows": "the value is not a number"})


def test_each_missing_metric_says_why() -> None:
    values, missing = figures(["duration", "cost", "node_hours", "rows"], {}, None, None)
    assert values == {}
    assert missing == {
        "duration": "EMR gives no times",
        "cost": "the bill could not be made",
        "node_hours": "the bill could not be made",
        "rows": "the job did not report it",
    }


def test_a_bill_without_a_jobs_share_is_still_a_bill() -> None:
    values, missing = figures(["cost", "job_cost"], {}, replace(COST, job_usd=None), None)
    assert values == {"cost": 0.5}
    assert missing == {"job_cost": "EMR gives no times"}


def test_the_expected_duration_is_the_median_of_like_runs_that_succeeded() -> None:
    history = [record(100.0), record(300.0), record(200.0), record(9.0, Verdict.JOB), record(8.0, count=6)]
    assert expected_seconds(SPEC, history) == 200.0
    assert expected_seconds(SPEC, history[3:]) == SPEC.job.expected_s
    assert expected_seconds(SPEC, []) == 1200.0


def test_the_expected_provisioning_is_that_of_like_runs_too() -> None:
    times = {"duration": 1.0, "provisioning_time": 200.0, "bootstrap_time": 100.0}
    history = [replace(record(1.0), phases=times), record(1.0), replace(record(1.0, count=6), phases=times)]
    assert expected_provisioning(SPEC, history) == 300.0
    assert expected_provisioning(SPEC, history[1:]) == PROVISIONING_S


def test_the_duration_of_several_repeats_is_their_median_and_there_is_none_while_one_is_not_known() -> None:
    repeats = tuple(replace(SPEC.steps[0], repeat=n) for n in (1, 2, 3))
    spec = replace(SPEC, steps=repeats, job=replace(SPEC.job, repeats=3))
    ends = (150.0, 290.0, 390.0)
    looks = [step_look(started=at, ended=end) for at, end in zip((100.0, 200.0, 300.0), ends, strict=True)]
    assert phases(spec, look(*looks), None)["duration"] == 90.0
    assert "duration" not in phases(spec, look(*looks[:2]), None)


def sized(nodes: int) -> RunSpec:
    """The sample with so many nodes."""
    return replace(SPEC, groups=(SPEC.groups[0], replace(SPEC.groups[1], count=nodes - 1)))


def test_nodes_that_were_lost_before_the_job_had_ended_disturb_a_run_and_later_ones_do_not() -> None:
    def rows(*ends: tuple[float, str]) -> Usage:
        lost = tuple(
            InstanceRow(f"i-{n}", "m5.xlarge", "ig", market, "TERMINATED", Timeline(1.0, None, end))
            for n, (end, market) in enumerate(ends)
        )
        return Usage("us-east-1", lost, ROOT)

    seen = look(step_look(ended=200.0))
    assert disturbed(sized(2), rows((230.0, "SPOT"), (200.0, "ON_DEMAND")), seen) == ""
    assert disturbed(sized(1), rows((199.0, "ON_DEMAND")), seen) == "1 node lost before the job had ended"
    assert disturbed(sized(2), rows((150.0, "SPOT"), (199.0, "ON_DEMAND")), seen) == (
        "2 nodes lost before the job had ended, 1 of them on spot"
    )
    assert disturbed(sized(1), rows((150.0, "SPOT")), look(step_look(started=None, ended=None))) == ""


def test_a_node_that_was_added_after_the_cluster_was_ready_disturbs_a_run_too() -> None:
    def row(created: float, ended: float) -> InstanceRow:
        return InstanceRow("i", "m5.xlarge", "ig", "ON_DEMAND", "TERMINATED", Timeline(created, created + 9.0, ended))

    seen = look(step_look(ended=200.0))  # ready at 90
    all_three = Usage("us-east-1", (row(20.0, 260.0), row(90.0, 260.0), row(201.0, 260.0)), ROOT)
    assert disturbed(sized(2), all_three, seen) == ""
    replaced = Usage("us-east-1", (row(20.0, 120.0), row(130.0, 260.0)), ROOT)
    assert disturbed(sized(2), replaced, seen) == (
        "1 node lost before the job had ended; 1 node added after the cluster was ready"
    )


def test_nodes_that_never_came_and_nodes_that_came_far_apart_disturb_a_run_too() -> None:
    def rows(*created: float) -> Usage:
        found = tuple(
            InstanceRow(f"i-{n}", "m5.xlarge", "ig", "ON_DEMAND", "TERMINATED", Timeline(at, at + 9.0, 2600.0))
            for n, at in enumerate(created)
        )
        return Usage("us-east-1", found, ROOT)

    seen = Observation(RunState.VERIFIED, Timeline(0.0, 900.0, 2600.0), (step_look(started=910.0, ended=2500.0),))
    assert disturbed(sized(3), rows(20.0, 30.0, 320.0), seen) == ""
    with_task = replace(sized(2), groups=(*sized(2).groups, NodeGroup(Role.TASK, "m5.xlarge", 1)))
    assert disturbed(with_task, rows(20.0, 30.0), seen) == "2 of 3 nodes had come when the job ended"
    assert disturbed(sized(3), rows(20.0, 30.0), seen) == "", "without its core nodes no step begins: a listing lags"
    assert disturbed(sized(3), rows(20.0, 30.0, 321.0), seen) == (
        "provisioning was throttled: its nodes came 301 s apart"
    )
