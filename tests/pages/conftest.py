"""What the tests of pages share: one Chromium a module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.browser import Browser, browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """One for all tests of a module; each opens tabs of its own."""
    async with browser() as found:
        yield found
