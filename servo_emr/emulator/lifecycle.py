"""The life of one cluster: every transition of its own state and of its groups, instances and steps.

Driven by events on W; real work is asked of a `Machine`. Knows no documents, no HTTP and no real time. Messages
that AWS's documentation shows are used; the others are plausible and ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from servo_emr.emulator.events import Event, Job
from servo_emr.emulator.records import Cluster, ErrorDetail, Failure, Group, Instance, Reason, Step, Timeline
from servo_emr.emulator.stage import Activity, Stage

__all__ = ["Life"]

_CLUSTER_TERMINATED = Reason("CLUSTER_TERMINATED", "Job flow terminated")


class Life:
    """One cluster from launch to end. Methods that others call are named without underscore."""

    def __init__(self, cluster: Cluster, stage: Stage) -> None:
        self.cluster = cluster
        self._stage = stage
        self._events: list[Event] = []
        self._activity: Activity | None = None
        self._bootstrapping: int | None = None  # the bootstrap action under way
        self._logs: list[Event] = []
        self._waiting_since: float | None = None
        self._idle: Event | None = None

    # -- up to ready

    def begin(self) -> None:
        """Schedules what follows a launch. The cluster is STARTING."""
        self.cluster.reason = Reason(message="Provisioning Amazon EC2 capacity")
        appear = self._spread("appear", self._stage.times.instances_appear)
        for group in self.cluster.groups:
            for index in range(group.request.count):
                skew = self._stage.ids.uniform(f"appear/{group.id}/{index}", 0.0, 2.0)
                self._later(appear + skew, lambda group=group: self._appear(group))  # type: ignore[misc]
        self._later(self._spread("provision", self._stage.times.instances_up), self._provisioned)

    def _appear(self, group: Group) -> None:
        ids = self._stage.ids
        request = group.request
        self.cluster.instances.append(
            Instance(
                id=ids.instance(),
                ec2_id=ids.ec2_instance(),
                collection_id=group.id,
                role=request.role,
                instance_type=request.instance_type,
                market=request.market,
                private_ip=ids.private_ip(),
                timeline=Timeline(self._stage.now),
            )
        )

    def _provisioned(self) -> None:
        try:
            self._stage.machine.boot(self.cluster)
        except OSError as error:
            self._end("INTERNAL_ERROR", f"The emulator could not make a node: {error}", failed=True)
            return
        self._become("BOOTSTRAPPING", "Running bootstrap actions")
        for group in self.cluster.groups:
            group.state = "BOOTSTRAPPING"
        for instance in self.cluster.instances:
            instance.state = "BOOTSTRAPPING"
        self._bootstrap(0)

    def _bootstrap(self, index: int) -> None:
        if index == len(self.cluster.launch.bootstraps):
            self._install()
            return
        self._bootstrapping = index
        job = self._stage.machine.bootstrap(self.cluster, index)
        seconds = self._stage.durations.bootstrap(self.cluster, index)
        self._activity = self._stage.perform(job, seconds, lambda: self._bootstrapped(index, job))

    def _bootstrapped(self, index: int, job: Job) -> None:
        self._activity = self._bootstrapping = None
        self._keep_bootstrap_log(index)
        if job.exit_status == 0:
            self._bootstrap(index + 1)
            return
        primary = self.cluster.primary
        ec2_id = primary.ec2_id if primary else ""
        self.cluster.error_details = (
            ErrorDetail(
                code="BOOTSTRAP_FAILURE_PRIMARY_WITH_NON_ZERO_CODE",
                message=f"The primary instance failed bootstrap action {index + 1}: {self._stage.machine.outcome(job)}",
                data={
                    "primary-instance-id": ec2_id,
                    "bootstrap-action": str(index + 1),
                    "return-code": str(job.exit_status),
                },
            ),
        )
        message = f"On the master instance ({ec2_id}), bootstrap action {index + 1} returned a non-zero return code"
        self._end("BOOTSTRAP_FAILURE", message, failed=True)

    def _install(self) -> None:
        seconds = self._spread("install", self._stage.times.install_applications)
        for instance in self.cluster.instances:
            lead = self._stage.ids.uniform(f"lead/{instance.id}", *self._stage.times.instance_leads_ready)
            self._later(max(0.0, seconds - lead), lambda instance=instance: self._up(instance))  # type: ignore[misc]
        self._later(seconds, self._ready)

    def _up(self, instance: Instance) -> None:
        instance.state = "RUNNING"
        instance.timeline.began = self._stage.now

    def _ready(self) -> None:
        self.cluster.timeline.began = self._stage.now
        for group in self.cluster.groups:
            group.state = "RUNNING"
            group.timeline.began = self._stage.now
        self._next_step()

    # -- steps

    def add_steps(self, steps: Sequence[Step]) -> None:
        """Appends PENDING steps; a waiting cluster starts the first at once."""
        self.cluster.steps.extend(steps)
        if self.cluster.state == "WAITING":
            self._next_step()

    def cancel(self, step: Step) -> None:
        """A pending step is CANCELLED at once, a running one a little later, unless it ends before."""
        if step.state == "PENDING":
            self._cancelled(step)
        elif step.state == "RUNNING":
            step.state = "CANCEL_PENDING"
            if self._activity is not None:
                self._activity.release()  # else a process that hangs would hold W before its cancellation
            self._later(self._stage.times.cancel_delay, lambda: self._cancel_running(step))

    def _cancel_running(self, step: Step) -> None:
        if step.state == "CANCEL_PENDING":
            self._stop_activity()
            self._cancelled(step)
            self._keep_step_log(step)
            self._next_step()

    def _cancelled(self, step: Step) -> None:
        step.state = "CANCELLED"
        step.timeline.ended = self._stage.now

    def _next_step(self) -> None:
        step = next((step for step in self.cluster.steps if step.state == "PENDING"), None)
        if step is None:
            self._out_of_steps()
            return
        self._not_idle()
        self._become("RUNNING", "Running step")
        step.state = "RUNNING"
        step.timeline.began = self._stage.now
        job = self._stage.machine.step(self.cluster, step)
        seconds = self._stage.durations.step(self.cluster, step)
        self._activity = self._stage.perform(job, seconds, lambda: self._step_ended(step, job))

    def _out_of_steps(self) -> None:
        cluster = self.cluster
        if cluster.keep_alive:
            message = "Waiting after step completed" if cluster.steps else "Waiting for steps to run"
            self._become("WAITING", message)
            self._waiting_since = self._stage.now
            self._watch_idleness()
        elif any(step.state == "FAILED" for step in cluster.steps):
            # What real clusters show after a failure that did not end them: TERMINATED, and no reason at all.
            self._end(None, None, failed=False)
        else:
            self._end("ALL_STEPS_COMPLETED", "Steps completed", failed=False)

    def _step_ended(self, step: Step, job: Job) -> None:
        if job.exit_status is None:
            self._cancel_running(step)
            return
        self._activity = None
        step.timeline.ended = self._stage.now
        self._keep_step_log(step)
        if job.exit_status == 0:
            step.state = "COMPLETED"
            self._next_step()
            return
        step.state = "FAILED"
        step.failure = Failure(
            reason="Unknown Error.",
            message=self._stage.machine.outcome(job),
            log_file=self._stage.machine.log_file(self.cluster, step),
        )
        self._act_on_failure(step.request.action_on_failure)

    def _act_on_failure(self, action: str) -> None:
        if action == "CONTINUE":
            self._next_step()
            return
        # Termination protection holds back a cluster that stays alive without steps, and only that one.
        held_back = self.cluster.protected and self.cluster.keep_alive
        if action in {"TERMINATE_CLUSTER", "TERMINATE_JOB_FLOW"} and not held_back:
            self._end("STEP_FAILURE", "Shut down as step failed", failed=True)
            return
        for step in self.cluster.steps:
            if step.state == "PENDING":
                self._cancelled(step)
        self._out_of_steps()

    # -- idleness

    def set_idle_timeout(self, seconds: int) -> None:
        self.cluster.idle_timeout = seconds
        self._watch_idleness()

    def _watch_idleness(self) -> None:
        """Idle means WAITING here: a cluster that runs a step is never taken for idle."""
        if self._idle is not None:
            self._idle.cancelled = True
        if self._waiting_since is None or self.cluster.idle_timeout is None:
            return
        at = max(self._stage.now, self._waiting_since + self.cluster.idle_timeout)
        self._idle = self._later(at - self._stage.now, self._idled)

    def _not_idle(self) -> None:
        self._waiting_since = None
        if self._idle is not None:
            self._idle.cancelled = True

    def _idled(self) -> None:
        # Which code AWS gives here is not documented.
        self._end("ALL_STEPS_COMPLETED", "Terminated by the auto-termination policy", failed=False)

    # -- the end

    def terminate(self) -> None:
        """A user's termination; nothing happens to a cluster that is ending already."""
        if self.cluster.alive:
            self._end("USER_REQUEST", "Terminated by user request", failed=False)

    def _end(self, code: str | None, message: str | None, *, failed: bool) -> None:
        for event in self._events:
            event.cancelled = True
        self._events.clear()
        self._interrupt()
        self.cluster.state = "TERMINATING"
        self.cluster.reason = Reason(code, message)
        for group in self.cluster.groups:
            group.state = "TERMINATING"
        ending = self._spread("ending", self._stage.times.ending)
        for instance in self.cluster.instances:
            share = self._stage.ids.uniform(f"gone/{instance.id}", 0.5, 0.95)
            self._later(ending * share, lambda instance=instance: self._gone(instance))  # type: ignore[misc]
        final = "TERMINATED_WITH_ERRORS" if failed else "TERMINATED"
        self._later(ending, lambda: self._ended(final))

    def _interrupt(self) -> None:
        """Ends what runs and what waits."""
        running = self.cluster.running_step
        self._stop_activity()
        for step in self.cluster.steps:
            if not step.over:
                self._cancelled(step)
        if running is not None:
            self._keep_step_log(running)
        if self._bootstrapping is not None:
            self._keep_bootstrap_log(self._bootstrapping)
            self._bootstrapping = None

    def _gone(self, instance: Instance) -> None:
        instance.state = "TERMINATED"
        instance.reason = _CLUSTER_TERMINATED
        instance.timeline.ended = self._stage.now

    def _ended(self, final: str) -> None:
        for log in self._logs:
            if not log.cancelled:
                log.cancelled = True
                log.action()
        self._logs.clear()
        self._stage.machine.shut_down(self.cluster)
        self.cluster.state = final
        self.cluster.timeline.ended = self._stage.now
        for group in self.cluster.groups:
            group.state = "TERMINATED"
            group.reason = _CLUSTER_TERMINATED
            group.timeline.ended = self._stage.now

    # -- helpers

    def _become(self, state: str, message: str) -> None:
        self.cluster.state = state
        self.cluster.reason = Reason(message=message)

    def _spread(self, phase: str, seconds: float) -> float:
        spread = self._stage.times.spread
        return seconds * self._stage.ids.uniform(f"spread/{self.cluster.id}/{phase}", 1 - spread, 1 + spread)

    def _later(self, delay: float, action: Callable[[], None]) -> Event:
        event = self._stage.schedule(self._stage.now + delay, action)
        self._events.append(event)
        return event

    def _stop_activity(self) -> None:
        if self._activity is not None:
            self._activity.drop()
            self._activity.job.kill()
            self._activity = None

    def _keep_step_log(self, step: Step) -> None:
        self._keep_log(lambda: self._stage.machine.publish_step(self.cluster, step))

    def _keep_bootstrap_log(self, index: int) -> None:
        primary = self.cluster.primary
        if primary is not None:
            self._keep_log(lambda: self._stage.machine.publish_bootstrap(self.cluster, index, primary))

    def _keep_log(self, publish: Callable[[], None]) -> None:
        self._logs.append(self._stage.schedule(self._stage.now + self._stage.times.log_delay, publish))
