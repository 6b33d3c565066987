"""What a setting may be: one of some values, or a number on a grid; and how a value is written as text."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

__all__ = ["EnumBound", "RangeBound", "Value", "text_of"]

Value = str | int | float | bool


def text_of(value: object) -> str:
    """A value as a service takes it: numbers as they are written, truth values as true and false.

    Raises:
        ValueError: it is no text, number or truth value.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError("must be a text, a number, true or false")


@dataclass(frozen=True)
class EnumBound:
    """The values that a setting may take. On the wire all of them are texts."""

    values: tuple[Value, ...]

    def coerce(self, value: object) -> Value:
        """`value` as one of the allowed ones, or ValueError with what is allowed."""
        if isinstance(value, (str, int, float)):
            for allowed in self.values:
                if type(allowed) is type(value) and allowed == value:
                    return allowed
            for allowed in self.values:
                if not isinstance(allowed, str) and _same(allowed, value):
                    return allowed
        raise ValueError(f"is not one of {', '.join(map(text_of, self.values))}")


def _same(allowed: Value, value: Value) -> bool:
    """Whether a text, or a number of another type, means that value."""
    if isinstance(allowed, bool) or isinstance(value, bool):
        return isinstance(value, str) and text_of(allowed) == value
    number = _number(value)
    return number is not None and number == _number(allowed)


def _number(value: object) -> Decimal | None:
    """A finite number, however it is spelled; Python reads 1_0 as 10, and nobody else does."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = Decimal(value.strip().replace("_", "?") if isinstance(value, str) else _exact(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _exact(value: int | float) -> int | str:
    return repr(value) if isinstance(value, float) else value


@dataclass(frozen=True)
class RangeBound:
    """A number between two bounds, both included, on a grid of `step` from `low`; whole when all three are."""

    low: int | float
    high: int | float
    step: int | float = 1

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole."""
        return all(isinstance(one, int) for one in (self.low, self.high, self.step))

    def coerce(self, value: object) -> int | float:
        """`value` ("4", 4, 4.0, "4.0") as a number within the bounds, or ValueError with the reason."""
        number = _number(value)
        if number is None:
            raise ValueError("is not a number")
        low, high, step = (Decimal(_exact(one)) for one in (self.low, self.high, self.step))
        if not low <= number <= high:
            raise ValueError(f"is outside {self.low} to {self.high}")
        if self.whole and number != number.to_integral_value():
            raise ValueError("is not a whole number")
        if (number - low) % step:
            raise ValueError(f"is not on the grid {self.low}, {float(low + step):g}, ... {self.high}")
        return int(number) if self.whole else float(number)
