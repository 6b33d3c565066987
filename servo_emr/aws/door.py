"""The one door to AWS: sessions, clients, retry configuration, calls off the event loop, AWS errors -> ours.

The only module that imports the SDK. It knows no document: parameters go in and answers come out as dictionaries.
Credentials, profile and endpoints follow the SDK's own rules; none is read, kept or logged here.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import threading
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import botocore.exceptions
import botocore.loaders
import botocore.model
import botocore.session
from botocore.config import Config

from servo_emr.aws.permissions import actions_of
from servo_emr.domain.errors import LaunchUnclear, Reason, RunError, failure

__all__ = ["Door", "Patience", "Refusal", "input_shape", "split_uri", "understood"]


class Patience(enum.Enum):
    """How long a call may take and how often it is sent: (attempts, seconds to connect, seconds to read)."""

    NORMAL = (5, 5.0, 30.0)
    """Reads and repeatable writes: the SDK's standard retries, with its backoff and jitter."""
    ONCE = (1, 5.0, 60.0)
    """A call that must not be sent twice."""
    BRIEF = (2, 2.0, 4.0)
    """Somebody is waiting, and "it could not be asked" is an answer too."""
    QUICK = (1, 2.0, 2.0)
    """Somebody is waiting at a prompt, and there is an answer without AWS."""


