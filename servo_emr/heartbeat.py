"""A heartbeat beside a long piece of work, in real time. Knows nothing of what beats."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

__all__ = ["HEARTBEAT_S", "beating"]

HEARTBEAT_S = 20.0
"""Real seconds between progress posts: they are the only channel through which the optimizer can cancel."""


@contextlib.asynccontextmanager
async def beating(beat: Callable[[], None], every_s: float = HEARTBEAT_S) -> AsyncIterator[None]:
    """Calls `beat` every so many seconds of real time while the body runs."""

    async def beats() -> None:
        while True:
            await asyncio.sleep(every_s)
            beat()

    task = asyncio.create_task(beats())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
