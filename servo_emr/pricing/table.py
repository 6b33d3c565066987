"""The dated price table in the package, as a PriceSource: list prices of one region.

Knows the table's format, and that a fee which no list has is estimated. What a price is used for, and whether an
estimate may be used, is not decided here. The file is read at the first question: whoever asks none pays nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from servo_emr.domain.money import ESTIMATED_FEE_SHARE, Prices, Rate, StorageRate

__all__ = ["COLUMNS", "PACKAGED", "Table", "TablePrices", "parse"]

PACKAGED = Path(__file__).with_name("us-east-1.csv")
"""The table that the package ships; docs/cost.md names its sources."""

COLUMNS = "type,vcpus,memory_gib,ec2,fee"
"""vcpus and memory_gib are for whoever reads the file; no price depends on them."""
_FACTS = ("region", "currency", "ec2", "fee", "ebs")
_CHARGES = {"": "gib_month", "iops": "iops_month", "throughput": "throughput_month"}


@dataclass(frozen=True)
class Table:
    """One region's list prices. `ec2`, `fee` and `ebs` say where each comes from and of which day it is."""

    region: str
    ec2: str
    fee: str
    ebs: str
    rates: Mapping[str, Rate]
    storage: Mapping[str, StorageRate]

    @property
    def description(self) -> str:
        """What the table has, for messages and for the basis of a figure."""
        return (
            f"the packaged table (region {self.region}, {len(self.rates)} types; EC2 {self.ec2}; EMR fee {self.fee}; "
            f"EBS {self.ebs})"
        )


def parse(text: str) -> Table:
    """The table in `text`: lines `# name: value`, the header, then a line a type.

    The names are region, currency, ec2, fee and ebs; and for each kind of EBS volume `ebs.KIND`, USD per GiB and month,
    with `ebs.KIND.iops` and `ebs.KIND.throughput`, USD per provisioned IOPS and MiB/s and month, where it charges them.
    Types are in USD per instance-hour; an empty fee is one that no list has.

    Raises:
        ValueError: the text is no such table; the message names the line.
    """
    facts: dict[str, str] = {}
    volumes: dict[str, dict[str, float]] = {}
    rates: dict[str, Rate] = {}
    header_seen = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            name, colon, value = (part.strip() for part in line[1:].partition(":"))
            if colon and name in _FACTS:
                facts[name] = value
            elif colon and name.startswith("ebs."):
                kind, charge, usd = _charge(number, name, value)
                volumes.setdefault(kind, {})[charge] = usd
        elif not header_seen:
            if line != COLUMNS or facts.keys() < set(_FACTS) or facts["currency"] != "USD":
                raise ValueError(f"price table, line {number}: {', '.join(_FACTS)} in USD, then {COLUMNS} must be here")
            header_seen = True
        else:
            rate = _rate(number, line, facts)
            if rate.inst_type in rates:
                raise ValueError(f"price table, line {number}: {rate.inst_type} is there twice")
            rates[rate.inst_type] = rate
    if not rates:
        raise ValueError("price table: it has no types")
    storage = {kind: _storage(kind, charges, facts) for kind, charges in volumes.items()}
    return Table(facts["region"], facts["ec2"], facts["fee"], facts["ebs"], rates, storage)


def _charge(number: int, name: str, value: str) -> tuple[str, str, float]:
    """(kind, field of a StorageRate, USD)."""
    _, kind, *rest = name.split(".")
    try:
        return kind, _CHARGES[".".join(rest)], float(value)
    except (KeyError, ValueError) as error:
        raise ValueError(f"price table, line {number}: {name}: {value} is no price of a volume") from error


def _storage(kind: str, charges: Mapping[str, float], facts: Mapping[str, str]) -> StorageRate:
    if "gib_month" not in charges:
        raise ValueError(f"price table: ebs.{kind} is missing, its other charges are there")
    return StorageRate(kind=kind, region=facts["region"], source=facts["ebs"], **charges)


def _rate(number: int, line: str, facts: Mapping[str, str]) -> Rate:
    try:
        inst_type, _, _, ec2, fee = line.split(",")
        on_demand = float(ec2)
        return Rate(
            inst_type=inst_type,
            region=facts["region"],
            ec2=on_demand,
            fee=float(fee) if fee else on_demand * ESTIMATED_FEE_SHARE,
            ec2_source=facts["ec2"],
            fee_source=facts["fee"] if fee else f"estimated as {ESTIMATED_FEE_SHARE:.0%} of EC2",
            fee_estimated=not fee,
        )
    except ValueError as error:
        raise ValueError(f"price table, line {number}: {line!r} is not {COLUMNS}: {error}") from error


class TablePrices:
    """A PriceSource over one table file; `path` is the packaged one unless told otherwise."""

    def __init__(self, path: Path = PACKAGED) -> None:
        self._path = path

    @cached_property
    def table(self) -> Table:
        """The table, read and parsed once."""
        return parse(self._path.read_text(encoding="utf-8"))

    async def prices(self, region: str, inst_types: Sequence[str], kinds: Sequence[str]) -> Prices:
        """Those of the types and kinds that the table has; none at all for another region than its own."""
        # Read on the event loop: 11 kB beside the module's own source, which is read no differently.
        table = self.table
        rates, storage = (table.rates, table.storage) if region == table.region else ({}, {})
        return Prices(
            source=table.description,
            rates={name: rates[name] for name in inst_types if name in rates},
            storage={kind: storage[kind] for kind in kinds if kind in storage},
        )
