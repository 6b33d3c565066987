"""The end of a cluster, verified. Whatever happens, this is asked to make sure of it.

A cluster counts as released when the service shows it ending or ended; its bill is complete only once it has ended.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.ports import Clock, Handle, LaunchTarget
from servo_emr.domain.run import Observation, RunState

__all__ = ["ACCEPT_S", "SELF_END_S", "STOP_GRACE_S", "Release", "command_by_hand", "instances_left"]

SELF_END_S = 120.0
"""How long a cluster may take to begin ending itself after its last step."""
ACCEPT_S = 300.0
"""How long a release is repeated until the cluster is seen ending."""
STOP_GRACE_S = 600.0
"""How long whatever stops a servo should wait before it kills it: for a launch whose answer is awaited, the looks for
the cluster where none came, ACCEPT_S, and the record. A stop in good weather takes seconds."""
_END_S = 2400.0
"""How long an ending cluster is watched until it has ended."""
_PACES = (2.0, 5.0, 10.0, 20.0, 30.0)
_END_PACE_S = 40.0


def command_by_hand(handle: Handle, region: str) -> str:
    """The command that ends the cluster by hand."""
    return f"aws emr terminate-clusters --region {region} --cluster-ids {handle.cluster_id}"


def instances_left(handle: Handle, alive: Sequence[str], region: str) -> OperatorError:
    """The error for a cluster that has ended while some of its instances have not."""
    return OperatorError(
        f"Cluster {handle.cluster_id} has ended, but its instances {', '.join(alive)} are still listed as alive.",
        Reason.UNRELEASED,
        remedy=f"Look at them in the EC2 console; then run: {command_by_hand(handle, region)}",
        public="a cluster's end could not be verified",
        details={"cluster_id": handle.cluster_id},
    )


class Release:
    """Ends clusters and verifies it.

    Args:
        target, clock: the ports.
        region: for the command that a person would run.
        warn: called with a sentence for the log.
    """

    def __init__(self, target: LaunchTarget, clock: Clock, region: str, warn: Callable[[str], None]) -> None:
        self._target = target
        self._clock = clock
        self._region = region
        self._warn = warn
        self.notes: tuple[str, ...] = ()
        """What the runs of the clusters that were ended have to tell of it."""

    async def ending(self, handle: Handle, last: Observation | None = None) -> Observation:
        """Ends the cluster, and returns once it is seen ending: for when there is no time to wait for its end.

        Raises:
            OperatorError: operator/unreleased, with the command to run by hand.
        """
        began = self._clock.now()
        for attempt in range(10_000):
            try:
                if await self._target.release(handle):
                    self._unprotected(handle)
            except Exception as error:  # noqa: BLE001 - whatever it is, the cluster may be alive: it is asked again
                self._warn(f"release of {handle.cluster_id} failed: {error!r}")
            look = await self._look(handle, last)
            if look is not None and look.state.order >= RunState.ENDING.order:
                return look
            if self._clock.now() - began >= ACCEPT_S:
                break
            await self._clock.sleep(_PACES[min(attempt, len(_PACES) - 1)] * random.uniform(0.8, 1.2))
        raise self._unreleased(handle, f"is not seen ending {ACCEPT_S:.0f} s after its release was asked for")

    async def ended(self, handle: Handle, look: Observation) -> Observation:
        """Watches a cluster that is seen ending until it is seen ended.

        Raises:
            OperatorError: operator/unreleased, with the command to run by hand.
        """
        began = self._clock.now()
        while not look.state.terminal:
            if self._clock.now() - began >= _END_S:
                raise self._unreleased(handle, f"has been ending for {_END_S:.0f} s")
            await self._clock.sleep(_END_PACE_S)
            look = await self._look(handle, look) or look
        return look

    async def now(self, handle: Handle, last: Observation | None = None) -> Observation:
        """Ends the cluster, and returns once it is seen ended.

        Raises:
            OperatorError: operator/unreleased, with the command to run by hand.
        """
        return await self.ended(handle, await self.ending(handle, last))

    async def after_success(self, handle: Handle, last: Observation) -> Observation:
        """The cluster ends itself after its last step: waits for that, and ends it only when it does not."""
        began = self._clock.now()
        look = last
        while look.state.order < RunState.ENDING.order:
            if self._clock.now() - began >= SELF_END_S:
                self._warn(f"{handle.cluster_id} is still {look.state} {SELF_END_S:.0f} s after its last step")
                return await self.now(handle, look)
            await self._clock.sleep(_END_PACE_S)
            look = await self._look(handle, look) or look
        return await self.ended(handle, look)

    def _unprotected(self, handle: Handle) -> None:
        note = f"{handle.cluster_id} was protected from termination by somebody: that was switched off to end it"
        if note not in self.notes:
            self.notes = (*self.notes, note)
            self._warn(note)

    async def _look(self, handle: Handle, last: Observation | None) -> Observation | None:
        try:
            try:
                # A look without memory asks for the cluster's state, whatever the steps were doing.
                look = await self._target.observe(handle, None if last and not last.steps_ended else last)
            except OperatorError as error:
                # The steps perhaps may not be asked about; the end of the cluster is another question.
                self._warn(f"a look at {handle.cluster_id} failed ({error.reason}): {error.message}")
                look = await self._target.observe(handle, last, steps=False)
        except Exception as error:  # noqa: BLE001 - a state that we cannot read is no reason to let go of a cluster
            self._warn(f"a look at {handle.cluster_id} failed: {error!r}")
            return None
        return look

    def _unreleased(self, handle: Handle, what: str) -> OperatorError:
        return OperatorError(
            f"Cluster {handle.cluster_id} {what}. It may still cost money.",
            Reason.UNRELEASED,
            remedy=f"Run: {command_by_hand(handle, self._region)}",
            public="a cluster's end could not be verified",
            details={"cluster_id": handle.cluster_id},
        )
