"""The runtime of every configuration, given what was measured: a mixture of Gaussian processes.

Each hypothesis of the prior is weighted by how well it foretold the measurements. In log2 seconds; knows no dollars.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr
from threadpoolctl import threadpool_limits

from servo_emr.optimizer.search.features import Array, Features
from servo_emr.optimizer.search.hypotheses import Hypotheses, hypotheses

__all__ = ["Runtimes", "Seen", "foretell"]

_MOST_SEEN = 120
_WEIGHED_ON = 40
"""Which hypotheses survive shows on fewer measurements than the surface is drawn from."""
_CELLS = 1.0e6
"""Hypotheses x measurements x configurations that are worked out for one suggestion, at most."""


@dataclass(frozen=True)
class Seen:
    """Measurements: rows of the ground, log2 seconds, and which of these are only lower bounds."""

    rows: NDArray[np.intp]
    log2_s: Array
    bound: NDArray[np.bool_]


@dataclass(frozen=True)
class Runtimes:
    """weights: h. mean and sd: h x n, log2 seconds."""

    weights: Array
    mean: Array
    sd: Array

    @property
    def median(self) -> Array:
        """n: what is expected, over all hypotheses."""
        return self.weights @ self.mean


def foretell(ground: Features, seen: Seen) -> Runtimes:
    """The runtimes of all configurations of a ground, from what was seen of some of them (at least one)."""
    spans = np.column_stack([ground.memory.min(axis=0), ground.memory.max(axis=0)])
    # The level is free, so it does not matter where the size is counted from; the curvature's middle is the ground's.
    middle = ground.size.mean(axis=0)
    centred = Features(ground.size - middle, ground.memory, ground.kinds, ground.price, ground.other)
    # Many small matrices: a second thread only waits for the first, and takes a busy machine's time while it does.
    with threadpool_limits(limits=1, user_api="blas"):
        seen = _raised(centred, spans, _newest(seen, _MOST_SEEN))
        weights, alive = _survivors(centred, spans, seen, len(centred.size))
        return _posterior(centred, spans, seen, hypotheses()[alive], weights)


def _newest(seen: Seen, most: int) -> Seen:
    """The quickest half and the newest half, when there are too many."""
    if len(seen.rows) <= most:
        return seen
    quick = np.argsort(seen.log2_s, kind="stable")[: most // 2]
    chosen = np.unique(np.concatenate([quick, np.arange(len(seen.rows) - most // 2, len(seen.rows))]))
    return Seen(seen.rows[chosen], seen.log2_s[chosen], seen.bound[chosen])


def _raised(ground: Features, spans: Array, seen: Seen) -> Seen:
    """Each lower bound replaced by what is to be expected beyond it, given the full measurements.

    One far below what is expected anyway tells nothing, and is left out.
    """
    full = ~seen.bound
    if full.all():
        return seen
    if not full.any():
        return Seen(seen.rows, seen.log2_s + 0.5, np.zeros_like(seen.bound))
    known = Seen(seen.rows[full], seen.log2_s[full], seen.bound[full])
    weights, alive = _survivors(ground, spans, known, len(seen.rows))
    expected = _posterior(ground[seen.rows], spans, _renumbered(known, full), hypotheses()[alive], weights)
    mean = expected.median
    spread = np.sqrt(expected.weights @ (expected.sd**2 + (expected.mean - mean) ** 2)) + 0.05
    excess = (seen.log2_s - mean) / spread
    # The mean of a normal variable above a bound; logarithms, because far above it both parts vanish.
    beyond = mean + spread * np.exp(-0.5 * excess**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(-excess))
    raised = np.where(full, seen.log2_s, np.maximum(beyond, seen.log2_s))
    telling = full | (excess > -1.0)
    return Seen(seen.rows[telling], raised[telling], np.zeros_like(seen.bound[telling]))


def _renumbered(known: Seen, full: NDArray[np.bool_]) -> Seen:
    """`known`, whose rows are those of a ground, for the ground that has a row for each measurement."""
    return Seen(np.flatnonzero(full).astype(np.intp), known.log2_s, known.bound)


def _survivors(ground: Features, spans: Array, seen: Seen, width: int) -> tuple[Array, NDArray[np.intp]]:
    """(weights, which hypotheses): as many of the likeliest as can be worked out for `width` configurations."""
    part = _newest(seen, _WEIGHED_ON)
    everyone = hypotheses()
    factor, aligned = _solved(ground, spans, part, everyone)
    diagonal = np.diagonal(factor, axis1=1, axis2=2)
    log_likelihood = -0.5 * (aligned**2).sum(axis=1) - np.log(diagonal).sum(axis=1)
    weights = np.exp(log_likelihood - log_likelihood.max())
    count = int(np.clip(_CELLS / (len(seen.rows) * width), 6, len(everyone)))
    alive = np.sort(np.argsort(-weights, kind="stable")[:count]).astype(np.intp)
    return weights[alive] / weights[alive].sum(), alive


def _solved(ground: Features, spans: Array, seen: Seen, chosen: Hypotheses) -> tuple[Array, Array]:
    """(h x k x k, the covariance's Cholesky factor; h x k, the measurements' surprise in its terms)."""
    rows = ground[seen.rows]
    covariance = chosen.covariance(rows, rows, spans)
    covariance += (chosen.noise**2)[:, None, None] * np.eye(len(seen.rows))
    factor = np.linalg.cholesky(covariance)
    surprise = seen.log2_s[None] - chosen.mean(rows, spans)
    return np.asarray(factor, dtype=float), np.asarray(
        np.linalg.solve(factor, surprise[:, :, None])[:, :, 0], dtype=float
    )


def _posterior(ground: Features, spans: Array, seen: Seen, chosen: Hypotheses, weights: Array) -> Runtimes:
    factor, aligned = _solved(ground, spans, seen, chosen)
    across = np.linalg.solve(factor, chosen.covariance(ground[seen.rows], ground, spans))
    mean = chosen.mean(ground, spans) + np.einsum("hk,hkn->hn", aligned, across)
    variance = chosen.variance(ground, spans) - (across**2).sum(axis=1)
    return Runtimes(weights, mean, np.sqrt(np.maximum(variance, 1e-8)))
