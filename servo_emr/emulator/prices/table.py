"""The given list prices: what instances, their EMR fee and their volumes cost in each region that a file was given for.

Knows the files' format. Which documents a service makes of the prices, and what they are used for, is not known here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["EBS_RATES", "PriceList", "RegionPrices", "TypePrice", "load_prices"]

COLUMNS = "type,vcpus,memory_gib,ec2,fee"

EBS_RATES = (
    "gp2", "gp3", "gp3.iops", "gp3.throughput", "io1", "io1.iops", "st1", "sc1", "standard",
)  # fmt: skip
"""Storage in USD per GiB-month; `.iops` per provisioned IOPS-month; `.throughput` per provisioned MiB/s-month."""

_FACTS = ("region", "currency", "ec2", "fee")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_LOCATED = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


@dataclass(frozen=True)
class TypePrice:
    """One instance type in one region: USD per instance-hour. `fee` None: the list has no EMR fee for it."""

    name: str
    vcpus: int
    memory_gib: float
    ec2: float
    fee: float | None


@dataclass(frozen=True)
class RegionPrices:
    """One file. The days are ISO dates: of which day the EC2 prices and the EMR fees are."""

    region: str
    ec2_day: str
    fee_day: str
    types: Mapping[str, TypePrice]
    ebs: Mapping[str, float]  # of EBS_RATES, those that the file has


@dataclass(frozen=True)
class PriceList:
    """All regions that have prices."""

    regions: Mapping[str, RegionPrices] = field(default_factory=dict)

    def type_price(self, region: str, instance_type: str) -> TypePrice | None:
        prices = self.regions.get(region)
        return prices.types.get(instance_type) if prices else None

    def on_demand(self, region: str, instance_type: str) -> float | None:
        """USD per hour of EC2 alone; None when the list does not have it."""
        price = self.type_price(region, instance_type)
        return price.ec2 if price else None


def load_prices(*paths: Path) -> PriceList:
    """The prices in these files, one region each; without a file a list that has no prices.

    A file has lines `# name: value` for region, currency (USD), ec2 and fee (both must name a day, YYYY-MM-DD) and,
    as far as volumes have a price, `# ebs.NAME: price` for EBS_RATES; then the line `type,vcpus,memory_gib,ec2,fee`;
    then a line for each type, with an empty fee where the list has none. A price of 0 is let through: clients have to
    cope with it.

    Raises:
        ValueError: a file cannot be read or is no such list; the message names file, line and what belongs there.
    """
    regions: dict[str, RegionPrices] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: the price list cannot be read: {error}") from None
        prices = _parse(path, text)
        if prices.region in regions:
            raise ValueError(f"{path}: region {prices.region} has prices already; give one file for each region")
        regions[prices.region] = prices
    return PriceList(regions)


def _parse(path: Path, text: str) -> RegionPrices:
    facts: dict[str, str] = {}
    types: dict[str, TypePrice] = {}
    header_seen = False
    for number, line in enumerate(text.splitlines(), start=1):
        place = f"{path}, line {number}"
        if line.startswith("#"):
            name, colon, value = (part.strip() for part in line[1:].partition(":"))
            if colon and name.startswith("ebs.") and name.removeprefix("ebs.") not in EBS_RATES:
                raise ValueError(f"{place}: {name} is none of {', '.join(f'ebs.{rate}' for rate in EBS_RATES)}")
            facts[name] = value
        elif not header_seen:
            if line != COLUMNS:
                raise ValueError(f"{place}: {line!r} where {COLUMNS} must be")
            header_seen = True
        else:
            price = _type_price(place, line)
            if price.name in types:
                raise ValueError(f"{place}: {price.name} is there twice")
            types[price.name] = price
    if not types:
        raise ValueError(f"{path}: the price list has no types; after {COLUMNS} a line for each type must follow")
    return _region_prices(path, facts, types)


def _region_prices(path: Path, facts: Mapping[str, str], types: Mapping[str, TypePrice]) -> RegionPrices:
    missing = [name for name in _FACTS if not facts.get(name)]
    if missing:
        raise ValueError(f"{path}: no line '# {missing[0]}: ...'; needed are {', '.join(_FACTS)}")
    if facts["currency"] != "USD":
        raise ValueError(f"{path}: currency {facts['currency']}; prices must be in USD")
    if _LOCATED.fullmatch(facts["region"]) is None:
        raise ValueError(f"{path}: region {facts['region']!r}; write one such as us-east-1")
    days = []
    for name in ("ec2", "fee"):
        day = _DAY.search(facts[name])
        if day is None:
            raise ValueError(f"{path}: '# {name}: {facts[name]}' names no day; write one as YYYY-MM-DD")
        days.append(day[0])
    ebs = {}
    for rate in EBS_RATES:
        if f"ebs.{rate}" in facts:
            ebs[rate] = _price(f"{path}, ebs.{rate}", facts[f"ebs.{rate}"])
    return RegionPrices(facts["region"], days[0], days[1], types, ebs)


def _type_price(place: str, line: str) -> TypePrice:
    cells = line.split(",")
    if len(cells) != 5 or not cells[0]:
        raise ValueError(f"{place}: {line!r} is not {COLUMNS}")
    name, vcpus, memory, ec2, fee = cells
    if not vcpus.isdecimal():
        raise ValueError(f"{place}: vcpus {vcpus!r}: a whole number")
    return TypePrice(
        name=name,
        vcpus=int(vcpus),
        memory_gib=_price(f"{place}, memory_gib", memory),
        ec2=_price(f"{place}, ec2", ec2),
        fee=_price(f"{place}, fee", fee) if fee else None,
    )


def _price(place: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{place}: {text!r}: a number, 0 or more")
    return value
