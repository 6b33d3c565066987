"""The documents of the AWS Price List, made of given list prices: products, their attributes, their terms.

The prices of Linux on shared hardware, of EMR and of volumes are the given ones. Around them stand the products that
a careless query takes for them, as AWS's list has them: Windows, RHEL, SQL Server, dedicated hardware, capacity
reservations, reserved terms, other EMR distributions. Their prices are invented from the given ones. Knows no queries.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import botocore.session

from servo_emr.emulator.prices.table import PriceList, RegionPrices, TypePrice

__all__ = ["EC2", "EMR", "WINDOWS_PER_VCPU", "Product", "products"]

EC2 = "AmazonEC2"
EMR = "ElasticMapReduce"

# USD per hour on top of Linux. Windows and RHEL are near what AWS asked in 2023, the others are made up.
WINDOWS_PER_VCPU = 0.046
_RHEL = 0.06
_SQL_PER_VCPU = 0.12
_DEDICATED = 1.1  # times the shared price
_DISTRIBUTION = 0.05  # MapR, Hunk
_RESERVED_SHARE = 0.63  # of the on-demand price, for a year, nothing upfront
_HOURS_A_YEAR = 8760

_OFFER, _RATE, _UPFRONT_RATE = "JRTCKXETXF", "6YS6EN2CT7", "2TG2D8R56U"
_YEAR_NO_UPFRONT, _YEAR_ALL_UPFRONT = "4NA7Y494T4", "6QCMYABX3D"

# Region codes in usage types; us-east-1 has none. A region that is not here gets its name in capitals.
_PREFIXES = {
    "us-east-1": "", "us-east-2": "USE2-", "us-west-1": "USW1-", "us-west-2": "USW2-", "ca-central-1": "CAN1-",
    "eu-west-1": "EU-", "eu-west-2": "EUW2-", "eu-west-3": "EUW3-", "eu-central-1": "EUC1-", "eu-north-1": "EUN1-",
    "ap-south-1": "APS3-", "ap-southeast-1": "APS1-", "ap-southeast-2": "APS2-", "ap-northeast-1": "APN1-",
    "ap-northeast-2": "APN2-", "ap-northeast-3": "APN3-", "sa-east-1": "SAE1-",
}  # fmt: skip

_FAMILIES = {
    "m": "General purpose", "t": "General purpose", "c": "Compute optimized", "r": "Memory optimized",
    "x": "Memory optimized", "i": "Storage optimized", "d": "Storage optimized", "h": "Storage optimized",
    "g": "GPU instance", "p": "GPU instance",
}  # fmt: skip


@dataclass(frozen=True)
class Product:
    """A product before it is a document. `terms`: by kind ("OnDemand", "Reserved"), by offer, the price dimensions."""

    service: str
    family: str
    attributes: Mapping[str, str]
    day: str
    terms: Mapping[str, Mapping[str, Mapping[str, Any]]]

    @property
    def fields(self) -> Mapping[str, str]:
        """What a filter may ask for: the attributes and the family."""
        return {**self.attributes, "productFamily": self.family}

    def document(self) -> dict[str, Any]:
        sku = self.sku
        terms: dict[str, dict[str, Any]] = {}
        for kind, offers in self.terms.items():
            terms[kind] = {
                f"{sku}.{offer}": {
                    "priceDimensions": {
                        f"{sku}.{offer}.{rate}": {**dimension, "rateCode": f"{sku}.{offer}.{rate}", "appliesTo": []}
                        for rate, dimension in term["dimensions"].items()
                    },
                    "sku": sku,
                    "effectiveDate": f"{self.day}T00:00:00Z",
                    "offerTermCode": offer,
                    "termAttributes": term["attributes"],
                }
                for offer, term in offers.items()
            }
        return {
            "product": {"productFamily": self.family, "attributes": dict(self.attributes), "sku": sku},
            "serviceCode": self.service,
            "terms": terms,
            "version": self.day.replace("-", "") + "000000",
            "publicationDate": f"{self.day}T00:00:00Z",
        }

    @property
    def sku(self) -> str:
        """Follows from what the product is."""
        what = f"{self.service}/{sorted(self.fields.items())}"
        return base64.b32encode(hashlib.sha256(what.encode()).digest()).decode()[:16]


def products(service: str, prices: PriceList) -> Iterator[Product]:
    """All products of EC2 (instances, then volumes) or EMR, region by region in the order of the list."""
    for region in prices.regions.values():
        place = {
            "servicecode": service,
            "location": _location(region.region),
            "locationType": "AWS Region",
            "regionCode": region.region,
        }
        prefix = _PREFIXES.get(region.region, region.region.upper() + "-")
        if service == EC2:
            for price in region.types.values():
                yield from _instances(region, place, prefix, price)
            yield from _volumes(region, place, prefix)
        else:
            for price in region.types.values():
                yield from _emr(region, place, prefix, price)


def _location(region: str) -> str:
    """AWS's name of a region as the price list spells it: it kept "EU" where other places say "Europe"."""
    for partition in botocore.session.get_session().get_data("endpoints")["partitions"]:
        if region in partition["regions"]:
            return str(partition["regions"][region]["description"]).replace("Europe (", "EU (")
    return region


