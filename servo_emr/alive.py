"""Whether the servo of this machine is alive: a file that `servo run` renews, and what a health check makes of it.

Imports next to nothing: `python -m servo_emr.alive` is started anew for every check.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["OLD_S", "VARIABLE", "Alive", "answer", "main"]

VARIABLE = "SERVO_EMR_ALIVE"
RENEW_S = 20.0
OLD_S = 90.0
"""A servo that has not renewed its file for so many seconds of real time is taken to hang."""


class Alive:
    """Renews the file that SERVO_EMR_ALIVE names, in the event loop, which is what it vouches for: a loop that turns.

    Whether AWS and the optimizer can be reached is no part of it: nothing is mended by starting the servo again.
    """

    def __init__(self) -> None:
        named = os.environ.get(VARIABLE)
        self._path = Path(named) if named else None
        self._task: asyncio.Task[None] | None = None
        self._warned = False

    def begin(self, doing: Callable[[], str], warn: Callable[[str], None], every_s: float = RENEW_S) -> None:
        """From now on until `stop`; nothing happens where no file is named.

        Args:
            doing: what the servo is at, in a few words.
            warn: called with a sentence for the log.
            every_s: real seconds between two renewals.
        """
        if self._path is not None:
            self._task = asyncio.create_task(self._renewing(self._path, doing, warn, every_s))

    async def stop(self) -> None:
        """The servo ends: a check that still comes is told so."""
        if self._task is None or self._path is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None
        self._path.unlink(missing_ok=True)

    async def _renewing(
        self, path: Path, doing: Callable[[], str], warn: Callable[[str], None], every_s: float
    ) -> None:
        while True:
            try:
                draft = path.with_name(f"{path.name}.new")
                draft.write_text(f"{time.monotonic():.3f} {doing()}\n")
                draft.replace(path)  # whoever reads sees the whole line or the one before
                self._warned = False
            except OSError as error:
                if not self._warned:
                    warn(f"{VARIABLE}: {path} cannot be written, and health checks will fail: {error}")
                self._warned = True
            await asyncio.sleep(every_s)


def answer(environment: Mapping[str, str], now: float) -> tuple[bool, str]:
    """Whether the servo is alive, and the sentence that says so.

    Args:
        now: `time.monotonic()`, which all processes of a machine share and nobody sets.
    """
    named = environment.get(VARIABLE)
    if not named:
        return False, f"{VARIABLE} names no file: set it, for `servo run` and for this check alike"
    try:
        text = Path(named).read_text()
    except FileNotFoundError:
        return False, f"{named}: not there: `servo run` has not greeted its optimizer yet, or has ended"
    except (OSError, ValueError) as error:
        return False, f"{named}: cannot be read: {error}"
    told, _, doing = text.strip().partition(" ")
    try:
        age = now - float(told)
    except ValueError:
        return False, f"{named}: does not begin with a time: {text[:80]!r}"
    if not 0 <= age <= OLD_S:  # below: of another start of the machine
        return (
            False,
            f"{named}: last renewed {age:.0f} s ago, {OLD_S:.0f} s is the most: the servo hangs, or was killed",
        )
    return True, f"alive {age:.0f} s ago: {doing}"


def main() -> int:
    """Prints the sentence; the exit status, 0 for alive and 1 for not."""
    alive, sentence = answer(os.environ, time.monotonic())
    print(sentence)
    return 0 if alive else 1


if __name__ == "__main__":
    sys.exit(main())
