"""Looking at a run until it is decided: the pace of looks, progress, limits.

A failed look never ends a run. The pace follows the run: a quarter of what is expected to remain, and never finer than
a share of what has passed, so that few calls are made also when a run takes longer than expected. Looks that fail in a
row come ever further apart: an account's limits are everybody's, and a look is sent once, so that nobody else repeats
it in between.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from servo_emr.domain.errors import RunError, TooLarge
from servo_emr.domain.known_steps import known_steps
from servo_emr.domain.ports import Clock, Handle, LaunchTarget, Workspace
from servo_emr.domain.run import Observation, RunState, StepLook
from servo_emr.domain.spec import Kind, RunSpec, Step, of_repeat
from servo_emr.lifecycle.forecast import Forecast, forecast
from servo_emr.lifecycle.guards import Ceilings
from servo_emr.lifecycle.underway import latest, over, where

__all__ = ["Progress", "Watch", "pace", "patience", "share"]

_LAUNCH_LONGEST_S = 120.0
_LONGEST_S = 300.0
_SHORTEST_S = 30.0
_PROGRESS = 64 * 1024
"""Bytes of progress.json that are read: the notebook could have written anything in its place."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands. percent 0..99 never goes back; cost_usd is the running total; cell of cells when known; step:
    the stage that runs, and which of its steps, where the job has several.

    launched and usd_per_hour let time and dollars go on between two looks; before_usd is what earlier launches cost.
    remaining_s is what is expected until the cluster's end, None where nothing can be: before the launch, and once the
    phase at hand is longer than was ever seen (overdue). basis says what that is drawn from.
    """

    run_id: str
    cluster_id: str
    state: RunState
    percent: int
    elapsed_s: float
    cost_usd: float
    cell: int | None = None
    cells: int | None = None
    step: str = ""
    launched: float | None = None
    usd_per_hour: float = 0.0
    before_usd: float = 0.0
    remaining_s: float | None = None
    overdue: bool = False
    basis: str = ""

    def later(self, now: float) -> Progress:
        """The same look, with the time and the dollars of now; as it is before the launch and after the end."""
        if self.launched is None or self.state in (RunState.QUEUED, RunState.VERIFIED):
            return self
        elapsed = max(self.elapsed_s, now - self.launched)
        cost = max(self.cost_usd, self.before_usd + elapsed * self.usd_per_hour / 3600)
        moved = replace(self, elapsed_s=elapsed, cost_usd=cost)
        if self.remaining_s is None:
            return moved
        remaining = self.remaining_s - (elapsed - self.elapsed_s)
        if remaining <= 0:
            return replace(moved, remaining_s=None, overdue=True)
        return replace(moved, remaining_s=remaining, percent=max(self.percent, share(elapsed, remaining)))


def share(elapsed_s: float, remaining_s: float) -> int:
    """How much of a run has passed, 0..99: whatever is expected, it has not ended."""
    whole = elapsed_s + remaining_s
    return min(99, int(100 * elapsed_s / whole)) if whole > 0 else 0


def pace(remaining_s: float, elapsed_s: float, launching: bool) -> float:
    """Seconds until the next look, before jitter.

    Args:
        remaining_s: what is expected to remain of the phase; negative when it is overdue.
        elapsed_s: what has passed since the launch.
        launching: whether the cluster is still being made.
    """
    longest = _LAUNCH_LONGEST_S if launching else _LONGEST_S
    # To see a start late costs nothing: the service's own clock counts. To see an end late costs the optimizer time.
    finest = elapsed_s * (0.2 if launching else 0.15)
    return min(max(_SHORTEST_S, remaining_s / 4, finest), longest)


def patience(failures: int) -> float:
    """Seconds until the next look, at least and before jitter, after so many looks in a row have failed."""
    return min(_SHORTEST_S * 2.0 ** min(failures, 10), _LONGEST_S) if failures else 0.0


class Watch:
    """Watches one cluster.

    Args:
        target, workspace, clock: the ports.
        tell: called with every new Progress, in the event loop.
        warn: called with a sentence for the log.
        expected: what is expected of the run; None: what servo.yaml guesses.
    """

    def __init__(
        self,
        target: LaunchTarget,
        workspace: Workspace,
        clock: Clock,
        tell: Callable[[Progress], None],
        warn: Callable[[str], None],
        expected: Forecast | None = None,
    ) -> None:
        self._target = target
        self._workspace = workspace
        self._clock = clock
        self._tell = tell
        self._warn = warn
        self._expected = expected
        self.percent = 0
        """The share of the run that has passed, as last told."""
        self.ids: tuple[str, ...] = ()
        """The ids of the run's steps, in the order of the request; none before all were seen."""
        self._step = ""
        self._job_started: float | None = None
        self._job_ended: float | None = None
        self._cells: tuple[int, int] | None = None

    async def until_decided(
        self, handle: Handle, spec: RunSpec, ceilings: Ceilings, entered: Callable[[RunState], Awaitable[None]]
    ) -> Observation:
        """Looks until the run's steps have ended, or can tell nothing more, or the cluster is ending; returns the last
        look.

        Args:
            entered: awaited whenever the run is seen in another state than before.

        Raises:
            RunError: the run passed one of its limits.
        """
        self._job_ended, self._cells, self._step, self.ids = None, None, "", ()  # of the launch before this one
        look = Observation(RunState.PROVISIONING)
        state = look.state
        last: Observation | None = None
        seen_at = ceilings.launched
        failures, unseen = 0, None
        while True:
            try:
                look = await self._target.observe(handle, last)
                look = last = replace(look, steps=self._known(spec, look.steps))
                seen_at, failures = self._clock.now(), 0
            except RunError as error:
                failures, unseen = failures + 1, error
                self._warn(f"a look at {handle.cluster_id} failed ({error.reason}): {error.message}")
            if look.state is RunState.RUNNING:
                self._step = where(spec, look)
                await self._read_cells(handle, latest(spec, look) or spec.steps[0])
            now = self._clock.now()
            self._job_started = ceilings.job_started(look)
            # A cluster that is ending already has still left its evidence to be collected.
            shown = look.state if look.state.order <= RunState.RUNNING.order else RunState.COLLECTING
            self.report(handle, spec, ceilings, shown, now)
            if shown is not state:
                state = shown
                await entered(state)
            if over(spec, look) or look.state.order >= RunState.ENDING.order:
                return look
            if seen_at == now and ceilings.overdue_tidying(look, now):
                self._warn(f"clean-up of {handle.key.run_id} has passed its time limit: the cluster is ended")
                return look
            limit = ceilings.passed(look, now, seen_at, unseen)
            if limit is not None:
                raise limit
            await self._clock.sleep(self._interval(look, spec, ceilings, now, failures))

    def _interval(self, look: Observation, spec: RunSpec, ceilings: Ceilings, now: float, failures: int) -> float:
        elapsed = now - ceilings.launched
        started = ceilings.job_started(look)
        launching = started is None
        jobs = spec.job.repeats * spec.job.expected_s + spec.job.beside_s
        remaining = self._expectation(spec).provisioning_s - elapsed if started is None else jobs - (now - started)
        wait = max(pace(remaining, elapsed, launching), patience(failures)) * random.uniform(0.9, 1.1)
        # A second beyond the limit, so that the look finds it passed.
        return max(1.0, min(wait, ceilings.next_limit(look, now) + 1.0))

    def _known(self, spec: RunSpec, looks: tuple[StepLook, ...]) -> tuple[StepLook, ...]:
        """The looks with the run's own steps first, which are known by their ids from the first sight of all of them
        on."""
        found = known_steps(spec, looks, self.ids)
        if not self.ids and len(found) >= len(spec.steps):
            self.ids = tuple(look.step_id for look in found[: len(spec.steps)])
        return found

    async def _read_cells(self, handle: Handle, step: Step) -> None:
        if step.kind is not Kind.NOTEBOOK:
            self._cells = None
            return
        name = f"{step.folder}{of_repeat('progress.json', step.repeat)}"
        try:
            body = await self._workspace.get(handle.key.run_id, name, _PROGRESS)
            if body is None:
                return
            document = json.loads(body)
            self._cells = (int(document["cell"]), int(document["cells"]))
        except (RunError, TooLarge, ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            self._warn(f"{name} of {handle.key.run_id} cannot be read: {error}")

    def _expectation(self, spec: RunSpec) -> Forecast:
        if self._expected is None:
            self._expected = forecast(spec, ())
        return self._expected

    def report(self, handle: Handle, spec: RunSpec, ceilings: Ceilings, state: RunState, now: float) -> None:
        """Tells where the run stands, by what is expected of its phases."""
        elapsed = now - ceilings.launched
        expected = self._expectation(spec)
        remaining, overdue = expected.remaining(*self._phase(state, elapsed, now))
        self.percent = max(self.percent, share(elapsed, remaining))
        cell, cells = self._cells if self._cells and state is RunState.RUNNING else (None, None)
        self._tell(
            Progress(
                run_id=handle.key.run_id,
                cluster_id=handle.cluster_id,
                state=state,
                percent=self.percent,
                elapsed_s=elapsed,
                cost_usd=ceilings.cost_so_far(now),
                cell=cell,
                cells=cells,
                step=self._step if state is RunState.RUNNING else "",
                launched=ceilings.launched,
                usd_per_hour=ceilings.usd_per_hour,
                before_usd=ceilings.before,
                remaining_s=None if overdue or state.terminal else remaining,
                overdue=overdue,
                basis=expected.basis,
            )
        )

    def _phase(self, state: RunState, elapsed_s: float, now: float) -> tuple[RunState, float]:
        """The phase for what is expected, and the seconds that it has lasted."""
        if state.order > RunState.RUNNING.order:
            if self._job_ended is None:
                self._job_ended = now
            return state, now - self._job_ended
        if state is RunState.RUNNING and self._job_started is not None:
            return state, now - self._job_started
        # EMR calls a cluster running that has not begun its first step.
        return min(state, RunState.BOOTSTRAPPING, key=lambda phase: phase.order), elapsed_s
