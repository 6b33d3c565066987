"""Runs that another process has left: adopted when the same is asked for again, else ended, verified and billed.

What could not be verified stays on record as unreleased and is tried again at every start and before every launch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from servo_emr.domain.errors import Conflict, Reason, RunError, Verdict, failure
from servo_emr.domain.ports import Handle
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.domain.spec import RunKey, plain, spec_from_json
from servo_emr.lifecycle.course import Ports
from servo_emr.lifecycle.diary import Diary
from servo_emr.lifecycle.figures import phases
from servo_emr.lifecycle.launch import APPEARS_S, Launch
from servo_emr.lifecycle.past import DELIVERY_S
from servo_emr.lifecycle.release import Release, instances_left
from servo_emr.lifecycle.settle import Settle, still_alive

__all__ = ["Recover"]


class Recover:
    """Finishes what was left.

    Args:
        ports: the world.
        warn: called with a sentence for the log.
    """

    def __init__(self, ports: Ports, warn: Callable[[str], None]) -> None:
        self._ports = ports
        self._warn = warn

    async def cluster_of(self, record: RunRecord) -> Handle | None:
        """The cluster of an unfinished run, known or found by its key; None when there never was one.

        Raises:
            RunError: it cannot be told.
        """
        key = RunKey(self._ports.workspace.uri, record.workspace_id, record.run_id)
        if record.cluster_id is not None:
            return Handle(record.cluster_id, key)
        if not record.identity:
            return None  # no intent was on record yet: nothing was launched
        launch = Launch(self._ports.target, self._ports.clock, lambda: None, self._warn)
        age = self._ports.clock.now() - (record.launched_at or record.created_at)
        # Absence is proved only once a listing cannot lag behind the launch any more.
        looks = (0.0,) if age >= APPEARS_S else (0.0, max(1.0, APPEARS_S - age))
        return await launch.look_for(key, looks)

    async def still_worth(self, handle: Handle) -> bool:
        """Whether a cluster's run may still be delivered: it lives, or has ended within the hour."""
        look = await self._ports.target.observe(handle)
        ended = look.timeline.ended
        return ended is None or ended > self._ports.clock.now() - DELIVERY_S

    async def finish(self, records: Iterable[RunRecord]) -> list[RunError]:
        """Ends, verifies and bills what the records name; returns what could not be verified."""
        errors = []
        for record in records:
            try:
                await self._finish(record)
            except RunError as error:
                self._warn(f"run {record.run_id} could not be finished: {error.reason}: {error}")
                errors.append(error)
            except (Conflict, ValueError) as error:
                unread = failure(
                    Reason.BUCKET,
                    f"Run {record.run_id} could not be finished: {error}.",
                    remedy="Use the version of servo_emr that wrote its record, or move the record away.",
                    public="a record of the workspace cannot be read",
                )
                self._warn(str(unread))
                errors.append(unread)
        return errors

    async def _finish(self, record: RunRecord) -> None:
        ports = self._ports
        found = await ports.workspace.record(record.run_id)
        if found is None or found[0].settled:
            return
        record, version = found
        diary = Diary(ports.workspace, ports.clock, record, self._warn, version)
        handle = await self.cluster_of(record)
        if handle is None:
            self._warn(f"run {record.run_id} was left before its launch")
            diary.note(**_left(record, ports.clock.now(), "before its launch"))
            await diary.close()
            return
        self._warn(f"run {record.run_id} was left with cluster {handle.cluster_id}: its end is made sure of")
        region = str(record.spec.get("region", ""))  # the cluster comes first: the rest of the spec may be unreadable
        release = Release(ports.target, ports.clock, region, self._warn)
        try:
            look = await release.now(handle)
        except RunError as error:
            if error.reason is Reason.UNRELEASED:
                await self._unverified(diary, handle, error)
            raise
        spec = spec_from_json(record.spec)
        settle = Settle(ports.target, ports.book, ports.clock, self._warn)
        usage, cost = await settle.bill(handle, spec, look, record.prices)
        if alive := still_alive(usage):
            left = instances_left(handle, alive, region)
            await self._unverified(diary, handle, left)
            raise left
        diary.note(**_left(record, ports.clock.now(), "and was ended"))
        diary.note(
            state=RunState.VERIFIED,
            steps=look.steps,
            timeline=look.timeline,
            cluster_id=handle.cluster_id,
            unreleased=False,
            phases=phases(spec, look, usage),
            cost=None if cost is None else plain(cost),
            cost_so_far=record.cost_so_far if cost is None else cost.billed_usd,
        )
        await diary.close()

    async def _unverified(self, diary: Diary, handle: Handle, error: RunError) -> None:
        """Puts on record that a cluster's end could not be verified: it is tried again."""
        left = _left(diary.record, self._ports.clock.now(), "with a cluster whose end could not be verified")
        diary.note(**{**left, "unreleased": True, "cluster_id": handle.cluster_id, "remedy": error.remedy})
        await diary.close()


def _left(record: RunRecord, now: float, how: str) -> dict[str, object]:
    """What is said of an undecided run that was left; a verdict that it has stays."""
    if record.decided:
        return {"unreleased": False}
    return {
        "verdict": Verdict.ABORTED,
        "reason": str(Reason.SHUTDOWN),
        "message": f"The servo that drove it was stopped; the run was left {how}.",
        "ended_at": now,
        "released": True,
    }
