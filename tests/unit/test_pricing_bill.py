"""The arithmetic of a bill and an estimate: its properties, its edges, and the times that cannot be billed."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.run import Cost, InstanceRow, Timeline, Usage
from servo_emr.domain.spec import ClusterSpec, JobSpec, NodeGroup, Role, RunSpec, Step
from servo_emr.pricing.bill import Price, appraise, lives, total

T0 = 1_763_700_000.0
PRICES = {
    "m5.xlarge": Price(0.192, 0.048, "EC2 list price of 2023-08-30, EMR fee list of 2019-04-05"),
    "r5.2xlarge": Price(0.504, 0.126, "EC2 list price of 2023-08-30, EMR fee list of 2019-04-05"),
    "x9.huge": Price(7.0, 0.001, "EC2 and EMR fee pinned in servo.yaml"),
}


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


def bill(*rows: InstanceRow, measured: tuple[tuple[float, float], ...] = ()) -> Cost:
    """The bill of rows; `measured` in seconds after T0."""
    found = lives(Usage("us-east-1", rows))
    prices = {name: PRICES[name] for name in found.inst_types}
    return total(found, [(T0 + start, T0 + end) for start, end in measured], prices, "us-east-1")


def spec(*groups: tuple[Role, str, int]) -> RunSpec:
    """A run on the given groups."""
    return RunSpec(
        region="us-east-1",
        groups=tuple(NodeGroup(*group) for group in groups),
        cluster=ClusterSpec("emr-7.1.0"),
        job=JobSpec("s3://bucket/job.ipynb", "{}", "python3", 7200.0, 1200.0),
        steps=(Step("job", ("spark-submit",), True),),
        bootstrap=(),
    )


def refusal(*rows: InstanceRow, measured: tuple[tuple[float, float], ...] = ()) -> OperatorError:
    """The error that a bill of these rows ends in; checks its reason and that it says what to do."""
    with pytest.raises(OperatorError) as caught:
        bill(*rows, measured=measured)
    assert caught.value.reason is Reason.PRICE
    assert caught.value.remedy and caught.value.public
    return caught.value


seconds = st.floats(0.0, 200_000.0, allow_nan=False)


@st.composite
def instances(draw: st.DrawFn) -> tuple[InstanceRow, ...]:
    """Up to 12 rows of different lives, types and groups; some never came up."""
    rows = []
    for index in range(draw(st.integers(0, 12))):
        start, to_ready, life = draw(seconds), draw(st.none() | seconds), draw(seconds)
        up = draw(st.booleans()) or draw(st.booleans())
        rows.append(
            row(
                f"i-{index}",
                start if up else None,
                start + life,
                start + to_ready if up and to_ready is not None else None,
                draw(st.sampled_from(sorted(PRICES))),
            )
        )
    return tuple(rows)


intervals = st.lists(st.tuples(seconds, seconds).map(lambda pair: (min(pair), max(pair))), max_size=5)
quick = settings(deadline=None)


@quick
@given(instances())
def test_a_bill_is_never_negative_and_equals_the_sum_of_its_parts(rows: tuple[InstanceRow, ...]) -> None:
    cost = bill(*rows)
    assert cost.ec2_usd >= 0 and cost.fee_usd >= 0 and cost.node_hours >= 0
    assert cost.usd == cost.ec2_usd + cost.fee_usd
    assert cost.ec2_usd == math.fsum(item.ec2_usd for item in cost.instances)
    assert cost.fee_usd == math.fsum(item.fee_usd for item in cost.instances)
    assert cost.node_hours == math.fsum(item.seconds for item in cost.instances) / 3600
    assert all(item.seconds >= 60 for item in cost.instances)


@quick
@given(st.data())
def test_a_bill_does_not_depend_on_the_order_of_rows(data: st.DataObject) -> None:
    rows = data.draw(instances())
    assert bill(*data.draw(st.permutations(rows))) == bill(*rows)


@quick
@given(instances(), seconds, seconds, st.sampled_from(sorted(PRICES)))
def test_a_bill_never_falls_when_a_node_is_added(
    rows: tuple[InstanceRow, ...], start: float, life: float, inst_type: str
) -> None:
    before, after = bill(*rows), bill(*rows, row("i-more", start, start + life, None, inst_type))
    assert after.usd > before.usd and after.ec2_usd > before.ec2_usd and after.node_hours > before.node_hours


@quick
@given(instances().filter(bool), st.integers(0, 11), seconds)
def test_a_bill_never_falls_when_a_second_is_added(rows: tuple[InstanceRow, ...], which: int, more: float) -> None:
    index = which % len(rows)
    line = rows[index].timeline
    assert line.ended is not None
    longer = dataclasses.replace(rows[index], timeline=dataclasses.replace(line, ended=line.ended + more))
    assert bill(*rows[:index], longer, *rows[index + 1 :]).usd >= bill(*rows).usd


@quick
@given(instances().filter(bool), intervals)
def test_the_jobs_share_is_part_of_the_bill_and_does_not_count_overlaps_twice(
    rows: tuple[InstanceRow, ...], spans: list[tuple[float, float]]
) -> None:
    rows = (*rows, row("i-primary", 0.0, 400_000.0))
    cost = bill(*rows, measured=tuple(spans))
    assert (cost.job_usd is None) is (not spans)
    if cost.job_usd is not None:
        assert 0 <= cost.job_usd <= cost.usd * (1 + 1e-12)
        assert bill(*rows, measured=(*spans, *reversed(spans))).job_usd == cost.job_usd


@quick
@given(st.integers(0, 40), seconds, seconds, st.sampled_from(sorted(PRICES)))
def test_an_estimate_is_the_sum_of_its_parts_and_never_falls(
    count: int, provisioning: float, job: float, inst_type: str
) -> None:
    def ask(nodes: int, before: float, during: float) -> tuple[float, float, float]:
        shape = spec((Role.PRIMARY, "m5.xlarge", 1), (Role.CORE, inst_type, nodes))
        found = appraise(shape, before, during, PRICES)
        assert found.usd_per_hour == found.ec2_usd_per_hour + found.fee_usd_per_hour
        assert found.primary_usd_per_hour == 0.192 + 0.048
        assert 0 < found.floor_usd <= found.likely_usd
        return found.usd_per_hour, found.floor_usd, found.likely_usd

    few = ask(count, provisioning, job)
    assert all(more > less for more, less in zip(ask(count + 1, provisioning, job), few, strict=True))
    assert all(more >= less for more, less in zip(ask(count, provisioning + 1, job + 1), few, strict=True))


@quick
@given(instances())
def test_the_lower_reading_of_the_fee_is_never_above_the_one_that_is_billed(rows: tuple[InstanceRow, ...]) -> None:
    assert all(0 <= life.fee_low_s <= life.billed_s for life in lives(Usage("us-east-1", rows)).billed)


@pytest.mark.parametrize(("life", "billed"), [(0.0, 60.0), (59.5, 60.0), (60.0, 60.0), (60.25, 60.25)])
def test_an_instance_is_billed_by_the_second_and_for_a_minute_at_least(life: float, billed: float) -> None:
    cost = bill(row("i-1", 0.0, life))
    assert cost.instances[0].seconds == billed
    assert any("there for less: 1 of 1" in note for note in cost.notes) is (life < 60)


def test_a_node_that_never_came_up_is_named_and_not_billed() -> None:
    cost = bill(row("i-1"), row("ci-2", None, 700.0, inst_type="q1.unknown"))
    assert [item.instance_id for item in cost.instances] == ["i-1"]
    assert "ci-2 (q1.unknown) never came up: not billed" in cost.notes


def test_a_cluster_without_instances_costs_nothing_and_the_bill_says_why() -> None:
    cost = bill()
    assert (cost.usd, cost.node_hours, cost.job_usd) == (0.0, 0.0, None)
    assert cost.notes == ("no instance of this cluster ever came up: there is nothing to bill",)
    assert "no price was needed" in cost.basis


def test_a_row_that_two_pages_repeat_is_billed_once() -> None:
    assert bill(row("i-1"), row("i-2"), row("i-1")) == bill(row("i-1"), row("i-2"))


@pytest.mark.parametrize("ready", [-5.0, 1000.4])
def test_a_readiness_outside_an_instances_life_bounds_the_lower_fee_and_ends_nothing(ready: float) -> None:
    (life,) = lives(Usage("us-east-1", (row("i-1", ready=ready),))).billed
    assert life.fee_low_s == (1000.0 if ready < 0 else 60.0)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (row("i-7", ended=None), "has no end"),
        (row("i-7", 10.0, 9.0), "was created 2025-11-21 04:40:10+00:00 and ended 2025-11-21 04:40:09+00:00"),
        (row("i-7", math.nan), "was created nan"),
        (row("i-7", ended=math.inf), "ended inf"),
        (row("i-7", None, 10.0, 5.0), "was ready but never created"),
        (row("i-7", market="SPOT"), "spot prices are not known to this version"),
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
    assert said in refusal(row("i-1"), measured=(interval,)).message


def test_measured_time_without_any_instance_is_an_error() -> None:
    assert "while no instance" in refusal(row("i-1", None), measured=((0.0, 10.0),)).message


def test_a_measured_step_of_no_length_has_a_share_of_nothing() -> None:
    assert bill(row("i-1"), measured=((10.0, 10.0),)).job_usd == 0.0


def test_the_basis_is_one_line_that_says_what_the_figure_is_made_of() -> None:
    basis = bill(row("i-1"), row("i-2", inst_type="r5.2xlarge"), row("i-3", inst_type="x9.huge")).basis
    assert "\n" not in basis
    for part in (
        "us-east-1, on-demand, USD",
        "m5.xlarge, r5.2xlarge: EC2 list price of 2023-08-30, EMR fee list of 2019-04-05",
        "x9.huge: EC2 and EMR fee pinned in servo.yaml",
        "per second, at least 60 s per instance",
        "EMR fee from creation to end, the higher of its two documented readings",
        "not included: EBS (not yet billed), S3 requests, NAT, data transfer, discounts",
    ):
        assert part in basis


@pytest.mark.parametrize("times", [(-1.0, 10.0), (10.0, -1.0), (math.nan, 10.0), (10.0, math.inf)])
def test_an_estimate_of_no_time_is_refused(times: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="no estimate"):
        appraise(spec((Role.PRIMARY, "m5.xlarge", 1)), *times, PRICES)


def test_an_estimate_leaves_an_empty_group_out() -> None:
    shape = spec((Role.PRIMARY, "m5.xlarge", 1), (Role.TASK, "q1.unknown", 0))
    assert appraise(shape, 420.0, 1200.0, PRICES).usd_per_hour == pytest.approx(0.24)
