"""One entry of a list of faults: its keys, taken one by one, and the one sentence that says what is wrong with it.

Knows documents and what values look like; neither which kinds of fault there are nor what they do.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["MESSAGE", "Keys", "Window", "WrongFault", "nearest"]

MESSAGE = "A fault that was set on this emulator."

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9.]*")  # it may stand in a status line
_REQUIRED: Any = object()


class WrongFault(ValueError):
    """A document that is no list of faults; the message names the entry, the key, the value and what would do."""


@dataclass(frozen=True)
class Window:
    """Which of the things that a fault is about meet it: the nth (None: each) of those from W `starts` to `ends`."""

    occurrence: int | None
    starts: float
    ends: float

    def open(self, now: float) -> bool:
        return self.starts <= now < self.ends

    def chosen(self, count: int) -> bool:
        """Whether it is the turn of the one of that number, counted from 1."""
        return self.occurrence in (None, count)


class Keys:
    """The keys of one entry: each is taken once, and none may be left over. Every method raises WrongFault.

    `now`: the W from which the entry counts its seconds.
    """

    def __init__(self, position: int, document: Mapping[Any, Any], now: float) -> None:
        self._place = f"fault {position}"
        self._left = dict(document)
        self._known: list[str] = []
        self.now = now

    def take(self, key: str, what: str, accepts: Callable[[Any], bool], default: Any = _REQUIRED) -> Any:
        """The value; the default when the key is absent. `what` says what the value must be."""
        self._known.append(key)
        if key not in self._left:
            if default is _REQUIRED:
                raise WrongFault(f"{self._place}: {key} is missing: {what}{self._misspelt(key)}")
            return default
        value = self._left.pop(key)
        if not accepts(value):
            raise self.wrong(key, what, value)
        return value

    def choice(self, key: str, options: Collection[str], default: Any = _REQUIRED) -> Any:
        """One of the options, or the default."""
        names = sorted(options)
        what = f"one of {', '.join(names)}"
        value = self.take(key, what, lambda value: True, default)
        if value is not default and not (isinstance(value, str) and value in options):
            raise self.wrong(key, what, value, names)
        return value

    def text(self, key: str, default: Any = _REQUIRED) -> Any:
        return self.take(key, "a text", lambda value: isinstance(value, str), default)

    def code(self, key: str) -> str:
        return str(self.take(key, "an error code such as ThrottlingException", _is_code))

    def flag(self, key: str, default: bool) -> bool:
        return bool(self.take(key, "true or false", lambda value: isinstance(value, bool), default))

    def count(self, key: str, default: int) -> int:
        return int(self.take(key, "a whole number, 1 or more", lambda value: _is_whole(value) and value >= 1, default))

    def number(self, key: str, what: str, accepts: Callable[[float], bool], default: Any = _REQUIRED) -> Any:
        """A finite number that `accepts`."""
        return self.take(key, what, lambda value: _is_number(value) and accepts(value), default)

    def seconds(self, key: str, default: Any = _REQUIRED) -> Any:
        return self.number(key, "a number of seconds, more than 0", lambda value: value > 0, default)

    def delay(self, key: str, default: Any = _REQUIRED) -> Any:
        return self.number(key, "a number of seconds, 0 or more", lambda value: value >= 0, default)

    def window(self, what: str) -> Window:
        """The keys occurrence, since and until; `what` is what is counted, such as "a call"."""
        occurrence = self.take(
            "occurrence", f'the number of {what} from now on, 1 or more, or "every"', _is_occurrence, "every"
        )
        since = self.number("since", "seconds from now, 0 or more", lambda value: value >= 0, 0)
        until = self.number("until", "seconds from now, more than 0", lambda value: value > 0, math.inf)
        if until <= since:
            raise self.wrong("until", f"later than since, which is {since:g}", until)
        return Window(None if occurrence == "every" else occurrence, self.now + since, self.now + until)

    def wrong(self, key: str, what: str, value: object, options: Collection[str] = ()) -> WrongFault:
        """What to raise for a value; the nearest of the options is offered."""
        return WrongFault(f"{self._place}: {key} is {what}, not {_shown(value)}{nearest(value, options)}")

    def fault(self, message: str) -> WrongFault:
        """What to raise for an entry as a whole."""
        return WrongFault(f"{self._place}: {message}")

    def close(self) -> None:
        """No key may be left that has not been taken."""
        if self._left:
            key = min(self._left, key=str)
            raise WrongFault(
                f"{self._place}: {_shown(key)} is no key of this kind{nearest(key, self._known)}; "
                f"it has {', '.join(self._known)}"
            )

    def _misspelt(self, key: str) -> str:
        near = difflib.get_close_matches(key, [name for name in self._left if isinstance(name, str)], n=1)
        return f"; is {_shown(near[0])} meant for it?" if near else ""


def nearest(value: object, options: Collection[str]) -> str:
    """The option that was probably meant, as the end of a sentence; empty when none is near."""
    near = difflib.get_close_matches(value, list(options), n=1) if isinstance(value, str) else []
    return f" (did you mean {_shown(near[0])}?)" if near else ""


def _shown(value: object) -> str:
    return json.dumps(value, default=str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return (_is_whole(value) or isinstance(value, float)) and math.isfinite(value)


def _is_occurrence(value: Any) -> bool:
    return value == "every" or (_is_whole(value) and value >= 1)


def _is_code(value: Any) -> bool:
    return isinstance(value, str) and _CODE.fullmatch(value) is not None
