"""Signals to a one-shot command, real ones to a real process: the first ends the run in order, the second leaves."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from servo_emr.interrupts import interruptible

PROGRAM = """
import asyncio, sys
from servo_emr.interrupts import interruptible

async def main():
    stopped = asyncio.Event()

    def stop():
        print("stopping", flush=True)
        stopped.set()

    with interruptible(stop, lambda: sys.argv[2]):
        print("ready", flush=True)
        await stopped.wait()
        await asyncio.sleep(float(sys.argv[1]))
        print("released", flush=True)
    print("after", flush=True)
    await asyncio.sleep(float(sys.argv[3]))

asyncio.run(main())
"""
LONG = "600"
WORDS = "To end the cluster: aws emr terminate-clusters --cluster-ids j-1"


class Command:
    """The program above as a process: `release` seconds for its release, `rest` seconds of life after the body."""

    def __init__(self, release: str, words: str = WORDS, rest: str = "0") -> None:
        line = [sys.executable, "-c", PROGRAM, release, words, rest]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def says(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def rest(self) -> tuple[list[str], str, int]:
        """(lines, stderr, exit status) once it has left."""
        out, err = self.process.communicate(timeout=60)
        return out.splitlines(), err, self.process.returncode


@pytest.fixture
def commands() -> Iterator[list[Command]]:
    started: list[Command] = []
    yield started
    for command in started:
        if command.process.poll() is None:
            command.process.kill()
        command.process.communicate()


BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@BOTH
def test_the_first_signal_ends_the_run_in_order(commands: list[Command], number: signal.Signals) -> None:
    commands.append(command := Command("0"))
    assert command.says() == "ready"
    command.process.send_signal(number)
    assert command.rest() == (["stopping", "released", "after"], "", 0)


@BOTH
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_prints_what_to_run_by_hand_and_leaves_with_130(
    commands: list[Command], number: signal.Signals, second: signal.Signals
) -> None:
    commands.append(command := Command(LONG))
    assert command.says() == "ready"
    command.process.send_signal(number)
    assert command.says() == "stopping"
    command.process.send_signal(second)
    assert command.rest() == ([], f"Left at once. {WORDS}\n", 130)


def test_without_a_cluster_there_is_nothing_to_run_by_hand(commands: list[Command]) -> None:
    commands.append(command := Command(LONG, words=""))
    assert command.says() == "ready"
    command.process.send_signal(signal.SIGINT)
    assert command.says() == "stopping"
    command.process.send_signal(signal.SIGINT)
    assert command.rest() == ([], "Left at once.\n", 130)


@BOTH
def test_after_the_body_a_signal_does_what_it_always_does(commands: list[Command], number: signal.Signals) -> None:
    commands.append(command := Command("0", rest=LONG))
    assert command.says() == "ready"
    command.process.send_signal(signal.SIGTERM)
    assert [command.says() for _ in range(3)] == ["stopping", "released", "after"]
    command.process.send_signal(number)
    _, _, status = command.rest()
    assert status in (-number, 1 if number is signal.SIGINT else -number)


async def test_the_handlers_of_before_are_gone_only_while_the_body_runs() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruptible(lambda: None, str):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_in_a_thread_where_python_handles_no_signals_the_body_runs_all_the_same() -> None:
    ran = []

    async def body() -> None:
        with interruptible(lambda: None, str):
            ran.append(True)

    thread = threading.Thread(target=lambda: asyncio.run(body()))
    thread.start()
    thread.join()
    assert ran == [True]
