"""The connector over a world in memory: its real configuration, lifecycle and lease; no AWS, no servo process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from servo_emr.aws.account import AwsAccount
from servo_emr.aws.door import Door
from servo_emr.clock import SystemClock
from servo_emr.config import EMRConfiguration
from servo_emr.connector import EMRConnector
from servo_emr.domain.ports import Clock, Preflight
from servo_emr.lifecycle.lease import Holder, Lease
from servo_emr.lifecycle.measure import Measure, Ports
from servo_emr.lifecycle.stage import Stage
from servo_emr.lifecycle.watch import Progress
from servo_emr.notebook.evidence import NotebookEvidence
from servo_emr.notebook.pack import NotebookPacker
from servo_emr.pricing.book import RateBook
from servo_emr.pricing.table import TablePrices
from servo_emr.wiring import Live
from tests.support.measuring import World
from tests.support.samples import notebook
from tests.support.scripted_target import Script

__all__ = ["ME", "OTHER", "Front", "front"]

ME, OTHER = Holder("alpha", 11, "s1"), Holder("beta", 22, "s2")


class JobsThatRun(Measure):
    """Lets the world's job leave its result as it is told of progress, whoever else listens."""

    world: World

    async def run(self, order: Any, tell: Callable[[Progress], None]) -> Any:
        def told(progress: Progress) -> None:
            self.world.tell(progress)
            tell(progress)

        return await super().run(order, told)


class Front:
    """A world and a process in it. `live.measure` is real but for whose ear the job's end reaches too."""

    def __init__(self, script: Script | None = None) -> None:
        self.world = world = World(script or Script())
        world.target.script.preflight = Preflight(vcpus={"m5.xlarge": 4, "c5.xlarge": 4, "r5.xlarge": 4})
        self.config: EMRConfiguration = EMRConfiguration.generate()
        world.workspace.elsewhere[self.config.job.notebook] = notebook(parameters="out = None")
        self.live = self.process()
        self.connector = EMRConnector(name="emr", config=self.config)
        self.connector._live = self.live

    def process(self, holder: Holder = ME, dead: tuple[Holder, ...] = (), real: Clock | None = None) -> Live:
        """The live objects of a process."""
        world, config, real = self.world, self.config, real or SystemClock()
        book = RateBook([TablePrices()], clock=world.clock)
        packer, evidence = NotebookPacker(world.workspace), NotebookEvidence(world.workspace)
        ports = Ports(world.target, world.workspace, book, packer, evidence, world.clock)
        stage = Stage(world.target, world.workspace, book, world.clock, config.space, config.to_spec())
        lease = Lease(world.workspace, real, holder, lambda one: one not in dead, world.warned.append)
        measure = JobsThatRun(ports, stage, lease.must_be_fresh, world.warned.append)
        measure.world = world
        account = AwsAccount(Door(config.region))  # nothing here asks it
        return Live(
            config,
            config.space,
            world.clock,
            world.target,
            world.workspace,
            book,
            stage,
            packer,
            measure,
            lease,
            account,
            real,
        )

    async def close(self) -> None:
        self.world.workspace.down = False
        await self.live.lease.give_back()


@asynccontextmanager
async def front(script: Script | None = None) -> AsyncIterator[Front]:
    made = Front(script)
    try:
        yield made
    finally:
        await made.close()
        await asyncio.sleep(0)
