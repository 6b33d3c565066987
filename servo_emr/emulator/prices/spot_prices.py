"""The emulated spot market: what each pool costs over W, from a given history or, without one, from an invention.

A pool is an instance type in a zone. With a history there are the pools that it has, and no others. Without one every
type with a list price has a pool in every zone: INVENTED prices, each between 30 % and 60 % of the on-demand price,
changing every two to six hours, the same for the same seed, pool and W, and coming again after 64 changes. They are
nobody's market data and never above the on-demand price.

A bid for a pool without prices is never met; neither is a bid of the on-demand price where no list price is known.
Knows no clusters and no documents.
"""

from __future__ import annotations

import csv
import math
import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from servo_emr.emulator.prices.spot_steps import StepPrice
from servo_emr.emulator.prices.table import PriceList

__all__ = ["History", "Moment", "Pool", "SpotPrices", "load_history", "open_market"]

COLUMNS = ["instance_type", "availability_zone", "timestamp", "price"]

_ZONE = re.compile(r"([a-z]{2}(?:-[a-z]+)+-\d)[a-z]")
_RELATIVE = re.compile(r"[+-]\d+")
_CHANGES = 64
_GAP = (2 * 3600, 6 * 3600)  # seconds between two changes
_SHARE = (0.3, 0.6)  # of the on-demand price

Pool = tuple[str, str]
"""(availability zone, instance type)"""


@dataclass(frozen=True)
class Moment:
    """A W: `seconds` since the epoch or, if `relative`, since the start of the emulator, which counts whole seconds."""

    seconds: float
    relative: bool

    def at(self, start: float) -> float:
        return math.floor(start) + self.seconds if self.relative else self.seconds


@dataclass(frozen=True)
class History:
    """A given history: the changes of each pool, in no order. At least one change for each pool that is there."""

    changes: Mapping[Pool, Sequence[tuple[Moment, float]]]


