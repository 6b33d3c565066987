"""F29 and F30: the servo's own records and its rivals. F27 and F28 are where processes are killed: tests/wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from typer.testing import CliRunner

from servo_emr.cli.main import app
from tests.support.proxy import Call, named
from tests.support.rig import BUCKET, Rig

Make = Callable[..., Rig]
Spoil = Callable[[bytes], bytes]


def truncated(body: bytes) -> bytes:
    return body[: len(body) // 2]


def of_another_version(body: bytes) -> bytes:
    return json.dumps({**json.loads(body), "schema": 2, "news": {"a": 1}}).encode()


def with_a_wrong_kind(body: bytes) -> bytes:
    return json.dumps({**json.loads(body), "created_at": "yesterday"}).encode()


SPOILT: dict[str, Spoil] = {
    "truncated by hand": truncated,
    "of another version": of_another_version,
    "with a text for a time": with_a_wrong_kind,
}


def spoil(scene: Rig, how: Spoil) -> tuple[str, bytes]:
    """The newest record made unreadable; its key in the workspace and what it is now."""
    (*_, key) = [key for key in scene.account.keys(f"{scene.workspace}/records") if key.endswith(".json")]
    place = f"{scene.workspace.removeprefix(f's3://{BUCKET}/')}/records/{key}"
    body = how(scene.account.read(f"s3://{BUCKET}/{place}"))
    scene.account["s3"].put_object(Bucket=BUCKET, Key=place, Body=body)
    return key, body


def run_of(key: str) -> str:
    return key.rsplit("/", 1)[-1].removesuffix(".json")


def listed() -> tuple[int, str, str]:
    """(exit status, output, errors) of `servo-emr runs`."""
    with ThreadPoolExecutor(1) as pool:  # a thread of its own, because a test's event loop is running here
        done = pool.submit(CliRunner(mix_stderr=False).invoke, app, ["runs"]).result()
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("name", SPOILT)
async def test_f29_a_record_that_cannot_be_read_is_named_kept_and_stops_launches_until_it_is_moved(
    rig: Make, name: str
) -> None:
    """Between runs: a decided record is spoilt; the start and the next measurement name it, `servo-emr runs` lists the
    others, nothing is launched, nothing written over it; moved away, all goes on."""
    scene = rig()
    await scene.cycle(["duration"])
    first = scene.records()[0]["run_id"]
    scene.shop.clock.now(scene.shop.emulator.now() + 2.0)  # run ids are times
    await scene.cycle(["duration"])
    key, body = spoil(scene, SPOILT[name])
    refused = await scene.cycle()
    assert (refused["status"], refused["reason"]) == ("failed", "operator/bucket")
    assert scene.log.count(run_of(key)) >= 2, "at the start, and when something was to be launched"
    assert len(scene.clusters()) == 2
    assert scene.account.read(f"{scene.workspace}/records/{key}") == body
    scene.config()
    status, out, err = listed()
    assert status == 0, err
    assert first in out
    assert run_of(key) in err
    assert scene.holds(spoilt=[run_of(key)]) == []
    scene.account["s3"].delete_object(
        Bucket=BUCKET, Key=f"{scene.workspace.removeprefix(f's3://{BUCKET}/')}/records/{key}"
    )
    assert (await scene.cycle(["duration"]))["status"] == "ok"


async def test_f29_a_record_that_is_spoilt_while_its_run_goes_on_costs_no_cluster_and_is_not_written_over(
    rig: Make,
) -> None:
    """In the job: the record is truncated by hand; the run is seen through, the record stays as somebody left it."""
    scene = rig()
    spoilt: list[tuple[str, bytes]] = []
    scene.in_phase("the job", lambda: spoilt.append(spoil(scene, truncated)))
    answer = await scene.cycle(["duration"])
    assert answer["status"] in ("ok", "failed")
    ((key, body),) = spoilt
    assert scene.account.read(f"{scene.workspace}/records/{key}") == body
    assert run_of(key) in scene.log
    assert scene.holds(spoilt=[run_of(key)]) == []


async def test_f29_a_cluster_whose_record_cannot_be_read_is_ended_by_the_next_start(rig: Make) -> None:
    """In the job, the servo gone: nobody can adopt what no record tells of, so that its cluster is ended, the record is
    named, and left."""
    scene = rig()
    scene.shop.faults({"kind": "stuck", "phase": "step"})
    async with scene.started() as connector:
        running = asyncio.create_task(scene.measure(connector))
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()

        def go(call: Call) -> None:
            scene.shop.proxy.down = True  # the servo can do nothing more, as if it were dead
            loop.call_soon_threadsafe(gone.set)

        scene.shop.proxy.trap("before", lambda call: call.operation == "ListSteps", go)
        await gone.wait()
        running.cancel()
        await asyncio.wait({running})
        scene.shop.proxy.down = False
    key, body = spoil(scene, truncated)
    assert any(c["Status"]["State"] in ("RUNNING", "WAITING") for c in scene.clusters())
    await scene.restart()
    assert scene.holds(spoilt=[run_of(key)]) == []
    assert run_of(key) in scene.log
    assert scene.account.read(f"{scene.workspace}/records/{key}") == body


CONFLICTS: dict[str, dict[str, Any]] = {
    "409": {"kind": "conflict"},
    "409 though it was written": {"kind": "conflict", "when": "after"},
    "412": {"kind": "error", "operation": "s3:PutObject", "code": "PreconditionFailed", "status": 412},
}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("409", "the intent"),
        ("412", "the intent"),
        ("409 though it was written", "a transition"),
        ("412", "a transition"),
        ("409", "the verdict"),
        ("409 though it was written", "the verdict"),
    ],
)
async def test_f29_a_conditional_write_that_is_refused_loses_no_run(rig: Make, name: str, write: str) -> None:
    """409 and 412 at the intent, at a transition and at the verdict: measured, or refused before the launch."""
    scene = rig()
    moment = {"the intent": "RunJobFlow", "a transition": "ListSteps", "the verdict": "ListInstances"}[write]
    fault = {**CONFLICTS[name], "occurrence": 1}
    if write == "the intent":
        matches: Callable[[Call], bool] = lambda call: call.operation == "PutObject" and "/records/" in call.key  # noqa: E731
        # Set while the first write of a record is on its way: it is the one that meets it.
        scene.shop.proxy.trap("before", matches, lambda call: scene.shop.faults(fault), drop=False)
    else:
        scene.shop.proxy.trap("after", named(moment), lambda call: scene.shop.faults(fault), drop=False)
    answer = await scene.cycle(["duration"])
    assert scene.shop.struck() == 1
    if answer["status"] != "ok":
        assert (write, answer["reason"]) == ("the intent", "operator/lease"), answer
        assert scene.clusters() == []
    assert scene.holds() == []


async def test_f30_a_workspace_that_another_servo_drives_is_left_to_it(rig: Make) -> None:
    """Before the launch: a living driver on another machine holds the lease; a one-shot measurement fails at once with
    `operator/lease`, launches nothing and changes nothing of the other's."""
    scene = rig()
    async with scene.started():
        place = f"{scene.workspace}/lease.json"
        held = json.loads(scene.account.read(place))
    other = {**held, "holder": {"host": "elsewhere", "pid": 7, "started": "1"}}
    key = place.removeprefix(f"s3://{BUCKET}/")
    scene.account["s3"].put_object(Bucket=BUCKET, Key=key, Body=json.dumps(other).encode())
    connector = scene.connector()
    answer = await scene.measure(connector)
    assert (answer["status"], answer["reason"]) == ("failed", "operator/lease")
    assert scene.clusters() == []
    assert json.loads(scene.account.read(place)) == other
    assert scene.holds() == []
