"""Bills against the emulator's own log: fifty random runs, each billed twice, by us and by a calculation made here.

Ours sees what EMR answers: rounded times, pages, a spot history that has to be asked for. The other knows the exact
times of every instance and the prices as they were given, and shares no line of code with ours.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from servo_emr.aws.door import Door, Patience
from servo_emr.aws.ec2 import Ec2Target
from servo_emr.aws.prices import PRICE_LIST_REGION, ListPrices, SpotPrices
from servo_emr.domain.errors import Reason, RunError
from servo_emr.domain.intervals import measured_intervals
from servo_emr.domain.money import Cost
from servo_emr.domain.ports import Handle
from servo_emr.domain.run import Observation, RunState
from servo_emr.domain.spec import Market, NodeGroup, Role, RunKey, RunSpec, Step
from servo_emr.pricing.book import RateBook
from tests.support.emulator import EmulatorProcess
from tests.support.samples import SPEC
from tests.support.simclock import SimClock

RUNS = 50
TYPES = {  # EC2, EMR fee, GiB of default volumes
    "m5.xlarge": (0.192, 0.048, 64),
    "c5.2xlarge": (0.34, 0.085, 128),
    "r5.4xlarge": (1.008, 0.252, 256),
}
GP2, GP3, ROOT_GIB = 0.10, 0.08, 15
HOUR, MONTH = 3600.0, 30 * 86_400.0
CHANGE_S = 420.0  # the spot price of every pool changes so often
SHARES = (0.3, 0.45, 0.38, 0.55, 0.41)  # of the on-demand price, in turn
CANNED = "2026-11-01"


def price_table() -> str:
    head = f"# region: us-east-1\n# currency: USD\n# ec2: list price of {CANNED}\n# fee: list of {CANNED}\n"
    volumes = f"# ebs: list price of {CANNED}\n# ebs.gp2: {GP2}\n# ebs.gp3: {GP3}\n"
    rows = [f"{name},4,16,{ec2},{fee}\n" for name, (ec2, fee, _) in TYPES.items()]
    return f"{head}{volumes}type,vcpus,memory_gib,ec2,fee\n{''.join(rows)}"


def spot_price(inst_type: str, step: int) -> float:
    """Of the step-th interval since the emulator's start."""
    return round(TYPES[inst_type][0] * SHARES[step % len(SHARES)], 6)


def spot_table(zones: list[str], zero: float) -> str:
    """Changes at whole seconds, which is how exactly EC2 tells them."""
    rows = ["instance_type,availability_zone,timestamp,price\n"]
    times = [datetime.fromtimestamp(zero + n * CHANGE_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for n in range(60)]
    for inst_type in TYPES:
        for zone in zones:
            rows.append(f"{inst_type},{zone},2020-01-01T00:00:00Z,{spot_price(inst_type, 0)}\n")
            rows += [f"{inst_type},{zone},{at},{spot_price(inst_type, n)}\n" for n, at in enumerate(times)]
    return "".join(rows)


@pytest.fixture(scope="module")
def zero() -> float:
    """When the spot prices begin to change: shortly before W begins."""
    return float(int(time.time()))


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory, zero: float) -> Iterator[EmulatorProcess]:
    folder = tmp_path_factory.mktemp("prices")
    prices, spot = folder / "prices.csv", folder / "spot.csv"
    prices.write_text(price_table())
    spot.write_text(spot_table([f"us-east-1{letter}" for letter in "abcdef"], zero))
    options = ("--no-execute", "--model", "a=900,b=0,c=0,d=0,w=0", "--noise", "0.4", "--seed", "bills")
    with EmulatorProcess(*options, "--prices", str(prices), "--spot-prices", str(spot)) as process:
        process.client("s3").create_bucket(Bucket="acme-servo")
        yield process


def set_faults(emulator: EmulatorProcess, faults: list[dict[str, Any]]) -> None:
    httpx.post(f"{emulator.url}/_emulator/faults", json=faults).raise_for_status()


@dataclass
class Run:
    """A cluster that was launched, and what was asked for."""

    spec: RunSpec
    handle: Handle
    look: Observation = field(default_factory=lambda: Observation(RunState.PROVISIONING))


