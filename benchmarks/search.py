"""How many runs, and how many dollars, each search needs to find the cheapest cluster: replays of measured runtimes.

    python benchmarks/search.py --data scout_runtimes.csv --seeds 50

The data is described in replayed.py beside this file, the other searches are in rivals.py. Counted are the runs up to
the first one within 20 %, 10 % and 0 % of the cheapest, and the dollars spent up to the one within 10 %, over the
cheapest run's.

Two accountings. `job`, as in published replays: nodes x price x seconds. `full`: 420 s of provisioning and a primary
node are in the bill of every run, which changes which cluster is cheapest. Prices are those of the package's table, or
of a file that `servo-emr prices -o json` made.

`ours` is the class that the optimizer's server asks. No current settings are known to it here, it is never stopped, and
no trial is cut short; what cutting short and stopping change is under keys of their own. A search that gives up before
the cheapest is found is charged for all that is left, in the table's order. In a space so small ours does not depend on
the seed: one replay stands for all.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: the workers have a core each

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from replayed import PRIMARY, Job, Tally, read
from rivals import HAS_TORCH, rivals

from servo_emr.optimizer.instances import packaged
from servo_emr.optimizer.prices import Prices
from servo_emr.optimizer.search import Dimension, Objective, Observation, Search, Space, Stop
from servo_emr.pricing.table import TablePrices

BARS = (4.0, 8.0, 12.5)
DECLARED = 100
FOR_EVER = 10**12


def table_prices() -> Prices:
    """EC2 and EMR fee as the package's table has them."""
    rates = TablePrices().table.rates
    return Prices({name: rate.ec2 + rate.fee for name, rate in rates.items()}, "us-east-1", "the packaged table")


def search_of(job: Job, prices: Prices, seed: int, declared: int) -> tuple[Search, Space]:
    """What the optimizer's server would ask, over the clusters of a job."""
    kinds = tuple(dict.fromkeys(kind for kind, _ in job.clusters))
    counts = tuple(sorted({count for _, count in job.clusters}))
    dimensions = Dimension("core.inst_type", "enum", kinds), Dimension("core.replicas", "range", counts)
    space = Space(dimensions, {"primary.inst_type": PRIMARY} if job.full else {}, None, job.clusters)
    return Search(space, Objective(runs_declared=declared), prices, packaged(), seed), space


def ours(job: Job, seed: int, prices: Prices, cut: bool = False) -> Tally:
    """Until the cheapest is found; trials are cut short when `cut` says so."""
    search, space = search_of(job, prices, seed, FOR_EVER)
    tally, seen = Tally(job), list[Observation]()
    while not tally.over:
        found = search.suggest(seen)
        if isinstance(found, Stop):
            tally.finish()
            break
        number = job.clusters.index(space.configuration(found.settings))  # type: ignore[arg-type]
        seen.append(observed(job, number, found.settings, found.deadline_s if cut else None))
        tally.add(number, seen[-1].spent_usd, seen[-1].outcome == "done")
    return tally


def observed(job: Job, number: int, settings: Any, deadline_s: float | None) -> Observation:
    """What a run tells."""
    seconds, phases = job.seconds[number], {"provisioning": job.overhead_s}
    if deadline_s is not None and seconds > deadline_s:
        return Observation(settings, "censored", deadline_s, None, job.usd(number, deadline_s), phases)
    if not job.ok[number]:
        return Observation(settings, "infeasible", seconds, None, job.usd(number), phases)
    return Observation(settings, "done", seconds, job.usd(number), job.usd(number), phases)


def until_it_stops(job: Job, prices: Prices) -> tuple[int, float, float]:
    """(runs, with confirmations; dollars spent and the declared one's cost, both over the cheapest run's)."""
    search, space = search_of(job, prices, 0, DECLARED)
    seen = list[Observation]()
    while not isinstance(found := search.suggest(seen), Stop):
        number = job.clusters.index(space.configuration(found.settings))  # type: ignore[arg-type]
        seen.append(observed(job, number, found.settings, found.deadline_s))
    best = search.best(seen)
    assert best is not None and best.cost_usd is not None
    spent = math.fsum(one.spent_usd for one in seen)
    return len(seen), spent / job.cheapest_usd, best.cost_usd / job.cheapest_usd


def methods(prices: Prices) -> dict[str, Callable[[Job, int], Tally]]:
    """All that are compared, by name."""
    return {"ours": partial(ours, prices=prices), **rivals()}


def one(task: tuple[Callable[[Job, int], Tally], Job, int]) -> tuple[list[int], float]:
    """One replay, in a worker."""
    replay, job, seed = task
    tally = replay(job, seed)
    return tally.runs, tally.dollars


