"""One driver for a workspace: who takes the lease when, who waits, and who launches nothing any more."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from servo_emr.clock import elapsed
from servo_emr.domain.errors import Conflict, OperatorError, Reason, RunError
from servo_emr.domain.ports import Document
from servo_emr.lifecycle.lease import Holder, Lease
from servo_emr.wiring import lives, me
from tests.support.memory import MemoryWorkspace
from tests.support.scripted_target import throttled
from tests.support.simclock import START, HandClock

A, B = Holder("alpha", 11, "s1"), Holder("beta", 22, "s2")


class Rig:
    """One workspace, one clock, any number of servos. `dead` are those whose process is gone."""

    def __init__(self, workspace: MemoryWorkspace | None = None) -> None:
        self.clock = HandClock()
        self.workspace = workspace or MemoryWorkspace()
        self.warned: list[str] = []
        self.dead: list[Holder] = []
        self._leases: list[Lease] = []

    def lease(self, holder: Holder = A) -> Lease:
        lease = Lease(self.workspace, self.clock, holder, lambda one: one not in self.dead, self.warned.append)
        self._leases.append(lease)
        return lease

    def kill(self, lease: Lease) -> None:
        """Its process is gone: nothing is renewed or given back."""
        assert lease._renewal is not None
        lease._renewal.cancel()
        self._leases.remove(lease)

    async def document(self) -> dict[str, Any]:
        found = await self.workspace.document("lease")
        assert found is not None
        return found.body

    async def give_all_back(self) -> None:
        self.workspace.down = False
        for lease in self._leases:
            await lease.give_back()


@asynccontextmanager
async def a_rig(workspace: MemoryWorkspace | None = None) -> AsyncIterator[Rig]:
    rig = Rig(workspace)
    try:
        yield rig
    finally:
        await rig.give_all_back()


async def test_a_free_lease_is_taken_and_renewed_while_its_holder_lives() -> None:
    async with a_rig() as rig:
        lease = rig.lease()
        assert not lease.held
        await lease.take(wait=False)
        assert lease.held
        for n in range(10):
            body = await rig.document()
            assert body["holder"] == {"host": "alpha", "pid": 11, "started": "s1"}
            assert body["renewed_at"] == START + 30.0 * n
            lease.must_be_fresh()
            await rig.clock.advance(30.0)
        assert rig.warned == []


async def test_a_command_that_does_not_wait_fails_at_once_and_names_the_driver() -> None:
    async with a_rig() as rig:
        await rig.lease(A).take(wait=False)
        other = rig.lease(B)
        with pytest.raises(OperatorError, match="process 11 on alpha drives s3://acme-servo/nightly-etl") as taken:
            await other.take(wait=False)
        assert taken.value.reason is Reason.LEASE
        assert taken.value.remedy
        assert rig.clock.now() == START
        assert not other.held


async def test_a_servo_waits_as_long_as_the_other_renews_and_says_once_who_drives() -> None:
    async with a_rig() as rig:
        await rig.lease(A).take(wait=True)
        other = rig.lease(B)
        waiting = asyncio.create_task(other.take(wait=True))
        await rig.clock.advance(3600.0)
        assert not waiting.done()
        assert len(rig.warned) == 1
        assert "process 11 on alpha drives" in rig.warned[0]
        waiting.cancel()
        await asyncio.wait({waiting})


@pytest.mark.parametrize("skew", [-1e6, -80.0, 0.0, 80.0, 1e6], ids=lambda skew: f"{skew:.0f} s")
async def test_staleness_is_seen_by_the_waiters_own_clock_whatever_the_drivers_said(skew: float) -> None:
    async with a_rig() as rig:
        body = {"schema": 1, "holder": A.plain(), "renewed_at": START + skew}
        await rig.workspace.write("lease", body, None)
        other = rig.lease(B)
        waiting = asyncio.create_task(other.take(wait=True))
        await rig.clock.advance(89.0)
        assert not waiting.done()
        await rig.clock.advance(11.0)
        assert waiting.done()
        assert other.held


async def test_a_renewal_at_the_last_moment_keeps_the_waiter_waiting() -> None:
    async with a_rig() as rig:
        lease = rig.lease(A)
        await lease.take(wait=True)
        rig.kill(lease)
        waiting = asyncio.create_task(rig.lease(B).take(wait=True))
        await rig.clock.advance(85.0)
        found = await rig.workspace.document("lease")
        assert found is not None
        await rig.workspace.write("lease", {**found.body, "renewed_at": 1.0}, found.version)
        await rig.clock.advance(85.0)
        assert not waiting.done()
        await rig.clock.advance(15.0)
        assert waiting.done()


@pytest.mark.parametrize("wait", [True, False])
async def test_on_the_same_host_a_dead_process_is_replaced_at_once(wait: bool) -> None:
    async with a_rig() as rig:
        lease = rig.lease(A)
        await lease.take(wait=True)
        rig.kill(lease)
        rig.dead.append(A)
        after = rig.lease(Holder("alpha", 12, "s3"))
        await asyncio.wait_for(after.take(wait=wait), 5.0)
        assert after.held
        assert rig.clock.now() == START


async def test_on_another_host_a_process_that_looks_dead_from_here_is_waited_for() -> None:
    async with a_rig() as rig:
        lease = rig.lease(A)
        await lease.take(wait=True)
        rig.kill(lease)
        rig.dead.append(A)
        with pytest.raises(OperatorError):
            await rig.lease(B).take(wait=False)


async def test_a_lease_of_its_own_that_a_process_had_lost_is_taken_again_at_once() -> None:
    async with a_rig() as rig:
        lease = rig.lease(A)
        await lease.take(wait=True)
        lease._renewed = None
        await lease.take(wait=False)
        assert lease.held
        writes = rig.workspace.writes
        await rig.clock.advance(300.0)
        assert lease.held
        assert rig.workspace.writes == writes + 10, "it is renewed by one task, not by two"


async def test_a_lease_that_somebody_else_has_taken_is_lost_and_nothing_is_launched_then() -> None:
    async with a_rig() as rig:
        lease = rig.lease(A)
        await lease.take(wait=True)
        found = await rig.workspace.document("lease")
        assert found is not None
        await rig.workspace.write("lease", {"schema": 1, "holder": B.plain(), "renewed_at": START}, found.version)
        await rig.clock.advance(31.0)
        assert not lease.held
        assert any("lost" in warning for warning in rig.warned)
        with pytest.raises(OperatorError) as stale:
            lease.must_be_fresh()
        assert stale.value.reason is Reason.LEASE
        with pytest.raises(OperatorError, match="process 22 on beta"):
            await lease.take(wait=False)
        assert (await rig.document())["holder"] == B.plain(), "what is another's is not written over"


async def test_who_has_not_renewed_within_half_the_lease_launches_nothing_until_he_has() -> None:
    async with a_rig() as rig:
        lease = rig.lease()
        with pytest.raises(OperatorError):
            lease.must_be_fresh()
        await lease.take(wait=True)
        rig.workspace.down = True
        await rig.clock.advance(45.0)
        lease.must_be_fresh()
        await rig.clock.advance(1.0)
        with pytest.raises(OperatorError, match="not fresh") as stale:
            lease.must_be_fresh()
        assert stale.value.reason is Reason.LEASE
        assert any("could not be renewed" in warning for warning in rig.warned)
        rig.workspace.down = False
        await rig.clock.advance(30.0)
        lease.must_be_fresh()


async def test_a_lease_given_back_is_free_at_once() -> None:
    async with a_rig() as rig:
        lease = rig.lease(A)
        await lease.take(wait=True)
        await lease.give_back()
        assert not lease.held
        with pytest.raises(OperatorError):
            lease.must_be_fresh()
        other = rig.lease(B)
        await other.take(wait=False)
        assert other.held
        await lease.give_back()
        assert (await rig.document())["holder"] == B.plain(), "and it is given back once"


async def test_a_lease_that_cannot_be_given_back_ends_by_itself_and_stops_nobody() -> None:
    async with a_rig() as rig:
        lease = rig.lease(A)
        await lease.take(wait=True)
        rig.workspace.down = True
        await lease.give_back()
        assert not lease.held
        assert any("could not be given back" in warning for warning in rig.warned)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"schema": 1, "holder": None},
        {"schema": 1, "holder": "alpha"},
        {"schema": 1, "holder": {"host": "alpha"}},
        {"schema": 1, "holder": {"host": "alpha", "pid": "many", "started": ""}},
    ],
)
async def test_a_lease_that_names_nobody_is_free(body: dict[str, Any]) -> None:
    async with a_rig() as rig:
        await rig.workspace.write("lease", body, None)
        lease = rig.lease()
        assert not await lease.driven()
        await lease.take(wait=False)
        assert lease.held


@pytest.mark.parametrize("body", [b"", b'{"schema": 1, "hol', b"[]"])
async def test_a_lease_that_is_no_document_is_named_and_left_as_it_is(body: bytes) -> None:
    async with a_rig() as rig:
        rig.workspace.by_hand("lease.json", body)
        with pytest.raises(RunError, match=r"lease\.json is not a JSON object") as damaged:
            await rig.lease().take(wait=True)
        assert damaged.value.reason is Reason.BUCKET
        assert rig.workspace.objects["lease.json"] == body


class Slow(MemoryWorkspace):
    """Lets others have their turn between its calls, and before each takes effect."""

    async def document(self, name: str) -> Document | None:
        found = await super().document(name)
        await asyncio.sleep(0)
        return found

    async def write(self, name: str, body: Mapping[str, Any], expected: str | None) -> str:
        await asyncio.sleep(0)
        return await super().write(name, body, expected)


@pytest.mark.parametrize("stale", [False, True])
async def test_of_several_who_take_at_once_exactly_one_drives(stale: bool) -> None:
    async with a_rig(Slow()) as rig:
        if stale:
            await rig.workspace.write("lease", {"holder": Holder("gone", 1, "").plain()}, None)
        leases = [rig.lease(Holder(f"host-{n}", n, "")) for n in range(6)]
        takers = [asyncio.create_task(lease.take(wait=stale)) for lease in leases]
        await rig.clock.advance(100.0)
        assert [lease.held for lease in leases].count(True) == 1
        (driver,) = (n for n, lease in enumerate(leases) if lease.held)
        assert (await rig.document())["holder"]["pid"] == driver
        if not stale:
            refused = [task.exception() for task in takers if task.exception() is not None]
            assert len(refused) == 5
            assert all(f"process {driver} on host-{driver}" in str(error) for error in refused)
        for task in takers:
            task.cancel()
        await asyncio.wait(takers)


class Refusing(MemoryWorkspace):
    """Its conditional writes meet a conflict for as long as it is told, as S3's do while another is in progress."""

    refusing = True
    asked = 0

    async def write(self, name: str, body: Mapping[str, Any], expected: str | None) -> str:
        self.asked += 1
        if self.refusing:
            raise Conflict(f"{name} was changed by somebody else")
        return await super().write(name, body, expected)


