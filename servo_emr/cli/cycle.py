"""`servo-emr cycle`: one adjust-measure cycle through the connector, without an optimizer."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from typing import Any, Optional
from urllib.parse import urlsplit

import servo
import servo.errors
import typer

from servo_emr.checks import check_all
from servo_emr.cli.check import refusal, show_checks
from servo_emr.cli.emulated import EMULATED, emulator
from servo_emr.cli.live import displayed
from servo_emr.cli.output import OUTPUT, Output, coloured, columns, emit_json, note
from servo_emr.cli.plan import SET, chosen, planned_of
from servo_emr.cli.planned import plan_page
from servo_emr.cli.settings_file import file_of, load, section
from servo_emr.cli.show import page
from servo_emr.config import EMRConfiguration
from servo_emr.connector import EMRConnector
from servo_emr.domain.errors import Reason, RunError, UsageError, failure
from servo_emr.domain.run import RunRecord
from servo_emr.domain.settings import Value
from servo_emr.failure_block import failure_block
from servo_emr.wiring import for_checks

__all__ = ["cycle"]

SPEED = 60.0


def cycle(
    context: typer.Context,
    assignments: list[str] = SET,
    emulated: bool = typer.Option(False, "--emulated", help="On an emulated EMR of its own, on this machine."),
    data: list[str] = typer.Option(
        [], "--data", metavar="s3://BUCKET/PREFIX=FOLDER", help="With --emulated: put a folder into its S3."
    ),
    durations: Optional[str] = typer.Option(
        None,
        "--durations",
        help="With --emulated: wall (the default), model or replay:FILE, as `servo-emr emulator` has them.",
    ),
    speed: Optional[float] = typer.Option(
        None, "--speed", min=0.1, help=f"With --emulated: how fast time passes between steps; default {SPEED:g}."
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Launch without asking."),
    output: Output = OUTPUT,
) -> None:
    """Run one adjust-measure cycle: checks, plan, launch, progress, result. With --emulated, the dry run."""
    path = file_of(context.obj)
    if durations not in (None, "wall", "model") and not durations.startswith("replay:"):
        raise UsageError(f"--durations {durations}: wall, model or replay:FILE")
    if not emulated:
        for name, given in (("--data", data), ("--durations", durations), ("--speed", speed)):
            if given:
                raise UsageError(f"{name} is about an emulated EMR: it goes with --emulated")
        record = asyncio.run(_cycle(load(path), assignments, ask=not yes))
    else:
        config = _for_emulator(load(path), section(path))
        _seeded(config, data)
        buckets = _buckets(config)
        with emulator(
            region=config.region, durations=durations or "wall", speed=speed or SPEED, data=data, buckets=buckets
        ):
            note(EMULATED)
            record = asyncio.run(_cycle(config, assignments, ask=False))
            note(EMULATED)
    if output is Output.JSON:
        emit_json(record.to_json())
    else:
        typer.echo(page(record, columns()))
    if record.reason != Reason.SUCCESS:
        raise typer.Exit(1)


def _refused(error: RunError) -> typer.Exit:
    """What ends a cycle before there is a run, told as every failure is: in one block."""
    note(failure_block(error))
    return typer.Exit(1)


def _for_emulator(config: EMRConfiguration, emr: dict[str, Any]) -> EMRConfiguration:
    """The configuration with the account's own network and roles taken out: the emulated account has others."""
    named = [name for name in ("subnet_ids", "service_role", "instance_profile") if name in emr["cluster"]]
    if named:
        note(f"emr.cluster.{', '.join(named)}: the emulated account's own are used instead.")
    cluster = {name: value for name, value in emr["cluster"].items() if name not in named}
    replaced: EMRConfiguration = EMRConfiguration.parse_obj({**emr, "cluster": cluster})
    return replaced


def _seeded(config: EMRConfiguration, data: list[str]) -> None:
    """Raises UsageError when a notebook or program is in S3: that of a new emulator holds what it is given alone."""
    given = tuple(word.partition("=")[0] for word in data)
    spec = config.to_spec()
    for uri in (spec.job.notebook, *(step.source or "" for step in spec.steps)):
        if uri.startswith("s3://") and not uri.startswith(given):
            raise UsageError(
                f"{uri} is not in the emulated S3, which holds only what --data puts there: add "
                f"--data {uri.rpartition('/')[0]}/=FOLDER, or name a local file in servo.yaml"
            )


def _buckets(config: EMRConfiguration) -> list[str]:
    uris = [config.workspace, config.cluster.log_uri]
    return [urlsplit(uri).netloc for uri in uris if uri]


async def _cycle(config: EMRConfiguration, assignments: list[str], ask: bool) -> RunRecord:
    connector = EMRConnector(config=config)
    live = connector.live
    staged = await live.stage.current()
    values = chosen(live.space, staged, assignments)
    checks = await check_all(for_checks(config, note))
    show_checks(checks)
    if (wrong := refusal(checks)) is not None:
        raise _refused(wrong)
    planned = await planned_of(live, staged, values)
    typer.echo(plan_page(planned, columns(err=True), coloured(err=True)), err=True)  # it fits; note counts colours too
    if planned.appraisal.refusal is not None:
        raise _refused(planned.appraisal.refusal)
    if ask:
        _confirm()
    note("")
    try:
        run_id = await _run(connector, values)
    except RunError as error:
        raise _refused(error) from error
    found = await live.workspace.record(run_id)
    if found is None:
        raise failure(Reason.BUCKET, f"the record of run {run_id} is not in {live.workspace.uri}")
    return found[0]


async def _run(connector: EMRConnector, values: Mapping[str, Value]) -> str:
    """Adjusts and measures, with the progress in view; the run's id."""
    adjustments = [
        servo.Adjustment(component_name=component, setting_name=name, value=value)
        for selector, value in values.items()
        for component, _, name in [selector.partition(".")]
    ]
    async with displayed(connector.live.clock) as display:
        connector.listen(display.show)
        try:
            await connector.adjust(adjustments)
            return str((await connector.measure()).annotations["run_id"])
        except servo.errors.EventError as error:
            return _run_of(error)


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise UsageError("this launches a cluster and costs money: say --yes where nobody can be asked")
    # asyncio's own handler would end the task at its next await, and there is none while somebody is asked.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        typer.confirm("\nLaunch it?", abort=True, err=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _run_of(error: servo.errors.EventError) -> str:
    """The run's id in a failure's last line; a failure before there was a run is passed on."""
    first = str(error).splitlines()[-1].split(" ")[0].removeprefix("run=")
    if first == "none":
        raise error.__cause__ if isinstance(error.__cause__, RunError) else failure(Reason.BUG, str(error)) from error
    return first
