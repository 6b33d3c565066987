"""`servo-emr plan`: what would be launched, what AWS says of it, what it would cost. Launches and writes nothing."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import typer

from servo_emr.cli.output import OUTPUT, Output, columns, dollars, emit_json, facts, fitted, note, seconds, table
from servo_emr.cli.prices import price_rows
from servo_emr.cli.settings_file import file_of, load
from servo_emr.domain.errors import ConfigurationError, Reason, RunError, UsageError
from servo_emr.domain.money import Estimate
from servo_emr.domain.ports import Finding
from servo_emr.domain.settings import Space, Value
from servo_emr.domain.spec import NodeGroup, RunKey, RunSpec, plain
from servo_emr.lifecycle.stage import Appraisal, Staged
from servo_emr.wiring import Live, assemble

__all__ = ["SET", "appraised", "chosen", "plan", "show_appraisal"]

SET = typer.Option([], "--set", metavar="COMPONENT.SETTING=VALUE", help="Change a setting first; may be repeated.")

NO_ID = "workspace-id"
NO_RUN = "00000000t000000-00000000"


def chosen(space: Space, staged: Staged, assignments: list[str]) -> dict[str, Value]:
    """The staged values with the assignments of the command line made.

    Raises:
        UsageError: an assignment is no COMPONENT.SETTING=VALUE, or servo.yaml does not allow it.
    """
    pairs = []
    for text in assignments:
        selector, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--set {text}: write COMPONENT.SETTING=VALUE, for example core.replicas=4")
        pairs.append((selector.strip(), value.strip()))
    try:
        return space.changed(staged.values, pairs)
    except ConfigurationError as error:
        raise UsageError(f"--set: {error}") from error


def plan(context: typer.Context, assignments: list[str] = SET, output: Output = OUTPUT) -> None:
    """Show what would be launched: the exact request, findings, dollars. Launches nothing."""
    live = assemble(load(file_of(context.obj)), note, keeps_prices=False)
    document = asyncio.run(_plan(live, assignments))
    if output is Output.JSON:
        emit_json(document)
    else:
        typer.echo(f"\nThe request to EMR (RunJobFlow):\n{json.dumps(document['request'], indent=2)}")
    if document["refusal"] is not None:
        raise typer.Exit(1)


async def _plan(live: Live, assignments: list[str]) -> dict[str, Any]:
    warnings: list[str] = []
    staged, workspace_id = Staged(live.space.configured), NO_ID
    try:
        staged = await live.stage.current()
        known = await live.workspace.document("workspace")
        workspace_id = str(known.body.get("id", NO_ID)) if known is not None else NO_ID
    except RunError as error:
        warnings.append(f"the workspace cannot be read, configured values are used: {error}")
    values = chosen(live.space, staged, assignments)
    spec = live.stage.spec(values)
    appraisal = await appraised(live, spec)
    show_appraisal(spec, values, appraisal, [*staged.warnings, *warnings])
    key = RunKey(live.workspace.uri, workspace_id, NO_RUN)
    request = live.target.request(appraisal.launchable(spec), key)
    refusal = appraisal.refusal
    return {
        "settings": values,
        "request": request,
        "findings": [
            {"reason": str(f.reason), "message": f.message, "certain": f.certain, "remedy": f.remedy}
            for f in appraisal.preflight.findings
        ],
        "estimate": plain(appraisal.estimate),
        "stopped_at_usd": spec.limits.cost_per_run,
        "prices": plain(appraisal.quote),
        "warnings": [*staged.warnings, *warnings, *appraisal.warnings],
        "refusal": None if refusal is None else {"reason": str(refusal.reason), "message": str(refusal)},
    }


async def appraised(live: Live, spec: RunSpec) -> Appraisal:
    """What a launch would be told before it: the notebook is read and checked too. Launches and writes nothing."""
    appraisal = await live.stage.appraise(spec)
    try:
        await live.packer.pack(spec, RunKey(live.workspace.uri, NO_ID, NO_RUN))
    except RunError as error:
        finding = Finding(error.reason, error.message, error.reason is Reason.NOTEBOOK, error.remedy)
        preflight = replace(appraisal.preflight, findings=(*appraisal.preflight.findings, finding))
        refusal = appraisal.refusal or (error if finding.certain else None)
        return replace(appraisal, preflight=preflight, refusal=refusal)
    return appraisal


def _nodes(group: NodeGroup) -> dict[str, Any]:
    bid = "" if group.bid_usd is None else f", at most {dollars(group.bid_usd)} an hour"
    return {
        "NODES": group.count,
        "ROLE": str(group.role),
        "TYPE": " or ".join(group.inst_types) or group.inst_type,
        "MARKET": f"{group.market}{bid}",
    }


def _dollars(spec: RunSpec, estimate: Estimate) -> dict[str, str]:
    limit = spec.limits.cost_per_run
    rate = (
        f"{dollars(estimate.usd_per_hour)}: EC2 {dollars(estimate.ec2_usd_per_hour)}, EMR fee "
        f"{dollars(estimate.fee_usd_per_hour)}, EBS {dollars(estimate.ebs_usd_per_hour)}; "
        f"of it the primary node {dollars(estimate.primary_usd_per_hour)}"
    )
    if estimate.ceiling_usd_per_hour > estimate.usd_per_hour:
        rate += f"; at most {dollars(estimate.ceiling_usd_per_hour)}, which limits count with"
    repeats = f", {spec.job.repeats} repeats" if spec.job.repeats > 1 else ""
    return {
        "USD per hour": rate,
        "USD for the run": f"at least {dollars(estimate.floor_usd)}; likely {dollars(estimate.likely_usd)} "
        f"({seconds(estimate.likely_s)}{repeats}); {dollars(estimate.high_usd)} with every time limit reached "
        f"({seconds(estimate.high_s)})",
        "Stopped at": "no emr.limits.cost_per_run is set" if limit is None else f"{dollars(limit)} USD",
        "Basis": estimate.basis,
    }


def show_appraisal(spec: RunSpec, values: dict[str, Value], appraisal: Appraisal, warnings: list[str]) -> None:
    """Prints settings, nodes, dollars and findings, on standard error: they are for the person at the terminal."""
    note(fitted(f"Settings: {', '.join(f'{name}={value}' for name, value in values.items())}\n", columns(err=True)))
    width = columns(err=True)
    note(table([_nodes(group) for group in spec.groups], width))
    note("\n" + facts(_dollars(spec, appraisal.estimate), width))
    note("\n" + table(price_rows(appraisal.quote), width, "FROM"))
    for finding in appraisal.preflight.findings:
        mark = "Cannot run" if finding.certain else "Mind"
        note("\n" + fitted(f"{mark}: {finding.message} {finding.remedy}".rstrip(), width))
    told = {finding.message for finding in appraisal.preflight.findings}
    for warning in [*warnings, *(text for text in appraisal.warnings if text not in told)]:
        note("\n" + fitted(f"Mind: {warning}", width))
    if appraisal.refusal is not None:
        note("\n" + fitted(f"Refused: {appraisal.refusal.reason}: {appraisal.refusal}", width))
