"""Records that many readers ask for are found together: when a bundle is written, and that it is never believed
where a record says otherwise."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from servo_emr.aws.bundles import LARGEST, added, fits, unbundled
from servo_emr.aws.door import Door
from servo_emr.aws.workspace import S3Workspace
from servo_emr.domain.errors import Reason, RunError, failure
from servo_emr.domain.run import RunRecord, RunState
from tests.unit.test_run import RECORD

URI = "s3://acme-servo/nightly"
BUNDLE = "nightly/bundles/2026-11.jsonl.gz"


class Seen(Door):
    """A door that notes which objects are read and written."""

    def __init__(self) -> None:
        super().__init__("us-east-1")
        self.single: list[str] = []
        self.put: list[str] = []
        self.got: list[str] = []

    async def each(self, service: str, operation: str, **params: Any) -> list[Any]:
        self.single += [one["Key"].rpartition("/")[2].removesuffix(".json") for one in params["many"]]
        return await super().each(service, operation, **params)

    async def call(self, service: str, operation: str, **params: Any) -> Any:
        noted = {"PutObject": self.put, "GetObject": self.got}.get(operation)
        if noted is not None:
            noted.append(params["Key"])
        return await super().call(service, operation, **params)


def run(number: int, month: int = 11, **changes: Any) -> RunRecord:
    return replace(RECORD, run_id=f"2026{month:02}18t120000-{number:08}", **changes)


async def save(*records: RunRecord) -> dict[str, str]:
    workspace = S3Workspace(Door("us-east-1"), URI)
    return {one.run_id: await workspace.save(one, None) for one in records}


async def read(door: Door) -> list[RunRecord]:
    return [one async for one in S3Workspace(door, URI).records()]


async def serve(door: Door) -> S3Workspace:
    """What a servo does before a launch."""
    workspace = S3Workspace(door, URI)
    _ = [one async for one in workspace.records()]
    await workspace.bundle()
    return workspace


async def test_who_reads_after_a_servo_finds_the_month_in_one_object(s3: Any) -> None:
    made = [run(n) for n in range(33)]
    await save(*made)
    servo, reader = Seen(), Seen()
    await serve(servo)
    assert servo.put == [BUNDLE]
    assert await read(reader) == made[::-1]
    assert (reader.got, reader.single, reader.put) == ([BUNDLE], [], [])


async def test_who_only_reads_writes_nothing(s3: Any) -> None:
    await save(*(run(n) for n in range(33)))
    reader = Seen()
    assert len(await read(reader)) == 33
    assert reader.put == []
    assert len(reader.single) == 33


@pytest.mark.parametrize(("count", "written"), [(31, []), (32, [BUNDLE])])
async def test_a_bundle_is_written_for_many_records_only(s3: Any, count: int, written: list[str]) -> None:
    await save(*(run(n) for n in range(count)))
    servo = Seen()
    await serve(servo)
    assert servo.put == written


async def test_a_few_records_are_read_without_asking_for_a_bundle(s3: Any) -> None:
    await save(*(run(n) for n in range(7)))
    reader = Seen()
    assert len(await read(reader)) == 7
    assert reader.got == []


async def test_what_has_changed_since_is_read_from_its_record_and_what_is_gone_is_gone(s3: Any) -> None:
    made = [run(n) for n in range(33)]
    versions = await save(*made)
    await serve(Seen())
    changed, added = replace(made[7], warnings=("changed",)), run(50)
    await S3Workspace(Door("us-east-1"), URI).save(changed, versions[changed.run_id])
    await save(added)
    s3.delete_object(Bucket="acme-servo", Key=f"nightly/records/dt=2026-11-18/{made[3].run_id}.json")
    reader = Seen()
    expected = [added, *made[:7:-1], changed, *made[6:3:-1], *made[2::-1]]
    assert await read(reader) == expected
    assert sorted(reader.single) == [changed.run_id, added.run_id]


async def test_a_servo_adds_to_its_bundle_what_has_come_since(s3: Any) -> None:
    made = [run(n) for n in range(33)]
    await save(*made)
    servo = Seen()
    workspace = await serve(servo)
    later = [run(n) for n in range(100, 132)]
    for some, written in ((later[:31], 1), (later[31:], 2)):
        await save(*some)
        _ = [record async for record in workspace.records()]
        await workspace.bundle()
        assert servo.put == [BUNDLE] * written
    reader = Seen()
    assert await read(reader) == [*later[::-1], *made[::-1]]
    assert reader.single == []


async def test_a_run_that_is_not_over_is_in_no_bundle(s3: Any) -> None:
    under_way = run(33, verdict=None, reason=None, state=RunState.RUNNING)
    await save(*(run(n) for n in range(33)), under_way)
    await serve(Seen())
    reader = Seen()
    assert len(await read(reader)) == 34
    assert reader.single == [under_way.run_id]


async def test_of_a_month_that_is_over_the_rest_is_bundled_and_a_handful_is_let_go(s3: Any) -> None:
    await save(*(run(n, 9) for n in range(7)), *(run(n, 10) for n in range(8)), run(1))
    servo = Seen()
    await serve(servo)
    assert servo.put == ["nightly/bundles/2026-10.jsonl.gz"]


ONE = {"20261101t120000-00000001": (b'{"n": 1}\n', '"v1"')}
TWO = {"20261102t120000-00000001": (b'{"n": 2}\n', '"v2"'), "20261103t120000-00000001": (b'{"n": 3}\n', '"v3"')}
WANTED = {run_id: version for run_id, (_, version) in {**ONE, **TWO}.items()}


def test_a_line_that_unpacks_without_end_is_not_read_to_its_end() -> None:
    head = b'{"schema": 1, "versions": {"a": "b"}}\n'
    assert unbundled(gzip.compress(head + bytes(9) + b"\n"), {"a": "b"}) == {"a": (bytes(9) + b"\n", "b")}
    assert unbundled(gzip.compress(head + bytes(LARGEST) + b"\n", 1), {"a": "b"}) == {}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="no gzip"),
        pytest.param(gzip.compress(b""), id="an empty member"),
        pytest.param(gzip.compress(b"[]\n"), id="a head that is a list"),
        pytest.param(gzip.compress(b'{"schema": 2, "versions": {}}\n'), id="another schema"),
        pytest.param(gzip.compress(b'{"schema": 1, "versions": []}\n'), id="versions that are a list"),
        pytest.param(gzip.compress(b'{"schema": 1, "versions": {"a": "b"}}\n'), id="a version without its record"),
        pytest.param(added(None, ONE)[:-9], id="cut short"),
        pytest.param(added(None, ONE) + added(None, TWO)[:-9], id="a second member cut short"),
        pytest.param(added(None, ONE) + b"garbage", id="garbage behind"),
        pytest.param(added(None, ONE)[:-5] + b"wrong", id="a wrong checksum"),
    ],
)
def test_what_is_no_bundle_holds_nothing_and_is_not_added_to(body: bytes) -> None:
    assert unbundled(body, {**WANTED, "a": "b"}) == {}
    assert unbundled(added(body, TWO), WANTED) == TWO


async def test_a_bundle_that_is_none_is_passed_by_and_written_anew(s3: Any) -> None:
    made = [run(n) for n in range(32)]
    await save(*made)
    s3.put_object(Bucket="acme-servo", Key=BUNDLE, Body=b"no bundle")
    servo, after = Seen(), Seen()
    await serve(servo)
    assert len(servo.single) == 32
    assert await read(after) == made[::-1]
    assert after.single == []


async def test_a_record_that_somebody_laid_out_otherwise_is_read_from_its_own_object(s3: Any) -> None:
    made = [run(n) for n in range(33)]
    await save(*made)
    key = f"nightly/records/dt=2026-11-18/{made[5].run_id}.json"
    s3.put_object(Bucket="acme-servo", Key=key, Body=json.dumps(made[5].to_json(), indent=1).encode())
    await serve(Seen())
    reader = Seen()
    assert await read(reader) == made[::-1]
    assert reader.single == [made[5].run_id]


async def test_a_broken_record_is_told_of_by_name_beside_a_bundle_too(s3: Any) -> None:
    made = [run(n) for n in range(33)]
    await save(*made)
    await serve(Seen())
    key = f"nightly/records/dt=2026-11-18/{made[5].run_id}.json"
    s3.put_object(Bucket="acme-servo", Key=key, Body=b'{"schema": 1, "run_')
    told: list[RunError] = []
    found = [one async for one in S3Workspace(Door("us-east-1"), URI).records(unreadable=told.append)]
    assert found == [one for one in reversed(made) if one is not made[5]]
    assert key in str(told[0])


class Refused(Seen):
    """A door that does not let bundles be read."""

    refuses = True

    async def call(self, service: str, operation: str, **params: Any) -> Any:
        if self.refuses and operation == "GetObject" and "/bundles/" in params["Key"]:
            raise failure(Reason.BUCKET, "s3:GetObject: AccessDenied.")
        return await super().call(service, operation, **params)


async def test_who_may_not_read_bundles_reads_the_records(s3: Any) -> None:
    made = [run(n) for n in range(33)]
    await save(*made)
    await serve(Seen())
    reader = Refused()
    assert await read(reader) == made[::-1]
    assert len(reader.single) == 33


async def test_what_a_bundle_holds_is_not_added_again_after_a_time_in_which_it_could_not_be_read(s3: Any) -> None:
    made = [run(n) for n in range(33)]
    await save(*made)
    await serve(Seen())
    shut = Refused()
    workspace = S3Workspace(shut, URI)
    assert len([one async for one in workspace.records()]) == 33
    shut.refuses = False
    await workspace.bundle()
    assert (len(shut.single), shut.put) == (33, [])


async def test_who_asks_for_the_last_days_finds_them_in_the_month_s_bundle(s3: Any) -> None:
    old = [replace(run(n), run_id=f"20261109t120000-{n:08}") for n in range(33)]
    made = [run(n) for n in range(33)]
    await save(*old, *made)
    await serve(Seen())
    reader = Seen()
    since = datetime(2026, 11, 18, tzinfo=UTC).timestamp()
    assert [one async for one in S3Workspace(reader, URI).records(since)] == made[::-1]
    assert (reader.got, reader.single) == ([BUNDLE], [])


async def test_an_object_too_large_for_a_bundle_is_passed_by_and_stays(s3: Any) -> None:
    await save(*(run(n) for n in range(33)))
    s3.put_object(Bucket="acme-servo", Key=BUNDLE, Body=bytes(LARGEST + 1))
    servo, reader = Seen(), Seen()
    await serve(servo)
    assert len(await read(reader)) == 33
    assert (len(servo.single), len(reader.single)) == (33, 33)
    assert s3.head_object(Bucket="acme-servo", Key=BUNDLE)["ContentLength"] == LARGEST + 1


async def test_what_waits_to_be_bundled_is_no_more_than_eight_megabytes(s3: Any) -> None:
    versions = await save(*(run(n, warnings=("w" * 200_000,)) for n in range(50)))
    await serve(Seen())
    held = unbundled(s3.get_object(Bucket="acme-servo", Key=BUNDLE)["Body"].read(), versions)
    assert len(held) == (8 << 20) // len(held[run(49).run_id][0])
    reader = Seen()
    assert len(await read(reader)) == 50
    assert len(reader.single) == 50 - len(held)


async def test_large_records_are_bundled_before_they_leave_no_room_for_others(s3: Any) -> None:
    await save(*(run(n, warnings=("w" * 300_000,)) for n in range(20)))
    servo = Seen()
    await serve(servo)
    assert servo.put == [BUNDLE]


class Overtaken(Door):
    """A door behind which somebody else writes the bundle right before we do."""

    def __init__(self, s3: Any, body: bytes) -> None:
        super().__init__("us-east-1")
        self._s3, self._body = s3, body

    async def call(self, service: str, operation: str, **params: Any) -> Any:
        if operation == "PutObject":
            self._s3.put_object(Bucket="acme-servo", Key=params["Key"], Body=self._body)
        return await super().call(service, operation, **params)


async def test_a_bundle_that_somebody_else_has_just_written_stays(s3: Any) -> None:
    await save(*(run(n) for n in range(33)))
    theirs = added(None, {})
    await serve(Overtaken(s3, theirs))
    assert s3.get_object(Bucket="acme-servo", Key=BUNDLE)["Body"].read() == theirs


def test_what_is_added_comes_back_and_the_same_records_give_the_same_bytes() -> None:
    body = added(added(None, ONE), TWO)
    assert added(added(None, ONE), dict(reversed(TWO.items()))) == body
    assert unbundled(body, WANTED) == {**ONE, **TWO}
    assert unbundled(added(None, {}), WANTED) == {}


def test_of_a_record_that_was_added_twice_the_wanted_version_is_held() -> None:
    (run_id,) = ONE
    again = {run_id: (b'{"n": 4}\n', '"v4"')}
    body = added(added(None, ONE), again)
    assert unbundled(body, {run_id: '"v4"'}) == again
    assert unbundled(body, {run_id: '"v1"'}) == ONE
    assert unbundled(body, {run_id: '"v5"'}) == {}


def test_a_bundle_that_has_become_too_large_begins_anew() -> None:
    noise = {"20261101t120000-00000001": (random.Random(7).randbytes(LARGEST).replace(b"\n", b"-") + b"\n", '"v1"')}
    assert unbundled(added(added(None, noise), TWO), WANTED) == TWO


@pytest.mark.parametrize(
    ("text", "whole"), [(b"{}\n", True), (b"{}", False), (b"{\n}\n", False), (b"{\r}\n", False), (b"", False)]
)
async def test_a_record_of_one_line_fits_a_bundle(text: bytes, whole: bool) -> None:
    assert fits(text) is whole