def random_spec(dice: random.Random) -> RunSpec:
    """One to three groups on either market, one to three repeats."""

    def group(role: Role, most: int) -> NodeGroup:
        inst_type = dice.choice(list(TYPES))
        market = dice.choice([Market.ON_DEMAND, Market.SPOT])
        bid = dice.choice([None, round(TYPES[inst_type][0] * 0.8, 3)]) if market is Market.SPOT else None
        return NodeGroup(role, inst_type, dice.randint(1, most), market, bid)

    groups = [group(Role.PRIMARY, 1)] + ([group(Role.CORE, 5)] if dice.random() < 0.9 else [])
    if len(groups) > 1 and dice.random() < 0.4:
        groups.append(group(Role.TASK, 4))
    repeats = dice.choice([1, 1, 2, 3])
    steps = tuple(Step(f"notebook {n}", ("true",), True, n) for n in range(1, repeats + 1))
    job = replace(SPEC.job, repeats=repeats)
    return replace(SPEC, groups=tuple(groups), steps=steps, job=job, bootstrap=("s3://acme-servo/boot.sh",))


def misfortunes(dice: random.Random, key: RunKey, spec: RunSpec) -> list[dict[str, Any]]:
    """Something that makes rows of their own: a lost node and its successor, a reclaimed one, an early end."""
    core, pattern = spec.group(Role.CORE), f"*{key.run_id}"
    kind = dice.choice(["none", "none", "lost", "reclaimed", "ended"])
    if kind == "lost" and core is not None:
        return [{"kind": "lose-instance", "role": "CORE", "after": dice.randint(30, 600), "cluster": pattern}]
    if kind == "reclaimed" and core is not None and core.market is Market.SPOT:
        return [{"kind": "reclaim-spot", "role": "CORE", "after": dice.randint(30, 600), "cluster": pattern}]
    if kind == "ended":
        return [{"kind": "user-terminates", "phase": "bootstrapping", "after": dice.randint(1, 40), "cluster": pattern}]
    return []


