"""One measurement: intent, upload, one launch, watching, evidence, the verified end, the bill, the record.

All money is spent inside `_launched`, an `async with` that does not let go of a cluster before it is seen ended.
Every outcome, a refusal before the launch included, has a record as good as a success's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from servo_emr.domain.errors import Aborted, OurDefect, Reason, RunError, Verdict
from servo_emr.domain.ports import Clock, Evidence, Handle, LaunchTarget, Packer, PriceBook, Workspace
from servo_emr.domain.run import JobEvidence, Observation, RunRecord, RunState
from servo_emr.domain.spec import RunKey, RunSpec, canonical, new_run_id, plain
from servo_emr.lifecycle import breaker
from servo_emr.lifecycle.diary import Diary
from servo_emr.lifecycle.figures import expected_seconds, figures, nothing_to_report, phases
from servo_emr.lifecycle.guards import Ceilings, within_budget
from servo_emr.lifecycle.launch import Launch, complete
from servo_emr.lifecycle.release import Release
from servo_emr.lifecycle.settle import Settle
from servo_emr.lifecycle.stage import Stage
from servo_emr.lifecycle.verdict import judge
from servo_emr.lifecycle.watch import Progress, Watch

__all__ = ["Measure", "Order", "Outcome", "Ports"]

_HISTORY = 50


@dataclass(frozen=True)
class Ports:
    """Everything that a measurement reaches the world through."""

    target: LaunchTarget
    workspace: Workspace
    book: PriceBook
    packer: Packer
    evidence: Evidence
    clock: Clock


@dataclass(frozen=True)
class Order:
    """What is to be measured: the spec, the settings that it came from, the metrics wanted with their units."""

    spec: RunSpec
    settings: Mapping[str, Any]
    wanted: Mapping[str, str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a measurement ended: its record, and the error that it ended with, None for success."""

    record: RunRecord
    error: RunError | None


@dataclass
class _Cluster:
    """The cluster of this run and the last look at it."""

    handle: Handle
    look: Observation
    ceilings: Ceilings
    evidence: JobEvidence | None = None


