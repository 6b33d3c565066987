"""The arithmetic of a bill: its properties, its edges, and the times that cannot be billed."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.money import Cost, SpotPoint
from servo_emr.domain.run import InstanceRow, Timeline, Usage, Volume
from servo_emr.pricing.bill import Tariff, total
from servo_emr.pricing.lives import lives
from servo_emr.pricing.spot import Steps
from tests.support.prices import GP2, GP3, ROOT, T0, ZONE, rate

RATES = {
    "m5.xlarge": rate("m5.xlarge", 0.192, 0.048),
    "r5.2xlarge": rate("r5.2xlarge", 0.504, 0.126),
    "i9.huge": dataclasses.replace(rate("i9.huge", 7.0, 0.001), ec2_source="pinned", fee_source="pinned"),
}
POINTS = [SpotPoint(T0 - 50_000.0 + 7_000 * n, 0.05 + 0.03 * (n % 3)) for n in range(70)]
TARIFF = Tariff("us-east-1", RATES, {"gp2": GP2, "gp3": GP3}, ZONE, dict.fromkeys(RATES, Steps(POINTS)))

Spans = tuple[tuple[float, float], ...]


def row(
    name: str,
    created: float | None = 0.0,
    ended: float | None = 1000.0,
    ready: float | None = None,
    inst_type: str = "m5.xlarge",
    market: str = "ON_DEMAND",
) -> InstanceRow:
    """One instance row; times in seconds after T0."""
    at = [None if seconds is None else T0 + seconds for seconds in (created, ready, ended)]
    return InstanceRow(name, inst_type, "ig-1", market, "TERMINATED", Timeline(*at))


def bill(*rows: InstanceRow, repeats: Sequence[Spans] = ((),), root: Volume = ROOT) -> Cost:
    """The bill of rows; `repeats` in seconds after T0."""
    found = lives(Usage("us-east-1", rows, root, ZONE))
    spans = [[(T0 + start, T0 + end) for start, end in repeat] for repeat in repeats]
    return total(found, root, spans, TARIFF)


def refusal(*rows: InstanceRow, repeats: Sequence[Spans] = ((),)) -> OperatorError:
    """The error that a bill of these rows ends in; checks its reason and that it says what to do."""
    with pytest.raises(OperatorError) as caught:
        bill(*rows, repeats=repeats)
    assert caught.value.reason is Reason.PRICE
    assert caught.value.remedy and caught.value.public
    return caught.value


seconds = st.floats(0.0, 200_000.0, allow_nan=False)
markets = st.sampled_from(["ON_DEMAND", "SPOT"])


@st.composite
def instances(draw: st.DrawFn) -> tuple[InstanceRow, ...]:
    """Up to 12 rows of different lives, types, markets and volumes; some never came up."""
    rows = []
    for index in range(draw(st.integers(0, 12))):
        start, to_ready, life = draw(seconds), draw(st.none() | seconds), draw(seconds)
        up = draw(st.booleans()) or draw(st.booleans())
        made = row(
            f"i-{index}",
            start if up else None,
            start + life,
            start + to_ready if up and to_ready is not None else None,
            draw(st.sampled_from(sorted(RATES))),
            draw(markets),
        )
        volumes = draw(st.sampled_from([None, (), (Volume("gp3", 100.0, 4000, 200),)]))
        rows.append(dataclasses.replace(made, volumes=volumes))
    return tuple(rows)


@st.composite
def runs(draw: st.DrawFn) -> list[Spans]:
    """One to five repeats, one after another, each of one to three steps that may overlap."""
    at, repeats = 0.0, []
    for _ in range(draw(st.integers(1, 5))):
        spans = draw(st.lists(st.tuples(st.floats(0, 9_000), st.floats(0, 9_000)), min_size=1, max_size=3))
        repeats.append(tuple((at + min(pair), at + max(pair)) for pair in spans))
        at += 9_000.0
    return repeats


quick = settings(deadline=None)


@quick
@given(instances())
def test_a_bill_is_never_negative_and_equals_the_sum_of_its_parts(rows: tuple[InstanceRow, ...]) -> None:
    cost = bill(*rows)
    assert min(cost.ec2_usd, cost.fee_low_usd, cost.ebs_usd, cost.node_hours) >= 0
    assert cost.fee_low_usd <= cost.fee_usd
    assert cost.billed_usd == cost.ec2_usd + cost.fee_usd + cost.ebs_usd
    for part in ("ec2_usd", "fee_usd", "fee_low_usd", "ebs_usd"):
        assert getattr(cost, part) == math.fsum(getattr(item, part) for item in cost.instances)
    assert cost.node_hours == math.fsum(item.seconds for item in cost.instances) / 3600
    assert all(item.seconds >= 60 and 0 <= item.fee_low_usd <= item.fee_usd for item in cost.instances)


@quick
@given(st.data())
def test_a_bill_depends_neither_on_the_order_of_rows_nor_on_pages_that_overlap(data: st.DataObject) -> None:
    rows = data.draw(instances())
    size, overlap = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 2))
    shuffled = data.draw(st.permutations(rows))
    pages = [shuffled[max(0, start - overlap) : start + size] for start in range(0, len(shuffled), size)]
    assert bill(*(item for page in pages for item in page)) == bill(*rows)


@quick
@given(instances(), seconds, seconds, st.sampled_from(sorted(RATES)), markets)
def test_a_bill_never_falls_when_a_node_is_added(
    rows: tuple[InstanceRow, ...], start: float, life: float, inst_type: str, market: str
) -> None:
    before, after = bill(*rows), bill(*rows, row("i-more", start, start + life, None, inst_type, market))
    for part in ("billed_usd", "ec2_usd", "fee_usd", "ebs_usd", "node_hours"):
        assert getattr(after, part) > getattr(before, part)


@quick
@given(instances().filter(bool), st.integers(0, 11), seconds)
def test_a_bill_never_falls_when_a_second_is_added(rows: tuple[InstanceRow, ...], which: int, more: float) -> None:
    index = which % len(rows)
    line = rows[index].timeline
    assert line.ended is not None
    longer = dataclasses.replace(rows[index], timeline=dataclasses.replace(line, ended=line.ended + more))
    assert bill(*rows[:index], longer, *rows[index + 1 :]).billed_usd >= bill(*rows).billed_usd


@quick
@given(instances(), runs())
def test_the_jobs_share_is_part_of_the_cost_and_counts_no_overlap_twice(
    rows: tuple[InstanceRow, ...], repeats: list[Spans]
) -> None:
    rows = (*rows, row("i-primary", 0.0, 400_000.0))
    cost = bill(*rows, repeats=repeats)
    assert cost.job_usd is not None
    assert 0 <= cost.job_usd <= cost.usd * (1 + 1e-12)
    assert bill(*rows, repeats=[(*spans, *reversed(spans)) for spans in repeats]).job_usd == cost.job_usd


@quick
@given(instances(), runs(), seconds, st.sampled_from(sorted(RATES)))
def test_the_cost_of_repeats_is_the_bill_with_one_median_repeat_in_it(
    rows: tuple[InstanceRow, ...], repeats: list[Spans], life: float, inst_type: str
) -> None:
    rows = (*rows, row("i-primary", 0.0, 400_000.0))
    cost = bill(*rows, repeats=repeats)
    shares = [bill(*rows, repeats=[spans]).job_usd or 0.0 for spans in repeats]
    assert cost.job_usd == statistics.median(shares)
    if len(repeats) == 1:
        assert cost.usd == cost.billed_usd
    else:
        assert cost.usd == pytest.approx(cost.billed_usd - sum(shares) + statistics.median(shares), rel=1e-9)
        assert 0 < cost.usd <= cost.billed_usd * (1 + 1e-12)
    more = bill(*rows, row("i-more", 10.0, 10.0 + life, None, inst_type), repeats=repeats)
    assert more.usd > cost.usd * (1 - 1e-12)


def test_repeats_that_run_at_the_same_time_are_taken_out_of_the_cost_once() -> None:
    spans = ((100.0, 900.0),)
    cost = bill(row("i-1"), repeats=[spans, spans, spans])
    assert cost.job_usd is not None
    assert cost.usd == pytest.approx(cost.billed_usd)


def test_a_repeat_that_did_not_run_leaves_the_cost_at_all_that_was_spent_and_says_so() -> None:
    cost = bill(row("i-1"), repeats=[((100.0, 200.0),), ()])
    assert cost.job_usd is None
    assert cost.usd == cost.billed_usd
    assert "1 of 2 repeats did not run: cost is all that was spent" in cost.notes


@pytest.mark.parametrize(("life", "billed"), [(0.0, 60.0), (59.5, 60.0), (60.0, 60.0), (60.25, 60.25)])
def test_an_instance_is_billed_by_the_second_and_for_a_minute_at_least(life: float, billed: float) -> None:
    for market in ("ON_DEMAND", "SPOT"):
        cost = bill(row("i-1", 0.0, life, market=market))
        assert cost.instances[0].seconds == billed
        assert cost.ebs_usd == pytest.approx((15 * 0.08 + 64 * 0.1) / 720 * billed / 3600)
        assert any("there for less: 1 of 1" in note for note in cost.notes) is (life < 60)


def test_an_instance_on_spot_costs_its_pools_prices_and_the_same_fee_and_disks() -> None:
    dear, spot = bill(row("i-1", ready=10.0)), bill(row("i-1", ready=10.0, market="SPOT"))
    assert spot.ec2_usd == pytest.approx(Steps(POINTS).usd(T0, T0 + 1000))
    assert (spot.fee_usd, spot.fee_low_usd, spot.ebs_usd) == (dear.fee_usd, dear.fee_low_usd, dear.ebs_usd)
    assert spot.instances[0].market == "SPOT"
    assert "m5.xlarge on spot in us-east-1a: 0.08 to 0.08 USD per hour" in spot.notes


def test_a_node_that_never_came_up_is_named_and_not_billed() -> None:
    cost = bill(row("i-1"), row("ci-2", None, 700.0, inst_type="q1.unknown", market="SPOT"))
    assert [item.instance_id for item in cost.instances] == ["i-1"]
    assert "ci-2 (q1.unknown) never came up: not billed" in cost.notes


def test_a_cluster_without_instances_costs_nothing_and_the_bill_says_why() -> None:
    cost = bill()
    assert (cost.usd, cost.billed_usd, cost.node_hours, cost.job_usd) == (0.0, 0.0, 0.0, None)
    assert cost.notes == ("no instance of this cluster ever came up: there is nothing to bill",)
    assert "no instance, USD; no price was needed" in cost.basis


@pytest.mark.parametrize("ready", [-5.0, 1000.4])
def test_a_readiness_outside_an_instances_life_bounds_the_lower_fee_and_ends_nothing(ready: float) -> None:
    (life,) = lives(Usage("us-east-1", (row("i-1", ready=ready),), ROOT)).billed
    assert life.fee_low_s == (1000.0 if ready < 0 else 60.0)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (row("i-7", ended=None), "has no end"),
        (row("i-7", 10.0, 9.0), "was created 2025-11-21 04:40:10+00:00 and ended 2025-11-21 04:40:09+00:00"),
        (row("i-7", math.nan), "was created nan"),
        (row("i-7", ended=math.inf), "ended inf"),
        (row("i-7", None, 10.0, 5.0), "was ready but never created"),
        (row("i-7", market="CAPACITY_BLOCK"), "has the market 'CAPACITY_BLOCK'"),
        (row("i-7", -60_000.0, market="SPOT"), "is 10000 s older than the spot prices of us-east-1a"),
        (row("i-1", 1.0), "is listed twice"),
    ],
)
def test_a_row_that_cannot_be_billed_is_an_error_that_names_it(broken: InstanceRow, said: str) -> None:
    error = refusal(row("i-1"), broken)
    assert said in error.message
    assert broken.instance_id in error.message
    assert broken.instance_id == error.details["instance_id"]
    assert "i-7" not in error.public


@pytest.mark.parametrize(
    ("interval", "said"),
    [((20.0, 10.0), "started"), ((math.nan, 10.0), "nan"), ((5000.0, 6000.0), "while no instance of the cluster")],
)
def test_measured_time_that_no_instance_can_have_worked_is_an_error(interval: tuple[float, float], said: str) -> None:
    assert said in refusal(row("i-1"), repeats=((interval,),)).message
    assert said in refusal(row("i-1"), repeats=(((10.0, 20.0),), (interval,))).message


def test_measured_time_without_any_instance_is_an_error() -> None:
    assert "while no instance" in refusal(row("i-1", None), repeats=(((0.0, 10.0),),)).message


def test_a_measured_step_of_no_length_has_a_share_of_nothing() -> None:
    assert bill(row("i-1"), repeats=(((10.0, 10.0),),)).job_usd == 0.0


def test_the_basis_is_one_line_that_says_what_the_figure_is_made_of() -> None:
    basis = bill(row("i-1"), row("i-2", inst_type="r5.2xlarge", market="SPOT"), row("i-3", inst_type="i9.huge")).basis
    assert "\n" not in basis
    for part in (
        "us-east-1, on-demand and spot by the price history of us-east-1a, USD",
        "m5.xlarge, r5.2xlarge: EC2 list price of 2023-08-30, EMR fee list of 2019-04-05",
        "i9.huge: EC2 pinned, EMR fee pinned",
        "EBS gp2, EBS gp3: list price of 2024",
        "per second, at least 60 s per instance",
        "EMR fee from creation to end, the higher of its two documented readings",
        "not included: S3 requests and storage, NAT, data transfer, public addresses, taxes, discounts",
    ):
        assert part in basis
