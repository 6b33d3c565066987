"""Small parts for everything that has to do with prices: specs, sources and spot histories of given figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from servo_emr.domain.errors import RunError
from servo_emr.domain.money import Prices, Rate, SpotPoint, StorageRate
from servo_emr.domain.run import Volume
from servo_emr.domain.spec import ClusterSpec, JobSpec, LimitSpec, Market, NodeGroup, Role, RunSpec, Step

__all__ = ["GP2", "GP3", "ROOT", "T0", "ZONE", "History", "Source", "group", "rate", "spec", "storage"]

T0 = 1_763_700_000.0
ZONE = "us-east-1a"
ROOT = Volume("gp3", 15.0)


def rate(inst_type: str, ec2: float = 0.2, fee: float = 0.05, estimated: bool = False) -> Rate:
    """USD per hour of a type in us-east-1."""
    fee_source = "estimated as 25% of EC2" if estimated else "list of 2019-04-05"
    return Rate(inst_type, "us-east-1", ec2, fee, "list price of 2023-08-30", fee_source, estimated)


def storage(kind: str, gib: float = 0.1, iops: float | None = None, throughput: float | None = None) -> StorageRate:
    """USD per month of a kind of volume in us-east-1."""
    return StorageRate(kind, "us-east-1", gib, "list price of 2024", iops, throughput)


GP2 = storage("gp2")
GP3 = storage("gp3", 0.08, 0.005, 0.04)


class Source:
    """A PriceSource of given prices that remembers what it was asked."""

    def __init__(self, name: str, *known: Rate | StorageRate, note: str = "") -> None:
        self.name, self.note = name, note
        self.rates = {item.inst_type: item for item in known if isinstance(item, Rate)}
        self.storage = {item.kind: item for item in known if isinstance(item, StorageRate)}
        self.asked: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []

    async def prices(self, region: str, inst_types: Sequence[str], kinds: Sequence[str]) -> Prices:
        self.asked.append((region, tuple(inst_types), tuple(kinds)))
        return Prices(
            self.name,
            {name: self.rates[name] for name in inst_types if name in self.rates},
            {kind: self.storage[kind] for kind in kinds if kind in self.storage},
            self.note,
        )


@dataclass
class History:
    """A SpotSource of given histories, (type, zone) -> points, that remembers what it was asked."""

    pools: Mapping[tuple[str, str], Sequence[SpotPoint]]
    error: RunError | None = None
    asked: list[tuple[str, tuple[str, ...], float, float, str | None]] = field(default_factory=list)

    async def history(
        self, region: str, inst_types: Sequence[str], start: float, end: float, zone: str | None = None
    ) -> Mapping[tuple[str, str], Sequence[SpotPoint]]:
        self.asked.append((region, tuple(inst_types), start, end, zone))
        if self.error is not None:
            raise self.error
        return {
            pool: points for pool, points in self.pools.items() if pool[0] in inst_types and zone in (None, pool[1])
        }


def group(
    role: Role, inst_type: str, count: int = 1, market: Market = Market.ON_DEMAND, bid: float | None = None
) -> NodeGroup:
    """A group of nodes."""
    return NodeGroup(role, inst_type, count, market, bid)


def spec(
    *groups: NodeGroup | str,
    region: str = "us-east-1",
    release: str = "emr-7.1.0",
    expected_s: float = 1200.0,
    timeout_s: float = 7200.0,
    repeats: int = 1,
) -> RunSpec:
    """A run on the given groups; types alone become the primary node, two core nodes and a task node, in this order."""
    roles = ((Role.PRIMARY, 1), (Role.CORE, 2), (Role.TASK, 1))
    return RunSpec(
        region=region,
        groups=tuple(
            NodeGroup(role, item, count) if isinstance(item, str) else item
            for item, (role, count) in zip(groups, roles, strict=False)
        ),
        cluster=ClusterSpec(release),
        job=JobSpec("s3://bucket/job.ipynb", "{}", "python3", timeout_s, expected_s, repeats=repeats),
        steps=tuple(Step(f"job {n}", ("spark-submit",), True, n) for n in range(1, repeats + 1)),
        bootstrap=(),
        limits=LimitSpec(),
    )
