"""AWS's own prices: the Price List API's products and EC2's spot price history, as rates.

The secrets kept here are which products are the ones that an EMR node is billed by, and how their documents look. Never
more than what was asked: whoever wants a price that AWS does not list must look elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from servo_emr.aws.door import Door, understood
from servo_emr.domain.errors import RunError
from servo_emr.domain.money import ESTIMATED_FEE_SHARE, Prices, Rate, SpotPoint, StorageRate

__all__ = ["PRICE_LIST_REGION", "ListPrices", "SpotPrices"]

PRICE_LIST_REGION = "us-east-1"
"""The Price List API is served from a few regions only, and each knows the prices of all."""

_EC2 = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "operation": "RunInstances",
    "marketoption": "OnDemand",
}
_EMR = {"productFamily": "Elastic Map Reduce Instance", "softwareType": "EMR"}
_PRODUCT = "Linux/UNIX"
_PARTS = {
    "gb-mo": ("gib_month", 1.0),
    "iops-mo": ("iops_month", 1.0),
    "mibps-mo": ("throughput_month", 1.0),
    "gibps-mo": ("throughput_month", 1 / 1024),
}
"""Units of EBS prices -> the field of a StorageRate and the factor into its unit. Other units are left
out: the I/O requests of magnetic volumes are counted nowhere that we can read."""


@dataclass
class _Found:
    """What the price list said so far, and in which of its versions."""

    rates: dict[str, Rate] = field(default_factory=dict)
    storage: dict[str, StorageRate] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Price:
    usd: float
    unit: str
    source: str


class ListPrices:
    """`domain.ports.PriceSource` on the Price List API: on-demand list prices, the account's discounts not in them.

    Args:
        door: to `PRICE_LIST_REGION`.
    """

    SOURCE = "AWS Price List"

    def __init__(self, door: Door) -> None:
        self._door = door

    async def prices(self, region: str, inst_types: Sequence[str], kinds: Sequence[str]) -> Prices:
        found = _Found()
        try:
            for inst_type in inst_types:
                await self._rate(found, region, inst_type)
            for kind in kinds:
                await self._storage(found, region, kind)
        except RunError as error:
            # Notes go with the figures to the optimizer: AWS's own words, which name accounts and identities, do not.
            found.remarks.append(f"{self.SOURCE} could not be asked ({error.public}). {error.remedy}".rstrip())
        return Prices(self.SOURCE, found.rates, found.storage, "; ".join(found.remarks))

    async def _rate(self, found: _Found, region: str, inst_type: str) -> None:
        ec2 = await self._only(found, "AmazonEC2", {**_EC2, "regionCode": region, "instanceType": inst_type})
        fee = await self._only(found, "ElasticMapReduce", {**_EMR, "regionCode": region, "instanceType": inst_type})
        if ec2 is None:
            return
        if fee is not None:
            found.rates[inst_type] = Rate(inst_type, region, ec2.usd, fee.usd, ec2.source, fee.source)
            return
        guess = f"estimated as {ESTIMATED_FEE_SHARE:.0%} of EC2"
        found.rates[inst_type] = Rate(
            inst_type, region, ec2.usd, ec2.usd * ESTIMATED_FEE_SHARE, ec2.source, guess, fee_estimated=True
        )

    async def _storage(self, found: _Found, region: str, kind: str) -> None:
        """EBS charges for GiB, and some kinds for IOPS and throughput: products of their own, told by their unit."""
        parts: dict[str, float] = {}
        source = ""
        for price in await self._products("AmazonEC2", {"regionCode": region, "volumeApiName": kind}):
            name, factor = _PARTS.get(price.unit.lower(), ("", 0.0))
            if name and parts.setdefault(name, price.usd * factor) != price.usd * factor:
                found.remarks.append(f"{self.SOURCE} has several prices for EBS {kind} in {price.unit}: none is used")
                return
            source = price.source
        if "gib_month" in parts:
            found.storage[kind] = StorageRate(kind, region, source=source, **parts)

    async def _only(self, found: _Found, service: str, attributes: Mapping[str, str]) -> _Price | None:
        """The one hourly price of what the attributes describe; None when there is none, or more than one."""
        prices = {p for p in await self._products(service, attributes) if p.unit.lower() in ("hrs", "hours")}
        if len({price.usd for price in prices}) > 1:
            what = f"{service} {attributes['instanceType']} in {attributes['regionCode']}"
            shown = ", ".join(f"{price.usd:g}" for price in sorted(prices, key=lambda price: price.usd))
            found.remarks.append(f"{self.SOURCE} has several prices for {what} ({shown}): none is used")
            return None
        return min(prices, key=lambda price: price.source, default=None)

    async def _products(self, service: str, attributes: Mapping[str, str]) -> list[_Price]:
        filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in attributes.items()]
        pages = self._door.pages(
            "pricing", "GetProducts", "PriceList", ServiceCode=service, Filters=filters, FormatVersion="aws_v1"
        )
        with understood("pricing:GetProducts"):
            return [price async for text in pages for price in _on_demand(json.loads(text))]


def _on_demand(product: Mapping[str, Any]) -> Iterable[_Price]:
    """The on-demand prices in one product's document."""
    published = str(product.get("publicationDate", ""))[:10] or "without a date"
    source = f"{ListPrices.SOURCE} of {published}, version {product.get('version', 'unknown')}"
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if "USD" in dimension["pricePerUnit"]:
                yield _Price(float(dimension["pricePerUnit"]["USD"]), str(dimension["unit"]), source)


class SpotPrices:
    """`domain.ports.SpotSource` on EC2's spot price history (90 days of it).

    Args:
        door: to the region whose prices are wanted.
    """

    def __init__(self, door: Door) -> None:
        self._door = door

    async def history(
        self, region: str, inst_types: Sequence[str], start: float, end: float, zone: str | None = None
    ) -> Mapping[tuple[str, str], Sequence[SpotPoint]]:
        """As the port says; `region` must be the door's own."""
        where: dict[str, Any] = {} if zone is None else {"AvailabilityZone": zone}
        pages = self._door.pages(
            "ec2",
            "DescribeSpotPriceHistory",
            "SpotPriceHistory",
            InstanceTypes=list(inst_types),
            ProductDescriptions=[_PRODUCT],
            StartTime=datetime.fromtimestamp(start, UTC),
            EndTime=datetime.fromtimestamp(end, UTC),
            **where,
        )
        pools: dict[tuple[str, str], dict[float, float]] = {}
        with understood("ec2:DescribeSpotPriceHistory"):
            async for entry in pages:
                pool = pools.setdefault((entry["InstanceType"], entry["AvailabilityZone"]), {})
                pool[entry["Timestamp"].timestamp()] = float(entry["SpotPrice"])
        return {pool: tuple(SpotPoint(at, usd) for at, usd in sorted(points.items())) for pool, points in pools.items()}
