"""The WebHDFS gateway: Hadoop's own client speaks to it, and finds the buckets of the emulator's S3.

A WSGI application under /webhdfs/v1; `/webhdfs/v1/BUCKET/KEY` is s3://BUCKET/KEY. It puts the parts together (requests
and answers, operations, the tree) and owns the one S3 client; it decides nothing itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from servo_emr.emulator.protocol.naming import GATEWAY_CALLER
from servo_emr.emulator.storage.hdfs_messages import ERRORS, PREFIX, Answer, Request
from servo_emr.emulator.storage.hdfs_operations import OPERATIONS
from servo_emr.emulator.storage.s3tree import S3Tree

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["PREFIX", "WebHdfs"]


class WebHdfs:
    """A WSGI application for /webhdfs/v1 of the emulator's own port, on a server with threads and werkzeug's environ.

    `endpoint` gives the URL of S3, asked for at the first request: the emulator's own, which is known once it listens.
    """

    def __init__(self, endpoint: Callable[[], str]) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._client: Any = None
        self._tree = S3Tree(self._s3)

    def _s3(self) -> Any:
        with self._lock:  # boto3's clients may be shared by threads; making one may not
            if self._client is None:
                session = boto3.Session(
                    aws_access_key_id=GATEWAY_CALLER,
                    aws_secret_access_key=GATEWAY_CALLER,
                    region_name="us-east-1",
                )
                self._client = session.client(
                    "s3",
                    endpoint_url=self._endpoint(),
                    config=Config(
                        max_pool_connections=50,
                        s3={"addressing_style": "path"},
                        request_checksum_calculation="when_required",
                        response_checksum_validation="when_required",
                        proxies={},
                    ),
                )
            return self._client

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            request = Request(environ)
            handler = OPERATIONS.get((environ["REQUEST_METHOD"], request.operation))
            if handler is None:
                raise NotImplementedError(
                    f"the emulator's S3 gateway has no {environ['REQUEST_METHOD']} operation {request.operation!r}"
                )
            answer = handler(self._tree, request)
        except ERRORS as error:
            answer = Answer.to_failure(error)
        start_response(f"{answer.status.value} {answer.status.phrase}", list(answer.headers.items()))
        return answer.body