def load_history(path: Path) -> History:
    """A file of lines `instance_type,availability_zone,timestamp,price`, these names being the first line.

    A timestamp is ISO 8601 with its offset (2026-01-31T12:00:00Z) or whole seconds from the start of the emulator
    with their sign (+600, -3600). The price is USD per instance-hour of Linux, and holds until the pool's next line;
    before its first one a pool has no price, and no bid is met.

    Raises:
        ValueError: the file cannot be read or is no such history; the message names file, line and what belongs there.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: the spot prices cannot be read: {error}") from None
    if not lines or lines[0] != COLUMNS:
        raise ValueError(f"{path}, line 1: the first line must be {','.join(COLUMNS)}")
    changes: dict[Pool, dict[Moment, float]] = {}
    for number, cells in enumerate(lines[1:], start=2):
        place = f"{path}, line {number}"
        if len(cells) != len(COLUMNS):
            raise ValueError(f"{place}: {len(cells)} values where {','.join(COLUMNS)} must be")
        instance_type, zone, timestamp, price = cells
        if _ZONE.fullmatch(zone) is None:
            raise ValueError(f"{place}: availability_zone {zone!r}; write one such as us-east-1a")
        pool = changes.setdefault((zone, instance_type), {})
        moment = _moment(place, timestamp)
        if moment in pool:
            raise ValueError(f"{place}: {instance_type} in {zone} has a price at {timestamp} already")
        pool[moment] = _price(place, price)
    if not changes:
        raise ValueError(f"{path}: the history has no prices; after the first line one for each change must follow")
    return History({pool: tuple(moments.items()) for pool, moments in changes.items()})


def _moment(place: str, text: str) -> Moment:
    if _RELATIVE.fullmatch(text):
        return Moment(float(text), relative=True)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"{place}: timestamp {text!r}; write 2026-01-31T12:00:00Z or seconds from the start (+600)")
    return Moment(round(moment.timestamp(), 3), relative=False)


def _price(place: str, text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not math.isfinite(price) or price < 0:
        raise ValueError(f"{place}: price {text!r}; a number of USD per hour, 0 or more")
    return round(price, 6)  # as many places as a history shows


class _Pools(Protocol):
    def get(self, region: str, pool: Pool) -> StepPrice | None: ...

    def of(self, region: str, zones: Collection[str]) -> Iterator[Pool]: ...


class _Given:
    """The pools of a history, for an emulator that starts at `start`."""

    def __init__(self, history: History, start: float) -> None:
        self._pools = {pool: _steps(changes, start) for pool, changes in history.changes.items()}

    def get(self, region: str, pool: Pool) -> StepPrice | None:
        zone = _ZONE.fullmatch(pool[0])
        return self._pools.get(pool) if zone is not None and zone[1] == region else None

    def of(self, region: str, zones: Collection[str]) -> Iterator[Pool]:
        return (pool for pool in self._pools if pool[0] in zones)


def _steps(changes: Sequence[tuple[Moment, float]], start: float) -> StepPrice:
    # An absolute moment and a relative one may be the same W; then the later line's price holds.
    ordered = sorted({moment.at(start): price for moment, price in changes}.items())
    return StepPrice([at for at, _ in ordered], [price for _, price in ordered])


class _Invented:
    """A pool for every type with a list price, in every zone."""

    def __init__(self, prices: PriceList, seed: str) -> None:
        self._prices = prices
        self._seed = seed
        self._pools: dict[tuple[str, Pool], StepPrice] = {}

    def get(self, region: str, pool: Pool) -> StepPrice | None:
        if (region, pool) not in self._pools:
            on_demand = self._prices.on_demand(region, pool[1])
            if on_demand is None:
                return None
            self._pools[region, pool] = self._invent(region, pool, on_demand)
        return self._pools[region, pool]

    def of(self, region: str, zones: Collection[str]) -> Iterator[Pool]:
        prices = self._prices.regions.get(region)
        return ((zone, name) for name in (prices.types if prices else ()) for zone in zones)

    def _invent(self, region: str, pool: Pool, on_demand: float) -> StepPrice:
        chance = random.Random(f"spot/{self._seed}/{region}/{'/'.join(pool)}")
        # Whole seconds keep the sums exact over any number of turns.
        gaps = [chance.randrange(*_GAP) for _ in range(_CHANGES)]
        first = chance.randrange(sum(gaps))
        times = accumulate(gaps[:-1], initial=first)
        prices = [math.floor(on_demand * chance.uniform(*_SHARE) * 10_000) / 10_000 for _ in range(_CHANGES)]
        return StepPrice([float(at) for at in times], prices, cycle=float(sum(gaps)))


class SpotPrices:
    """A SpotMarket. A bid is met while the price is not above it, and exceeded from the change that puts it above."""

    def __init__(self, pools: _Pools, prices: PriceList) -> None:
        self._pools = pools
        self._prices = prices

    def pool(self, region: str, zone: str, instance_type: str) -> StepPrice | None:
        return self._pools.get(region, (zone, instance_type))

    def pools(self, region: str, zones: Collection[str]) -> Iterator[Pool]:
        """All pools that have prices in these zones of the region."""
        return self._pools.of(region, zones)

    def met_at(self, region: str, zone: str, instance_type: str, bid: float | None, since: float) -> float:
        price, limit = self._look(region, zone, instance_type, bid)
        if price is None or limit is None:
            return math.inf
        return price.first(since, lambda value: value <= limit)

    def exceeded_at(self, region: str, zone: str, instance_type: str, bid: float | None, since: float) -> float:
        price, limit = self._look(region, zone, instance_type, bid)
        if price is None or limit is None:
            return math.inf
        return price.first(since, lambda value: value > limit)

    def on_demand(self, region: str, instance_type: str) -> float | None:
        return self._prices.on_demand(region, instance_type)

    def _look(
        self, region: str, zone: str, instance_type: str, bid: float | None
    ) -> tuple[StepPrice | None, float | None]:
        limit = self.on_demand(region, instance_type) if bid is None else bid
        return self.pool(region, zone, instance_type), limit


def open_market(history: History | None, prices: PriceList, *, seed: str, start: float) -> SpotPrices:
    """The market of an emulator that starts at W `start`: by the history if there is one, else by invention."""
    pools = _Invented(prices, seed) if history is None else _Given(history, start)
    return SpotPrices(pools, prices)
