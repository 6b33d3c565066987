"""The sweep: what should not be alive is named with its reason, ended and verified; nothing else is touched."""

from __future__ import annotations

from typing import Any

import pytest

from servo_emr.cli.live import Display
from servo_emr.cli.sweep import Stray, strays_of
from servo_emr.domain.errors import Verdict
from servo_emr.domain.ports import Handle
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.domain.spec import RunKey, plain
from tests.support.front import OTHER, Front, front
from tests.support.scripted_target import NEVER, Script, throttled

PREFIX = "20261118t110000-"


def key(front: Front, n: int) -> RunKey:
    return RunKey(front.world.workspace.uri, "cafe0123", f"{PREFIX}{n:08x}")


async def cluster(front: Front, n: int, **changes: Any) -> Handle:
    """A cluster of ours; its record when something is known of it."""
    await front.world.workspace.identity()
    handle = front.world.target.launch(front.config.to_spec(), key(front, n))
    if changes:
        fields: dict[str, Any] = {
            "run_id": handle.key.run_id,
            "workspace_id": "cafe0123",
            "created_at": front.world.clock.now(),
            "identity": "some",
            "spec": plain(front.config.to_spec()),
            "notebook_sha256": "",
            "cluster_id": handle.cluster_id,
            "state": RunState.RUNNING,
            "usd_per_hour": 1.2,
            **changes,
        }
        await front.world.workspace.save(RunRecord(**fields), None)
    return handle


async def found(front: Front, yes: bool) -> list[Stray]:
    strays = await strays_of(front.live, yes, Display(front.live.clock))
    assert strays is not None
    return strays


OVER = {"verdict": Verdict.JOB, "reason": "job/step-failed", "message": "it failed"}


async def test_in_a_workspace_that_was_never_used_there_is_nothing_and_nothing_is_written() -> None:
    async with front() as f:
        assert await strays_of(f.live, True, Display(f.live.clock)) is None
        assert f.world.workspace.objects == {}
        assert f.world.target.calls == []


async def test_what_should_not_be_alive_is_listed_with_its_age_its_dollars_and_why() -> None:
    async with front() as f:
        await cluster(f, 1)
        await cluster(f, 2, **OVER)
        await cluster(f, 3, **OVER, unreleased=True)
        await cluster(f, 4, state=RunState.RUNNING)
        await f.world.clock.sleep(600.0)
        strays = await found(f, yes=False)
        assert [stray.plain() for stray in strays] == [
            {
                "cluster_id": f"j-000{n}",
                "run_id": f"{PREFIX}0000000{n}",
                "age_s": 600.0,
                "usd_so_far": usd,
                "why": why,
                "outcome": "alive",
            }
            for n, usd, why in [
                (1, None, "no record tells of it"),
                (2, 0.2, "its run is over (job/step-failed)"),
                (3, 0.2, "its end could not be verified"),
                (4, 0.2, "no servo drives the workspace"),
            ]
        ]
        assert len(f.world.target.alive) == 4
        assert f.world.target.count("release") == 0


async def test_with_yes_they_are_ended_verified_and_put_on_record() -> None:
    async with front(Script(job=NEVER)) as f:
        await cluster(f, 1)
        await cluster(f, 2, state=RunState.RUNNING)
        await cluster(f, 3, **OVER, unreleased=True)
        strays = await found(f, yes=True)
        assert [stray.outcome for stray in strays] == ["ended"] * 3
        assert f.world.target.alive == []
        records = {record.cluster_id: record for record in f.world.workspace.all_records()}
        assert all(record.settled and record.cost is not None for record in records.values())
        assert (records["j-0002"].verdict, records["j-0003"].verdict) == (Verdict.ABORTED, Verdict.JOB)
        assert await found(f, yes=True) == []


async def test_the_run_of_a_servo_that_drives_is_left_alone() -> None:
    async with front(Script(job=NEVER)) as f:
        await cluster(f, 1, state=RunState.RUNNING)
        await cluster(f, 2, **OVER)
        driver = f.process(OTHER)
        await driver.lease.take(wait=False)
        strays = await found(f, yes=True)
        assert [stray.handle.cluster_id for stray in strays] == ["j-0002"]
        assert f.world.target.alive == ["j-0001"]
        await driver.lease.give_back()


