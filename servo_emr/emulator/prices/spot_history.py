"""EC2's DescribeSpotPriceHistory, answered from the emulated spot market; whatever else is asked goes to moto's EC2.

Knows the query protocol and the operation's members. The market's prices are made elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import math
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from moto.ec2.models import ec2_backends

from servo_emr.emulator.prices.documents import WINDOWS_PER_VCPU
from servo_emr.emulator.prices.spot_prices import SpotPrices
from servo_emr.emulator.prices.table import PriceList
from servo_emr.emulator.protocol.errors import AwsError
from servo_emr.emulator.protocol.naming import asked_of, scope_of
from servo_emr.emulator.region import ACCOUNT

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["SpotHistory"]

_ASKED = ("ec2", "DescribeSpotPriceHistory")
_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
_LARGEST_PAGE = 1000
_KEPT = 90 * 86400.0  # seconds that AWS's history goes back
_LINUX, _WINDOWS = "Linux/UNIX", "Windows"
_VPC = " (Amazon VPC)"  # names the same product as without it, since there is no network but a VPC


@dataclass(frozen=True)
class _Row:
    """One price change of one product, as it is answered."""

    at: float
    instance_type: str
    zone: str
    product: str
    price: str

    @property
    def timestamp(self) -> str:
        return datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class SpotHistory:
    """Wraps the WSGI application that answers EC2, and answers this one operation before it.

    Newest first, up to W and 90 days back; the price that holds at StartTime is there with the time of its change,
    before StartTime though that is. Linux has the market's price; Windows, which a query without a product gets too
    for types with a list price, costs its licence more. `now` is asked for W.
    """

    def __init__(
        self, application: WSGIApplication, market: SpotPrices, prices: PriceList, now: Callable[[], float]
    ) -> None:
        self._application = application
        self._market = market
        self._prices = prices
        self._now = now

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        scope, asked = scope_of(environ), asked_of(environ)
        zones = _zones(scope.region) if scope is not None and (asked.signed, asked.operation) == _ASKED else {}
        if scope is None or not zones:  # not for this, or of a region that does not exist
            return self._application(environ, start_response)
        form: bytes = environ["wsgi.input"].read()
        text = f"{environ.get('QUERY_STRING', '')}&{form.decode('utf-8', 'replace')}"
        try:
            status, body = "200 OK", self._answer(scope.region, zones, dict(parse_qsl(text)))
        except AwsError as error:
            status, body = f"{error.status} {error.code}", _error(error)
        start_response(status, [("Content-Type", "text/xml;charset=UTF-8"), ("Content-Length", str(len(body)))])
        return [body]

    def _answer(self, region: str, zones: Mapping[str, str], request: Mapping[str, str]) -> bytes:
        query = _query(zones, request)
        if request.get("DryRun", "false").lower() == "true":
            raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        now = self._now()
        size = min(_number(request, "MaxResults", _LARGEST_PAGE), _LARGEST_PAGE)
        if size < 1:
            raise _wrong("MaxResults", request["MaxResults"], "at least 1")
        # W may move on between two pages: what follows is counted from where the first page began.
        end, skipped = _decode(request["NextToken"]) if request.get("NextToken") else (min(query.end, now), 0)
        start = max(query.start, now - _KEPT)
        rows = [*islice(self._rows(region, query, start, min(end, now)), skipped, skipped + size + 1)]
        token = _encode(end, skipped + size) if len(rows) > size else ""
        return _document(rows[:size], zones, token)

    def _rows(self, region: str, query: _Query, start: float, end: float) -> Iterator[_Row]:
        pools = (self._pool_rows(region, zone, name, start, end) for zone, name in self._wanted(region, query))
        merged = heapq.merge(*pools, key=lambda row: (-row.at, row.instance_type, row.zone, row.product))
        return (row for row in merged if query.passes(row))

    def _wanted(self, region: str, query: _Query) -> Iterator[tuple[str, str]]:
        for zone, name in self._market.pools(region, query.zones):
            if not query.types or name in query.types:
                yield zone, name

    def _pool_rows(self, region: str, zone: str, name: str, start: float, end: float) -> Iterator[_Row]:
        steps = self._market.pool(region, zone, name)
        listed = self._prices.type_price(region, name)
        for at, price in steps.backwards(start, end) if steps is not None else ():
            yield _Row(at, name, zone, _LINUX, f"{price:.6f}")
            if listed is not None:
                yield _Row(at, name, zone, _WINDOWS, f"{price + WINDOWS_PER_VCPU * listed.vcpus:.6f}")


@dataclass(frozen=True)
class _Query:
    """What a request asks for. `zones`: ids by name. `filters`: patterns by the filter's name; one must match."""

    start: float
    end: float
    zones: Mapping[str, str]
    types: frozenset[str]
    products: frozenset[str]
    filters: Mapping[str, Sequence[str]]

    def passes(self, row: _Row) -> bool:
        values = {
            "availability-zone": row.zone,
            "availability-zone-id": self.zones[row.zone],
            "instance-type": row.instance_type,
            "product-description": row.product,
            "spot-price": row.price,
            "timestamp": row.timestamp,
        }
        return (not self.products or row.product in self.products) and all(
            any(_matches(values[name], pattern) for pattern in patterns) for name, patterns in self.filters.items()
        )