def _on_demand(price: float, unit: str, description: str, begin: str = "0") -> dict[str, dict[str, Any]]:
    dimension = {
        "unit": unit,
        "endRange": "Inf",
        "description": description,
        "beginRange": begin,
        "pricePerUnit": {"USD": f"{price:.10f}"},
    }
    return {_OFFER: {"dimensions": {_RATE: dimension}, "attributes": {}}}


def _reserved(price: TypePrice) -> dict[str, dict[str, Any]]:
    """A year with nothing upfront, and a year paid upfront, whose price an hour is 0."""
    applied = f"Linux/UNIX (Amazon VPC), {price.name} reserved instance applied"
    hourly = _on_demand(price.ec2 * _RESERVED_SHARE, "Hrs", applied)[_OFFER]["dimensions"][_RATE]
    free = _on_demand(0.0, "Hrs", f"USD 0.0 per {applied}")[_OFFER]["dimensions"][_RATE]
    upfront = {
        "unit": "Quantity",
        "description": "Upfront Fee",
        "pricePerUnit": {"USD": f"{price.ec2 * _RESERVED_SHARE * _HOURS_A_YEAR:.0f}"},
    }
    lease = {"LeaseContractLength": "1yr", "OfferingClass": "standard"}
    return {
        _YEAR_NO_UPFRONT: {"dimensions": {_RATE: hourly}, "attributes": {**lease, "PurchaseOption": "No Upfront"}},
        _YEAR_ALL_UPFRONT: {
            "dimensions": {_UPFRONT_RATE: upfront, _RATE: free},
            "attributes": {**lease, "PurchaseOption": "All Upfront"},
        },
    }


# For each product of an instance type: the attributes in which it differs from Linux on shared hardware, its usage
# type, and how AWS's description names it.
_LINUX = {
    "operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used",
    "operation": "RunInstances", "licenseModel": "No License required",
}  # fmt: skip
_VARIANTS: tuple[tuple[Mapping[str, str], str, str], ...] = (
    ({}, "BoxUsage", "On Demand Linux"),
    ({"operatingSystem": "Windows", "operation": "RunInstances:0002"}, "BoxUsage", "On Demand Windows"),
    ({"operatingSystem": "RHEL", "operation": "RunInstances:0010"}, "BoxUsage", "On Demand RHEL"),
    ({"preInstalledSw": "SQL Std", "operation": "RunInstances:0004"}, "BoxUsage", "On Demand Linux with SQL Std"),
    ({"tenancy": "Dedicated"}, "DedicatedUsage", "Dedicated Linux"),
    ({"capacitystatus": "UnusedCapacityReservation"}, "UnusedBox", "Unused Reservation Linux"),
    ({"capacitystatus": "AllocatedCapacityReservation"}, "Reservation", "Reservation Linux"),
)


def _variant_price(price: TypePrice, difference: Mapping[str, str]) -> float:
    match difference:
        case {"operatingSystem": "Windows"}:
            return price.ec2 + WINDOWS_PER_VCPU * price.vcpus
        case {"operatingSystem": "RHEL"}:
            return price.ec2 + _RHEL
        case {"preInstalledSw": "SQL Std"}:
            return price.ec2 + _SQL_PER_VCPU * price.vcpus
        case {"tenancy": "Dedicated"}:
            return price.ec2 * _DEDICATED
        case {"capacitystatus": "AllocatedCapacityReservation"}:
            return 0.0  # the reservation has been paid for already
        case _:
            return price.ec2


