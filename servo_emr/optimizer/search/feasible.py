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
"""Octaves over which one trial speaks for its neighbours."""


def able(ground: Features, ran: NDArray[np.intp], could_not: NDArray[np.intp]) -> Array:
    """n: the probability that each configuration of a ground can run the job. ran, could_not: rows of the ground."""
    place = np.column_stack([ground.memory[:, 0], ground.size[:, 0], 0.7 * ground.memory[:, 2], ground.other])
    good, bad = _near(place, ran, 1.0), _near(place, could_not, -1.0)
    return np.asarray((_USUALLY + good) / (1.0 + good + bad))


def _near(place: Array, rows: NDArray[np.intp], better: float) -> Array:
    """n: how many of some rows speak for each point.

    Who has more of everything can run what the other can, and who has less cannot: in the sizes only the lacking part
    of a distance counts (better 1: what the point lacks, -1: what the row lacks); in other settings all of it.
    """
    apart = better * (place[rows][None, :, :3] - place[:, None, :3])
    other = place[rows][None, :, 3:] - place[:, None, 3:]
    squared = (np.maximum(apart, 0.0) ** 2).sum(axis=2) + (other**2).sum(axis=2)
    return np.asarray(np.exp(-0.5 * squared / _REACH**2).sum(axis=1))
