"""After a cluster has ended: its usage, its bill, and the log tails that explain a failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from servo_emr.domain.errors import RunError
from servo_emr.domain.money import Cost, Quote
from servo_emr.domain.ports import Clock, Handle, LaunchTarget, PriceBook
from servo_emr.domain.run import Observation, Usage, measured_intervals
from servo_emr.domain.spec import RunSpec

__all__ = ["Settle", "still_alive"]

_USAGE_TRIES_S = (0.0, 10.0, 30.0, 60.0)
"""An instance's end may be told later than its cluster's."""
_LOG_TRIES_S = (0.0, 30.0, 60.0, 120.0, 120.0)
"""Logs arrive when the cluster ends, or up to five minutes later."""


class Settle:
    """Reads a dead cluster's usage and logs.

    Args:
        target, book, clock: the ports.
        warn: called with a sentence for the log.
    """

    def __init__(self, target: LaunchTarget, book: PriceBook, clock: Clock, warn: Callable[[str], None]) -> None:
        self._target = target
        self._book = book
        self._clock = clock
        self._warn = warn

    async def bill(
        self, handle: Handle, spec: RunSpec, look: Observation, prices: Mapping[str, Any] | None
    ) -> tuple[Usage | None, Cost | None]:
        """(usage, cost) of an ended cluster; None for what could not be had, with the cause in the log.

        Args:
            prices: the quote on the run's record; None in a record of the first version: today's serve then.
        """
        usage: Usage | None = None
        for wait in _USAGE_TRIES_S:
            if wait:
                await self._clock.sleep(wait)
            try:
                usage = await self._target.usage(handle)
            except RunError as error:
                self._warn(f"the instances of {handle.cluster_id} could not be listed: {error.message}")
                continue
            if usage.rows and all(row.ended and (row.timeline.ended or not row.timeline.created) for row in usage.rows):
                break
        if usage is None or not usage.rows:
            self._warn(f"EMR lists no instances of {handle.cluster_id}: there is no bill")
            return None, None
        try:
            quote = await self._book.quote(spec) if prices is None else Quote.from_json(prices)
            return usage, await self._book.bill(usage, quote, measured_intervals(spec, look.steps))
        except (RunError, ValueError) as error:
            self._warn(f"no bill for {handle.cluster_id}: {error}")
            return usage, None

    async def logs(self, handle: Handle, spec: RunSpec, look: Observation, patient: bool) -> list[dict[str, Any]]:
        """The tails of the logs that explain a failure. `patient`: wait for them, nothing else tells the cause."""
        tails = []
        for wait in _LOG_TRIES_S if patient else _LOG_TRIES_S[:1]:
            if wait:
                await self._clock.sleep(wait)
            tails = await self._target.logs(handle, spec, look)
            if not tails or any(tail.text for tail in tails):
                break
        return [{"name": tail.name, "uri": tail.uri, "text": tail.text} for tail in tails]


def still_alive(usage: Usage | None) -> list[str]:
    """The ids of instances that are listed as alive; of a cluster that has ended there should be none."""
    return [row.instance_id for row in usage.rows if not row.ended] if usage is not None else []
