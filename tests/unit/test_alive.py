"""The file that a running servo renews, and what a health check makes of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from servo_emr.alive import OLD_S, VARIABLE, Alive, answer
from tests.support.front import OTHER, front


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop turn until it is so; the test's own time limit bounds it."""
    while not condition():  # noqa: ASYNC110 - what is waited for is another process's to see: a file
        await asyncio.sleep(0.001)


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "alive"))
    return tmp_path / "alive"


async def test_a_servo_is_alive_from_its_startup_on_and_says_what_it_is_at(named: Path) -> None:
    async with front() as f:
        assert not answer({VARIABLE: str(named)}, time.monotonic())[0]
        await f.connector.startup()
        await until(named.exists)
        alive, sentence = answer({VARIABLE: str(named)}, time.monotonic())
        assert alive
        assert "nothing is asked for" in sentence
        await f.connector.shutdown()
    alive, sentence = answer({VARIABLE: str(named)}, time.monotonic())
    assert not alive
    assert "has ended" in sentence


async def test_a_servo_that_waits_for_another_s_lease_is_alive_too(named: Path) -> None:
    async with front() as f:
        other = f.process(OTHER)
        await other.lease.take(wait=False)
        starting = asyncio.create_task(f.connector.startup())
        await until(named.exists)
        alive, sentence = answer({VARIABLE: str(named)}, time.monotonic())
        starting.cancel()
        await asyncio.wait({starting})
        await f.connector.shutdown()
        await other.lease.give_back()
    assert alive
    assert "waiting for the lease" in sentence


async def test_the_file_is_renewed_while_the_loop_turns(named: Path) -> None:
    alive, turns = Alive(), iter(range(1_000_000))
    alive.begin(lambda: f"turn {next(turns)}", [].append, every_s=0.0)
    await until(lambda: named.exists() and not named.read_text().endswith("turn 0\n"))
    assert answer({VARIABLE: str(named)}, time.monotonic())[0]
    await alive.stop()


async def test_nothing_is_written_where_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    alive, warned = Alive(), list[str]()
    alive.begin(lambda: "idle", warned.append, every_s=0.0)
    await asyncio.sleep(0)
    await alive.stop()
    assert (os.listdir(tmp_path), warned) == ([], [])


async def test_a_file_that_cannot_be_written_is_said_once_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "nowhere" / "alive"
    monkeypatch.setenv(VARIABLE, str(missing))
    alive, warned, turns = Alive(), list[str](), list[str]()
    alive.begin(lambda: turns.append("") or "idle", warned.append, every_s=0.0)
    await until(lambda: bool(warned))
    for _ in range(5):
        await asyncio.sleep(0.001)
    missing.parent.mkdir()
    await until(missing.exists)
    await alive.stop()
    (sentence,) = warned
    assert str(missing) in sentence


@pytest.mark.parametrize(
    ("text", "now", "alive", "said"),
    [
        ("100.0 idle\n", 100.0 + OLD_S, True, "idle"),
        ("100.0 idle\n", 101.0 + OLD_S, False, "hangs, or was killed"),
        ("100.0 idle\n", 5.0, False, "hangs, or was killed"),  # the machine was started again since
        ("", 100.0, False, "does not begin with a time"),
        ("nan idle", 100.0, False, "hangs"),
    ],
)
def test_only_what_was_renewed_lately_is_alive(tmp_path: Path, text: str, now: float, alive: bool, said: str) -> None:
    (tmp_path / "alive").write_text(text)
    found, sentence = answer({VARIABLE: str(tmp_path / "alive")}, now)
    assert found is alive
    assert said in sentence


def test_a_check_without_the_variable_says_what_to_set() -> None:
    assert answer({}, 0.0) == (False, f"{VARIABLE} names no file: set it, for `servo run` and for this check alike")
