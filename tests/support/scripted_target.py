"""A LaunchTarget in memory: what a cluster shows is a function of the clock and of a script. Keeps the port's promises.

Everything that EMR has done to people can be written into a script: an answer that is lost, a listing that lags, looks
that fail, a release that is refused or obeyed late or never.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from servo_emr.domain.attempt import subnet_of
from servo_emr.domain.errors import LaunchUnclear, Reason, RunError, failure
from servo_emr.domain.ports import Clock, Found, Handle, LogTail, Preflight
from servo_emr.domain.run import InstanceRow, Observation, RunState, StepLook, StepState, Timeline, Usage
from servo_emr.domain.spec import RunKey, RunSpec
from servo_emr.domain.volumes import root_volume

__all__ = ["NEVER", "Script", "ScriptedTarget", "throttled"]

NEVER = float("inf")
SKEW_S = 86_400.0
"""By so much may the service's clock differ from ours."""


def throttled() -> RunError:
    return failure(Reason.THROTTLED, "emr: ThrottlingException: Rate exceeded.")


@dataclass
class Script:
    """The life of every cluster, in seconds from its launch unless said otherwise."""

    provisioned: float = 300.0
    ready: float = 420.0
    job: float = 1860.0
    """Seconds that the job takes, each repeat of it; the first begins when the cluster is ready."""
    ends: StepState = StepState.COMPLETED
    idle: float = 5.0
    """Seconds after the job until the cluster begins to end itself."""
    breaks: float = NEVER
    """Seconds until the cluster begins to end itself, whatever it was doing."""
    ending: float = 60.0
    obeys: float = 1.0
    """Seconds from an accepted release until TERMINATING is seen."""
    end_reason: Reason | None = None
    end_code: str = ""
    refusal: RunError | None = None
    """What submit answers instead of making a cluster."""
    unclear: str = ""
    """"made": a cluster is made and the answer lost; "lost": the answer is lost and nothing was made."""
    unclear_calls: float = NEVER
    """So many launches get an unclear answer, the first ones."""
    visible_after: float = 0.0
    """Seconds until `find` lists a cluster."""
    protected: bool = False
    """Whether somebody has protected it from termination."""
    failing_looks: Callable[[float], RunError | None] = lambda since_launch: None
    failing_releases: Callable[[float], RunError | None] = lambda since_launch: None
    failing_finds: Callable[[float], RunError | None] = lambda since_launch: None
    failing_usage: RunError | None = None
    listed: float = NEVER
    """So many of the instances are listed, the first ones."""
    left_alive: int = 0
    """So many instances are listed as running, whatever their cluster does."""
    preflight: Preflight = field(default_factory=Preflight)
    failure: dict[str, str] = field(default_factory=dict)
    """FailureDetails of a failed step."""


@dataclass
class _Cluster:
    handle: Handle
    spec: RunSpec
    born: float
    released: float | None = None
    own: Script | None = None


