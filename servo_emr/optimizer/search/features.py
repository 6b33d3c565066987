"""Configurations as numbers that a runtime can depend on. Knows clusters and plain settings, no model, no dollars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from servo_emr.optimizer.prices import Prices
from servo_emr.optimizer.search.cluster import Cluster, is_cluster_setting
from servo_emr.optimizer.search.space import Configuration, Dimension, Space
from servo_emr.optimizer.search.terms import Value

__all__ = ["Array", "Features", "features"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Features:
    """Of n configurations, a row each. Sizes are in octaves (log2), so that a doubling counts the same everywhere.

    size: n x 3, total vCPUs, vCPUs per node, GiB per vCPU. memory: n x 3, the memory that a job may need enough of: in
    total, per node, per vCPU. kinds: n x k, the share of the workers' vCPUs that is of each family, generation,
    processor and type without a size. price: USD per vCPU-hour, 0 where prices are not known. other: n x m, further
    settings: a range over 0 to 1, an enum by one column a value.
    """

    size: Array
    memory: Array
    kinds: Array
    price: Array
    other: Array

    def __getitem__(self, rows: NDArray[np.intp]) -> Features:
        return Features(self.size[rows], self.memory[rows], self.kinds[rows], self.price[rows], self.other[rows])


def features(
    space: Space, points: Sequence[Configuration], clusters: Sequence[Cluster], prices: Prices | None
) -> Features:
    """The features of some configurations, whose clusters are given; other points may give other columns."""
    settings = [space.settings(point) for point in points]
    others = [
        dimension
        for dimension in space.dimensions
        if not settings or not is_cluster_setting(dimension.selector, settings[0])
    ]
    rows = [_sizes(cluster) for cluster in clusters]
    size = np.array([row[0] for row in rows], dtype=float).reshape(len(points), 3)
    memory = np.array([row[1] for row in rows], dtype=float).reshape(len(points), 3)
    return Features(size, memory, _kinds(clusters), _price(clusters, prices), _other(others, settings))


def _sizes(cluster: Cluster) -> tuple[list[float], list[float]]:
    if not cluster.nodes:
        return [0.0] * 3, [0.0] * 3
    vcpus, memory, nodes = (math.log2(number) for number in (cluster.vcpus, cluster.memory_gib, cluster.nodes))
    return [vcpus, vcpus - nodes, memory - vcpus], [memory, memory - nodes, memory - vcpus]


def _kinds(clusters: Sequence[Cluster]) -> Array:
    """Shares of the workers' vCPUs by what is said of a type beside its size."""
    columns: dict[str, list[float]] = {}
    for row, cluster in enumerate(clusters):
        for group in cluster.workers:
            share = group.count * group.kind.vcpus / (cluster.vcpus or 1.0)
            kind = group.kind
            names = [f"family {kind.family}", f"generation {kind.generation}", f"attributes {kind.attributes}"]
            for name in names if group.known else [f"type {kind.name}"]:
                columns.setdefault(name, [0.0] * len(clusters))[row] += share
    varied = [column for column in columns.values() if max(column) > min(column)]
    return np.array(varied, dtype=float).reshape(len(varied), len(clusters)).T


def _price(clusters: Sequence[Cluster], prices: Prices | None) -> Array:
    # On demand: nodes that are cheaper on spot are no slower for it.
    hourly = [Cluster(cluster.workers).on_demand.usd_per_hour(prices) for cluster in clusters]
    if not hourly or not all(hourly):
        return np.zeros(len(clusters))
    logs = [math.log2((usd or 1.0) / (cluster.vcpus or 1.0)) for usd, cluster in zip(hourly, clusters, strict=True)]
    return np.asarray(np.array(logs) - np.mean(logs), dtype=float)


def _other(dimensions: Sequence[Dimension], settings: Sequence[Mapping[str, Value]]) -> Array:
    columns: list[list[float]] = []
    for dimension in dimensions:
        values = [one[dimension.selector] for one in settings]
        if dimension.kind == "enum":
            columns += [[float(value == option) for value in values] for option in dimension.values]
        else:
            low, high = float(dimension.values[0]), float(dimension.values[-1])
            columns.append([(float(value) - low) / ((high - low) or 1.0) for value in values])
    return np.array(columns, dtype=float).reshape(len(columns), len(settings)).T
