"""Launching once. RunJobFlow has no idempotency token: the one call is never repeated blindly.

After an unclear answer the service is asked for our key, on our clock, before anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any, TypeVar

from servo_emr.domain.errors import LaunchUnclear, Reason, RunError, failure
from servo_emr.domain.ports import Clock, Found, Handle, LaunchTarget
from servo_emr.domain.spec import RunKey, RunSpec

__all__ = ["APPEARS_S", "Launch", "complete"]

T = TypeVar("T")

_CALLS = 3
_LOOKS_S = (5.0, 10.0, 15.0, 30.0, 30.0, 30.0, 60.0)
"""When the service is asked for our key after an unclear launch: listings may lag."""
APPEARS_S = sum(_LOOKS_S)
"""A cluster that has not appeared for so long after its launch was never made."""
_MORE_LOOKS_S = (60.0, 60.0, 60.0, 60.0, 60.0)
"""When the service is asked again after the last look failed: a look that failed proves nothing."""
_RELEASES_S = (0.0, 5.0, 15.0, 40.0)


async def complete(work: Coroutine[Any, Any, T] | asyncio.Task[T]) -> T:
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
        may_launch: asked right before each call; raises when this process must not launch.
        warn: called with a sentence for the log.
    """

    def __init__(
        self, target: LaunchTarget, clock: Clock, may_launch: Callable[[], None], warn: Callable[[str], None]
    ) -> None:
        self._target = target
        self._clock = clock
        self._may_launch = may_launch
        self._warn = warn
        self.throttled = 0
        """How many launches were throttled."""

    async def submit(
        self,
        spec: RunSpec,
        key: RunKey,
        about_to: Callable[[], Awaitable[None]],
        attempt: int = 1,
        dead: Collection[str] = (),
    ) -> Handle:
        """Launches once. After an unclear answer what carries the key is adopted; only when none has appeared for
        longer than listings lag is the call made again, under the same key.

        Args:
            about_to: awaited before each call: puts on record when it is made, so that another process can tell for
                how long a listing may lag behind it. Nothing is launched when it raises.
            attempt: which of the run's attempts this is, counted from 1.
            dead: clusters of the attempts before, which carry the same key.

        Raises:
            RunError: refused, or the answers stay unclear; operator/unreleased when a cluster may have been made.
        """
        unclear: LaunchUnclear | None = None
        began = self._clock.now()
        for _ in range(_CALLS):
            await about_to()
            self._may_launch()
            try:
                return await self._target.submit(spec, key, attempt)
            except LaunchUnclear as error:
                unclear = error
                self.throttled += error.reason is Reason.THROTTLED
                self._warn(f"the launch of {key.run_id} got no clear answer ({unclear}); looking for the cluster")
            found = await self.look_for(key, _LOOKS_S, began, dead)
            if found is not None:
                return found
            self._warn(f"no cluster named '{key.name}' appeared in {sum(_LOOKS_S):.0f} s: there is none")
        raise failure(
            unclear.reason if unclear is not None else Reason.ENDPOINT,
            f"The launch got no clear answer {_CALLS} times ({unclear}), and no cluster named '{key.name}' appeared.",
            remedy=f"Make sure that none did: `aws emr list-clusters --active` and look for '{key.name}'.",
            public="the launch got no clear answer",
        ) from unclear

    async def look_for(
        self, key: RunKey, looks: Sequence[float], since: float, dead: Collection[str] = ()
    ) -> Handle | None:
        """The cluster that carries the key, asked for after each of the waits; None when it never appeared.

        Only a look that succeeds after the last wait proves absence: while it fails, some more are taken.
        Of several with the key the oldest is kept, and the end of the others is asked for.

        Args:
            since: no launch under this key was asked for before.
            dead: clusters that carry the key and are known to have ended.

        Raises:
            OperatorError: operator/unreleased: it could not be asked whether there is one.
        """
        failed: RunError | None = None
        for number, wait in enumerate((*looks, *_MORE_LOOKS_S)):
            if number >= len(looks) and failed is None:
                return None
            if wait:
                await self._clock.sleep(wait)
            try:
                clusters = await self._target.find(key.workspace_id, since=since)
            except RunError as error:
                failed = error
                self._warn(f"looking for {key.run_id} failed ({error.reason}): {error.message}")
                continue
            failed = None
            found = [
                cluster
                for cluster in clusters
                if cluster.handle.key.run_id == key.run_id and cluster.handle.cluster_id not in dead
            ]
            if found:
                for double in found[1:]:
                    await self._end_double(double)
                return Handle(found[0].handle.cluster_id, key)
        if failed is None:
            return None
        raise failure(
            Reason.UNRELEASED,
            f"It could not be asked whether there is a cluster named '{key.name}' ({failed.message}). "
            "If there is, it costs money.",
            remedy=f"The next launch asks again. By hand: `aws emr list-clusters --active`, and look for '{key.name}'.",
            public="it could not be asked whether a cluster was made",
        ) from failed

    async def _end_double(self, double: Found) -> None:
        """Asks for a second cluster's end, without losing the first for it."""
        if not double.alive:
            return
        self._warn(f"{double.handle.cluster_id} carries the same key: its end is asked for")
        for wait in _RELEASES_S:
            if wait:
                await self._clock.sleep(wait)
            try:
                await self._target.release(double.handle)
                return
            except RunError as error:
                self._warn(f"release of {double.handle.cluster_id} failed ({error.reason}): {error.message}")
        self._warn(f"{double.handle.cluster_id} may still cost money: `servo-emr sweep --yes` ends it")
