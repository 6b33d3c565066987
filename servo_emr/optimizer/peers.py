"""Which servo drives an application: one does, any other is told to sleep.

Servos have no name unless somebody gives them one (`servo_uid`), so that two of them say the same; what tells them
apart then is the connection. A servo keeps its connection open until it asks anew, and a killed one's is closed by its
machine: whose last connection is open lives, and whoever comes on another meanwhile is somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["HEAR_S", "Connection", "Driver", "Peer"]

Connection = tuple[str, int]
"""The client's address and port."""

_PATIENCE_S = 120.0
"""Progress is posted every 15 to 30 s. Who has been silent for so long, and was not told to sleep, is gone."""


HEAR_S = 45.0
"""So long is listened for the progress of a run that was begun before this process was."""


@dataclass(frozen=True)
class Peer:
    """Who has sent a request. connection: None when it is not known."""

    servo_uid: str | None
    connection: Connection | None


class Driver:
    """Remembers who drives, for as long as this process lives.

    Args:
        is_open: whether a connection is open now.
    """

    def __init__(self, now: Callable[[], float], is_open: Callable[[Connection], bool]) -> None:
        self._now = now
        self._is_open = is_open
        self._peer: Peer | None = None
        self._quiet_until = 0.0
        self._expected = False

    @property
    def seen_at(self) -> float | None:
        """When the driver was last heard of, or has said it would be; None: there is no driver."""
        return None if self._peer is None else self._quiet_until

    def drives(self, peer: Peer) -> bool:
        """Whether this peer drives; it does from now on when nobody else is there."""
        if self._peer is not None and not self._same(peer) and self._present(peer):
            return False
        self._peer, self._quiet_until = peer, self._now()
        return True

    def expect(self) -> None:
        """A servo may be at a run since before this process began: it reports of it, and does not ask."""
        self._expected = True

    def is_expected(self) -> bool:
        """Whether somebody else may be at a run: true once, unless a report or a result has told who drives."""
        expected, self._expected = self._expected, False
        return expected

    def heard(self, peer: Peer, silent_s: float = 0.0) -> None:
        """The driver has spoken, and may now be silent for so long."""
        self._peer, self._expected = peer, False
        self._quiet_until = self._now() + silent_s

    def leaves(self, peer: Peer) -> bool:
        """A peer says goodbye; whether it was the driver."""
        if self._peer is None or (not self._same(peer) and self._present(peer)):
            return False
        self._peer = None
        return True

    def _same(self, peer: Peer) -> bool:
        assert self._peer is not None
        return peer.connection is not None and peer == self._peer

    def _present(self, asking: Peer) -> bool:
        """Whether the driver is there, as far as can be seen, while another connection is used."""
        assert self._peer is not None
        if self._now() - self._quiet_until >= _PATIENCE_S:
            return False
        connected = self._peer.connection is not None and self._is_open(self._peer.connection)
        return connected or asking.servo_uid != self._peer.servo_uid
