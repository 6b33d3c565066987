"""What the node's tests stand on: moto's S3 and the WebHDFS gateway on one loopback port, and a node in a folder."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from servo_emr.emulator.node.node import Node, Process
from servo_emr.emulator.storage.webhdfs import PREFIX, WebHdfs
from servo_emr.emulator.web.server import Server

PATIENCE = 120.0  # real seconds: a bound on a hang, no expectation


@dataclass(frozen=True)
class Endpoint:
    """One port with S3 and the gateway on it, and a client of each."""

    url: str
    s3: Any
    operations: list[tuple[str, str]]  # method and query string of each request to the gateway

    def buckets(self) -> list[str]:
        return [bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]]

    def make_bucket(self) -> str:
        name = f"bucket-{secrets.token_hex(6)}"
        self.s3.create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        answer = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
        return [item["Key"] for item in answer.get("Contents", ())]

    def text(self, bucket: str, key: str) -> str:
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()


@contextmanager
def serve() -> Iterator[Endpoint]:
    """An endpoint for the length of the block."""
    moto = DomainDispatcherApplication(create_backend_app)
    gateway = WebHdfs(lambda: url)
    operations: list[tuple[str, str]] = []

    def application(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"].startswith(f"{PREFIX}/"):
            operations.append((environ["REQUEST_METHOD"], environ["QUERY_STRING"]))
            return gateway(environ, start_response)
        return moto(environ, start_response)

    server = Server(0, application)
    url = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    try:
        yield Endpoint(url, client, operations)
    finally:
        client.close()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def node_on(endpoint: Endpoint, root: Path) -> Iterator[Node]:
    """A node for the length of the block."""
    node = Node(
        cluster_id="j-EMULATED",
        root=root,
        endpoint=endpoint.url,
        region="us-east-1",
        cores=2,
        buckets=endpoint.buckets,
    )
    try:
        yield node
    finally:
        node.destroy()


@dataclass(frozen=True)
class Ended:
    status: int | None
    out: str
    err: str


class Runner:
    """Runs commands on a node to their end, each with a mark of its own."""

    def __init__(self, node: Node, logs: Path) -> None:
        self.node, self._logs, self._count = node, logs, 0
        logs.mkdir(exist_ok=True)

    def start(self, argv: Sequence[str]) -> Process:
        return self.node.start(argv, **self._files())

    def run(self, *argv: str) -> Ended:
        return self._end(self.start(argv))

    def script(self, uri: str, *arguments: str) -> Ended:
        return self._end(self.node.start_script(uri, arguments, **self._files()))

    def _files(self) -> dict[str, Any]:
        self._count += 1
        mark = f"s-{self._count}"
        return {"mark": mark, "stdout": self._logs / f"{mark}.out", "stderr": self._logs / f"{mark}.err"}

    def _end(self, process: Process) -> Ended:
        status = process.wait(PATIENCE)
        out, err = (
            (self._logs / f"s-{self._count}.{name}").read_text(encoding="utf-8", errors="replace")
            for name in ("out", "err")
        )
        return Ended(status, out, err)
