"""The door to AWS over HTTP: what every kind of answer, and the lack of one, becomes."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from servo_emr.aws.door import Door, Patience, Refusal
from servo_emr.aws.ec2 import Ec2Target
from servo_emr.aws.prices import ListPrices, SpotPrices
from servo_emr.aws.uri import split_uri
from servo_emr.aws.workspace import S3Workspace
from servo_emr.domain.errors import LaunchUnclear, Reason, RunError, TooLarge
from servo_emr.domain.ports import Handle
from servo_emr.domain.run import Observation, RunRecord, RunState
from servo_emr.domain.spec import RunKey
from tests.support.samples import SPEC
from tests.support.simclock import SimClock

CANARY = "canary-4711"
RUN_JOB_FLOW = {"Name": "x", "Instances": {}}
LOST = b"lost"
"""Instead of a body: the connection ends without an answer."""


class Service(ThreadingHTTPServer):
    """Answers everything with one answer, and counts how often it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.body, self.asked = 200, b"{}", 0
        self.sent: int | None = None

    def answer(self, status: int, body: Any, sent: int | None = None) -> None:
        """`sent`: so many bytes of the body are sent, and the connection ends."""
        self.sent = sent
        self.status, self.body = status, body if isinstance(body, bytes) else json.dumps(body).encode()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        self.server.asked += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.body == LOST:
            self.close_connection = True
            return
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body[: self.server.sent])

    do_GET = do_PUT = do_POST

    def log_message(self, *words: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    service = Service()
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield service
    service.shutdown()
    thread.join()
    service.server_close()


@pytest.fixture
def service(running: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    running.asked = 0
    return running


@pytest.fixture
def door() -> Door:
    """One that tries once, so that no test waits for a backoff."""
    return Door("us-east-1", Patience.QUICK)


def refused(code: str, message: str = CANARY) -> dict[str, str]:
    return {"__type": code, "message": message}


async def test_an_answer_comes_without_its_metadata(service: Service, door: Door) -> None:
    service.answer(200, {"JobFlowId": "j-1"})
    assert await door.call_once("emr", "RunJobFlow", **RUN_JOB_FLOW) == {"JobFlowId": "j-1"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, refused("InternalServerException")),
        (503, b"<html>busy</html>"),
        (503, refused("ServiceUnavailable")),
        (400, refused("ThrottlingException")),
        (200, LOST),
        (200, b"[]"),
        (200, b'"j-1"'),
        (200, b'{"JobFlowId": {"a": 1}'),
    ],
)
async def test_a_launch_without_a_clear_answer_is_sent_once_and_may_have_taken_effect(
    service: Service, door: Door, status: int, body: Any
) -> None:
    service.answer(status, body)
    try:
        answer = await door.call_once("emr", "RunJobFlow", expected=("ValidationException",), **RUN_JOB_FLOW)
        # An answer without an id: the target finds that it names no cluster.
        assert not answer.get("JobFlowId")
    except LaunchUnclear as unclear:
        assert "emr:RunJobFlow" in str(unclear)
    assert service.asked == 1


@pytest.mark.parametrize(
    ("status", "code", "reason", "remedy"),
    [
        (400, "AccessDeniedException", Reason.CREDENTIALS, "Allow elasticmapreduce:RunJobFlow"),
        (400, "ExpiredTokenException", Reason.CREDENTIALS, "Renew"),
        (400, "UnrecognizedClientException", Reason.CREDENTIALS, "Renew"),
        (403, "InvalidSignatureException", Reason.CREDENTIALS, "Renew"),
        (400, "SomethingNew", Reason.BUG, ""),
    ],
)
async def test_a_refused_launch_is_certain_to_have_made_nothing(
    service: Service, door: Door, status: int, code: str, reason: Reason, remedy: str
) -> None:
    service.answer(status, refused(code))
    with pytest.raises(RunError) as error:
        await door.call_once("emr", "RunJobFlow", **RUN_JOB_FLOW)
    assert error.value.reason is reason
    assert remedy in error.value.remedy
    assert CANARY in error.value.message
    assert CANARY not in error.value.public
    assert error.value.details["aws"]["code"] == code
    assert service.asked == 1


