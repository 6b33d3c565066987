"""A real Chromium for tests of pages: headless, with an empty profile, reaching nothing but what a test opens.

Finding it is `tools/set_up_chromium.sh`'s business; where there is none, the test fails with what to install.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

from playwright.async_api import BrowserContext, Page, async_playwright

__all__ = ["WIDTHS", "Browser", "Seen", "browser"]

WIDTHS = (375, 900, 1440)
"""A phone, a small window, a desk: the widths that every page is looked at in."""
_PATIENCE_MS = 120_000
"""How long anything may really take: a machine can have other work to do."""
_FINDER = Path(__file__).resolve().parent.parent.parent / "tools" / "set_up_chromium.sh"
_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Seen:
    """An open page with everything that went on in it: what its console said, its errors, what it asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.console: list[str] = []
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def check_quiet(self, address: str) -> None:
        """Nothing was said, nothing went wrong, and nothing was asked for but the page itself.

        What a page asks for that is made of its own bytes (data:, blob:) goes nowhere.
        """
        assert self.errors == []
        assert self.console == []
        assert {url for url in self.requests if not url.startswith(("data:", "blob:"))} <= {address}

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(await self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


class Browser:
    """One Chromium; each page is a tab of its own."""

    def __init__(self, context: BrowserContext) -> None:
        self._context = context

    async def open(self, address: str, *, width: int = 1440, height: int = 900, dark: bool = False) -> Seen:
        """The page at an address, once it is loaded, in a window of this size."""
        page = await self._context.new_page()
        seen = Seen(page)
        await page.set_viewport_size({"width": width, "height": height})
        await page.emulate_media(color_scheme="dark" if dark else "light")
        await page.goto(address)
        return seen

    async def close(self) -> None:
        """Closes all tabs but the first, which keeps the browser alive."""
        for page in self._context.pages[1:]:
            await page.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _found() -> str:
    found = subprocess.run([str(_FINDER), "--find"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A Chromium of our own, ended with the block."""
    program = _found()
    async with async_playwright() as playwright:
        with tempfile.TemporaryDirectory(prefix="servo-emr-chromium-") as profile:
            context = await playwright.chromium.launch_persistent_context(
                profile, executable_path=program, args=list(_ARGUMENTS), accept_downloads=True
            )
            context.set_default_timeout(_PATIENCE_MS)
            try:
                yield Browser(context)
            finally:
                await context.close()
