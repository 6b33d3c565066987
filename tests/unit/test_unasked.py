"""What is unfinished waits ten minutes to be asked for again; then it is ended, and tried again while it cannot be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from servo_emr.domain.errors import Reason, RunError, failure
from servo_emr.lifecycle.unasked import UNASKED_S, Unasked
from tests.support.simclock import START, HandClock

UNRELEASED = failure(Reason.UNRELEASED, "cannot be verified")


class Rig:
    """What `abandon` answered, one after the other; the last is repeated."""

    def __init__(self, *answers: list[RunError] | Exception) -> None:
        self.clock = HandClock()
        self.answers = list(answers)
        self.asked: list[float] = []
        self.mine = True
        self.warned: list[str] = []
        self.unasked = Unasked(self.clock, lambda: self.mine, self.abandon, self.warned.append)

    async def abandon(self) -> Sequence[RunError]:
        self.asked.append(self.clock.now() - START)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def waiting(*answers: list[RunError] | Exception) -> AsyncIterator[Rig]:
    rig = Rig(*answers)
    rig.unasked.begin()
    yield rig
    await rig.unasked.stop()


async def test_after_ten_minutes_without_a_measurement_what_is_unfinished_is_ended_once() -> None:
    async with waiting([]) as rig:
        await rig.clock.advance(UNASKED_S - 1.0)
        assert rig.asked == []
        await rig.clock.advance(10 * UNASKED_S)
        assert rig.asked == [UNASKED_S]


async def test_a_measurement_in_time_ends_the_wait_and_its_own_end_begins_a_new_one() -> None:
    async with waiting([]) as rig:
        await rig.clock.advance(UNASKED_S - 1.0)
        await rig.unasked.stop()
        await rig.clock.advance(10 * UNASKED_S)
        assert rig.asked == []
        rig.unasked.begin()
        await rig.clock.advance(UNASKED_S)
        assert rig.asked == [12 * UNASKED_S - 1.0]


async def test_what_could_not_be_ended_is_tried_again_whatever_the_reason() -> None:
    async with waiting([UNRELEASED], ZeroDivisionError("CANARY"), []) as rig:
        await rig.clock.advance(10 * UNASKED_S)
        assert rig.asked == [UNASKED_S, 2 * UNASKED_S, 3 * UNASKED_S]
        assert len(rig.warned) == 1
        assert "CANARY" in rig.warned[0]


async def test_nothing_is_ended_while_somebody_else_drives() -> None:
    async with waiting([]) as rig:
        rig.mine = False
        await rig.clock.advance(5 * UNASKED_S)
        assert rig.asked == []
        rig.mine = True
        await rig.clock.advance(UNASKED_S)
        assert len(rig.asked) == 1


async def test_stopping_what_never_began_is_safe() -> None:
    rig = Rig([])
    await rig.unasked.stop()
    assert rig.asked == []
