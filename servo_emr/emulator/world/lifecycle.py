"""The life of one cluster: its phases from launch to end, and their states and reasons.

Its instances, steps and idleness are parts with modules of their own; this one says when they begin and what becomes
of the cluster. Messages that AWS's documentation shows are used; the others are plausible and ours.
"""

from __future__ import annotations

from servo_emr.emulator.world.agenda import Agenda
from servo_emr.emulator.world.capacity import Capacity
from servo_emr.emulator.world.events import Job
from servo_emr.emulator.world.idleness import Idleness
from servo_emr.emulator.world.log_shipping import LogShipping
from servo_emr.emulator.world.misfortune import Misfortune, Plight
from servo_emr.emulator.world.mishaps import IgnoreTermination, NoCapacity, Phase
from servo_emr.emulator.world.records import Cluster, ErrorDetail, Reason
from servo_emr.emulator.world.stage import Activity, Stage
from servo_emr.emulator.world.step_queue import StepQueue

__all__ = ["Life"]


class Life:
    """One cluster from launch to end; `capacity`, `steps` and `idleness` are its parts."""

    def __init__(self, cluster: Cluster, stage: Stage) -> None:
        self.cluster = cluster
        self._stage = stage
        self._agenda = Agenda(cluster.id, stage)
        self.capacity = Capacity(cluster, stage, self._agenda, self)
        self._misfortune = Misfortune(cluster, stage, self._agenda, self, self.capacity.lose)
        self._logs = LogShipping(cluster, stage, self._misfortune)
        self.steps = StepQueue(cluster, stage, self._agenda, self._logs, self._misfortune, self)
        self.idleness = Idleness(cluster, stage, self._agenda, self.steps, self._idled)
        self._plight = Plight()  # of the phase that the cluster is in
        self._bootstrap: tuple[int, Activity] | None = None  # the action under way
        self._bootstrapping_since = 0.0

    # -- up to ready

    def begin(self) -> None:
        """Schedules what follows a launch. The cluster is STARTING."""
        self.cluster.reason = Reason(message="Provisioning Amazon EC2 capacity")
        if self.cluster.launch.refusal is not None:
            self._agenda.later(self._agenda.spread("refusal", self._stage.times.refusal), self._refuse)
            return
        self._plight = self._misfortune.begin(Phase.PROVISIONING)
        self.capacity.lack(self._plight.of(NoCapacity))
        self.capacity.launch(self._plight.delay)

    def _refuse(self) -> None:
        if self.cluster.launch.refusal is not None:
            reason, details = self.cluster.launch.refusal
            self.end(reason, failed=True, details=details)

    def provisioned(self) -> None:
        try:
            self._stage.machine.boot(self.cluster)
        except OSError as error:
            self.end(Reason("INTERNAL_ERROR", f"The emulator could not make a node: {error}"), failed=True)
            return
        self._enter(Phase.BOOTSTRAPPING)
        self._become("BOOTSTRAPPING", "Running bootstrap actions")
        self._bootstrapping_since = self._stage.now
        self.capacity.bootstrap()
        self._run_bootstrap(0)

    def _run_bootstrap(self, index: int) -> None:
        if index == len(self.cluster.launch.bootstraps):
            if self._plight.delay:
                self._agenda.later(self._plight.delay, self._install)
            else:
                self._install()
            return
        job = self._stage.machine.bootstrap(self.cluster, index)
        seconds = self._stage.durations.bootstrap(self.cluster, index)
        self._bootstrap = index, self._stage.perform(job, seconds, lambda: self._bootstrapped(index, job))

    def _bootstrapped(self, index: int, job: Job) -> None:
        self._bootstrap = None
        self._keep_bootstrap_log(index)
        if job.exit_status == 0:
            self._run_bootstrap(index + 1)
            return
        primary = self.cluster.primary
        ec2_id = primary.ec2_id if primary else ""
        detail = ErrorDetail(
            code="BOOTSTRAP_FAILURE_PRIMARY_WITH_NON_ZERO_CODE",
            message=f"The primary instance failed bootstrap action {index + 1}: {self._stage.machine.outcome(job)}",
            data={
                "primary-instance-id": ec2_id,
                "bootstrap-action": str(index + 1),
                "return-code": str(job.exit_status),
            },
        )
        message = f"On the master instance ({ec2_id}), bootstrap action {index + 1} returned a non-zero return code"
        self.end(Reason("BOOTSTRAP_FAILURE", message), failed=True, details=(detail,))

    def _install(self) -> None:
        seconds = self._agenda.spread("install", self._stage.times.install_applications)
        self.capacity.install(seconds, self._stage.now - self._bootstrapping_since)
        self._agenda.later(seconds, self._ready)

    def _ready(self) -> None:
        self._enter(Phase.RUNNING)
        self.cluster.timeline.began = self._stage.now
        self.capacity.ready()
        self.steps.open()

    # -- RUNNING and WAITING

    def steps_moved(self) -> None:
        if self.steps.running:
            self._become("RUNNING", "Running step")
        elif not self.cluster.keep_alive and self._end_without_steps():
            return
        else:
            message = "Waiting after step completed" if self.cluster.steps else "Waiting for steps to run"
            self._become("WAITING", message)
        self.idleness.look()

    def interrupt(self) -> None:
        self.steps.interrupt()

    def set_keep_alive(self, keep_alive: bool) -> None:
        """A waiting cluster that is not to be kept ends."""
        self.cluster.keep_alive = keep_alive
        if self.cluster.state == "WAITING":
            self.steps_moved()

    def _end_without_steps(self) -> bool:
        if any(step.state in {"FAILED", "INTERRUPTED"} for step in self.cluster.steps):
            # What real clusters show after a failure that did not end them: TERMINATED, and no reason at all.
            return self.end(Reason(), avoidable=True)
        return self.end(Reason("ALL_STEPS_COMPLETED", "Steps completed"), avoidable=True)

    def _idled(self) -> None:
        # Which code AWS gives here is not documented.
        self.end(Reason("ALL_STEPS_COMPLETED", "Terminated by the auto-termination policy"), avoidable=True)

    # -- the end

    def terminate(self) -> None:
        """A user's termination; nothing happens to a cluster that is ending already."""
        self.end(Reason("USER_REQUEST", "Terminated by user request"), avoidable=True)

    def end(
        self,
        reason: Reason,
        *,
        failed: bool = False,
        details: tuple[ErrorDetail, ...] = (),
        interrupts: bool = False,
        avoidable: bool = False,
    ) -> bool:
        if not self.cluster.alive:
            return False
        mishaps = self._misfortune.ask(Phase.TERMINATING)
        if avoidable and any(isinstance(mishap, IgnoreTermination) for mishap in mishaps):
            self._misfortune.strike(mishaps)
            return False
        self._agenda.clear()
        self._plight = self._misfortune.strike(mishaps)
        self.cluster.state = "TERMINATING"
        self.cluster.reason = reason
        self.cluster.error_details = details
        self._stop_bootstrap()
        self.steps.close("INTERRUPTED" if interrupts else "CANCELLED")
        seconds = self._agenda.spread("ending", self._stage.times.ending) + self._plight.delay
        self.capacity.close(seconds)
        self._agenda.later(seconds, lambda: self._ended("TERMINATED_WITH_ERRORS" if failed else "TERMINATED"))
        return True

    def _ended(self, final: str) -> None:
        self.cluster.state = final
        self.cluster.timeline.ended = self._stage.now
        self.capacity.end()
        self._stage.ended(self.cluster)
        self._logs.close(lambda: self._stage.machine.shut_down(self.cluster))

    # -- helpers

    def _enter(self, phase: Phase) -> None:
        self._plight.over()
        self._plight = self._misfortune.begin(phase)
        self.capacity.lack(self._plight.of(NoCapacity))

    def _become(self, state: str, message: str) -> None:
        self.cluster.state = state
        self.cluster.reason = Reason(message=message)

    def _stop_bootstrap(self) -> None:
        if self._bootstrap is not None:
            index, activity = self._bootstrap
            self._bootstrap = None
            activity.drop()
            activity.job.kill()
            self._keep_bootstrap_log(index)

    def _keep_bootstrap_log(self, index: int) -> None:
        primary = self.cluster.primary
        if primary is not None:
            self._logs.keep(lambda keep: self._stage.machine.publish_bootstrap(self.cluster, index, primary, keep))