class Refusal(Exception):
    """The service refused a call with a code that the caller said it would handle. Never leaves the aws package."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


_CREDENTIAL_ERRORS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.ProfileNotFound,
    botocore.exceptions.ConfigNotFound,
    botocore.exceptions.TokenRetrievalError,
    botocore.exceptions.UnauthorizedSSOTokenError,
    botocore.exceptions.SSOTokenLoadError,
)
_NEVER_SENT = (
    botocore.exceptions.EndpointConnectionError,
    botocore.exceptions.ConnectTimeoutError,
    botocore.exceptions.ProxyConnectionError,
)
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


class Door:
    """Clients of one region, made when first used, shared by all threads.

    Args:
        region: the AWS region of all calls.
        patience: how calls are repeated unless one says otherwise.
    """

    def __init__(self, region: str, patience: Patience = Patience.NORMAL) -> None:
        self._region = region
        self._patience = patience
        self._session: botocore.session.Session | None = None
        self._clients: dict[tuple[str, Patience], Any] = {}
        self._lock = threading.Lock()

    async def call(self, service: str, operation: str, *, expected: Collection[str] = (), **params: Any) -> Any:
        """One API call, made on a thread. Returns the answer without its ResponseMetadata; bodies are read whole.

        Args:
            service: the SDK's service name, for example "emr".
            operation: the API's operation name, for example "DescribeCluster".
            expected: error codes that the caller handles.

        Raises:
            Refusal: the service answered with one of the expected codes.
            RunError: anything else that went wrong, with its reason.
        """
        return await asyncio.to_thread(self._call, service, operation, self._patience, expected, params)

    async def call_once(self, service: str, operation: str, *, expected: Collection[str] = (), **params: Any) -> Any:
        """The same for a call that must not take effect twice: sent once.

        Raises:
            LaunchUnclear: no answer that tells whether it took effect.
        """
        return await asyncio.to_thread(self._call, service, operation, Patience.ONCE, expected, params)

    async def pages(
        self, service: str, operation: str, items: str, *, sign: str | None = None, **params: Any
    ) -> AsyncIterator[Any]:
        """The items of all pages of a listing, a page a call, by the SDK's own paginator model.

        Args:
            items: the member of an answer that holds them.
            sign: a member that no true answer lacks, where an empty listing has no `items`. What somebody between us
                and AWS answers must never pass for an empty list.

        Raises:
            RunError: as `call`; environment/endpoint for a page that is none of the service's.
        """
        keys = self._pagination(service, operation)
        token: Any = None
        while True:
            page = await self.call(service, operation, **params, **({keys["input"]: token} if token else {}))
            with understood(f"{service}:{operation}"):
                page[sign or items]  # its lack is the error
            for item in page.get(items, ()):
                yield item
            token = page.get(keys["output"])
            if not token:
                return

    def _pagination(self, service: str, operation: str) -> dict[str, str]:
        try:
            with self._lock:
                loader = self._open_session().get_component("data_loader")
        except _CREDENTIAL_ERRORS as error:  # the loader asks the profile where models are
            raise _without_credentials(f"{service}:{operation}", error) from error
        model = loader.load_service_model(service, "paginators-1")["pagination"][operation]
        return {"input": model["input_token"], "output": model["output_token"]}

    def _open_session(self) -> botocore.session.Session:
        if self._session is None:
            self._session = botocore.session.get_session()
            if self._patience in (Patience.QUICK, Patience.BRIEF):
                self._session.set_config_variable("metadata_service_timeout", 1)
                self._session.set_config_variable("metadata_service_num_attempts", 1)
        return self._session

    def _client(self, service: str, patience: Patience) -> Any:
        with self._lock:
            if (service, patience) not in self._clients:
                attempts, connect, read = patience.value
                config = Config(
                    retries={"mode": "standard", "total_max_attempts": attempts},
                    connect_timeout=connect,
                    read_timeout=read,
                    max_pool_connections=32,  # as many as asyncio has threads at most
                    user_agent_extra="servo-emr",
                )
                try:
                    client = self._open_session().create_client(service, region_name=self._region, config=config)
                except ValueError as error:  # an endpoint that is no URL
                    raise self._unreachable(service, error) from error
                self._clients[service, patience] = client
            return self._clients[service, patience]

    def _call(
        self, service: str, operation: str, patience: Patience, expected: Collection[str], params: dict[str, Any]
    ) -> Any:
        name = f"{service}:{operation}"
        unclear = patience is Patience.ONCE
        try:
            client = self._client(service, patience)
            answer = getattr(client, _method(client, operation))(**params)
            if hasattr(answer.get("Body"), "read"):
                answer["Body"] = answer["Body"].read()
        except botocore.exceptions.ClientError as error:
            raise self._refused(error, name, expected, unclear) from _bare(error)
        except _CREDENTIAL_ERRORS as error:
            raise _without_credentials(name, error) from _bare(error)
        except _NEVER_SENT as error:
            raise self._unreachable(name, error) from _bare(error)
        except botocore.exceptions.ParamValidationError as error:
            raise failure(
                Reason.BUG, f"{name}: the request does not fit the service's model: {error}", public="invalid request"
            ) from _bare(error)
        except RunError:
            raise
        except Exception as error:  # noqa: BLE001 - also what the SDK stumbles with over an answer that is none
            if unclear:  # there may be a cluster whose id was in it
                raise LaunchUnclear(f"{name}: no clear answer: {error!r}") from _bare(error)
            if isinstance(error, (botocore.exceptions.BotoCoreError, OSError)):
                raise self._unreachable(name, error) from _bare(error)
            raise _unreadable(name, error) from _bare(error)
        answer.pop("ResponseMetadata", None)
        return answer

    def _unreachable(self, name: str, error: Exception) -> RunError:
        return failure(
            Reason.ENDPOINT,
            f"{name}: AWS cannot be reached in {self._region}: {error}.",
            remedy="Check network, proxy, region and AWS_ENDPOINT_URL.",
            public="AWS cannot be reached",
        )

    def _refused(
        self, error: botocore.exceptions.ClientError, name: str, expected: Collection[str], unclear: bool
    ) -> Exception:
        """Our error for the service's answer, most specific first."""
        described = error.response.get("Error", {})
        code, message = str(described.get("Code", "")), str(described.get("Message", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
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


def _bare(error: Exception) -> Exception:
    """The SDK's error without its frames: they hold credentials and signed headers, and servox's log shows values."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _without_credentials(name: str, error: Exception) -> RunError:
    return failure(
        Reason.CREDENTIALS,
        f"{name}: no usable AWS credentials: {error}.",
        remedy="Give the servo a role, a profile (AWS_PROFILE) or keys; `aws sts get-caller-identity` shows whose.",
        public="no usable AWS credentials",
    )


def _method(client: Any, operation: str) -> str:
    """The client's method for an API operation."""
    for method, name in client.meta.method_to_api_mapping.items():
        if name == operation:
            return str(method)
    raise failure(Reason.BUG, f"the service has no operation {operation}", public="invalid request")


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Reads an answer: one that lacks what the service's model promises, or holds what we do not know, is no answer.

    Raises:
        RunError: environment/endpoint, for any error that reading a document gives.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise _unreadable(what, error) from error


def _unreadable(what: str, error: Exception) -> RunError:
    return failure(
        Reason.ENDPOINT,
        f"{what}: the answer is not one that we can read: {error!r}.",
        remedy="Look what stands between servo and AWS, a proxy perhaps; a newer servo_emr may know the answer.",
        public="an answer of AWS cannot be read",
    )


def split_uri(uri: str) -> tuple[str, str]:
    """(bucket, key) of an s3:// URI; the key has no leading slash and may be empty.

    Raises:
        ValueError: it is no s3:// URI with a bucket.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme not in ("s3", "s3a", "s3n") or not bucket:
        raise ValueError(f"{uri!r} is not an s3://bucket/key URI")
    return bucket, key


@functools.cache
def input_shape(service: str, operation: str) -> Any:
    """The SDK's own model of an operation's request. Asks nobody."""
    document = botocore.loaders.Loader().load_service_model(service, "service-2")
    return botocore.model.ServiceModel(document, service).operation_model(operation).input_shape
