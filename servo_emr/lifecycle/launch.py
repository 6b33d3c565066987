"""Launching once. RunJobFlow has no idempotency token: the one call is never repeated blindly.

After an unclear answer the service is asked for our key, on our clock, before anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from servo_emr.domain.errors import LaunchUnclear, Reason, RunError, failure
from servo_emr.domain.ports import Clock, Handle, LaunchTarget
from servo_emr.domain.spec import RunKey, RunSpec

__all__ = ["Launch", "complete"]

T = TypeVar("T")

_LOOKS_S = (5.0, 10.0, 15.0, 30.0, 30.0, 30.0, 60.0)
"""When the service is asked for our key after an unclear launch: listings may lag."""


async def complete(work: Coroutine[Any, Any, T]) -> T:
    """Sees `work` through, whatever happens to the awaiting task; returns or raises what it does.

    For what must not be left half done: a launch under way in a thread, a release. A cancellation that comes meanwhile
    is put off, not lost: it arrives at the awaiting task's next await.
    """
    task = asyncio.ensure_future(work)
    waiting = asyncio.current_task()
    put_off = 0
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            put_off += 1
        except BaseException:
            if not task.done():
                raise
    for _ in range(put_off):
        if waiting is not None:
            waiting.uncancel()
            waiting.cancel()
    return task.result()


class Launch:
    """Makes one cluster.

    Args:
        target, clock: the ports.
        warn: called with a sentence for the log.
    """

    def __init__(self, target: LaunchTarget, clock: Clock, warn: Callable[[str], None]) -> None:
        self._target = target
        self._clock = clock
        self._warn = warn

    async def submit(self, spec: RunSpec, key: RunKey) -> Handle:
        """Launches, and after an unclear answer adopts what carries the key.

        Raises:
            RunError: refused, or no cluster appeared.
        """
        try:
            return await self._target.submit(spec, key)
        except LaunchUnclear as unclear:
            self._warn(f"the launch of {key.run_id} got no clear answer ({unclear}); looking for the cluster")
            return await self._look_for(key, unclear)

    async def _look_for(self, key: RunKey, unclear: LaunchUnclear) -> Handle:
        for wait in _LOOKS_S:
            await self._clock.sleep(wait)
            try:
                found = await self._target.find(key.workspace_id)
            except RunError as error:
                self._warn(f"looking for {key.run_id} failed ({error.reason}): {error.message}")
                continue
            for cluster in found:
                if cluster.handle.key.run_id == key.run_id:
                    return Handle(cluster.handle.cluster_id, key)
        raise failure(
            Reason.ENDPOINT,
            f"The launch got no clear answer ({unclear}), and no cluster named '{key.name}' appeared in "
            f"{sum(_LOOKS_S):.0f} s.",
            remedy=f"Make sure that none did: `aws emr list-clusters --active` and look for '{key.name}'.",
            public="the launch got no clear answer",
        ) from unclear
