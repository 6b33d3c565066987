"""The one door to AWS: sessions, clients, retry configuration, calls off the event loop, AWS errors -> ours.

The only module that imports the SDK. It knows no document: parameters go in and answers come out as dictionaries.
Credentials, profile and endpoints follow the SDK's own rules; none is read, kept or logged here.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import enum
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Any

import botocore.exceptions
import botocore.loaders
import botocore.model
import botocore.session
import botocore.utils
from botocore.config import Config

from servo_emr.aws.body import read_body
from servo_emr.aws.refusals import Refusal, refused, understood, unreadable, without_credentials
from servo_emr.domain.errors import LaunchUnclear, Reason, RunError, TooLarge, failure

__all__ = ["Door", "Patience", "Refusal", "input_shape", "moment", "understood"]


class Patience(enum.Enum):
    """How long a call may take and how often it is sent: (attempts, seconds to connect, seconds to read)."""

    NORMAL = (5, 5.0, 30.0)
    """Reads and repeatable writes: the SDK's standard retries, with its backoff and jitter."""
    ONCE = (1, 5.0, 60.0)
    """A call that must not be sent twice."""
    LOOK = (1, 5.0, 30.0)
    """A look at something, which is repeated by whoever looks."""
    BRIEF = (2, 2.0, 4.0)
    """Somebody is waiting, and "it could not be asked" is an answer too."""
    QUICK = (1, 2.0, 2.0)
    """Somebody is waiting at a prompt, and there is an answer without AWS."""


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
_EMULATOR = "servo-emr-emulator"