async def test_what_only_looks_like_ours_is_not_touched() -> None:
    async with front(Script(job=NEVER)) as f:
        mine = await cluster(f, 1)
        f.world.target.launch(f.config.to_spec(), RunKey(f.world.workspace.uri, "cafe0124", mine.key.run_id))
        await cluster(f, 2)
        f.world.target.untagged.append("j-0003")
        strays = await found(f, yes=True)
        assert [stray.handle.cluster_id for stray in strays] == ["j-0001"]
        assert f.world.target.alive == ["j-0002", "j-0003"]


async def test_a_cluster_that_does_not_obey_is_said_to_be_alive(capsys: pytest.CaptureFixture[str]) -> None:
    async with front(Script(job=NEVER, obeys=NEVER)) as f:
        await cluster(f, 1)
        (stray,) = await found(f, yes=True)
        assert stray.outcome == "alive"
        assert "aws emr terminate-clusters" in capsys.readouterr().err


async def test_one_whose_record_cannot_be_read_is_named_and_the_others_are_ended_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with front(Script(job=NEVER)) as f:
        await cluster(f, 1, **OVER)
        await cluster(f, 2, **OVER)
        f.world.workspace.by_hand(f.world.workspace.key_of(f.world.workspace.all_records()[1]), b"{")
        strays = await found(f, yes=True)
        outcomes = {stray.handle.cluster_id: stray.outcome for stray in strays}
        assert outcomes == {"j-0001": "alive", "j-0002": "ended"}
        assert strays[0].why == "it cannot be told (operator/bucket)"
        assert "aws emr terminate-clusters --region us-east-1 --cluster-ids j-0001" in capsys.readouterr().err
        assert f.world.target.alive == ["j-0001"]


async def test_a_servo_that_starts_while_the_clusters_are_listed_keeps_its_run() -> None:
    async with front(Script(job=NEVER)) as f:
        await cluster(f, 1, state=RunState.RUNNING)
        await cluster(f, 2, state=RunState.RUNNING)
        driver, confirmed = f.process(OTHER), f.world.target.confirmed

        async def starts_meanwhile(handle: Handle) -> bool:
            if not driver.lease.held:
                await driver.lease.take(wait=False)
            return await confirmed(handle)

        f.world.target.confirmed = starts_meanwhile  # type: ignore[method-assign]
        assert await found(f, yes=True) == []
        assert f.world.target.alive == ["j-0001", "j-0002"]
        await driver.lease.give_back()


async def test_a_record_that_cannot_be_finished_keeps_none_of_the_others_from_being_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with front(Script(job=NEVER)) as f:
        await cluster(f, 1, **OVER)
        await cluster(f, 2, **OVER)
        read, reads = f.world.workspace.record, 0

        async def fails_the_second_time(run_id: str) -> Any:
            nonlocal reads
            reads += 1
            if reads == 2:
                raise throttled()
            return await read(run_id)

        f.world.workspace.record = fails_the_second_time  # type: ignore[method-assign]
        strays = await found(f, yes=True)
        assert [stray.outcome for stray in strays] == ["ended", "ended"]
        assert f.world.target.alive == []
        assert "j-0001 has ended, and its record could not be finished" in capsys.readouterr().err


@pytest.mark.parametrize("looks_fail", [False, True])
async def test_a_cluster_that_is_ending_already_is_not_said_to_be_alive(looks_fail: bool) -> None:
    async with front(Script(job=NEVER, obeys=10.0, ending=600.0)) as f:
        await cluster(f, 1, **OVER)
        await f.world.target.release(await cluster(f, 2, **OVER))
        await f.world.clock.sleep(60.0)
        if looks_fail:
            f.world.target.script.failing_looks = lambda since: throttled()
        strays = await found(f, yes=False)
        assert [stray.outcome for stray in strays] == ["alive", "alive" if looks_fail else "ending"]
