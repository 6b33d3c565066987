"""Which price a book takes, and what it says when there is none."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.money import Cost, Quote, SpotPoint
from servo_emr.domain.run import InstanceRow, Timeline, Usage, Volume
from servo_emr.domain.spec import Market, Role, plain
from servo_emr.pricing.book import RateBook
from tests.support.prices import GP2, GP3, ROOT, T0, ZONE, History, Source, group, rate, spec, storage
from tests.support.simclock import SimClock

NOW = SimClock(T0)
EMPTY = Quote("us-east-1", {}, {})


def usage(*inst_types: str, market: str = "ON_DEMAND", root: Volume = ROOT) -> Usage:
    """An hour of one instance of each type."""
    rows = [
        InstanceRow(f"i-{number}", name, "ig-1", market, "TERMINATED", Timeline(T0, T0 + 300.0, T0 + 3600.0))
        for number, name in enumerate(inst_types)
    ]
    return Usage("us-east-1", tuple(rows), root, ZONE)


async def refusal(book: RateBook, *inst_types: str) -> OperatorError:
    """The error that a quote ends in; checks its reason."""
    with pytest.raises(OperatorError) as caught:
        await book.quote(spec(*inst_types))
    assert caught.value.reason is Reason.PRICE
    return caught.value


async def bill(book: RateBook, *inst_types: str) -> Cost:
    """The bill of an hour of one instance of each type, by a quote of its own."""
    return await book.bill(usage(*inst_types), await book.quote(spec(*inst_types)), [[]])


async def test_the_first_source_that_has_a_price_decides_and_later_ones_hear_only_of_the_rest() -> None:
    first = Source("first", rate("a1.large", 1.0), GP3)
    second = Source("second", rate("a1.large", 9.0), rate("b1.large"), GP2, storage("gp3", 9.0))
    third = Source("third")
    quote = await RateBook([first, second, third], clock=NOW).quote(spec("b1.large", "a1.large", "b1.large"))
    assert {name: item.ec2 for name, item in quote.rates.items()} == {"a1.large": 1.0, "b1.large": 0.2}
    assert quote.storage == {"gp2": GP2, "gp3": GP3}
    assert first.asked == [("us-east-1", ("a1.large", "b1.large"), ("gp2", "gp3"))]
    assert second.asked == [("us-east-1", ("b1.large",), ("gp2",))]
    assert third.asked == []
    assert quote.notes == ()


async def test_a_kind_that_is_not_needed_is_taken_where_it_is_met_and_no_further_source_is_asked_for_it() -> None:
    first, second = Source("first", rate("a1.large"), GP2), Source("second", GP3)
    quote = await RateBook([first, second], clock=NOW).quote(spec("a1.large", release="emr-5.36.0"))
    assert first.asked[0][2] == ("gp2", "gp3")
    assert second.asked == []
    assert set(quote.storage) == {"gp2"}


async def test_a_pinned_price_goes_first_and_no_source_is_asked_about_it() -> None:
    source = Source("list", rate("a1.large", 9.0), GP2)
    book = RateBook(
        [source],
        clock=NOW,
        overrides={"a1.large": (0.11, 0.02)},
        storage_overrides={"gp3": (0.36, None, None), "gp2": (0.72, 0.5, None)},
    )
    cost = await bill(book, "a1.large")
    assert [cost.ec2_usd, cost.fee_usd] == pytest.approx([0.11, 0.02])
    assert cost.ebs_usd == pytest.approx((15 * 0.36 + 32 * 0.72) / 720)
    assert "a1.large: EC2 pinned in servo.yaml, EMR fee pinned in servo.yaml" in cost.basis
    assert "EBS gp2, EBS gp3: pinned in servo.yaml" in cost.basis
    assert source.asked == []


async def test_an_unknown_price_names_every_source_that_was_asked_and_how_to_pin_it() -> None:
    denied = Source("the price list", rate("a1.large"), note="no permission for pricing:GetProducts")
    book = RateBook([denied, Source("the table", GP2)], clock=NOW)
    error = await refusal(book, "a1.large", "b1.large", "c1.large")
    assert "No price for b1.large, c1.large, gp3 volumes in us-east-1" in error.message
    assert (
        "b1.large, c1.large, gp3 volumes: the price list does not have it (no permission for pricing:GetProducts), "
        "then the table does not have it" in error.message
    )
    pins = "emr.prices.overrides.b1.large and emr.prices.overrides.c1.large: {ec2: <price>, fee: <fee>}"
    assert pins in error.remedy
    assert "emr.prices.ebs.gp3: {gib_month: <price>}" in error.remedy
    assert "allow_estimated_fees" not in error.remedy
    assert error.public == "no price for b1.large, c1.large, gp3 volumes"


async def test_what_a_source_says_of_its_answer_is_in_the_quote_and_in_the_bill() -> None:
    denied = Source("the price list", note="AccessDenied for pricing:GetProducts")
    kept = Source("the kept list", rate("a1.large"), GP2, GP3, note="a1.large at the price that was kept on 2026-11-01")
    book = RateBook([denied, kept, Source("the table", note="never asked")], clock=NOW)
    quote = await book.quote(spec("a1.large"))
    assert quote.notes == (
        "the price list: AccessDenied for pricing:GetProducts",
        "the kept list: a1.large at the price that was kept on 2026-11-01",
    )
    assert quote.notes[0] in (await book.bill(usage("a1.large"), quote, [[]])).notes


async def test_a_book_without_sources_says_that_there_is_none_to_ask() -> None:
    assert "there is no source to ask" in (await refusal(RateBook([], clock=NOW), "a1.large")).message


async def test_an_estimated_fee_is_refused_unless_it_is_allowed_and_then_the_basis_says_so() -> None:
    source = Source("the list", rate("a1.large", 0.2, 0.05, estimated=True), GP2, GP3)
    error = await refusal(RateBook([source], clock=NOW), "a1.large")
    assert "the list has EC2 at 0.2, and the EMR fee only estimated as 25% of EC2 (0.05)" in error.message
    assert "emr.prices.allow_estimated_fees: true" in error.remedy
    cost = await bill(RateBook([source], clock=NOW, allow_estimated_fees=True), "a1.large")
    assert cost.fee_usd == pytest.approx(0.05)
    assert "EMR fee estimated as 25% of EC2" in cost.basis


async def test_a_published_fee_of_a_later_source_is_preferred_to_an_estimate_that_is_not_allowed() -> None:
    first = Source("first", rate("a1.large", fee=0.05, estimated=True), GP2, GP3)
    book = RateBook([first, Source("second", rate("a1.large", fee=0.07))], clock=NOW)
    assert (await bill(book, "a1.large")).fee_usd == pytest.approx(0.07)


@pytest.mark.parametrize("broken", [0.0, -0.1, math.nan, math.inf])
@pytest.mark.parametrize("part", ["EC2", "EMR fee", "a GiB", "an IOPS", "a MiB/s"])
async def test_a_figure_that_is_no_price_is_an_error_even_if_another_source_has_one(part: str, broken: float) -> None:
    wrong = {
        "EC2": rate("a1.large", ec2=broken),
        "EMR fee": rate("a1.large", fee=broken),
        "a GiB": storage("gp3", broken),
        "an IOPS": storage("gp3", 0.08, broken),
        "a MiB/s": storage("gp3", 0.08, 0.005, broken),
    }[part]
    good = Source("a good list", rate("a1.large"), GP2, GP3)
    error = await refusal(RateBook([Source("the broken list", wrong), good], clock=NOW), "a1.large")
    assert "the broken list, asked for the price of" in error.message
    assert f"gives {part} as {broken}: that is no price" in error.message
    assert "emr.prices." in error.remedy


@pytest.mark.parametrize("wrong", [dataclasses.replace(rate("a1.large"), region="eu-west-1"), rate("b1.large")])
async def test_a_source_that_answers_another_question_is_not_believed(wrong: object) -> None:
    source = Source("the list", GP2, GP3)
    source.rates["a1.large"] = wrong  # type: ignore[assignment]
    assert (
        "answers another question: that is no price"
        in (await refusal(RateBook([source], clock=NOW), "a1.large")).message
    )


@pytest.mark.parametrize("pin", [(0.0, 0.05), (0.2, 0.0), (-1.0, 0.05), (math.nan, 0.05), (0.2, math.inf)])
async def test_a_pinned_figure_that_is_no_price_names_its_path(pin: tuple[float, float]) -> None:
    source = Source("list", rate("a1.large"), GP2, GP3)
    error = await refusal(RateBook([source], clock=NOW, overrides={"a1.large": pin}), "a1.large")
    assert "emr.prices.overrides.a1.large in servo.yaml" in error.message
    error = await refusal(RateBook([source], clock=NOW, storage_overrides={"gp3": (pin[0], pin[1], None)}), "a1.large")
    assert "emr.prices.ebs.gp3 in servo.yaml" in error.message


async def test_a_run_is_billed_at_its_own_prices_whatever_the_sources_say_now() -> None:
    source = Source("list", rate("a1.large", 0.2), GP2, GP3)
    book = RateBook([source], clock=NOW)
    quote = await book.quote(spec("a1.large"))
    source.rates["a1.large"] = rate("a1.large", 0.9)
    asked = len(source.asked)
    kept = Quote.from_json(json.loads(json.dumps(plain(quote))))
    assert kept == quote
    assert (await book.bill(usage("a1.large"), kept, [[]])).ec2_usd == pytest.approx(0.2)
    assert len(source.asked) == asked


async def test_what_the_run_had_and_the_quote_has_not_is_asked_for_and_noted() -> None:
    source = Source("list", rate("a1.large"), rate("b1.48xlarge"), GP2, GP3, storage("st1", 0.045))
    book = RateBook([source], clock=NOW)
    quote = await book.quote(spec("a1.large"))
    cost = await book.bill(usage("a1.large", "b1.48xlarge", root=Volume("st1", 500)), quote, [[]])
    assert source.asked[-1] == ("us-east-1", ("b1.48xlarge",), ("st1",))
    assert "not in the run's own prices, asked for afterwards: b1.48xlarge, st1 volumes" in cost.notes
    assert any("EMR documents no default EBS volumes for b1.48xlarge" in note for note in cost.notes)
    with pytest.raises(OperatorError, match=r"No price for q1\.large"):
        await book.bill(usage("q1.large"), quote, [[]])


async def test_a_type_that_never_came_up_needs_no_price() -> None:
    source = Source("list", rate("a1.large"), GP2, GP3)
    book = RateBook([source], clock=NOW)
    quote = await book.quote(spec("a1.large"))
    ghost = InstanceRow("ci-9", "q.unknown", "ig-2", "SPOT", "TERMINATED", Timeline())
    run = dataclasses.replace(usage("a1.large"), rows=(*usage("a1.large").rows, ghost))
    assert (await book.bill(run, quote, [[]])).ec2_usd == pytest.approx(0.2)
    assert len(source.asked) == 1


async def test_prices_of_one_region_make_no_bill_in_another() -> None:
    with pytest.raises(OperatorError, match="The run was in us-east-1, its prices are of eu-west-1"):
        await RateBook([], clock=NOW).bill(usage(), Quote("eu-west-1", {}, {}), [])


async def test_spot_prices_are_asked_for_the_quote_of_the_day_and_for_the_bill_of_the_instances_lives() -> None:
    pools = {("a1.large", ZONE): [SpotPoint(T0 - 50, 0.06), SpotPoint(T0 + 1800, 0.08)]}
    history = History(pools)
    book = RateBook([Source("list", rate("a1.large"), GP2, GP3)], clock=NOW, spot=history)
    quote = await book.quote(spec("a1.large", group(Role.CORE, "a1.large", 2, Market.SPOT, 0.07)))
    assert quote.spot == {"a1.large": 0.08}
    assert quote.notes == ("core: a1.large on spot is at 0.08 USD per hour, above 0.07",)
    cost = await book.bill(usage("a1.large", market="SPOT"), quote, [[]])
    assert cost.ec2_usd == pytest.approx((0.06 + 0.08) / 2)
    assert history.asked == [
        ("us-east-1", ("a1.large",), T0 - 86400, T0, None),
        ("us-east-1", ("a1.large",), T0, T0 + 3600, ZONE),
    ]
    assert "a1.large on spot in us-east-1a: 0.06 to 0.08 USD per hour" in cost.notes


async def test_a_run_without_spot_asks_for_no_spot_price() -> None:
    history = History({})
    await bill(RateBook([Source("list", rate("a1.large"), GP2, GP3)], clock=NOW, spot=history), "a1.large")
    assert history.asked == []


async def test_a_spot_run_without_a_zone_or_a_source_of_spot_prices_has_no_price() -> None:
    source = Source("list", rate("a1.large"), GP2, GP3)
    asked = spec(group(Role.PRIMARY, "a1.large", 1, Market.SPOT))
    with pytest.raises(OperatorError, match="there is no source of spot prices"):
        await RateBook([source], clock=NOW).quote(asked)
    book = RateBook([source], clock=NOW, spot=History({}))
    run = dataclasses.replace(usage("a1.large", market="SPOT"), zone=None)
    with pytest.raises(OperatorError, match="the zone that its instances ran in is not known"):
        await book.bill(run, await book.quote(spec("a1.large")), [[]])


async def test_a_type_whose_disks_are_not_known_is_refused_before_the_launch() -> None:
    source = Source("list", rate("c5.metal"), GP2, GP3)
    assert "no default EBS volumes" in (await refusal(RateBook([source], clock=NOW), "c5.metal")).message


async def test_disks_by_our_rule_are_noted_in_the_quote() -> None:
    quote = await RateBook([Source("list", rate("c6i.32xlarge"), GP2, GP3)], clock=NOW).quote(spec("c6i.32xlarge"))
    assert "EMR documents no default EBS volumes for c6i.32xlarge" in quote.notes[0]
