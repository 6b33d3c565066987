"""The connector told to stop, refused the lease, or started over what another has left: over a world in memory."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from typing import Any

import pytest
import servo

from servo_emr.domain.errors import Reason
from servo_emr.domain.ports import Finding, Preflight
from servo_emr.domain.run import RunState
from tests.support.front import OTHER, Front, front
from tests.support.measuring import Fate, Killed
from tests.support.scripted_target import NEVER, Script


async def running(f: Front) -> None:
    """As under `servo run`: started, the lease taken."""
    await f.connector.startup()
    assert f.live.lease.held


def last_line(error: BaseException) -> str:
    return str(error).splitlines()[-1]


async def test_a_measurement_takes_the_lease_for_itself_and_gives_it_back() -> None:
    async with front() as f:
        measured = await f.connector.measure()
        assert {reading.metric.name for reading in measured.readings} >= {"duration", "cost"}
        assert measured.annotations["run_id"] == f.world.check_that_nothing_is_left().run_id
        assert not f.live.lease.held
        document = await f.world.workspace.document("lease")
        assert document is not None
        assert document.body["holder"] is None


@pytest.mark.parametrize("event", ["adjust", "measure"])
async def test_a_command_that_cannot_have_the_lease_fails_at_once_with_operator_lease(event: str) -> None:
    async with front() as f:
        other = f.process(OTHER)
        await other.lease.take(wait=False)
        began = f.world.clock.now()
        adjustment = servo.Adjustment(component_name="core", setting_name="replicas", value="6")
        with pytest.raises(servo.EventError) as refused:
            await (f.connector.adjust([adjustment]) if event == "adjust" else f.connector.measure())
        assert refused.value.reason == str(Reason.LEASE)
        assert last_line(refused.value) == "run=none cost_usd=0.0000 duration_s=none"
        assert f.world.clock.now() == began
        assert f.world.target.calls == []
        assert "staged.json" not in f.world.workspace.objects
        await other.lease.give_back()


async def test_a_servo_that_has_lost_the_lease_measures_nothing_and_does_not_spin() -> None:
    async with front() as f:
        await running(f)
        await f.live.lease.give_back()
        other = f.process(OTHER)
        await other.lease.take(wait=False)
        began = f.world.clock.now()
        asked = 0
        while f.world.clock.now() < began + 300.0:
            with pytest.raises(servo.EventError) as refused:
                await f.connector.measure()
            assert refused.value.reason == str(Reason.LEASE)
            asked += 1
        assert asked <= 6
        assert f.world.target.calls == ["find"], "at its start"
        await other.lease.give_back()
        assert (await f.connector.measure()).readings, "free again, it is taken again"
        assert f.live.lease.held, "and kept"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"metrics": ["latency"]}, Reason.BAD_METRIC),
        ({"control": servo.Control(userdata={"emr": {"deadline": 5}})}, Reason.USERDATA),
    ],
)
async def test_orders_that_make_no_sense_are_answered_ever_further_apart_too(
    asked: dict[str, Any], reason: Reason
) -> None:
    async with front() as f:
        await running(f)
        began = f.world.clock.now()
        for _ in range(4):
            with pytest.raises(servo.EventError) as refused:
                await f.connector.measure(**asked)
            assert refused.value.reason == str(reason)
        assert f.world.clock.now() - began == 30.0 + 60.0 + 120.0


async def test_on_shutdown_the_cluster_is_ending_the_lease_is_free_and_the_optimizer_hears_aborted() -> None:
    async with front(Script(job=NEVER)) as f:
        await running(f)
        task = asyncio.create_task(f.connector.measure())
        done = asyncio.Event()

        async def stop() -> None:
            await f.connector.shutdown()
            assert f.world.target.alive == [], "release first"
            done.set()

        stopping: list[asyncio.Task[None]] = []
        f.world.clock.at(900.0, lambda: stopping.append(asyncio.create_task(stop())))
        with pytest.raises(servo.EventAbortedError) as stopped:
            await task
        await done.wait()
        await stopping[0]
        record = f.world.check_that_nothing_is_left()
        assert stopped.value.reason == "shutdown"
        assert last_line(stopped.value).startswith(f"run={record.run_id} cost_usd={record.cost_so_far:.4f} ")
        assert record.cost_so_far > 0.0
        assert (record.state, record.answered_at) == (RunState.ENDING, None)
        assert not f.live.lease.held
        after = f.process(OTHER)
        await after.lease.take(wait=False)
        assert await after.measure.recover() == []
        assert f.world.check_that_all_is_settled()[0].cost is not None
        await after.lease.give_back()


async def test_shutdown_with_nothing_under_way_gives_the_lease_back_and_is_quiet() -> None:
    async with front() as f:
        await running(f)
        await f.connector.shutdown()
        assert not f.live.lease.held
        assert f.world.target.calls == ["find"], "at its start"


@pytest.mark.parametrize("event", ["adjust", "measure"])
async def test_a_command_that_arrives_after_shutdown_begins_nothing_and_takes_no_lease(event: str) -> None:
    async with front() as f:
        await running(f)
        await f.connector.shutdown()
        adjustment = servo.Adjustment(component_name="core", setting_name="replicas", value="6")
        with pytest.raises(servo.EventAbortedError) as refused:
            await (f.connector.adjust([adjustment]) if event == "adjust" else f.connector.measure())
        assert refused.value.reason == "shutdown"
        assert last_line(refused.value) == "run=none cost_usd=0.0000 duration_s=none"
        assert not f.live.lease.held
        assert f.world.target.count("submit") == 0
        assert "staged.json" not in f.world.workspace.objects


async def test_between_measurements_a_servo_waits_to_end_what_nobody_asks_for_and_stops_waiting_with_them() -> None:
    async with front() as f:
        await running(f)
        waits = [f.connector._unasked._task]
        f.world.clock.at(900.0, lambda: waits.append(f.connector._unasked._task))
        await f.connector.measure()
        waits.append(f.connector._unasked._task)
        await f.connector.shutdown()
        at_start, meanwhile, afterwards = waits
        assert at_start.cancelled()
        assert meanwhile is None
        assert afterwards.cancelled(), "it was begun again, and ended with the servo"


async def test_defects_are_answered_ever_further_apart_too() -> None:
    async with front() as f:
        await running(f)

        async def broken() -> Any:
            raise KeyError("ETag")

        f.live.stage.current = broken  # type: ignore[method-assign]
        began = f.world.clock.now()
        for _ in range(4):
            with pytest.raises(servo.EventError) as refused:
                await f.connector.measure()
            assert refused.value.reason == str(Reason.BUG)
        assert f.world.clock.now() - began == 30.0 + 60.0 + 120.0


async def test_hello_does_not_wait_for_a_workspace_that_is_slow() -> None:
    async with front() as f:
        assert await f.connector._breaker_state(0.0) == "not known: slow"


async def test_shutdown_before_anything_was_used_touches_nothing() -> None:
    async with front() as f:
        f.connector._live = None
        await f.connector.shutdown()
        assert f.connector._live is None


async def test_a_cancel_releases_the_cluster_before_the_cancellation_goes_on() -> None:
    async with front(Script(job=NEVER)) as f:
        await running(f)
        task = asyncio.create_task(f.connector.measure())
        f.world.clock.at(900.0, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert f.world.check_that_nothing_is_left().released
        assert f.connector._operation is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_a_one_shot_command_ends_its_run(number: signal.Signals) -> None:
    async with front(Script(job=NEVER)) as f:
        f.world.clock.at(900.0, lambda: os.kill(os.getpid(), number))
        f.world.clock.at(900.0, lambda: None)
        with pytest.raises(servo.EventAbortedError) as stopped:
            await f.connector.measure()
        record = f.world.check_that_nothing_is_left()
        assert record.released
        assert f"run={record.run_id}" in last_line(stopped.value)
        assert not f.live.lease.held


async def test_under_servo_run_signals_are_left_to_servox() -> None:
    async with front() as f:
        await running(f)
        seen = []
        f.world.clock.at(900.0, lambda: seen.append(signal.getsignal(signal.SIGTERM)))
        before = signal.getsignal(signal.SIGTERM)
        await f.connector.measure()
        assert seen == [before]


async def test_the_command_to_run_by_hand_names_the_cluster_under_way() -> None:
    async with front() as f:
        words: list[str] = []
        assert f.connector._by_hand() == ""
        f.world.clock.at(900.0, lambda: words.append(f.connector._by_hand()))
        await f.connector.measure()
        assert words == ["To end the cluster: aws emr terminate-clusters --region us-east-1 --cluster-ids j-0001"]


async def test_a_start_finishes_what_was_left_and_adopts_what_is_asked_for_again() -> None:
    async with front() as f:
        order = await f.connector._order(None, servo.Control())
        fate = Fate()

        def kill(number: int, verb: str) -> None:
            fate.dead = f.world.clock.now() > 1_795_000_900.0
            fate.check_alive()

        fate.before = kill
        assert await f.world.die(fate, None, order.spec) is None
        await running(f)
        measured = await f.connector.measure()
        assert measured.annotations["recovered"]
        assert f.world.target.count("submit") == 1


@pytest.mark.parametrize("body", [b"{", b'{"schema": 1, "spec": []}'])
async def test_nothing_that_lies_in_the_workspace_ends_the_servo_at_its_start(body: bytes) -> None:
    async with front() as f:
        f.world.workspace.by_hand("records/dt=2026-11-18/20261118t110000-00000001.json", body)
        await running(f)
        with pytest.raises(servo.EventError) as refused:
            await f.connector.measure()
        assert refused.value.reason == str(Reason.BUCKET)


async def test_a_defect_in_recovery_does_not_end_the_servo_at_its_start() -> None:
    async with front() as f:

        async def broken(handle: Any, last: Any = None) -> Any:
            raise ZeroDivisionError

        await f.world.die(Fate.killed(40), None, f.config.to_spec())
        (record,) = f.world.workspace.all_records()
        version = (await f.world.workspace.record(record.run_id) or (record, ""))[1]
        await f.world.workspace.save(replace(record, released=True), version)
        f.world.target.observe = broken  # type: ignore[method-assign]
        await running(f)
        assert f.live.lease.held, "it drives, and is asked for measurements"


async def test_a_run_that_is_adopted_by_one_who_asks_for_more_metrics_is_an_answer_and_no_crash() -> None:
    async with front() as f:
        order = await f.connector._order(["duration"], servo.Control())
        fate = Fate.killed(30)
        measure = f.world.servo(fate)
        with pytest.raises(Killed):
            await measure.run(order, f.world.tell)
        await running(f)
        measured = await f.connector.measure()
        assert {reading.metric.name for reading in measured.readings} >= {"duration", "cost", "node_hours"}
        assert f.world.target.count("submit") == 1


async def test_a_type_that_is_not_supported_is_rejected_and_never_launched() -> None:
    async with front() as f:
        finding = Finding(Reason.TYPE_UNSUPPORTED, "m5.xlarge is not supported.", True)
        f.world.target.script.preflight = Preflight((finding,))
        with pytest.raises(servo.AdjustmentRejectedError):
            await f.connector.measure()
        assert f.world.target.count("submit") == 0
