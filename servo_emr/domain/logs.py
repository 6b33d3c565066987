"""What can be asked about the logs of a step: whole texts, as far as they have arrived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["LOG_NAMES", "StepLog", "StepLogs"]

LOG_NAMES = ("controller", "stdout", "stderr")
"""What EMR keeps of a step."""


@dataclass(frozen=True)
class StepLog:
    """One log: `text` is None while it is not there, and ends with a remark when it could not be read whole."""

    name: str
    uri: str
    text: str | None


class StepLogs(Protocol):
    """Reads logs where EMR puts them."""

    async def read(self, log_uri: str, cluster_id: str, step_id: str) -> tuple[StepLog, ...]:
        """The logs of a step, in the order of LOG_NAMES.

        Raises:
            RunError: they may not be read, or there is no such bucket.
        """
        ...
