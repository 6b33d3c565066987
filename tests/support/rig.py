"""A connector in this process, on a real SDK over HTTP: proxy, emulator, scripted job. For faults that need no servox.

Its witness is itself: `tests.support.promise` checks what its handlers returned and what the account holds. A step
takes its time and nothing runs in it; the job's result.json and notebook are laid into the workspace when the servo
first asks for them, as the job of the test would have left them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import servo
import servo.errors
from pydantic import parse_obj_as
from servo.servo import set_current_command_uid
from servo.types.api import Control

import servo_emr.pricing
from servo_emr.config import EMRConfiguration
from servo_emr.connector import EMRConnector
from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook
from tests.support.promise import ALIVE, Surroundings, broken
from tests.support.proxy import Call, Proxy, named
from tests.support.samples import notebook, result_json
from tests.support.servo import configuration, write_configuration
from tests.support.stage import FOREIGN
from tests.support.stride import StrideClock

__all__ = ["BUCKET", "PHASES", "Answer", "Job", "Rig", "Shop", "rigged", "scrap", "shop"]

BUCKET = "acme-servo"
STEP_S = 900.0
LAW = ("--model", "a=900,b=0,c=0,d=0", "--noise", "0")
PRICES = str(Path(servo_emr.pricing.__file__).with_name("us-east-1.csv"))
PHASES = ("provisioning", "bootstrapping", "the job", "teardown")

Answer = dict[str, Any]


def scrap(name: str, value: Any) -> dict[str, Any]:
    """An output by which a notebook records a value."""
    content = {"name": name, "data": value, "encoder": "json", "version": 1}
    kind = "application/scrapbook.scrap.json+json"
    return {"output_type": "display_data", "metadata": {}, "data": {kind: content}}


GOOD = (scrap("accuracy", 0.8125), {"output_type": "stream", "name": "stdout", "text": "rate=32.5 rows/s\n"})


@dataclass
class Job:
    """What the job leaves behind. `result` makes result.json for a run id; None: it leaves none."""

    result: Callable[[str], bytes | None] = result_json
    output: bytes | None = field(default_factory=lambda: notebook(*GOOD))


class _Laying(Proxy):
    """Lays what the job has left into the workspace before the servo's first look for it is passed on."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self.job = Job()
        self.down = False
        """Whether nobody answers: connections are closed at once."""
        self._s3 = Account(emulator)
        self._laid: set[str] = set()
        super().__init__(emulator.url)

    def entered(self, service: str, operation: str, key: str) -> Any:
        if operation == "GetObject" and key.endswith("/result.json") and key not in self._laid and not self.down:
            self._laid.add(key)
            run_id = key.split("/")[-2]
            body = self.job.result(run_id)
            for name, content in (("result.json", body), ("output.ipynb", self.job.output)):
                if content is not None:
                    place = key.removesuffix("result.json") + name
                    self._s3["s3"].put_object(Bucket=BUCKET, Key=place, Body=content)
        call, trap = super().entered(service, operation, key)
        if self.down:
            trap = self.cut
        return call, trap

    def close(self) -> None:
        super().close()
        self._s3.close()


@dataclass
class Shop:
    """The shared parts: an emulator that executes nothing, its account, a proxy, a clock that strides."""

    emulator: EmulatorProcess
    account: Account
    proxy: _Laying
    clock: StrideClock
    foreign: str

    @property
    def env(self) -> dict[str, str]:
        return {**self.emulator.env, "AWS_ENDPOINT_URL": self.proxy.url, "SERVO_EMR_CLOCK": self.clock.url}

    def faults(self, *faults: Mapping[str, Any]) -> None:
        """Replaces all faults at the emulator."""
        self.emulator.faults(*faults)

    def struck(self) -> int:
        """How many calls or phases the faults have met."""
        return sum(int(fault["struck"]) for fault in self.emulator.get("faults"))


