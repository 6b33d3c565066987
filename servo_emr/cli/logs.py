"""`servo-emr logs RUN`: the logs of a run's steps, as EMR put them into S3; with --follow until the run has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import typer

from servo_emr.cli.output import OUTPUT, RUN, Output, columns, emit_json, fitted, note
from servo_emr.cli.settings_file import file_of, load
from servo_emr.cli.show import record_of
from servo_emr.domain.errors import RunError, UsageError
from servo_emr.domain.logs import LOG_NAMES, StepLog, StepLogs
from servo_emr.domain.ports import Handle
from servo_emr.domain.run import RunRecord, StepLook
from servo_emr.domain.spec import RunKey
from servo_emr.failure_block import visible
from servo_emr.wiring import Live, assemble, step_logs

__all__ = ["logs"]

PACE_S = 5.0
"""Seconds of our clock between two looks."""
LATE_S = 360.0
"""How long after a run's end its logs are still waited for: EMR puts them there about every five minutes."""


def logs(
    context: typer.Context,
    run: str = RUN,
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on until the run has ended and its logs are there."),
    only: list[str] = typer.Option(
        [], "--only", metavar="LOG", help="One of controller, stdout, stderr; may be repeated."
    ),
    output: Output = OUTPUT,
) -> None:
    """Show the logs of a run's steps: stdout, stderr and controller, as far as EMR has put them into S3."""
    if unknown := set(only) - set(LOG_NAMES):
        raise UsageError(f"--only {', '.join(sorted(unknown))}: it is one of {', '.join(LOG_NAMES)}")
    if follow and output is Output.JSON:
        raise UsageError("--follow: one document cannot be followed; leave out -o json")
    config = load(file_of(context.obj))
    live = assemble(config, note)
    reader = _Reader(live, step_logs(config), tuple(only) or LOG_NAMES)
    if output is Output.JSON:
        emit_json(asyncio.run(_document(reader, run)))
    else:
        asyncio.run(_print(reader, run, follow))


@dataclass
class _Reader:
    """What has been printed of a run's logs so far, by URI."""

    live: Live
    source: StepLogs
    names: Sequence[str]
    printed: dict[str, int] = field(default_factory=dict)

    async def look(self, run: str) -> tuple[RunRecord, list[tuple[StepLook, StepLog]], str]:
        """The record, the logs of its steps that have started, and why there are none."""
        record = await record_of(self.live, run)
        if record.cluster_id is None:
            return record, [], "no cluster was launched for this run" if record.decided else "it is not launched yet"
        uri = record.urls.get("logs")
        if uri is None:
            return record, [], "emr.cluster.log_uri was not set for this run: EMR kept no logs"
        steps = [step for step in await self._steps(record) if step.timeline.ready is not None]
        if not steps:
            return record, [], "no step has started" + ("" if record.decided else f" yet: the run is {record.state}")
        found = [
            (step, log)
            for step in steps
            for log in await self.source.read(uri, record.cluster_id, step.step_id)
            if log.name in self.names
        ]
        return record, found, ""

    async def _steps(self, record: RunRecord) -> Sequence[StepLook]:
        """Of a run under way the record may not have them yet."""
        if record.decided or record.cluster_id is None:
            return record.steps
        key = RunKey(self.live.workspace.uri, record.workspace_id, record.run_id)
        try:
            return (await self.live.target.observe(Handle(record.cluster_id, key))).steps
        except RunError as error:
            note(f"the cluster could not be looked at: {error}")
            return record.steps


async def _document(reader: _Reader, run: str) -> list[dict[str, Any]]:
    _, found, why = await reader.look(run)
    if why:
        note(why)
    return [{"step": s.name, "step_id": s.step_id, "name": o.name, "uri": o.uri, "text": o.text} for s, o in found]


async def _print(reader: _Reader, run: str, follow: bool) -> None:
    told, clock = "", reader.live.clock
    while True:
        record, found, why = await reader.look(run)
        if why and why != told:
            note(f"{run}: {why}.")
            told = why
        for step, log in found:
            _more(reader, step, log)
        missing = [log.uri for _, log in found if log.text is None]
        ended = record.decided and (not missing or clock.now() > (record.ended_at or 0.0) + LATE_S)
        if not follow or ended:
            break
        await clock.sleep(PACE_S)
    for uri in missing:
        late = "EMR puts logs there about every five minutes, and when the cluster has ended"
        note(f"not there{'' if ended else ' yet'}: {uri} ({late}).")


def _more(reader: _Reader, step: StepLook, log: StepLog) -> None:
    """Prints what has come to a log since the last look."""
    seen = reader.printed.get(log.uri)
    if log.text is None or (seen is not None and len(log.text) <= seen):
        return
    if seen is None:
        empty = "" if log.text else " (empty)"
        head = f"==> step {step.name} ({step.state}), {log.name}: {log.uri} <=={empty}"
        typer.echo(fitted(head, columns()))
    # A job's output is somebody else's: a terminal is not to obey it. In a pipe it is what it is.
    text = log.text[seen or 0 :]
    typer.echo(text if columns() is None else visible(text), nl=bool(log.text) and not log.text.endswith("\n"))
    reader.printed[log.uri] = len(log.text)
