"""Fixtures of the tiers that reach servers: a tier's conftest imports those that its tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.stage import Stage, staged

__all__ = ["account", "emulator", "stage"]


@pytest.fixture(scope="module")
def emulator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    """A module's own emulator with the bucket acme-servo; LAW are its durations by the model, None the real ones.
    It goes at 600 times real time, or as SPEED says."""
    empty = tmp_path_factory.mktemp("empty")
    law: tuple[str, ...] | None = request.module.LAW
    durations = "wall" if law is None else "model"
    speed: float = getattr(request.module, "SPEED", 600.0)
    with EmulatorProcess(*(law or ()), durations=durations, speed=speed, data=[f"s3://acme-servo/={empty}"]) as process:
        yield process


@pytest.fixture(scope="module")
def account(emulator: EmulatorProcess) -> Iterator[Account]:
    """The account of the module's emulator, seen from outside."""
    found = Account(emulator)
    yield found
    found.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage for servos that are interrupted, one for a module."""
    with staged(tmp_path_factory.mktemp("stage")) as found:
        yield found
