"""A spot price over time, and the pools that it is asked of."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servo_emr.domain.errors import EnvironmentFailure, OperatorError, Reason
from servo_emr.domain.money import SpotPoint
from servo_emr.pricing.pools import Pools
from servo_emr.pricing.spot import Steps
from tests.support.prices import T0, ZONE, History

POINTS = [SpotPoint(0.0, 0.10), SpotPoint(900.0, 0.20), SpotPoint(900.0, 0.30), SpotPoint(1800.0, 0.05)]

gaps = st.lists(st.floats(0.0, 90_000.0), min_size=1, max_size=30)
usd = st.floats(1e-4, 50.0)


def test_a_price_holds_until_the_next_and_the_last_one_for_ever() -> None:
    steps = Steps(POINTS)
    assert steps.usd(0.0, 1800.0) == pytest.approx((0.10 + 0.30) * 900 / 3600)
    assert steps.usd(450.0, 1350.0) == pytest.approx((0.10 + 0.30) * 450 / 3600)
    assert steps.usd(1e6, 1e6 + 3600) == pytest.approx(0.05)
    assert steps.latest == 0.05
    assert steps.usd(700.0, 700.0) == 0.0


def test_the_extent_of_prices_is_of_the_time_in_between_only() -> None:
    steps = Steps(POINTS)
    assert steps.extent(0.0, 900.0) == [0.10]
    assert steps.extent(0.0, 901.0) == [0.10, 0.20, 0.30]
    assert steps.extent(5000.0, 6000.0) == [0.05]


@settings(deadline=None)
@given(st.data(), gaps)
def test_an_integral_is_that_of_its_pieces_and_never_falls_with_a_later_end(
    data: st.DataObject, between: list[float]
) -> None:
    at, points = 0.0, []
    for gap in between:
        points.append(SpotPoint(at, data.draw(usd)))
        at += gap
    steps = Steps(points)
    start, middle, end = sorted(data.draw(st.floats(0.0, 2 * at + 1)) for _ in range(3))
    whole = steps.usd(start, end)
    assert 0 <= steps.usd(start, middle) <= whole
    assert steps.usd(start, middle) + steps.usd(middle, end) == pytest.approx(whole, rel=1e-9, abs=1e-9)
    by_hand = math.fsum(
        max(0.0, min(end, later) - max(start, point.at)) * point.usd / 3600
        for point, later in zip(points, [*(p.at for p in points[1:]), math.inf], strict=True)
    )
    assert whole == pytest.approx(by_hand, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([], "no price"),
        ([SpotPoint(0.0, 0.0)], "a price is 0.0"),
        ([SpotPoint(0.0, 0.1), SpotPoint(1.0, math.nan)], "a price is nan"),
        ([SpotPoint(0.0, -0.1)], "a price is -0.1"),
        ([SpotPoint(5.0, 0.1), SpotPoint(1.0, 0.1)], "not oldest first"),
        ([SpotPoint(math.nan, 0.1)], "not oldest first"),
    ],
)
def test_points_that_are_no_prices_in_time_are_refused(points: list[SpotPoint], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Steps(points)


def test_nothing_is_integrated_before_the_first_price() -> None:
    with pytest.raises(ValueError, match="only 10 s after the beginning"):
        Steps([SpotPoint(10.0, 0.1)]).usd(0.0, 20.0)


async def test_the_dearest_zone_is_taken_by_its_last_price() -> None:
    history = History(
        {
            ("c5.xlarge", "us-east-1a"): [SpotPoint(T0 - 90_000, 0.9), SpotPoint(T0 - 10, 0.06)],
            ("c5.xlarge", "us-east-1b"): [SpotPoint(T0 - 100, 0.07)],
            ("c5.xlarge", "us-east-1c"): [],
        }
    )
    assert await Pools(history).dearest("us-east-1", ["c5.xlarge"], T0) == {"c5.xlarge": 0.07}
    assert history.asked == [("us-east-1", ("c5.xlarge",), T0 - 86400.0, T0, None)]


ASKED = ["c5.xlarge", "m5.xlarge"]
KNOWN = {("c5.xlarge", ZONE): [SpotPoint(T0 - 10, 0.06)]}
DENIED = OperatorError("not allowed", Reason.CREDENTIALS)
THROTTLED = EnvironmentFailure("rate exceeded", Reason.THROTTLED)


@pytest.mark.parametrize(
    ("source", "zone", "said"),
    [
        (None, ZONE, "there is no source of spot prices"),
        (History({}, DENIED), ZONE, "it cannot be asked: not allowed"),
        (History(KNOWN), ZONE, "No spot price for m5.xlarge in us-east-1a: DescribeSpotPriceHistory has none"),
        (History(KNOWN), None, "the zone that its instances ran in is not known"),
        (History({("c5.xlarge", ZONE): [SpotPoint(T0, 0.0)]}), ZONE, "makes no sense: a price is 0.0"),
    ],
)
async def test_a_spot_price_that_is_not_known_is_an_error_with_what_to_do(
    source: History | None, zone: str | None, said: str
) -> None:
    with pytest.raises(OperatorError) as caught:
        await Pools(source).steps("us-east-1", zone, ASKED, T0, T0 + 60)
    assert caught.value.reason is Reason.PRICE
    assert said in caught.value.message
    assert "ec2:DescribeSpotPriceHistory" in caught.value.remedy and "market: on-demand" in caught.value.remedy


async def test_what_may_pass_by_itself_stays_what_it_is_and_is_no_persons_to_set_right() -> None:
    with pytest.raises(EnvironmentFailure, match="rate exceeded"):
        await Pools(History({}, THROTTLED)).steps("us-east-1", ZONE, ASKED, T0, T0 + 60)


async def test_a_type_without_a_price_of_the_last_day_is_an_error_before_the_launch() -> None:
    with pytest.raises(OperatorError, match=r"No spot price for m5\.xlarge in us-east-1: .* none of the last day"):
        await Pools(History(KNOWN)).dearest("us-east-1", ASKED, T0)
