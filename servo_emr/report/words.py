"""How the report writes amounts, durations and shares, and in which unit an axis counts time. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["NONE", "counted", "lasted", "moment", "percent", "time_unit", "usd"]


NONE = "\N{EN DASH}"
"""What stands where there is no value."""


def usd(value: float | None) -> str:
    """An amount in USD: to the cent from ten dollars on, to a hundredth of a cent below; a dash for none."""
    if value is None:
        return NONE
    return f"${value:,.2f}" if abs(value) >= 10 or value == 0 else f"${value:.4f}"


def lasted(value: float | None) -> str:
    """A duration given in seconds; a dash for none."""
    if value is None:
        return NONE
    whole = round(value)
    if whole < 60:
        return f"{value:.1f} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {whole % 60:02} s"


def percent(share: float) -> str:
    """A share as a percentage, without its sign: to a tenth below ten percent."""
    value = abs(share) * 100
    return f"{value:.1f} %" if value < 9.95 else f"{value:.0f} %"


def counted(number: int, noun: str, nouns: str = "") -> str:
    """A number with its noun: "1 run", "1,000 runs"."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def moment(at: float) -> str:
    """A time, UTC, to the minute."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def time_unit(longest_s: float) -> tuple[str, float]:
    """(name, seconds) of the unit in which an axis up to so many seconds is counted."""
    if longest_s < 180:
        return "seconds", 1.0
    return ("minutes", 60.0) if longest_s < 5 * 3600 else ("hours", 3600.0)
