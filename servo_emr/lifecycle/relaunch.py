"""The step from a launch that came to nothing to the next one of the same run.

What the launch is given up for goes on record beside its cluster's end, so that a process that comes after a killed one
goes on here. The next one begins only when that cluster is seen dead, instances and all; it is billed then, or, where
no bill can be made, counted at its full rate.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from servo_emr.domain.attempt import subnet_of
from servo_emr.domain.errors import Reason, RunError
from servo_emr.domain.ports import Clock, Handle, LaunchTarget, PriceBook, Workspace
from servo_emr.domain.run import Observation, RunState
from servo_emr.domain.spec import RunKey, RunSpec
from servo_emr.lifecycle.attempts import next_attempt, unaffordable, why, worth_another
from servo_emr.lifecycle.diary import Diary
from servo_emr.lifecycle.past import Past
from servo_emr.lifecycle.settle import Settle, Settled

__all__ = ["PAUSE_S", "Relaunch"]

PAUSE_S = 60.0
"""How long it is waited before a subnet is asked again that had no luck before."""


class Relaunch:
    """Goes on to the next launch.

    Args:
        target, workspace, book, clock: the ports.
        warn: called with a sentence for the log.
    """

    def __init__(
        self,
        target: LaunchTarget,
        workspace: Workspace,
        book: PriceBook,
        clock: Clock,
        warn: Callable[[str], None],
    ) -> None:
        self._target = target
        self._workspace = workspace
        self._clock = clock
        self._warn = warn
        self._settle = Settle(target, book, clock, warn)

    async def follows(
        self,
        spec: RunSpec,
        key: RunKey,
        diary: Diary,
        error: RunError,
        ended: tuple[Handle, Observation] | None,
        past: Past,
    ) -> bool:
        """Whether another launch follows the one that failed; that one is billed and among the earlier ones then.

        Args:
            error: what it failed of.
            ended: its cluster with the last look at it; None: it was refused at once.
            past: the runs before, for the limits.
        """
        settled = Settled(dead=True, alive=(), cost=None, usd=0.0, billed=True)
        if ended is None and worth_another(error, diary.record, Observation(RunState.QUEUED)):
            diary.note(given_up=why(error))
        if not diary.record.given_up or error.reason is Reason.UNRELEASED:
            diary.note(given_up={})
            return False
        if ended is not None:
            settled = await self._settle.account(diary, ended[0], spec, ended[1])
        if not settled.dead:
            why_not: str | None = "its cluster is not seen dead, with all its instances"
        elif ended is not None and any(step.timeline.ready is not None for step in ended[1].steps):
            why_not = "a step has begun before its end"  # while the release was refused, perhaps
        else:
            why_not = await self._no_room(spec, diary, past)
        if why_not is not None:
            self._warn(f"{key.run_id} is not launched again: {why_not}")
            error.details["not_launched_again"] = why_not
            diary.note(given_up={})
            return False
        await self._goes_on(spec, key, diary, settled)
        return True

    async def _no_room(self, spec: RunSpec, diary: Diary, past: Past) -> str | None:
        """Which limit leaves no room for another launch; that it cannot be asked leaves none."""
        try:
            return await unaffordable(self._workspace, diary.record, spec, past)
        except RunError as unread:
            return f"the limits cannot be asked ({unread.message})"

    async def _goes_on(self, spec: RunSpec, key: RunKey, diary: Diary, settled: Settled) -> None:
        number = len(diary.record.attempts) + 1
        # Of fleets EMR chooses the subnet: none is known to have had no luck, and all are asked again.
        subnet_ids = () if spec.fleets else spec.cluster.subnet_ids
        subnet_id, following = (subnet_of(subnet_ids, key.run_id, number + n) for n in (0, 1))
        reason = diary.record.given_up["reason"]
        self._warn(f"launch {number} of {key.run_id} came to nothing ({reason}): another, {following or 'as before'}")
        diary.record = next_attempt(diary.record, subnet_id, settled, self._clock.now())
        diary.note(request=self._target.request(spec, key, number + 1))
        await diary.write()
        try:
            body = json.dumps(diary.record.request, indent=2, sort_keys=True).encode()
            await self._workspace.put(key.run_id, "request.json", body)
        except RunError as error:  # it is on the record too
            self._warn(f"request.json of {key.run_id} could not be written ({error.reason}): {error.message}")
        if following in {attempt.subnet_id for attempt in diary.record.attempts}:
            await self._clock.sleep(PAUSE_S)