class Door:
    """Clients of one region, made when first used, shared by all threads.

    Args:
        region: the AWS region of all calls.
        patience: how calls are repeated unless one says otherwise.

    Attributes:
        emulated: whether an answer so far came from an emulated AWS, by its Server header.
    """

    def __init__(self, region: str, patience: Patience = Patience.NORMAL) -> None:
        self._region = region
        self._patience = patience
        self._session: botocore.session.Session | None = None
        self._clients: dict[tuple[str, Patience], Any] = {}
        self._lock = threading.Lock()
        self.emulated = False

    async def call(
        self, service: str, operation: str, *, expected: Collection[str] = (), most: int | None = None, **params: Any
    ) -> Any:
        """One API call, made on a thread. Returns the answer without its ResponseMetadata; bodies are read whole.

        Args:
            service: the SDK's service name, for example "emr".
            operation: the API's operation name, for example "DescribeCluster".
            expected: error codes that the caller handles.
            most: bytes of a body that are read.

        Raises:
            Refusal: the service answered with one of the expected codes.
            TooLarge: the body has more than `most` bytes, by the service's own word; none of it is read.
            RunError: anything else that went wrong, with its reason.
        """
        return await asyncio.to_thread(self._call, service, operation, self._patience, expected, params, most)

    async def each(
        self,
        service: str,
        operation: str,
        *,
        expected: Collection[str] = (),
        most: int | None = None,
        many: Sequence[dict[str, Any]],
    ) -> list[Any]:
        """The answers to several calls of one kind, made one after another on one thread: to hand each to a thread of
        its own costs as much as a small answer. A Refusal, TooLarge or RunError stands where an answer would; after a
        RunError no further call is made, and it stands for the rest: what is out of reach for one is so for all."""

        def answer(params: dict[str, Any]) -> Any:
            try:
                return self._call(service, operation, self._patience, expected, params, most)
            except (Refusal, TooLarge, RunError) as error:
                return error

        def answers() -> list[Any]:
            found: list[Any] = []
            for params in many:
                found.append(found[-1] if found and isinstance(found[-1], RunError) else answer(params))
            return found

        return await asyncio.to_thread(answers)

    async def call_once(self, service: str, operation: str, *, expected: Collection[str] = (), **params: Any) -> Any:
        """The same for a call that must not take effect twice: sent once.

        Raises:
            LaunchUnclear: no answer that tells whether it took effect.
        """
        return await asyncio.to_thread(self._call, service, operation, Patience.ONCE, expected, params)

    async def look(self, service: str, operation: str, *, expected: Collection[str] = (), **params: Any) -> Any:
        """The same for a caller that asks again itself, at a pace of its own: sent once, so that a limit that many
        share is not spent on repetitions of repetitions."""
        return await asyncio.to_thread(self._call, service, operation, Patience.LOOK, expected, params)

    async def pages(
        self,
        service: str,
        operation: str,
        items: str,
        *,
        sign: str | None = None,
        by: Callable[..., Awaitable[Any]] | None = None,
        **params: Any,
    ) -> AsyncIterator[Any]:
        """The items of all pages of a listing, a page a call, by the SDK's own paginator model.

        Args:
            items: the member of an answer that holds them.
            sign: a member that no true answer lacks, where an empty listing has no `items`. What somebody between us
                and AWS answers must never pass for an empty list.
            by: makes the calls; None: `call`.

        Raises:
            RunError: as `call`; environment/endpoint for a page that is none of the service's.
        """
        keys = self._pagination(service, operation)
        token: Any = None
        while True:
            page = await (by or self.call)(service, operation, **params, **({keys["input"]: token} if token else {}))
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
            raise without_credentials(f"{service}:{operation}", error) from error
        model = loader.load_service_model(service, "paginators-1")["pagination"][operation]
        return {"input": model["input_token"], "output": model["output_token"]}

    def _open_session(self) -> botocore.session.Session:
        if self._session is None:
            self._session = botocore.session.get_session()
            loader = _models(self._session.get_config_variable("data_path"))
            self._session.register_component("data_loader", loader)
            self._session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
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
        self,
        service: str,
        operation: str,
        patience: Patience,
        expected: Collection[str],
        params: dict[str, Any],
        most: int | None = None,
    ) -> Any:
        name = f"{service}:{operation}"
        unclear = patience is Patience.ONCE
        try:
            client = self._client(service, patience)
            answer = getattr(client, _method(client, operation))(**params)
            if hasattr(answer.get("Body"), "read"):
                answer["Body"] = read_body(answer["Body"], answer.get("ContentLength"), most, name)
        except botocore.exceptions.ClientError as error:
            described = error.response.get("Error", {})
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            code, message = str(described.get("Code", "")), str(described.get("Message", ""))
            raise refused(name, code, message, status, expected, unclear) from _bare(error)
        except _CREDENTIAL_ERRORS as error:
            raise without_credentials(name, error) from _bare(error)
        except _NEVER_SENT as error:
            raise self._unreachable(name, error) from _bare(error)
        except botocore.exceptions.ParamValidationError as error:
            raise failure(
                Reason.BUG, f"{name}: the request does not fit the service's model: {error}", public="invalid request"
            ) from _bare(error)
        except (RunError, TooLarge):
            raise
        except Exception as error:  # noqa: BLE001 - also what the SDK stumbles with over an answer that is none
            if unclear:  # there may be a cluster whose id was in it
                raise LaunchUnclear(f"{name}: no clear answer: {error!r}") from _bare(error)
            if isinstance(error, (botocore.exceptions.BotoCoreError, OSError)):
                raise self._unreachable(name, error) from _bare(error)
            raise unreadable(name, error) from _bare(error)
        headers = answer.pop("ResponseMetadata", {}).get("HTTPHeaders", {})
        self.emulated = self.emulated or _EMULATOR in headers.get("server", "")
        return answer

    def _unreachable(self, name: str, error: Exception) -> RunError:
        return failure(
            Reason.ENDPOINT,
            f"{name}: AWS cannot be reached in {self._region}: {error}.",
            remedy="Check network, proxy, region and AWS_ENDPOINT_URL.",
            public="AWS cannot be reached",
        )


@functools.cache
def _models(data_path: str | None) -> Any:
    """The SDK's descriptions of its services, which are large, read once by a process."""
    return botocore.loaders.create_loader(data_path)


def moment(value: Any) -> datetime:
    """A time of an answer. The SDK's own parser tries every form there is, which took a third of a long listing."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            if value.endswith("Z"):
                return datetime.fromisoformat(value)
            if value.endswith(" GMT"):
                return email.utils.parsedate_to_datetime(value)
    parsed: datetime = botocore.utils.parse_timestamp(value)
    return parsed


def _bare(error: Exception) -> Exception:
    """The SDK's error without its frames: they hold credentials and signed headers, and servox's log shows values."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _method(client: Any, operation: str) -> str:
    """The client's method for an API operation."""
    for method, name in client.meta.method_to_api_mapping.items():
        if name == operation:
            return str(method)
    raise failure(Reason.BUG, f"the service has no operation {operation}", public="invalid request")


@functools.cache
def input_shape(service: str, operation: str) -> Any:
    """The SDK's own model of an operation's request. Asks nobody."""
    document = _models(None).load_service_model(service, "service-2")
    return botocore.model.ServiceModel(document, service).operation_model(operation).input_shape
