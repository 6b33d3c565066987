"""What the tests of faults share: an emulator for each module, and a workspace of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.fixtures import stage
from tests.support.rig import Job, Rig, Shop, rigged, shop

__all__ = ["stage"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The emulator of a module, and what stands around it."""
    with shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def rig(shared: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rig]]:
    """Makes a rig: `rig(job, limits__nodes=4)`."""
    with ExitStack() as stack:

        def make(job: Job | None = None, **changes: object) -> Rig:
            return stack.enter_context(rigged(shared, tmp_path, monkeypatch, job, **changes))

        yield make
