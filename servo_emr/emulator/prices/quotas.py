"""Service Quotas as far as a cluster meets them: how many vCPUs of EC2 may run at once, by family and market.

The applied values are given or invented; the defaults are what AWS gives a new account. Nothing here limits a launch.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from servo_emr.emulator.protocol.errors import AwsError
from servo_emr.emulator.protocol.json_service import JsonService, page
from servo_emr.emulator.protocol.naming import asked_of
from servo_emr.emulator.region import ACCOUNT

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["QUOTAS", "QuotaApplication"]


@dataclass(frozen=True)
class Quota:
    """A limit in vCPUs. `applied` is this emulator's invention, `default` AWS's value for a new account."""

    name: str
    usage_class: str
    default: float
    applied: float


QUOTAS: Mapping[str, Quota] = {
    "L-1216C47A": Quota(
        "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", "Standard/OnDemand", 5.0, 256.0
    ),
    "L-34B43A08": Quota("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", "Standard/Spot", 5.0, 256.0),
    "L-DB2E81BA": Quota("Running On-Demand G and VT instances", "G/OnDemand", 0.0, 64.0),
    "L-3819A6DF": Quota("All G and VT Spot Instance Requests", "G/Spot", 0.0, 64.0),
    "L-417A185B": Quota("Running On-Demand P instances", "P/OnDemand", 0.0, 64.0),
    "L-7212CCBC": Quota("All P Spot Instance Requests", "P/Spot", 0.0, 64.0),
}
"""EC2's quotas by code. EMR's own codes are nowhere published: EMR is known here, and has none."""

_OURS = ("ec2", "elasticmapreduce")


class QuotaApplication:
    """A WSGI application for requests signed for "servicequotas".

    Answers GetServiceQuota, GetAWSDefaultServiceQuota, ListServiceQuotas and ListAWSDefaultServiceQuotas about EC2 and
    EMR; a request about another service goes to `others`. `values` replace applied values, by code, in vCPUs; the
    same in every region. Raises ValueError for a code that is not in QUOTAS, and for a value below 0.
    """

    def __init__(self, others: WSGIApplication, values: Mapping[str, float] | None = None) -> None:
        self._others = others
        self._applied = {code: quota.applied for code, quota in QUOTAS.items()}
        for code, value in (values or {}).items():
            if code not in QUOTAS:
                raise ValueError(f"quota {code}: unknown; known are {', '.join(QUOTAS)}")
            if not 0 <= value < float("inf"):
                raise ValueError(f"quota {code}: {value:g} vCPUs; a number, 0 or more")
            self._applied[code] = value
        self._defaults = {code: quota.default for code, quota in QUOTAS.items()}
        self._operations = {
            "GetServiceQuota": lambda region, request: self._get(region, request, self._applied),
            "GetAWSDefaultServiceQuota": lambda region, request: self._get(region, request, self._defaults),
            "ListServiceQuotas": lambda region, request: self._list(region, request, self._applied),
            "ListAWSDefaultServiceQuotas": lambda region, request: self._list(region, request, self._defaults),
        }
        self._service = JsonService("service-quotas", self._operations)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(body)
        ours = asked_of(environ).operation in self._operations and _service_of(body) in (None, *_OURS)
        answers = self._service if ours else self._others
        return answers(environ, start_response)

    def _get(self, region: str, request: Mapping[str, Any], values: Mapping[str, float]) -> Mapping[str, Any]:
        service, code = request["ServiceCode"], request["QuotaCode"]
        if service != "ec2" or code not in values:
            raise AwsError(
                "NoSuchResourceException", f"The request failed because the quota {code} of {service} does not exist."
            )
        return {"Quota": _document(region, code, values[code])}

    def _list(self, region: str, request: Mapping[str, Any], values: Mapping[str, float]) -> Mapping[str, Any]:
        wanted = request.get("QuotaCode")
        codes = [code for code in values if wanted in (None, code)] if request["ServiceCode"] == "ec2" else []
        chosen, token = page(codes, request, "InvalidPaginationTokenException")
        return {"Quotas": [_document(region, code, values[code]) for code in chosen], "NextToken": token}


def _service_of(body: bytes) -> str | None:
    """The service that a request is about; None for one that does not say it, which is ours to refuse."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    service = document.get("ServiceCode") if isinstance(document, dict) else None
    return service if isinstance(service, str) else None


def _document(region: str, code: str, value: float) -> dict[str, Any]:
    quota = QUOTAS[code]
    return {
        "ServiceCode": "ec2",
        "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
        "QuotaArn": f"arn:aws:servicequotas:{region}:{ACCOUNT}:ec2/{code}",
        "QuotaCode": code,
        "QuotaName": quota.name,
        "Value": value,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
        "UsageMetric": {
            "MetricNamespace": "AWS/Usage",
            "MetricName": "ResourceCount",
            "MetricDimensions": {
                "Class": quota.usage_class,
                "Resource": "vCPU",
                "Service": "EC2",
                "Type": "Resource",
            },
            "MetricStatisticRecommendation": "Maximum",
        },
        "QuotaAppliedAtLevel": "ACCOUNT",
    }
