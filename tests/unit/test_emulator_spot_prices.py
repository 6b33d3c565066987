"""The emulated spot market: step functions, the history's file, and what bids it meets."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servo_emr.emulator.prices.spot_prices import SpotPrices, load_history, open_market
from servo_emr.emulator.prices.spot_steps import StepPrice
from servo_emr.emulator.prices.table import PriceList, RegionPrices, TypePrice

COLUMNS = "instance_type,availability_zone,timestamp,price\n"
START = 1_900_000_000.7
M5 = TypePrice("m5.xlarge", 4, 16.0, 0.192, 0.048)
LIST = PriceList({"us-east-1": RegionPrices("us-east-1", "2031-01-02", "2031-01-02", {"m5.xlarge": M5}, {})})


@st.composite
def steps(draw: st.DrawFn) -> StepPrice:
    gaps = draw(st.lists(st.integers(1, 5000), min_size=1, max_size=12))
    first = draw(st.integers(-100_000, 100_000))
    times = [float(at) for at in accumulate(gaps[:-1], initial=first)]
    prices = draw(st.lists(st.integers(0, 6).map(lambda cents: cents / 100), min_size=len(gaps), max_size=len(gaps)))
    return StepPrice(times, prices, cycle=float(sum(gaps)) if draw(st.booleans()) else None)


def slow_price(steps: StepPrice, now: float) -> float | None:
    """The same by looking at every change there could be."""
    turns = range(-400_000, 400_000) if steps.cycle else (0,)
    if steps.cycle:
        turn = math.floor((now - steps.times[0]) / steps.cycle)
        turns = range(turn - 1, turn + 2)
    known = [
        (at + turn * (steps.cycle or 0.0), price)
        for turn in turns
        for at, price in zip(steps.times, steps.prices, strict=True)
    ]
    past = [change for change in known if change[0] <= now]
    return max(past)[1] if past else None


@given(steps(), st.integers(-300_000, 300_000))
def test_the_price_is_that_of_the_last_change(steps: StepPrice, now: int) -> None:
    assert steps.at(float(now)) == slow_price(steps, float(now))


@given(steps(), st.integers(-300_000, 300_000), st.integers(-1, 7))
def test_the_first_moment_is_wanted_and_no_earlier_one_is(steps: StepPrice, since: int, cents: int) -> None:
    bid = cents / 100
    for wanted in (lambda price: price <= bid, lambda price: price > bid):
        first = steps.first(float(since), wanted)
        assert first >= since
        until = first if first < math.inf else since + 2 * (steps.cycle or 200_000.0)
        changes = [at for at, _ in steps.backwards(float(since), until)]
        before = [steps.at(at) for at in {float(since), *changes} if since <= at < first]
        assert not any(price is not None and wanted(price) for price in before)
        if first < math.inf:
            price = steps.at(first)
            assert price is not None and wanted(price)


@given(steps(), st.integers(-100_000, 100_000), st.integers(0, 100_000))
def test_the_changes_of_an_interval_rebuild_the_price_in_it(steps: StepPrice, start: int, length: int) -> None:
    end = start + length
    changes = list(steps.backwards(float(start), float(end)))
    assert all(later > earlier for (later, _), (earlier, _) in pairwise(changes))
    for at in (start, (start + end) // 2, end):
        held = [price for change, price in changes if change <= at]
        assert steps.at(float(at)) == (held[0] if held else None)
    assert sum(at <= start for at, _ in changes) <= 1


def history(folder: Path, rows: str) -> Path:
    path = folder / "spot.csv"
    path.write_text(COLUMNS + rows, encoding="utf-8")
    return path


def given_market(folder: Path, rows: str) -> SpotPrices:
    return open_market(load_history(history(folder, rows)), LIST, seed="s", start=START)


def test_a_given_history_counts_from_the_start_or_by_the_calendar_and_needs_no_order(tmp_path: Path) -> None:
    market = given_market(
        tmp_path,
        "m5.xlarge,us-east-1a,+600,0.20\n"
        "m5.xlarge,us-east-1a,-3600,0.07\n"
        "m5.xlarge,us-east-1a,+60,0.09\n"
        "m5.xlarge,us-east-1b,2030-03-17T17:46:40Z,0.05\n"
        "m5.xlarge,us-east-1b,2030-03-17T19:46:40+01:00,0.06\n",
    )
    zero = 1_900_000_000
    pool = market.pool("us-east-1", "us-east-1a", "m5.xlarge")
    assert pool is not None
    assert [pool.at(zero + after) for after in (-3601, -3600, 59, 60, 599.9, 600, 1e9)] == [
        None, 0.07, 0.07, 0.09, 0.09, 0.20, 0.20,
    ]  # fmt: skip
    other = market.pool("us-east-1", "us-east-1b", "m5.xlarge")
    assert other is not None and [other.at(zero + after) for after in (-1, 0, 3600)] == [None, 0.05, 0.06]
    assert list(market.pools("us-east-1", ["us-east-1b", "us-east-1c"])) == [("us-east-1b", "m5.xlarge")]


def test_a_bid_is_met_until_the_price_is_above_it_and_the_on_demand_price_is_the_bid_of_none(tmp_path: Path) -> None:
    market = given_market(
        tmp_path, "m5.xlarge,us-east-1a,+0,0.10\nm5.xlarge,us-east-1a,+60,0.192\nm5.xlarge,us-east-1a,+120,0.5\n"
    )
    zero = 1_900_000_000
    pool = ("us-east-1", "us-east-1a", "m5.xlarge")
    assert market.on_demand("us-east-1", "m5.xlarge") == 0.192
    assert market.met_at(*pool, None, zero - 100) == zero  # no price before, and so no offer
    assert market.exceeded_at(*pool, None, zero) == zero + 120  # the on-demand price itself is not above it
    assert market.exceeded_at(*pool, 0.15, zero) == zero + 60
    assert market.met_at(*pool, 0.15, zero + 61) == math.inf
    assert market.exceeded_at(*pool, 0.5, zero) == math.inf
    assert market.met_at(*pool, 0.5, zero + 500) == zero + 500


def test_a_bid_without_prices_to_hold_it_against_is_never_met(tmp_path: Path) -> None:
    market = given_market(tmp_path, "c5.large,us-east-1a,+0,0.01\nm5.xlarge,us-east-1a,+0,0.01\n")
    for region, zone, name, bid in (
        ("us-east-1", "us-east-1b", "m5.xlarge", 9.0),  # no such pool in the history
        ("us-east-1", "us-east-1a", "r5.xlarge", 9.0),
        ("eu-west-1", "us-east-1a", "m5.xlarge", 9.0),  # the zone is another region's
        ("us-east-1", "us-east-1a", "c5.large", None),  # no on-demand price is known
    ):
        assert market.met_at(region, zone, name, bid, START) == math.inf
        assert market.exceeded_at(region, zone, name, bid, START) == math.inf
    invented = open_market(None, LIST, seed="s", start=START)
    assert invented.met_at("us-east-1", "us-east-1a", "c5.large", 9.0, START) == math.inf
    assert invented.met_at("eu-west-1", "eu-west-1a", "m5.xlarge", 9.0, START) == math.inf


@given(st.text("abc", max_size=3), st.sampled_from("abcdef"), st.floats(1.6e9, 2.2e9))
def test_invented_prices_are_a_share_of_the_on_demand_price_and_the_same_each_time(
    seed: str, letter: str, now: float
) -> None:
    first, second = (open_market(None, LIST, seed=seed, start=start) for start in (START, now))
    pool = ("us-east-1", f"us-east-1{letter}", "m5.xlarge")
    one, two = first.pool(*pool), second.pool(*pool)
    assert one is not None and one == two
    changes = list(one.backwards(now - 86_400, now))
    assert all(0.3 * 0.192 - 0.0001 <= price <= 0.6 * 0.192 for _, price in changes)
    assert all(2 * 3600 <= later - earlier < 6 * 3600 for (later, _), (earlier, _) in pairwise(changes))
    assert first.met_at(*pool, None, now) == now and first.exceeded_at(*pool, None, now) == math.inf
    assert first.met_at(*pool, 0.25 * 0.192, now) == math.inf
    middle = first.met_at(*pool, 0.45 * 0.192, now)
    assert now <= middle < first.exceeded_at(*pool, 0.45 * 0.192, middle) < math.inf


def test_invented_prices_differ_by_zone_and_by_seed() -> None:
    markets = [open_market(None, LIST, seed=seed, start=START) for seed in ("one", "two")]
    zones = ["us-east-1a", "us-east-1b"]
    assert list(markets[0].pools("us-east-1", zones)) == [(zone, "m5.xlarge") for zone in zones]
    pools = [market.pool("us-east-1", zone, "m5.xlarge") for market in markets for zone in zones]
    assert len({tuple(pool.prices) for pool in pools if pool is not None}) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: the first line must be instance_type,availability_zone,timestamp,price"),
        (COLUMNS, "no prices; after the first line"),
        (COLUMNS + "m5.xlarge,us-east-1a,+0\n", "line 2: 3 values"),
        (COLUMNS + "m5.xlarge,us-east-1,+0,0.1\n", "line 2: availability_zone 'us-east-1'; write one such as"),
        (COLUMNS + "m5.xlarge,us-east-1a,0,0.1\n", r"line 2: timestamp '0'; write .* \(\+600\)"),
        (COLUMNS + "m5.xlarge,us-east-1a,2031-01-02T00:00:00,0.1\n", "line 2: timestamp '2031-01-02T00:00:00'"),
        (COLUMNS + "m5.xlarge,us-east-1a,+0,free\n", "line 2: price 'free'"),
        (COLUMNS + "m5.xlarge,us-east-1a,+0,-0.1\n", "line 2: price '-0.1'"),
        (COLUMNS + 2 * "m5.xlarge,us-east-1a,+0,0.1\n", r"line 3: m5.xlarge in us-east-1a has a price at \+0 already"),
    ],
)
def test_a_file_that_is_no_history_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "spot.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said) as error:
        load_history(path)
    assert str(error.value).startswith(str(path))


def test_a_missing_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.csv: the spot prices cannot be read"):
        load_history(tmp_path / "none.csv")
