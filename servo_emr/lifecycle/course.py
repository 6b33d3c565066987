"""The course of one run from its launch, or its adoption, to its cluster's verified end and its bill.

All money is spent inside `_held`, an `async with` that does not let go of a cluster before it is seen ended; on
cancellation, which leaves no time, before it is seen ending.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from servo_emr.domain.errors import Aborted, OurDefect, Reason, RunError
from servo_emr.domain.ports import Clock, Evidence, Handle, LaunchTarget, Packer, PriceBook, Workspace
from servo_emr.domain.run import JobEvidence, Observation, RunState
from servo_emr.domain.spec import RunKey, RunSpec, plain
from servo_emr.lifecycle.diary import Diary
from servo_emr.lifecycle.figures import disturbed, figures, nothing_to_report, phases, repeat_seconds
from servo_emr.lifecycle.guards import Ceilings
from servo_emr.lifecycle.launch import Launch, complete
from servo_emr.lifecycle.release import Release, instances_left
from servo_emr.lifecycle.settle import Settle, still_alive
from servo_emr.lifecycle.verdict import judge
from servo_emr.lifecycle.watch import Progress, Watch

__all__ = ["Course", "Ports", "defect"]


@dataclass(frozen=True)
class Ports:
    """Everything that a measurement reaches the world through."""

    target: LaunchTarget
    workspace: Workspace
    book: PriceBook
    packer: Packer
    evidence: Evidence
    clock: Clock


@dataclass
class _Cluster:
    """The cluster of this run and the last look at it."""

    handle: Handle
    look: Observation
    ceilings: Ceilings
    evidence: JobEvidence | None = None


class Course:
    """Takes runs through, one at a time.

    Args:
        ports: the world.
        may_launch: asked right before a launch; raises when this process must not.
        warn: called with a sentence for the log.
    """

    def __init__(self, ports: Ports, may_launch: Callable[[], None], warn: Callable[[str], None]) -> None:
        self._ports = ports
        self._may_launch = may_launch
        self._warn = warn
        self.cluster: Handle | None = None
        """The cluster that is under way now, for whoever must name it."""

    async def run(
        self,
        spec: RunSpec,
        key: RunKey,
        diary: Diary,
        wanted: Mapping[str, str],
        tell: Callable[[Progress], None],
        adopted: Handle | None = None,
    ) -> RunError | None:
        """Sees a run through; its figures are in the diary then. Returns what it failed of, None for success.

        Args:
            adopted: the cluster of a run that another process launched; None: one is launched.
        """
        ports = self._ports

        def told(progress: Progress) -> None:
            diary.note(cost_so_far=progress.cost_usd)
            tell(progress)

        watch = Watch(ports.target, ports.workspace, ports.clock, told, self._warn)
        error: RunError | None = None
        cluster: _Cluster | None = None
        try:
            async with self._held(spec, key, diary, adopted) as cluster:
                await self._decide(spec, cluster, diary, watch, list(wanted))
        except RunError as failed:
            error = failed
            if isinstance(failed.__context__, RunError):  # why it was ended at all, beside that its end is not verified
                cause = failed.__context__
                failed.details["ended_because"] = {"reason": str(cause.reason), "message": cause.message}
        except Exception as bug:  # noqa: BLE001 - the cluster is released; the bill is still to be made
            error = defect(bug)
        finally:
            self.cluster = None
        if cluster is not None:
            if cluster.look.state.terminal:
                watch.report(cluster.handle, spec, cluster.ceilings, RunState.VERIFIED, ports.clock.now())
            error = await complete(self._settle(wanted, spec, cluster, diary, error))
            if error is None and not diary.record.metrics:
                error = nothing_to_report(diary.record.missing)
        return error

    @asynccontextmanager
    async def _held(self, spec: RunSpec, key: RunKey, diary: Diary, adopted: Handle | None) -> AsyncIterator[_Cluster]:
        """A cluster, from its launch or adoption to its verified end."""
        ports = self._ports
        release = Release(ports.target, ports.clock, spec.region, self._warn)
        if adopted is not None:
            handle = adopted
        else:
            # A launch under way in a thread cannot be called back: it is awaited, and what it made is ended.
            handle = await complete(self._launched(spec, key, diary))
        # From here to the `try` nothing is awaited: a cancellation that was put off arrives inside.
        diary.note(cluster_id=handle.cluster_id)
        self.cluster = handle
        launched = diary.record.launched_at or diary.record.created_at
        cluster = _Cluster(
            handle, Observation(RunState.PROVISIONING), Ceilings(spec, launched, diary.record.usd_per_hour)
        )
        try:
            yield cluster
        except asyncio.CancelledError:
            # Release first, talk afterwards: there may be seconds left. The next start verifies the end.
            await self._ended_on_cancel(release.ending(handle, cluster.look), cluster)
            diary.record = diary.record.moved(RunState.ENDING, released=True)
            raise
        except BaseException:
            cluster.look = await complete(release.now(handle, cluster.look))
            raise
        else:
            cluster.look = await complete(release.after_success(handle, cluster.look))

    def _launched(self, spec: RunSpec, key: RunKey, diary: Diary) -> Coroutine[Any, Any, Handle]:
        """The launch; each call goes on record right before it is made."""
        ports, waiting = self._ports, asyncio.current_task()

        async def about_to() -> None:
            diary.note(launched_at=ports.clock.now())
            await diary.intend()

        def may_launch() -> None:
            if waiting is not None and waiting.cancelling():
                raise Aborted("This servo was told to stop before the launch.", Reason.SHUTDOWN, public="stopped")
            self._may_launch()

        return Launch(ports.target, ports.clock, may_launch, self._warn).submit(spec, key, about_to)

    async def _ended_on_cancel(self, ending: Coroutine[Any, Any, Observation], cluster: _Cluster) -> None:
        """Sees a release through after a cancellation.

        Raises:
            RunError: that the cluster may be alive is said first; the cancellation is put off.
        """
        try:
            cluster.look = await complete(ending)
        except RunError:
            if (waiting := asyncio.current_task()) is not None:
                waiting.cancel()
            raise

    async def _decide(self, spec: RunSpec, cluster: _Cluster, diary: Diary, watch: Watch, wanted: list[str]) -> None:
        """Watches until the run is decided and judges it.

        Raises:
            RunError: it did not succeed.
        """
        ports, handle = self._ports, cluster.handle
        await diary.move(RunState.PROVISIONING)
        cluster.look = await watch.until_decided(handle, spec, cluster.ceilings, diary.move)
        await diary.move(RunState.COLLECTING, steps=cluster.look.steps)
        now = ports.clock.now()
        watch.report(handle, spec, cluster.ceilings, RunState.COLLECTING, now)
        if any(step.timeline.ready is not None for step in cluster.look.steps):
            cluster.evidence = await ports.evidence.collect(handle.key.run_id, spec, wanted)
        problem = judge(spec, cluster.look, cluster.evidence)
        if problem is not None:
            raise problem
        watch.report(handle, spec, cluster.ceilings, RunState.ENDING, now)

    async def _settle(
        self, wanted: Mapping[str, str], spec: RunSpec, cluster: _Cluster, diary: Diary, error: RunError | None
    ) -> RunError | None:
        """Puts the ended cluster's figures, and for a failure its logs, into the record; the error that remains."""
        ports, look, handle = self._ports, cluster.look, cluster.handle
        settle = Settle(ports.target, ports.book, ports.clock, self._warn)
        usage, cost = await settle.bill(handle, spec, look, diary.record.prices)
        times = phases(spec, look, usage)
        values, missing = figures(wanted, times, cost, cluster.evidence)
        details: dict[str, Any] = dict(cluster.evidence.facts) if cluster.evidence else {}
        if usage is not None:
            details |= {"instances": plain(usage.rows), "disturbed": disturbed(usage, look)}
        if spec.job.repeats > 1:
            details["repeat_seconds"] = repeat_seconds(spec, look)
        if error is not None:
            silent = cluster.evidence is None or error.reason in (Reason.STEP_FAILED, Reason.NO_RESULT)
            details["logs"] = await settle.logs(handle, spec, look, patient=silent)
        until = look.timeline.ended if look.state.terminal else None
        total = cost.billed_usd if cost is not None else cluster.ceilings.cost_so_far(until or ports.clock.now())
        alive = still_alive(usage)
        released = look.state.terminal and not alive
        diary.note(
            state=RunState.VERIFIED if released else diary.record.state,
            steps=look.steps,
            timeline=look.timeline,
            cause={"code": look.cause_code, "message": look.cause_message, "errors": plain(look.errors)},
            phases=times,
            metrics=values,
            missing=missing,
            cost=None if cost is None else plain(cost),
            cost_so_far=total,
            details=details,
        )
        if alive and (error is None or error.reason is not Reason.UNRELEASED):
            return instances_left(handle, alive, spec.region)
        return error


def defect(bug: Exception) -> OurDefect:
    """An exception that nobody expected, as a failure with its traceback."""
    return OurDefect(
        f"{type(bug).__name__}: {bug}.",
        Reason.BUG,
        remedy="This is a defect of servo_emr: please report it with the traceback in the record.",
        public=type(bug).__name__,
        details={"traceback": "".join(traceback.format_exception(bug))},
    )
