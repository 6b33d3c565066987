"""The time that one suggestion takes: 500 configurations, 200 trials of them already made.

    python benchmarks/suggestion.py [--runs 9]

In CPU time, since the machines that this runs on are busy. A made-up job, with noise; every trial is of another
configuration. Timed is Search.suggest alone, of the class that the server asks; all that it is told is in memory.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time

from servo_emr.optimizer.instances import packaged
from servo_emr.optimizer.prices import Prices
from servo_emr.optimizer.search import Dimension, Objective, Observation, Search, Space, Suggestion
from servo_emr.pricing.table import TablePrices

SIZES = ("large", "xlarge", "2xlarge", "4xlarge")
TYPES = tuple(f"{family}.{size}" for family in ("c5", "m5", "r5", "m4", "r4") for size in SIZES)
COUNTS = tuple(range(1, 26))
TRIALS, MOST_S = 200, 0.3


def main() -> int:
    """Prints the median; 1 when it is above the bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    chance = random.Random(8)
    dimensions = Dimension("core.inst_type", "enum", TYPES), Dimension("core.replicas", "range", COUNTS)
    space = Space(dimensions, {"primary.inst_type": "m5.xlarge"})
    rates = {name: rate.ec2 + rate.fee for name, rate in TablePrices().table.rates.items()}
    seen = []
    for kind, count in chance.sample([(kind, count) for kind in TYPES for count in COUNTS], TRIALS):
        vcpus = packaged()[kind].vcpus * count
        seconds = (60 + 40_000 / vcpus) * chance.lognormvariate(0, 0.03)
        usd = (rates[kind] * count + rates["m5.xlarge"]) * (seconds + 420) / 3600
        settings = space.settings((kind, count))
        seen.append(Observation(settings, "done", seconds, usd, usd, {"provisioning": 420.0}))
    search = Search(space, Objective(runs_declared=10**9), Prices(rates), packaged(), 0)
    times = []
    for _ in range(runs + 1):
        began = time.process_time()
        found = search.suggest(seen)
        times.append(time.process_time() - began)
        assert isinstance(found, Suggestion)
    median = statistics.median(times[1:])
    print(f"{space.size} configurations, {TRIALS} trials made")
    print(f"suggestion: median {median:.3f} s of CPU, {runs} runs (at most {MOST_S})")
    return 0 if median <= MOST_S else 1


if __name__ == "__main__":
    sys.exit(main())
