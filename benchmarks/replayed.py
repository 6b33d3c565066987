"""Measured runtimes as jobs that a search can be replayed on, and the count of what a replay takes.

The data: a CSV with workload, framework, datasize, instance_type, node_count, completed, elapsed_seconds, a row for
each cluster that a job was run on. A search sees a cluster's runtime when it tries it. A run that failed (completed 0)
is charged the time it took, is never a hit, and is the search's to learn from. Knows no search.
"""

from __future__ import annotations

import csv
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from servo_emr.optimizer.instances import packaged
from servo_emr.optimizer.prices import Prices

COLUMNS = ("workload", "framework", "datasize", "instance_type", "node_count", "completed", "elapsed_seconds")
TARGETS = (1.2, 1.1, 1.0)
"""Over the cheapest run's dollars: what counts as found."""
PROVISIONING_S, PRIMARY = 420.0, "m4.xlarge"
"""What the full bill adds to each run: seconds of all its nodes, and one more node."""


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
