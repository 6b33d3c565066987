"""What a runtime may look like before anything was measured: a few hundred surfaces' worth of prior belief.

Physics in broad strokes, and how far each can be off: more vCPUs help, by less than their number; kinds of node differ
a little; a job whose data no longer fits in memory takes a multiple of its time, and nobody knows where that begins.
The measurements decide which hypotheses survive. No runtime of any job is in here; the constants were tried on ten
(docs/benchmarks.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri
from scipy.stats import qmc

from servo_emr.optimizer.search.features import Array, Features

__all__ = ["PER_DOUBLING", "Hypotheses", "hypotheses"]

PER_DOUBLING, _PER_DOUBLING_SD = -0.75, 0.3
"""Octaves of runtime for a doubling of the vCPUs. -1 would be perfect scaling."""
_LEVEL_SD = 6.0
_CURVATURE_SD = 0.08
_SHAPE_SD = (0.15, 0.2)
"""Octaves of runtime for a doubling of vCPUs per node, and of GiB per vCPU."""
_KIND_SD, _PRICE_SD, _OTHER_SD = 0.1, 0.15, 0.4
_CLIFF, _CLIFF_SD = 1.0, 1.0
"""Octaves of runtime that too little memory costs: about a doubling."""
_NO_CLIFF = 0.3
"""How likely it is that memory does not matter within the space."""
_MEMORY_PARTS = (0.8, 0.1, 0.1)
"""Which memory there must be enough of: all workers' together, a node's, that for each vCPU."""
_COUNT = 256
_MEMORY_PARTS_AT = np.cumsum(_MEMORY_PARTS)


@dataclass(frozen=True)
class Hypotheses:
    """h of them. amplitude, noise: octaves. scale: h x 4, lengths: octaves along the sizes, and in the other settings.

    cliff: how much of the way through the span of a memory the cliff is; below 0 there is none. part: which memory.
    width: of the cliff, octaves.
    """

    amplitude: Array
    scale: Array
    noise: Array
    cliff: Array
    part: NDArray[np.intp]
    width: Array

    def __len__(self) -> int:
        return len(self.amplitude)

    def __getitem__(self, chosen: NDArray[np.intp]) -> Hypotheses:
        return Hypotheses(
            self.amplitude[chosen],
            self.scale[chosen],
            self.noise[chosen],
            self.cliff[chosen],
            self.part[chosen],
            self.width[chosen],
        )

    def mean(self, points: Features, spans: Array) -> Array:
        """h x n: log2 seconds that are expected but for the level, which is unknown. spans: 3 x 2, `memory_spans`."""
        slope = np.broadcast_to(PER_DOUBLING * points.size[:, 0], (len(self), len(points.size)))
        return np.asarray(slope + _CLIFF * self._short(points, spans))

    def covariance(self, one: Features, two: Features, spans: Array) -> Array:
        """h x n x m, without noise."""
        common = _linear(one) @ _linear(two).T
        short_one, short_two = self._short(one, spans), self._short(two, spans)
        cliff = _CLIFF_SD**2 * short_one[:, :, None] * short_two[:, None, :]
        squared = np.zeros((len(self), len(one.size), len(two.size)))
        for column in range(3):
            apart = (one.size[:, None, column] - two.size[None, :, column]) ** 2
            squared += apart[None] / self.scale[:, column, None, None] ** 2
        if one.other.shape[1]:
            apart = ((one.other[:, None, :] - two.other[None, :, :]) ** 2).sum(2)
            squared += apart[None] / self.scale[:, 3, None, None] ** 2
        return np.asarray(common[None] + cliff + self.amplitude[:, None, None] ** 2 * _matern(squared))

    def variance(self, points: Features, spans: Array) -> Array:
        """h x n: the diagonal of the covariance of some points with themselves."""
        common = (_linear(points) ** 2).sum(1)
        cliff = _CLIFF_SD**2 * self._short(points, spans) ** 2
        return np.asarray(common[None] + cliff + self.amplitude[:, None] ** 2)

    def _short(self, points: Features, spans: Array) -> Array:
        """h x n, 0 to 1: whether a configuration is short of memory."""
        low, high = spans[self.part, 0], spans[self.part, 1]
        edge = low + (high - low) * self.cliff
        short = expit((edge[:, None] - points.memory.T[self.part]) / self.width[:, None])
        return np.where((self.cliff < 0)[:, None], 0.0, short)


def _linear(points: Features) -> Array:
    """Columns whose weights are unknown, each times its weight's standard deviation."""
    size = points.size
    columns = [
        np.full((len(size), 1), _LEVEL_SD),
        size[:, :1] * _PER_DOUBLING_SD,
        size[:, 1:] * _SHAPE_SD,
        size[:, :1] ** 2 * _CURVATURE_SD,
        points.kinds * _KIND_SD,
        points.price[:, None] * _PRICE_SD,
        (points.other - 0.5) * _OTHER_SD,
    ]
    return np.hstack(columns)


def _matern(squared: Array) -> Array:
    """Matern 5/2 of squared distances."""
    root = np.sqrt(5.0 * squared)
    return np.asarray((1.0 + root + 5.0 / 3.0 * squared) * np.exp(-root))


@cache
def hypotheses() -> Hypotheses:
    """All of them, always the same: points that fill the prior evenly, not a sample of it."""
    even = qmc.Sobol(8, scramble=True, rng=np.random.default_rng(0)).random(_COUNT)
    normal = ndtri(np.clip(even, 1e-6, 1 - 1e-6))
    # Where the cliff is matters most: it is spread with no gap at all.
    place = (np.argsort(np.argsort(even[:, 5])) + 0.5) / _COUNT
    return Hypotheses(
        amplitude=0.2 * np.exp(0.6 * normal[:, 0]),
        scale=np.column_stack([1.2 * np.exp(0.6 * normal[:, 1:4]), 0.8 * np.exp(0.6 * normal[:, 3])]),
        noise=0.05 * np.exp(0.5 * normal[:, 4]),
        cliff=np.where(place < _NO_CLIFF, -1.0, (place - _NO_CLIFF) / (1 - _NO_CLIFF)),
        part=np.searchsorted(_MEMORY_PARTS_AT, even[:, 7] * _MEMORY_PARTS_AT[-1]).astype(np.intp),
        width=0.02 * 10.0 ** even[:, 6],
    )
