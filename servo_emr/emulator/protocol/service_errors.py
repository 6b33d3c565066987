"""What each service says when it refuses: its own codes and statuses for the common troubles, in its own protocol.

Codes are those of AWS's documentation and SDKs; the texts are theirs where they are published, else ours. Knows
neither faults nor operations.
"""

from __future__ import annotations

import enum
import json
import secrets
from collections.abc import Mapping
from xml.sax.saxutils import escape

from servo_emr.emulator.protocol.errors import AwsError
from servo_emr.emulator.protocol.naming import Asked

__all__ = ["Trouble", "error_answer", "error_of"]


class Trouble(enum.StrEnum):
    """What any service can answer to any call."""

    THROTTLED = "throttle"
    DENIED = "access-denied"
    EXPIRED = "expired-credentials"
    FAILED = "server-error"
    SKEWED = "clock-skew"


_RATE = "Rate exceeded"
_EXPIRED = "The security token included in the request is expired"
_SKEWED = "Signature expired: the request's time and the server's are too far apart."
_TOO_LARGE = "The difference between the request time and the current time is too large."
_INTERNAL = "An internal error has occurred. Please try your query again at a later time."

# By trouble and service: (status, code, message). "" stands for every service that is not named.
_ERRORS: Mapping[Trouble, Mapping[str, tuple[int, str, str]]] = {
    Trouble.THROTTLED: {
        "": (400, "ThrottlingException", _RATE),
        "s3": (503, "SlowDown", "Please reduce your request rate."),
        "ec2": (503, "RequestLimitExceeded", "Request limit exceeded."),
        "sts": (400, "Throttling", _RATE),
        "iam": (400, "Throttling", _RATE),
        "service-quotas": (400, "TooManyRequestsException", _RATE),
    },
    Trouble.DENIED: {
        "": (400, "AccessDeniedException", "{denied}"),
        "s3": (403, "AccessDenied", "Access Denied"),
        "ec2": (403, "UnauthorizedOperation", "You are not authorized to perform this operation. {denied}"),
        "sts": (403, "AccessDenied", "{denied}"),
        "iam": (403, "AccessDenied", "{denied}"),
    },
    Trouble.EXPIRED: {
        "": (400, "ExpiredTokenException", _EXPIRED),
        "s3": (400, "ExpiredToken", "The provided token has expired."),
        "ec2": (400, "RequestExpired", "Request has expired."),
        "sts": (403, "ExpiredToken", _EXPIRED),
        "iam": (403, "ExpiredToken", _EXPIRED),
    },
    Trouble.FAILED: {
        "": (500, "InternalFailure", _INTERNAL),
        "s3": (500, "InternalError", "We encountered an internal error. Please try again."),
        "ec2": (500, "InternalError", _INTERNAL),
        "pricing": (500, "InternalErrorException", _INTERNAL),
        "service-quotas": (500, "ServiceException", _INTERNAL),
    },
    Trouble.SKEWED: {
        "": (400, "InvalidSignatureException", _SKEWED),
        "s3": (
            403,
            "RequestTimeTooSkewed",
            _TOO_LARGE,
        ),
        "ec2": (400, "RequestExpired", "Request has expired."),
        "sts": (403, "SignatureDoesNotMatch", _SKEWED),
        "iam": (403, "SignatureDoesNotMatch", _SKEWED),
    },
}

_DENIED = (
    "User: arn:aws:iam::123456789012:user/emulated is not authorized to perform: {action} "
    "because no identity-based policy allows the {action} action"
)


def error_of(trouble: Trouble, asked: Asked) -> AwsError:
    """The error that the service asked answers in that trouble."""
    errors = _ERRORS[trouble]
    status, code, message = errors.get(asked.service, errors[""])
    denied = _DENIED.format(action=f"{asked.signed}:{asked.operation}")
    return AwsError(code, message.format(denied=denied), status)


def error_answer(error: AwsError, service: str, *, is_json: bool) -> tuple[str, list[tuple[str, str]], bytes]:
    """(status line, headers, body) of an error; `is_json`: the request was made in AWS's JSON protocol."""
    request_id = secrets.token_hex(16)
    if is_json:
        document = {"__type": error.code, "message": error.message, "Message": error.message}
        kind, body = "application/x-amz-json-1.1", json.dumps(document)
    else:
        kind, body = "text/xml", '<?xml version="1.0" encoding="UTF-8"?>\n' + _xml(error, service, request_id)
    data = body.encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(data))), ("x-amzn-RequestId", request_id)]
    return f"{error.status} {error.code}", headers, data


def _xml(error: AwsError, service: str, request_id: str) -> str:
    words = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    if service == "s3":
        return f"<Error>{words}<RequestId>{request_id}</RequestId></Error>"
    if service == "ec2":
        return f"<Response><Errors><Error>{words}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    side = "Sender" if error.status < 500 else "Receiver"
    return (
        f"<ErrorResponse><Error><Type>{side}</Type>{words}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
