"""How many runs, and how many dollars, each search needs to find the cheapest cluster: replays of measured runtimes.

    python benchmarks/search.py --data scout_runtimes.csv --seeds 50

The data: a CSV with workload, framework, datasize, instance_type, node_count, completed, elapsed_seconds, a row for
each cluster that a job was run on. A search sees a cluster's runtime when it tries it. A run that failed (completed 0)
is charged the time it took, is never a hit, and is the search's to learn from. Counted are the runs up to the first one
within 20 %, 10 % and 0 % of the cheapest, and the dollars spent up to the one within 10 %, over the cheapest run's.

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
import csv
import importlib.util
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy.stats import norm

from servo_emr.optimizer.instances import packaged
from servo_emr.optimizer.prices import Prices
from servo_emr.optimizer.search import Dimension, Objective, Observation, Search, Space, Stop
from servo_emr.pricing.table import TablePrices

COLUMNS = ("workload", "framework", "datasize", "instance_type", "node_count", "completed", "elapsed_seconds")
TARGETS = (1.2, 1.1, 1.0)
PROVISIONING_S, PRIMARY = 420.0, "m4.xlarge"
BARS = (4.0, 8.0, 12.5)
DECLARED = 100
FOR_EVER = 10**12


@dataclass(frozen=True)
class Job:
    """One job's table. rate: USD per second of each cluster; billed: seconds that are paid for."""

    name: str
    clusters: tuple[tuple[str, int], ...]
    ok: tuple[bool, ...]
    seconds: tuple[float, ...]
    full: bool
    rate: tuple[float, ...]

    @property
    def overhead_s(self) -> float:
        return PROVISIONING_S if self.full else 0.0

    def usd(self, number: int, most_s: float = math.inf) -> float:
        """What trying a cluster costs, cut short after so many seconds of job."""
        return self.rate[number] * (min(self.seconds[number], most_s) + self.overhead_s)

    @property
    def cheapest_usd(self) -> float:
        return min(self.usd(number) for number, ok in enumerate(self.ok) if ok)


@dataclass
class Tally:
    """Counts one replay: runs to each target, dollars to the second; every cluster counts once."""

    job: Job
    order: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    spent: float = 0.0
    runs: list[int] = field(default_factory=lambda: [0, 0, 0])
    dollars: float = 0.0

    def add(self, number: int, usd: float | None = None, measured: bool = True) -> None:
        """One run; `usd` when it was cut short."""
        job, best = self.job, self.job.cheapest_usd
        self.order.append(number)
        self.spent += job.usd(number) if usd is None else usd
        if not measured and job.ok[number]:
            self.cut.append(number)
        for place, target in enumerate(TARGETS):
            if measured and job.ok[number] and not self.runs[place] and job.usd(number) <= best * target * (1 + 1e-9):
                self.runs[place] = len(self.order)
                if target == 1.1:
                    self.dollars = self.spent / best

    @property
    def over(self) -> bool:
        return bool(self.runs[-1])

    def finish(self) -> None:
        """A search that gives up finds nothing more: all that is left is tried and paid for, in the table's order, and
        then in full what was cut short, until the cheapest is among it.
        """
        for number in (*self.left, *self.cut):
            if self.over:
                return
            self.add(number)

    @property
    def left(self) -> list[int]:
        return [number for number in range(len(self.job.clusters)) if number not in self.order]