@contextmanager
def shop(folder: Path, *options: str, stride: float = 300.0) -> Iterator[Shop]:
    """The shared parts, with another workspace's cluster alive and another's object in the bucket."""
    empty = folder / "empty"
    empty.mkdir(parents=True)
    words = ("--no-execute", "--prices", PRICES, *LAW, *options)
    with EmulatorProcess(*words, data=[f"s3://{BUCKET}/={empty}"]) as emulator:
        account = Account(emulator)
        account["s3"].put_object(Bucket=BUCKET, Key="not-ours.csv", Body=b"1,2\n")
        group = {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1}
        foreign = account["emr"].run_job_flow(
            Name=FOREIGN,
            ReleaseLabel="emr-7.1.0",
            ServiceRole="EMR_DefaultRole",
            JobFlowRole="EMR_EC2_DefaultRole",
            Instances={"InstanceGroups": [group], "KeepJobFlowAliveWhenNoSteps": True, "TerminationProtected": True},
        )["JobFlowId"]
        emulator.advance(900.0)  # it is there before anything goes wrong
        try:
            with _Laying(emulator) as proxy, StrideClock(emulator, stride) as clock:
                yield Shop(emulator, account, proxy, clock, foreign)
        finally:
            account.close()


@dataclass
class Rig:
    """One workspace, and the servos on it one after the other. A `promise.Witness`."""

    shop: Shop
    folder: Path
    workspace: str
    before: Surroundings
    changes: dict[str, Any]
    given: list[Answer] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """What the log was told, warnings and worse."""
    _stopping: list[asyncio.Task[None]] = field(default_factory=list)
    _uids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def account(self) -> Account:
        return self.shop.account

    @property
    def log(self) -> str:
        return "\n".join(self.said)

    def answers(self) -> Sequence[Answer]:
        return self.given

    def config(self) -> EMRConfiguration:
        write_configuration(self.folder, self.changes)
        return EMRConfiguration.parse_obj(configuration(self.changes)["emr"])

    def connector(self) -> EMRConnector:
        """One that is not started, as of a one-shot command."""
        return EMRConnector(name="emr", config=self.config())

    @asynccontextmanager
    async def started(self) -> AsyncIterator[EMRConnector]:
        """A servo as under `servo run`: it has the lease, and has finished what was left."""
        connector = self.connector()
        sink = servo.logger.add(self.said.append, level="WARNING", format="{message}")
        try:
            await connector.startup()
            yield connector
        finally:
            await connector.shutdown()
            servo.logger.remove(sink)

    async def adjust(self, connector: EMRConnector, settings: Mapping[str, Any]) -> Answer:
        """An adjustment by selector, as it is answered."""
        adjustments = [
            servo.Adjustment(component_name=component, setting_name=name, value=value)
            for (component, _, name), value in (
                (selector.partition("."), value) for selector, value in settings.items()
            )
        ]

        async def adjusted() -> Answer:
            return {"state": (await connector.adjust(adjustments)).__opsani_repr__()}

        return await self._answered(adjusted)

    async def measure(
        self, connector: EMRConnector, metrics: Sequence[str] = (), userdata: Any = None, uid: str | None = None
    ) -> Answer:
        """A measurement, as it is answered: on the wire's own form where it succeeded."""
        control = {} if userdata is None else {"userdata": {"emr": userdata}}

        async def measured() -> Answer:
            made = await connector.measure(metrics=list(metrics) or None, control=parse_obj_as(Control, control))
            wire = json.loads(json.dumps(made.__opsani_repr__(), allow_nan=False))
            return dict(wire)

        return await self._answered(measured, uid)

    async def _answered(self, handler: Callable[[], Any], uid: str | None = None) -> Answer:
        answer: Answer = {"cmd_uid": uid or f"cmd-{next(self._uids)}", "status": "ok"}
        set_current_command_uid(answer["cmd_uid"])
        try:
            answer |= await handler()
        except servo.errors.EventError as error:
            answer |= {"status": "failed", "reason": str(error.reason), "message": str(error)}
        finally:
            set_current_command_uid(None)
        self.given.append(answer)
        return answer

    async def cycle(self, metrics: Sequence[str] = ()) -> Answer:
        """A start, one measurement, an end."""
        async with self.started() as connector:
            return await self.measure(connector, metrics)

    async def restart(self) -> None:
        """A start, which finishes what was left, and an end."""
        async with self.started():
            pass

    def records(self) -> list[dict[str, Any]]:
        """The oldest first."""
        keys = [key for key in self.account.keys(f"{self.workspace}/records") if key.endswith(".json")]
        return [json.loads(self.account.read(f"{self.workspace}/records/{key}")) for key in keys]

    def clusters(self) -> list[dict[str, Any]]:
        """Those of this workspace that there ever were, the oldest first."""
        if "workspace.json" not in self.account.keys(self.workspace):
            return []
        workspace_id = json.loads(self.account.read(f"{self.workspace}/workspace.json"))["id"]
        return [c for c in reversed(self.account.clusters()) if c["Name"].startswith(f"servo-emr {workspace_id} ")]

    def holds(self, **exceptions: Any) -> list[str]:
        """What of the promise does not hold, all faults taken away first: the checker asks the account too."""
        self.shop.faults()
        self.shop.proxy.down = False
        return broken(self, **exceptions)

    def living(self) -> list[str]:
        """The ids of this workspace's clusters that are alive."""
        return [cluster["Id"] for cluster in self.clusters() if cluster["Status"]["State"] in ALIVE]

    def workspace_id(self) -> str:
        """The workspace's id, which is part of our clusters' names."""
        return str(json.loads(self.account.read(f"{self.workspace}/workspace.json"))["id"])

    def stop_at(self, connector: EMRConnector, operation: str, nth: int = 1) -> None:
        """SIGTERM, as the nth call of that operation from now on arrives: servox then says `shutdown`."""
        loop, stopping = asyncio.get_running_loop(), self._stopping

        def stop(call: Call) -> None:
            loop.call_soon_threadsafe(lambda: stopping.append(loop.create_task(connector.shutdown())))

        self.shop.proxy.trap("before", named(operation, nth=nth), stop, drop=False)

    def in_phase(self, phase: str, act: Callable[[], None]) -> None:
        """Once, when the servo next looks at a cluster that is in the phase, before its look is passed on."""
        states = {
            "provisioning": ("STARTING",),
            "bootstrapping": ("BOOTSTRAPPING",),
            "the job": ("RUNNING",),
            "teardown": ("TERMINATING",),
        }[phase]

        def matches(call: Call) -> bool:
            if call.operation not in ("DescribeCluster", "ListSteps"):
                return False
            return any(cluster["Status"]["State"] in states for cluster in self.clusters())

        self.shop.proxy.trap("before", matches, lambda call: act(), drop=False)


_numbers = itertools.count(1)


@contextmanager
def rigged(made: Shop, folder: Path, monkeypatch: Any, job: Job | None = None, **changes: Any) -> Iterator[Rig]:
    """A rig on a workspace of its own; `changes` by dotted path below `emr`, their dots written as two underscores."""
    workspace = f"s3://{BUCKET}/w{next(_numbers)}"
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    job_notebook(folder / "job.ipynb")
    monkeypatch.chdir(folder)
    made.proxy.reset()
    made.proxy.job = job or Job()
    made.proxy.down = False
    own = {
        "workspace": workspace,
        "cluster.log_uri": f"{workspace}/logs",
        "job.timeout": "16m",
        "prices.live": False,
        **{name.replace("__", "."): value for name, value in changes.items()},
    }
    try:
        yield Rig(made, folder, workspace, Surroundings.of(made.account), own)
    finally:
        made.faults()
        made.proxy.reset()
        made.proxy.down = False
