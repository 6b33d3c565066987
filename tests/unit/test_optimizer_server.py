"""The optimizer's HTTP side in process: who is let in, how the others are told, what garbage does, what is shown."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import shlex
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from servo_emr.optimizer.create_cluster import create_cluster
from servo_emr.optimizer.page import page
from servo_emr.optimizer.search import Objective
from servo_emr.optimizer.server import MOST_BYTES, Access, make_app
from servo_emr.optimizer.status import status
from tests.support.search import APPLICATION, DESCRIPTION, Bench

TOKEN = "correct-horse-battery"
PATH = f"/accounts/{APPLICATION.split('/')[0]}/applications/{APPLICATION.split('/')[1]}/servo"
KNOWN = {"Authorization": f"Bearer {TOKEN}"}


class Side:
    """A server over a bench, asked in process."""

    def __init__(self, access: Access | None = None) -> None:
        self.bench = Bench()
        app = make_app(access or Access(TOKEN, APPLICATION), lambda application: self.bench.flow, create_cluster)
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 50000))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")

    async def post(
        self, body: Any, path: str = PATH, headers: dict[str, str] = KNOWN, raw: bool = False
    ) -> httpx.Response:
        content = body if raw else json.dumps(body).encode()
        return await self.client.post(path, content=content, headers=headers)

    async def event(
        self, event: str, headers: dict[str, str] = KNOWN, path: str = PATH, **param: Any
    ) -> httpx.Response:
        body = {"event": event, "param": param or None, "servo_uid": None}
        return await self.post(body, path, headers)


@pytest.fixture
async def side() -> AsyncIterator[Side]:
    found = Side()
    yield found
    await found.client.aclose()


async def test_a_servo_with_the_token_is_answered(side: Side) -> None:
    hello = await side.event("HELLO", agent="servox")
    assert (hello.status_code, hello.json()) == (200, {"status": "ok"})
    command = (await side.event("WHATS_NEXT")).json()
    assert command["cmd"] == "DESCRIBE"
    assert command["param"] is not None


STRANGERS = {
    "no token": ({}, PATH, 401),
    "a wrong token": ({"Authorization": "Bearer correct-horse"}, PATH, 401),
    "no bearer": ({"Authorization": TOKEN}, PATH, 401),
    "an empty token": ({"Authorization": "Bearer "}, PATH, 401),
    "another account": (KNOWN, PATH.replace("example.com", "example.org"), 403),
    "another application": (KNOWN, PATH.replace("nightly", "hourly"), 403),
    "another host": ({**KNOWN, "Host": "evil.example:8000"}, PATH, 403),
    "a page of another site": ({**KNOWN, "Origin": "https://evil.example"}, PATH, 403),
}


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_a_stranger_is_refused_so_that_a_servo_sleeps_and_a_running_cluster_is_left_alone(
    side: Side, stranger: str
) -> None:
    headers, path, status = STRANGERS[stranger]
    for event in ("HELLO", "WHATS_NEXT"):
        answer = await side.event(event, headers, path)
        assert answer.status_code == 410, "servox sleeps for an hour after this one, and for no other"
        assert answer.json()["detail"] == "unexpected servo_uid"
        assert TOKEN not in answer.text
    for event, param in (("MEASUREMENT", {"progress": 3.0}), ("MEASUREMENT", {"status": "ok"}), ("GOODBYE", {})):
        answer = await side.event(event, headers, path, **param)
        assert answer.status_code == status
        assert answer.json()["status"] == "invalid"
    assert side.bench.flow.servo_seen_at is None


GARBAGE = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"event": "\xff"}',
    "a list": b"[]",
    "a number": b"7",
    "no event": b'{"param": {}}',
    "an event that is no text": b'{"event": {"a": 1}}',
    "a param that is a list": b'{"event": "MEASUREMENT", "param": [1]}',
    "a servo_uid that is a number": b'{"event": "HELLO", "param": {}, "servo_uid": 4}',
    "too deep": b'{"event": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_is_answered_and_changes_nothing(side: Side, garbage: str) -> None:
    answer = await side.post(GARBAGE[garbage], raw=True)
    assert (answer.status_code, answer.json()["status"]) == (400, "invalid")
    assert (await side.post(GARBAGE[garbage], headers={}, raw=True)).status_code == 401
    assert (await side.event("HELLO")).status_code == 200


ODD: dict[str, tuple[str, Any]] = {
    "an unknown event": ("FROBNICATE", {}),
    "a result without a uid": ("MEASUREMENT", {"status": "ok"}),
    "a result of nobody's": ("MEASUREMENT", {"status": "ok", "cmd_uid": "x", "metrics": {}}),
    "a uid that is a list": ("MEASUREMENT", {"status": "ok", "cmd_uid": ["x"]}),
    "metrics that are a text": ("MEASUREMENT", {"status": "ok", "cmd_uid": "x", "metrics": "lots"}),
    "a progress that is a text": ("MEASUREMENT", {"progress": "half", "cmd_uid": "x"}),
    "a description that is a text": ("DESCRIPTION", {"status": "ok", "descriptor": "all", "cmd_uid": "x"}),
    "a GOODBYE with nothing": ("GOODBYE", None),
}


@pytest.mark.parametrize("odd", ODD)
async def test_what_makes_no_sense_is_answered_and_changes_nothing(side: Side, odd: str) -> None:
    event, param = ODD[odd]
    answer = await side.post({"event": event, "param": param, "servo_uid": None})
    assert answer.status_code == 200
    assert answer.json()["status"] in ("ok", "unexpected-event")
    assert side.bench.flow.study.trials == []


@pytest.mark.parametrize(
    "descriptor",
    [None, 7, {"application": 7}, {"application": {"components": {"core": 7}}}, {"application": {"components": []}}],
)
async def test_a_description_of_garbage_is_refused_in_words(side: Side, descriptor: Any) -> None:
    uid = (await side.event("WHATS_NEXT")).json()["cmd_uid"]
    await side.event("DESCRIPTION", status="ok", descriptor=descriptor, cmd_uid=uid)
    told = (await side.event("WHATS_NEXT")).json()
    assert told["cmd"] == "SLEEP"
    assert "cannot be searched" in told["param"]["data"]["reason"]


async def test_a_body_beyond_the_bound_is_not_read_to_its_end(side: Side) -> None:
    answer = await side.post(b'{"event": "HELLO", "param": {"a": "' + b"x" * MOST_BYTES + b'"}}', raw=True)
    assert answer.status_code == 413


async def test_the_token_is_neither_shown_nor_logged_nor_stored(side: Side, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await side.event("HELLO")
    uid = (await side.event("WHATS_NEXT")).json()["cmd_uid"]
    await side.event("DESCRIPTION", status="ok", descriptor=DESCRIPTION, cmd_uid=uid)
    await side.event("WHATS_NEXT")
    shown = [(await side.client.get(path)).text for path in ("/", "/status.json")]
    (study,) = side.bench.storage.get_all_studies()
    stored = [str(study), str(side.bench.storage.get_all_trials(study._study_id))]
    assert len(stored[1]) > 200
    assert [text for text in (*shown, *stored, caplog.text) if TOKEN in text] == []


async def test_without_a_token_the_first_servo_is_believed_and_no_other() -> None:
    side = Side(Access())
    assert (await side.client.get("/status.json")).json()["state"] == "waiting"
    assert (await side.event("HELLO")).status_code == 200
    assert (await side.event("HELLO", {"Authorization": "Bearer other"})).status_code == 410
    assert (await side.event("HELLO", path=PATH.replace("nightly", "hourly"))).status_code == 410
    await side.client.aclose()


async def test_the_status_is_a_page_for_browsers_and_json_for_programs(side: Side) -> None:
    page = await side.client.get("/", headers={"Accept": "text/html,*/*"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    still = await side.client.get("/?still", headers={"Accept": "text/html,*/*"})
    assert ("http-equiv='refresh'" in page.text, "http-equiv='refresh'" in still.text) == (True, False)
    for path, accept in (("/?format=json", "*/*"), ("/", "application/json"), ("/status.json", "*/*")):
        answer = await side.client.get(path, headers={"Accept": accept})
        assert answer.json()["application"] == APPLICATION
    needed = {"state", "why", "best", "spent_usd", "expected_gain_usd", "recommendation", "trials", "saving"}
    assert needed <= answer.json().keys()


async def test_the_document_tells_the_whole_search(side: Side) -> None:
    side.bench.describe()
    side.bench.measured(1.0)
    side.bench.measured(0.6)
    side.bench.adjusted()
    document = (await side.client.get("/status.json")).json()
    assert document["state"] == "exploring"
    assert (document["spent_usd"], document["runs"]) == (pytest.approx(1.6), 2)
    assert document["best"]["cost_usd"] == 0.6
    assert document["saving"]["share"] == pytest.approx(0.4)
    assert (document["why"], document["expected_gain_usd"]) == ("It is next.", 0.1)
    assert document["trial"]["settings"]["core.replicas"] == 4
    assert document["recommendation"]["settings"] == document["best"]["settings"]
    assert "InstanceGroupType=CORE,InstanceType=c5.xlarge,InstanceCount=2" in document["recommendation"]["command"]


def test_the_page_tells_what_is_saved_of_what_is_looked_for() -> None:
    cheapest, fastest = Bench(), Bench(objective=Objective("fastest-under-price", price_usd=2.0))
    for bench in (cheapest, fastest):
        bench.describe()
        bench.measured(1.0, 2000.0)
        alone = page(status(bench.flow, create_cluster))
        assert "nothing yet" in alone and "<svg" not in alone
        bench.measured(0.6, 1000.0)
    document = status(cheapest.flow, create_cluster)
    told = page(document)
    shown = re.search(r"<pre[^>]*>(.*?)</pre>", told, re.DOTALL)
    assert shown is not None
    as_a_shell_has_it = html.unescape(shown[1]).replace("\\\n", "")
    assert shlex.split(as_a_shell_has_it) == shlex.split(document["recommendation"]["command"])
    assert "core 2 x c5.xlarge" in told
    assert "Saves, a run" in told and "0.4000 USD less than" in told and "USD a run, trial by trial" in told
    assert "2 runs of this exploration" in told
    again = page({**document, "spent_usd": 4.0})
    assert "4.0000 USD<small>1.6000 USD in 2 runs of this exploration" in again
    told = page(status(fastest.flow, create_cluster))
    assert "Faster by" in told and "16 min 40 s less than" in told and "Minutes of the job, trial by trial" in told


async def test_nothing_that_a_servo_says_becomes_markup(side: Side) -> None:
    evil = "<script>alert('x')</script>"
    side.bench.describe()
    side.bench.measured(1.0, disturbed=evil)
    command = side.bench.adjusted()
    message = f"{evil}\nrun={evil.replace(' ', '')} cost_usd=0.1000 duration_s=none"
    side.bench.post("MEASUREMENT", status="failed", reason=f"job/{evil}", message=message, cmd_uid=command["cmd_uid"])
    side.bench.flow.policy.stop(evil, evil)
    page = (await side.client.get("/")).text
    assert "&lt;script&gt;" in page
    assert "<script" not in page


async def test_a_page_that_is_not_open_takes_the_token_as_bearer_or_as_a_password() -> None:
    side = Side(Access(TOKEN, APPLICATION, open_page=False))
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    wrong = base64.b64encode(b"anybody:guess").decode()
    seen = {
        header: (await side.client.get("/", headers={"Authorization": header} if header else {})).status_code
        for header in ("", f"Bearer {TOKEN}", f"Basic {basic}", f"Basic {wrong}", "Basic ???")
    }
    assert list(seen.values()) == [401, 200, 200, 401, 401]
    await side.client.aclose()


@pytest.mark.parametrize("order", ["cancel", "pause", "resume"])
async def test_orders_take_the_token(side: Side, order: str) -> None:
    assert (await side.client.post(f"/{order}")).status_code == 401
    assert (await side.client.post(f"/{order}", headers={"Authorization": "Bearer guess"})).status_code == 401
    foreign = {**KNOWN, "Origin": "https://evil.example"}
    assert (await side.client.post(f"/{order}", headers=foreign)).status_code == 403
    assert side.bench.flow.policy.stopped is None


async def test_orders_are_obeyed_or_told_why_not(side: Side) -> None:
    orders = []
    side.bench.describe()
    for order in ("cancel", "resume", "pause", "resume", "frobnicate"):
        orders.append((await side.client.post(f"/{order}", headers=KNOWN)).status_code)
    assert orders == [409, 409, 200, 200, 404]
    side.bench.adjusted()
    assert (await side.client.post("/cancel", headers=KNOWN)).status_code == 200


async def test_a_study_that_cannot_be_written_is_503_so_that_the_servo_asks_again() -> None:
    def broken(application: str) -> Any:
        raise OSError("disk full")

    app = make_app(Access(TOKEN), broken, create_cluster)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as client:
        answer = await client.post(PATH, json={"event": "WHATS_NEXT", "param": None}, headers=KNOWN)
    assert answer.status_code == 503


async def test_an_origin_that_is_no_address_is_refused_and_not_stumbled_over(side: Side) -> None:
    headers = {**KNOWN, "Origin": "http://["}
    assert (await side.client.post("/pause", headers=headers)).status_code == 403
    assert (await side.client.get("/status.json", headers=headers)).status_code == 403
