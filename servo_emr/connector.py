"""The thin edge to servox: its events become calls of the lifecycle, our errors become its errors.

Annotations of the handlers are spelled as servox compares them. Nothing but servox's EventError leaves a handler: any
other exception would end the servo's process without a word to the optimizer.
"""

import asyncio
import contextlib
import json
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, List, Optional

import pydantic
import servo
import servo.errors

from servo_emr import __version__
from servo_emr.config import EMRConfiguration
from servo_emr.description import Metric, WireUnit, components
from servo_emr.description import metrics as described
from servo_emr.domain.errors import (
    Aborted,
    ConfigurationError,
    JobError,
    LaunchUnclear,
    OurDefect,
    Reason,
    RunError,
    ServoEmrError,
    failure,
)
from servo_emr.domain.run import RunRecord
from servo_emr.domain.spec import plain
from servo_emr.lifecycle.guards import spent
from servo_emr.lifecycle.measure import Order, Outcome
from servo_emr.lifecycle.stage import Staged
from servo_emr.lifecycle.watch import Progress
from servo_emr.wiring import Live, assemble

__all__ = ["EMRConnector"]

HEARTBEAT_S = 20.0
"""Real seconds between progress posts: they are the only channel through which the optimizer can cancel."""
_DETAILS_LIMIT = 8_000


@servo.metadata(
    name=("servo_emr", "emr"),
    description="Measures a notebook batch job on throwaway Amazon EMR clusters, in seconds and dollars",
    version=__version__,
    homepage="https://github.com/opsani/servo_emr",
    license=servo.License.apache2,
    maturity=servo.Maturity.experimental,
)
class EMRConnector(servo.BaseConnector):
    """Connects servox with Amazon EMR."""

    config: EMRConfiguration

    _live: Optional[Live] = pydantic.PrivateAttr(None)

    @property
    def live(self) -> Live:
        """The live objects, made when first used: servox attaches in one event loop and runs in another."""
        if self._live is None:
            self._live = assemble(self.config, self._warn)
        return self._live

    def _warn(self, text: str) -> None:
        # A keyword makes the logger format the message: the text goes in as a value, braces and all.
        self.logger.warning("{text}", text=text)

    @servo.on_event()
    def metrics(self) -> List[servo.Metric]:
        """All metrics with their units."""
        return described(self.config.units)

    @servo.on_event()
    def components(self) -> List[servo.Component]:
        """The components as configured."""
        return components(self.config.space, self.config.space.configured)

    @servo.on_event()
    async def describe(self, control: servo.Control = servo.Control()) -> servo.Description:
        """The staged values, else the configured ones: with the workspace out of reach it still answers, at once."""
        space = self.config.space
        staged = Staged(space.configured)
        with _translated(servo.EventError):
            try:
                staged = await assemble(self.config, self._warn, quick=True).stage.current()
            except RunError as error:
                self._warn(f"the workspace cannot be read, the configured values are shown: {error}")
        for warning in staged.warnings:
            self._warn(warning)
        return servo.Description(components=components(space, staged.values), metrics=described(self.config.units))

    @servo.on_event()
    async def adjust(
        self, adjustments: List[servo.Adjustment], control: servo.Control = servo.Control()
    ) -> servo.Description:
        """Stages what is addressed to our components; the description that comes back holds what will run."""
        ours = set(self.config.space.components)
        wanted = [(a.selector, a.value) for a in adjustments if a.component_name in ours]
        if adjustments and not wanted:
            # Addressed to other connectors: what we have stays as it is.
            return await self.describe(control=control)
        with _translated(servo.AdjustmentFailedError, self):
            staged = await self.live.stage.adjust(wanted, self._warn)
        for warning in staged.warnings:
            self._warn(warning)
        return servo.Description(
            components=components(self.config.space, staged.values), metrics=described(self.config.units)
        )

    @servo.on_event()
    async def measure(
        self,
        *,
        metrics: List[str] = None,  # noqa: RUF013 - servox's spelling
        control: servo.Control = servo.Control(),
    ) -> servo.Measurement:
        """Runs the job once on a cluster of its own and reports what it took."""
        with _translated(servo.MeasurementFailedError, self):
            order = await self._order(metrics, control)
            outcome = await self._measured(order)
        if outcome.error is not None:
            raise self._told(outcome.error, servo.MeasurementFailedError, outcome.record) from outcome.error
        return self._measurement(outcome.record)

    async def _order(self, metrics: Optional[List[Any]], control: servo.Control) -> Order:
        """What is to be measured, from the staged values, the metrics asked for and the trial's own userdata."""
        staged = await self.live.stage.current()
        userdata = (control.userdata.dict() if control.userdata else {}).get("emr")
        spec = self.live.stage.spec(staged.values, userdata)
        units = self.config.units
        asked = [getattr(metric, "name", metric) for metric in metrics or units]
        wanted = {name: units[name] for name in asked if name in units}
        if not wanted:
            raise JobError(
                f"None of the metrics asked for is one of ours: {', '.join(map(str, asked))[:200]}.",
                Reason.BAD_METRIC,
                remedy=f"Ask for some of {', '.join(units)}.",
                public="no metric of this servo was asked for",
            )
        unknown = tuple(f"not a metric of this servo: {str(name)[:64]}" for name in asked if name not in units)
        return Order(spec, dict(staged.values), wanted, staged.warnings + unknown)

    async def _measured(self, order: Order) -> Outcome:
        latest: List[Progress] = []

        def tell(progress: Progress) -> None:
            changed = not latest or latest[-1].state is not progress.state
            latest[:] = [progress]
            if changed:
                self._post(progress)

        def beat() -> None:
            for progress in latest:
                self._post(progress)

        async with _beating(beat):
            return await self.live.measure.run(order, tell)

    def _post(self, progress: Progress) -> None:
        """Posts progress by logging it, as servox does. Holds nothing of the job but counts."""
        cells = f", cell {progress.cell} of {progress.cells}" if progress.cells else ""
        self.logger.info(
            "run {run}: {phase}{cells}, {elapsed:.0f} s, {cost:.4f} USD so far",
            run=progress.run_id,
            phase=str(progress.state),
            cells=cells,
            elapsed=progress.elapsed_s,
            cost=progress.cost_usd,
            progress=max(1, progress.percent),
        )

    def _measurement(self, record: RunRecord) -> servo.Measurement:
        at = datetime.fromtimestamp(record.ended_at or record.created_at, UTC)
        readings = [
            servo.DataPoint(Metric(name, WireUnit(record.units[name])), at, value)
            for name, value in record.metrics.items()
        ]
        return servo.Measurement(readings=readings, annotations=self._annotations(record))

    def _annotations(self, record: RunRecord) -> dict[str, str]:
        warnings = list(record.warnings)
        if record.missing:
            detailed = [f"{name}: {why}" for name, why in record.missing.items()]
            warnings.append("no value for " + ", ".join(detailed if self.config.report_details else record.missing))
        notes = {
            "run_id": record.run_id,
            "cluster_id": record.cluster_id or "",
            "cost_basis": str(record.cost["basis"]) if record.cost else "no bill could be made",
            "repeats": "1",
            "notebook_sha256": record.notebook_sha256,
        }
        return {**notes, "warnings": "; ".join(warnings)} if warnings else notes

    def _told(self, error: RunError, kind: type[servo.EventError], record: Optional[RunRecord]) -> servo.EventError:
        """`error` for the optimizer; all of it goes to the log, only what may leave the account goes on the wire."""
        everything = _in_full(error, record)
        self.logger.error("{text}", text=everything)
        text = f"{error.reason}: {error.public}" if error.public else str(error.reason)
        if self.config.report_details:
            text = f"{text}\n{everything[:_DETAILS_LIMIT]}"
        return _CLASSES.get(type(error), kind)(f"{text}\n{_last_line(record)}", reason=str(error.reason))


