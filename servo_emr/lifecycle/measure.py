"""One measurement: answered from what is known, adopted from a process that died, or launched anew.

Every outcome, a refusal before the launch included, has a record as good as a success's. An answer goes on record
before it is given, so that nothing is delivered twice.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from servo_emr.domain.errors import Aborted, Conflict, Reason, RunError, Verdict, failure
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.domain.spec import RunKey, RunSpec, canonical, new_run_id, plain, spec_from_json
from servo_emr.lifecycle import breaker
from servo_emr.lifecycle.again import Again, disturbance
from servo_emr.lifecycle.choice import Choice, Chosen, Order
from servo_emr.lifecycle.course import Course, Ports, defect
from servo_emr.lifecycle.diary import Diary
from servo_emr.lifecycle.figures import expected_job
from servo_emr.lifecycle.forecast import forecast
from servo_emr.lifecycle.guards import spent, within_budget
from servo_emr.lifecycle.launch import complete
from servo_emr.lifecycle.past import Past, read_past
from servo_emr.lifecycle.recover import Recover
from servo_emr.lifecycle.release import command_by_hand
from servo_emr.lifecycle.stage import Stage
from servo_emr.lifecycle.watch import Progress

__all__ = ["Measure", "Order", "Outcome", "Ports"]

GAP_S = 30.0
"""The least time between two answers without a launch; it doubles while they go on."""
LONGEST_GAP_S = 600.0


@dataclass(frozen=True)
class Outcome:
    """How a measurement ended: its record, and the error that it ended with, None for success."""

    record: RunRecord
    error: RunError | None


class Measure:
    """Runs measurements, one at a time.

    Args:
        ports: the world.
        stage: for the appraisal that is repeated right before every launch.
        may_launch: asked right before a launch; raises when this process must not.
        warn: called with a sentence for the log.
    """

    def __init__(self, ports: Ports, stage: Stage, may_launch: Callable[[], None], warn: Callable[[str], None]) -> None:
        self._ports = ports
        self._stage = stage
        self._warn = warn
        self._course = Course(ports, may_launch, warn)
        self._recover = Recover(ports, stage.region, warn)
        self._refusals = (0, 0.0)
        self._choice = Choice(ports, self._recover, warn)
        self._unwritten: list[Diary] = []
        self.stopped: RunRecord | None = None
        """The record of the run that was last cancelled."""

    def by_hand(self) -> str:
        """What a person must do when this process leaves a measurement at once."""
        region = self._stage.region
        if (cluster := self._course.cluster) is not None:
            return f"To end the cluster: {command_by_hand(cluster, region)}"
        if (key := self._course.launching) is not None:
            return (
                "A launch may be under way: `servo-emr sweep --yes` ends what it made; or look for "
                f"'{key.name}' with `aws emr list-clusters --active --region {region}`."
            )
        return "The cluster of an earlier run may be alive: `servo-emr sweep` shows it."

    async def recover(self) -> list[RunError]:
        """At a start: makes sure of the end of what must not go on. An undecided run is left to be adopted.

        What is alive is asked too: records are read back for some days only. One that cannot be read is among the
        errors, by name, and keeps nothing else from being finished.
        """
        workspace = self._ports.workspace
        unread: list[RunError] = []
        past = await read_past(workspace, self._ports.clock.now(), unread.append)
        unfinished = past.unfinished()
        waiting = [record.run_id for record in unfinished if not record.decided and not record.released]
        for run_id in waiting:
            self._warn(f"run {run_id} is undecided: it is adopted when the same is measured again, else ended")
        errors = await self._recover.finish([r for r in unfinished if r.run_id not in waiting])
        known = {record.run_id for record in unfinished}
        return unread + errors + await self._recover.strays(await workspace.identity(), known)

    async def abandon(self) -> list[RunError]:
        """Ends whatever is unfinished, an undecided run too: nobody has asked for it again, and nobody enforces its
        limits meanwhile. Returns what could not be verified."""
        unread: list[RunError] = []
        past = await read_past(self._ports.workspace, self._ports.clock.now(), unread.append)
        return unread + await self._recover.finish(past.unfinished())

    async def finish(self, records: Iterable[RunRecord]) -> list[RunError]:
        """Ends, verifies and bills unfinished runs; returns what could not be verified."""
        return await self._recover.finish(records)

    async def run(self, order: Order, tell: Callable[[Progress], None]) -> Outcome:
        """Measures once; with `order.repeat_disturbed`, again as long as the run was disturbed. Raises nothing but
        CancelledError, and that only when the cluster is seen ending, or is on record as not verified to be."""
        outcome = await self._once(order, tell)
        before: list[RunRecord] = []
        while outcome.record.repeated:
            before.append(outcome.record)
            told = tuple(
                f"run {one.run_id} was disturbed ({disturbance(one)}) and run again; its "
                f"{spent(one):.4f} USD are in no metric of this answer"
                for one in before
            )
            outcome = await self._once(replace(order, warnings=(*order.warnings, *told)), tell, before)
        return outcome

    async def _once(self, order: Order, tell: Callable[[Progress], None], before: Sequence[RunRecord] = ()) -> Outcome:
        """One run. `before`: those of this measurement that were disturbed, oldest first."""
        self.stopped = None
        diary = Diary(self._ports.workspace, self._ports.clock, self._blank(order), self._warn)
        tell(Progress(diary.record.run_id, "", RunState.QUEUED, 0, 0.0, 0.0))
        error: RunError | None
        again = Again(order.repeat_disturbed, order.cmd_uid, tuple(before))
        try:
            chosen = await self._prior(order, diary)
            if isinstance(chosen, Outcome):
                return chosen
            diary, again = chosen.diary, replace(again, past=chosen.past)
            error = await self._run(order, chosen, tell)
        except RunError as refused:
            error = refused
        except Conflict as conflict:
            error = failure(Reason.LEASE, f"{conflict}.", public="changed by somebody else")
        except asyncio.CancelledError:
            if not diary.record.decided:
                stopped = Aborted("This servo was told to stop.", Reason.SHUTDOWN, public="stopped")
                diary.decide(stopped, self._ports.clock.now())
            await complete(self._close(diary, None))
            self.stopped = diary.record
            raise
        except Exception as bug:  # noqa: BLE001 - whatever it is, the record and the optimizer must hear of it
            error = defect(bug)
        await self._conclude(diary, error, order, again)
        # A run that somebody else has gone on with is theirs to answer for.
        return Outcome(diary.record, error or diary.taken)

    async def _conclude(self, diary: Diary, error: RunError | None, order: Order, again: Again) -> None:
        """Puts a verdict on record, once it may be given. A run that is cancelled before has been told to nobody; one
        that is run again is not told either."""
        given = False
        diary.decide(error, self._ports.clock.now())
        try:
            if diary.record.had_cluster:
                self._refusals = (0, 0.0)
            elif order.paced:
                await self.pace()
            await asyncio.sleep(0)  # a cancellation that was put off arrives here
            given = True
            diary.note(ended_at=self._ports.clock.now())
            if diary.taken is None and again.wanted(diary.record, self._warn):
                diary.note(repeated=True, cmd_uid=order.cmd_uid)
                await complete(self._close(diary, None))
            else:
                await complete(self._close(diary, order))
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if not given:
                diary.note(ended_at=self._ports.clock.now())
                await complete(self._close(diary, None))
            self.stopped = diary.record
            raise

    def _blank(self, order: Order) -> RunRecord:
        now = self._ports.clock.now()
        return RunRecord(
            run_id=new_run_id(time.strftime("%Y%m%dt%H%M%S", time.gmtime(now)), secrets.token_hex(4)),
            workspace_id="",
            created_at=now,
            identity="",
            spec=plain(order.spec),
            notebook_sha256="",
            settings=dict(order.settings),
            units=dict(order.wanted),
            warnings=order.warnings,
        )

    async def _close(self, diary: Diary, order: Order | None) -> None:
        """Writes the verdict, and to whom it is given: before it is. `order` None: it is given to nobody."""
        if order is not None:
            diary.note(cmd_uid=order.cmd_uid, answered_at=self._ports.clock.now())
        if await diary.close() or diary.taken is not None:
            return
        self._warn(f"the record of {diary.record.run_id} is lost: {canonical(diary.record.to_json())}")
        if diary.record.launched_at is not None:
            self._unwritten.append(diary)

    async def _flush(self) -> None:
        """Nothing is measured while an answer that was given is on no record: it would be given again.

        Raises:
            OperatorError: operator/bucket.
        """
        for diary in tuple(self._unwritten):
            if not await diary.close() and diary.taken is None:
                raise failure(
                    Reason.BUCKET,
                    f"The record of run {diary.record.run_id}, which is over, still cannot be written.",
                    remedy=f"See why {self._ports.workspace.uri} cannot be written to; the log has the record.",
                    public="the record of an earlier run cannot be written",
                )
            self._unwritten.remove(diary)

    async def _prior(self, order: Order, diary: Diary) -> Outcome | Chosen:
        """The answer, where a run has earned it before; else the run that will give it."""
        ports = self._ports
        await self._flush()
        workspace_id = await ports.workspace.identity()
        diary.note(workspace_id=workspace_id, emulated=ports.workspace.emulated)
        past = await read_past(ports.workspace, ports.clock.now())
        await self._bundle()
        self._refusals = max(self._refusals, past.refusals())
        if (again := past.answered(order.cmd_uid)) is not None:
            self._warn(f"run {again.run_id} is given again as the answer to the same command")
            return Outcome(again, _error_of(again))
        chosen = await self._choice.of(order, diary, past)
        return chosen if isinstance(chosen, Chosen) else await self._deliver(chosen, order)

    async def _bundle(self) -> None:
        """Bundles are copies: without them everything is as true, and slower to read."""
        try:
            await self._ports.workspace.bundle()
        except RunError as error:
            self._warn(f"records could not be bundled and are read one by one: {error.message}")

    async def _deliver(self, untold: RunRecord, order: Order) -> Outcome:
        found = await self._ports.workspace.record(untold.run_id)
        record, version = found if found is not None else (untold, None)
        diary = Diary(self._ports.workspace, self._ports.clock, record, self._warn, version)
        diary.note(recovered=True)
        await complete(self._close(diary, order))
        if diary.taken is not None:
            raise diary.taken
        self._warn(f"run {record.run_id} had finished and nobody had been told: it is the answer")
        return Outcome(diary.record, _error_of(diary.record))

    async def _run(self, order: Order, chosen: Chosen, tell: Callable[[Progress], None]) -> RunError | None:
        ports, diary, key = self._ports, chosen.diary, chosen.key
        if chosen.handle is not None:
            spec = spec_from_json(diary.record.spec)
            expected = forecast(spec, chosen.past.records)
            return await self._course.run(spec, key, diary, tell, chosen.past, chosen.handle, expected)
        spec = await self._admitted(order.spec, diary, chosen.past)
        request = ports.target.request(spec, key, len(diary.record.attempts) + 1)
        # launched_at is written right before the call, in the course: whoever finds this intent counts from there for
        # how long a cluster may stay unlisted.
        diary.note(request=request, spec=plain(spec), urls=_urls(key, spec))
        await diary.intend()
        files = {**chosen.files, "request.json": json.dumps(request, indent=2, sort_keys=True).encode()}
        for name, body in files.items():
            await ports.workspace.put(key.run_id, name, body)
        expected = forecast(spec, chosen.past.records)
        return await self._course.run(spec, key, diary, tell, chosen.past, expected=expected)

    async def _admitted(self, spec: RunSpec, diary: Diary, past: Past) -> RunSpec:
        """The spec as it may be launched now; limits are asked at this last door too, whoever asked for it."""
        ports = self._ports
        appraisal = await self._stage.appraise(spec, past.records)
        if appraisal.refusal is not None:
            raise appraisal.refusal
        diary.note(
            warnings=diary.record.warnings + appraisal.warnings,
            prices=plain(appraisal.quote),
            usd_per_hour=appraisal.estimate.ceiling_usd_per_hour,
        )
        await breaker.closed(ports.workspace, past, spec.limits.unproductive_spend)
        within_budget(past.of_last_day(), spec)
        return appraisal.launchable(replace(spec, job=expected_job(spec, past.records)))

    async def pace(self) -> None:
        """Waits until an answer without a launch is far enough from the one before, and counts it."""
        count, last = self._refusals
        gap = min(GAP_S * 2 ** min(count - 1, 20), LONGEST_GAP_S) if count else 0.0
        wait = last + gap - self._ports.clock.now()
        if wait > 0:
            self._warn(f"{count} answers in a row without a launch: the next is given in {wait:.0f} s")
            await self._ports.clock.sleep(wait)
        self._refusals = (count + 1, self._ports.clock.now())


def _error_of(record: RunRecord) -> RunError | None:
    """The error that a record tells of, None for a success."""
    if record.verdict is Verdict.SUCCEEDED:
        return None
    reason = Reason(record.reason or Reason.BUG)
    return failure(reason, record.message, remedy=record.remedy, public=record.public, details=record.details)


def _urls(key: RunKey, spec: RunSpec) -> dict[str, str]:
    """Where a person finds what the run leaves behind."""
    urls = {"folder": f"{key.folder}/"}
    if (notebook := spec.executed_notebook) is not None:
        urls["notebook"] = f"{key.folder}/{notebook}"
    return {**urls, "logs": spec.cluster.log_uri} if spec.cluster.log_uri else urls
