"""`servo-emr sweep`: clusters of this workspace that should not be alive; with --yes they are ended and verified."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import typer

from servo_emr.cli.live import Display, displayed
from servo_emr.cli.output import OUTPUT, Output, columns, dollars, emit_json, note, seconds
from servo_emr.cli.settings_file import file_of, load
from servo_emr.cli.tables import table
from servo_emr.domain.errors import Conflict, RunError
from servo_emr.domain.ports import Found, Handle
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.domain.spec import RunKey
from servo_emr.lifecycle.release import Release, command_by_hand
from servo_emr.wiring import Live, assemble

__all__ = ["Stray", "strays_of", "sweep"]


@dataclass
class Stray:
    """A cluster that should not be alive, and what became of it: alive, ending (by itself or by somebody), ended."""

    handle: Handle
    age_s: float | None
    usd: float | None
    why: str
    outcome: str = "alive"

    def plain(self) -> dict[str, Any]:
        return {
            "cluster_id": self.handle.cluster_id,
            "run_id": self.handle.key.run_id,
            "age_s": self.age_s,
            "usd_so_far": self.usd,
            "why": self.why,
            "outcome": self.outcome,
        }


def sweep(
    context: typer.Context,
    yes: bool = typer.Option(False, "--yes", "-y", help="End them, and verify it."),
    output: Output = OUTPUT,
) -> None:
    """List clusters of this workspace that should not be alive; with --yes end them. Exit status 1 while any lives."""
    live = assemble(load(file_of(context.obj)), note)
    strays = asyncio.run(_watched(live, yes))
    if strays is None:
        note(
            f"There is no workspace at {live.workspace.uri}: no run has begun there, or emr.workspace in servo.yaml "
            "names another place. Whether clusters are alive cannot be told from here: `aws emr list-clusters --active`"
        )
    if output is Output.JSON:
        emit_json([stray.plain() for stray in strays or ()])
    elif strays:
        rows = [
            {
                "CLUSTER": stray.handle.cluster_id,
                "RUN": stray.handle.key.run_id,
                "AGE": seconds(stray.age_s),
                "USD SO FAR": dollars(stray.usd),
                "OUTCOME": stray.outcome,
                "WHY": stray.why,
            }
            for stray in strays
        ]
        typer.echo(table(rows, columns(), "WHY"))
        if not yes:
            note("\nNothing was ended: say --yes to end them.")
    elif strays is not None:
        typer.echo(f"Nothing of {live.workspace.uri} is alive that should not be.")
    if any(stray.outcome == "alive" for stray in strays or ()):
        raise typer.Exit(1)


async def _watched(live: Live, yes: bool) -> list[Stray] | None:
    """The strays, with what is being waited for in view."""
    async with displayed(live.clock) as display:
        return await strays_of(live, yes, display)


async def strays_of(live: Live, yes: bool, display: Display) -> list[Stray] | None:
    """The live clusters with our key and our tag that should not be alive; with `yes` each is ended and verified.

    None: there is no workspace, and with it no key.
    """
    known = await live.workspace.document("workspace")
    if known is None:
        return None
    workspace_id = str(known.body.get("id", ""))
    strays: list[Stray] = []
    for found in await live.target.find(workspace_id, alive_only=True):
        handle = Handle(found.handle.cluster_id, RunKey(live.workspace.uri, workspace_id, found.handle.key.run_id))
        try:
            stray = await _stray(live, found, handle)
        except RunError as error:
            # One that cannot be judged keeps none of the others from being ended.
            display.say(
                f"{handle.cluster_id}: {error} To end it by hand: {command_by_hand(handle, live.config.region)}"
            )
            strays.append(Stray(handle, _age(live, found), None, f"it cannot be told ({error.reason})"))
            continue
        if stray is not None:
            strays.append(stray)
            if not yes:
                await _look(live, stray)
                continue
            with display.working(f"ending {handle.cluster_id} and waiting until it is seen ended"):
                await _end(live, stray, display)
    return strays


def _age(live: Live, found: Found) -> float | None:
    return None if found.created is None else live.clock.now() - found.created


async def _stray(live: Live, found: Found, handle: Handle) -> Stray | None:
    """Why a live cluster with our key should not be alive; None when it should.

    Whether somebody drives is asked last, right before what comes of it: a servo may have started since the listing.
    """
    if not await live.target.confirmed(handle):
        note(f"{handle.cluster_id} has a name like ours, but not our tag: it is left alone")
        return None
    loaded = await live.workspace.record(handle.key.run_id)
    record = loaded[0] if loaded is not None else None
    why = _why(record)
    if why is None:
        if await live.lease.driven():
            return None
        why = "no servo drives the workspace"
    age, usd = _age(live, found), None
    if record is not None and age is not None and record.usd_per_hour:
        usd = max(age, 60.0) * record.usd_per_hour / 3600
    return Stray(handle, age, usd, why)


def _why(record: RunRecord | None) -> str | None:
    if record is None:
        return "no record tells of it"
    if record.unreleased:
        return "its end could not be verified"
    if record.decided:
        return f"its run is over ({record.reason})"
    return None


async def _look(live: Live, stray: Stray) -> None:
    """Tells a cluster that is ending already, which nobody has to end."""
    try:
        look = await live.target.observe(stray.handle)
    except RunError as error:
        note(f"{stray.handle.cluster_id}: {error}")
        return
    if look.state.order >= RunState.ENDING.order:
        stray.outcome = "ending"


async def _end(live: Live, stray: Stray, display: Display) -> None:
    region = live.config.region
    try:
        await Release(live.target, live.clock, region, display.say).now(stray.handle)
    except RunError as error:
        display.say(str(error))  # with the command to run by hand
        return
    stray.outcome = "ended"
    try:
        # Its record, where there is one, is finished too: verdict, verified end, bill.
        loaded = await live.workspace.record(stray.handle.key.run_id)
        for left in await live.measure.finish([loaded[0]]) if loaded is not None else ():
            display.say(f"{stray.handle.cluster_id}: {left}")
    except (Conflict, RunError) as error:
        display.say(f"{stray.handle.cluster_id} has ended, and its record could not be finished: {error}")
