"""What the tests with a real servox share."""

from __future__ import annotations

from tests.support.fixtures import account, emulator, stage

__all__ = ["account", "emulator", "stage"]
