"""The optimizer's server ends when it is told to, however early that is."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from servo_emr.optimizer.app import until_told


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that is asked nothing."""


class Told(uvicorn.Server):
    """Is told to end right before it begins."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(uvicorn.Config(nothing, lifespan="off", log_config=None, loop="asyncio", ws="none"))
        self._number = number

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        signal.raise_signal(self._number)
        super().run(sockets)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_before_it_listens_ends(number: signal.Signals) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = Told(number)
        until_told(server, listening)
    assert server.should_exit
