"""Identifiers and the chance in the world: both follow from one seed, so a run can be had twice.

The same seed gives the same ids in the same order, and the same spread for the same id. Nothing here knows what
the ids are for.
"""

from __future__ import annotations

import random

__all__ = ["Ids"]

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HEX = "0123456789abcdef"


class Ids:
    """Ids that look like AWS's, and deterministic draws by name."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._random = random.Random(f"ids/{seed}")
        self._volumes = random.Random(f"volumes/{seed}")

    def cluster(self) -> str:
        return "j-" + self._letters(13)

    def step(self) -> str:
        return "s-" + self._letters(13)

    def group(self) -> str:
        return "ig-" + self._letters(13)

    def fleet(self) -> str:
        return "if-" + self._letters(13)

    def instance(self) -> str:
        return "ci-" + self._letters(13)

    def ec2_instance(self) -> str:
        return "i-" + "".join(self._random.choices(_HEX, k=17))

    def volume(self) -> str:
        return f"vol-{self._volumes.getrandbits(68):017x}"

    def private_ip(self) -> str:
        return f"172.31.{self._random.randrange(0, 96)}.{self._random.randrange(4, 255)}"

    def uniform(self, name: str, low: float, high: float) -> float:
        """The same number in [low, high] for the same seed and name."""
        return random.Random(f"{self._seed}/{name}").uniform(low, high)

    def gauss(self, name: str) -> float:
        """The same draw of the standard normal distribution for the same seed and name."""
        return random.Random(f"{self._seed}/{name}").gauss(0.0, 1.0)

    def _letters(self, count: int) -> str:
        return "".join(self._random.choices(_ALPHABET, k=count))
