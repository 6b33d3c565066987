"""`servo-emr plan`: what would be launched, what AWS says of it, what it would cost. Launches and writes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import typer

from servo_emr.cli.output import OUTPUT, Output, coloured, columns, emit_json, note
from servo_emr.cli.planned import Planned, changes, limits, plan_page
from servo_emr.cli.settings_file import file_of, load
from servo_emr.domain.errors import ConfigurationError, RunError, UsageError, Verdict
from servo_emr.domain.ports import Finding
from servo_emr.domain.settings import Space, Value
from servo_emr.domain.spec import RunKey, RunSpec, plain
from servo_emr.lifecycle.guards import spent
from servo_emr.lifecycle.past import read_past
from servo_emr.lifecycle.stage import Appraisal, Staged
from servo_emr.wiring import Live, assemble

__all__ = ["SET", "chosen", "plan", "planned_of"]

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


def plan(
    context: typer.Context,
    assignments: list[str] = SET,
    request: bool = typer.Option(False, "--request", help="Show the exact request to EMR too."),
    output: Output = OUTPUT,
) -> None:
    """Show what would be launched, what changes, dollars, limits and findings. Launches and writes nothing."""
    live = assemble(load(file_of(context.obj)), note, keeps_prices=False)
    planned, document = asyncio.run(_plan(live, assignments))
    if output is Output.JSON:
        emit_json(document)
    else:
        typer.echo(plan_page(planned, columns(), coloured()))
        if request:
            typer.echo(f"\nThe request to EMR (RunJobFlow):\n{json.dumps(document['request'], indent=2)}")
        else:
            words = "".join(f" --set {text}" for text in assignments)
            runs_it = "" if document["refusal"] is not None else f" `servo-emr cycle{words}` runs it."
            told = f"Nothing was launched.{runs_it} `--request` shows the exact request."
            note(f"\n{told}")
    if document["refusal"] is not None:
        raise typer.Exit(1)


async def _plan(live: Live, assignments: list[str]) -> tuple[Planned, dict[str, Any]]:
    warnings: list[str] = []
    staged, workspace_id = Staged(live.space.configured), NO_ID
    try:
        staged = await live.stage.current()
        known = await live.workspace.document("workspace")
        workspace_id = str(known.body.get("id", NO_ID)) if known is not None else NO_ID
    except RunError as error:
        warnings.append(f"the workspace cannot be read, configured values are used: {error}")
    values = chosen(live.space, staged, assignments)
    planned = await planned_of(live, staged, values, warnings)
    appraisal, spec = planned.appraisal, planned.spec
    key = RunKey(live.workspace.uri, workspace_id, NO_RUN)
    refusal = appraisal.refusal
    return planned, {
        "settings": values,
        "changes": changes(planned),
        "limits": limits(planned),
        "request": live.target.request(appraisal.launchable(spec), key),
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


async def planned_of(live: Live, staged: Staged, values: dict[str, Value], warnings: Sequence[str] = ()) -> Planned:
    """What `values` would launch, appraised. Launches and writes nothing."""
    spec = live.stage.spec(values)
    return Planned(
        spec=spec,
        settings=live.space.settings,
        before=staged.values,
        values=values,
        appraisal=await _appraised(live, spec),
        day=await _day(live),
        warnings=(*staged.warnings, *warnings),
        workspace=live.workspace.uri,
    )


async def _day(live: Live) -> float | None:
    """The dollars of the last 24 hours; None where the records cannot be read, which the appraisal says."""
    try:
        past = await read_past(live.workspace, live.clock.now())
    except RunError:
        return None
    return sum(spent(record) for record in past.of_last_day())


async def _appraised(live: Live, spec: RunSpec) -> Appraisal:
    """What a launch would be told before it: the notebook is read and checked too. Launches and writes nothing."""
    appraisal = await live.stage.appraise(spec)
    try:
        await live.packer.pack(spec, RunKey(live.workspace.uri, NO_ID, NO_RUN))
    except RunError as error:
        finding = Finding(error.reason, error.message, error.reason.verdict is Verdict.OPERATOR, error.remedy)
        preflight = replace(appraisal.preflight, findings=(*appraisal.preflight.findings, finding))
        refusal = appraisal.refusal or (error if finding.certain else None)
        return replace(appraisal, preflight=preflight, refusal=refusal)
    return appraisal
