"""Faults on demand: what goes wrong at the emulated EMR, as data.

The set of faults is a list of JSON objects. The `kind` of each says what happens, and `KINDS` is the one table of
kinds. All of them strike in one place, `Faults.around`, which every call of an operation goes through. Knows the names
of operations and when a cluster was made; neither HTTP nor what an operation does.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from servo_emr.emulator.errors import AwsError
from servo_emr.emulator.records import Cluster

__all__ = ["KINDS", "CallFault", "Faults", "Lag", "ReplyDropped", "WrongFault"]

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9.]*")  # it stands in the status line too
_MESSAGE = "A fault that was set on this emulator."
_LOOKS = frozenset({"DescribeCluster", "ListClusters", "ListSteps"})  # what does not see a new cluster at once
_REQUIRED: Any = object()


class WrongFault(ValueError):
    """A document that is no list of faults; the message names the entry and the key."""


class ReplyDropped(ConnectionError):
    """The connection is to be closed without an answer."""


@dataclass(frozen=True)
class CallFault:
    """What some calls of an operation get instead of their answer.

    `occurrence`: which call, counted from 1; None: each. `ends`: from this W on none. `before`: the operation does not
    take effect. `code` None: the connection is closed without an answer.
    """

    operation: str
    occurrence: int | None
    ends: float | None
    before: bool
    code: str | None = None
    status: int = 400
    message: str = _MESSAGE

    def strikes(self, call: int, now: float) -> bool:
        """Whether it is for the call of that number."""
        return self.occurrence in (None, call) and (self.ends is None or now < self.ends)

    def error(self) -> Exception:
        if self.code is None:
            return ReplyDropped(f"a fault drops the answer of {self.operation}")
        return AwsError(self.code, self.message, self.status)


@dataclass(frozen=True)
class Lag:
    """Eventual consistency: a cluster is not seen until it is that many seconds of W old."""

    seconds: float

    def hides(self, cluster: Cluster, operation: str, now: float) -> bool:
        return operation in _LOOKS and now < cluster.timeline.created + self.seconds


@dataclass
class _Entry:
    """A fault as it was given, and what it has done since."""

    document: Mapping[str, Any]
    fault: CallFault | Lag
    calls: int = 0  # of its operation
    struck: int = 0  # calls


class Faults:
    """The faults in force. Any thread may call any method.

    Every entry counts the calls of its operation for itself; of those whose turn a call is, the first strikes alone.
    """

    def __init__(self, operations: Collection[str]) -> None:
        """`operations`: the names that a fault may be about."""
        self._operations = operations
        self._lock = threading.Lock()
        self._entries: tuple[_Entry, ...] = ()

    def replace(self, documents: object, now: float) -> None:
        """From W `now` on these are the faults, and their counts begin. Raises WrongFault, and nothing changes then."""
        entries = tuple(_Entry(document, fault) for document, fault in _parse(documents, sorted(self._operations), now))
        with self._lock:
            self._entries = entries

    def list(self) -> Sequence[Mapping[str, Any]]:
        """The faults as they were given, each with `struck`: how many calls it has met."""
        with self._lock:
            return [{**entry.document, "struck": entry.struck} for entry in self._entries]

    @contextmanager
    def around(self, operation: str, now: float) -> Iterator[Callable[[Cluster], bool]]:
        """One call of the operation, at W `now`: the block is its effect, and gets a test of what it cannot see.

        Raises what a fault says instead of an answer: before the block, or after it whatever its own answer was.
        """
        struck = self._strike(operation, now)
        if struck is not None and struck.before:
            raise struck.error()
        try:
            yield self._veil(operation, now)
        except AwsError:
            if struck is not None:
                raise struck.error() from None
            raise
        if struck is not None:
            raise struck.error()

    def _strike(self, operation: str, now: float) -> CallFault | None:
        """Counts the call; the fault that meets it."""
        struck = None
        with self._lock:
            for entry in self._entries:
                if isinstance(entry.fault, CallFault) and entry.fault.operation == operation:
                    entry.calls += 1
                    if struck is None and entry.fault.strikes(entry.calls, now):
                        entry.struck += 1
                        struck = entry.fault
        return struck

    def _veil(self, operation: str, now: float) -> Callable[[Cluster], bool]:
        """Whether a cluster is hidden from one call. A fault that hides several from it has struck once."""
        with self._lock:
            lags = [(entry, entry.fault) for entry in self._entries if isinstance(entry.fault, Lag)]
        at_work: set[int] = set()

        def hidden(cluster: Cluster) -> bool:
            found = False
            for entry, lag in lags:
                if lag.hides(cluster, operation, now):
                    found = True
                    if id(entry) not in at_work:
                        at_work.add(id(entry))
                        with self._lock:
                            entry.struck += 1
            return found

        return hidden


class _Keys:
    """The keys of one entry: each is taken once, and none may be left over."""

    def __init__(self, position: int, document: Mapping[str, Any]) -> None:
        self._position = position
        self._left = dict(document)
        self._known: list[str] = []

    def take(self, key: str, what: str, accepts: Callable[[Any], bool], default: Any = _REQUIRED) -> Any:
        """The value; the default when the key is absent. Raises WrongFault: `what` says what the value must be."""
        self._known.append(key)
        if key not in self._left:
            if default is _REQUIRED:
                raise WrongFault(f"fault {self._position}: {key} is missing: {what}")
            return default
        value = self._left.pop(key)
        if not accepts(value):
            raise WrongFault(f"fault {self._position}: {key} is {what}, not {json.dumps(value)}")
        return value

    def close(self) -> None:
        if self._left:
            key, known = min(self._left), ", ".join(self._known)
            raise WrongFault(f"fault {self._position}: {json.dumps(key)} is no key of this kind; it has {known}")


def _parse(
    documents: object, operations: Sequence[str], now: float
) -> Iterator[tuple[Mapping[str, Any], CallFault | Lag]]:
    if not isinstance(documents, list):
        raise WrongFault("the faults are a JSON list")
    for position, document in enumerate(documents, start=1):
        if not isinstance(document, dict):
            raise WrongFault(f"fault {position}: not a JSON object but {json.dumps(document)}")
        keys = _Keys(position, document)
        kind = keys.take("kind", f"one of {', '.join(KINDS)}", lambda value: value in list(KINDS))
        fault = KINDS[kind](keys, operations, now)
        keys.close()
        yield document, fault


def _calls(keys: _Keys, operations: Sequence[str], now: float) -> Mapping[str, Any]:
    """Which calls, for every kind that is about the calls of an operation."""
    operation = keys.take("operation", f"one of {', '.join(operations)}", lambda value: value in operations)
    occurrence = keys.take(
        "occurrence", 'the number of a call from now on, 1 or more, or "every"', _is_occurrence, "every"
    )
    until = keys.take("until", "seconds from now, more than 0", _is_seconds, None)
    return {
        "operation": operation,
        "occurrence": None if occurrence == "every" else occurrence,
        "ends": None if until is None else now + until,
    }


def _drop_reply(keys: _Keys, operations: Sequence[str], now: float) -> CallFault:
    return CallFault(**_calls(keys, operations, now), before=False)


def _error(keys: _Keys, operations: Sequence[str], now: float) -> CallFault:
    calls = _calls(keys, operations, now)
    when = keys.take("when", "before (the default) or after", lambda value: value in ["before", "after"], "before")
    return CallFault(
        **calls,
        before=when == "before",
        code=keys.take("code", "an error code such as ThrottlingException", _is_code),
        status=keys.take("status", "an HTTP status from 400 to 599", _is_status, 400),
        message=keys.take("message", "a text", lambda value: isinstance(value, str), _MESSAGE),
    )


def _list_lag(keys: _Keys, operations: Sequence[str], now: float) -> Lag:
    return Lag(keys.take("seconds", "a number of seconds, more than 0", _is_seconds))


KINDS: Mapping[str, Callable[[_Keys, Sequence[str], float], CallFault | Lag]] = {
    "drop-reply": _drop_reply,
    "error": _error,
    "list-lag": _list_lag,
}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_occurrence(value: Any) -> bool:
    return value == "every" or (_is_whole(value) and value >= 1)


def _is_seconds(value: Any) -> bool:
    number = _is_whole(value) or isinstance(value, float)
    return number and math.isfinite(value) and value > 0


def _is_status(value: Any) -> bool:
    return _is_whole(value) and 400 <= value <= 599


def _is_code(value: Any) -> bool:
    return isinstance(value, str) and _CODE.fullmatch(value) is not None
