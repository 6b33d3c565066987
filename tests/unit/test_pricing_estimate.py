"""The estimate of a run: its properties and its edges."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servo_emr.domain.cluster import Disk, Fleet, FleetType, RootVolume, TimeoutAction, Volume
from servo_emr.domain.money import Estimate, Quote
from servo_emr.domain.spec import Market, Role, RunSpec
from servo_emr.pricing.estimate import appraise
from tests.support.prices import GP2, GP3, group, rate, spec

QUOTE = Quote(
    "us-east-1",
    {"m5.xlarge": rate("m5.xlarge", 0.192, 0.048), "r5.2xlarge": rate("r5.2xlarge", 0.504, 0.126)},
    {"gp2": GP2, "gp3": GP3},
    {"m5.xlarge": 0.07, "r5.2xlarge": 0.2},
)
PRIMARY = 0.192 + 0.048 + 7.6 / 720

counts = st.integers(0, 40)
times = st.floats(0.0, 100_000.0)


def shape(core: int, task: int, expected_s: float, repeats: int, market: Market, bid: float | None) -> RunSpec:
    """A cluster with a primary node, core nodes on demand and task nodes in a market."""
    groups = (
        group(Role.PRIMARY, "m5.xlarge"),
        group(Role.CORE, "r5.2xlarge", core),
        group(Role.TASK, "m5.xlarge", task, market, bid if market is Market.SPOT else None),
    )
    return spec(*groups, expected_s=expected_s, repeats=repeats)


def parts(found: Estimate) -> tuple[float, ...]:
    """What must not fall when a run becomes larger."""
    return (
        found.usd_per_hour,
        found.ceiling_usd_per_hour,
        found.floor_usd,
        found.likely_usd,
        found.high_usd,
        found.likely_s,
        found.high_s,
    )


@settings(deadline=None)
@given(counts, counts, times, times, st.integers(1, 5), st.sampled_from(Market), st.none() | st.floats(0.01, 3.0))
def test_an_estimate_is_the_sum_of_its_parts_in_order_and_never_falls(
    core: int, task: int, provisioning: float, job: float, repeats: int, market: Market, bid: float | None
) -> None:
    found = appraise(shape(core, task, job, repeats, market, bid), QUOTE, provisioning)
    assert found.usd_per_hour == found.ec2_usd_per_hour + found.fee_usd_per_hour + found.ebs_usd_per_hour
    assert found.primary_usd_per_hour == pytest.approx(PRIMARY)
    assert found.primary_usd_per_hour <= found.usd_per_hour * (1 + 1e-12)
    assert found.usd_per_hour <= found.ceiling_usd_per_hour * (1 + 1e-12)
    assert 0 < found.floor_usd <= found.likely_usd <= found.high_usd * (1 + 1e-12)
    for more in (
        (core + 1, task, job, repeats),
        (core, task + 1, job, repeats),
        (core, task, job + 1, repeats),
        (core, task, job, repeats + 1),
    ):
        larger = appraise(shape(*more, market, bid), QUOTE, provisioning)
        assert all(a >= b * (1 - 1e-12) for a, b in zip(parts(larger), parts(found), strict=True))
    assert appraise(shape(core, task, job, repeats, market, bid), QUOTE, provisioning + 1).likely_usd > found.likely_usd


@pytest.mark.parametrize(
    ("bid", "expected", "most"), [(None, 0.07, 0.192), (0.10, 0.07, 0.10), (0.05, 0.05, 0.05), (0.50, 0.07, 0.50)]
)
def test_spot_is_expected_at_the_present_price_and_never_above_the_bid(
    bid: float | None, expected: float, most: float
) -> None:
    found = appraise(shape(0, 2, 600.0, 1, Market.SPOT, bid), QUOTE, 420.0)
    assert found.ec2_usd_per_hour == pytest.approx(0.192 + 2 * expected)
    assert found.ceiling_usd_per_hour - found.usd_per_hour == pytest.approx(2 * (most - expected))


def test_the_high_figure_takes_every_limit_and_a_shorter_deadline_of_the_trial() -> None:
    long = spec("m5.xlarge", timeout_s=7200.0, repeats=2)
    assert appraise(long, QUOTE, 420.0).high_s == 1200 + 2 * 7200 + 60
    short = dataclasses.replace(long, limits=dataclasses.replace(long.limits, deadline_s=900.0, provisioning_s=600.0))
    found = appraise(short, QUOTE, 420.0)
    assert found.likely_s == 420 + 2 * 1200 + 60
    assert found.high_s == found.likely_s  # 600 + 2 x 900 + 60 would be less than what is expected


def test_an_older_release_has_a_smaller_root_volume_of_another_kind() -> None:
    found = appraise(spec("m5.xlarge", release="emr-5.36.0"), QUOTE, 420.0)
    assert found.ebs_usd_per_hour == pytest.approx((10 * 0.1 + 64 * 0.1) / 720)
    assert "EBS gp2: list price of 2024" in found.basis


def test_an_estimate_leaves_an_empty_group_out_and_names_what_it_assumed() -> None:
    found = appraise(spec("m5.xlarge", group(Role.TASK, "q1.unknown", 0, Market.SPOT)), QUOTE, 420.0)
    assert found.usd_per_hour == pytest.approx(PRIMARY)
    for part in (
        "us-east-1, on-demand, USD",
        "m5.xlarge: EC2 list price of 2023-08-30, EMR fee list of 2019-04-05",
        "EBS gp2, EBS gp3: list price of 2024",
        "likely: 420 s until the first step, 1 x 1200 s of job, 60 s of ending",
        "high: 1200 s, 1 x 7200 s, 60 s",
        "not included",
    ):
        assert part in found.basis


@pytest.mark.parametrize(("provisioning", "job"), [(-1.0, 10.0), (10.0, -1.0), (math.nan, 10.0), (10.0, math.inf)])
def test_an_estimate_of_no_time_is_refused(provisioning: float, job: float) -> None:
    with pytest.raises(ValueError, match="no estimate"):
        appraise(spec("m5.xlarge", expected_s=job), QUOTE, provisioning)


def test_a_fleet_is_estimated_as_asked_for_and_limited_as_the_dearest_that_it_may_become() -> None:
    """4 units of m5.xlarge (0.192 + 0.048 a node), one of them on demand, on spot else (0.07); or r5.2xlarge
    (0.504 + 0.126, on spot 0.2), which counts 3 units: one on demand, one on spot for the three others."""
    fleet = Fleet(
        types=(FleetType("r5.2xlarge", weight=3), FleetType("m5.xlarge", bid_percent=50.0)),
        alternatives=("r5.2xlarge",),
        on_demand=1,
        timeout_action=TimeoutAction.SWITCH_TO_ON_DEMAND,
    )
    disks_ = (Disk(Volume("gp3", 72.0)),)
    primary = dataclasses.replace(group(Role.PRIMARY, "m5.xlarge"), disks=disks_, fleet=Fleet())
    core = dataclasses.replace(group(Role.CORE, "m5.xlarge", 4, Market.SPOT), disks=disks_, fleet=fleet)
    asked = spec(primary, core)
    disks = (72.0 + 15.0) * GP3.gib_month / 720
    found = appraise(asked, QUOTE, 420.0)
    assert found.ec2_usd_per_hour == pytest.approx(0.192 + 0.192 + 3 * 0.07)
    assert found.fee_usd_per_hour == pytest.approx(5 * 0.048)
    assert found.ebs_usd_per_hour == pytest.approx(5 * disks)
    # Switched to on demand: 4 x 0.24 = 0.96 of the small ones, 2 x 0.63 = 1.26 of the large ones.
    assert found.ceiling_usd_per_hour == pytest.approx(0.24 + disks + 1.26 + 2 * disks)
    assert (asked.nodes, asked.fewest_nodes) == (5, 3)
    assert asked.inst_types == ("m5.xlarge", "r5.2xlarge")
    # Ended instead of switched: spot at its bid, half of 0.192, is the most: 1 x 0.24 + 3 x 0.144 of the small ones.
    ended = dataclasses.replace(fleet, timeout_action=TimeoutAction.TERMINATE_CLUSTER, alternatives=())
    cheaper = appraise(spec(primary, dataclasses.replace(core, fleet=ended)), QUOTE, 420.0)
    assert cheaper.ceiling_usd_per_hour == pytest.approx(0.24 + disks + 0.24 + 3 * (0.096 + 0.048) + 4 * disks)
    assert cheaper.usd_per_hour == pytest.approx(found.usd_per_hour)


def test_a_root_volume_that_was_asked_for_is_priced() -> None:
    plain = spec("m5.xlarge")
    larger = dataclasses.replace(plain, cluster=dataclasses.replace(plain.cluster, root_volume=RootVolume(gib=735)))
    more = appraise(larger, QUOTE, 420.0).ebs_usd_per_hour - appraise(plain, QUOTE, 420.0).ebs_usd_per_hour
    assert more == pytest.approx(720 * GP3.gib_month / 720)
