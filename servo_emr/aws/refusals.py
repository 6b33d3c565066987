"""What AWS's refusals, and answers that are none of its own, are to us. Knows nothing of the SDK."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from servo_emr.aws.permissions import actions_of
from servo_emr.domain.errors import LaunchUnclear, Reason, RunError, failure

__all__ = ["Refusal", "refused", "understood", "unreadable", "without_credentials"]

_CREDENTIAL_CODES = frozenset(
    "ExpiredToken ExpiredTokenException RequestExpired InvalidClientTokenId UnrecognizedClientException "
    "SignatureDoesNotMatch InvalidAccessKeyId InvalidSignatureException AuthFailure MissingAuthenticationToken "
    "IncompleteSignature InvalidToken".split()
)
_DENIED_CODES = frozenset(
    "AccessDenied AccessDeniedException UnauthorizedOperation Forbidden 403 AllAccessDisabled".split()
)
_THROTTLE_CODES = frozenset(
    "Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException "
    "TooManyRequestsException RequestLimitExceeded SlowDown BandwidthLimitExceeded LimitExceededException".split()
)
_BUCKET_CODES = frozenset("NoSuchBucket InvalidBucketName PermanentRedirect AuthorizationHeaderMalformed".split())


class Refusal(Exception):
    """The service refused a call with a code that the caller said it would handle. Never leaves the aws package."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def refused(name: str, code: str, message: str, status: int, expected: Collection[str], unclear: bool) -> Exception:
    """Our error for a service's refusal, most specific first.

    Args:
        name: the operation, such as "emr:RunJobFlow".
        code, message, status: the service's error code and message, and its HTTP status.
        expected: codes that the caller handles: a Refusal.
        unclear: whether the call must not take effect twice, and the refusal may come after the effect.
    """
    text = f"{name}: {code}: {message}"
    details = {"aws": {"operation": name, "code": code, "message": message, "status": status}}
    if unclear and (status >= 500 or code in _THROTTLE_CODES):
        return LaunchUnclear(text, Reason.THROTTLED if code in _THROTTLE_CODES else Reason.ENDPOINT)
    if code in expected:
        return Refusal(code, message)
    if code in _CREDENTIAL_CODES:
        remedy, reason = "Renew the servo's AWS credentials.", Reason.CREDENTIALS
    elif code == "RequestTimeTooSkewed":
        remedy, reason = "Set this machine's clock: its signatures are dated with it.", Reason.CREDENTIALS
    elif code in _DENIED_CODES:
        actions = actions_of(*name.split(":"))
        name = ", ".join(actions)
        if not any(action in message for action in actions):  # S3 says no more than "Access Denied"
            text = f"{text} (needs {name})"
        remedy, reason = f"Allow {name} to the servo's identity (see `servo-emr policy`).", Reason.CREDENTIALS
    elif code in _BUCKET_CODES:
        remedy, reason = "Make the bucket, or correct its name and region in servo.yaml.", Reason.BUCKET
    elif code in _THROTTLE_CODES:
        remedy, reason = "Something else in the account may be calling much; it passes by itself.", Reason.THROTTLED
    elif status >= 500:
        remedy, reason = "It usually passes by itself.", Reason.ENDPOINT
    else:
        remedy, reason = "", Reason.BUG
    return failure(reason, f"{text}.", remedy=remedy, public=f"{name} {code}", details=details)


def without_credentials(name: str, error: Exception) -> RunError:
    return failure(
        Reason.CREDENTIALS,
        f"{name}: no usable AWS credentials: {error}.",
        remedy="Give the servo a role, a profile (AWS_PROFILE) or keys; `aws sts get-caller-identity` shows whose.",
        public="no usable AWS credentials",
    )


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Reads an answer: one that lacks what the service's model promises, or holds what we do not know, is no answer.

    Raises:
        RunError: environment/endpoint, for any error that reading a document gives.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise unreadable(what, error) from error


def unreadable(what: str, error: Exception) -> RunError:
    return failure(
        Reason.ENDPOINT,
        f"{what}: the answer is not one that we can read: {error!r}.",
        remedy="Look what stands between servo and AWS, a proxy perhaps; a newer servo_emr may know the answer.",
        public="an answer of AWS cannot be read",
    )
