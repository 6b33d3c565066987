"""What trying a configuration is worth: its expected improvement, in octaves and in USD, and when to cut it short.

Arithmetic over predictions; knows neither where these come from nor what was decided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from servo_emr.optimizer.search.dollars import Dollars
from servo_emr.optimizer.search.features import Array
from servo_emr.optimizer.search.surrogate import Runtimes
from servo_emr.optimizer.search.terms import Objective

__all__ = ["CUT", "Outlook", "outlook"]

CUT = 1.5
"""A trial is cut short when it is certain to end so much worse than the best."""
_THRIFT = 0.5
"""The power of a run's price that its promise is divided by: 0 counts trials, 1 counts dollars."""
_BELIEF = 0.3
"""By how much the evidence counts when it says that there is nothing left to find."""
_LN2 = math.log(2.0)


@dataclass(frozen=True)
class Outlook:
    """Of n configurations. appeal: what to rank them by. gain_usd: expected saving per future run; trial_usd: what
    trying it is expected to cost, cut short in time; seconds, usd: medians of what a run is expected to take and cost.
    """

    appeal: Array
    gain_usd: Array
    trial_usd: Array
    seconds: Array
    usd: Array


def outlook(objective: Objective, runtimes: Runtimes, dollars: Dollars, able: Array, best: float | None) -> Outlook:
    """What each configuration promises.

    Args:
        able: n, the probability that it can run the job.
        best: the value to beat, USD or seconds; None when nothing meets the objective's bound yet.
    """
    weights, log2_s, sd_s = runtimes.weights, runtimes.mean, runtimes.sd
    log2_usd = dollars.log2_usd(log2_s)
    sd_usd = np.sqrt((sd_s * dollars.share_of_job(log2_s)) ** 2 + dollars.sd**2)
    seconds, usd = np.exp2(weights @ log2_s), np.exp2(weights @ log2_usd)
    fastest = objective.kind == "fastest-under-price"
    within = np.ones_like(log2_s)
    if fastest and objective.price_usd is not None:
        within = ndtr((math.log2(objective.price_usd) - log2_usd) / sd_usd)
    elif objective.kind == "cheapest-under-deadline" and objective.deadline_s is not None:
        within = ndtr((math.log2(objective.deadline_s) - log2_s) / sd_s)
    mean, sd = (log2_s, sd_s) if fastest else (log2_usd, sd_usd)
    if best is None:
        # Nothing to compare with: whatever meets the bound is worth all that a run costs.
        promise, gain = weights @ within, usd * (weights @ within)
    else:
        z = (math.log2(best) - mean) / sd
        promise = weights @ (within * sd * (z * ndtr(z) + np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)))
        relative = _doubting(weights) @ (within * _relative(z, sd))
        gain = relative * ((objective.price_usd or 0.0) if fastest else best)
    limit = usd if best is None or fastest else np.minimum(usd, best * CUT)
    return Outlook(able * promise / usd**_THRIFT, able * gain, limit, seconds, usd)


def _doubting(weights: Array) -> Array:
    """Weights for the decision to stop: a hypothesis that foretold the first few measurements badly may yet be right
    elsewhere, since all of them are simpler than a job. Stopping too early costs every future run.
    """
    tempered = weights**_BELIEF
    return np.asarray(tempered / tempered.sum())


def _relative(z: Array, sd: Array) -> Array:
    """The expected part of the best that is saved, 0 to 1, when log2 of the value is z deviations of sd below it."""
    spread = sd * _LN2
    exponent = np.minimum(0.5 * spread**2 - z * spread, 700.0)
    return np.asarray(np.maximum(ndtr(z) - np.exp(exponent) * ndtr(z - spread), 0.0))