def _instances(region: RegionPrices, place: Mapping[str, str], prefix: str, price: TypePrice) -> Iterator[Product]:
    for difference, usage, words in _VARIANTS:
        value = _variant_price(price, difference)
        attributes = {
            **place,
            "servicename": "Amazon Elastic Compute Cloud",
            "instanceType": price.name,
            "instanceFamily": _FAMILIES.get(price.name[0], "General purpose"),
            "vcpu": str(price.vcpus),
            "memory": f"{price.memory_gib:g} GiB",
            "marketoption": "OnDemand",
            "usagetype": f"{prefix}{usage}:{price.name}",
            **_LINUX,
            **difference,
        }
        terms = {"OnDemand": _on_demand(value, "Hrs", f"${value:g} per {words} {price.name} Instance Hour")}
        if not difference:
            terms["Reserved"] = _reserved(price)
        yield Product(EC2, "Compute Instance", attributes, region.ec2_day, terms)


def _emr(region: RegionPrices, place: Mapping[str, str], prefix: str, price: TypePrice) -> Iterator[Product]:
    if price.fee is None:
        return
    distributions = (
        ("EMR", "BoxUsage", price.fee),
        ("MapR", "M7BoxUsage", price.fee + _DISTRIBUTION),
        ("Hunk", "HunkBoxUsage", price.fee + _DISTRIBUTION),
    )
    for software, usage, value in distributions:
        attributes = {
            **place,
            "servicename": "Amazon Elastic MapReduce",
            "instanceType": price.name,
            "instanceFamily": _FAMILIES.get(price.name[0], "General purpose"),
            "softwareType": software,
            "usagetype": f"{prefix}{usage}:{price.name}",
            "operation": "",
        }
        terms = {"OnDemand": _on_demand(value, "Hrs", f"${value:g} per hour for {software} {price.name}")}
        yield Product(EMR, "Elastic Map Reduce Instance", attributes, region.fee_day, terms)


# By rate: family, usage type, unit, how many of our units one of AWS's is, where the range begins, attributes.
_STORAGE, _IOPS, _THROUGHPUT = "Storage", "System Operation", "Provisioned Throughput"
_SSD, _HDD = {"storageMedia": "SSD-backed"}, {"storageMedia": "HDD-backed"}
_RATES: Mapping[str, tuple[str, str, str, int, str, Mapping[str, str]]] = {
    "gp2": (_STORAGE, "VolumeUsage.gp2", "GB-Mo", 1, "0", {"volumeType": "General Purpose", **_SSD}),
    "gp3": (_STORAGE, "VolumeUsage.gp3", "GB-Mo", 1, "0", {"volumeType": "General Purpose", **_SSD}),
    "gp3.iops": (_IOPS, "VolumeP-IOPS.gp3", "IOPS-Mo", 1, "3000", {"group": "EBS IOPS"}),
    # AWS's unit is a GiB/s, and only its description speaks of MiB/s.
    "gp3.throughput": (_THROUGHPUT, "VolumeP-Throughput.gp3", "GiBps-mo", 1024, "0", {"group": "EBS Throughput"}),
    "io1": (_STORAGE, "VolumeUsage.piops", "GB-Mo", 1, "0", {"volumeType": "Provisioned IOPS", **_SSD}),
    "io1.iops": (_IOPS, "VolumeP-IOPS.piops", "IOPS-Mo", 1, "0", {"group": "EBS IOPS"}),
    "st1": (_STORAGE, "VolumeUsage.st1", "GB-Mo", 1, "0", {"volumeType": "Throughput Optimized HDD", **_HDD}),
    "sc1": (_STORAGE, "VolumeUsage.sc1", "GB-Mo", 1, "0", {"volumeType": "Cold HDD", **_HDD}),
    "standard": (_STORAGE, "VolumeUsage", "GB-Mo", 1, "0", {"volumeType": "Magnetic", **_HDD}),
}
_OURS = {_STORAGE: "GB-month", _IOPS: "IOPS-month provisioned", _THROUGHPUT: "provisioned MiBps-month"}


def _volumes(region: RegionPrices, place: Mapping[str, str], prefix: str) -> Iterator[Product]:
    for rate, price in region.ebs.items():
        family, usage, unit, factor, begin, more = _RATES[rate]
        volume = rate.partition(".")[0]
        attributes = {
            **place,
            "servicename": "Amazon Elastic Compute Cloud",
            "volumeApiName": volume,
            "usagetype": f"{prefix}EBS:{usage}",
            "operation": "",
            **more,
        }
        description = f"${price:g} per {_OURS[family]} of {volume} - {place['location']}"
        yield Product(
            EC2, family, attributes, region.ec2_day, {"OnDemand": _on_demand(price * factor, unit, description, begin)}
        )