class ScriptedTarget:
    """Counts its calls in `calls`: the names of the verbs, oldest first."""

    def __init__(self, clock: Clock, script: Script | None = None, first: Sequence[Script] = ()) -> None:
        self.script = script or Script()
        self.first = list(first)
        """The lives of the first launches, one each; those after them live by `script`."""
        self.subnets: list[str | None] = []
        """Where each launch was to go."""
        self.clusters: list[_Cluster] = []
        self.strangers: list[str] = []
        """Names of clusters that are not ours."""
        self.untagged: list[str] = []
        """Clusters with a name like ours, made by somebody else."""
        self.calls: list[str] = []
        self.during_submit: Callable[[], object] | None = None
        self._clock = clock
        self._made = clock.now()
        self._ids = itertools.count(1)

    @property
    def alive(self) -> list[str]:
        """Clusters that still cost money and have not been seen to end."""
        return [c.handle.cluster_id for c in self.clusters if self._state(c).order < RunState.ENDING.order]

    def count(self, verb: str) -> int:
        return self.calls.count(verb)

    def request(self, spec: RunSpec, key: RunKey, attempt: int = 1) -> dict[str, Any]:
        words = [key.fill(word) for word in spec.steps[0].argv]
        return {"Name": key.name, "Args": words, "Subnet": subnet_of(spec.cluster.subnet_ids, key.run_id, attempt)}

    async def preflight(self, spec: RunSpec) -> Preflight:
        self.calls.append("preflight")
        return self.script.preflight

    async def submit(self, spec: RunSpec, key: RunKey, attempt: int = 1) -> Handle:
        self.calls.append("submit")
        self.subnets.append(subnet_of(spec.cluster.subnet_ids, key.run_id, attempt))
        if self.during_submit is not None:
            self.during_submit()
            await self._clock.sleep(1.0)
        refusal = self._script(self.count("submit")).refusal
        if refusal is not None:
            raise refusal
        unclear = self.script.unclear if self.count("submit") <= self.script.unclear_calls else ""
        if unclear == "lost":
            raise LaunchUnclear("emr:RunJobFlow: no clear answer: connection reset")
        handle = self.launch(spec, key)
        if unclear == "made":
            raise LaunchUnclear("emr:RunJobFlow: no clear answer: read timeout")
        return handle

    def launch(self, spec: RunSpec, key: RunKey) -> Handle:
        """A cluster is made, by whomever."""
        handle = Handle(f"j-{next(self._ids):04}", key)
        script = self._script(max(1, self.count("submit"))) if self.first else None
        self.clusters.append(_Cluster(handle, spec, self._clock.now(), own=script))
        return handle

    def _script(self, launch: int) -> Script:
        return self.first[launch - 1] if launch <= len(self.first) else self.script

    async def find(self, workspace_id: str, alive_only: bool = False, since: float | None = None) -> list[Found]:
        self.calls.append("find")
        oldest = -NEVER if since is None else since - SKEW_S
        now = self._clock.now()
        born = self.clusters[-1].born if self.clusters else self._made
        if (error := self.script.failing_finds(now - born)) is not None:
            raise error
        names = [RunKey.parse(name, "", workspace_id) for name in self.strangers]
        found = [Found(Handle(f"j-stranger{n}", key), True, now) for n, key in enumerate(names) if key is not None]
        for cluster in self.clusters:
            key = RunKey.parse(cluster.handle.key.name, "", workspace_id)
            if key is not None and now - cluster.born >= self.script.visible_after and cluster.born >= oldest:
                alive = self._state(cluster) is not RunState.VERIFIED
                found.append(Found(Handle(cluster.handle.cluster_id, key), alive, cluster.born))
        return [cluster for cluster in found if cluster.alive or not alive_only]

    async def confirmed(self, handle: Handle) -> bool:
        self.calls.append("confirmed")
        return handle.cluster_id not in self.untagged

    async def observe(self, handle: Handle, last: Observation | None = None, steps: bool = True) -> Observation:
        self.calls.append("observe")
        cluster = self._find(handle)
        age = self._clock.now() - cluster.born
        if (error := self.script.failing_looks(age)) is not None:
            raise error
        state = self._state(cluster)
        ready = cluster.born + self._of(cluster).ready
        ended = self.ended(cluster) if state is RunState.VERIFIED else None
        line = Timeline(cluster.born, ready if age >= self._of(cluster).ready else None, ended)
        ending = state.order >= RunState.ENDING.order
        reason = self._of(cluster).end_reason if ending else None
        code = self._of(cluster).end_code if ending else ""
        seen = self._steps(cluster) if steps else last.steps if last is not None else ()
        return Observation(state, line, seen, code, end_reason=reason)

    async def usage(self, handle: Handle) -> Usage:
        self.calls.append("usage")
        if self.script.failing_usage is not None:
            raise self.script.failing_usage
        cluster = self._find(handle)
        ended = self.ended(cluster) if self._state(cluster) is RunState.VERIFIED else None
        age = self._clock.now() - cluster.born
        ready = cluster.born + self._of(cluster).ready if age >= self._of(cluster).ready else None
        line = Timeline(cluster.born + 20.0, ready, ended)
        rows = [
            InstanceRow(f"i-{group.role}-{n}", group.inst_type, f"ig-{group.role}", "ON_DEMAND", "TERMINATED", line)
            for group in cluster.spec.groups
            for n in range(group.count)
        ]
        rows[: self._of(cluster).left_alive] = [
            replace(row, state="RUNNING", timeline=replace(line, ended=None), ended=False)
            for row in rows[: self._of(cluster).left_alive]
        ]
        rows = [row for n, row in enumerate(rows) if n < self._of(cluster).listed]
        return Usage(cluster.spec.region, tuple(rows), root_volume(cluster.spec.cluster.release_label), "us-east-1a")

    async def logs(self, handle: Handle, spec: RunSpec, look: Observation) -> list[LogTail]:
        self.calls.append("logs")
        return [LogTail("stderr", f"{spec.cluster.log_uri}/{handle.cluster_id}/steps/stderr.gz", "the tail")]

    async def release(self, handle: Handle) -> bool:
        self.calls.append("release")
        cluster = self._find(handle)
        if (error := self.script.failing_releases(self._clock.now() - cluster.born)) is not None:
            raise error
        if cluster.released is None:
            cluster.released = self._clock.now()
        return self._of(cluster).protected

    def _find(self, handle: Handle) -> _Cluster:
        return next(c for c in self.clusters if c.handle.cluster_id == handle.cluster_id)

    def _of(self, cluster: _Cluster) -> Script:
        return cluster.own or self.script

    def _over(self, cluster: _Cluster) -> float:
        """When the cluster is seen ending."""
        done = cluster.born + self._of(cluster).ready + len(cluster.spec.steps) * self._of(cluster).job
        by_itself = min(done + self._of(cluster).idle, cluster.born + self._of(cluster).breaks)
        asked = NEVER if cluster.released is None else cluster.released + self._of(cluster).obeys
        return min(by_itself, asked)

    def ended(self, cluster: _Cluster) -> float:
        """When the cluster is seen ended."""
        return self._over(cluster) + self._of(cluster).ending

    def _state(self, cluster: _Cluster) -> RunState:
        now = self._clock.now()
        if now >= self.ended(cluster):
            return RunState.VERIFIED
        if now >= self._over(cluster):
            return RunState.ENDING
        if now >= cluster.born + self._of(cluster).ready:
            return RunState.RUNNING
        return RunState.BOOTSTRAPPING if now >= cluster.born + self._of(cluster).provisioned else RunState.PROVISIONING

    def _steps(self, cluster: _Cluster) -> tuple[StepLook, ...]:
        return tuple(self._step(cluster, number) for number in range(len(cluster.spec.steps)))

    def _step(self, cluster: _Cluster, number: int) -> StepLook:
        """One after another; only the last ends as the script says, those before it are COMPLETED. Ids are another
        cluster's nowhere, as EMR's are."""
        name, step_id = cluster.spec.steps[number].name, f"s-{cluster.handle.cluster_id}-{number + 1}"
        now, over = self._clock.now(), self._over(cluster)
        before = number * self._of(cluster).job if number else 0.0
        start = cluster.born + self._of(cluster).ready + before
        done = start + self._of(cluster).job
        if now < start or over <= start:
            state = StepState.CANCELLED if now >= over else StepState.PENDING
            return StepLook(step_id, name, state, Timeline(cluster.born))
        state, ended = StepState.RUNNING, None
        if now >= done and done <= over:
            last = number == len(cluster.spec.steps) - 1
            state, ended = self._of(cluster).ends if last else StepState.COMPLETED, done
        elif now >= over:
            state, ended = StepState.CANCELLED, over
        failure_details = self._of(cluster).failure if state is StepState.FAILED else {}
        return StepLook(step_id, name, state, Timeline(cluster.born, start, ended), failure_details)
