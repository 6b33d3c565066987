"""Spot prices for a quote or a bill: asked of the one source there is, refused where they make no sense.

Knows a SpotSource by its port; what a price is used for is the book's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from servo_emr.domain.errors import OperatorError, Reason, RunError, Verdict
from servo_emr.domain.money import SpotPoint
from servo_emr.domain.ports import SpotSource
from servo_emr.pricing.spot import Steps

__all__ = ["Pools"]

_DAY_S = 86400.0
_REMEDY = "Allow ec2:DescribeSpotPriceHistory, or buy these nodes with market: on-demand."

_Histories = Mapping[tuple[str, str], Sequence[SpotPoint]]


class Pools:
    """The spot pools of a region; `source` None: there is nobody to ask."""

    def __init__(self, source: SpotSource | None) -> None:
        self._source = source

    async def dearest(self, region: str, inst_types: Sequence[str], now: float) -> dict[str, float]:
        """USD per hour of each type in the dearest of the region's zones, by the last price of the last day.

        Raises:
            OperatorError: operator/price: a type has no price, or one that is none.
        """
        found = await self._history(region, inst_types, now - _DAY_S, now, None)
        prices: dict[str, float] = {}
        for (inst_type, zone), points in sorted(found.items()):
            if inst_type in inst_types and points:
                latest = _steps(inst_type, zone, points).latest
                prices[inst_type] = max(latest, prices.get(inst_type, 0.0))
        for inst_type in inst_types:
            if inst_type not in prices:
                raise _unknown(inst_type, f"in {region}", "DescribeSpotPriceHistory has none of the last day")
        return prices

    async def steps(
        self, region: str, zone: str | None, inst_types: Sequence[str], start: float, end: float
    ) -> dict[str, Steps]:
        """The prices of each type in the zone, from `start` to `end`.

        Raises:
            OperatorError: operator/price: the zone or a price is not known.
        """
        if zone is None:
            raise _unknown(", ".join(inst_types), f"in {region}", "the zone that its instances ran in is not known")
        found = await self._history(region, inst_types, start, end, zone)
        pools: dict[str, Steps] = {}
        for inst_type in inst_types:
            points = found.get((inst_type, zone), ())
            if not points:
                raise _unknown(inst_type, f"in {zone}", "DescribeSpotPriceHistory has none while the instances ran")
            pools[inst_type] = _steps(inst_type, zone, points)
        return pools

    async def _history(
        self, region: str, inst_types: Sequence[str], start: float, end: float, zone: str | None
    ) -> _Histories:
        where = f"in {zone or region}"
        if self._source is None:
            raise _unknown(", ".join(inst_types), where, "there is no source of spot prices")
        try:
            return await self._source.history(region, inst_types, start, end, zone)
        except RunError as error:
            if error.reason.verdict is Verdict.ENVIRONMENT:
                raise  # it may pass by itself: nobody has to set a price right
            raise _unknown(", ".join(inst_types), where, f"it cannot be asked: {error.message}") from error


def _steps(inst_type: str, zone: str, points: Sequence[SpotPoint]) -> Steps:
    try:
        return Steps(points)
    except ValueError as error:
        raise _unknown(inst_type, f"in {zone}", f"DescribeSpotPriceHistory makes no sense: {error}") from error


def _unknown(what: str, where: str, why: str) -> OperatorError:
    return OperatorError(
        f"No spot price for {what} {where}: {why}.",
        Reason.PRICE,
        remedy=_REMEDY,
        public=f"no spot price for {what}",
        details={"types": what.split(", "), "where": where},
    )
