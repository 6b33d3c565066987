"""Random schedules: faults, their timings, and what an optimizer does, against an emulator over a real SDK.

When one fails, hypothesis prints the shortest that it finds, as the lines of a test, and how to run it again. Whether
the checks find anything is tried on servos with planted defects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import loguru
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from servo_emr.aws.ec2 import Ec2Target
from servo_emr.domain.errors import LaunchUnclear
from servo_emr.domain.ports import Handle
from servo_emr.domain.run import JobEvidence, Observation, RunState, Usage
from servo_emr.domain.spec import RunKey, RunSpec
from servo_emr.lifecycle.measure import Measure, Order, Outcome
from servo_emr.notebook.evidence import NotebookEvidence
from tests.support.hands import PARTS, Parts
from tests.support.schedules import ELSEWHERE, Place, Schedule, place


@pytest.fixture(scope="module")
def somewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    loguru.logger.disable("servo_emr")
    with place(tmp_path_factory.mktemp("place")) as made:
        yield made
    loguru.logger.enable("servo_emr")


@pytest.fixture(autouse=True)
def here(somewhere: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in somewhere.region.env.items():
        monkeypatch.setenv(name, value)


def schedules(somewhere: Place, number: int, derandomize: bool, steps: int = 3) -> type[Schedule]:
    """Runs so many of so many steps at most; the class, which has counted what they came to."""

    class Drawn(Schedule):
        at = somewhere

    run_state_machine_as_test(
        Drawn,
        settings=settings(
            max_examples=number,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=derandomize,
            print_blob=True,
            phases=(
                Phase.generate,
                Phase.shrink,
            ),  # to explain a failure hypothesis traces every line from the beginning
            suppress_health_check=list(HealthCheck),
        ),
    )
    return Drawn


@pytest.mark.timeout(1800)
def test_whatever_happens_in_whatever_order_the_promise_holds(somewhere: Place) -> None:
    seen = schedules(somewhere, 300, derandomize=True, steps=2).seen
    assert seen["schedules"] >= 300
    assert min(seen["launches"], seen["success"], seen["kill"], seen["cancel"], seen["stop"]) > 0, seen


@pytest.mark.nightly
@pytest.mark.timeout(6 * 3600)
def test_ten_thousand_schedules_keep_the_promise(somewhere: Place, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    seen = schedules(somewhere, 10_000, derandomize=False).seen
    with capsys.disabled():
        print(f"{time.monotonic() - began:.0f} s: {dict(seen)}")
    assert seen["schedules"] >= 10_000


# -- defects, and the schedules that show them


class LaunchesAgain(Ec2Target):
    """An unclear launch is simply made once more, as an SDK's retries would."""

    async def submit(self, spec: RunSpec, key: RunKey, attempt: int = 1) -> Handle:
        try:
            return await super().submit(spec, key, attempt)
        except LaunchUnclear:
            return await super().submit(spec, key, attempt)


class NeverReleases(Ec2Target):
    async def release(self, handle: Handle) -> None:
        """Ends nothing."""


class BelievesInItsRelease(NeverReleases):
    """What was asked to end counts as ended."""

    ending = False

    async def release(self, handle: Handle) -> None:
        self.ending = True

    async def observe(self, handle: Handle, last: Observation | None = None) -> Observation:
        look = await super().observe(handle, last)
        return replace(look, state=RunState.VERIFIED) if self.ending else look

    async def usage(self, handle: Handle) -> Usage:
        usage = await super().usage(handle)
        return replace(usage, rows=tuple(replace(row, ended=True) for row in usage.rows))


class CountsFromLater(Ec2Target):
    """Each step began hours later than it did: its limit passes that much later."""

    async def observe(self, handle: Handle, last: Observation | None = None) -> Observation:
        look = await super().observe(handle, None)
        steps = tuple(
            replace(step, timeline=replace(step.timeline, ready=step.timeline.ready and step.timeline.ready + 10_000.0))
            for step in look.steps
        )
        return replace(look, steps=steps)


class LaunchesMore(Ec2Target):
    """A node more for every group than anybody asked for."""

    def request(self, spec: RunSpec, key: RunKey, attempt: int = 1) -> dict[str, Any]:
        made = super().request(spec, key, attempt)
        for group in made["Instances"]["InstanceGroups"]:
            group["InstanceCount"] += 4 * (group["InstanceRole"] == "CORE")
        return made


class TidiesUp(Ec2Target):
    """Writes where it has no business."""

    async def release(self, handle: Handle) -> None:
        await super().release(handle)
        await self._door.call("s3", "DeleteObject", Bucket=ELSEWHERE, Key="nightly/records/x.json")


class Gullible(NotebookEvidence):
    """Whatever the job left is a success."""

    async def collect(self, run_id: str, spec: RunSpec, wanted: Any) -> JobEvidence:
        return JobEvidence(None)


class Forgetful(Measure):
    """Knows no command that it has answered."""

    async def run(self, order: Order, tell: Callable[[Any], None]) -> Outcome:
        return await super().run(replace(order, cmd_uid=None), tell)


def stuck(schedule: Schedule) -> None:
    schedule.goes_wrong([{"kind": "stuck", "phase": "step", "occurrence": 1}])
    schedule.measure()


def lost(schedule: Schedule) -> None:
    schedule.goes_wrong([{"kind": "drop-reply", "operation": "RunJobFlow", "when": "after", "occurrence": 1}])
    schedule.measure()


def failing(schedule: Schedule) -> None:
    schedule.goes_wrong([], "fails")
    schedule.measure()


def twice(schedule: Schedule) -> None:
    schedule.measure()
    schedule.measure_again()


def once(schedule: Schedule) -> None:
    schedule.measure()


DEFECTS: Mapping[str, tuple[Parts, Callable[[Schedule], None], str]] = {
    "a launch is made again": (replace(PARTS, target=LaunchesAgain), lost, "has two clusters at once"),
    "nothing is released": (replace(PARTS, target=NeverReleases), stuck, "is alive"),
    "an end is believed": (replace(PARTS, target=BelievesInItsRelease), stuck, "was given while"),
    "a limit passes too late": (replace(PARTS, target=CountsFromLater), stuck, "lived for"),
    "more is launched": (replace(PARTS, target=LaunchesMore), once, "more nodes than"),
    "another's object is deleted": (replace(PARTS, target=TidiesUp), stuck, "x.json was touched"),
    "a failure is a success": (replace(PARTS, evidence=Gullible), failing, "is a success, and its job fails"),
    "answers are forgotten": (replace(PARTS, measure=Forgetful), twice, "has two answers"),
}


def played(somewhere: Place, made_of: Parts, play: Callable[[Schedule], None]) -> Mapping[str, int]:
    """One schedule, its end included; what was counted."""

    class Planted(Schedule):
        at = somewhere
        parts = made_of

    schedule = Planted()
    try:
        play(schedule)
    except AssertionError:
        schedule.close()
        raise
    schedule.teardown()
    return Planted.seen


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found(somewhere: Place, name: str) -> None:
    parts, play, told = DEFECTS[name]
    with pytest.raises(AssertionError, match=told):
        played(somewhere, parts, play)


@pytest.mark.parametrize("play", [stuck, lost, failing, twice, once])
def test_the_same_schedules_show_nothing_without_a_defect(somewhere: Place, play: Callable[[Schedule], None]) -> None:
    assert played(somewhere, PARTS, play)["schedules"] == 1
