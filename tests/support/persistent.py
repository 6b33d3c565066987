"""A scripted optimizer that does not give up: it knows its commands again under the uids that it gives them anew.

It can also cancel: the answer to a progress report is then what servox takes for one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from tests.support.optimizer import Optimizer, Received

__all__ = ["PersistentOptimizer"]


class PersistentOptimizer(Optimizer):
    """An `Optimizer` whose `settled` follows a command through a servo's restarts.

    `forgetful` False: it gives a lost command out again under the uid that it had.
    """

    def __init__(self, forgetful: bool = True) -> None:
        self._forgetful = forgetful
        self._first: dict[str, str] = {}
        self._cancelling: Callable[[dict[str, Any]], bool] | None = None
        super().__init__()

    def __enter__(self) -> Self:
        return self

    def cancel_when(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Cancels the outstanding command at the next progress report that fulfils the condition."""
        with self._changed:
            self._cancelling = condition

    def uids(self, uid: str) -> list[str]:
        """All uids under which the command that was asked as `uid` has been given out."""
        with self._changed:
            return [uid, *(again for again, first in self._first.items() if first == uid)]

    def settled(self, uid: str, patience: float) -> dict[str, Any]:
        """The param of the first result of the command, under whichever uid it came."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: any(name in self._results for name in self.uids(uid)), timeout=patience
            )
            if not arrived:
                raise AssertionError(f"no result of {uid} after {patience:g} s; received {self._received[-5:]}")
            return next(self._results[name] for name in self.uids(uid) if name in self._results)

    def terminal(self, uid: str | None = None) -> list[dict[str, Any]]:
        """All results that came, or those to one uid, oldest first."""
        return [
            body.param
            for body in self.received()
            if isinstance(body.param, dict)
            and "status" in body.param
            and "progress" not in body.param
            and uid in (None, body.param.get("cmd_uid"))
        ]

    def answer(self, body: Received) -> dict[str, Any]:
        with self._changed:
            before = self._outstanding
            answer = super().answer(body)
            if body.event == "HELLO" and before is not None and not self._forgetful:
                self._waiting[0] = before
            elif body.event == "HELLO" and before is not None:
                self._first[self._waiting[0][0]] = self._first.get(before[0], before[0])
            param = body.param
            if isinstance(param, dict) and "progress" in param and self._cancelling and self._cancelling(param):
                self._cancelling = None
                return {"status": "cancel", "reason": "the optimizer has changed its mind"}
            return answer
