"""What the tests of commands against an emulator share; others start one of their own under the same name."""

from __future__ import annotations

from tests.support.fixtures import account, emulator

__all__ = ["account", "emulator"]
