"""The AWS Price List service: which products a query asks for. What a product looks like is not known here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from servo_emr.emulator.prices.documents import EC2, EMR, Product, products
from servo_emr.emulator.prices.table import PriceList
from servo_emr.emulator.protocol.errors import AwsError
from servo_emr.emulator.protocol.json_service import JsonService, page

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["ENDPOINTS", "PriceApplication"]

ENDPOINTS = ("ap-south-1", "eu-central-1", "us-east-1")
"""The regions that have the service. Each answers for all regions."""

_FORMAT = "aws_v1"

# How a filter's value is compared with a product's. AWS documents what these mean, but not how the values of the last
# two are parted: a comma is our guess. So is it that upper and lower case differ.
_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "TERM_MATCH": lambda has, wanted: has == wanted,
    "EQUALS": lambda has, wanted: has == wanted,
    "CONTAINS": lambda has, wanted: wanted in has,
    "ANY_OF": lambda has, wanted: has in wanted.split(","),
    "NONE_OF": lambda has, wanted: has not in wanted.split(","),
}


class PriceApplication:
    """A WSGI application for requests signed for "pricing": GetProducts, DescribeServices and GetAttributeValues.

    `prices` is the whole list: what it does not have is answered with an empty list, as AWS does. A request signed
    for a region without an endpoint, whose host name AWS would not resolve, gets the error that AWS has for a
    signature of the wrong region: InvalidSignatureException.
    """

    def __init__(self, prices: PriceList) -> None:
        self._prices = prices
        self._service = JsonService(
            "pricing",
            {
                "GetProducts": self._get_products,
                "DescribeServices": self._describe_services,
                "GetAttributeValues": self._get_attribute_values,
            },
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._service(environ, start_response)

    @cached_property
    def _products(self) -> Mapping[str, Sequence[Product]]:
        return {service: tuple(products(service, self._prices)) for service in (EC2, EMR)}

    def _get_products(self, region: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        _check(region, request)
        found: Sequence[Product] = self._of(request["ServiceCode"])
        for condition in request.get("Filters", ()):
            found = [product for product in found if _passes(product, condition)]
        chosen, token = page(found, request, "InvalidNextTokenException")
        return {
            "FormatVersion": _FORMAT,
            "PriceList": [json.dumps(product.document()) for product in chosen],
            "NextToken": token,
        }

    def _describe_services(self, region: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        _check(region, request)
        codes = [request["ServiceCode"]] if "ServiceCode" in request else list(self._products)
        services = [
            {
                "ServiceCode": code,
                "AttributeNames": sorted({name for product in self._of(code) for name in product.fields}),
            }
            for code in codes
        ]
        chosen, token = page(services, request, "InvalidNextTokenException")
        return {"FormatVersion": _FORMAT, "Services": chosen, "NextToken": token}

    def _get_attribute_values(self, region: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        _check(region, request)
        name = request["AttributeName"]
        found = self._of(request["ServiceCode"])
        values = sorted({product.fields[name] for product in found if name in product.fields})
        chosen, token = page(values, request, "InvalidNextTokenException", largest=10_000)
        return {"AttributeValues": [{"Value": value} for value in chosen], "NextToken": token}

    def _of(self, service: str) -> Sequence[Product]:
        if service not in self._products:
            known = ", ".join(self._products)
            raise AwsError("NotFoundException", f"This price list has no service {service!r}; it has {known}.")
        return self._products[service]


def _check(region: str, request: Mapping[str, Any]) -> None:
    if region not in ENDPOINTS:
        raise AwsError(
            "InvalidSignatureException",
            f"Credential should be scoped to a valid region: the price list is in {', '.join(ENDPOINTS)}, "
            f"not in {region}.",
        )
    if request.get("FormatVersion", _FORMAT) != _FORMAT:
        raise AwsError("InvalidParameterException", f"FormatVersion {request['FormatVersion']!r} is not {_FORMAT}.")


def _passes(product: Product, condition: Mapping[str, str]) -> bool:
    """A product that does not have the field passes no filter on it."""
    field, wanted = condition["Field"], condition["Value"]
    if field == "ServiceCode":
        has: str | None = product.service
    elif field == "termType":
        return any(_COMPARISONS[condition["Type"]](kind, wanted) for kind in product.terms)
    else:
        has = product.fields.get(field)
    return has is not None and _COMPARISONS[condition["Type"]](has, wanted)
