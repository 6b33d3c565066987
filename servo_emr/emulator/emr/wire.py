"""EMR's wire protocol: JSON 1.1 over POST, the operation named by X-Amz-Target. Knows no operation by itself."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from servo_emr.emulator.emr.operations import OPERATIONS
from servo_emr.emulator.emr.request import Call
from servo_emr.emulator.faults.set import Faults
from servo_emr.emulator.protocol.errors import AwsError
from servo_emr.emulator.protocol.shapes import Shapes
from servo_emr.emulator.region import Regions
from servo_emr.emulator.world.driver import Driver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["TARGET_PREFIX", "EmrApplication"]

TARGET_PREFIX = "ElasticMapReduce."


class EmrApplication:
    """Answers signed EMR requests. The region is the one that the request was signed for."""

    def __init__(self, driver: Driver, regions: Regions, faults: Faults) -> None:
        self._driver = driver
        self._regions = regions
        self._faults = faults
        self._shapes = Shapes()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            answer, status = self._answer(environ), "200 OK"
        except AwsError as error:
            status = f"{error.status} {error.code}"
            answer = {"__type": error.code, "message": error.message, "Message": error.message}
            if error.detail is not None:
                answer["ErrorCode"] = error.detail
        body = json.dumps(answer).encode()
        start_response(
            status,
            [
                ("Content-Type", "application/x-amz-json-1.1"),
                ("Content-Length", str(len(body))),
                ("x-amzn-RequestId", secrets.token_hex(16)),
            ],
        )
        return [body]

    def _answer(self, environ: WSGIEnvironment) -> dict[str, Any]:
        operation = environ.get("HTTP_X_AMZ_TARGET", "").removeprefix(TARGET_PREFIX)
        region = environ.get("servo_emr.region")
        if region is None:
            raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        if not self._regions.exists(region):
            raise AwsError("InvalidSignatureException", f"Credential is scoped to {region!r}, which is no region.")
        if operation not in self._shapes.operations:
            raise AwsError("UnknownOperationException", f"EMR has no operation {operation!r}.")
        handler = OPERATIONS.get(operation)
        if handler is None:
            known = ", ".join(sorted(OPERATIONS))
            raise AwsError("UnknownOperationException", f"This emulator has no operation {operation}; it has {known}.")
        request = self._shapes.check_request(operation, _document(environ))
        with self._driver.world() as world:
            hidden = self._faults.veil(operation, world.now)
            answer = handler(Call(world, self._regions, region, request, hidden))
        return self._shapes.shape_answer(operation, answer)


def _document(environ: WSGIEnvironment) -> object:
    try:
        return json.loads(environ["wsgi.input"].read() or b"{}")
    except ValueError as error:
        raise AwsError("SerializationException", f"The request is not JSON: {error}") from None
