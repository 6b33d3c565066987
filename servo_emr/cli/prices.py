"""`servo-emr prices`: the prices in use, each with its source and date. Launches and writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

import typer

from servo_emr.cli.output import OUTPUT, Output, columns, emit_json, note
from servo_emr.cli.settings_file import file_of, load
from servo_emr.cli.tables import table
from servo_emr.domain.bounds import text_of
from servo_emr.domain.errors import Reason, RunError
from servo_emr.domain.money import Quote
from servo_emr.domain.settings import INST_TYPE, EnumBound
from servo_emr.domain.spec import Market, NodeGroup, Role, RunSpec, plain
from servo_emr.wiring import Live, assemble

__all__ = ["price_rows", "prices"]


def prices(
    context: typer.Context,
    types: Optional[list[str]] = typer.Argument(
        None, metavar="[TYPE]...", help="Instance types; without one, all that servo.yaml allows."
    ),
    output: Output = OUTPUT,
) -> None:
    """Show the prices in use, each with source and date."""
    config = load(file_of(context.obj))
    live = assemble(config, note, keeps_prices=False)
    quote, unknown = asyncio.run(_quotes(live, types or _configured(live)))
    for text in dict.fromkeys(quote.notes):
        note(f"Mind: {text}")
    for error in unknown.values():
        note(f"Error: {error.reason}: {error}")
    if output is Output.JSON:
        refused = {name: str(error) for name, error in unknown.items()}
        emit_json({"currency": "USD", **plain(quote), "unknown": refused})
    elif quote.rates:
        typer.echo(table(price_rows(quote), columns(), "FROM"))
    if unknown:
        raise typer.Exit(1)


def _configured(live: Live) -> list[str]:
    """Every instance type that servo.yaml allows."""
    bounds = [setting.bound for setting in live.space.settings if setting.name == INST_TYPE]
    return list(dict.fromkeys(text_of(name) for b in bounds if isinstance(b, EnumBound) for name in b.values))


async def _quotes(live: Live, types: Sequence[str]) -> tuple[Quote, dict[str, RunError]]:
    """All prices in one quote, and for each type without one the reason: one unknown type does not hide the others."""
    spec = live.config.to_spec()
    spot = live.config.may_be_on_spot
    quote, unknown = Quote(spec.region, {}, {}), dict[str, RunError]()
    for name in types:
        try:
            one = await live.book.quote(_on_one(spec, name, spot))
        except RunError as error:
            if error.reason is not Reason.PRICE:
                raise
            unknown[name] = error
            continue
        quote = Quote(
            spec.region,
            {**quote.rates, **one.rates},
            {**quote.storage, **one.storage},
            {**quote.spot, **one.spot},
            (*quote.notes, *one.notes),
        )
    return quote, unknown


def _on_one(spec: RunSpec, inst_type: str, spot: bool) -> RunSpec:
    """A run on one node of that type: what its price is asked with."""
    market = Market.SPOT if spot else Market.ON_DEMAND
    return replace(spec, groups=(NodeGroup(Role.PRIMARY, inst_type, 1, market),))


def price_rows(quote: Quote) -> list[dict[str, Any]]:
    """The prices of a quote as rows of a table."""
    types = [
        {
            "PRICE OF": rate.inst_type,
            "USD": f"EC2 {rate.ec2:g}, EMR fee {rate.fee:g} an hour",
            "FROM": rate.ec2_source
            if rate.ec2_source == rate.fee_source
            else f"EC2: {rate.ec2_source}; EMR fee: {rate.fee_source}",
        }
        for rate in quote.rates.values()
    ]
    spot = [
        {"PRICE OF": f"{name} on spot", "USD": f"{usd:g} an hour", "FROM": "spot price history, its dearest zone now"}
        for name, usd in quote.spot.items()
    ]
    storage = [
        {"PRICE OF": f"EBS {rate.kind}", "USD": f"{rate.gib_month:g} a GiB and month", "FROM": rate.source}
        for rate in quote.storage.values()
    ]
    return [*types, *spot, *storage]
