"""What every PriceSource and every PriceBook promises, and what the packaged table holds.

A further implementation joins by its line in SOURCES or BOOKS.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.ports import PriceBook, PriceSource
from servo_emr.domain.run import InstanceRow, Timeline, Usage, Volume
from servo_emr.domain.spec import Role
from servo_emr.pricing.book import RateBook
from servo_emr.pricing.cache import CachedPrices
from servo_emr.pricing.table import TablePrices
from tests.support.memory import MemoryWorkspace
from tests.support.prices import T0, ZONE, group, spec
from tests.support.simclock import SimClock


def cached() -> PriceSource:
    """The packaged table's prices, kept in a workspace."""
    return CachedPrices(TablePrices(), MemoryWorkspace(), SimClock(T0), keep=True)


def pinned() -> PriceBook:
    """A book that asks nobody."""
    return RateBook(
        [],
        clock=SimClock(T0),
        overrides={"m5.xlarge": (0.192, 0.048), "r5.2xlarge": (0.504, 0.126)},
        storage_overrides={"gp2": (0.1, None, None), "gp3": (0.08, None, None)},
    )


SOURCES: dict[str, Callable[[], PriceSource]] = {"packaged table": TablePrices, "kept prices": cached}
BOOKS: dict[str, Callable[[], PriceBook]] = {
    "packaged table": lambda: RateBook([TablePrices()], clock=SimClock(T0)),
    "kept prices": lambda: RateBook([cached()], clock=SimClock(T0)),
    "pinned prices": pinned,
}


@pytest.fixture(params=list(SOURCES.values()), ids=list(SOURCES))
def source(request: pytest.FixtureRequest) -> PriceSource:
    """A source that knows m5.xlarge, r5.2xlarge, gp2 and gp3 in us-east-1, and no region named mars-north-1."""
    made: PriceSource = request.param()
    return made


@pytest.fixture(params=list(BOOKS.values()), ids=list(BOOKS))
def book(request: pytest.FixtureRequest) -> PriceBook:
    """A book with the list prices of m5.xlarge, r5.2xlarge, gp2 and gp3 in us-east-1."""
    made: PriceBook = request.param()
    return made


CLUSTER = spec("m5.xlarge", group(Role.CORE, "r5.2xlarge", 4))


def usage(*rows: tuple[str, float | None, float | None, float | None]) -> Usage:
    """Instances (type, created, ready, ended), in seconds after T0."""
    found = []
    for number, (inst_type, *times) in enumerate(rows):
        line = Timeline(*(None if time is None else T0 + time for time in times))
        found.append(InstanceRow(f"i-{number}", inst_type, "ig", "ON_DEMAND", "TERMINATED", line))
    return Usage("us-east-1", tuple(found), Volume("gp3", 15.0), ZONE)


async def test_a_source_gives_what_it_knows_of_what_it_was_asked_and_no_more(source: PriceSource) -> None:
    given = await source.prices("us-east-1", ["r5.2xlarge", "z9.imaginary", "m5.xlarge"], ["gp3", "gp9"])
    assert set(given.rates) == {"m5.xlarge", "r5.2xlarge"}
    assert set(given.storage) == {"gp3"}
    assert given.source
    nothing = await source.prices("us-east-1", [], [])
    assert (nothing.rates, nothing.storage) == ({}, {})


async def test_a_source_gives_prices_of_what_it_was_asked_for_with_dated_sources(source: PriceSource) -> None:
    for _ in range(2):
        given = await source.prices("us-east-1", ["m5.xlarge"], ["gp2", "gp3"])
        rate = given.rates["m5.xlarge"]
        assert (rate.inst_type, rate.region) == ("m5.xlarge", "us-east-1")
        assert 0 < rate.fee < rate.ec2 < math.inf
        assert "20" in rate.ec2_source and "20" in rate.fee_source
        for kind in ("gp2", "gp3"):
            storage = given.storage[kind]
            assert (storage.kind, storage.region) == (kind, "us-east-1")
            assert 0 < storage.gib_month < 1 and "20" in storage.source
        assert given.storage["gp2"].iops_month is None
        assert (given.storage["gp3"].iops_month or 0) > 0 and (given.storage["gp3"].throughput_month or 0) > 0


