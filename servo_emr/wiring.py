"""The one composition root: a configuration becomes live objects. Only here is known which concrete classes exist."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from servo_emr.aws.account import AwsAccount
from servo_emr.aws.door import Door, Patience
from servo_emr.aws.ec2 import Ec2Target
from servo_emr.aws.prices import PRICE_LIST_REGION, ListPrices, SpotPrices
from servo_emr.aws.step_logs import S3StepLogs
from servo_emr.aws.workspace import S3Workspace
from servo_emr.clock import SystemClock, clock_of_environment, elapsed
from servo_emr.config import EMRConfiguration
from servo_emr.domain.account import Account
from servo_emr.domain.logs import StepLogs
from servo_emr.domain.ports import Clock, LaunchTarget, Packer, PriceBook, PriceSource, Workspace
from servo_emr.domain.settings import Space
from servo_emr.lifecycle.lease import Holder, Lease
from servo_emr.lifecycle.measure import Measure, Ports
from servo_emr.lifecycle.stage import Stage
from servo_emr.notebook.evidence import NotebookEvidence
from servo_emr.notebook.pack import NotebookPacker
from servo_emr.pricing.book import RateBook
from servo_emr.pricing.cache import CachedPrices
from servo_emr.pricing.table import TablePrices

__all__ = ["Live", "assemble", "for_checks", "step_logs"]


@dataclass(frozen=True)
class Live:
    """Everything that a command or an event works with. `real` is real time, whatever `clock` says."""

    config: EMRConfiguration
    space: Space
    clock: Clock
    target: LaunchTarget
    workspace: Workspace
    book: PriceBook
    stage: Stage
    packer: Packer
    measure: Measure
    lease: Lease
    account: Account
    real: Clock = field(default_factory=SystemClock)


def assemble(
    config: EMRConfiguration,
    warn: Callable[[str], None],
    quick: bool = False,
    keeps_prices: bool = True,
    patience: Patience = Patience.NORMAL,
) -> Live:
    """Live objects for a configuration. Nothing is called and no connection is made yet.

    Args:
        warn: takes sentences for the log.
        quick: one short attempt a call, for what must answer at once.
        keeps_prices: whether AWS's prices are kept in the workspace; not by a command that writes nothing.
        patience: how calls are repeated, where `quick` does not say it.
    """
    clock = clock_of_environment()
    patience = Patience.QUICK if quick else patience
    door = Door(config.region, patience)
    workspace = S3Workspace(door, config.workspace)
    target = Ec2Target(door, config.region, clock)
    book = _book(config, door, workspace, clock, Door(PRICE_LIST_REGION, patience), keeps_prices)
    space = config.space
    stage = Stage(target, workspace, book, clock, space, config.to_spec())
    packer, evidence = NotebookPacker(workspace), NotebookEvidence(workspace)
    lease = Lease(workspace, SystemClock(), me(), lives, warn, elapsed)
    ports = Ports(target, workspace, book, packer, evidence, clock)
    measure = Measure(ports, stage, lease.must_be_fresh, warn)
    return Live(config, space, clock, target, workspace, book, stage, packer, measure, lease, AwsAccount(door))


def for_checks(config: EMRConfiguration, warn: Callable[[str], None]) -> Live:
    """Live objects for checks: they write nothing of their own, and do not wait long for a silent service."""
    return assemble(config, warn, keeps_prices=False, patience=Patience.BRIEF)


def step_logs(config: EMRConfiguration) -> StepLogs:
    """What reads the logs of a configuration's runs."""
    return S3StepLogs(Door(config.region))


def _book(
    config: EMRConfiguration, door: Door, workspace: Workspace, clock: Clock, listed_at: Door, keeps: bool
) -> RateBook:
    """AWS's price list, what is kept of it, and the packaged table, in this order."""
    prices = config.prices
    sources: list[PriceSource] = [TablePrices()]
    if prices.live:
        listed = ListPrices(listed_at)
        sources.insert(0, CachedPrices(listed, workspace, clock, keep=keeps))
    pins: dict[str, tuple[float, float | None, float | None]] = {
        kind: (pin.gib_month, pin.iops_month, pin.throughput_month) for kind, pin in prices.ebs.items()
    }
    return RateBook(
        sources,
        clock=clock,
        spot=SpotPrices(door),
        allow_estimated_fees=prices.allow_estimated_fees,
        overrides={name: (price.ec2, price.fee) for name, price in prices.overrides.items()},
        storage_overrides=pins,
    )


def me() -> Holder:
    """This process, as a lease names it."""
    pid = os.getpid()
    return Holder("/".join((socket.gethostname(), *_process_space())), pid, _started(pid) or "")


def _process_space() -> list[str]:
    """What tells apart the places in which a process id means something: the machine's boot, the container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return [f"{boot}-{os.stat('/proc/self/ns/pid').st_ino}"]
    except OSError:
        return []  # no Linux: the host's name must do


def lives(holder: Holder, processes: Path = Path("/proc")) -> bool:
    """Whether a process of this host, named in a lease, still runs. A process id that was given anew is another.

    `processes` is where the kernel tells of them. When it tells nothing, as of another user's under hidepid and where
    it is no Linux, who is there is taken to be the holder: to wait for one who is gone costs less than to take a living
    driver's lease.
    """
    if holder.pid == os.getpid():
        return holder == me()
    started = _started(holder.pid, processes)
    return holder.started in (started, "") if started else started is not None


def _started(pid: int, processes: Path = Path("/proc")) -> str | None:
    """When a process of this machine started, in the kernel's own count; None when there is no such process, and ""
    when there is one of which the kernel does not tell."""
    try:
        stat = (processes / str(pid) / "stat").read_text()
    except OSError:  # it is gone, it is gone just now (ESRCH), or it is hidden from us
        return _signalled(pid)
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def _signalled(pid: int) -> str | None:
    """The same, from whether there is somebody to signal."""
    if pid < 1:
        return None  # to signal it would be to signal a group
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        return ""  # it is somebody else's, but it is there
    return ""
