"""The spot market as a life sees it: whether a bid is met, and until when. The port; who makes prices is not known."""

from __future__ import annotations

import math
from typing import Protocol

__all__ = ["CalmMarket", "SpotMarket"]


class SpotMarket(Protocol):
    """Prices of one pool (region, zone, instance type) over W, in USD per hour. `bid` None: the on-demand price."""

    def met_at(self, region: str, zone: str, instance_type: str, bid: float | None, since: float) -> float:
        """The first W, not before `since`, at which the price is not above the bid; infinity if it never is."""
        ...

    def exceeded_at(self, region: str, zone: str, instance_type: str, bid: float | None, since: float) -> float:
        """The first W, not before `since`, at which the price is above the bid; infinity if it never is."""
        ...

    def on_demand(self, region: str, instance_type: str) -> float | None:
        """The on-demand price of a type, USD per hour; None where it is not known."""
        ...


class CalmMarket:
    """Every bid is met, always."""

    def met_at(self, region: str, zone: str, instance_type: str, bid: float | None, since: float) -> float:
        return since

    def exceeded_at(self, region: str, zone: str, instance_type: str, bid: float | None, since: float) -> float:
        return math.inf

    def on_demand(self, region: str, instance_type: str) -> float | None:
        return None
