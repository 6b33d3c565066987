"""Which price a book takes, and what it says when there is none."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.ports import Prices, Rate
from servo_emr.domain.run import Cost, InstanceRow, Timeline, Usage
from servo_emr.pricing.book import RateBook


def rate(inst_type: str, ec2: float = 0.2, fee: float = 0.05, estimated: bool = False) -> Rate:
    """USD per hour of a type in us-east-1."""
    fee_source = "estimated as 25% of EC2" if estimated else "list of 2019-04-05"
    return Rate(inst_type, "us-east-1", ec2, fee, "list price of 2023-08-30", fee_source, estimated, 4, 16.0)


class Source:
    """A PriceSource of given rates that remembers what it was asked."""

    def __init__(self, name: str, *rates: Rate) -> None:
        self.name = name
        self.rates = {rate.inst_type: rate for rate in rates}
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    async def prices(self, region: str, inst_types: Sequence[str]) -> Prices:
        self.asked.append((region, tuple(inst_types)))
        return Prices({name: self.rates[name] for name in inst_types if name in self.rates}, self.name)


def usage(*inst_types: str) -> Usage:
    """An hour of one instance of each type."""
    rows = [
        InstanceRow(f"i-{number}", name, "ig-1", "ON_DEMAND", "TERMINATED", Timeline(0.0, 300.0, 3600.0))
        for number, name in enumerate(inst_types)
    ]
    return Usage("us-east-1", tuple(rows))


async def refusal(book: RateBook, *inst_types: str) -> OperatorError:
    """The error that a bill ends in; checks its reason."""
    with pytest.raises(OperatorError) as caught:
        await book.bill(usage(*inst_types), ())
    assert caught.value.reason is Reason.PRICE
    return caught.value


async def bill(book: RateBook, *inst_types: str) -> Cost:
    """The bill of an hour of one instance of each type."""
    return await book.bill(usage(*inst_types), ())


async def test_the_first_source_that_has_a_price_decides_and_later_ones_hear_only_of_the_rest() -> None:
    first, second, third = (
        Source("first", rate("a.x", 1.0)),
        Source("second", rate("a.x", 9.0), rate("b.x")),
        Source("3"),
    )
    cost = await bill(RateBook([first, second, third]), "b.x", "a.x", "b.x")
    assert cost.ec2_usd == pytest.approx(1.0 + 2 * 0.2)
    assert first.asked == [("us-east-1", ("a.x", "b.x"))]
    assert second.asked == [("us-east-1", ("b.x",))]
    assert third.asked == []


async def test_a_pinned_price_goes_first_and_no_source_is_asked_about_its_type() -> None:
    source = Source("list", rate("a.x", 9.0))
    cost = await bill(RateBook([source], overrides={"a.x": (0.11, 0.02)}), "a.x")
    assert [cost.ec2_usd, cost.fee_usd] == pytest.approx([0.11, 0.02])
    assert "a.x: EC2 and EMR fee pinned in servo.yaml" in cost.basis
    assert source.asked == []


async def test_an_unknown_type_names_every_source_that_was_asked_and_how_to_pin_a_price() -> None:
    book = RateBook([Source("the first list", rate("a.x")), Source("the second list")])
    error = await refusal(book, "a.x", "b.x", "c.x")
    assert "No price for b.x, c.x in us-east-1" in error.message
    assert "b.x: the first list does not have it, then the second list does not have it" in error.message
    assert "emr.prices.overrides.b.x and emr.prices.overrides.c.x: {ec2: <price>, fee: <fee>}" in error.remedy
    assert "allow_estimated_fees" not in error.remedy
    assert error.public == "no price for b.x, c.x"


async def test_a_book_without_sources_says_that_there_is_none_to_ask() -> None:
    assert "there is no source to ask" in (await refusal(RateBook([]), "a.x")).message


async def test_an_estimated_fee_is_refused_unless_it_is_allowed_and_then_the_basis_says_so() -> None:
    source = Source("the list", rate("a.x", 0.2, 0.05, estimated=True))
    error = await refusal(RateBook([source]), "a.x")
    assert "the list has EC2 at 0.2, and the EMR fee only estimated as 25% of EC2 (0.05)" in error.message
    assert "emr.prices.allow_estimated_fees: true" in error.remedy
    cost = await bill(RateBook([source], allow_estimated_fees=True), "a.x")
    assert cost.fee_usd == pytest.approx(0.05)
    assert "EMR fee estimated as 25% of EC2" in cost.basis


async def test_a_published_fee_of_a_later_source_is_preferred_to_an_estimate_that_is_not_allowed() -> None:
    sources = [Source("first", rate("a.x", fee=0.05, estimated=True)), Source("second", rate("a.x", fee=0.07))]
    assert (await bill(RateBook(sources), "a.x")).fee_usd == pytest.approx(0.07)


@pytest.mark.parametrize("broken", [0.0, -0.1, math.nan, math.inf])
@pytest.mark.parametrize("part", ["ec2", "fee"])
async def test_a_figure_that_is_no_price_is_an_error_even_if_another_source_has_one(part: str, broken: float) -> None:
    wrong = rate("a.x", ec2=broken) if part == "ec2" else rate("a.x", fee=broken)
    bad = Source("the broken list", wrong)
    error = await refusal(RateBook([bad, Source("a good list", rate("a.x"))]), "a.x")
    assert (
        f"the broken list, asked for the price of a.x in us-east-1, gives {'EC2' if part == 'ec2' else 'EMR fee'}"
        in (error.message)
    )
    assert str(broken) in error.message
    assert "emr.prices.overrides.a.x" in error.remedy


@pytest.mark.parametrize("wrong", [dataclasses.replace(rate("a.x"), region="eu-west-1"), rate("b.x")])
async def test_a_source_that_answers_another_question_is_not_believed(wrong: Rate) -> None:
    source = Source("the list")
    source.rates["a.x"] = wrong
    assert "that is no price" in (await refusal(RateBook([source]), "a.x")).message


@pytest.mark.parametrize("pin", [(0.0, 0.05), (0.2, 0.0), (-1.0, 0.05), (math.nan, 0.05), (0.2, math.inf)])
async def test_a_pinned_figure_that_is_no_price_names_its_path(pin: tuple[float, float]) -> None:
    error = await refusal(RateBook([Source("list", rate("a.x"))], overrides={"a.x": pin}), "a.x")
    assert "emr.prices.overrides.a.x in servo.yaml" in error.message


async def test_a_type_that_never_came_up_needs_no_price() -> None:
    source = Source("list", rate("a.x"))
    ghost = InstanceRow("ci-9", "q.unknown", "ig-2", "ON_DEMAND", "TERMINATED", Timeline())
    rows = (*usage("a.x").rows, ghost)
    assert (await RateBook([source]).bill(Usage("us-east-1", rows), ())).usd == pytest.approx(0.25)
    assert source.asked == [("us-east-1", ("a.x",))]
