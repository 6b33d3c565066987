"""Cases of which a few run with every test run, and all nightly."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

__all__ = ["sampled"]

NIGHTLY = pytest.mark.nightly


def sampled(cases: Collection[Any], *daily: Any) -> list[Any]:
    """For `parametrize`: all cases; those that are not named to run daily are marked `nightly`."""
    assert daily, "a test of which nothing runs daily is marked nightly itself"
    assert set(daily) <= set(cases), daily
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=() if case in daily else pytest.mark.nightly
        )
        for case in cases
    ]