@pytest.fixture(autouse=True)
def account(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in emulator.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def runs(emulator: EmulatorProcess) -> list[Run]:
    """All at once on one W, until the last has ended."""

    async def launch_all() -> list[Run]:
        target, dice = Ec2Target(Door("us-east-1", Patience.LOOK), "us-east-1", SimClock()), random.Random(4711)
        specs = [random_spec(dice) for _ in range(RUNS)]
        keys = [RunKey("s3://acme-servo/w", "cafe0123", f"20261121t101530-{n:08x}") for n in range(RUNS)]
        faults = [fault for spec, key in zip(specs, keys, strict=True) for fault in misfortunes(dice, key, spec)]
        set_faults(emulator, faults)
        launched = [Run(spec, await target.submit(spec, key)) for spec, key in zip(specs, keys, strict=True)]
        emulator.advance(3 * HOUR)
        for run in launched:
            run.look = await target.observe(run.handle)
            assert run.look.state.terminal
        return launched

    with pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.env.items():
            patch.setenv(name, value)
        return asyncio.run(launch_all())


class OurBills:
    """What bills the runs: EMR's answers and AWS's price list, over HTTP."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        clock, door = SimClock(emulator.now()), Door("us-east-1", Patience.LOOK)
        self.target = Ec2Target(door, "us-east-1", clock)
        listed = ListPrices(Door(PRICE_LIST_REGION, Patience.LOOK))
        self.book = RateBook([listed], clock=clock, spot=SpotPrices(door))

    async def of(self, run: Run) -> Cost:
        quote, usage = await self.book.quote(run.spec), await self.target.usage(run.handle)
        return await self.book.bill(usage, quote, measured_intervals(run.spec, run.look.steps))


@dataclass(frozen=True)
class Expected:
    """The other calculation."""

    ec2: float
    fee: float
    fee_low: float
    ebs: float
    hours: float
    job: list[float]

    @property
    def billed(self) -> float:
        return self.ec2 + self.fee + self.ebs


def spot_usd(inst_type: str, start: float, end: float, zero: float) -> float:
    """The spot price integrated second by second where it changes, from the table's own rule."""
    usd, at = 0.0, start
    while at < end:
        step = int((at - zero) // CHANGE_S)
        until = min(end, zero + (step + 1) * CHANGE_S)
        usd += (until - at) * spot_price(inst_type, step) / HOUR
        at = until
    return usd


def by_hand(rows: list[dict[str, Any]], repeats: list[list[tuple[float, float]]], zero: float) -> Expected:
    """From the emulator's log of instances and the intervals of the measured steps."""
    ec2 = fee = fee_low = ebs = hours = 0.0
    job = [0.0 for _ in repeats]
    for row in rows:
        on_demand, emr, gib = TYPES[row["type"]]
        start, end = row["created"], max(row["ended"], row["created"] + 60)
        volumes = (gib * GP2 + ROOT_GIB * GP3) / MONTH
        spot = row["market"] == "SPOT"
        ec2 += spot_usd(row["type"], start, end, zero) if spot else (end - start) / HOUR * on_demand
        fee += (end - start) / HOUR * emr
        fee_low += 0.0 if row["ready"] is None else max(row["ended"] - row["ready"], 60) / HOUR * emr
        ebs += (end - start) * volumes
        hours += (end - start) / HOUR
        for n, intervals in enumerate(repeats):
            for began, done in intervals:
                there, gone = max(began, row["created"]), min(done, row["ended"])
                if gone > there:
                    rate = spot_usd(row["type"], there, gone, zero) if spot else (gone - there) / HOUR * on_demand
                    job[n] += rate + (gone - there) * (emr / HOUR + volumes)
    return Expected(ec2, fee, fee_low, ebs, hours, job)


async def test_fifty_random_runs_cost_what_the_emulators_own_log_says(
    emulator: EmulatorProcess, zero: float, runs: list[Run]
) -> None:
    ours = OurBills(emulator)
    seen = {"replaced": 0, "spot": 0, "ended early": 0, "repeats": 0}
    for run in runs:
        rows = emulator.get("instances", cluster=run.handle.cluster_id)
        steps = emulator.get("steps", cluster=run.handle.cluster_id)
        ran = [[(step["started"], step["ended"])] if step["started"] else [] for step in steps]
        cost, expected = await ours.of(run), by_hand(rows, ran, zero)
        assert cost.billed_usd == pytest.approx(expected.billed, abs=1e-4)
        assert cost.ec2_usd == pytest.approx(expected.ec2, abs=1e-4)
        assert cost.fee_usd == pytest.approx(expected.fee, abs=1e-4)
        assert cost.fee_low_usd == pytest.approx(expected.fee_low, abs=1e-4)
        assert cost.ebs_usd == pytest.approx(expected.ebs, abs=1e-4)
        assert cost.node_hours == pytest.approx(expected.hours, abs=1e-3)
        if all(ran):
            median = statistics.median(expected.job)
            assert cost.job_usd == pytest.approx(median, abs=1e-4)
            assert cost.usd == pytest.approx(expected.billed - sum(expected.job) + median, abs=1e-4)
        else:
            assert cost.job_usd is None
            seen["ended early"] += 1
        asked = sum(group.count for group in run.spec.groups)
        seen["replaced"] += len(rows) > asked
        seen["spot"] += any(row["market"] == "SPOT" for row in rows)
        seen["repeats"] += run.spec.job.repeats > 1 and all(ran)
    assert all(count >= 4 for count in seen.values()), f"too few of a kind to mean anything: {seen}"


async def test_without_the_right_to_ask_for_prices_the_error_says_so_and_there_is_no_number(
    emulator: EmulatorProcess, runs: list[Run]
) -> None:
    set_faults(emulator, [{"kind": "access-denied", "operation": "pricing:GetProducts"}])
    try:
        with pytest.raises(RunError) as refused:
            await OurBills(emulator).of(runs[0])
    finally:
        set_faults(emulator, [])
    assert refused.value.reason is Reason.PRICE
    assert "pricing:GetProducts" in str(refused.value)
    assert "emr.prices.overrides" in str(refused.value)
