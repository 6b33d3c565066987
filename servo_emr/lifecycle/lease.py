"""One driver for a workspace: a lease in lease.json, renewed while its holder lives. In real time, whatever W does.

A waiting servo trusts no other machine's clock, and of its own only how long things take: it takes over when it has
seen the lease unchanged for its whole life, and somebody who sets the clock takes no lease from the living. On the same
host a holder whose process is gone is replaced at once. S3 cannot fence EMR: a driver that has not renewed within half
the lease's life launches nothing, and what is left is the one call that a driver was about to make when it was
suspended. Its cluster has the name of the other's; the run's record, written under a condition, tells the two apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from servo_emr.domain.errors import Conflict, OperatorError, Reason, RunError
from servo_emr.domain.ports import Clock, Document, Workspace
from servo_emr.domain.schemas import stamped

__all__ = ["Holder", "Lease"]

DOCUMENT = "lease"
LIFE_S = 90.0
RENEW_S = 30.0
_WAIT_S = 5.0
_AGAIN_S = 5.0
"""After a renewal that failed: at the next one's usual time the lease would not be fresh any more."""
_BEATEN_S = 1.0
_TRIES = 5
"""How often somebody who does not wait tries to write a lease that is free, and that others keep changing."""


@dataclass(frozen=True)
class Holder:
    """Who drives: host, process id and when that process started (so that a reused id is not taken for it).

    A host is where a process id means something: of two containers with one name each is another. What follows the
    name, after a slash, tells them apart.
    """

    host: str
    pid: int
    started: str

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {"host": self.host, "pid": self.pid, "started": self.started}

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.partition('/')[0]}"


