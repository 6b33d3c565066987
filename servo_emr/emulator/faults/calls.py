"""The kinds of fault that calls meet: which calls, and what they get instead of their answer. Data and its documents.

Knows the names of services and operations and the shape of their answers; neither HTTP nor what an operation does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from servo_emr.emulator.faults.alteration import (
    JSON_SERVICES,
    Alteration,
    Change,
    check_member,
    remove,
    set_to,
    shift_by,
)
from servo_emr.emulator.faults.document import MESSAGE, Keys, Window, nearest
from servo_emr.emulator.protocol.errors import AwsError
from servo_emr.emulator.protocol.naming import SERVICES, Asked, operations_of
from servo_emr.emulator.protocol.service_errors import Trouble, error_of
from servo_emr.emulator.world.records import Cluster

__all__ = ["CALL_KINDS", "Blow", "CallFault", "Calls", "Drop", "Lag", "Refuse", "Skew", "Slow"]

_LOOKS = frozenset({"DescribeCluster", "ListClusters", "ListSteps"})  # what does not see a new cluster at once
_CONDITIONAL = ("s3:CompleteMultipartUpload", "s3:CopyObject", "s3:DeleteObject", "s3:PutObject")
_IN_PROGRESS = "A conflicting conditional operation is currently in progress against this resource. Please try again."
_WHEN = ("after", "before")


@dataclass(frozen=True)
class Calls:
    """Which calls: by service:operation, as patterns; by whom; and which of those in order and time.

    `conditional`: only those with If-Match or If-None-Match. `by_node` None: whoever calls.
    """

    names: tuple[str, ...]
    window: Window
    by_node: bool | None = False
    conditional: bool = False

    def mean(self, asked: Asked) -> bool:
        """Whether it is one of those that are counted."""
        name = f"{asked.service}:{asked.operation}"
        return (
            any(fnmatchcase(name, pattern) for pattern in self.names)
            and self.by_node in (None, asked.by_node)
            and (asked.conditional or not self.conditional)
        )


@dataclass(frozen=True)
class Drop:
    """The connection is closed without an answer."""


@dataclass(frozen=True)
class Slow:
    """The answer comes after that many real seconds."""

    seconds: float


@dataclass(frozen=True)
class Refuse:
    """An error for an answer; what it says may depend on whom the client asked."""

    error: Callable[[Asked], AwsError]


@dataclass(frozen=True)
class Skew:
    """The server's clock is that many real seconds ahead of the client's: it refuses, and its Date says why."""

    seconds: float


Blow = Drop | Slow | Refuse | Skew | Alteration


@dataclass(frozen=True)
class CallFault:
    """`before`: the operation has no effect, or has it only after the delay of a slow one."""

    calls: Calls
    before: bool
    blow: Blow


@dataclass(frozen=True)
class Lag:
    """Eventual consistency: a cluster is not seen until it is that many seconds of W old."""

    seconds: float

    def hides(self, cluster: Cluster, operation: str, now: float) -> bool:
        return operation in _LOOKS and now < cluster.timeline.created + self.seconds


def _calls(keys: Keys) -> Calls:
    """The keys that every kind about calls has."""
    return Calls((_operation(keys),), **_which(keys))


def _which(keys: Keys) -> dict[str, Any]:
    callers = {"client": False, "node": True, "any": None}
    return {"window": keys.window("a call"), "by_node": callers[keys.choice("caller", callers, "client")]}


def _operation(keys: Keys) -> str:
    """`SERVICE:OPERATION`, either of them a pattern; without a service it is EMR's."""
    what = "an operation such as RunJobFlow, s3:PutObject, ec2:Describe* or *:*"
    text = keys.take("operation", what, lambda value: isinstance(value, str))
    service, colon, operation = text.rpartition(":")
    if not colon:
        service = "emr"
    services = [name for name in SERVICES if fnmatchcase(name, service)]
    if not services:
        known = ", ".join(sorted(SERVICES))
        raise keys.fault(f"operation {text}: the services are {known}{nearest(service, SERVICES)}")
    names = [name for each in services for name in operations_of(each)] if operation != "*" else []
    if operation != "*" and not any(fnmatchcase(name, operation) for name in names):
        raise keys.fault(f"operation {text}: {' and '.join(services)} has none of that name{nearest(operation, names)}")
    return f"{service}:{operation}"


