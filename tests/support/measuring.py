"""The lifecycle with everything real but the world: scripted target, workspace in memory, simulated clock.

A `World` outlives the servos in it. Each `servo` is one process, which a `Fate` may kill, stop or cut off at any call.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from servo_emr.domain.run import RunRecord, RunState
from servo_emr.domain.settings import Space
from servo_emr.domain.spec import RunSpec
from servo_emr.lifecycle.measure import Measure, Order, Outcome, Ports
from servo_emr.lifecycle.stage import Stage
from servo_emr.lifecycle.watch import Progress
from servo_emr.notebook.evidence import NotebookEvidence
from servo_emr.notebook.pack import NotebookPacker
from servo_emr.pricing.book import RateBook
from servo_emr.pricing.table import TablePrices
from tests.support.memory import MemoryWorkspace
from tests.support.samples import SPACE, SPEC, notebook, result_json
from tests.support.scripted_target import Script, ScriptedTarget
from tests.support.simclock import SimClock

__all__ = ["RATE", "WANTED", "Fate", "Killed", "World"]

WANTED = {"duration": "s", "cost": "USD", "job_cost": "USD", "total_time": "s"}
RATE = 5 * (0.192 + 0.048 + (64 * 0.10 + 15 * 0.08) / 720) / 3600
"""USD per second of the sample's five m5.xlarge: EC2, EMR fee, and EBS: 64 GiB of gp2, 15 of gp3 for the root."""


class Killed(BaseException):
    """kill -9: nothing of a process goes on after it, no `except` and no `finally` that reaches the world."""


@dataclass
class Fate:
    """What befalls a process at its calls to the world, which are counted from 1.

    `before` and `after` are called with the number and the verb before a call takes effect, and after it did.
    """

    before: Callable[[int, str], None] = lambda number, verb: None
    after: Callable[[int, str], None] = lambda number, verb: None
    calls: list[str] = field(default_factory=list)
    dead: bool = False

    @classmethod
    def killed(cls, at: int, after: bool = False) -> Fate:
        """Killed at call `at`: before it took effect, or after it did and before its answer arrived."""

        return cls._killed(lambda number, verb: number == at, after)

    @classmethod
    def killed_at(cls, verb: str, after: bool = False) -> Fate:
        """Killed at its first call of that verb."""
        return cls._killed(lambda number, called: called == verb, after)

    @classmethod
    def _killed(cls, when: Callable[[int, str], bool], after: bool) -> Fate:
        def kill(number: int, verb: str) -> None:
            if when(number, verb):
                fate.dead = True
                raise Killed(f"{'after' if after else 'before'} call {number}: {verb}")

        fate = cls(after=kill) if after else cls(before=kill)
        return fate

    def begins(self, verb: str) -> int:
        """A call begins; the dead make none."""
        self.check_alive()
        self.calls.append(verb)
        self.before(len(self.calls), verb)
        return len(self.calls)

    def ends(self, number: int, verb: str) -> None:
        """A call has taken effect."""
        self.check_alive()
        self.after(number, verb)

    def check_alive(self) -> None:
        if self.dead:
            raise Killed("is dead")


