"""`servo-emr show RUN`: all that is known of one run, with its life drawn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import typer

from servo_emr.cli.output import OUTPUT, RUN, Output, columns, dollars, emit_json, facts, fitted, note, seconds, when
from servo_emr.cli.settings_file import file_of, load
from servo_emr.cli.tables import table
from servo_emr.cli.timeline import drawing, spans
from servo_emr.domain.errors import UsageError, Verdict
from servo_emr.domain.run import RunRecord
from servo_emr.domain.spec import is_run_id
from servo_emr.failure_block import console_of, failure_of, visible
from servo_emr.lifecycle.guards import spent
from servo_emr.report.nodes import cluster
from servo_emr.wiring import Live, assemble

__all__ = ["page", "record_of", "show"]


def show(context: typer.Context, run: str = RUN, output: Output = OUTPUT) -> None:
    """Show all of one run: settings, phases, steps, dollars by part, warnings, its life drawn."""
    record = asyncio.run(record_of(assemble(load(file_of(context.obj)), note), run))
    if output is Output.JSON:
        emit_json(record.to_json())
    else:
        typer.echo(page(record, columns()))


async def record_of(live: Live, run: str) -> RunRecord:
    """The record of a run that the command line names.

    Raises:
        UsageError: there is none.
    """
    if not is_run_id(run):
        raise UsageError(f"{run!r} is not a run's id; `servo-emr runs` lists them")
    found = await live.workspace.record(run)
    if found is None:
        raise UsageError(f"there is no run {run} in {live.workspace.uri}; `servo-emr runs` lists them")
    return found[0]


_SHOWN = (
    *("instances", "cell_error", "cell_index", "ename", "traceback", "logs", "output", "aws", "step", "errors"),
    *("disturbed", "realised", "repeat_seconds", "failed_step"),
)
"""Details that have a place of their own on the page, or that are of no use to people."""


_METRICS = {True: "Metrics", False: "Figures of a run that did not succeed: no measurement"}


def page(record: RunRecord, width: int | None = None) -> str:
    """All that is known of one run, for people, in lines of at most `width` characters."""
    failed = failure_of(record) or ""
    details, metrics = record.details, record.metrics
    inner = None if width is None else width - 2
    parts = [
        facts(_head(record), width),
        fitted(failed, width),
        _titled("Timeline", drawing(spans(record), inner)),
        _block("Phases", {name: seconds(value) for name, value in record.phases.items()}, width),
        _titled("Steps", table(_steps(record), inner, "STEP")),
        _block(
            _METRICS[record.verdict is Verdict.SUCCEEDED],
            {n: f"{value:.6g} {record.units.get(n, '')}" for n, value in metrics.items()},
            width,
        ),
        _block("Without a value", record.missing, width),
        _block("Dollars", _dollars(record), width),
        _titled("Nodes, billed", table(_nodes(record), inner, drop=("GROUP",))),
        _titled("Earlier launches", table(_attempts(record), inner, drop=("WHEN (UTC)", "SUBNET"))),
        "" if failed else _block("Cause", {k: value for k, value in record.cause.items() if k != "errors"}, width),
        _block("Left behind", record.urls, width),
        _block("Details", {key: _shown(value) for key, value in details.items() if key not in _SHOWN}, width),
    ]
    warnings = [*record.warnings, *([f"disturbed: {details['disturbed']}"] if details.get("disturbed") else [])]
    parts += [fitted(f"Mind: {warning}", width) for warning in warnings]
    return visible("\n\n".join(part for part in parts if part))


def _head(record: RunRecord) -> dict[str, Any]:
    repeats = record.details.get("repeat_seconds") or ()
    return {
        "Run": record.run_id,
        "When (UTC)": f"{when(record.created_at)} to {when(record.ended_at)}",
        "Outcome": f"{record.reason or 'not yet'} ({record.state})",
        "Settings": ", ".join(f"{name}={value}" for name, value in record.settings.items()),
        **_ran(record),
        "Cluster": record.cluster_id,
        "Console": console_of(record),
        "Nodes were": record.details.get("realised"),
        "Repeats": ", ".join(seconds(value) for value in repeats),
        "Recovered": "another process saw it through" if record.recovered else None,
        "Emulated": "an emulator answered in AWS's place: no figure is AWS's" if record.emulated else None,
    }


def _ran(record: RunRecord) -> dict[str, Any]:
    """What was run, and on what."""
    asked: Mapping[str, Any] = record.spec.get("cluster", {})
    job: Mapping[str, Any] = record.spec.get("job", {})
    release, applications = asked.get("release_label", ""), ", ".join(asked.get("applications", ()))
    parameters: dict[str, Any] = json.loads(job.get("parameters") or "{}")
    return {
        "Nodes": cluster(record),
        "Release": f"{release}{' with ' * bool(applications)}{applications}",
        "Region": record.spec.get("region"),
        "Notebook": job.get("notebook"),
        "SHA-256": record.notebook_sha256,
        "Parameters": ", ".join(f"{name}={_shown(value)}" for name, value in parameters.items()),
    }


def _steps(record: RunRecord) -> list[dict[str, str]]:
    staged = any(step.stage not in ("", "run") for step in record.steps)
    return [
        {
            **({"STAGE": step.stage or "not ours"} if staged else {}),
            "STEP": step.name,
            "STATE": str(step.state),
            "STARTED (UTC)": when(step.timeline.ready),
            "TOOK": ""
            if step.timeline.ready is None or step.timeline.ended is None
            else seconds(step.timeline.ended - step.timeline.ready),
            "ID": step.step_id,
        }
        for step in record.steps
    ]


def _dollars(record: RunRecord) -> dict[str, Any]:
    cost: Mapping[str, Any] = record.cost or {}
    if not cost:
        return {"so far": f"{dollars(record.cost_so_far)} (a running total at the full rate: there is no bill)"}
    return {
        "one run of the job": dollars(cost.get("usd")),
        "billed": dollars(spent(record)),
        "EC2": dollars(cost.get("ec2_usd")),
        "EMR fee": dollars(cost.get("fee_usd")),
        "EMR fee, lower reading": dollars(cost.get("fee_low_usd")),
        "EBS": dollars(cost.get("ebs_usd")),
        "while the job ran": dollars(cost.get("job_usd")),
        "basis": cost.get("basis"),
        "note": "; ".join(cost.get("notes", ())),
    }


def _nodes(record: RunRecord) -> list[dict[str, str]]:
    """The billed instances, those of one group and type together."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in (record.cost or {}).get("instances", ()):
        groups.setdefault((row["group"], row["inst_type"], row["market"]), []).append(row)
    return [
        {
            "NODES": f"{len(rows)} x {inst_type}",
            "MARKET": market.lower().replace("_", "-"),
            "GROUP": group,
            "HOURS": f"{sum(row['seconds'] for row in rows) / 3600:.4f}",
            **{
                title: dollars(sum(row[key] for row in rows))
                for title, key in (("EC2", "ec2_usd"), ("EMR FEE", "fee_usd"), ("EBS", "ebs_usd"))
            },
            "USD": dollars(sum(row["ec2_usd"] + row["fee_usd"] + row["ebs_usd"] for row in rows)),
        }
        for (group, inst_type, market), rows in groups.items()
    ]


def _attempts(record: RunRecord) -> list[dict[str, str]]:
    """The launches that were given up before the last one."""
    return [
        {
            "LAUNCH": str(attempt.number),
            "WHEN (UTC)": when(attempt.launched_at),
            "SUBNET": attempt.subnet_id or "",
            "ENDED BY": attempt.reason,
            "USD": f"{dollars(attempt.usd)}{'' if attempt.billed else ' (no bill)'}",
            "CLUSTER": attempt.cluster_id or "refused",
        }
        for attempt in record.attempts
    ]


def _titled(title: str, body: str) -> str:
    return f"{title}\n" + "\n".join(f"  {line}" for line in body.splitlines()) if body else ""


def _block(title: str, pairs: Any, width: int | None) -> str:
    return _titled(title, facts(pairs, None if width is None else width - 2))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return ("\n" + value).replace("\n", "\n    ").rstrip() if "\n" in value else value
    return json.dumps(value, ensure_ascii=False)
