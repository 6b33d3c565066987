"""Runs that another process has left: adopted when the same is asked for again, else ended, verified and billed.

What could not be verified stays on record as unreleased and is tried again at every start and before every launch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable

from servo_emr.domain.errors import Conflict, Reason, RunError, Verdict, failure
from servo_emr.domain.ports import Found, Handle
from servo_emr.domain.run import RunRecord
from servo_emr.domain.spec import RunKey, spec_from_json
from servo_emr.lifecycle.course import Ports
from servo_emr.lifecycle.diary import Diary
from servo_emr.lifecycle.figures import nothing_to_report
from servo_emr.lifecycle.guards import so_far
from servo_emr.lifecycle.launch import APPEARS_S, Launch
from servo_emr.lifecycle.past import DELIVERY_S
from servo_emr.lifecycle.release import Release, instances_left
from servo_emr.lifecycle.settle import Settle

__all__ = ["Recover"]


class Recover:
    """Finishes what was left.

    Args:
        ports: the world.
        region: in which the target looks.
        warn: called with a sentence for the log.
    """

    def __init__(self, ports: Ports, region: str, warn: Callable[[str], None]) -> None:
        self._ports = ports
        self._region = region
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
        launched_at = record.launched_at or record.created_at
        age = self._ports.clock.now() - launched_at
        # Absence is proved only once a listing cannot lag behind the launch any more.
        looks = (0.0,) if age >= APPEARS_S else (0.0, max(1.0, APPEARS_S - age))
        return await launch.look_for(key, looks, launched_at, record.dead)

    async def still_worth(self, handle: Handle) -> bool:
        """Whether a cluster's run may still be delivered: it lives, or has ended within the hour. One that cannot be
        looked at just now may."""
        try:
            look = await self._ports.target.observe(handle)
        except RunError as error:
            self._warn(f"a look at {handle.cluster_id} failed ({error.reason}): {error.message}")
            return True
        ended = look.timeline.ended
        return ended is None or ended > self._ports.clock.now() - DELIVERY_S

    async def finish(self, records: Iterable[RunRecord]) -> list[RunError]:
        """Ends, verifies and bills what the records name; returns what could not be verified."""
        errors = []
        for record in records:
            errors += await self._tried(record.run_id, self._finish(record.run_id))
        return errors

    async def strays(self, workspace_id: str, known: Collection[str]) -> list[RunError]:
        """Ends the clusters alive that carry our key and tag, though their runs are over, long forgotten, or told of
        by no record; returns what could not be verified.

        Args:
            known: runs that are left out: it is known of them that they are unfinished.
        """
        try:
            found = await self._ports.target.find(workspace_id, alive_only=True)
        except RunError as error:
            self._warn(f"it could not be asked which clusters are alive ({error.reason}): {error.message}")
            return [error]
        errors = []
        for cluster in found:
            if cluster.handle.key.run_id not in known:
                errors += await self._tried(cluster.handle.key.run_id, self._stray(cluster, workspace_id))
        return errors

    async def _tried(self, run_id: str, work: Awaitable[None]) -> list[RunError]:
        try:
            await work
        except RunError as error:
            self._warn(f"run {run_id} could not be finished: {error.reason}: {error}")
            return [error]
        except (Conflict, ValueError) as error:
            unread = failure(
                Reason.BUCKET,
                f"Run {run_id} could not be finished: {error}.",
                remedy="Use the version of servo_emr that wrote its record, or move the record away.",
                public="a record of the workspace cannot be read",
            )
            self._warn(str(unread))
            return [unread]
        return []

    async def _stray(self, cluster: Found, workspace_id: str) -> None:
        ports, cluster_id = self._ports, cluster.handle.cluster_id
        key = RunKey(ports.workspace.uri, workspace_id, cluster.handle.key.run_id)
        handle = Handle(cluster_id, key)
        if not await ports.target.confirmed(handle):
            self._warn(f"{cluster_id} has a name like ours, but not our tag: it is left alone")
            return
        try:
            loaded = await ports.workspace.record(key.run_id)
        except RunError as unread:
            if unread.reason is not Reason.BUCKET:
                raise
            # Nobody can adopt what no record tells of: the cluster comes first, the record stays as it is.
            self._warn(f"{cluster_id} is alive, and the record of its run cannot be read: its end is made sure of")
            await Release(ports.target, ports.clock, self._region, self._warn).now(handle)
            raise
        record = loaded[0] if loaded is not None else None
        if record is None or record.cluster_id not in (None, cluster_id) or (record.settled and record.cluster_id):
            self._warn(f"{cluster_id} is alive, and no unfinished run tells of it: its end is made sure of")
            await Release(ports.target, ports.clock, self._region, self._warn).now(handle)
            return
        if loaded is not None and record.settled:
            # Its launch was given up, and its cluster appeared later all the same.
            diary = Diary(ports.workspace, ports.clock, record, self._warn, loaded[1])
            diary.note(cluster_id=cluster_id, unreleased=True)
            await diary.intend()
        await self._finish(key.run_id)

    async def _finish(self, run_id: str) -> None:
        ports = self._ports
        found = await ports.workspace.record(run_id)
        if found is None or found[0].settled:
            return
        record, version = found
        self._within_reach(record)
        diary = Diary(ports.workspace, ports.clock, record, self._warn, version)
        handle = await self.cluster_of(record)
        if handle is None:
            before = "before its next launch" if record.attempts else "before its launch"
            self._warn(f"run {run_id} was left {before}")
            diary.note(**_left(record, ports.clock.now(), before))
            await diary.close()
            return
        self._warn(f"run {run_id} was left with cluster {handle.cluster_id}: its end is made sure of")
        # The cluster comes first: the rest of the spec may be unreadable.
        release = Release(ports.target, ports.clock, self._region, self._warn)
        diary.note(**{**_left(record, ports.clock.now(), "and was ended"), "cluster_id": handle.cluster_id})
        try:
            async with diary.ending():
                await asyncio.sleep(0)  # the verdict goes first
                look = await release.now(handle)
            diary.note(warnings=(*diary.record.warnings, *release.notes))
        except RunError as error:
            diary.note(warnings=(*diary.record.warnings, *release.notes))
            if error.reason is Reason.UNRELEASED:
                await self._unverified(diary, record, error)
            raise
        spec = spec_from_json(record.spec)
        settle = Settle(ports.target, ports.book, ports.clock, self._warn)
        if alive := (await settle.account(diary, handle, spec, look)).alive:
            left = instances_left(handle, alive, self._region)
            await self._unverified(diary, record, left)
            raise left
        if diary.record.verdict is Verdict.SUCCEEDED and not diary.record.metrics:
            diary.decide(nothing_to_report(diary.record.missing), ports.clock.now())
        await diary.close()

    def _within_reach(self, record: RunRecord) -> None:
        """Raises operator/unreleased for a run in another region: all that could be asked here is the wrong one."""
        region = str(record.spec.get("region", self._region))
        if region == self._region or not record.identity:
            return
        cluster = record.cluster_id
        by_hand = (
            "look for it"
            if cluster is None
            else f"aws emr terminate-clusters --region {region} --cluster-ids {cluster}"
        )
        raise failure(
            Reason.UNRELEASED,
            f"Run {record.run_id} was left in {region} with cluster {cluster or 'not known'}; emr.region is "
            f"{self._region}.",
            remedy=f"Run the servo once with emr.region: {region}; or end it by hand ({by_hand}) and move the run's "
            "record away.",
            public="an earlier run was left in another region",
        )

    async def _unverified(self, diary: Diary, record: RunRecord, error: RunError) -> None:
        """Puts on record that a cluster's end could not be verified: it is tried again."""
        now = self._ports.clock.now()
        left = _left(record, now, "with a cluster whose end could not be verified")
        diary.note(**{**left, "unreleased": True, "remedy": error.remedy, "cost_so_far": so_far(record, now)})
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
