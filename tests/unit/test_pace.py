"""The pace of looks: few calls, and no limit is overslept."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servo_emr.domain.errors import Reason, RunError, failure
from servo_emr.domain.ports import Handle
from servo_emr.domain.run import Observation, RunState, StepState
from servo_emr.domain.spec import RunSpec
from servo_emr.lifecycle.guards import Ceilings
from servo_emr.lifecycle.watch import Progress, Watch, pace, patience
from tests.support.memory import MemoryWorkspace
from tests.support.samples import KEY, SPEC, limited
from tests.support.scripted_target import NEVER, Script, ScriptedTarget, throttled
from tests.support.simclock import SimClock

RATE = 1.2


class Watched:
    """A watch over a scripted cluster, with everything that it says."""

    def __init__(self, script: Script, spec: RunSpec = SPEC) -> None:
        self.clock = SimClock()
        self.target = ScriptedTarget(self.clock, script)
        self.workspace = MemoryWorkspace()
        self.spec = spec
        self.told: list[Progress] = []
        self.warned: list[str] = []
        self.entered: list[RunState] = []
        self.launched = self.clock.now()

    async def run(self) -> Observation:
        handle: Handle = await self.target.submit(self.spec, KEY)
        watch = Watch(self.target, self.workspace, self.clock, self.told.append, self.warned.append)

        async def entered(state: RunState) -> None:
            self.entered.append(state)

        return await watch.until_decided(handle, self.spec, Ceilings(self.spec, self.launched, RATE), entered)

    @property
    def elapsed(self) -> float:
        return self.clock.now() - self.launched


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.booleans())
def test_a_wait_is_between_half_a_minute_and_five_minutes(remaining: float, elapsed: float, launching: bool) -> None:
    wait = pace(remaining, elapsed, launching)
    assert 30.0 <= wait <= (120.0 if launching else 300.0)


def test_a_wait_is_a_quarter_of_what_is_expected_to_remain() -> None:
    assert pace(400.0, 0.0, launching=True) == 100.0
    assert pace(10.0, 400.0, launching=True) == 80.0, "a start may be seen a little late: it costs nothing"
    assert pace(800.0, 500.0, launching=False) == 200.0
    assert pace(-100.0, 1000.0, launching=False) == 150.0, "overdue: not finer than a share of what has passed"


@pytest.mark.parametrize(("expected", "looks"), [(1860.0, 17), (1200.0, 17)])
async def test_a_forty_minute_run_takes_few_looks_with_a_right_and_with_a_wrong_guess(
    expected: float, looks: int
) -> None:
    spec = replace(SPEC, job=replace(SPEC.job, expected_s=expected))
    for _ in range(20):
        watched = Watched(Script(ready=420.0, job=1860.0), spec)
        look = await watched.run()
        assert look.steps[0].state is StepState.COMPLETED
        # At most eight of the 25 EMR calls that such a run may make are none of these looks: RunJobFlow, a second call
        # of the first look that sees RUNNING and of the last, three or four at the cluster's end, ListInstances.
        assert watched.target.count("observe") <= looks
        assert watched.elapsed - 2280.0 <= 330.0, "the end is noticed within five minutes and a bit"


async def test_the_phases_are_entered_once_each_and_progress_only_grows() -> None:
    watched = Watched(Script())
    await watched.run()
    assert watched.entered == sorted(set(watched.entered), key=lambda state: state.order)
    assert RunState.RUNNING in watched.entered
    percents = [progress.percent for progress in watched.told]
    assert percents == sorted(percents)
    assert all(0 <= percent <= 99 for percent in percents)
    costs = [progress.cost_usd for progress in watched.told]
    assert costs == sorted(costs)


async def test_a_look_that_fails_ends_nothing() -> None:
    watched = Watched(Script(failing_looks=lambda age: throttled() if 500 < age < 1100 else None))
    look = await watched.run()
    assert look.steps[0].state is StepState.COMPLETED
    assert any("environment/throttled" in warning for warning in watched.warned)


async def test_looks_that_fail_past_the_provisioning_deadline_do_not_end_a_run_that_nobody_saw() -> None:
    watched = Watched(Script(failing_looks=lambda age: throttled() if 200 < age < 1500 else None))
    look = await watched.run()
    assert look.steps[0].state is StepState.COMPLETED


async def test_a_cluster_that_nobody_can_ever_look_at_is_given_up_in_the_end_for_what_it_is() -> None:
    watched = Watched(Script(job=NEVER, failing_looks=lambda age: throttled()))
    with pytest.raises(RunError) as given_up:
        await watched.run()
    assert given_up.value.reason is Reason.ENDPOINT
    assert watched.elapsed <= SPEC.limits.provisioning_s + SPEC.job.timeout_s + 600.0 + 300.0


@pytest.mark.parametrize(
    ("script", "limits", "reason", "at"),
    [
        (Script(ready=NEVER, provisioned=NEVER), {"provisioning_s": 1200.0}, Reason.CAPACITY, 1200.0),
        (Script(job=NEVER), {}, Reason.JOB_TIMEOUT, 420.0 + 7200.0 + 300.0),
        (Script(job=NEVER), {"cost_per_run": 0.5}, Reason.COST_CEILING, 1500.0),
        (Script(job=NEVER), {"max_cost_usd": 0.2}, Reason.MAX_COST, 600.0),
        (Script(job=NEVER), {"deadline_s": 600.0}, Reason.DEADLINE, 1020.0),
    ],
)
async def test_a_limit_is_noticed_right_after_it_was_passed(
    script: Script, limits: dict[str, float], reason: Reason, at: float
) -> None:
    watched = Watched(script, limited(**limits))
    with pytest.raises(RunError) as stopped:
        await watched.run()
    assert stopped.value.reason is reason
    assert at < watched.elapsed <= at + 5.0


async def test_progress_of_the_notebook_is_told_and_garbage_in_it_is_not_fatal() -> None:
    watched = Watched(Script())
    name = f"runs/{KEY.run_id}/progress.json"
    garbage = [b"", b"\xff", b"[]", b"{}", b'{"cell": null, "cells": 3}', b'{"cell": 1e999, "cells": 3}', b"null"]
    for n, body in enumerate(garbage):
        watched.clock.at(500.0 + 150 * n, lambda body=body: watched.workspace.objects.update({name: body}))
    good = json.dumps({"cell": 2, "cells": 5}).encode()
    watched.clock.at(1700.0, lambda: watched.workspace.objects.update({name: good}))
    await watched.run()
    assert (2, 5) in {(progress.cell, progress.cells) for progress in watched.told}
    assert any("progress.json" in warning for warning in watched.warned)


async def test_progress_that_cannot_be_read_is_not_called_a_failed_look() -> None:
    watched = Watched(Script())
    watched.workspace.down = True
    look = await watched.run()
    assert look.steps[0].state is StepState.COMPLETED
    assert watched.warned
    assert not any("a look at" in warning for warning in watched.warned)


async def test_a_cluster_that_ends_by_itself_ends_the_watch() -> None:
    watched = Watched(Script(ready=NEVER, provisioned=NEVER, end_reason=Reason.BOOTSTRAP))
    watched.clock.at(300.0, lambda: setattr(watched.target.clusters[0], "released", watched.clock.now()))
    look = await watched.run()
    assert look.end_reason is Reason.BOOTSTRAP
    assert watched.elapsed <= 300.0 + 140.0


async def test_an_error_that_is_not_ours_is_not_swallowed_by_the_watch() -> None:
    def broken(age: float) -> RunError | None:
        raise KeyError("State")

    with pytest.raises(KeyError):
        await Watched(Script(failing_looks=broken)).run()


def test_looks_that_fail_in_a_row_come_ever_further_apart_up_to_five_minutes() -> None:
    assert [patience(failures) for failures in (0, 1, 2, 3, 4, 100)] == [0.0, 60.0, 120.0, 240.0, 300.0, 300.0]


async def test_a_throttled_account_is_looked_at_less_and_less_until_a_look_succeeds() -> None:
    async def looks(script: Script, jitter: int) -> int:
        random.seed(jitter)
        watched = Watched(script)
        await watched.run()
        return watched.target.count("observe")

    throttling = Script(failing_looks=lambda age: throttled() if 500 < age < 1900 else None)
    disturbed = [await looks(throttling, jitter) for jitter in range(20)]
    assert sum(disturbed) < sum([await looks(Script(), jitter) for jitter in range(20)])


async def test_a_cluster_that_nobody_may_look_at_is_given_up_for_the_credentials() -> None:
    expired = failure(Reason.CREDENTIALS, "emr:DescribeCluster: ExpiredTokenException.")
    watched = Watched(Script(job=NEVER, failing_looks=lambda age: expired))
    with pytest.raises(RunError, match="ExpiredTokenException") as given_up:
        await watched.run()
    assert given_up.value.reason is Reason.CREDENTIALS
