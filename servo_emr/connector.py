"""The thin edge to servox: its events become calls of the lifecycle, our errors become its errors.

Annotations of the handlers are spelled as servox compares them. Nothing but servox's EventError leaves a handler: any
other exception would end the servo's process without a word to the optimizer.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, List, Optional

import click
import pydantic
import servo

from servo_emr import __version__
from servo_emr.alive import Alive
from servo_emr.answers import measurement, told, translated
from servo_emr.checks import check_all
from servo_emr.checks.optimizer import of_optimizer
from servo_emr.checks.servox import as_servox
from servo_emr.config import EMRConfiguration
from servo_emr.description import components
from servo_emr.description import metrics as described
from servo_emr.domain.errors import Aborted, JobError, Reason, RunError
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.failure_block import failure_block
from servo_emr.heartbeat import beating
from servo_emr.interrupts import interruptible
from servo_emr.lifecycle import breaker
from servo_emr.lifecycle.course import defect
from servo_emr.lifecycle.measure import Order, Outcome
from servo_emr.lifecycle.stage import Staged
from servo_emr.lifecycle.unasked import Unasked
from servo_emr.lifecycle.watch import Progress
from servo_emr.progress import line
from servo_emr.wiring import Live, assemble, for_checks

__all__ = ["EMRConnector"]

LEASE_RETRY_S = 10.0
HELLO_S = 3.0
"""How long the optimizer's HELLO may wait for what the workspace says."""


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
    _operation: Optional[Any] = pydantic.PrivateAttr(None)
    _running: bool = pydantic.PrivateAttr(False)
    _stopping: bool = pydantic.PrivateAttr(False)
    _unasked: Optional[Any] = pydantic.PrivateAttr(None)
    _percent: int = pydantic.PrivateAttr(0)
    _listener: Optional[Any] = pydantic.PrivateAttr(None)
    _alive: Alive = pydantic.PrivateAttr(default_factory=Alive)

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
    async def check(
        self,
        matching: Optional[servo.CheckFilter] = None,
        halt_on: Optional[servo.ErrorSeverity] = servo.ErrorSeverity.critical,
    ) -> List[servo.Check]:
        """Whether a run could work: for `servo run --check` and `--dry-run`. All at once, so nothing is halted."""
        return as_servox(await check_all(for_checks(self.config, self._warn)), matching)

    @servo.on_event()
    async def describe(self, control: servo.Control = servo.Control()) -> servo.Description:
        """The staged values, else the configured ones: with the workspace out of reach it still answers, at once."""
        space = self.config.space
        staged = Staged(space.configured)
        with translated(lambda error: self._failed(error, servo.EventError, None)):
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
        self._refuse_when_stopping()
        ours = set(self.config.space.components)
        wanted = [(a.selector, a.value) for a in adjustments if a.component_name in ours]
        if adjustments and not wanted:
            # Addressed to other connectors: what we have stays as it is.
            return await self.describe(control=control)
        with translated(lambda error: self._failed(error, servo.AdjustmentFailedError, None)):
            async with self._driving():
                staged = await self.live.stage.adjust(wanted, self._warn)
        for warning in staged.warnings:
            self._warn(warning)
        return servo.Description(
            components=components(self.config.space, staged.values), metrics=described(self.config.units)
        )

    @servo.on_event()
    async def attach(self, servo_: servo.Servo) -> None:
        """Puts the breaker's state into HELLO's telemetry; only `servo run` says HELLO."""
        # servox assembles, and attaches, in the callback of its root command, before the subcommand's own context is.
        context = click.get_current_context(silent=True)
        if context is None or context.find_root().invoked_subcommand != "run":
            return
        if (optimizer := of_optimizer(getattr(self.optimizer, "id", None))).remedy:
            self._warn(f"optimizer: {optimizer.finding}. {optimizer.remedy}")
        self.telemetry[f"{self.name}.breaker"] = await self._breaker_state(HELLO_S)

    async def _breaker_state(self, patience_s: float) -> str:
        try:
            live = assemble(self.config, self._warn, quick=True)
            asked = breaker.open_because(live.workspace, live.clock, self.config.limits.unproductive_spend)
            why = await asyncio.wait_for(asked, patience_s)
        except TimeoutError:
            return "not known: slow"
        except RunError as error:
            return f"not known: {error.reason}"
        except Exception as bug:  # noqa: BLE001 - what cannot be told in HELLO must not keep a servo from starting
            self._warn(f"the breaker's state could not be read: {bug!r}")
            return f"not known: {Reason.BUG}"
        return "closed" if why is None else f"open: {why}"

    @servo.on_event()
    async def startup(self) -> None:
        """Takes the lease, waiting for another driver, and finishes what an earlier process has left.

        Nothing is raised from here: it would end the servo, and its supervisor would start it again, for ever.
        """
        self._running = True
        self._alive.begin(self._doing, self._warn)
        while not self.live.lease.held:
            try:
                await self.live.lease.take(wait=True)
            except RunError as error:
                self._warn(f"the lease cannot be taken yet: {error}")
                await self.live.real.sleep(LEASE_RETRY_S)
        try:
            left = await self.live.measure.recover()
        except RunError as error:
            left = [error]
        except Exception as bug:  # noqa: BLE001 - raised from here it would end the servo at every start
            left = [defect(bug)]
        for failed in left:
            self.logger.error("{text}", text=failure_block(failed))
        live = self.live
        self._unasked = Unasked(
            live.real, lambda: live.lease.held and self._operation is None, live.measure.abandon, self._warn
        )
        self._unasked.begin()

    @servo.on_event()
    async def shutdown(self) -> None:
        """On a signal this comes first: the run under way is ended, then the lease is given back."""
        self._stopping = True
        if (operation := self._operation) is not None:
            operation.cancel()
            await asyncio.wait({operation})
        if self._unasked is not None:
            await self._unasked.stop()
        if self._live is not None:
            await self._live.lease.give_back()
        await self._alive.stop()

    def _doing(self) -> str:
        idle = "nothing is asked for" if self.live.lease.held else "waiting for the lease"
        return idle if self._operation is None else "a measurement is under way"

    @servo.on_event()
    async def measure(
        self, *, metrics: List[str] = None, control: servo.Control = servo.Control()
    ) -> servo.Measurement:
        """Runs the job once on a cluster of its own and reports what it took."""
        self._refuse_when_stopping()
        with translated(lambda error: self._failed(error, servo.MeasurementFailedError, None)):
            outcome = await self._interruptible(self._measure(metrics, control))
            if outcome.error is not None:
                raise self._failed(outcome.error, servo.MeasurementFailedError, outcome.record) from outcome.error
            return measurement(outcome.record, self.config.report_details)

    def _refuse_when_stopping(self) -> None:
        """After `shutdown` servox may still dispatch a command that was on its way: nothing is begun any more."""
        if self._stopping:
            stopped = Aborted("This servo was told to stop: nothing is begun.", Reason.SHUTDOWN)
            raise self._failed(stopped, servo.EventAbortedError, None)

    async def _interruptible(self, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Runs a measurement that `shutdown`, and in a one-shot command a signal, can end: it releases its cluster."""
        self._operation = asyncio.ensure_future(work)
        signals = contextlib.nullcontext() if self._running else interruptible(self._stop, self._by_hand)
        try:
            with signals:
                outcome: Outcome = await self._operation
                return outcome
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            stopped = Aborted("This servo was told to stop.", Reason.SHUTDOWN)
            raise self._failed(stopped, servo.EventAbortedError, self.live.measure.stopped) from None
        finally:
            self._operation = None

    def _stop(self) -> None:
        self._stopping = True
        if self._operation is not None:
            self._operation.cancel()
        self._warn("stopping: the run's cluster is being ended; interrupt again to leave at once")

    def _by_hand(self) -> str:
        return "" if self._operation is None else self.live.measure.by_hand()

    async def _measure(self, metrics: Optional[List[Any]], control: servo.Control) -> Outcome:
        self._percent = 0
        latest = [Progress("none", "", RunState.QUEUED, 0, 0.0, 0.0)]

        def tell(progress: Progress) -> None:
            changed = latest[-1].state is not progress.state
            latest[:] = [progress]
            if changed:
                self._post(progress)

        def beat() -> None:
            with contextlib.suppress(RunError):  # a clock out of reach: the last look stands
                latest[-1] = latest[-1].later(self.live.clock.now())
            self._post(latest[-1])

        async with beating(beat):
            try:
                if self._unasked is not None:
                    await self._unasked.stop()
                order = await self._order(metrics, control)
                async with self._driving():
                    return await self.live.measure.run(order, tell)
            except Exception:
                if self._running:
                    await self.live.measure.pace()  # an answer without a launch, and without a run even
                raise
            finally:
                if self._unasked is not None and not self._stopping:
                    self._unasked.begin()

    @contextlib.asynccontextmanager
    async def _driving(self) -> AsyncIterator[None]:
        """The lease: the servo's own since its start; a one-shot command takes it for itself, or fails at once."""
        lease = self.live.lease
        if lease.held:
            yield
            return
        await lease.take(wait=False)
        try:
            yield
        finally:
            if not self._running:
                await lease.give_back()

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
        return Order(
            spec,
            dict(staged.values),
            wanted,
            staged.warnings + unknown,
            cmd_uid=servo.current_command_uid(),
            paced=self._running,
            repeat_disturbed=self.config.job.repeat_disturbed,
        )

    def _post(self, progress: Progress) -> None:
        """Posts progress by logging it, as servox does. Holds nothing of the job but counts."""
        # Between 1 and 99: servox drops 0 and 100. Never back, also when a command needs a second cluster.
        self._percent = max(self._percent, 1, progress.percent)
        self.logger.info("{text}", text=line(progress), progress=self._percent)
        if self._listener is not None:
            self._listener(progress)

    def listen(self, listener: Callable[[Progress], None]) -> None:
        """`listener` hears of progress too: for a command that waits beside this connector."""
        self._listener = listener

    def _failed(self, error: RunError, kind: type[servo.EventError], record: Optional[RunRecord]) -> servo.EventError:
        """`error` for the optimizer; all of it goes to the log first."""
        self.logger.error("{text}", text=failure_block(error, record))
        return told(error, kind, record, self.config.report_details)
