"""Servo's protocol: what a body says, and what goes back. Knows its traps, and nothing of studies or clusters.

servox leaves its process for a SLEEP without `data`, and asks again without a pause after a command without `control`:
commands are made here and nowhere else, so that none is ever sent without them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "CANCEL",
    "OK",
    "Command",
    "Garbage",
    "Message",
    "Name",
    "adjust",
    "describe",
    "measure",
    "readings",
    "sleep",
]

Name = Literal["DESCRIBE", "ADJUST", "MEASURE", "SLEEP"]
Value = str | int | float

EVENTS = ("HELLO", "WHATS_NEXT", "DESCRIPTION", "ADJUSTMENT", "MEASUREMENT", "GOODBYE")
OK: Mapping[str, Any] = {"status": "ok"}
CANCEL = "cancel"


class Garbage(ValueError):
    """A body that is no message of a servo; the text says why."""


@dataclass(frozen=True)
class Message:
    """One body of a servo.

    event: one of EVENTS, or what else it said. servo_uid: None when the servo has no name of its own.
    """

    event: str
    param: Mapping[str, Any]
    servo_uid: str | None = None

    @classmethod
    def parse(cls, body: bytes) -> Message:
        """The message in a body.

        Raises:
            Garbage: it is none.
        """
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise Garbage("the body is not JSON") from None
        if not isinstance(document, dict) or not isinstance(document.get("event"), str):
            raise Garbage('the body is no object with an "event"')
        param, servo_uid = document.get("param"), document.get("servo_uid")
        if servo_uid is not None and not isinstance(servo_uid, str):
            raise Garbage('"servo_uid" is not a text')
        event = document["event"]
        if not isinstance(param, dict):
            if param is not None and event != "WHATS_NEXT":
                raise Garbage('"param" is not an object')
            param = {}
        return cls(event, param, servo_uid)

    @property
    def is_result(self) -> bool:
        """Whether it ends a command; what tells progress from a result is that it carries `progress`."""
        return self.event in ("DESCRIPTION", "ADJUSTMENT", "MEASUREMENT") and "progress" not in self.param

    @property
    def is_progress(self) -> bool:
        return self.event in ("DESCRIPTION", "ADJUSTMENT", "MEASUREMENT") and "progress" in self.param

    @property
    def cmd_uid(self) -> str | None:
        return self._text("cmd_uid")

    @property
    def status(self) -> str:
        """Of a result: ok, failed, rejected, aborted or cancelled; "" when it says none."""
        return self._text("status") or ""

    @property
    def reason(self) -> str:
        return self._text("reason") or ""

    @property
    def message(self) -> str:
        return self._text("message") or ""

    def map(self, name: str) -> Mapping[str, Any]:
        """A part of the param that is an object; an empty one when it is not."""
        found = self.param.get(name)
        return found if isinstance(found, dict) else {}

    def _text(self, name: str) -> str | None:
        found = self.param.get(name)
        return found if isinstance(found, str) else None


@dataclass(frozen=True)
class Command:
    """The answer to WHATS_NEXT."""

    name: Name
    uid: str | None
    param: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        uid = {} if self.uid is None else {"cmd_uid": self.uid}
        return {"cmd": self.name, **uid, "param": dict(self.param)}


def describe(uid: str) -> Command:
    return Command("DESCRIBE", uid, {"control": {}})


def adjust(uid: str, settings: Mapping[str, Value]) -> Command:
    """`settings` by selector: {"core.replicas": 4}."""
    components: dict[str, Any] = {}
    for selector, value in settings.items():
        component, _, name = selector.partition(".")
        components.setdefault(component, {"settings": {}})["settings"][name] = {"value": value}
    return Command("ADJUST", uid, {"state": {"application": {"components": components}}, "control": {}})


def measure(uid: str, metrics: Sequence[str], limits: Mapping[str, float]) -> Command:
    """`limits` goes out as control.userdata.emr; nothing does when it is empty."""
    control: dict[str, Any] = {"duration": 0, "past": 0, "warmup": 0}
    if limits:
        control["userdata"] = {"emr": dict(limits)}
    return Command("MEASURE", uid, {"metrics": list(metrics), "control": control})


def sleep(seconds: float, reason: str) -> Command:
    """`seconds` of real time, rounded up to a tenth so that nobody asks in a hot loop."""
    duration = max(1, math.ceil(seconds * 10)) / 10
    return Command("SLEEP", None, {"duration": duration, "data": {"reason": reason}})


def readings(message: Message) -> dict[str, float]:
    """The finite single values of a MEASUREMENT, by metric; a time series and NaN are no value."""
    found = {}
    for name, reading in message.map("metrics").items():
        value = reading.get("value") if isinstance(reading, dict) else None
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            continue
        try:
            number = float(value)
        except OverflowError:
            continue  # a whole number of hundreds of digits
        if math.isfinite(number):
            found[name] = number
    return found
