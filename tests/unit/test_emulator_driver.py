"""How W follows real time: a driver on a clock that the test turns, and jobs that end when the test says so."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from servo_emr.emulator.world.driver import Driver
from servo_emr.emulator.world.durations import WallDurations
from servo_emr.emulator.world.world import World
from tests.support.world import START, ScriptedMachine, launch, new_world, step


@dataclass
class Real:
    """Real time, as the test turns it."""

    seconds: float = 50.0

    def __call__(self) -> float:
        return self.seconds


def no_defect(error: BaseException) -> None:
    raise AssertionError("a defect") from error


def driven(world: World, speed: float, real: Real) -> Driver:
    return Driver(world, speed=speed, defect=no_defect, monotonic=real)


def test_w_runs_at_the_speed() -> None:
    real = Real()
    driver = driven(new_world(ScriptedMachine()), 600.0, real)
    assert driver.clock() == (START, 600.0)
    real.seconds += 2
    assert driver.clock() == (START + 1200, 600.0)
    driver.set_speed(10.0)
    real.seconds += 3
    assert driver.clock() == (START + 1230, 10.0)


def test_at_speed_zero_only_a_hand_moves_w() -> None:
    real = Real()
    driver = driven(new_world(ScriptedMachine()), 0.0, real)
    real.seconds += 1000
    assert driver.clock() == (START, 0.0)
    assert driver.advance(30) == (START + 30, 0.0)


def test_a_late_look_finds_everything_at_its_own_time() -> None:
    real = Real()
    machine = ScriptedMachine()
    driver = driven(new_world(machine), 600.0, real)
    with driver.world() as world:
        cluster = world.launch(launch(step("job")))
    real.seconds += 1000
    driver.clock()
    assert cluster.state == "TERMINATED"
    timeline = cluster.steps[0].timeline
    assert timeline.began is not None and timeline.ended == timeline.began + 600


def test_under_a_model_w_stands_still_for_a_process_and_goes_on_from_there() -> None:
    real = Real()
    machine = ScriptedMachine()
    driver = driven(new_world(machine), 600.0, real)
    with driver.world() as world:
        cluster = world.launch(launch(step("job", "hold")))
    real.seconds += 1000
    held, rate = driver.clock()
    began = cluster.steps[0].timeline.began
    assert began is not None
    assert (held, rate) == (began + 600, 0.0)
    real.seconds += 1000
    assert driver.clock() == (held, 0.0)
    machine.jobs["job"].exit_status = 0
    assert driver.clock() == (held, 600.0)
    real.seconds += 0.01
    assert driver.clock()[0] == pytest.approx(held + 6)
    assert cluster.steps[0].state == "COMPLETED"


def test_ending_the_cluster_releases_w() -> None:
    real = Real()
    driver = driven(new_world(ScriptedMachine()), 600.0, real)
    with driver.world() as world:
        cluster = world.launch(launch(step("job", "hold")))
    real.seconds += 1000
    assert driver.clock()[1] == 0.0
    with driver.world() as world:
        world.terminate(cluster)
    assert driver.clock()[1] == 600.0
    real.seconds += 1
    driver.clock()
    assert cluster.state == "TERMINATED"


def test_on_the_wall_w_runs_at_one_while_a_process_runs_and_the_step_ends_when_it_really_did() -> None:
    real = Real()
    machine = ScriptedMachine()
    driver = driven(new_world(machine, WallDurations()), 600.0, real)
    with driver.world() as world:
        cluster = world.launch(launch(step("job", "hold")))
    real.seconds += 10
    started, rate = driver.clock()
    began = cluster.steps[0].timeline.began
    assert (started, rate) == (began, 1.0), "W did not run past the start before it slowed down"
    real.seconds += 7.5
    job = machine.jobs["job"]
    job.finished_at, job.exit_status = real.seconds, 0
    real.seconds += 2
    now, rate = driver.clock()
    assert cluster.steps[0].timeline.ended == pytest.approx(started + 7.5)
    assert (now, rate) == (pytest.approx(started + 7.5), 600.0)


def test_a_leap_stops_where_a_process_on_the_wall_starts() -> None:
    real = Real()
    machine = ScriptedMachine()
    driver = driven(new_world(machine, WallDurations()), 0.0, real)
    with driver.world() as world:
        cluster = world.launch(launch(step("job", "hold")))
    mover = threading.Thread(target=driver.advance, args=(5000.0,))
    mover.start()
    while not machine.jobs:
        mover.join(0.01)
    assert driver.clock() == (cluster.steps[0].timeline.began, 1.0)
    job = machine.jobs["job"]
    job.finished_at, job.exit_status = real.seconds + 3, 0
    real.seconds += 3
    driver.wake()
    mover.join(10)
    assert driver.clock() == (START + 5000, 0.0)
    timeline = cluster.steps[0].timeline
    assert timeline.began is not None and timeline.ended == pytest.approx(timeline.began + 3)


def test_a_leap_waits_for_a_held_process() -> None:
    real = Real()
    machine = ScriptedMachine()
    driver = driven(new_world(machine), 1.0, real)
    with driver.world() as world:
        cluster = world.launch(launch(step("job", "hold")))
    mover = threading.Thread(target=driver.advance, args=(5000.0,))
    mover.start()
    while driver.clock()[1] != 0.0:
        mover.join(0.01)
    began = cluster.steps[0].timeline.began
    assert began is not None and driver.clock() == (began + 600, 0.0)
    assert mover.is_alive()
    machine.jobs["job"].exit_status = 0
    driver.wake()
    mover.join(10)
    assert driver.clock()[0] == START + 5000
    assert cluster.state == "TERMINATED"


def test_whoever_waits_for_a_moment_is_woken_by_a_leap_beyond_it() -> None:
    driver = driven(new_world(ScriptedMachine()), 0.0, Real())
    seen: list[tuple[float, float]] = []
    waiter = threading.Thread(target=lambda: seen.append(driver.wait_until(START + 100, 30)))
    waiter.start()
    driver.advance(50)
    assert waiter.is_alive()
    driver.advance(60)
    waiter.join(10)
    assert seen == [(START + 110, 0.0)]


def test_a_wait_ends_with_its_patience() -> None:
    driver = Driver(new_world(ScriptedMachine()), speed=0.0, defect=no_defect)
    assert driver.wait_until(START + 100, 0.02) == (START, 0.0)


def test_the_ticker_makes_events_happen_without_a_look() -> None:
    machine = ScriptedMachine()
    driver = Driver(new_world(machine), speed=100_000.0, defect=no_defect)
    started = threading.Event()
    machine.started = _Signalling(started)
    with driver.world() as world:
        world.launch(launch(step("job")))
    driver.start()
    assert started.wait(10)
    driver.close()


class _Signalling(list[str]):
    def __init__(self, event: threading.Event) -> None:
        super().__init__()
        self._event = event

    def append(self, item: str) -> None:
        super().append(item)
        if item == "job":
            self._event.set()


def test_a_defect_in_an_event_is_told_and_raised() -> None:
    told: list[BaseException] = []
    world = new_world(ScriptedMachine())
    driver = Driver(world, speed=0.0, defect=told.append)

    def broken() -> None:
        raise ZeroDivisionError("a bug")

    world.schedule(START + 1, broken)
    with pytest.raises(ZeroDivisionError):
        driver.advance(10)
    assert isinstance(told[0], ZeroDivisionError)


def test_a_closed_driver_shows_no_world_and_lets_waiters_go() -> None:
    driver = driven(new_world(ScriptedMachine()), 0.0, Real())
    waiter = threading.Thread(target=driver.wait_until, args=(START + 100, 60))
    waiter.start()
    driver.close()
    waiter.join(10)
    assert not waiter.is_alive()
    with pytest.raises(RuntimeError, match="shutting down"), driver.world():
        pass


def test_on_the_wall_two_steps_at_once_end_each_when_it_really_did() -> None:
    real = Real()
    machine = ScriptedMachine()
    driver = driven(new_world(machine, WallDurations()), 600.0, real)
    with driver.world() as world:
        cluster = world.launch(launch(step("a", "hold"), step("b", "hold"), concurrency=2))
    real.seconds += 10
    started, _ = driver.clock()
    for name, seconds in (("b", 4.0), ("a", 3.0)):
        real.seconds += seconds
        machine.jobs[name].finished_at, machine.jobs[name].exit_status = real.seconds, 0
        now, rate = driver.clock()
        assert rate == (1.0 if name == "b" else 600.0), "W runs at 1 until the last of them has ended"
    first, second = (each.timeline for each in cluster.steps)
    assert (first.began, second.began) == (started, started)
    assert (first.ended, second.ended) == (pytest.approx(started + 7), pytest.approx(started + 4))
    assert now == pytest.approx(started + 7)