async def test_a_code_that_the_caller_handles_comes_as_a_refusal(service: Service, door: Door) -> None:
    service.answer(400, refused("ValidationException", "no such role"))
    with pytest.raises(Refusal) as refusal:
        await door.call_once("emr", "RunJobFlow", expected=("ValidationException",), **RUN_JOB_FLOW)
    assert (refusal.value.code, refusal.value.message) == ("ValidationException", "no such role")


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (400, "ThrottlingException", Reason.THROTTLED),
        (500, "InternalFailure", Reason.ENDPOINT),
        (400, "AccessDeniedException", Reason.CREDENTIALS),
    ],
)
async def test_a_look_that_is_refused_says_why(
    service: Service, door: Door, status: int, code: str, reason: Reason
) -> None:
    service.answer(status, refused(code))
    with pytest.raises(RunError) as error:
        await door.call("emr", "DescribeCluster", ClusterId="j-1")
    assert error.value.reason is reason


@pytest.mark.parametrize("body", [LOST, b"<html>a proxy's page<br>", b"", b"\xff\xfe"])
async def test_an_answer_that_is_none_of_the_services_is_an_unreachable_service(
    service: Service, door: Door, body: bytes
) -> None:
    service.answer(200, body)
    with pytest.raises(RunError) as error:
        await door.call("ec2", "DescribeSubnets")
    assert error.value.reason is Reason.ENDPOINT


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no-such-host.invalid", "not-a-url", "127.0.0.1:1"])
async def test_an_endpoint_that_is_not_there_never_got_the_call(
    service: Service, door: Door, monkeypatch: pytest.MonkeyPatch, once: bool, url: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(RunError) as error:
        await (door.call_once if once else door.call)("emr", "RunJobFlow", **RUN_JOB_FLOW)
    assert error.value.reason is Reason.ENDPOINT
    assert "AWS_ENDPOINT_URL" in error.value.remedy
    assert service.asked == 0


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "none"])
@pytest.mark.parametrize("verb", ["call", "call_once", "pages"])
async def test_without_credentials_nothing_is_sent_and_a_person_is_told_what_to_do(
    service: Service, door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, verb: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    if variable == "AWS_PROFILE":
        monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(RunError) as error:
        if verb == "pages":
            [item async for item in door.pages("emr", "ListClusters", "Clusters")]
        else:
            await getattr(door, verb)("emr", "RunJobFlow", **RUN_JOB_FLOW)
    assert error.value.reason is Reason.CREDENTIALS
    assert "AWS_PROFILE" in error.value.remedy
    assert service.asked == 0


@pytest.mark.parametrize("most", [None, 1000, 100, 50])
async def test_a_body_that_was_cut_off_is_none(service: Service, door: Door, most: int | None) -> None:
    service.answer(200, b"x" * 100, sent=50)
    with pytest.raises((RunError, TooLarge)) as caught:
        await door.call("s3", "GetObject", most=most, Bucket="acme-servo", Key="result.json")
    assert isinstance(caught.value, TooLarge) == (most == 50)
    if isinstance(caught.value, RunError):
        assert caught.value.reason is Reason.ENDPOINT


@pytest.mark.parametrize(("most", "whole"), [(100, True), (99, False)])
async def test_a_body_is_read_up_to_its_bound_and_not_beyond(
    service: Service, door: Door, most: int, whole: bool
) -> None:
    service.answer(200, b"x" * 100)
    if whole:
        assert (await door.call("s3", "GetObject", most=most, Bucket="acme-servo", Key="k"))["Body"] == b"x" * 100
    else:
        with pytest.raises(TooLarge):
            await door.call("s3", "GetObject", most=most, Bucket="acme-servo", Key="k")


async def test_a_request_that_does_not_fit_the_model_is_a_defect_of_ours_and_is_not_sent(
    service: Service, door: Door
) -> None:
    with pytest.raises(RunError) as error:
        await door.call_once("emr", "RunJobFlow", Name=3)
    assert error.value.reason is Reason.BUG
    assert service.asked == 0


@pytest.mark.parametrize(
    ("uri", "parts"),
    [("s3://b/k/x", ("b", "k/x")), ("s3://b", ("b", "")), ("s3n://b/", ("b", "")), ("s3a://b/k", ("b", "k"))],
)
def test_a_uri_is_a_bucket_and_a_key(uri: str, parts: tuple[str, str]) -> None:
    assert split_uri(uri) == parts


@pytest.mark.parametrize("uri", ["", "None", "s3://", "s3:///key", "https://b/k", "b/k"])
def test_what_is_no_uri_of_s3_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="is not an s3://bucket/key URI"):
        split_uri(uri)


