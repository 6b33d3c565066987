"""How likely a configuration is to run the job at all, from those that could and those that could not.

Mostly a matter of memory, so nearness is counted there. Knows neither runtimes nor dollars.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from servo_emr.optimizer.search.features import Array, Features

__all__ = ["able"]

_USUALLY = 0.97
_REACH = 0.7
"""Octaves over which one failure speaks for its neighbours."""


def able(ground: Features, ran: NDArray[np.intp], could_not: NDArray[np.intp]) -> Array:
    """n: the probability that each configuration of a ground can run the job. ran, could_not: rows of the ground."""
    place = np.column_stack([ground.memory[:, 0], 0.5 * ground.size[:, 0], ground.size[:, 2], ground.other])
    good, bad = _near(place, ran), _near(place, could_not)
    return np.asarray((_USUALLY + good) / (1.0 + good + bad))


def _near(place: Array, rows: NDArray[np.intp]) -> Array:
    """n: how many of some rows are near each point, each counted by its nearness."""
    squared = ((place[:, None, :] - place[rows][None, :, :]) ** 2).sum(axis=2)
    return np.asarray(np.exp(-0.5 * squared / _REACH**2).sum(axis=1))
