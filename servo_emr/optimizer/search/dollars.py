"""Seconds as dollars: the hourly price of a configuration, the time that is billed beside the job, what runs did cost.

With prices the rate is known before a configuration was tried, and measured costs only correct its level (spot, EBS).
The price of a type that none was given for is learned, and without any prices the level too. Knows nothing of how long
a job takes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from servo_emr.optimizer.instances import InstanceType
from servo_emr.optimizer.prices import Prices
from servo_emr.optimizer.search.cluster import Cluster
from servo_emr.optimizer.search.features import Array
from servo_emr.optimizer.search.terms import Observation

__all__ = ["OVERHEAD_S", "Dollars", "learn"]

OVERHEAD_S = 420.0
"""Seconds from the launch to the first step, until a run has told: AWS's own documented example."""
_LEVEL_SD, _TYPE_SD, _NOISE_SD = 0.4, 0.35, 0.03
"""Octaves: how far all rates may be off together, how far a type's price when it was not given, one bill."""


@dataclass(frozen=True)
class Dollars:
    """Of n configurations: log2 of USD per billed second, and its sd, octaves; overhead_s is billed beside the job."""

    log2_rate: Array
    sd: Array
    overhead_s: float

    def log2_usd(self, log2_s: Array) -> Array:
        """Log2 of what a run costs (last axis: configurations) whose job takes so many log2 seconds."""
        return self.log2_rate + np.log2(np.exp2(np.clip(log2_s, -10.0, 40.0)) + self.overhead_s)

    def share_of_job(self, log2_s: Array) -> Array:
        """The job's part of the billed time, 0 to 1: by so much an error of runtime becomes one of dollars."""
        seconds = np.exp2(np.clip(log2_s, -10.0, 40.0))
        return np.asarray(seconds / (seconds + self.overhead_s))

    def seconds_for(self, place: int, usd: float) -> float:
        """Seconds of job that configuration number `place` runs for so many USD; may be negative."""
        return float(usd / 2.0 ** self.log2_rate[place]) - self.overhead_s


def learn(
    ground: Sequence[Cluster],
    instances: Mapping[str, InstanceType],
    prices: Prices | None,
    observations: Sequence[Observation],
) -> Dollars:
    """The dollars of some clusters, from prices and from what the observed runs cost."""
    paid = [one for one in observations if one.outcome == "done" and one.cost_usd]
    overhead = _overhead(observations)
    clusters = [*ground, *(Cluster.of(one.settings, instances) for one in paid)]
    hourly = [cluster.usd_per_hour(prices) for cluster in clusters]
    priced = all(hourly)
    known = hourly if priced else [cluster.likely_usd_per_hour(prices) for cluster in clusters]
    log2_rate = np.log2(np.array(known, dtype=float)) - math.log2(3600.0)
    count = len(ground)
    billed = [one.duration_s + overhead for one in paid if one.duration_s]
    told = np.log2([one.cost_usd or math.nan for one in paid]) - np.log2(billed) - log2_rate[count:]
    if priced:
        # All rates are off by the same factor, if by any.
        share = _LEVEL_SD**2 / (len(paid) * _LEVEL_SD**2 + _NOISE_SD**2)
        left = _LEVEL_SD * math.sqrt(1.0 - len(paid) * share)
        return Dollars(log2_rate[:count] + share * told.sum(), np.full(count, left), overhead)
    mixes = _mixes(clusters, prices)
    prior = _LEVEL_SD**2 + _TYPE_SD**2 * (mixes @ mixes.T)
    inner = prior[count:, count:] + _NOISE_SD**2 * np.eye(len(paid))
    gain = np.linalg.solve(inner, prior[count:, :count]).T
    variance = np.diagonal(prior)[:count] - (gain * prior[:count, count:]).sum(axis=1)
    return Dollars(log2_rate[:count] + gain @ told, np.sqrt(np.maximum(variance, 0.0)), overhead)


def _overhead(observations: Sequence[Observation]) -> float:
    """Seconds that are billed beside the job: the median of what the runs have told."""
    told = [math.fsum(one.phases.values()) for one in observations if one.phases]
    return statistics.median(told) if told else OVERHEAD_S


def _mixes(clusters: Sequence[Cluster], prices: Prices | None) -> Array:
    """n x k: which share of a cluster's likely price is each type's (in each market) whose price was not given."""
    given = {} if prices is None else prices.usd_per_hour
    columns: dict[str, Array] = {}
    for row, cluster in enumerate(clusters):
        whole = cluster.likely_usd_per_hour(prices)
        for group in cluster.groups:
            if group.priced_as in given:
                continue
            share = group.count * group.usual_usd_per_hour(given) / whole
            columns.setdefault(group.priced_as, np.zeros(len(clusters)))[row] += share
    return np.column_stack([*columns.values(), np.zeros(len(clusters))])
