"""Launches of one run: where each goes, and what became of those that were given up for another one."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Attempt", "subnet_of"]


@dataclass(frozen=True)
class Attempt:
    """A launch of a run that was given up before its first step, and whose cluster, if it had one, was seen dead.

    number counts from 1; reason is of the closed list. usd is what it cost: its bill, or, where `cost` is None, its
    time at the cluster's full rate. details holds its instances and the logs that explain its end.
    """

    number: int
    cluster_id: str | None
    subnet_id: str | None
    launched_at: float | None
    ended_at: float
    reason: str
    message: str
    usd: float
    node_hours: float = 0.0
    billed: bool = True
    cost: Mapping[str, Any] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def subnet_of(subnet_ids: Sequence[str], run_id: str, attempt: int) -> str | None:
    """The subnet of a run's attempt, counted from 1; None when none is configured.

    A cluster of instance groups lives in one subnet: runs are spread over all of them, and the attempts of one run
    take the next one each.
    """
    if not subnet_ids:
        return None
    return subnet_ids[(zlib.crc32(run_id.encode()) + attempt - 1) % len(subnet_ids)]
