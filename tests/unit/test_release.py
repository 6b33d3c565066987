"""Release: asked for until the end is seen, and loud when it is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from servo_emr.domain.errors import OperatorError, Reason, RunError
from servo_emr.domain.ports import Handle
from servo_emr.domain.run import RunState
from servo_emr.lifecycle.release import Release
from tests.support.samples import KEY, SPEC
from tests.support.scripted_target import NEVER, Script, ScriptedTarget, throttled
from tests.support.simclock import SimClock


class Rig:
    def __init__(self, script: Script) -> None:
        self.clock = SimClock()
        self.target = ScriptedTarget(self.clock, script)
        self.warned: list[str] = []
        self.release = Release(self.target, self.clock, "us-east-1", self.warned.append)

    async def launch(self, age: float = 600.0) -> Handle:
        handle = await self.target.submit(SPEC, KEY)
        await self.clock.sleep(age)
        return handle


async def test_a_release_returns_only_when_the_cluster_is_seen_ended() -> None:
    rig = Rig(Script(job=NEVER))
    look = await rig.release.now(await rig.launch())
    assert look.state is RunState.VERIFIED
    assert rig.target.alive == []
    assert look.steps[0].state.ended


@pytest.mark.parametrize("age", [0.0, 100.0, 350.0, 600.0])
async def test_a_cluster_is_released_in_whatever_phase_it_is(age: float) -> None:
    rig = Rig(Script(job=NEVER))
    look = await rig.release.now(await rig.launch(age))
    assert look.state is RunState.VERIFIED


async def test_a_release_of_the_dead_is_safe() -> None:
    rig = Rig(Script(job=60.0))
    handle = await rig.launch(4000.0)
    assert (await rig.release.now(handle)).state is RunState.VERIFIED
    assert (await rig.release.now(handle)).state is RunState.VERIFIED


def between(first: float, last: float) -> Callable[[float], RunError | None]:
    return lambda age: throttled() if first <= age < last else None


@pytest.mark.parametrize(
    "script",
    [
        Script(job=NEVER, failing_releases=between(0, 800)),
        Script(job=NEVER, failing_looks=between(0, 800)),
        Script(job=NEVER, failing_releases=between(0, 750), failing_looks=between(0, 800)),
        Script(job=NEVER, obeys=200.0),
        Script(job=NEVER, obeys=30.0, ending=1200.0),
        Script(job=NEVER, ending=1200.0, failing_looks=between(700, 1700)),
    ],
    ids=["refused", "unseen", "both", "late", "F20: ending for 20 minutes", "unseen while ending"],
)
async def test_it_is_asked_for_again_and_again_until_it_is_seen(script: Script) -> None:
    rig = Rig(script)
    look = await rig.release.now(await rig.launch())
    assert look.state is RunState.VERIFIED
    assert rig.target.alive == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (Script(job=NEVER, obeys=NEVER), "is not seen ending 300 s after"),
        (Script(job=NEVER, failing_releases=between(0, NEVER)), "is not seen ending"),
        (Script(job=NEVER, failing_looks=between(0, NEVER)), "is not seen ending"),
        (Script(job=NEVER, ending=NEVER), "has been ending for 2400 s"),
    ],
    ids=["F19: accepted and ignored", "refused for ever", "F24: unseen for ever", "ending for ever"],
)
async def test_a_release_that_cannot_be_verified_is_an_error_with_the_command_to_run_by_hand(
    script: Script, words: str
) -> None:
    rig = Rig(script)
    handle = await rig.launch()
    began = rig.clock.now()
    with pytest.raises(OperatorError, match=words) as error:
        await rig.release.now(handle)
    assert error.value.reason is Reason.UNRELEASED
    assert "aws emr terminate-clusters --region us-east-1 --cluster-ids j-0001" in str(error.value)
    assert rig.clock.now() - began <= 2400.0 + 300.0 + 80.0, "bounded"
    assert rig.target.count("release") >= 1


async def test_it_is_asked_for_often_while_the_cluster_does_not_obey() -> None:
    rig = Rig(Script(job=NEVER, obeys=NEVER))
    with pytest.raises(OperatorError):
        await rig.release.now(await rig.launch())
    assert rig.target.count("release") >= 10


async def test_after_success_a_cluster_that_ends_itself_is_never_told_to() -> None:
    rig = Rig(Script(job=60.0, idle=30.0))
    handle = await rig.launch(500.0)
    look = await rig.release.after_success(handle, await rig.target.observe(handle))
    assert look.state is RunState.VERIFIED
    assert rig.target.count("release") == 0


@pytest.mark.parametrize("idle", [200.0, NEVER])
async def test_after_success_a_cluster_that_does_not_end_itself_is_ended_after_two_minutes(idle: float) -> None:
    rig = Rig(Script(job=60.0, idle=idle))
    handle = await rig.launch(500.0)
    began = rig.clock.now()
    look = await rig.release.after_success(handle, await rig.target.observe(handle))
    assert look.state is RunState.VERIFIED
    assert rig.target.count("release") >= 1
    assert rig.clock.now() - began <= 120.0 + 40.0 + 60.0 + 45.0
    assert any("120 s after its last step" in warning for warning in rig.warned)


async def test_looks_that_fail_after_success_lead_to_a_release_too() -> None:
    rig = Rig(Script(job=60.0, idle=NEVER, failing_looks=between(500, 640)))
    handle = await rig.launch(490.0)
    look = await rig.release.after_success(handle, await rig.target.observe(handle))
    assert look.state is RunState.VERIFIED
    assert rig.target.alive == []


async def test_protection_that_was_switched_off_is_told_once() -> None:
    rig = Rig(Script(job=NEVER, obeys=40.0, protected=True))
    await rig.release.now(await rig.launch())
    (note,) = rig.release.notes
    assert note in rig.warned
    assert "j-0001 was protected from termination" in note


async def test_a_cluster_that_was_not_protected_has_nothing_told_of_it() -> None:
    rig = Rig(Script(job=NEVER))
    await rig.release.now(await rig.launch())
    assert rig.release.notes == ()