async def test_a_free_lease_that_cannot_be_written_is_tried_again_at_a_pace_and_not_without_a_pause() -> None:
    workspace = Refusing()
    async with a_rig(workspace) as rig:
        lease = rig.lease()
        taking = asyncio.create_task(lease.take(wait=True))
        await rig.clock.advance(60.0)
        assert not taking.done()
        assert workspace.asked <= 62
        workspace.refusing = False
        await rig.clock.advance(2.0)
        await taking
        assert lease.held


async def test_who_does_not_wait_gives_up_a_free_lease_that_cannot_be_written() -> None:
    workspace = Refusing()
    async with a_rig(workspace) as rig:
        taking = asyncio.create_task(rig.lease().take(wait=False))
        await rig.clock.advance(10.0)
        with pytest.raises(OperatorError, match="could not be written 5 times") as refused:
            await taking
        assert refused.value.reason is Reason.LEASE
        assert workspace.asked == 5


class Forgetful(MemoryWorkspace):
    """Writes, and loses the answer, while `losing`."""

    losing = False

    async def write(self, name: str, body: Mapping[str, Any], expected: str | None) -> str:
        version = await super().write(name, body, expected)
        if self.losing:
            raise throttled()
        return version


async def test_a_renewal_whose_answer_was_lost_is_still_ones_own() -> None:
    workspace = Forgetful()
    async with a_rig(workspace) as rig:
        lease = rig.lease()
        await lease.take(wait=True)
        workspace.losing = True
        await rig.clock.advance(31.0)
        workspace.losing = False
        await rig.clock.advance(30.0)
        assert lease.held
        lease.must_be_fresh()
        assert not any("lost to somebody" in warning for warning in rig.warned)


