"""Signals in a one-shot command, where servox handles none: the first ends the run, the second this process.

Nothing here knows what is being interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

__all__ = ["interruptible"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interruptible(stop: Callable[[], None], last_words: Callable[[], str]) -> Iterator[None]:
    """While the body runs, SIGINT or SIGTERM calls `stop`; a second one prints `last_words` and leaves at once.

    Args:
        stop: begins the end of the body; called in the event loop.
        last_words: what a person must do by hand when nothing more will be done here; empty for nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals in the main thread only
        return
    stopping = False

    def signalled() -> None:
        nonlocal stopping
        if stopping:
            words = last_words()
            print(f"Left at once. {words}".strip(), file=sys.stderr, flush=True)
            os._exit(128 + signal.SIGINT)
        stopping = True
        stop()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, signalled)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
