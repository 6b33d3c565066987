"""What a pool of instances may be made of, and from when until when: the types of one market and their bids.

On demand everything is to be had, always. Why a bid is met or not is the spot market's business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from servo_emr.emulator.world.records import FleetType, GroupRequest, Launch, Volume
from servo_emr.emulator.world.spot import SpotMarket
from servo_emr.emulator.world.stage import Stage

__all__ = ["Bids", "Choice", "choice_of_fleet", "choice_of_group"]


@dataclass(frozen=True)
class Choice:
    """One instance type of a pool; each instance counts `weight` units. `bid` as the spot market takes it."""

    instance_type: str
    weight: int = 1
    bid: float | None = None
    volumes: tuple[Volume, ...] = ()


def choice_of_group(request: GroupRequest) -> Choice:
    return Choice(request.instance_type, bid=request.bid, volumes=request.volumes)


def choice_of_fleet(request: FleetType, region: str, spot: SpotMarket) -> Choice:
    """A bid that is a share of a price which nobody knows is taken for the price itself."""
    bid = None if request.bid_price is None else float(request.bid_price)
    if request.bid_percent not in {None, 100.0}:
        price = spot.on_demand(region, request.instance_type)
        bid = None if price is None else price * request.bid_percent / 100.0
    return Choice(request.instance_type, request.weight, bid, request.volumes)


class Bids:
    """The types of one group or fleet in one market, where the cluster is."""

    def __init__(self, market: str, choices: Sequence[Choice], launch: Launch, stage: Stage) -> None:
        self._on_demand = market != "SPOT"
        self._choices = choices
        self._place = (launch.region, launch.zone or "")
        self._stage = stage

    def choose(self) -> tuple[Choice, float]:
        """A type, and the W from which it can be had.

        On demand the first type; on the spot market the type whose bid is met first, the earlier in the list among
        equals.
        """
        if self._on_demand:
            return self._choices[0], self._stage.now
        return min(((choice, self.met_at(choice)) for choice in self._choices), key=lambda pair: pair[1])

    def met_at(self, choice: Choice) -> float:
        """W, not before now; infinity: never."""
        if self._on_demand:
            return self._stage.now
        return self._stage.spot.met_at(*self._place, choice.instance_type, choice.bid, self._stage.now)

    def exceeded_at(self, choice: Choice) -> float:
        """W, not before now; infinity: never."""
        if self._on_demand:
            return math.inf
        return self._stage.spot.exceeded_at(*self._place, choice.instance_type, choice.bid, self._stage.now)
