"""Signed requests to a WSGI application of the emulator, without a server between."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from servo_emr.emulator.protocol.errors import AwsError

__all__ = ["ask"]


def ask(application: Any, service: str, target: str, request: Mapping[str, Any], region: str = "us-east-1") -> Any:
    """The answer of a signed JSON 1.1 request; raises AwsError for an error."""
    body = json.dumps(request).encode()
    started: list[str] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "HTTP_X_AMZ_TARGET": target,
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential=a/20310102/{region}/{service}/aws4_request, Signature=x",
        "wsgi.input": io.BytesIO(body),
    }
    answer = json.loads(b"".join(application(environ, lambda status, headers: started.append(status))))
    if started != ["200 OK"]:
        raise AwsError(answer["__type"], answer["message"], int(started[0][:3]))
    return answer
