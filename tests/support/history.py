"""A search as it might have gone: any number of run records, by the domain's own classes and billed by the real book.

Durations follow a law with noise, some runs fail, some are stopped by the trial's own limit, some are disturbed. The
same seed gives the same records.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from servo_emr.clock import SystemClock
from servo_emr.domain.errors import Reason, Verdict
from servo_emr.domain.intervals import measured_intervals
from servo_emr.domain.ports import PriceBook
from servo_emr.domain.run import (
    InstanceRow,
    Observation,
    RunRecord,
    RunState,
    StepLook,
    StepState,
    Timeline,
    Usage,
    Volume,
)
from servo_emr.domain.settings import EnumBound, RangeBound, Setting, Space
from servo_emr.domain.spec import RunSpec, new_run_id, plain
from servo_emr.lifecycle.figures import BUILT_IN, figures, phases
from servo_emr.pricing.book import RateBook
from servo_emr.pricing.table import TablePrices
from tests.support.samples import SPEC, WORKSPACE

__all__ = ["CONFIGURED", "SPACE", "history"]

TYPES = ("m5.xlarge", "c5.xlarge", "r5.xlarge", "m5.2xlarge", "c5.2xlarge", "r5.2xlarge")
SPACE = Space(
    (
        Setting("primary", "inst_type", EnumBound(("m5.xlarge",)), "m5.xlarge", pinned=True),
        Setting("core", "inst_type", EnumBound(TYPES), "m5.xlarge"),
        Setting("core", "replicas", RangeBound(2, 12, 1), 4),
    )
)
CONFIGURED = SPACE.configured
BEGIN = 1_794_000_000.0
"""2026-11-06."""
_POWER = {
    "m5.xlarge": 1.0,
    "c5.xlarge": 1.15,
    "r5.xlarge": 1.02,
    "m5.2xlarge": 1.9,
    "c5.2xlarge": 2.2,
    "r5.2xlarge": 1.95,
}
_LOST = "1 node lost before the job had ended"
_FAILURES = (
    (Reason.CAPACITY, "No step had started 1200 s after the launch; the cluster was provisioning."),
    (Reason.SPOT, "Instances were lost and could not be had again."),
    (Reason.OUT_OF_MEMORY, "The kernel died in cell 4; the primary node had no memory left."),
    (Reason.CELL_ERROR, "ValueError in cell 7: could not convert string to float: 'n/a'"),
    (Reason.BOOTSTRAP, "The bootstrap action failed: exit status 1."),
)


def history(count: int, seed: int = 9, emulated: bool = False) -> list[RunRecord]:
    """So many records, oldest first; the first is of the configured settings."""
    chance = random.Random(seed)
    book = RateBook([TablePrices()], clock=SystemClock())
    return asyncio.run(_records(count, chance, book, emulated))


async def _records(count: int, chance: random.Random, book: PriceBook, emulated: bool) -> list[RunRecord]:
    found, at = [], BEGIN
    for number in range(count):
        values = dict(CONFIGURED)
        if number:
            # A search comes back to what looks good.
            good = [record.settings for record in found if record.verdict is Verdict.SUCCEEDED][-12:]
            again = bool(good) and chance.random() < 0.35
            values = dict(chance.choice(good)) if again else {
                **CONFIGURED, "core.inst_type": chance.choice(TYPES), "core.replicas": chance.randint(2, 12),
            }  # fmt: skip
        record = await _record(values, at, number, chance, book)
        found.append(replace(record, emulated=emulated))
        at = (record.ended_at or at) + chance.uniform(30.0, 900.0)
    return found


async def _record(values: dict[str, Any], at: float, number: int, chance: random.Random, book: PriceBook) -> RunRecord:
    spec = SPACE.apply(SPEC, values)
    run_id = new_run_id(time.strftime("%Y%m%dt%H%M%S", time.gmtime(at)), f"{number:08x}")
    fate = chance.random() if number else 1.0
    reason, message = Reason.SUCCESS, ""
    if fate < 0.08:
        reason, message = chance.choice(_FAILURES)
    elif fate < 0.12:
        reason, message = Reason.DEADLINE, "The job passed the trial's own deadline_s."
    look, usage = _cluster(spec, values, at, reason, chance, disturbed=0.12 <= fate < 0.15)
    quote = await book.quote(spec)
    cost = await book.bill(usage, quote, measured_intervals(spec, look.steps))
    units = {**BUILT_IN, "rows": "count"}
    metrics, missing = figures(units, phases(spec, look, usage), cost, None)
    if reason is Reason.SUCCESS:
        metrics, missing = {**metrics, "rows": float(4000 + number % 7)}, {}
    ended = look.timeline.ended or at
    return RunRecord(
        run_id=run_id,
        workspace_id="cafe0123",
        created_at=at,
        identity=f"{number:064x}",
        spec=plain(spec),
        notebook_sha256="cd" * 32,
        request={"Name": f"servo-emr cafe0123 {run_id}", "Instances": {"InstanceGroups": plain(spec.groups)}},
        state=RunState.VERIFIED,
        cluster_id=f"j-{number:013X}",
        verdict=reason.verdict,
        reason=str(reason),
        message=message,
        details={"instances": plain(usage.rows), "disturbed": _LOST if 0.12 <= fate < 0.15 else ""},
        steps=look.steps,
        timeline=look.timeline,
        phases=phases(spec, look, usage),
        metrics=metrics,
        missing=missing,
        units=units,
        prices=plain(quote),
        cost=plain(cost),
        cost_so_far=cost.billed_usd,
        settings=values,
        urls={"folder": f"{WORKSPACE}/runs/{run_id}/", "notebook": f"{WORKSPACE}/runs/{run_id}/output.ipynb"},
        launched_at=at,
        usd_per_hour=1.0,
        ended_at=ended + 20.0,
        cmd_uid=f"cmd-{number}",
        answered_at=ended + 20.0,
    )  # fmt: skip


def _cluster(
    spec: RunSpec, values: dict[str, Any], at: float, reason: Reason, chance: random.Random, disturbed: bool
) -> tuple[Observation, Usage]:
    """What EMR would have told of the cluster after its end."""
    workers = values["core.replicas"]
    job = (240.0 + 5400.0 / (workers * _POWER[values["core.inst_type"]]) + 9.0 * workers) * chance.gauss(1.0, 0.03)
    there = at + chance.uniform(15.0, 40.0)
    ready = there + chance.uniform(240.0, 330.0)
    state, began = StepState.COMPLETED, ready + 5.0
    ran: float | None = job
    if reason in (Reason.CAPACITY, Reason.BOOTSTRAP):
        ran = None
    elif reason is not Reason.SUCCESS:
        state, ran = StepState.FAILED, job * chance.uniform(0.2, 0.8)
    steps: Sequence[StepLook] = ()
    end = ready + 60.0
    if ran is not None:
        steps = (StepLook("s-1", "notebook", state, Timeline(at, began, began + ran)),)
        end = began + ran + chance.uniform(45.0, 70.0)
    rows = [
        InstanceRow(f"i-{group.role}-{index}", group.inst_type, f"ig-{group.role}", "ON_DEMAND", "TERMINATED",
                    Timeline(there, ready, end), volumes=(Volume("gp2", 64.0),))
        for group in spec.groups
        for index in range(group.count)
    ]  # fmt: skip
    if disturbed:
        rows[-1] = replace(rows[-1], timeline=Timeline(there, ready, (ready + end) / 2))
    timeline = Timeline(at, None if reason is Reason.BOOTSTRAP else ready, end)
    look = Observation(RunState.VERIFIED, timeline, tuple(steps))
    return look, Usage(spec.region, tuple(rows), Volume("gp2", 10.0), "us-east-1a")