PROXY = b"<html><body>Please log in</body></html>"
KEY = RunKey("s3://acme-servo/x", "cafe0123", "20261120t101530-0123abcd")
AT = Handle("j-1", KEY)
VERBS: dict[str, Callable[[Ec2Target, S3Workspace], Awaitable[object]]] = {
    "find": lambda target, workspace: target.find("cafe0123"),
    "observe": lambda target, workspace: target.observe(AT),
    "observe again": lambda target, workspace: target.observe(AT, Observation(RunState.RUNNING)),
    "confirmed": lambda target, workspace: target.confirmed(AT),
    "usage": lambda target, workspace: target.usage(AT),
    "document": lambda target, workspace: workspace.document("lease"),
    "get": lambda target, workspace: workspace.get(KEY.run_id, "result.json"),
    "write": lambda target, workspace: workspace.write("lease", {}, None),
    "put": lambda target, workspace: workspace.put(KEY.run_id, "job.json", b"{}"),
    "records": lambda target, workspace: _all(workspace.records()),
}


async def _all(items: AsyncIterator[RunRecord]) -> list[RunRecord]:
    return [item async for item in items]


@pytest.mark.parametrize("body", [PROXY, b"{}", b"[]", b"null", b'{"Cluster": {}, "Clusters": 3, "Steps": [{}]}'])
@pytest.mark.parametrize("verb", VERBS)
async def test_whatever_somebody_answers_in_the_services_place_nothing_but_our_errors_leaves_a_port(
    service: Service, door: Door, verb: str, body: bytes
) -> None:
    service.answer(200, body)
    target, workspace = Ec2Target(door, "us-east-1", SimClock()), S3Workspace(door, KEY.workspace_uri)
    with pytest.raises(RunError) as error:
        await VERBS[verb](target, workspace)
    assert error.value.reason is Reason.ENDPOINT
    assert error.value.remedy
    assert "log in" not in error.value.public


async def test_a_preflight_takes_no_such_answer_for_a_lack_of_types(service: Service, door: Door) -> None:
    service.answer(200, PROXY)
    preflight = await Ec2Target(door, "us-east-1", SimClock()).preflight(SPEC)
    assert [(finding.reason, finding.certain) for finding in preflight.findings] == [(Reason.ENDPOINT, False)] * 2


async def test_a_look_at_a_state_that_nobody_knows_yet_fails_and_names_it(service: Service, door: Door) -> None:
    target = Ec2Target(door, "us-east-1", SimClock())
    service.answer(200, {"Cluster": {"Status": {"State": "HIBERNATING"}}})
    with pytest.raises(RunError, match="HIBERNATING") as error:
        await target.observe(AT)
    assert error.value.reason is Reason.ENDPOINT
    service.answer(200, {"Clusters": [{"Id": "j-1", "Name": KEY.name, "Status": {"State": "HIBERNATING"}}]})
    assert [found.alive for found in await target.find("cafe0123")] == [True], "no proof of an end"


async def test_an_empty_listing_of_the_service_is_the_lack_of_clusters(service: Service, door: Door) -> None:
    service.answer(200, {"Clusters": []})
    assert await Ec2Target(door, "us-east-1", SimClock()).find("cafe0123") == []


async def test_prices_that_somebody_else_answers_for_are_no_prices_and_the_note_says_so(
    service: Service, door: Door
) -> None:
    service.answer(200, PROXY)
    prices = await ListPrices(door).prices("us-east-1", ["m5.xlarge"], ["gp3"])
    assert (prices.rates, prices.storage) == ({}, {})
    assert prices.note.startswith("AWS Price List could not be asked (an answer of AWS cannot be read). Look what")
    service.answer(400, refused("AccessDeniedException", f"User: arn:aws:iam::123456789012:user/x {CANARY}"))
    note = (await ListPrices(door).prices("us-east-1", ["m5.xlarge"], ["gp3"])).note
    assert "(pricing:GetProducts AccessDeniedException). Allow pricing:GetProducts to the servo's identity" in note
    assert CANARY not in note, "what the service says itself stays in the account"
    with pytest.raises(RunError) as error:
        await SpotPrices(door).history("us-east-1", ["m5.xlarge"], 0.0, 1.0)
    assert error.value.reason is Reason.ENDPOINT