async def test_a_renewal_under_way_as_the_lease_is_given_back_keeps_it_from_nobody() -> None:
    workspace = Forgetful()
    async with a_rig(workspace) as rig:
        lease = rig.lease(A)
        await lease.take(wait=True)
        workspace.losing = True
        await rig.clock.advance(31.0)
        workspace.losing = False
        await lease.give_back()
        assert (await rig.document())["holder"] is None
        await rig.lease(B).take(wait=False)


async def test_a_lease_that_another_has_taken_meanwhile_is_not_given_back_for_him() -> None:
    async with a_rig() as rig:
        lease = rig.lease(A)
        await lease.take(wait=True)
        found = await rig.workspace.document("lease")
        assert found is not None
        await rig.workspace.write("lease", {"holder": B.plain()}, found.version)
        await lease.give_back()
        assert (await rig.document())["holder"] == B.plain()


async def driven_by(holder: Holder, renewed_at: object, look: Callable[[Rig], Lease]) -> bool:
    async with a_rig() as rig:
        await rig.workspace.write("lease", {"holder": holder.plain(), "renewed_at": renewed_at}, None)
        rig.dead.append(replace(A, pid=99))
        return await look(rig).driven()


@pytest.mark.parametrize(
    ("holder", "age", "driven"),
    [
        (B, 10.0, True),
        (B, 89.0, True),
        (B, 91.0, False),
        (A, 10_000.0, True),
        (replace(A, pid=99), 1.0, False),
    ],
    ids=["young", "just young enough", "old", "old, and its process lives here", "young, and its process is gone"],
)
async def test_one_look_tells_whether_somebody_drives(holder: Holder, age: float, driven: bool) -> None:
    assert await driven_by(holder, START - age, lambda rig: rig.lease(replace(A, pid=12))) is driven


