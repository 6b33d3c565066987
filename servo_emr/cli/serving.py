"""Options that the commands which serve, the optimizer and the emulator, have in common.

Whatever makes no sense is told by the command's own `fail`, with the option, the value and the remedy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NoReturn

__all__ = ["LOOPBACK", "Fail", "listen_address", "port_number", "time_s"]

Fail = Callable[[str], NoReturn]

LOOPBACK = "127.0.0.1"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def port_number(port: int, fail: Fail) -> int:
    """A port, 0 for any."""
    return port if 0 <= port <= 65535 else fail(f"--port {port}: a port is 0 to 65535")


def listen_address(host: str, fail: Fail) -> str:
    """An address to listen on."""
    try:
        return str(ipaddress.IPv4Address(LOOPBACK if host == "localhost" else host))
    except ValueError:
        fail(f"--host {host}: an IPv4 address of this machine, or 0.0.0.0 for all of them")


def time_s(option: str, text: str, fail: Fail) -> float:
    """Seconds above 0, of a number with a unit; without one they are seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", text)
    if match is None or float(match[1]) == 0:
        fail(f"{option} {text}: a time such as 90s, 30m, 2h, 1d or 1w")
    return float(match[1]) * _UNITS[match[2] or "s"]
