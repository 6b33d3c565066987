"""A record while it is written: over its own lost answers, never over what somebody else has put in its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from servo_emr.domain.errors import Conflict, Reason, RunError, Verdict, failure
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.lifecycle.diary import Diary
from tests.support.memory import MemoryWorkspace
from tests.support.simclock import START, SimClock

RECORD = RunRecord("20261118t110000-0000000a", "cafe0123", START, "an identity", {}, "", launched_at=START + 9.0)
DECIDED: dict[str, Any] = {"verdict": Verdict.SUCCEEDED, "reason": "success"}


class LosesAnswers(MemoryWorkspace):
    """Writes of records take effect, and as many answers as `lost` says do not arrive."""

    lost = 0

    async def save(self, record: RunRecord, expected: str | None) -> str:
        version = await super().save(record, expected)
        if self.lost > 0:
            self.lost -= 1
            raise failure(Reason.ENDPOINT, "read timeout")
        return version


def diary_of(workspace: MemoryWorkspace, record: RunRecord = RECORD) -> tuple[Diary, list[str]]:
    said = list[str]()
    return Diary(workspace, SimClock(), record, said.append), said


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_diary_writes_over_what_its_own_lost_answer_left_and_says_so(lost: int) -> None:
    workspace = LosesAnswers()
    diary, said = diary_of(workspace)
    await diary.intend()
    workspace.lost = lost
    diary.note(**DECIDED)
    await diary.write()
    diary.note(message="the end")
    assert await diary.close()
    assert diary.taken is None
    assert workspace.the_record().message == "the end"
    assert any("written over" in text for text in said)


@pytest.mark.parametrize(
    "others",
    [DECIDED, {"cluster_id": "j-other"}, {"launched_at": START + 200.0}],
    ids=["it is decided", "it has another cluster", "it was launched another time"],
)
async def test_a_record_that_somebody_else_has_gone_on_with_is_never_written_over(others: dict[str, Any]) -> None:
    workspace = MemoryWorkspace()
    diary, said = diary_of(workspace)
    await diary.intend()
    theirs = replace(RECORD, **others)
    await workspace.save(theirs, "v1")
    diary.note(cluster_id="j-mine")
    with pytest.raises(RunError, match="Somebody else has gone on") as taken:
        await diary.move(RunState.PROVISIONING)
    assert taken.value.reason is Reason.LEASE
    assert diary.taken is taken.value
    assert not await diary.close()
    with pytest.raises(RunError):
        await diary.move(RunState.RUNNING)
    assert workspace.the_record() == theirs
    assert len(said) == 1


async def test_an_end_that_a_sweep_has_billed_meanwhile_is_still_the_drivers_to_tell() -> None:
    workspace = MemoryWorkspace()
    diary, _ = diary_of(workspace, replace(RECORD, cluster_id="j-1"))
    diary.decide(None, START + 60.0)
    assert await diary.write()
    billed = replace(diary.record, state=RunState.VERIFIED, cost_so_far=0.7)
    await workspace.save(billed, "v1")
    diary.note(answered_at=START + 90.0, cmd_uid="first")
    assert await diary.close()
    assert workspace.the_record().cmd_uid == "first"


@pytest.mark.parametrize("told", ["first", "second"])
async def test_an_answer_that_somebody_else_has_given_is_not_given_again(told: str) -> None:
    workspace = MemoryWorkspace()
    diary, _ = diary_of(workspace, replace(RECORD, **DECIDED))
    assert await diary.write()
    await workspace.save(replace(diary.record, cmd_uid=told, answered_at=START + 80.0), "v1")
    diary.note(answered_at=START + 90.0, cmd_uid="first")
    assert not await diary.close()
    assert diary.taken is not None


async def test_what_another_version_of_the_same_launch_says_is_written_over() -> None:
    workspace = MemoryWorkspace()
    diary, _ = diary_of(workspace, replace(RECORD, cluster_id="j-1"))
    await diary.intend()
    await workspace.save(replace(RECORD, recovered=True), "v1")
    await diary.move(RunState.PROVISIONING)
    assert workspace.the_record().cluster_id == "j-1"


async def test_a_diary_tries_again_for_a_minute_and_then_says_that_it_could_not() -> None:
    workspace, clock, said = MemoryWorkspace(), SimClock(), list[str]()
    diary = Diary(workspace, clock, RECORD, said.append)
    workspace.down = True
    clock.at(15.0, lambda: setattr(workspace, "down", False))
    assert await diary.close()
    workspace.down = True
    assert not await diary.close()
    assert said
    with pytest.raises(RunError):
        await diary.intend()


async def test_an_intent_that_somebody_else_has_written_is_a_conflict() -> None:
    workspace = MemoryWorkspace()
    await workspace.save(RECORD, None)
    with pytest.raises(Conflict):
        await diary_of(workspace)[0].intend()


@pytest.mark.parametrize(
    ("reason", "changes", "unreleased"),
    [
        (Reason.UNRELEASED, {}, True),
        (Reason.UNRELEASED, {"launched_at": None}, False),
        (Reason.BUG, {}, True),
        (Reason.BUG, {"cluster_id": "j-1"}, False),
        (Reason.BUG, {"launched_at": None}, False),
        (Reason.CELL_ERROR, {}, False),
    ],
)
def test_a_launch_of_which_a_defect_kept_the_cluster_is_unreleased(
    reason: Reason, changes: dict[str, Any], unreleased: bool
) -> None:
    diary, _ = diary_of(MemoryWorkspace(), replace(RECORD, **changes))
    diary.decide(failure(reason, "so it is"), START + 60.0)
    assert diary.record.unreleased == unreleased
    assert (diary.record.verdict, diary.record.ended_at) == (reason.verdict, START + 60.0)
