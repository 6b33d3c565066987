"""What a request asks for: the service and region it was signed for, and the operation, by each service's protocol.

Reads requests, answers none.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, parse_qsl, urlsplit

import botocore.session

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = [
    "GATEWAY_CALLER",
    "NODE_CALLER",
    "SERVICES",
    "Asked",
    "Scope",
    "asked_of",
    "operation_of",
    "operations_of",
    "scope_of",
]

SERVICES = {
    "emr": "elasticmapreduce",
    "s3": "s3",
    "ec2": "ec2",
    "sts": "sts",
    "iam": "iam",
    "pricing": "pricing",
    "service-quotas": "servicequotas",
}
"""The services that are known by name: as SDKs call them, and as requests are signed for them."""

NODE_CALLER = "emulated-instance-profile"
GATEWAY_CALLER = "emulated-gateway"
"""The access key ids of the emulator's own calls: of what runs on a node, and of the gateway between Spark and S3."""

_UNKNOWN = "Unknown"
_FORM = "application/x-www-form-urlencoded"
_ASKED = "servo_emr.asked"
_NAMES = {signed: name for name, signed in SERVICES.items()}

_SCOPE = re.compile(r"Credential=(?P<caller>[^/,\s]+)/\d{8}/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)/aws4_request")


@dataclass(frozen=True)
class Scope:
    """What a request was signed for (SigV4), and the id of the access key that signed it."""

    service: str
    region: str
    caller: str


def scope_of(environ: WSGIEnvironment) -> Scope | None:
    """From the Authorization header or, of a presigned request, the query; None when it is not signed."""
    signed = environ.get("HTTP_AUTHORIZATION", "")
    presigned = parse_qs(environ.get("QUERY_STRING", "")).get("X-Amz-Credential")
    match = _SCOPE.search(signed) or (_SCOPE.search(f"Credential={presigned[0]}") if presigned else None)
    return Scope(match["service"].lower(), match["region"], match["caller"]) if match else None


@dataclass(frozen=True)
class Asked:
    """One request. `signed` is the service's name in signatures; an unsigned request is taken for S3, as moto does."""

    signed: str
    operation: str  # "Unknown" when the request names none
    caller: str | None  # the access key's id
    conditional: bool  # it has If-Match or If-None-Match

    @property
    def service(self) -> str:
        """As SDKs call it."""
        return _NAMES.get(self.signed, self.signed)

    @property
    def by_node(self) -> bool:
        """Whether the emulated node, or Spark on it, asks."""
        return self.caller in (NODE_CALLER, GATEWAY_CALLER)


def asked_of(environ: WSGIEnvironment) -> Asked:
    """What the request asks for; it can be read again afterwards, its body included."""
    if _ASKED not in environ:
        scope = scope_of(environ)
        signed = scope.service if scope else "s3"
        environ[_ASKED] = Asked(
            signed=signed,
            operation=operation_of(environ, signed, _form(environ)),
            caller=scope.caller if scope else None,
            conditional="HTTP_IF_MATCH" in environ or "HTTP_IF_NONE_MATCH" in environ,
        )
    asked: Asked = environ[_ASKED]
    return asked


@cache
def operations_of(service: str) -> tuple[str, ...]:
    """The operations of one of SERVICES, from botocore's service model."""
    return tuple(botocore.session.get_session().get_service_model(service).operation_names)


def _form(environ: WSGIEnvironment) -> bytes:
    """The body of a form request, put back so that it can be read again."""
    if not environ.get("CONTENT_TYPE", "").startswith(_FORM):
        return b""
    body: bytes = environ["wsgi.input"].read()
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def operation_of(environ: WSGIEnvironment, service: str, form: bytes) -> str:
    """The operation's name; "Unknown" when the request names none.

    `service` as in signatures; `form` is the body of a form request, else empty.
    """
    target: str | None = environ.get("HTTP_X_AMZ_TARGET")
    if target is not None:
        return target.rpartition(".")[2]
    if service == "s3":
        return _s3_operation(environ)
    query: dict[str, str] = dict(parse_qsl(f"{environ.get('QUERY_STRING', '')}&{form.decode('utf-8', 'replace')}"))
    return query.get("Action", _UNKNOWN)


@dataclass(frozen=True)
class _Pattern:
    """What a request of one S3 operation has; the pattern that asks for most wins."""

    operation: str
    method: str
    depth: int  # 0 service, 1 bucket, 2 key
    fixed: Mapping[str, str]  # query parameters, with their value if they have one
    queries: frozenset[str]
    headers: frozenset[str]

    def matches(self, method: str, depth: int, query: Mapping[str, str], environ: WSGIEnvironment) -> bool:
        return (
            (self.method, self.depth) == (method, depth)
            and all(name in query and value in ("", query[name]) for name, value in self.fixed.items())
            and self.queries <= query.keys()
            and all("HTTP_" + name.upper().replace("-", "_") in environ for name in self.headers)
        )

    @property
    def weight(self) -> int:
        return len(self.fixed) + len(self.queries) + len(self.headers)


@cache
def _s3_patterns() -> tuple[_Pattern, ...]:
    """From botocore's service model, the most demanding first."""
    model = botocore.session.get_session().get_service_model("s3")
    patterns = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        if operation.deprecated or name in _SHADOWED:
            continue
        uri = urlsplit(operation.http["requestUri"])
        required: dict[str, set[str]] = {"querystring": set(), "header": set()}
        shape = operation.input_shape
        if shape is not None:
            for member in shape.required_members:
                place = shape.members[member].serialization
                if place.get("location") in required:
                    required[place["location"]].add(place["name"])
        patterns.append(
            _Pattern(
                name,
                operation.http["method"],
                len([part for part in uri.path.split("/") if part]),
                dict(parse_qsl(uri.query, keep_blank_values=True)),
                frozenset(required["querystring"]),
                frozenset(required["header"]),
            )
        )
    return tuple(sorted(patterns, key=lambda pattern: -pattern.weight))


# Operations of other endpoints, whose requests look like an ordinary bucket's or service's.
_SHADOWED = frozenset({"ListDirectoryBuckets", "WriteGetObjectResponse"})


def _s3_operation(environ: WSGIEnvironment) -> str:
    path = environ.get("PATH_INFO", "/").lstrip("/")
    host = environ.get("HTTP_HOST", "").partition(":")[0]
    if host.endswith(".localhost"):  # the bucket is in the host
        path = f"{host}/{path}"
    bucket, _, key = path.partition("/")
    depth = 2 if key else 1 if bucket else 0
    query: dict[str, str] = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    method = environ["REQUEST_METHOD"]
    for pattern in _s3_patterns():
        if pattern.matches(method, depth, query, environ):
            return pattern.operation
    return _UNKNOWN