class Lease:
    """The lease of one process.

    Args:
        workspace: where it is kept.
        clock: real time.
        me: this process.
        alive: whether a holder of this host still lives.
        warn: called with a sentence for the log.
        elapsed: seconds from some moment on, for ages: whoever sets the machine's clock does not change them. Without
            it `clock` is asked.
    """

    def __init__(
        self,
        workspace: Workspace,
        clock: Clock,
        me: Holder,
        alive: Callable[[Holder], bool],
        warn: Callable[[str], None],
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        self._workspace = workspace
        self._clock = clock
        self._me = me
        self._alive = alive
        self._warn = warn
        self._elapsed = elapsed or clock.now
        self._version: str | None = None
        self._renewed: float | None = None
        self._renewal: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """Whether this process took it, renews it and has not lost it."""
        return self._renewed is not None and self._renewal is not None and not self._renewal.done()

    async def take(self, wait: bool) -> None:
        """Takes the lease, and renews it from now on in the background of the running loop.

        Args:
            wait: wait for the present driver; else fail at once.

        Raises:
            OperatorError: operator/lease, naming who drives.
        """
        seen: tuple[str, float] | None = None
        named: Holder | None = None
        beaten = 0
        while True:
            began = self._elapsed()
            document = await self._workspace.document(DOCUMENT)
            driver = _driver(document)
            if document is None or driver is None or self._gone(driver) or self._stale(document, seen):
                if await self._write(document, began):
                    if self._renewal is not None:
                        self._renewal.cancel()  # of a lease that was lost; two would take it from each other
                    self._renewal = asyncio.create_task(self._renewing())
                    return
                beaten += 1
                if not wait and beaten >= _TRIES:
                    raise self._contended()
                if beaten > 1:  # a refusal may go on for a while: S3 is not asked without a pause
                    await self._clock.sleep(_BEATEN_S)
                continue
            if not wait:
                raise self._taken(driver)
            if driver != named:
                named = driver
                self._warn(
                    f"{driver} drives {self._workspace.uri}; waiting until it has not renewed for {LIFE_S:.0f} s"
                )
            if seen is None or seen[0] != document.version:
                seen = (document.version, self._elapsed())
            await self._clock.sleep(_WAIT_S)

    def _contended(self) -> OperatorError:
        return OperatorError(
            f"The lease of {self._workspace.uri} is free, and could not be written {_TRIES} times: somebody else "
            "changed it, or S3 refuses it.",
            Reason.LEASE,
            remedy="Try again; let only one servo drive a workspace.",
            public="the lease could not be written",
        )

    async def driven(self) -> bool:
        """Whether somebody drives the workspace now, as far as one look can tell: the lease is young, or its holder
        lives on this host. Another host's clock is trusted here to a lease's life."""
        document = await self._workspace.document(DOCUMENT)
        driver = _driver(document)
        if document is None or driver is None:
            return False
        if driver.host == self._me.host:
            return self._alive(driver)
        renewed = document.body.get("renewed_at")
        return isinstance(renewed, (int, float)) and self._clock.now() - renewed < LIFE_S

    async def give_back(self) -> None:
        """Gives the lease back, so that the next driver need not wait. Never raises for a workspace out of reach."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait({self._renewal})
            self._renewal = None
        if self._renewed is None:
            return
        self._renewed = None
        try:
            try:
                await self._free(self._version)
            except Conflict:
                # A renewal that was under way just now has changed the version; or somebody else drives.
                document = await self._workspace.document(DOCUMENT)
                if document is not None and _driver(document) == self._me:
                    await self._free(document.version)
        except (Conflict, RunError) as error:
            self._warn(f"the lease could not be given back ({error}); it ends by itself in {LIFE_S:.0f} s")

    async def _free(self, version: str | None) -> None:
        await self._workspace.write(DOCUMENT, stamped(DOCUMENT, holder=None), version)

    def must_be_fresh(self) -> None:
        """Asked right before a launch.

        Raises:
            OperatorError: operator/lease: not renewed within half its life: somebody else may drive by now.
        """
        if self._renewed is None or self._elapsed() - self._renewed > LIFE_S / 2:
            raise OperatorError(
                f"This servo's lease of {self._workspace.uri} is not fresh: nothing is launched.",
                Reason.LEASE,
                remedy="Look whether another servo drives the workspace, and whether S3 can be reached.",
                public="the lease is not fresh",
            )

    async def _renewing(self) -> None:
        pause = RENEW_S
        while True:
            await self._clock.sleep(pause)
            if not self.held:
                return  # lost: the next measurement asks for it again
            pause = _AGAIN_S
            try:
                await self._renew()
                pause = RENEW_S
            except RunError as error:
                self._warn(f"the lease could not be renewed ({error.reason}): {error.message}")
            except Exception as error:  # noqa: BLE001 - a defect here must not end the renewing: the next may do
                self._warn(f"the lease could not be renewed: {error!r}")

    async def _renew(self) -> None:
        began = self._elapsed()
        if await self._write(None, began, again=True):
            return
        # A renewal whose answer was lost has changed the version, and the name in it is still ours.
        document = await self._workspace.document(DOCUMENT)
        if document is None or _driver(document) != self._me or not await self._write(document, began, again=True):
            self._renewed = self._version = None
            self._warn("the lease was lost to somebody else")

    async def _write(self, before: Document | None, began: float, again: bool = False) -> bool:
        """Writes our name over what was read at `began` or later; `again` without it: over our own last write."""
        expected = before.version if before is not None else self._version if again else None
        body = stamped(DOCUMENT, holder=self._me.plain(), renewed_at=self._clock.now())
        try:
            self._version = await self._workspace.write(DOCUMENT, body, expected)
        except Conflict:
            return False
        self._renewed = began
        return True

    def _gone(self, driver: Holder) -> bool:
        return driver == self._me or (driver.host == self._me.host and not self._alive(driver))

    def _stale(self, document: Document, seen: tuple[str, float] | None) -> bool:
        return seen is not None and seen[0] == document.version and self._elapsed() - seen[1] >= LIFE_S

    def _taken(self, driver: Holder) -> OperatorError:
        return OperatorError(
            f"{driver} drives {self._workspace.uri}.",
            Reason.LEASE,
            remedy=f"Stop it, or use another workspace; a dead driver is replaced {LIFE_S:.0f} s after its last word.",
            public="another servo drives this workspace",
        )


def _driver(document: Document | None) -> Holder | None:
    """Who holds the lease; None for nobody, and for a document that cannot be read as a lease."""
    holder = document.body.get("holder") if document is not None else None
    if not isinstance(holder, dict):
        return None
    try:
        return Holder(str(holder["host"]), int(holder["pid"]), str(holder["started"]))
    except (KeyError, TypeError, ValueError):
        return None