async def test_nobody_drives_a_workspace_that_nobody_has_ever_driven() -> None:
    async with a_rig() as rig:
        assert not await rig.lease().driven()
        assert "lease.json" not in rig.workspace.objects, "and to ask writes nothing"


class Wrong(MemoryWorkspace):
    """Answers one write as nobody should."""

    broken = False

    async def write(self, name: str, body: Mapping[str, Any], expected: str | None) -> str:
        if self.broken:
            self.broken = False
            raise KeyError("ETag")
        return await super().write(name, body, expected)


async def test_after_one_renewal_that_failed_the_lease_is_fresh_all_the_same() -> None:
    async with a_rig() as rig:
        lease = rig.lease()
        await lease.take(wait=True)
        rig.workspace.down = True
        await rig.clock.advance(31.0)
        rig.workspace.down = False
        for _ in range(30):
            await rig.clock.advance(1.0)
            lease.must_be_fresh()
        assert lease.held
        assert len(rig.warned) == 1


async def test_an_error_that_nobody_foresaw_is_warned_of_and_the_lease_is_renewed_the_next_time() -> None:
    workspace = Wrong()
    async with a_rig(workspace) as rig:
        lease = rig.lease()
        await lease.take(wait=True)
        workspace.broken = True
        await rig.clock.advance(31.0)
        assert any("could not be renewed: KeyError('ETag')" in warning for warning in rig.warned)
        await rig.clock.advance(600.0)
        lease.must_be_fresh()
        assert lease.held


