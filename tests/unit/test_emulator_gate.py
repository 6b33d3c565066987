"""Who may talk to the emulator: nobody's web page, and only by names that no web page can have."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest

from servo_emr.emulator.web.router import Gate


def part(name: str) -> Callable[..., list[bytes]]:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        return [name.encode()]

    return application


def ask(host: str, hosts: Collection[str] = (), path: str = "/", query: str = "", **headers: str) -> tuple[str, str]:
    """(status, who answered or why not)"""
    gate = Gate(admin=part("admin"), webhdfs=part("webhdfs"), aws=part("aws"), hosts=hosts)
    statuses: list[str] = []
    environ = {"HTTP_HOST": host, "PATH_INFO": path, "QUERY_STRING": query, **headers}
    body = b"".join(gate(environ, lambda status, headers, exc_info=None: statuses.append(status)))
    return statuses[0], body.decode()


def passes(host: str, *hosts: str) -> bool:
    return ask(host, hosts)[0] == "200 OK"


@pytest.mark.parametrize("host", ["localhost:4566", "127.0.0.1", "127.8.9.1:80", "[::1]:4566", "acme.localhost:4566"])
def test_loopback_is_always_meant(host: str) -> None:
    assert passes(host)
    assert passes(host, "10.0.0.7")


@pytest.mark.parametrize("host", ["", "evil.example", "10.0.0.7:4566", "localhost.evil.example", "[::2]:80"])
def test_nothing_else_is_unless_it_was_told(host: str) -> None:
    assert not passes(host)
    assert not passes(host, "emulator.test")


def test_a_name_or_address_that_was_told_is_meant() -> None:
    assert passes("emulator.test:4566", "emulator.test")
    assert passes("10.0.0.7:4566", "10.0.0.7")
    assert not passes("10.0.0.8:4566", "10.0.0.7")


def test_everywhere_stands_for_addresses_and_not_for_names() -> None:
    assert passes("10.0.0.7:4566", "0.0.0.0")
    assert not passes("evil.example:4566", "0.0.0.0"), "a page can make a name of its own lead here"


def test_a_web_page_is_refused_wherever_it_is_from() -> None:
    status, why = ask("localhost", HTTP_ORIGIN="http://localhost")
    assert (status, "web pages" in why) == ("403 Forbidden", True)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "whatever comes next"])
def test_what_a_page_loads_without_an_origin_is_refused_by_what_the_browser_says_of_it(site: str) -> None:
    status, why = ask("localhost", HTTP_SEC_FETCH_SITE=site)
    assert (status, "web pages" in why) == ("403 Forbidden", True)


def test_an_address_that_a_person_types_is_no_pages_request() -> None:
    assert ask("localhost", HTTP_SEC_FETCH_SITE="none")[0] == "200 OK"


def test_each_part_gets_what_is_its_own() -> None:
    assert ask("localhost", path="/_emulator/clock")[1] == "admin"
    assert ask("localhost", path="/webhdfs/v1/acme", query="op=LISTSTATUS")[1] == "webhdfs"
    assert ask("localhost", path="/webhdfs/v1/acme")[1] == "aws", "a bucket may be called webhdfs"