def _matches(value: str, pattern: str) -> bool:
    """EC2's wildcards are * and ?; a bracket is a bracket."""
    return fnmatchcase(value, pattern.replace("[", "[[]"))


_FILTERS = (
    "availability-zone",
    "availability-zone-id",
    "instance-type",
    "product-description",
    "spot-price",
    "timestamp",
)


def _query(zones: Mapping[str, str], request: Mapping[str, str]) -> _Query:
    if "AvailabilityZone" in request and "AvailabilityZoneId" in request:
        raise AwsError("InvalidParameterCombination", "Give AvailabilityZone or AvailabilityZoneId, not both.")
    zone, zone_id = request.get("AvailabilityZone"), request.get("AvailabilityZoneId")
    wanted = {name: known for name, known in zones.items() if zone in (None, name) and zone_id in (None, known)}
    if not wanted:
        raise AwsError("InvalidParameterValue", f"Invalid availability zone: [{zone or zone_id}]")
    start, end = _time(request, "StartTime", -math.inf), _time(request, "EndTime", math.inf)
    if start > end:
        raise _wrong("StartTime", request["StartTime"], f"not after EndTime, {request['EndTime']}")
    filters: dict[str, Sequence[str]] = {}
    for index, name in _members(request, "Filter.", ".Name"):
        values = [value for _, value in _members(request, f"Filter.{index}.Value.")]
        if name not in _FILTERS:
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
        filters[name] = [value.removesuffix(_VPC) for value in values] if name == "product-description" else values
    return _Query(
        start=start,
        end=end,
        zones=wanted,
        types=frozenset(value for _, value in _members(request, "InstanceType.")),
        products=frozenset(value.removesuffix(_VPC) for _, value in _members(request, "ProductDescription.")),
        filters=filters,
    )


def _members(request: Mapping[str, str], prefix: str, suffix: str = "") -> list[tuple[str, str]]:
    """(index, value) of a list in the query protocol: its members are PREFIX1SUFFIX, PREFIX2SUFFIX and so on."""
    found = []
    for name, value in request.items():
        index = name.removeprefix(prefix).removesuffix(suffix)
        if name == f"{prefix}{index}{suffix}" and index.isdecimal():
            found.append((index, value))
    return found


def _time(request: Mapping[str, str], name: str, otherwise: float) -> float:
    text = request.get(name)
    if text is None:
        return otherwise
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(name, text, "a time such as 2026-01-31T12:00:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(request: Mapping[str, str], name: str, otherwise: int) -> int:
    text = request.get(name, str(otherwise))
    try:
        return int(text)
    except ValueError:
        raise _wrong(name, text, "a whole number") from None


def _wrong(name: str, value: str, must: str) -> AwsError:
    return AwsError("InvalidParameterValue", f"Invalid value '{value}' for {name}: it must be {must}.")


def _encode(end: float, skipped: int) -> str:
    return base64.urlsafe_b64encode(f"{end!r} {skipped}".encode()).decode()


def _decode(token: str) -> tuple[float, int]:
    try:
        words = base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, UnicodeError):
        words = ""
    match = re.fullmatch(r"(\d+\.\d+) (\d+)", words)
    if match is None:
        raise AwsError("InvalidNextToken", f"The token '{token}' is invalid.")
    return float(match[1]), int(match[2])


def _zones(region: str) -> Mapping[str, str]:
    """Ids by name; empty for a region that does not exist."""
    try:
        zones = ec2_backends[ACCOUNT][region].describe_availability_zones()
    except KeyError:
        return {}
    return {str(zone.name): str(zone.zone_id) for zone in zones}


def _document(rows: Sequence[_Row], zones: Mapping[str, str], token: str) -> bytes:
    root = ElementTree.Element("DescribeSpotPriceHistoryResponse", xmlns=_NAMESPACE)
    ElementTree.SubElement(root, "requestId").text = secrets.token_hex(16)
    history = ElementTree.SubElement(root, "spotPriceHistorySet")
    for row in rows:
        item = ElementTree.SubElement(history, "item")
        for name, value in (
            ("instanceType", row.instance_type),
            ("productDescription", row.product),
            ("spotPrice", row.price),
            ("timestamp", row.timestamp),
            ("availabilityZone", row.zone),
            ("availabilityZoneId", zones[row.zone]),
        ):
            ElementTree.SubElement(item, name).text = value
    ElementTree.SubElement(root, "nextToken").text = token
    return _xml(root)


def _error(error: AwsError) -> bytes:
    root = ElementTree.Element("Response")
    place = ElementTree.SubElement(ElementTree.SubElement(root, "Errors"), "Error")
    ElementTree.SubElement(place, "Code").text = error.code
    ElementTree.SubElement(place, "Message").text = error.message
    ElementTree.SubElement(root, "RequestID").text = secrets.token_hex(16)
    return _xml(root)


def _xml(root: ElementTree.Element) -> bytes:
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return body
