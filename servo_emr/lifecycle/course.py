"""The course of one run from its launch, or its adoption, to its cluster's verified end and its bill.

All money is spent inside `_held`, an `async with` that does not let go of a cluster before it is seen ended; on
cancellation, which leaves no time, before it is seen ending. Once a run is decided its verdict goes on record beside
its cluster's end: what then remains, the bill, another process can do.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from servo_emr.domain.errors import Aborted, Conflict, OurDefect, Reason, RunError, failure
from servo_emr.domain.ports import Clock, Evidence, Handle, LaunchTarget, Packer, PriceBook, Workspace
from servo_emr.domain.run import JobEvidence, Observation, RunState
from servo_emr.domain.spec import RunKey, RunSpec
from servo_emr.lifecycle.attempts import relaunched, why, worth_another
from servo_emr.lifecycle.diary import Diary
from servo_emr.lifecycle.figures import nothing_to_report
from servo_emr.lifecycle.forecast import Forecast
from servo_emr.lifecycle.guards import Ceilings
from servo_emr.lifecycle.launch import Launch, complete
from servo_emr.lifecycle.past import Past
from servo_emr.lifecycle.relaunch import Relaunch
from servo_emr.lifecycle.release import Release, instances_left
from servo_emr.lifecycle.settle import Settle
from servo_emr.lifecycle.verdict import judge, untidied
from servo_emr.lifecycle.watch import Progress, Watch

__all__ = ["Course", "Ports", "defect"]

_EVIDENCE_TRIES_S = (10.0, 30.0, 60.0, 120.0)
"""When a finished run's evidence is asked for again: the job is paid for, and its cluster ends by itself meanwhile."""


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
        self.launching: RunKey | None = None
        """Set while a launch is under way, of which a cluster may come."""

    async def run(
        self,
        spec: RunSpec,
        key: RunKey,
        diary: Diary,
        tell: Callable[[Progress], None],
        past: Past,
        adopted: Handle | None = None,
        expected: Forecast | None = None,
    ) -> RunError | None:
        """Sees a run through; its figures are in the diary then. Returns what it failed of, None for success.

        A cancellation that comes once the run is decided leaves its verdict in the diary.

        Args:
            past: the runs before, for what another launch may cost.
            adopted: the cluster of a run that another process launched; None: one is launched.
            expected: what the runs before let expect of its phases.
        """
        ports = self._ports

        def told(progress: Progress) -> None:
            diary.note(cost_so_far=progress.cost_usd)
            tell(progress)

        watch = Watch(ports.target, ports.workspace, ports.clock, told, self._warn, expected)
        relaunch = Relaunch(ports.target, ports.workspace, ports.book, ports.clock, self._warn)
        while True:
            cluster, error = await self._attempted(spec, key, diary, watch, adopted)
            ended = None if cluster is None else (cluster.handle, cluster.look)
            if error is None or not await relaunch.follows(spec, key, diary, error, ended, past):
                break
            adopted = None
            tell(Progress(key.run_id, "", RunState.QUEUED, watch.percent, 0.0, diary.record.earlier_usd))
        if error is not None:
            diary.decide(error, ports.clock.now())
        if diary.record.attempts:
            diary.note(warnings=(*diary.record.warnings, relaunched(diary.record)))
        if cluster is not None:
            if cluster.look.state.terminal:
                watch.report(cluster.handle, spec, cluster.ceilings, RunState.VERIFIED, ports.clock.now())
            error = await self._settle(spec, cluster, diary, error)
        return error

    async def _attempted(
        self, spec: RunSpec, key: RunKey, diary: Diary, watch: Watch, adopted: Handle | None
    ) -> tuple[_Cluster | None, RunError | None]:
        """One launch, or an adopted one, until its cluster's end: the cluster, None when there is none, and what it
        failed of, None for success."""
        cluster: _Cluster | None = None
        try:
            async with self._held(spec, key, diary, adopted) as cluster:
                try:
                    await self._decide(spec, cluster, diary, watch)
                except RunError as failed:
                    if not worth_another(failed, diary.record, cluster.look):
                        watch.report(cluster.handle, spec, cluster.ceilings, RunState.ENDING, self._ports.clock.now())
                    raise
        except RunError as failed:
            if isinstance(failed.__context__, RunError):  # why it was ended at all, beside that its end is not verified
                cause = failed.__context__
                failed.details["ended_because"] = {"reason": str(cause.reason), "message": cause.message}
            return cluster, failed
        except Conflict as taken:  # somebody else goes on with the run: nothing was launched
            return cluster, failure(Reason.LEASE, f"{taken}.", public="changed by somebody else")
        except Exception as bug:  # noqa: BLE001 - the cluster is released; the bill is still to be made
            return cluster, defect(bug)
        finally:
            self.cluster = self.launching = None
        return cluster, None

    @asynccontextmanager
    async def _held(self, spec: RunSpec, key: RunKey, diary: Diary, adopted: Handle | None) -> AsyncIterator[_Cluster]:
        """A cluster, from its launch or adoption to its verified end."""
        ports = self._ports
        release = Release(ports.target, ports.clock, spec.region, self._warn)
        if adopted is not None:
            handle = adopted
        else:
            self.launching = key
            # A launch under way in a thread cannot be called back: it is awaited, and what it made is ended.
            handle = await complete(self._launched(spec, key, diary, asyncio.current_task()))
        # From here to the `try` nothing is awaited: a cancellation that was put off arrives inside.
        diary.note(cluster_id=handle.cluster_id)
        self.cluster, self.launching = handle, None
        launched = diary.record.launched_at or diary.record.created_at
        cluster = _Cluster(
            handle,
            Observation(RunState.PROVISIONING),
            Ceilings(spec, launched, diary.record.usd_per_hour, diary.record.earlier_usd),
        )
        try:
            yield cluster
        except asyncio.CancelledError:
            # Release first, talk afterwards: there may be seconds left. The next start verifies the end.
            await self._ended_on_cancel(release.ending(handle, cluster.look), cluster)
            diary.record = diary.record.moved(RunState.ENDING, released=True)
            diary.note(cost_so_far=cluster.ceilings.cost_so_far(ports.clock.now()))
            raise
        except BaseException as failed:
            if isinstance(failed, Exception):
                error = failed if isinstance(failed, RunError) else defect(failed)
                if diary.record.given_up or worth_another(error, diary.record, cluster.look):
                    diary.note(given_up=why(error))
                else:
                    diary.decide(error, ports.clock.now())
            async with diary.ending():
                cluster.look = await complete(release.ending(handle, cluster.look))
                cluster.look = await release.ended(handle, cluster.look)
            raise
        else:
            diary.decide(None, ports.clock.now())
            async with diary.ending():
                try:
                    cluster.look = await release.after_success(handle, cluster.look)
                except asyncio.CancelledError:
                    await self._ended_on_cancel(release.ending(handle, cluster.look), cluster)
                    raise
        finally:
            diary.note(warnings=(*diary.record.warnings, *release.notes))

    async def _launched(self, spec: RunSpec, key: RunKey, diary: Diary, waiting: asyncio.Task[Any] | None) -> Handle:
        """The launch; each call goes on record right before it is made.

        Args:
            waiting: the task that awaits it, which may be told to stop.
        """
        ports, attempt = self._ports, len(diary.record.attempts) + 1

        async def about_to() -> None:
            diary.note(launched_at=ports.clock.now(), request=ports.target.request(spec, key, attempt))
            await diary.intend()

        def may_launch() -> None:
            if waiting is not None and waiting.cancelling():
                raise Aborted("This servo was told to stop before the launch.", Reason.SHUTDOWN, public="stopped")
            self._may_launch()

        launch = Launch(ports.target, ports.clock, may_launch, self._warn)
        handle = await launch.submit(spec, key, about_to, attempt, diary.record.dead)
        if launch.throttled:
            times = "once" if launch.throttled == 1 else f"{launch.throttled} times"
            diary.note(details={**diary.record.details, "throttled": f"its launch was throttled {times}"})
        return handle

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

    async def _decide(self, spec: RunSpec, cluster: _Cluster, diary: Diary, watch: Watch) -> None:
        """Watches until the run is decided and judges it; what the job itself reported is in the diary then.

        Raises:
            RunError: it did not succeed.
        """
        ports, handle = self._ports, cluster.handle
        if (told := diary.record.given_up) != {}:  # by a process that did not see it through
            raise failure(Reason(told["reason"]), told["message"], remedy=told["remedy"], public=told["public"])
        await diary.move(RunState.PROVISIONING)
        cluster.look = await watch.until_decided(handle, spec, cluster.ceilings, diary.move)
        await diary.move(RunState.COLLECTING, steps=cluster.look.steps)
        watch.report(handle, spec, cluster.ceilings, RunState.COLLECTING, ports.clock.now())
        if any(step.timeline.ready is not None for step in cluster.look.steps):
            cluster.evidence = evidence = await self._evidence(handle.key.run_id, spec, list(diary.record.units))
            facts = {**diary.record.details, **evidence.facts}
            diary.note(metrics=dict(evidence.metrics), missing=dict(evidence.missing), details=facts)
        diary.note(warnings=(*diary.record.warnings, *untidied(spec, cluster.look)))
        problem = judge(spec, cluster.look, cluster.evidence)
        if problem is not None:
            raise problem
        watch.report(handle, spec, cluster.ceilings, RunState.ENDING, ports.clock.now())

    async def _evidence(self, run_id: str, spec: RunSpec, wanted: list[str]) -> JobEvidence:
        """What the job left behind; that it cannot be read now does not cost the run.

        Raises:
            RunError: it could not be read for some minutes.
        """
        for wait in _EVIDENCE_TRIES_S:
            try:
                return await self._ports.evidence.collect(run_id, spec, wanted)
            except RunError as error:
                self._warn(
                    f"what {run_id} left cannot be read, again in {wait:.0f} s ({error.reason}): {error.message}"
                )
                await self._ports.clock.sleep(wait)
        return await self._ports.evidence.collect(run_id, spec, wanted)

    async def _settle(self, spec: RunSpec, cluster: _Cluster, diary: Diary, error: RunError | None) -> RunError | None:
        """Puts the ended cluster's figures, and for a failure its logs, into the record; the error that remains."""
        ports, handle = self._ports, cluster.handle
        settle = Settle(ports.target, ports.book, ports.clock, self._warn)
        silent = cluster.evidence is None or (
            error is not None and error.reason in (Reason.STEP_FAILED, Reason.NO_RESULT)
        )
        alive = (await settle.account(diary, handle, spec, cluster.look, patient=silent)).alive
        if alive and (error is None or error.reason is not Reason.UNRELEASED):
            return instances_left(handle, alive, spec.region)
        if error is None and not diary.record.metrics:
            return nothing_to_report(diary.record.missing)
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