_CLASSES: dict[type[RunError], type[servo.EventError]] = {
    ConfigurationError: servo.AdjustmentRejectedError,
    Aborted: servo.EventAbortedError,
}
"""The error-translation table; what is not in it becomes the failure of the event at hand."""


def _last_line(record: Optional[RunRecord]) -> str:
    """A failure costs what it cost, and the optimizer has no other way to learn it."""
    if record is None:
        return "run=none cost_usd=0.0000 duration_s=none"
    duration = record.phases.get("duration")
    told = "none" if duration is None else f"{duration:.3f}"
    return f"run={record.run_id} cost_usd={spent(record):.4f} duration_s={told}"


def _in_full(error: RunError, record: Optional[RunRecord]) -> str:
    """The error with all the evidence there is for it: what the record keeps, or what it came with itself."""
    evidence: dict[str, Any] = dict(error.details)
    if record is not None:
        kept = {name: value for name, value in record.details.items() if name != "instances"}
        failed = [plain(step) for step in record.steps if step.failure]
        evidence = {**kept, "steps": failed, "cause": record.cause, "urls": record.urls}
    shown = {name: value for name, value in evidence.items() if value}
    return f"{error.reason}: {error}\n{json.dumps(shown, indent=1, default=str) if shown else ''}".strip()


@contextlib.contextmanager
def _translated(kind: type[servo.EventError], connector: Optional[EMRConnector] = None) -> Any:
    """Lets nothing out but servox's EventErrors and cancellation."""
    try:
        yield
    except servo.errors.EventError:
        raise
    except RunError as error:
        raise _wire(error, kind, connector) from error
    except LaunchUnclear as error:
        raise _wire(failure(Reason.ENDPOINT, str(error)), kind, connector) from error
    except ServoEmrError as error:
        raise _wire(failure(Reason.LEASE, str(error)), kind, connector) from error
    except Exception as error:
        details = {"traceback": traceback.format_exc()}
        raise _wire(
            OurDefect(f"{type(error).__name__}: {error}", Reason.BUG, details=details), kind, connector
        ) from error


def _wire(error: RunError, kind: type[servo.EventError], connector: Optional[EMRConnector]) -> servo.EventError:
    if connector is None:
        return kind(f"{error.reason}: {error.public}", reason=str(error.reason))
    return connector._told(error, kind, None)


@contextlib.asynccontextmanager
async def _beating(beat: Any) -> AsyncIterator[None]:
    """Calls `beat` every HEARTBEAT_S of real time while the body runs."""

    async def beats() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            beat()

    task = asyncio.create_task(beats())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
