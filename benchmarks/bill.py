"""The time that the bill of a large run takes: 1,000 nodes in 2,000 rows, half on spot, a month of spot prices.

    python benchmarks/bill.py [--runs 9]

Each node was replaced once, so that every row is billed; ten instance types, a price an hour for each of their pools;
three repeats of the job. Timed is RateBook.bill alone: everything that it asks is in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence

from servo_emr.clock import SystemClock
from servo_emr.domain.money import Cost, Quote, Rate, SpotPoint, StorageRate
from servo_emr.domain.run import InstanceRow, Timeline, Usage, Volume
from servo_emr.pricing.book import RateBook

NODES = 1000
MONTH_S = 30 * 86400.0
MOST_S = 0.2
REGION, ZONE = "us-east-1", "us-east-1a"
TYPES = [f"m{n}i.xlarge" for n in range(1, 11)]


class Month:
    """A SpotSource with a price an hour for a month, the same at every question."""

    def __init__(self, chance: random.Random) -> None:
        hours = range(int(MONTH_S // 3600))
        self._pools = {
            (name, ZONE): [SpotPoint(3600.0 * hour, chance.uniform(0.05, 0.10)) for hour in hours] for name in TYPES
        }

    async def history(
        self, region: str, inst_types: Sequence[str], start: float, end: float, zone: str | None = None
    ) -> Mapping[tuple[str, str], Sequence[SpotPoint]]:
        return self._pools


def usage(chance: random.Random) -> Usage:
    """The rows, in no order."""
    rows = []
    for number in range(NODES):
        inst_type, market = chance.choice(TYPES), "SPOT" if number % 2 else "ON_DEMAND"
        start, lost, end = sorted(chance.uniform(0.0, MONTH_S) for _ in range(3))
        for name, since, until in (("first", start, lost), ("second", lost, end)):
            life = Timeline(since, since + 400.0, until)
            rows.append(InstanceRow(f"i-{number:04}-{name}", inst_type, "ig-1", market, "TERMINATED", life))
    chance.shuffle(rows)
    return Usage(REGION, tuple(rows), Volume("gp3", 15.0), ZONE)


async def timed(book: RateBook, ran: Usage, quote: Quote) -> tuple[float, Cost]:
    """Seconds of one bill, and the bill."""
    repeats = [[(start, start + 90_000.0)] for start in (1.3e6, 1.4e6, 1.5e6)]
    began = time.perf_counter()
    cost = await book.bill(ran, quote, repeats)
    return time.perf_counter() - began, cost


def main() -> int:
    """Prints the median; 1 when it is above the bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    chance = random.Random(5)
    book = RateBook([], clock=SystemClock(), spot=Month(chance))
    rates = {name: Rate(name, REGION, 0.2, 0.05, "an example", "an example") for name in TYPES}
    quote = Quote(REGION, rates, {kind: StorageRate(kind, REGION, 0.1, "an example") for kind in ("gp2", "gp3")})
    ran = usage(chance)
    found = [asyncio.run(timed(book, ran, quote)) for _ in range(runs + 1)][1:]
    median, cost = statistics.median(seconds for seconds, _ in found), found[0][1]
    print(f"{NODES} nodes in {len(cost.instances)} rows, {cost.node_hours:.0f} node-hours")
    print(f"bill: median {median:.3f} s of {runs} (at most {MOST_S})")
    return 0 if median <= MOST_S else 1


if __name__ == "__main__":
    sys.exit(main())