class Mortal:
    """A port as a process with a fate sees it."""

    def __init__(self, port: Any, fate: Fate) -> None:
        self._port = port
        self._fate = fate

    def __getattr__(self, verb: str) -> Any:
        value = getattr(self._port, verb)
        if verb == "identity":
            # Made of a read, and at first a write: each is a call.
            return lambda: type(self._port).identity(self)
        if inspect.iscoroutinefunction(value):
            return self._call(verb, value)
        if inspect.isasyncgenfunction(value):
            return self._listing(verb, value)
        return value

    def _call(self, verb: str, do: Callable[..., Any]) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            number = self._fate.begins(verb)
            answer = await do(*args, **kwargs)
            self._fate.ends(number, verb)
            return answer

        return call

    def _listing(self, verb: str, do: Callable[..., Any]) -> Any:
        async def listing(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            number = self._fate.begins(verb)
            async for item in do(*args, **kwargs):
                yield item
                read = self._fate.begins(f"{verb}: one")
                self._fate.ends(read, f"{verb}: one")
            self._fate.ends(number, verb)

        return listing


class MortalClock:
    """The world's clock as a process with a fate sees it: the dead do not sleep. No call to the world, not counted."""

    def __init__(self, clock: SimClock, fate: Fate) -> None:
        self._clock = clock
        self._fate = fate

    def now(self) -> float:
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        self._fate.check_alive()
        await self._clock.sleep(seconds)


class World:
    """Target, workspace and clock; what any servo warned of and told."""

    def __init__(self, script: Script | None = None, space: Space = SPACE, first: Sequence[Script] = ()) -> None:
        self.clock = SimClock()
        self.target = ScriptedTarget(self.clock, script, first)
        self.workspace = MemoryWorkspace()
        self.workspace.elsewhere[SPEC.job.notebook] = notebook()
        self.warned: list[str] = []
        self.told: list[Progress] = []
        self.result: Callable[[str], bytes | None] = result_json
        self.evidence: Any = None
        self.space = space
        self.may_launch: Callable[[], None] = lambda: None

    def servo(self, fate: Fate | None = None) -> Measure:
        """A new process."""
        target: Any = self.target
        workspace: Any = self.workspace
        clock: Any = self.clock
        if fate is not None:
            target, workspace = Mortal(target, fate), Mortal(workspace, fate)
            clock = MortalClock(clock, fate)
        book = RateBook([TablePrices()], clock=clock)
        evidence = self.evidence or NotebookEvidence(workspace)
        ports = Ports(target, workspace, book, NotebookPacker(workspace), evidence, clock)
        stage = Stage(target, workspace, book, clock, self.space, SPEC)
        return Measure(ports, stage, lambda: self.may_launch(), self.warned.append)

    def order(self, spec: RunSpec = SPEC, cmd_uid: str | None = None, paced: bool = False) -> Order:
        return Order(spec, SPACE.configured, WANTED, cmd_uid=cmd_uid, paced=paced)

    async def run(self, spec: RunSpec = SPEC, cmd_uid: str | None = None, paced: bool = False) -> Outcome:
        """One measurement by a servo of its own."""
        return await self.servo().run(self.order(spec, cmd_uid, paced), self.tell)

    async def die(self, fate: Fate, cmd_uid: str | None = None, spec: RunSpec = SPEC) -> Outcome | None:
        """A servo that starts, recovers and measures once under its fate; None when that was kill -9."""
        try:
            servo = self.servo(fate)
            await servo.recover()
            return await servo.run(self.order(spec, cmd_uid), self.tell)
        except Killed:
            return None

    def tell(self, progress: Progress) -> None:
        self.told.append(progress)
        # The job leaves its result and its notebook when it has run.
        if progress.state in (RunState.RUNNING, RunState.COLLECTING):
            body = self.result(progress.run_id)
            if body is not None:
                self.workspace.objects[f"runs/{progress.run_id}/result.json"] = body
                self.workspace.objects[f"runs/{progress.run_id}/output.ipynb"] = notebook()

    def check_that_nothing_is_left(self) -> RunRecord:
        """No cluster alive; one record, written, that names its cluster. Returns it."""
        assert self.target.alive == []
        record = self.workspace.the_record()
        assert record.verdict is not None
        assert record.ended_at is not None
        if self.target.clusters:
            assert record.cluster_id == self.target.clusters[-1].handle.cluster_id
            assert record.cost_so_far > 0.0
        return record

    def check_that_all_is_settled(self) -> list[RunRecord]:
        """No cluster alive, every record decided with the end of its cluster verified. Returns them, newest first."""
        assert self.target.alive == []
        records = self.workspace.all_records()
        assert [record.run_id for record in records if not record.settled] == []
        named = {record.cluster_id for record in records}.union(*(record.dead for record in records))
        assert [c.handle.cluster_id for c in self.target.clusters if c.handle.cluster_id not in named] == []
        for record in records:
            self._check_attempts(record)
        return records

    def _check_attempts(self, record: RunRecord) -> None:
        """Each launch of a run is told of once, and billed, and was dead before the next was made."""
        mine = [c for c in self.target.clusters if c.handle.key.run_id == record.run_id]
        assert [attempt.number for attempt in record.attempts] == list(range(1, len(record.attempts) + 1))
        told = [attempt.cluster_id for attempt in record.attempts if attempt.cluster_id is not None]
        told += [record.cluster_id] if record.cluster_id is not None else []
        assert told == [cluster.handle.cluster_id for cluster in mine]
        assert all(attempt.cost is not None and attempt.usd > 0.0 for attempt in record.attempts if attempt.cluster_id)
        for earlier, later in itertools.pairwise(mine):
            assert self.target.ended(earlier) <= later.born
        if record.cost is not None:
            own = sum(
                instance["ec2_usd"] + instance["fee_usd"] + instance["ebs_usd"] for instance in record.cost["instances"]
            )
            assert record.cost["billed_usd"] == pytest.approx(own + record.earlier_usd)
