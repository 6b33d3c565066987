"""What every PriceSource and every PriceBook promises; and the bills that docs/cost.md works by hand.

A further implementation joins by its line in SOURCES or BOOKS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.ports import PriceBook, PriceSource
from servo_emr.domain.run import InstanceRow, Timeline, Usage
from servo_emr.domain.spec import ClusterSpec, JobSpec, NodeGroup, Role, RunSpec, Step
from servo_emr.pricing.book import RateBook
from servo_emr.pricing.table import TablePrices

COST_DOCUMENT = Path(__file__).parents[2] / "docs" / "cost.md"
T0 = 1_763_700_000.0
SOURCES: dict[str, Callable[[], PriceSource]] = {"packaged table": TablePrices}
BOOKS: dict[str, Callable[[], PriceBook]] = {
    "packaged table": lambda: RateBook([TablePrices()]),
    "pinned prices": lambda: RateBook([], overrides={"m5.xlarge": (0.192, 0.048), "r5.2xlarge": (0.504, 0.126)}),
}


@pytest.fixture(params=list(SOURCES.values()), ids=list(SOURCES))
def source(request: pytest.FixtureRequest) -> PriceSource:
    """A source that knows m5.xlarge and r5.2xlarge in us-east-1, and no region named mars-north-1."""
    made: PriceSource = request.param()
    return made


@pytest.fixture(params=list(BOOKS.values()), ids=list(BOOKS))
def book(request: pytest.FixtureRequest) -> PriceBook:
    """A book with the list prices of m5.xlarge and r5.2xlarge in us-east-1."""
    made: PriceBook = request.param()
    return made


def rows(inst_type: str, *lives: tuple[float | None, float | None, float | None]) -> list[InstanceRow]:
    """Instances of one type; (created, ready, ended) in seconds after T0."""
    return [
        InstanceRow(f"i-{inst_type}-{n}", inst_type, "ig", "ON_DEMAND", "TERMINATED", Timeline(*map(after, life)))
        for n, life in enumerate(lives)
    ]


def after(seconds: float | None) -> float | None:
    """A time so many seconds after T0."""
    return None if seconds is None else T0 + seconds


def spec(primary: str, core: str, count: int, region: str = "us-east-1") -> RunSpec:
    """A run on one primary node and `count` core nodes."""
    return RunSpec(
        region=region,
        groups=(NodeGroup(Role.PRIMARY, primary, 1), NodeGroup(Role.CORE, core, count)),
        cluster=ClusterSpec("emr-7.1.0"),
        job=JobSpec("s3://bucket/job.ipynb", "{}", "python3", 7200.0, 1200.0),
        steps=(Step("job", ("spark-submit",), True),),
        bootstrap=(),
    )


async def test_a_source_gives_what_it_knows_of_what_it_was_asked_and_no_more(source: PriceSource) -> None:
    given = await source.prices("us-east-1", ["r5.2xlarge", "z9.imaginary", "m5.xlarge"])
    assert set(given.rates) == {"m5.xlarge", "r5.2xlarge"}
    assert given.source
    assert (await source.prices("us-east-1", [])).rates == {}


async def test_a_source_gives_rates_of_the_type_and_region_it_was_asked_for_with_dated_sources(
    source: PriceSource,
) -> None:
    rate = (await source.prices("us-east-1", ["m5.xlarge"])).rates["m5.xlarge"]
    assert (rate.inst_type, rate.region) == ("m5.xlarge", "us-east-1")
    assert 0 < rate.fee < rate.ec2 < math.inf
    assert "20" in rate.ec2_source and "20" in rate.fee_source
    assert (rate.vcpus, rate.memory_gib) == (4, 16.0)


async def test_a_source_answers_a_region_it_does_not_know_with_nothing(source: PriceSource) -> None:
    assert (await source.prices("mars-north-1", ["m5.xlarge"])).rates == {}


async def test_a_book_bills_what_it_estimated_when_the_run_goes_as_assumed(book: PriceBook) -> None:
    estimate = await book.estimate(spec("m5.xlarge", "r5.2xlarge", 4), 420.0, 1200.0)
    life = (0.0, 420.0, estimate.likely_s)
    cost = await book.bill(
        Usage("us-east-1", tuple(rows("m5.xlarge", life) + rows("r5.2xlarge", *[life] * 4))),
        [(T0 + 420.0, T0 + 1620.0)],
    )
    assert cost.usd == pytest.approx(estimate.likely_usd, abs=1e-12)
    assert cost.usd > estimate.floor_usd
    assert cost.job_usd == pytest.approx(estimate.usd_per_hour * 1200 / 3600, abs=1e-12)
    assert cost.basis and estimate.basis.startswith(cost.basis)


async def test_a_book_answers_an_unknown_type_with_an_operator_error_in_estimate_and_bill(book: PriceBook) -> None:
    with pytest.raises(OperatorError) as before:
        await book.estimate(spec("m5.xlarge", "z9.imaginary", 2), 420.0, 1200.0)
    with pytest.raises(OperatorError) as afterwards:
        await book.bill(Usage("us-east-1", tuple(rows("z9.imaginary", (0.0, 1.0, 100.0)))), [])
    for caught in (before, afterwards):
        assert caught.value.reason is Reason.PRICE
        assert "emr.prices.overrides.z9.imaginary" in caught.value.remedy


@pytest.mark.parametrize("life", [(0.0, 10.0, None), (10.0, 20.0, 5.0)])
async def test_a_book_bills_no_instance_whose_times_make_no_sense(
    book: PriceBook, life: tuple[float | None, float | None, float | None]
) -> None:
    with pytest.raises(OperatorError) as caught:
        await book.bill(Usage("us-east-1", tuple(rows("m5.xlarge", (0.0, 10.0, 100.0), life))), [])
    assert caught.value.reason is Reason.PRICE
    assert "i-m5.xlarge-1" in caught.value.message


async def test_the_packaged_table_answers_another_region_with_what_it_has_and_how_to_pin_a_price() -> None:
    with pytest.raises(OperatorError) as caught:
        await RateBook([TablePrices()]).estimate(spec("m5.xlarge", "m5.xlarge", 2, "eu-west-1"), 420.0, 1200.0)
    assert "No price for m5.xlarge in eu-west-1" in caught.value.message
    assert "packaged table (region us-east-1, 424 types; EC2 list price of 2023-08-30" in caught.value.message
    assert "emr.prices.overrides.m5.xlarge" in caught.value.remedy


async def test_every_price_of_the_packaged_table_is_one_and_its_estimates_are_marked() -> None:
    rates = TablePrices().table.rates
    assert len(rates) == 424
    assert sum(not rate.fee_estimated for rate in rates.values()) == 73
    for rate in rates.values():
        assert 0 < rate.fee < rate.ec2 < 200, rate
        assert rate.vcpus >= 1 and rate.memory_gib >= 1, rate
        assert ("estimated" in rate.fee_source) is rate.fee_estimated, rate


async def test_the_packaged_table_says_how_large_a_type_is_and_nothing_of_one_it_does_not_have() -> None:
    assert TablePrices().facts("r5.2xlarge") == (8, 64.0)
    assert TablePrices().facts("z9.imaginary") is None


Life = tuple[float | None, float | None, float | None]
WORKED: dict[str, tuple[dict[str, list[Life]], list[tuple[float, float]], dict[str, float]]] = {
    "single node": (
        {"m5.xlarge": [(0, 400, 1800)]},
        [(420, 1620)],
        {"EC2": 0.096, "fee": 0.024, "cost": 0.12, "job": 0.08, "hours": 0.5},
    ),
    "one and four": (
        {"m5.xlarge": [(0, 450, 1350)], "r5.2xlarge": [(0, 450, 1350)] * 4},
        [(450, 1350)],
        {"EC2": 0.828, "fee": 0.207, "cost": 1.035, "job": 0.69, "hours": 1.875},
    ),
    "under a minute": (
        {"m5.xlarge": [(0, 12, 24)] * 3},
        [(12, 22)],
        {"EC2": 0.0096, "fee": 0.0024, "cost": 0.012, "job": 0.002, "hours": 0.05},
    ),
    "replaced node": (
        {"m5.xlarge": [(0, 450, 1800)], "r5.xlarge": [(0, 450, 1800), (0, 450, 600), (690, 1000, 1800)]},
        [(480, 1740)],
        {"EC2": 0.3417, "fee": 0.085425, "cost": 0.427125, "job": 0.296625, "hours": 1.475},
    ),
    "node that never came up": (
        {"m5.xlarge": [(0, 450, 900)], "c5.xlarge": [(20, 470, 900), (None, None, None)]},
        [],
        {"EC2": 0.0895555556, "fee": 0.0225111111, "cost": 0.1120666667, "hours": 0.4944444444},
    ),
    "overlapping steps": (
        {"m5.xlarge": [(0, 400, 1080)] * 2},
        [(400, 700), (600, 1000)],
        {"EC2": 0.1152, "fee": 0.0288, "cost": 0.144, "job": 0.08, "hours": 0.6},
    ),
}


@pytest.mark.parametrize("name", WORKED)
async def test_a_bill_worked_by_hand_in_the_docs_is_the_bill_that_is_made(name: str) -> None:
    types, measured, expected = WORKED[name]
    usage = Usage("us-east-1", tuple(row for kind, lives in types.items() for row in rows(kind, *lives)))
    cost = await RateBook([TablePrices()]).bill(usage, [(T0 + start, T0 + end) for start, end in measured])
    made = {"EC2": cost.ec2_usd, "fee": cost.fee_usd, "cost": cost.usd, "job": cost.job_usd, "hours": cost.node_hours}
    found = {key: value for key, value in made.items() if value is not None}
    assert found == pytest.approx(expected, abs=1e-9)
    section = documented(name)
    for key in expected:
        assert f"{key} {expected[key]:.6f}" in section, f"docs/cost.md, {name}: {key}"


async def test_the_estimate_worked_by_hand_in_the_docs_is_the_estimate_that_is_made() -> None:
    found = await RateBook([TablePrices()]).estimate(spec("m5.xlarge", "r5.2xlarge", 4), 420.0, 1200.0)
    figures = {
        "per hour": (found.usd_per_hour, 2.76),
        "EC2": (found.ec2_usd_per_hour, 2.208),
        "fee": (found.fee_usd_per_hour, 0.552),
        "primary": (found.primary_usd_per_hour, 0.24),
        "floor": (found.floor_usd, 0.368),
        "likely": (found.likely_usd, 1.288),
    }
    section = documented("estimate")
    for key, (made, expected) in figures.items():
        assert made == pytest.approx(expected, abs=1e-9), key
        assert f"{key} {expected:.6f}" in section, f"docs/cost.md, estimate: {key}"
    assert found.likely_s == 1680.0


async def test_the_lower_reading_of_the_fee_is_kept_beside_the_bill_as_the_docs_say() -> None:
    types, _, _ = WORKED["one and four"]
    usage = Usage("us-east-1", tuple(row for kind, lives in types.items() for row in rows(kind, *lives)))
    cost = await RateBook([TablePrices()]).bill(usage, [])
    sentence = "EMR fee counted from ready instead of creation: 0.138000 USD instead of 0.207000"
    assert sentence in cost.notes
    assert sentence in documented("one and four")


def documented(name: str) -> str:
    """The section of docs/cost.md whose heading is `name`, as one line of text."""
    sections = COST_DOCUMENT.read_text(encoding="utf-8").split("\n### ")
    found = [text for text in sections if text.partition("\n")[0].lower() == name]
    assert len(found) == 1, f"docs/cost.md has {len(found)} sections named {name}"
    return " ".join(found[0].partition("\n## ")[0].split())