def _before(keys: Keys, default: str = "before") -> bool:
    return bool(keys.choice("when", _WHEN, default) == "before")


def _refuse(code: str, status: int, message: str) -> Refuse:
    return Refuse(lambda asked: AwsError(code, message, status))


def _error(keys: Keys) -> CallFault:
    calls, before = _calls(keys), _before(keys)
    code = keys.code("code")
    status = keys.number("status", "an HTTP status from 400 to 599", lambda value: value in range(400, 600), 400)
    return CallFault(calls, before, _refuse(code, status, keys.text("message", MESSAGE)))


def _conflict(keys: Keys) -> CallFault:
    calls = Calls(_CONDITIONAL, **_which(keys), conditional=True)
    return CallFault(calls, _before(keys), _refuse("ConditionalRequestConflict", 409, _IN_PROGRESS))


def _drop_reply(keys: Keys) -> CallFault:
    return CallFault(_calls(keys), _before(keys, "after"), Drop())


def _slow(keys: Keys) -> CallFault:
    return CallFault(_calls(keys), _before(keys, "after"), Slow(keys.seconds("seconds")))


def _clock_skew(keys: Keys) -> CallFault:
    calls = _calls(keys)
    what = "real seconds by which the server's clock is ahead, less than 0 if it is behind"
    return CallFault(calls, True, Skew(keys.number("seconds", what, lambda value: value != 0)))


def _trouble(trouble: Trouble) -> Callable[[Keys], CallFault]:
    """A refusal before the effect."""
    return lambda keys: CallFault(_calls(keys), True, Refuse(lambda asked: error_of(trouble, asked)))


def _failure(trouble: Trouble) -> Callable[[Keys], CallFault]:
    """A refusal that may come after the effect as well."""
    return lambda keys: CallFault(_calls(keys), _before(keys), Refuse(lambda asked: error_of(trouble, asked)))


def _alter(keys: Keys) -> CallFault:
    calls = _calls(keys)
    service, _, operation = calls.names[0].partition(":")
    if service not in JSON_SERVICES or operation not in operations_of(service):
        raise keys.fault(f"alter is for one operation of {', '.join(JSON_SERVICES)}, not {calls.names[0]}")
    member = keys.text("member")
    problem = check_member(service, operation, member)
    if problem:
        raise keys.fault(f"member {member}: {problem}")
    return CallFault(calls, False, Alteration(tuple(member.split(".")), _change(keys)))


def _change(keys: Keys) -> Change:
    absent: Any = object()
    to = keys.take("to", "any JSON value", _is_json, absent)
    by = keys.number("by", "a number that is added", lambda value: True, absent)
    gone = keys.take("remove", "true", lambda value: value is True, absent)
    changes = [
        change for value, change in ((to, set_to(to)), (by, shift_by(by)), (gone, remove)) if value is not absent
    ]
    if len(changes) != 1:
        raise keys.fault("alter takes exactly one of to, by and remove")
    return changes[0]


def _list_lag(keys: Keys) -> Lag:
    return Lag(keys.seconds("seconds"))


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


CALL_KINDS: Mapping[str, Callable[[Keys], CallFault | Lag]] = {
    "access-denied": _trouble(Trouble.DENIED),
    "alter": _alter,
    "clock-skew": _clock_skew,
    "conflict": _conflict,
    "drop-reply": _drop_reply,
    "error": _error,
    "expired-credentials": _trouble(Trouble.EXPIRED),
    "list-lag": _list_lag,
    "server-error": _failure(Trouble.FAILED),
    "slow": _slow,
    "throttle": _failure(Trouble.THROTTLED),
}
