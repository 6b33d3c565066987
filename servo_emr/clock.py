"""The two clocks: the machine's, and that of an emulated EMR. Policy code sees only `domain.ports.Clock`."""

from __future__ import annotations

import asyncio
import os
import ssl
import time

import httpx

from servo_emr.domain.errors import Reason, failure
from servo_emr.domain.ports import Clock

__all__ = ["EmulatedClock", "SystemClock", "clock_of_environment", "elapsed"]

VARIABLE = "SERVO_EMR_CLOCK"
_NO_ROOTS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody: the emulator speaks plain HTTP, and to read all root certificates takes far longer than the call."""


class SystemClock:
    """Real time."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class EmulatedClock:
    """The clock of an emulated EMR, read over HTTP from `url`, the emulator's own address.

    Reading it blocks for a call over loopback; nothing but an emulator on this machine is read like that.
    """

    _PATIENCE_S = 20.0

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/_emulator/clock"

    def now(self) -> float:
        try:
            answer = httpx.get(self._url, timeout=self._PATIENCE_S, trust_env=False, verify=_NO_ROOTS)
            answer.raise_for_status()
            return float(answer.json()["now"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise self._stopped(error) from error

    async def sleep(self, seconds: float) -> None:
        until = self.now() + seconds
        async with httpx.AsyncClient(timeout=2 * self._PATIENCE_S, trust_env=False, verify=_NO_ROOTS) as client:
            while True:
                try:
                    answer = await client.get(self._url, params={"until": until, "timeout": self._PATIENCE_S})
                    answer.raise_for_status()
                    if float(answer.json()["now"]) >= until:
                        return
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    raise self._stopped(error) from error

    def _stopped(self, error: Exception) -> Exception:
        return failure(
            Reason.ENDPOINT,
            f"The emulated clock at {self._url} does not answer: {error!r}.",
            remedy=f"Start the emulator, or unset {VARIABLE}.",
            public="the emulated clock does not answer",
        )


def elapsed() -> float:
    """Seconds since this machine started, those asleep included where the kernel counts them. Nobody sets it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def clock_of_environment() -> Clock:
    """The emulator's clock when SERVO_EMR_CLOCK names one, else real time."""
    url = os.environ.get(VARIABLE)
    return EmulatedClock(url) if url else SystemClock()
