"""The dated price table in the package, as a PriceSource: list prices of one region, and the size of each type.

Knows the table's format and the rule for a fee that no list has. What a price is used for, and whether an estimated
fee may be used, is not decided here. The file is read at the first question, so that whoever asks none pays nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from servo_emr.domain.ports import Prices, Rate

__all__ = ["ESTIMATED_FEE_SHARE", "PACKAGED", "Table", "TablePrices", "parse"]

PACKAGED = Path(__file__).with_name("us-east-1.csv")
"""The table that the package ships; docs/cost.md names its sources."""

ESTIMATED_FEE_SHARE = 0.25
"""The EMR fee of a type that no list has, as a share of its EC2 price: an estimate, and marked as one in the Rate."""

COLUMNS = "type,vcpus,memory_gib,ec2,fee"
_FACTS = ("region", "currency", "ec2", "fee")


@dataclass(frozen=True)
class Table:
    """One region's list prices. `ec2` and `fee` say where the two prices come from and of which day they are."""

    region: str
    ec2: str
    fee: str
    rates: Mapping[str, Rate]

    @property
    def description(self) -> str:
        """What the table has, for messages and for the basis of a figure."""
        return f"the packaged table (region {self.region}, {len(self.rates)} types; EC2 {self.ec2}; EMR fee {self.fee})"


def parse(text: str) -> Table:
    """The table in `text`: lines `# name: value` for region, currency, ec2 and fee, the header, then a line a type.

    USD per instance-hour; an empty fee is one that no list has.

    Raises:
        ValueError: the text is no such table; the message names the line.
    """
    facts: dict[str, str] = {}
    rates: dict[str, Rate] = {}
    header_seen = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            name, colon, value = line[1:].partition(":")
            if colon and name.strip() in _FACTS:
                facts[name.strip()] = value.strip()
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
    return Table(facts["region"], facts["ec2"], facts["fee"], rates)


def _rate(number: int, line: str, facts: Mapping[str, str]) -> Rate:
    try:
        inst_type, vcpus, memory, ec2, fee = line.split(",")
        on_demand = float(ec2)
        return Rate(
            inst_type=inst_type,
            region=facts["region"],
            ec2=on_demand,
            fee=float(fee) if fee else on_demand * ESTIMATED_FEE_SHARE,
            ec2_source=facts["ec2"],
            fee_source=facts["fee"] if fee else f"estimated as {ESTIMATED_FEE_SHARE:.0%} of EC2",
            fee_estimated=not fee,
            vcpus=int(vcpus),
            memory_gib=float(memory),
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

    async def prices(self, region: str, inst_types: Sequence[str]) -> Prices:
        """The rates of those of the types that the table has; none at all for another region than its own."""
        # Read on the event loop: 11 kB beside the module's own source, which is read no differently.
        known = self.table.rates if region == self.table.region else {}
        return Prices({name: known[name] for name in inst_types if name in known}, self.table.description)

    def facts(self, inst_type: str) -> tuple[int, float] | None:
        """(vCPUs, memory in GiB) of a type in any region, or None when the table does not have it."""
        rate = self.table.rates.get(inst_type)
        return (rate.vcpus, rate.memory_gib) if rate else None