def summed(found: Sequence[tuple[list[int], float]], jobs: int) -> dict[str, Any]:
    """Means over jobs and seeds; median and worst of the jobs' means. found: job after job, all its seeds."""
    assert all(all(runs) for runs, _ in found), "a replay ended before all targets were hit"
    seeds = len(found) // jobs
    runs = np.array([runs for runs, _ in found], dtype=float).reshape(jobs, seeds, 3).mean(1)
    dollars = np.array([usd for _, usd in found]).reshape(jobs, seeds).mean(1)
    return {
        "mean_runs": shown(runs.mean(0)),
        "median_runs": shown(np.median(runs, 0)),
        "worst_runs": shown(runs.max(0)),
        "dollars_to_10pct": round(float(dollars.mean()), 3),
    }


def shown(numbers: Sequence[float]) -> list[float]:
    return [round(float(number), 3) for number in numbers]


def replays(pool: ProcessPoolExecutor, jobs: Sequence[Job], prices: Prices, seeds: int) -> Iterator[tuple[str, Any]]:
    """Each method's figures for one accounting."""
    for name, replay in methods(prices).items():
        # Ours draws nothing in a space that is weighed whole.
        drawn = seeds if name != "ours" or any(search_of(one, prices, 0, 1)[0].draws for one in jobs) else 1
        tasks = [(replay, one, seed) for one in jobs for seed in range(drawn)]
        figures = summed(list(pool.map(one, tasks, chunksize=4)), len(jobs))
        if name == "ours":
            cuts = [(partial(ours, prices=prices, cut=True), one, 0) for one in jobs]
            figures["cut_short"] = summed(list(pool.map(one, cuts)), len(jobs))
            stops = list(pool.map(partial(until_it_stops, prices=prices), jobs))
            figures["until_it_stops"] = {
                "declared_runs": DECLARED,
                "mean_runs": round(statistics.mean(runs for runs, _, _ in stops), 3),
                "mean_dollars": round(statistics.mean(spent for _, spent, _ in stops), 3),
                "mean_over_cheapest": round(statistics.mean(over for _, _, over in stops), 4),
                "worst_over_cheapest": round(max(over for _, _, over in stops), 4),
            }
        yield name, figures


def main() -> int:
    """Prints the table, 1 when a bar is missed; or the JSON, and what is missed beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the CSV of runtimes")
    parser.add_argument("--seeds", type=int, default=50, help="replays of each job that depends on chance")
    parser.add_argument("--json", action="store_true", help="one object: method -> figures")
    parser.add_argument("--prices", type=Path, help="what `servo-emr prices -o json` prints; else the packaged table")
    parser.add_argument(
        "--accounting", choices=("both", "job", "full"), default="both",
        help="both: that of the full bill is under each method's full_bill",
    )  # fmt: skip
    wanted = parser.parse_args()
    if wanted.seeds < 1:
        parser.error(f"--seeds {wanted.seeds}: at least 1")
    prices = Prices.read(wanted.prices) if wanted.prices else table_prices()
    kinds = [kind == "full" for kind in ("job", "full") if wanted.accounting in (kind, "both")]
    jobs = [read(wanted.data, prices, full) for full in kinds]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = [dict(replays(pool, some, prices, wanted.seeds)) for some in jobs]
    figures = {
        name: {**own, **({"full_bill": found[1][name]} if len(found) > 1 else {})} for name, own in found[0].items()
    }
    if not HAS_TORCH:
        print("Optuna's GPSampler is left out: it needs torch, which this project does not install.", file=sys.stderr)
    if wanted.json:
        print(json.dumps(figures, indent=1))
    else:
        for full, table in zip(kinds, found, strict=True):
            print("full bill" if full else "job only")
            report(table)
    missed = not all(map(held, found))
    if missed:
        print("a bar is missed: see BARS, and a third of random search's dollars", file=sys.stderr)
    return int(missed and not wanted.json)


def report(table: dict[str, Any]) -> None:
    """One accounting, a line a method."""
    rows = {**table, "ours, cut short": table["ours"]["cut_short"]}
    for name, figures in rows.items():
        runs = "  ".join(
            f"{key.partition('_')[0]} " + " / ".join(f"{number:.2f}" for number in figures[key])
            for key in ("mean_runs", "median_runs", "worst_runs")
        )
        print(f"  {name:16} {runs}  dollars to 10 % {figures['dollars_to_10pct']:.2f}")
    stops = table["ours"]["until_it_stops"]
    print(
        f"  ours, with {DECLARED} runs declared, stops after {stops['mean_runs']:.1f} runs and "
        f"{stops['mean_dollars']:.1f} cheapest runs' dollars, {stops['mean_over_cheapest'] - 1:.1%} above the cheapest "
        f"(worst {stops['worst_over_cheapest'] - 1:.1%})"
    )


def held(table: dict[str, Any]) -> bool:
    """Whether ours holds its bars."""
    mean, dollars = table["ours"]["mean_runs"], table["ours"]["dollars_to_10pct"]
    return all(map(float.__le__, mean, BARS)) and dollars <= table["random"]["dollars_to_10pct"] / 3


if __name__ == "__main__":
    sys.exit(main())
