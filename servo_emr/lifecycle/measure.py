"""One measurement: answered from what is known, adopted from a process that died, or launched anew.

Every outcome, a refusal before the launch included, has a record as good as a success's. An answer goes on record
before it is given, so that nothing is delivered twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from servo_emr.domain.errors import Aborted, Conflict, Reason, RunError, Verdict, failure
from servo_emr.domain.ports import Handle, Package
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.domain.spec import RunKey, RunSpec, canonical, new_run_id, plain, spec_from_json
from servo_emr.lifecycle import breaker
from servo_emr.lifecycle.course import Course, Ports, defect
from servo_emr.lifecycle.diary import Diary
from servo_emr.lifecycle.figures import expected_seconds
from servo_emr.lifecycle.guards import within_budget
from servo_emr.lifecycle.launch import complete
from servo_emr.lifecycle.past import Past, read_past
from servo_emr.lifecycle.recover import Recover
from servo_emr.lifecycle.stage import Stage
from servo_emr.lifecycle.watch import Progress

__all__ = ["Measure", "Order", "Outcome", "Ports"]

GAP_S = 30.0
"""The least time between two answers without a launch; it doubles while they go on."""
LONGEST_GAP_S = 600.0


@dataclass(frozen=True)
class Order:
    """What is to be measured: the spec, the settings that it came from, the metrics wanted with their units.

    cmd_uid is the optimizer's command, None without one. paced: answers without a launch are kept apart.
    """

    spec: RunSpec
    settings: Mapping[str, Any]
    wanted: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    cmd_uid: str | None = None
    paced: bool = False


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
        self._recover = Recover(ports, warn)
        self._refusals = (0, 0.0)
        self.stopped: RunRecord | None = None
        """The record of the run that was last cancelled."""

    @property
    def cluster(self) -> Handle | None:
        """The cluster that is under way now."""
        return self._course.cluster

    async def recover(self) -> list[RunError]:
        """At a start: makes sure of the end of what must not go on. An undecided run is left to be adopted."""
        past = await read_past(self._ports.workspace, self._ports.clock.now())
        waiting = [record.run_id for record in past.unfinished() if not record.decided and not record.released]
        for run_id in waiting:
            self._warn(f"run {run_id} is undecided: it is adopted when the same is measured again, else ended then")
        return await self._recover.finish([r for r in past.unfinished() if r.run_id not in waiting])

    async def finish(self, records: Iterable[RunRecord]) -> list[RunError]:
        """Ends, verifies and bills unfinished runs; returns what could not be verified."""
        return await self._recover.finish(records)

    async def run(self, order: Order, tell: Callable[[Progress], None]) -> Outcome:
        """Measures once. Raises nothing but CancelledError, and that only when the cluster is seen ending, or is on
        record as not verified to be."""
        self.stopped = None
        diary = Diary(self._ports.workspace, self._ports.clock, self._blank(order), self._warn)
        tell(Progress(diary.record.run_id, "", RunState.QUEUED, 0, 0.0, 0.0))
        error: RunError | None
        try:
            chosen = await self._prior(order, diary)
            if isinstance(chosen, Outcome):
                return chosen
            diary = chosen.diary
            error = await self._run(order, chosen, tell)
        except RunError as refused:
            error = refused
        except Conflict as conflict:
            error = failure(Reason.LEASE, f"{conflict}.", public="changed by somebody else")
        except asyncio.CancelledError:
            stopped = Aborted("This servo was told to stop.", Reason.SHUTDOWN, public="stopped")
            await complete(self._close(diary, stopped, None))
            self.stopped = diary.record
            raise
        except Exception as bug:  # noqa: BLE001 - whatever it is, the record and the optimizer must hear of it
            error = defect(bug)
        await self._conclude(diary, error, order)
        return Outcome(diary.record, error)

    async def _conclude(self, diary: Diary, error: RunError | None, order: Order) -> None:
        """Puts a verdict on record, once it may be given. A run that is cancelled before has been told to nobody."""
        given = False
        try:
            if diary.record.cluster_id is not None:
                self._refusals = (0, 0.0)
            elif order.paced:
                await self.pace()
            await asyncio.sleep(0)  # a cancellation that was put off arrives here
            given = True
            await complete(self._close(diary, error, order))
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if not given:
                await complete(self._close(diary, error, None))
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

    async def _close(self, diary: Diary, error: RunError | None, order: Order | None) -> None:
        """Writes the verdict, and to whom it is given: before it is. `order` None: it is given to nobody."""
        now = self._ports.clock.now()
        answer = {} if order is None else {"cmd_uid": order.cmd_uid, "answered_at": now}
        launched = diary.record.launched_at is not None
        diary.note(
            verdict=Verdict.SUCCEEDED if error is None else error.verdict,
            reason=str(Reason.SUCCESS if error is None else error.reason),
            message="" if error is None else error.message,
            remedy="" if error is None else error.remedy,
            public="" if error is None else error.public,
            details={**diary.record.details, **({} if error is None else error.details)},
            # An end that could not be verified is this run's own only when it was launched.
            unreleased=error is not None and error.reason is Reason.UNRELEASED and launched,
            ended_at=now,
            **answer,
        )
        if not await diary.close():
            self._warn(f"the record of {diary.record.run_id} is lost: {canonical(diary.record.to_json())}")

    async def _prior(self, order: Order, diary: Diary) -> Outcome | _Chosen:
        """What answers the order: a run that is finished, one that is under way, or a new one."""
        ports = self._ports
        workspace_id = await ports.workspace.identity()
        diary.note(workspace_id=workspace_id)
        past = await read_past(ports.workspace, ports.clock.now())
        self._refusals = max(self._refusals, past.refusals())
        key = RunKey(ports.workspace.uri, workspace_id, diary.record.run_id)
        if (again := past.answered(order.cmd_uid)) is not None:
            self._warn(f"run {again.run_id} is given again as the answer to the same command")
            return Outcome(again, _error_of(again))
        package = await ports.packer.pack(order.spec, key)
        identity = hashlib.sha256(canonical([order.spec, package.notebook_sha256]).encode()).hexdigest()
        diary.note(identity=identity, notebook_sha256=package.notebook_sha256)
        if (untold := past.untold(identity)) is not None:
            return await self._deliver(untold, order)
        prior = past.adoptable(identity)
        others = [record for record in past.unfinished() if prior is None or record.run_id != prior.run_id]
        if prior is not None:
            adopted = await self._adopt(prior, order)
            if adopted is not None:
                await self._none_left(others)
                return replace(adopted, past=past)
            others.append(prior)
        await self._none_left(others)
        return _Chosen(diary, key, past, package)

    async def _none_left(self, others: list[RunRecord]) -> None:
        """No second cluster is launched while the end of another is not verified."""
        for error in await self._recover.finish(others):
            raise error

    async def _deliver(self, untold: RunRecord, order: Order) -> Outcome:
        found = await self._ports.workspace.record(untold.run_id)
        record, version = found if found is not None else (untold, None)
        diary = Diary(self._ports.workspace, self._ports.clock, record, self._warn, version)
        diary.note(cmd_uid=order.cmd_uid, answered_at=self._ports.clock.now(), recovered=True)
        await complete(diary.close())
        self._warn(f"run {record.run_id} had finished and nobody had been told: it is the answer")
        return Outcome(diary.record, _error_of(diary.record))

    async def _adopt(self, prior: RunRecord, order: Order) -> _Chosen | None:
        """The undecided run of equal identity, to be seen through; None when it is no longer worth anything."""
        found = await self._ports.workspace.record(prior.run_id)
        if found is None or found[0].decided or not found[0].workspace_id:
            return None
        record, version = found
        try:
            spec = spec_from_json(record.spec)
        except ValueError:
            return None  # what it runs cannot be read: it is ended
        handle = await self._recover.cluster_of(record)
        if handle is not None and not await self._recover.still_worth(handle):
            return None
        diary = Diary(self._ports.workspace, self._ports.clock, record, self._warn, version)
        diary.note(recovered=True, units=dict(order.wanted))
        self._warn(f"run {record.run_id} is taken over" + ("" if handle is None else f" with {handle.cluster_id}"))
        key = RunKey(self._ports.workspace.uri, record.workspace_id, record.run_id)
        package = await self._ports.packer.pack(spec, key)
        return _Chosen(diary, key, Past((), 0.0), package, handle)

    async def _run(self, order: Order, chosen: _Chosen, tell: Callable[[Progress], None]) -> RunError | None:
        ports, diary, key = self._ports, chosen.diary, chosen.key
        if chosen.handle is not None:
            spec = spec_from_json(diary.record.spec)
            return await self._course.run(spec, key, diary, order.wanted, tell, chosen.handle)
        spec = await self._admitted(order.spec, diary, chosen.past)
        request = ports.target.request(spec, key)
        # launched_at is written right before the call, in the course: whoever finds this intent counts from there for
        # how long a cluster may stay unlisted.
        diary.note(request=request, spec=plain(spec), urls=_urls(key, spec))
        await diary.intend()
        files = {**chosen.package.files, "request.json": json.dumps(request, indent=2, sort_keys=True).encode()}
        for name, body in files.items():
            await ports.workspace.put(key.run_id, name, body)
        return await self._course.run(spec, key, diary, order.wanted, tell)

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
        job = replace(spec.job, expected_s=expected_seconds(spec, past.records))
        return appraisal.launchable(replace(spec, job=job))

    async def pace(self) -> None:
        """Waits until an answer without a launch is far enough from the one before, and counts it."""
        count, last = self._refusals
        gap = min(GAP_S * 2 ** min(count - 1, 20), LONGEST_GAP_S) if count else 0.0
        wait = last + gap - self._ports.clock.now()
        if wait > 0:
            self._warn(f"{count} answers in a row without a launch: the next is given in {wait:.0f} s")
            await self._ports.clock.sleep(wait)
        self._refusals = (count + 1, self._ports.clock.now())


@dataclass(frozen=True)
class _Chosen:
    """The run that will answer: its diary, key, files; its cluster when it has one already."""

    diary: Diary
    key: RunKey
    past: Past
    package: Package
    handle: Handle | None = None


def _error_of(record: RunRecord) -> RunError | None:
    """The error that a record tells of, None for a success."""
    if record.verdict is Verdict.SUCCEEDED:
        return None
    reason = Reason(record.reason or Reason.BUG)
    return failure(reason, record.message, remedy=record.remedy, public=record.public, details=record.details)


def _urls(key: RunKey, spec: RunSpec) -> dict[str, str]:
    """Where a person finds what the run leaves behind."""
    urls = {"folder": f"{key.folder}/", "notebook": f"{key.folder}/output.ipynb"}
    return {**urls, "logs": spec.cluster.log_uri} if spec.cluster.log_uri else urls
