"""Who answers which request: EMR's world, the admin routes, the WebHDFS gateway, or moto.

Also the gate: what a web page could make a browser send is refused, because a step has the rights of whoever
started the emulator.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from servo_emr.emulator.emr.wire import TARGET_PREFIX
from servo_emr.emulator.protocol.naming import scope_of
from servo_emr.emulator.web.admin import ADMIN_PREFIX

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["WEBHDFS_PREFIX", "AwsRouter", "Gate"]

WEBHDFS_PREFIX = "/webhdfs/v1"


class Gate:
    """The outermost application: no browser, loopback only; then admin, WebHDFS or AWS.

    `hosts`: names and addresses beside loopback that a request may be for; with 0.0.0.0 among them any address, for
    only a name can be made to mean this machine by somebody else's web page.
    """

    def __init__(
        self,
        *,
        admin: WSGIApplication,
        webhdfs: WSGIApplication,
        aws: WSGIApplication,
        hosts: Collection[str] = frozenset(),
    ) -> None:
        self._admin = admin
        self._webhdfs = webhdfs
        self._aws = aws
        self._hosts = hosts

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_ORIGIN" in environ:
            return _refuse(start_response, "requests from web pages (with an Origin) are refused")
        # What a page loads without asking, an image perhaps, has no Origin; a browser says where it is from all the
        # same, and "none" only of what a person has typed.
        if environ.get("HTTP_SEC_FETCH_SITE", "none") != "none":
            return _refuse(start_response, "requests from web pages (by their Sec-Fetch-Site) are refused")
        if not self._meant(environ.get("HTTP_HOST", "")):
            return _refuse(start_response, "the Host is not loopback, nor what --host says")
        path = environ.get("PATH_INFO", "")
        if path.startswith(ADMIN_PREFIX):
            return self._admin(environ, start_response)
        if path.startswith(f"{WEBHDFS_PREFIX}/") and "op" in parse_qs(environ.get("QUERY_STRING", "")):
            return self._webhdfs(environ, start_response)
        return self._aws(environ, start_response)

    def _meant(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name == "localhost" or name.endswith(".localhost") or name in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return address.is_loopback or "0.0.0.0" in self._hosts


class AwsRouter:
    """EMR requests to `emr`, with the region that they were signed for; those of `services` by their signing name.

    All else goes to `others`.
    """

    def __init__(
        self, *, emr: WSGIApplication, others: WSGIApplication, services: Mapping[str, WSGIApplication] | None = None
    ) -> None:
        self._emr = emr
        self._others = others
        self._services = services or {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        scope = scope_of(environ)
        if scope is not None and scope.service == "elasticmapreduce":
            environ["servo_emr.region"] = scope.region
            return self._emr(environ, start_response)
        if scope is None and environ.get("HTTP_X_AMZ_TARGET", "").startswith(TARGET_PREFIX):
            return self._emr(environ, start_response)
        application = self._others if scope is None else self._services.get(scope.service, self._others)
        return application(environ, start_response)


def _refuse(start_response: StartResponse, why: str) -> Iterable[bytes]:
    body = f"{why}\n".encode()
    start_response("403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
