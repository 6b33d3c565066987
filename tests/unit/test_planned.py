"""The page of a plan, from an appraisal made up: what a fleet may come to is said, and counted within the limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servo_emr.checks.result import Checked, Outcome
from servo_emr.cli.check import show_checks
from servo_emr.cli.planned import Planned, limits, plan_page, summary
from servo_emr.domain.cluster import Fleet, FleetType, Market
from servo_emr.domain.errors import Reason
from servo_emr.domain.money import Estimate, Quote
from servo_emr.domain.ports import Finding, Preflight
from servo_emr.domain.spec import LimitSpec, NodeGroup, RunSpec
from servo_emr.lifecycle.stage import Appraisal
from tests.support.samples import SPACE, SPEC, WORKSPACE

FLEET = Fleet(
    types=(
        FleetType("m5.2xlarge", weight=2),
        FleetType("c5.xlarge", bid_usd=0.11),
        FleetType("r5.xlarge", 1, None, 80),
    ),
    alternatives=("m5.2xlarge", "c5.xlarge", "r5.xlarge"),
    on_demand=1,
)
VCPUS = {"m5.xlarge": 4, "m5.2xlarge": 8, "c5.xlarge": 4, "r5.xlarge": 4}


def planned(*groups: NodeGroup, ceiling: float = 1.5, applications: tuple[str, ...] = ("Spark",)) -> Planned:
    spec: RunSpec = replace(
        SPEC,
        groups=groups,
        cluster=replace(SPEC.cluster, subnet_ids=("subnet-a", "subnet-b"), applications=applications),
        limits=LimitSpec(nodes=20, vcpus=64),
    )
    estimate = Estimate(1.0, ceiling, 0.7, 0.2, 0.1, 0.2, 0.1, 0.5, 1800.0, 3.0, 7200.0, "a basis")
    preflight = Preflight(vcpus=VCPUS, subnet_ids=spec.cluster.subnet_ids)
    appraisal = Appraisal(preflight, Quote("us-east-1", {}, {}), estimate, (), None)
    return Planned(spec, SPACE.settings, SPACE.configured, SPACE.configured, appraisal, 0.0, (), WORKSPACE)


def test_a_fleets_units_types_bids_and_what_happens_without_spot_are_on_the_page() -> None:
    primary, core = SPEC.groups
    page = planned(replace(primary, fleet=Fleet()), replace(core, market=Market.SPOT, fleet=FLEET))
    text = " ".join(plan_page(page, 80).split())
    assert "in subnet-a or subnet-b" in text
    assert "a fleet of 1 on-demand unit of m5.xlarge" in text
    assert (
        "a fleet of 1 on-demand + 3 spot units of m5.xlarge or m5.2xlarge (2 units each) or c5.xlarge (at most 0.1100 "
        "USD an hour) or r5.xlarge (at most 80 % of its on-demand price); after 20 min without spot: terminate-cluster"
    ) in text
    assert "an hour at most" in text
    # One on demand and three on spot: of two units each that is one and two.
    assert summary(page).startswith("Plan: 1 cluster of 4 to 5 nodes to launch")
    counted = {row["limit"]: row["this"] for row in limits(page)}
    assert (counted["nodes"], counted["vcpus"]) == (5, 4 + 3 * 8)


def test_groups_are_what_was_asked_for() -> None:
    page = planned(*SPEC.groups)
    text = " ".join(plan_page(page, 80).split())
    assert "4 x m5.xlarge, on-demand" in text and "fleet" not in text
    assert summary(page).startswith("Plan: 1 cluster of 5 nodes to launch")
    assert {row["limit"]: row["this"] for row in limits(page)}["vcpus"] == 20


def test_a_ceiling_that_differs_in_its_last_digits_alone_is_no_other_rate() -> None:
    assert "an hour at most" not in plan_page(planned(*SPEC.groups, ceiling=1.0000000000000002), 80)


def test_a_cluster_without_applications_is_told_so() -> None:
    assert "with no application, in" in " ".join(plan_page(planned(*SPEC.groups, applications=()), 80).split())


def test_a_finding_is_a_sentence_before_its_remedy_is_said() -> None:
    page = planned(*SPEC.groups)
    findings = (
        Finding(Reason.QUOTA, "the quota is 4", True, "Ask for more."),
        Finding(Reason.QUOTA, "It may be less.", False, "Look there."),
        Finding(Reason.QUOTA, "nothing helps", False),
    )
    preflight = replace(page.appraisal.preflight, findings=findings)
    found = replace(page, appraisal=replace(page.appraisal, preflight=preflight))
    text = " ".join(plan_page(found, None).split())
    assert "Cannot run: the quota is 4. Ask for more." in text
    assert "Mind: It may be less. Look there." in text
    assert "Mind: nothing helps" in text
    assert "helps." not in text


def test_what_helps_several_checks_is_said_at_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    failed = [Checked(name, Outcome.FAILED, f"{name} was not asked.", "Log in.") for name in ("identity", "bucket")]
    show_checks([Checked("servo.yaml", Outcome.OK, "It is read."), *failed])
    told = capsys.readouterr().err
    assert told.startswith("1 of 3 checks are in order.")
    assert told.count("Log in.") == 1
    assert told.index("identity") < told.index("Log in.") < told.index("bucket")