async def test_a_lease_that_nobody_renews_any_more_is_not_held() -> None:
    async with a_rig() as rig:
        lease = rig.lease()
        await lease.take(wait=True)
        rig.kill(lease)
        await rig.clock.advance(0.0)
        assert not lease.held, "so that the next measurement takes it again"
        await lease.give_back()


class Dial:
    """A clock whose time of day somebody sets, while `elapsed` goes on as time does."""

    def __init__(self, clock: HandClock) -> None:
        self._clock, self.set_by = clock, 0.0

    def now(self) -> float:
        return self._clock.now() + self.set_by

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


@pytest.mark.parametrize("step", [-7200.0, -60.0, 60.0, 7200.0], ids=lambda step: f"{step:.0f} s")
async def test_whoever_sets_the_clock_takes_no_lease_from_the_living_and_makes_none_look_fresh(step: float) -> None:
    async with a_rig() as rig:
        dial = Dial(rig.clock)

        def lease(holder: Holder) -> Lease:
            one = Lease(rig.workspace, dial, holder, lambda other: True, rig.warned.append, rig.clock.now)
            rig._leases.append(one)
            return one

        driver, waiter = lease(A), lease(B)
        await driver.take(wait=True)
        waiting = asyncio.create_task(waiter.take(wait=True))
        await rig.clock.advance(10.0)
        dial.set_by = step
        await rig.clock.advance(10.0)
        assert not waiting.done()
        driver.must_be_fresh()
        await rig.clock.advance(20.0)
        assert (await rig.document())["renewed_at"] == START + 30.0 + step, "people read it by the clock on the wall"
        rig.workspace.down = True
        await rig.clock.advance(46.0)
        dial.set_by = 0.0
        with pytest.raises(OperatorError, match="not fresh"):
            driver.must_be_fresh()
        waiting.cancel()
        await asyncio.wait({waiting})


def test_elapsed_time_does_not_go_back() -> None:
    earlier = elapsed()
    assert 0.0 < earlier <= elapsed()


def test_a_living_process_that_the_kernel_does_not_tell_of_is_taken_for_the_holder(tmp_path: Path) -> None:
    parent = replace(me(), pid=os.getppid(), started="12345")
    assert not lives(parent), "another process has its id now"
    assert lives(parent, processes=tmp_path), "hidden: it is there, and it may be the holder"
    (tmp_path / str(parent.pid) / "stat").mkdir(parents=True)
    assert lives(parent, processes=tmp_path), "and so when its file cannot be read"
    for pid in (0, -1, 2**22 + 1, 2**70):
        assert not lives(replace(parent, pid=pid), processes=tmp_path)


def test_this_process_lives_and_another_with_its_reused_id_does_not() -> None:
    assert lives(me())
    assert not lives(replace(me(), started="0"))
    assert not lives(replace(me(), pid=2**22 + 1))
    assert me().pid == os.getpid()


def test_another_process_of_this_host_is_known_by_its_start() -> None:
    parent = replace(me(), pid=os.getppid(), started=_started_of(os.getppid()))
    assert lives(parent)
    assert not lives(replace(parent, started="1"))


def _started_of(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[19]


def test_a_host_is_where_a_process_id_means_something_and_people_are_told_its_name() -> None:
    host, _, space = me().host.partition("/")
    assert host == socket.gethostname()
    assert space, "the machine's boot and the container"
    assert str(me()) == f"process {os.getpid()} on {host}"