async def test_a_source_answers_a_region_it_does_not_know_with_nothing(source: PriceSource) -> None:
    given = await source.prices("mars-north-1", ["m5.xlarge"], ["gp3"])
    assert (given.rates, given.storage) == ({}, {})


async def test_a_book_bills_what_it_estimated_when_the_run_goes_as_assumed(book: PriceBook) -> None:
    quote = await book.quote(CLUSTER)
    estimate = book.estimate(CLUSTER, quote, 420.0)
    life = (0.0, 420.0, estimate.likely_s)
    cost = await book.bill(
        usage(("m5.xlarge", *life), *[("r5.2xlarge", *life)] * 4), quote, [[(T0 + 420.0, T0 + 1620.0)]]
    )
    assert cost.usd == cost.billed_usd == pytest.approx(estimate.likely_usd, abs=1e-12)
    assert estimate.floor_usd < cost.usd < estimate.high_usd
    assert cost.job_usd == pytest.approx(estimate.usd_per_hour * 1200 / 3600, abs=1e-12)
    assert cost.basis and estimate.basis.startswith(cost.basis)


async def test_a_book_answers_an_unknown_type_with_an_operator_error_in_quote_and_bill(book: PriceBook) -> None:
    with pytest.raises(OperatorError) as before:
        await book.quote(spec("m5.xlarge", "z9.large"))
    quote = await book.quote(CLUSTER)
    with pytest.raises(OperatorError) as afterwards:
        await book.bill(usage(("z9.large", 0.0, 1.0, 100.0)), quote, [[]])
    for caught in (before, afterwards):
        assert caught.value.reason is Reason.PRICE
        assert "emr.prices.overrides.z9.large" in caught.value.remedy


@pytest.mark.parametrize("life", [(0.0, 10.0, None), (10.0, 20.0, 5.0)])
async def test_a_book_bills_no_instance_whose_times_make_no_sense(
    book: PriceBook, life: tuple[float | None, float | None, float | None]
) -> None:
    with pytest.raises(OperatorError) as caught:
        run = usage(("m5.xlarge", 0.0, 10.0, 100.0), ("m5.xlarge", *life))
        await book.bill(run, await book.quote(CLUSTER), [[]])
    assert caught.value.reason is Reason.PRICE
    assert "i-1" in caught.value.message


async def test_the_packaged_table_answers_another_region_with_what_it_has_and_how_to_pin_a_price() -> None:
    with pytest.raises(OperatorError) as caught:
        await RateBook([TablePrices()], clock=SimClock(T0)).quote(spec("m5.xlarge", region="eu-west-1"))
    assert "No price for m5.xlarge, gp2 volumes, gp3 volumes in eu-west-1" in caught.value.message
    assert "packaged table (region us-east-1, 424 types; EC2 list price of 2023-08-30" in caught.value.message
    assert "emr.prices.overrides.m5.xlarge" in caught.value.remedy
    assert "emr.prices.ebs.gp2 and emr.prices.ebs.gp3" in caught.value.remedy


async def test_every_price_of_the_packaged_table_is_one_and_its_estimates_are_marked() -> None:
    table = TablePrices().table
    assert len(table.rates) == 424
    assert sum(not rate.fee_estimated for rate in table.rates.values()) == 73
    for rate in table.rates.values():
        assert 0 < rate.fee < rate.ec2 < 200, rate
        assert ("estimated" in rate.fee_source) is rate.fee_estimated, rate
    assert all(0 < storage.gib_month < 0.2 for storage in table.storage.values())