class Measure:
    """Runs measurements, one at a time.

    Args:
        ports: the world.
        stage: for the appraisal that is repeated right before every launch.
        warn: called with a sentence for the log.
    """

    def __init__(self, ports: Ports, stage: Stage, warn: Callable[[str], None]) -> None:
        self._ports = ports
        self._stage = stage
        self._warn = warn

    async def run(self, order: Order, tell: Callable[[Progress], None]) -> Outcome:
        """Measures once. Raises nothing but CancelledError, and that only when the cluster is gone, or is on record as
        not verified to be."""
        now = self._ports.clock.now()
        record = RunRecord(
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
        diary = Diary(self._ports.workspace, self._ports.clock, record, self._warn)
        error: RunError | None
        try:
            error = await self._run(order, diary, tell)
        except RunError as refused:
            error = refused
        except asyncio.CancelledError:
            await complete(self._close(diary, _stopped()))
            raise
        except Exception as bug:  # noqa: BLE001 - whatever it is, the record and the optimizer must hear of it
            error = _defect(bug)
        await complete(self._close(diary, error))
        await asyncio.sleep(0)  # a cancellation that was put off arrives here
        return Outcome(diary.record, error)

    async def _close(self, diary: Diary, error: RunError | None) -> None:
        verdict = Verdict.SUCCEEDED if error is None else error.verdict
        diary.note(
            verdict=verdict,
            reason=str(Reason.SUCCESS if error is None else error.reason),
            message="" if error is None else error.message,
            remedy="" if error is None else error.remedy,
            details={**diary.record.details, **({} if error is None else error.details)},
            unreleased=error is not None and error.reason is Reason.UNRELEASED,
            ended_at=self._ports.clock.now(),
        )
        if not await diary.close():
            self._warn(f"the record of {diary.record.run_id} is lost: {canonical(diary.record.to_json())}")

    async def _run(self, order: Order, diary: Diary, tell: Callable[[Progress], None]) -> RunError | None:
        ports = self._ports
        workspace_id = await ports.workspace.identity()
        diary.note(workspace_id=workspace_id)
        key = RunKey(ports.workspace.uri, workspace_id, diary.record.run_id)
        spec, usd_per_hour = await self._admitted(order.spec, diary)
        package = await ports.packer.pack(spec, key)
        request = ports.target.request(spec, key)
        identity = hashlib.sha256(canonical([order.spec, package.notebook_sha256]).encode()).hexdigest()
        diary.note(
            identity=identity,
            notebook_sha256=package.notebook_sha256,
            request=request,
            spec=plain(spec),
            urls=_urls(key, spec),
        )
        await diary.intend()
        files = {**package.files, "request.json": json.dumps(request, indent=2, sort_keys=True).encode()}
        for name, body in files.items():
            await ports.workspace.put(key.run_id, name, body)

        def told(progress: Progress) -> None:
            diary.note(cost_so_far=progress.cost_usd)
            tell(progress)

        watch = Watch(ports.target, ports.workspace, ports.clock, told, self._warn)
        error: RunError | None = None
        cluster: _Cluster | None = None
        try:
            async with self._launched(spec, key, diary, usd_per_hour) as cluster:
                await self._decide(spec, cluster, diary, watch, list(order.wanted))
        except RunError as failed:
            error = failed
        except asyncio.CancelledError:
            if cluster is not None:
                await complete(self._settle(order, spec, cluster, diary, _stopped()))
            raise
        except Exception as bug:  # noqa: BLE001 - a bug of ours costs money like any other failure: it is settled
            error = _defect(bug)
        if cluster is not None:
            if cluster.look.state.terminal:
                watch.report(cluster.handle, spec, cluster.ceilings, RunState.VERIFIED, ports.clock.now())
            await complete(self._settle(order, spec, cluster, diary, error))
            if error is None and not diary.record.metrics:
                error = nothing_to_report(diary.record.missing)
        return error

    async def _admitted(self, spec: RunSpec, diary: Diary) -> tuple[RunSpec, float]:
        """The spec as it may be launched now, and its rate in USD per hour; limits are asked at this last door too."""
        ports = self._ports
        appraisal = await self._stage.appraise(spec)
        if appraisal.refusal is not None:
            raise appraisal.refusal
        diary.note(warnings=diary.record.warnings + appraisal.warnings)
        await breaker.closed(ports.workspace, spec.limits.unproductive_spend)
        await within_budget(ports.workspace.records, ports.clock.now(), spec)
        history = []
        async for record in ports.workspace.records():
            history.append(record)
            if len(history) >= _HISTORY:
                break
        job = replace(spec.job, expected_s=expected_seconds(spec, history))
        cluster = replace(spec.cluster, subnet_ids=appraisal.preflight.subnet_ids)
        return replace(spec, job=job, cluster=cluster), appraisal.estimate.usd_per_hour

    @asynccontextmanager
    async def _launched(self, spec: RunSpec, key: RunKey, diary: Diary, rate: float) -> AsyncIterator[_Cluster]:
        """A cluster, from its launch to its verified end: once it is there, nothing is awaited but in the body."""
        ports = self._ports
        release = Release(ports.target, ports.clock, spec.region, self._warn)
        launched = ports.clock.now()
        handle = await complete(Launch(ports.target, ports.clock, self._warn).submit(spec, key))
        diary.note(cluster_id=handle.cluster_id)
        cluster = _Cluster(handle, Observation(RunState.PROVISIONING), Ceilings(spec, launched, rate))
        try:
            yield cluster
        except BaseException as end:
            try:
                cluster.look = await complete(release.now(handle, cluster.look))
            except RunError:
                waiting = asyncio.current_task()
                if isinstance(end, asyncio.CancelledError) and waiting is not None:
                    waiting.cancel()  # put off: that the cluster may be alive is said first
                raise
            raise
        else:
            cluster.look = await complete(release.after_success(handle, cluster.look))

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
        self, order: Order, spec: RunSpec, cluster: _Cluster, diary: Diary, error: RunError | None
    ) -> None:
        """Puts the ended cluster's figures, and for a failure its logs, into the record."""
        ports, look, handle = self._ports, cluster.look, cluster.handle
        settle = Settle(ports.target, ports.book, ports.clock, self._warn)
        usage, cost = await settle.bill(handle, spec, look)
        times = phases(spec, look, usage)
        values, missing = figures(order.wanted, times, cost, cluster.evidence)
        details: dict[str, Any] = dict(cluster.evidence.facts) if cluster.evidence else {}
        if usage is not None:
            details["instances"] = plain(usage.rows)
        if error is not None and not isinstance(error, Aborted):
            silent = cluster.evidence is None or error.reason in (Reason.STEP_FAILED, Reason.NO_RESULT)
            details["logs"] = await settle.logs(handle, spec, look, patient=silent)
        until = look.timeline.ended if look.state.terminal else None
        total = cost.usd if cost is not None else cluster.ceilings.cost_so_far(until or ports.clock.now())
        state = RunState.VERIFIED if look.state.terminal else diary.record.state
        diary.note(
            state=state,
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


def _urls(key: RunKey, spec: RunSpec) -> dict[str, str]:
    """Where a person finds what the run leaves behind."""
    urls = {"folder": f"{key.folder}/", "notebook": f"{key.folder}/output.ipynb"}
    return {**urls, "logs": spec.cluster.log_uri} if spec.cluster.log_uri else urls


def _stopped() -> Aborted:
    return Aborted("This servo was told to stop.", Reason.SHUTDOWN, public="stopped")


def _defect(bug: Exception) -> OurDefect:
    """An exception that nobody expected, as a failure with its traceback."""
    return OurDefect(
        f"{type(bug).__name__}: {bug}.",
        Reason.BUG,
        remedy="This is a defect of servo_emr: please report it with the traceback in the record.",
        public=type(bug).__name__,
        details={"traceback": "".join(traceback.format_exception(bug))},
    )
