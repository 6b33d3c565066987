"""S3 in the emulator: moto's, with conditional writes that hold under concurrency, over connections that stay open."""

from __future__ import annotations

import contextlib
import http.client
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.support.emulator import EmulatorProcess

SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess() as process:
        process.client("s3").create_bucket(Bucket="things")
        yield process


@pytest.fixture(scope="module")
def s3(emulator: EmulatorProcess) -> Any:
    return emulator.client("s3")


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_if_none_match_writes_only_what_is_not_there(s3: Any) -> None:
    s3.put_object(Bucket="things", Key="once", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket="things", Key="once", Body=b"second", IfNoneMatch="*")
    assert code_of(caught) == (412, "PreconditionFailed")
    assert s3.get_object(Bucket="things", Key="once")["Body"].read() == b"first"


def test_if_match_writes_only_over_what_was_seen(s3: Any) -> None:
    etag = s3.put_object(Bucket="things", Key="record", Body=b"1")["ETag"]
    newer = s3.put_object(Bucket="things", Key="record", Body=b"2", IfMatch=etag)["ETag"]
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket="things", Key="record", Body=b"3", IfMatch=etag)
    assert code_of(caught) == (412, "PreconditionFailed")
    s3.put_object(Bucket="things", Key="record", Body=b"4", IfMatch=newer)
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket="things", Key="absent", Body=b"x", IfMatch=etag)
    assert code_of(caught) == (404, "NoSuchKey")


def test_of_many_writers_at_once_exactly_one_wins(emulator: EmulatorProcess, s3: Any) -> None:
    start = threading.Barrier(12)

    def write(index: int) -> int:
        mine = emulator.client("s3")
        won = 0
        for round_ in range(10):
            start.wait()
            try:
                mine.put_object(Bucket="things", Key=f"race/{round_}", Body=str(index).encode() * 500, IfNoneMatch="*")
                won += 1
            except ClientError as error:
                assert error.response["Error"]["Code"] == "PreconditionFailed"
        return won

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(write, range(12))) == 10


def test_no_update_is_lost_between_writers_that_compare_and_set(emulator: EmulatorProcess, s3: Any) -> None:
    s3.put_object(Bucket="things", Key="counter", Body=b"0")

    def count(_: int) -> None:
        mine = emulator.client("s3")
        done = 0
        while done < 5:
            seen = mine.get_object(Bucket="things", Key="counter")
            value = int(seen["Body"].read())
            try:
                mine.put_object(Bucket="things", Key="counter", Body=str(value + 1).encode(), IfMatch=seen["ETag"])
                done += 1
            except ClientError as error:
                assert error.response["Error"]["Code"] == "PreconditionFailed"

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    assert s3.get_object(Bucket="things", Key="counter")["Body"].read() == b"20"


def test_big_bodies_go_up_and_down_in_one_piece_and_in_parts(s3: Any, tmp_path: Path) -> None:
    body = os.urandom(9 * 1024 * 1024)
    s3.put_object(Bucket="things", Key="whole", Body=body)
    assert s3.get_object(Bucket="things", Key="whole")["Body"].read() == body
    file = tmp_path / "big"
    file.write_bytes(body)
    parts = TransferConfig(multipart_threshold=5 * 1024 * 1024, multipart_chunksize=5 * 1024 * 1024)
    s3.upload_file(str(file), "things", "parts", Config=parts)
    s3.download_file("things", "parts", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == body
    assert s3.get_object(Bucket="things", Key="parts", Range="bytes=10-19")["Body"].read() == body[10:20]


@pytest.fixture
def line(emulator: EmulatorProcess) -> Iterator[http.client.HTTPConnection]:
    """A bare connection."""
    place = urlsplit(emulator.url)
    assert place.hostname is not None
    with contextlib.closing(http.client.HTTPConnection(place.hostname, place.port, timeout=30)) as connection:
        yield connection


def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on(line: http.client.HTTPConnection) -> None:
    line.putrequest("PUT", "/things/asked")
    for name, value in (("Content-Length", "5"), ("Expect", "100-continue")):
        line.putheader(name, value)
    line.endheaders()
    assert line.sock.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.send(b"hello")
    assert line.getresponse().status == 200


def test_a_connection_serves_many_requests_chunked_ones_and_unread_bodies_too(line: http.client.HTTPConnection) -> None:
    line.connect()
    socket = line.sock
    for index in range(3):
        line.request("PUT", f"/things/chunked-{index}", body=iter([b"a" * 10, b"b" * 10]), encode_chunked=True,
                     headers={"Transfer-Encoding": "chunked"})  # fmt: skip
        answer = line.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        line.request("GET", "/_emulator/nothing", body=b"nobody reads this")
        answer = line.getresponse()
        assert answer.status == 404 and answer.read()
        line.request("HEAD", f"/things/chunked-{index}", headers=SIGNED)
        answer = line.getresponse()
        assert (answer.status, answer.headers["Content-Length"], answer.read()) == (200, "20", b"")
        line.request("GET", f"/things/chunked-{index}", headers=SIGNED)
        assert line.getresponse().read() == b"a" * 10 + b"b" * 10
    assert line.sock is socket, "it was never closed"


def test_a_length_that_is_no_number_is_refused(line: http.client.HTTPConnection) -> None:
    line.putrequest("PUT", "/things/x")
    line.putheader("Content-Length", "many")
    line.endheaders()
    assert line.getresponse().status == 400


def test_calls_are_recorded_with_their_outcome(emulator: EmulatorProcess, s3: Any) -> None:
    before = len(emulator.calls())
    s3.put_object(Bucket="things", Key="a", Body=b"1")
    s3.list_objects_v2(Bucket="things", Prefix="a")
    with pytest.raises(ClientError):
        s3.get_object(Bucket="things", Key="nowhere")
    with pytest.raises(ClientError):
        s3.head_object(Bucket="things", Key="nowhere")
    emulator.client("ec2").describe_subnets()
    with pytest.raises(ClientError):
        emulator.client("emr").describe_cluster(ClusterId="j-NOBODY")
    emulator.client("sts").get_caller_identity()
    new = emulator.calls()[before:]
    assert [(call["service"], call["operation"], call["status"], call["error"]) for call in new] == [
        ("s3", "PutObject", 200, None),
        ("s3", "ListObjectsV2", 200, None),
        ("s3", "GetObject", 404, "NoSuchKey"),
        ("s3", "HeadObject", 404, "404"),
        ("ec2", "DescribeSubnets", 200, None),
        ("elasticmapreduce", "DescribeCluster", 400, "InvalidRequestException"),
        ("sts", "GetCallerIdentity", 200, None),
    ]
    assert {call["caller"] for call in new} == {"test"}
    assert all(call["at"] == emulator.now() for call in new)
    assert len(emulator.calls(service="s3", operation="GetObject")) >= 1
