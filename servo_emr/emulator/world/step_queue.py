"""The steps of one cluster: which of them run, how each ends, and what follows when one fails.

Knows the cluster's own states only as far as ActionOnFailure needs them. When a cluster without steps ends or waits
is not decided here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from servo_emr.emulator.world.agenda import Agenda
from servo_emr.emulator.world.log_shipping import LogShipping
from servo_emr.emulator.world.misfortune import Misfortune, Plight
from servo_emr.emulator.world.mishaps import EndStep, Phase
from servo_emr.emulator.world.records import Cluster, Failure, Reason, Step
from servo_emr.emulator.world.stage import Activity, Course, Stage

__all__ = ["StepQueue"]

_UNKNOWN = "Unknown Error."


@dataclass(eq=False)
class _Run:
    """A step that runs. `failure`: it is known beforehand that it fails, and how."""

    step: Step
    activity: Activity
    failure: str | None
    plight: Plight


class StepQueue:
    """Steps start in the order in which they were added, at most `cluster.concurrency` of them at once."""

    def __init__(
        self, cluster: Cluster, stage: Stage, agenda: Agenda, logs: LogShipping, misfortune: Misfortune, course: Course
    ) -> None:
        self._cluster = cluster
        self._stage = stage
        self._agenda = agenda
        self._logs = logs
        self._misfortune = misfortune
        self._course = course
        self._pending: deque[Step] = deque()  # those cancelled before their turn are skipped when they come to it
        self._runs: dict[str, _Run] = {}
        self._open = False

    @property
    def pending(self) -> bool:
        """Whether a step waits for its turn."""
        while self._pending and self._pending[0].over:
            self._pending.popleft()
        return bool(self._pending)

    @property
    def running(self) -> Collection[Step]:
        return [run.step for run in self._runs.values()]

    def open(self) -> None:
        """The cluster is ready: steps can run."""
        self._open = True
        self.proceed()

    def add(self, steps: Sequence[Step]) -> None:
        self._cluster.add_steps(steps)
        self._pending.extend(steps)
        self.proceed()

    def proceed(self) -> None:
        """Starts the steps that may start. Does nothing while steps cannot run."""
        if not self._open:
            return
        while len(self._runs) < self._cluster.concurrency and self.pending:
            self._start(self._pending.popleft())
        self._course.steps_moved()

    def cancel(self, step: Step, *, force: bool) -> None:
        """A pending step is CANCELLED at once, a running one a little later, unless it ends before."""
        if step.state == "PENDING":
            self._cancel_pending(step)
            self.proceed()
        elif step.state == "RUNNING":
            step.state = "CANCEL_PENDING"
            # A process that hangs would otherwise hold W before its cancellation.
            self._runs[step.id].activity.release()
            times = self._stage.times
            delay = times.cancel_delay if force else times.interrupt_delay
            self._agenda.later(delay, lambda: self._break_off(step, "CANCELLED"))

    def interrupt(self) -> None:
        """The running steps are INTERRUPTED; what follows is what follows a failure."""
        for step in self.running:
            if step.id in self._runs:  # what follows the first may have ended the others
                self._break_off(step, "INTERRUPTED")

    def close(self, running: str) -> None:
        """The cluster ends: no step starts any more, pending ones are CANCELLED, running ones `running`."""
        self._open = False
        for run in list(self._runs.values()):
            self._stop(run)
            self._finish(run, running)
        self._cancel_all_pending()

    # -- one step

    def _start(self, step: Step) -> None:
        step.state = "RUNNING"
        step.timeline.began = self._stage.now
        plight = self._misfortune.begin(Phase.STEP)
        job = self._stage.machine.step(self._cluster, step)
        planned = self._stage.durations.step(self._cluster, step)
        seconds = None if planned is None else planned.seconds
        activity = self._stage.perform(job, seconds, lambda: self._job_over(run))
        run = _Run(step, activity, planned.failure if planned else None, plight)
        self._runs[step.id] = run
        for mishap in plight.of(EndStep):
            if mishap.after is not None:
                event = self._agenda.later(mishap.after, lambda mishap=mishap: self._strike(run, mishap))  # type: ignore[misc]
                plight.events.append(event)

    def _job_over(self, run: _Run) -> None:
        if run.activity.job.exit_status is None:
            self._break_off(run.step, "CANCELLED")  # W has stopped waiting for it, as only a cancellation makes it
        elif run.plight.delay:
            self._agenda.later(run.plight.delay, lambda: self._conclude(run))
        else:
            self._conclude(run)

    def _conclude(self, run: _Run) -> None:
        """The step is over by itself."""
        if run.step.id not in self._runs:
            return
        job, at_end = run.activity.job, next((end for end in run.plight.of(EndStep) if end.after is None), None)
        if at_end is not None:
            self._finish(run, at_end.state, self._failure(run, at_end.reason, at_end.message))
        elif run.failure is not None:
            self._finish(run, "FAILED", self._failure(run, _UNKNOWN, run.failure))
        elif job.exit_status != 0:
            self._finish(run, "FAILED", self._failure(run, _UNKNOWN, self._stage.machine.outcome(job)))
        else:
            self._finish(run, "COMPLETED")
        self._go_on_after(run.step)

    def _strike(self, run: _Run, mishap: EndStep) -> None:
        self._stop(run)
        self._finish(run, mishap.state, self._failure(run, mishap.reason, mishap.message))
        self._go_on_after(run.step)

    def _break_off(self, step: Step, state: str) -> None:
        """A running step is ended from outside, if it still runs."""
        run = self._runs.get(step.id)
        if run is not None:
            self._stop(run)
            self._finish(run, state)
            self._go_on_after(step)

    def _stop(self, run: _Run) -> None:
        run.activity.drop()
        run.activity.job.kill()

    def _failure(self, run: _Run, reason: str, message: str) -> Failure:
        return Failure(reason, message, self._stage.machine.log_file(self._cluster, run.step))

    def _finish(self, run: _Run, state: str, failure: Failure | None = None) -> None:
        del self._runs[run.step.id]
        run.plight.over()
        step = run.step
        step.state = state
        step.failure = failure if state == "FAILED" else None
        step.timeline.ended = self._stage.now
        self._logs.keep(lambda keep: self._stage.machine.publish_step(self._cluster, step, keep))

    # -- what follows

    def _go_on_after(self, step: Step) -> None:
        # Cancelling is no failure. That an interruption is one, as far as this goes, is our guess.
        if step.state in {"FAILED", "INTERRUPTED"}:
            self._act_on_failure(step.request.action_on_failure)
        self.proceed()

    def _act_on_failure(self, action: str) -> None:
        """With several steps at once neither pending steps nor the cluster suffer, as AWS documents."""
        if action == "CONTINUE" or self._cluster.concurrency > 1:
            return
        # Termination protection holds back a cluster that stays alive without steps, and only that one.
        held_back = self._cluster.protected and self._cluster.keep_alive
        ends = action in {"TERMINATE_CLUSTER", "TERMINATE_JOB_FLOW"} and not held_back
        reason = Reason("STEP_FAILURE", "Shut down as step failed")
        if not (ends and self._course.end(reason, failed=True, avoidable=True)):
            self._cancel_all_pending()

    def _cancel_all_pending(self) -> None:
        for step in self._pending:
            if not step.over:
                self._cancel_pending(step)
        self._pending.clear()

    def _cancel_pending(self, step: Step) -> None:
        step.state = "CANCELLED"
        step.timeline.ended = self._stage.now