def read(path: Path, prices: Prices, full: bool) -> list[Job]:
    """The jobs of a file; those of which no run was completed have no cheapest one: said, and left out."""
    rows: dict[str, list[dict[str, str]]] = {}
    with path.open(newline="", encoding="utf-8") as source:
        reader = csv.DictReader(source)
        missing = set(COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise SystemExit(f"{path}: it has no column {', '.join(sorted(missing))}")
        for row in reader:
            rows.setdefault(f"{row['workload']} {row['framework']} {row['datasize']}", []).append(row)
    kinds = {row["instance_type"] for group in rows.values() for row in group}
    if unknown := (kinds | ({PRIMARY} if full else set())) - set(prices.usd_per_hour):
        raise SystemExit(f"{path}: no price is known of {', '.join(sorted(unknown))}; give some with --prices")
    if unsized := kinds - set(packaged()):
        raise SystemExit(f"{path}: no size is known of {', '.join(sorted(unsized))}")
    able = {name: group for name, group in rows.items() if any(int(row["completed"]) for row in group)}
    for name in sorted(rows.keys() - able.keys()):
        print(f"{name} is left out: no run of it was completed.", file=sys.stderr)
    if not able:
        raise SystemExit(f"{path}: it has no job of which a run was completed")
    return [job(name, group, prices, full) for name, group in able.items()]


def job(name: str, rows: Sequence[dict[str, str]], prices: Prices, full: bool) -> Job:
    """A cluster with several rows is one cluster: it can run the job if one of them did, and takes their median time;
    if none did, the failures' median.
    """
    grouped: dict[tuple[str, int], list[tuple[bool, float]]] = {}
    for row in rows:
        cluster = row["instance_type"], int(row["node_count"])
        grouped.setdefault(cluster, []).append((bool(int(row["completed"])), float(row["elapsed_seconds"])))
    clusters, ok = tuple(grouped), tuple(any(done for done, _ in group) for group in grouped.values())
    primary = prices.usd_per_hour[PRIMARY] if full else 0.0
    return Job(
        name,
        clusters,
        ok,
        tuple(
            statistics.median(seconds for done, seconds in group if done is fine)
            for group, fine in zip(grouped.values(), ok, strict=True)
        ),
        full,
        tuple((prices.usd_per_hour[kind] * count + primary) / 3600.0 for kind, count in clusters),
    )


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


def at_random(job: Job, seed: int) -> Tally:
    tally = Tally(job)
    for number in np.random.default_rng(seed).permutation(len(job.clusters)):
        tally.add(int(number))
    return tally


def by_optuna(job: Job, seed: int, sampler: Callable[[int], optuna.samplers.BaseSampler]) -> Tally:
    """Type, then the count among those that there are of this type; log of cost; a failure counts twice its cost.

    A cluster that it asks for again is told at once and not counted; then it is given a new one.
    """
    study, chance = optuna.create_study(sampler=sampler(seed)), np.random.default_rng(seed)
    counts: dict[str, list[int]] = {}
    for kind, count in job.clusters:
        counts.setdefault(kind, []).append(count)
    tally, again = Tally(job), False
    while not tally.over:
        if again:
            kind, count = job.clusters[int(chance.choice(tally.left))]
            study.enqueue_trial({"type": kind, f"nodes of {kind}": counts[kind].index(count)})
        trial = study.ask()
        kind = trial.suggest_categorical("type", list(counts))
        count = counts[kind][trial.suggest_int(f"nodes of {kind}", 0, len(counts[kind]) - 1)]
        number = job.clusters.index((kind, count))
        study.tell(trial, math.log(job.usd(number) * (1.0 if job.ok[number] else 2.0)))
        again = number in tally.order
        if not again:
            tally.add(number)
    return tally


def cherrypick(job: Job, seed: int) -> Tally:
    """A Gaussian process on cost over vCPUs, memory, nodes and their ratios, as CherryPick has it.

    Matern 5/2, length and noise of the greatest likelihood; three random points, then by expected improvement.
    """
    sizes = [(packaged()[kind].vcpus, packaged()[kind].memory_gib, count) for kind, count in job.clusters]
    raw = np.array([[cpu * n, gib * n, cpu, gib / cpu, n] for cpu, gib, n in sizes], dtype=float)
    points = (raw - raw.mean(0)) / (raw.std(0) + 1e-12)
    apart = np.sqrt(5.0 * ((points[:, None] - points[None]) ** 2).sum(2))
    lengths, noises = np.repeat([0.5, 1.0, 2.0, 4.0, 8.0], 3), np.tile([1e-3, 1e-2, 1e-1], 5)
    scaled = apart[None] / lengths[:, None, None]
    kernels = (1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled)
    tally = Tally(job)
    for number in np.random.default_rng(seed).permutation(len(points))[:3]:
        tally.add(int(number))
    while not tally.over and tally.left:
        known = [number for number in tally.order if job.ok[number]]
        cost = np.array([job.usd(number) for number in known])
        if len(known) < 2:
            tally.add(tally.left[0])
            continue
        told = (cost - cost.mean()) / (cost.std() + 1e-12)
        inner = kernels[:, known][:, :, known] + noises[:, None, None] * np.eye(len(known))
        factor = np.linalg.cholesky(inner)
        aligned = np.linalg.solve(factor, np.broadcast_to(told[:, None], (len(lengths), len(known), 1)))[:, :, 0]
        likelihood = -0.5 * (aligned**2).sum(1) - np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
        chosen = int(np.argmax(likelihood))
        across = np.linalg.solve(factor[chosen], kernels[chosen][known][:, tally.left])
        mean, deviation = aligned[chosen] @ across, np.sqrt(np.maximum(1.0 - (across**2).sum(0), 1e-9))
        z = (told.min() - mean) / deviation
        tally.add(tally.left[int(np.argmax(deviation * (z * norm.cdf(z) + norm.pdf(z))))])
    return tally


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


def gp(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=seed)


def methods(prices: Prices) -> dict[str, Callable[[Job, int], Tally]]:
    """All that are compared, by name."""
    found: dict[str, Callable[[Job, int], Tally]] = {
        "ours": partial(ours, prices=prices),
        "random": at_random,
        "tpe": partial(by_optuna, sampler=tpe),
        "cherrypick": cherrypick,
    }
    if importlib.util.find_spec("torch") is not None:
        found["gpsampler"] = partial(by_optuna, sampler=gp)
    return found


def one(task: tuple[Callable[[Job, int], Tally], Job, int]) -> tuple[list[int], float]:
    """One replay, in a worker."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
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
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="one object: method -> figures")
    parser.add_argument("--prices", type=Path, help="what `servo-emr prices -o json` prints; else the packaged table")
    parser.add_argument(
        "--accounting", choices=("both", "job", "full"), default="both",
        help="both: that of the full bill is under each method's full_bill",
    )  # fmt: skip
    wanted = parser.parse_args()
    prices = Prices.read(wanted.prices) if wanted.prices else table_prices()
    kinds = [kind == "full" for kind in ("job", "full") if wanted.accounting in (kind, "both")]
    jobs = [read(wanted.data, prices, full) for full in kinds]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = [dict(replays(pool, some, prices, wanted.seeds)) for some in jobs]
    figures = {
        name: {**own, **({"full_bill": found[1][name]} if len(found) > 1 else {})} for name, own in found[0].items()
    }
    if importlib.util.find_spec("torch") is None:
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
