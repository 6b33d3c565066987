"""The workspace's promises, kept by S3Workspace on a real S3 server and by the double that the policy's tests use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from servo_emr.aws.door import Door
from servo_emr.aws.workspace import S3Workspace
from servo_emr.domain.errors import Conflict, OperatorError, Reason, RunError, TooLarge
from servo_emr.domain.ports import Workspace
from servo_emr.domain.run import RunRecord
from tests.support.memory import MemoryWorkspace
from tests.unit.test_run import RECORD

DAY = 86_400.0
NOON = 1_795_003_200.0
"""2026-11-18 12:00 UTC."""


@pytest.fixture(scope="module")
def door() -> Door:
    """One for all tests, since its clients take a while to make; it makes them when they are first used."""
    return Door("us-east-1")


@pytest.fixture(params=["s3", "s3 without a prefix", "memory"])
def make(request: pytest.FixtureRequest, door: Door) -> Callable[[], Workspace]:
    """Makes workspaces on one and the same prefix, as servos of different processes would."""
    if request.param == "memory":
        shared = MemoryWorkspace()
        return lambda: shared
    request.getfixturevalue("s3")
    uri = "s3://acme-servo/nightly/" if request.param == "s3" else "s3://acme-servo"
    return lambda: S3Workspace(door, uri)


def record(day: int, suffix: str = "00000001", **changes: Any) -> RunRecord:
    run_id = f"202611{18 + day:02}t120000-{suffix}"
    return replace(RECORD, run_id=run_id, created_at=NOON + day * DAY, **changes)


async def test_a_document_is_written_once_and_read_back_as_it_was(make: Callable[[], Workspace]) -> None:
    workspace = make()
    assert await workspace.document("staged") is None
    body = {"values": {"core.replicas": 4}, "text": "ø \U0001f600 \udce9", "none": None, "list": [1, 2.5, True]}
    version = await workspace.write("staged", body, None)
    found = await make().document("staged")
    assert found is not None
    assert (found.body, found.version) == (body, version)


async def test_a_document_that_is_there_is_not_made_again(make: Callable[[], Workspace]) -> None:
    workspace = make()
    await workspace.write("staged", {"n": 1}, None)
    with pytest.raises(Conflict):
        await make().write("staged", {"n": 2}, None)
    found = await workspace.document("staged")
    assert found is not None
    assert found.body == {"n": 1}


async def test_a_write_replaces_only_the_version_that_its_writer_has_seen(make: Callable[[], Workspace]) -> None:
    workspace = make()
    first = await workspace.write("staged", {"n": 1}, None)
    second = await workspace.write("staged", {"n": 2}, first)
    assert first != second
    with pytest.raises(Conflict):
        await workspace.write("staged", {"n": 3}, first)
    await workspace.write("staged", {"n": 4}, second)
    found = await workspace.document("staged")
    assert found is not None
    assert found.body == {"n": 4}


async def test_a_write_over_what_is_not_there_is_a_conflict(make: Callable[[], Workspace]) -> None:
    with pytest.raises(Conflict):
        await make().write("staged", {"n": 1}, '"0123456789abcdef0123456789abcdef"')


async def test_of_many_writers_of_one_version_exactly_one_wins(make: Callable[[], Workspace]) -> None:
    first = await make().write("staged", {"n": 0}, None)
    answers = await asyncio.gather(
        *(make().write("staged", {"n": n}, first) for n in range(1, 6)), return_exceptions=True
    )
    won = [n for n, answer in enumerate(answers, start=1) if isinstance(answer, str)]
    assert len(won) == 1
    assert all(isinstance(answer, (str, Conflict)) for answer in answers)
    found = await make().document("staged")
    assert found is not None
    assert found.body == {"n": won[0]}


async def test_all_who_ask_at_once_get_the_same_identity(make: Callable[[], Workspace]) -> None:
    identities = await asyncio.gather(*(make().identity() for _ in range(6)))
    assert len(set(identities)) == 1
    assert " " not in identities[0]
    assert await make().identity() == identities[0]


async def test_a_record_is_saved_replaced_and_read_back(make: Callable[[], Workspace]) -> None:
    workspace = make()
    begun = record(0, message="begun \udce9")
    assert await workspace.record(begun.run_id) is None
    version = await workspace.save(begun, None)
    version = await workspace.save(replace(begun, message="done"), version)
    assert await make().record(begun.run_id) == (replace(begun, message="done"), version)
    with pytest.raises(Conflict):
        await workspace.save(begun, None)


async def test_records_come_newest_first_and_since_leaves_out_earlier_days(make: Callable[[], Workspace]) -> None:
    workspace = make()
    days = [record(day, f"{n:08}") for n, day in enumerate([2, 0, 1, 2, 0])]
    for one in days:
        await workspace.save(one, None)
    newest_first = sorted((one.run_id for one in days), reverse=True)
    assert [one.run_id async for one in workspace.records()] == newest_first
    since = [one.run_id async for one in workspace.records(since=NOON + DAY + 3600)]
    assert since == newest_first[:3], "the whole UTC day of `since`, and later ones"
    assert [one async for one in workspace.records(since=NOON + 9 * DAY)] == []


async def test_artefacts_are_kept_by_run_and_name(make: Callable[[], Workspace]) -> None:
    workspace, run_id = make(), RECORD.run_id
    assert await workspace.get(run_id, "result.json") is None
    await workspace.put(run_id, "result.json", b"\x00\xff")
    await workspace.put(run_id, "result.json", b"again")
    assert await make().get(run_id, "result.json") == b"again"
    assert await workspace.get(record(1).run_id, "result.json") is None


async def test_a_large_artefact_is_refused_by_its_size(make: Callable[[], Workspace]) -> None:
    workspace, run_id = make(), RECORD.run_id
    for size in (0, 9, 10):
        await workspace.put(run_id, "output.ipynb", b"x" * size)
        assert await workspace.get(run_id, "output.ipynb", limit=10) == b"x" * size
    for size in (11, 12):
        await workspace.put(run_id, "output.ipynb", b"x" * size)
        with pytest.raises(TooLarge) as refused:
            await workspace.get(run_id, "output.ipynb", limit=10)
        assert (refused.value.size, refused.value.limit) == (size, 10)
    assert await workspace.get(run_id, "none", limit=10) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "/x"])
async def test_an_artefact_stays_in_its_runs_folder(make: Callable[[], Workspace], name: str) -> None:
    workspace = make()
    with pytest.raises(ValueError, match="cannot be a key"):
        await workspace.put(RECORD.run_id, name, b"")
    with pytest.raises(ValueError, match="cannot be a key"):
        await workspace.get(RECORD.run_id, name)


@pytest.mark.parametrize("run_id", ["", "..", "../../x", RECORD.run_id + "/..", RECORD.run_id + "\n"])
async def test_what_is_no_run_id_never_becomes_a_key(make: Callable[[], Workspace], run_id: str) -> None:
    workspace = make()
    with pytest.raises(ValueError, match=r"."):
        await workspace.put(run_id, "x", b"")
    with pytest.raises(ValueError, match="is not a run id"):
        await workspace.record(run_id)
    with pytest.raises(ValueError, match="is not a run id"):
        await workspace.save(replace(RECORD, run_id=run_id), None)


async def test_an_object_that_the_user_named_and_that_is_not_there_is_a_matter_for_the_operator(
    make: Callable[[], Workspace],
) -> None:
    with pytest.raises(OperatorError, match=r"s3://acme-servo/none\.ipynb does not exist") as missing:
        await make().read("s3://acme-servo/none.ipynb")
    assert missing.value.reason is Reason.NOTEBOOK
    assert missing.value.remedy
    assert "none.ipynb" not in missing.value.public


async def test_nothing_but_the_prefix_is_written_and_records_are_one_line_of_json_each(s3: Any, door: Door) -> None:
    s3.put_object(Bucket="acme-servo", Key="nightly-other/data", Body=b"theirs")
    workspace = S3Workspace(door, "s3://acme-servo/nightly")
    await workspace.identity()
    await workspace.save(record(0), None)
    await workspace.put(RECORD.run_id, "job.json", b"{}")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="acme-servo")["Contents"]]
    assert keys == [
        "nightly-other/data",
        "nightly/records/dt=2026-11-18/20261118t120000-00000001.json",
        f"nightly/runs/{RECORD.run_id}/job.json",
        "nightly/workspace.json",
    ]
    text = s3.get_object(Bucket="acme-servo", Key=keys[1])["Body"].read().decode()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert json.loads(text)["schema"] == 1


async def test_a_write_that_was_sent_twice_because_its_answer_was_lost_is_no_conflict(s3: Any, door: Door) -> None:
    workspace = S3Workspace(door, "s3://acme-servo/nightly")
    first = await workspace.write("staged", {"n": 1}, None)
    assert await workspace.write("staged", {"n": 1}, None) == first


async def test_records_beyond_one_page_are_all_listed(s3: Any, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    workspace = S3Workspace(door, "s3://acme-servo/nightly")
    for n in range(7):
        s3.put_object(Bucket="acme-servo", Key=f"nightly/records/dt=2026-11-17/other-{n}", Body=b"")
    await workspace.save(record(0), None)
    assert [one.run_id async for one in workspace.records()] == [record(0).run_id]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is not a JSON object"),
        (b'{"schema": 1, "run_', "is not a JSON object"),
        (b"[1]", "is not a JSON object"),
        (b"\xff\xfe", "is not a JSON object"),
        (b'{"schema": 2}', "has schema 2, this version reads 1"),
        (b'{"schema": 1}', "cannot be read"),
    ],
)
async def test_a_record_that_cannot_be_read_names_itself_and_the_remedy(
    s3: Any, door: Door, body: bytes, words: str
) -> None:
    workspace = S3Workspace(door, "s3://acme-servo/nightly")
    key = "nightly/records/dt=2026-11-18/20261118t120000-00000001.json"
    s3.put_object(Bucket="acme-servo", Key=key, Body=body)
    with pytest.raises(OperatorError, match=words) as error:
        await workspace.record(record(0).run_id)
    assert error.value.reason is Reason.BUCKET
    assert f"s3://acme-servo/{key}" in str(error.value)
    assert "move it away" in error.value.remedy
    with pytest.raises(OperatorError, match=words):
        [one async for one in workspace.records()]


@pytest.mark.parametrize("schema", [2, 0, "1", None, True])
async def test_a_document_of_another_schema_is_refused_by_name_and_stays(make: Any, schema: object) -> None:
    workspace = make()
    version = await workspace.write("staged", {"schema": schema, "values": {}}, None)
    with pytest.raises(OperatorError, match=r"staged\.json has schema .*, this version reads 1") as error:
        await workspace.document("staged")
    assert error.value.reason is Reason.BUCKET
    assert f"{workspace.uri}/staged.json has schema {schema!r}" in str(error.value)
    assert "move it away" in error.value.remedy
    assert await workspace.write("staged", {"schema": 1, "values": {}}, version), "nobody has changed it"


@pytest.mark.parametrize(
    "body", [{}, {"id": ""}, {"id": "a b"}, {"id": ["cafe"]}, {"id": "../x"}, {"id": "é"}], ids=str
)
async def test_a_workspace_without_an_id_of_ours_is_not_given_another(s3: Any, door: Door, body: Any) -> None:
    s3.put_object(Bucket="acme-servo", Key="nightly/workspace.json", Body=json.dumps({"schema": 1, **body}).encode())
    with pytest.raises(OperatorError, match=r"workspace\.json holds no id"):
        await S3Workspace(door, "s3://acme-servo/nightly").identity()


@pytest.mark.parametrize("verb", ["identity", "document", "write", "put", "get", "records", "read"])
async def test_a_missing_bucket_is_a_matter_for_the_operator_and_the_remedy_is_named(
    endpoint: str, door: Door, verb: str
) -> None:
    workspace = S3Workspace(door, "s3://nobody-has-this/nightly")
    arguments: dict[str, tuple[Any, ...]] = {
        "document": ("staged",),
        "write": ("staged", {}, None),
        "put": (RECORD.run_id, "x", b""),
        "get": (RECORD.run_id, "x"),
        "read": ("s3://nobody-has-this/x.ipynb",),
    }
    with pytest.raises(RunError, match="NoSuchBucket") as error:
        asked = getattr(workspace, verb)(*arguments.get(verb, ()))
        if verb == "records":
            [one async for one in asked]
        else:
            await asked
    assert error.value.reason is Reason.BUCKET
    assert "Make the bucket" in error.value.remedy
    assert "nobody-has-this" not in error.value.public


async def test_one_record_that_cannot_be_read_is_an_error_unless_somebody_wants_to_be_told(s3: Any, door: Door) -> None:
    workspace = S3Workspace(door, "s3://acme-servo/nightly")
    await workspace.save(record(1), None)
    key = "nightly/records/dt=2026-11-18/20261118t120000-00000001.json"
    s3.put_object(Bucket="acme-servo", Key=key, Body=b'{"schema": 1, "run_')
    with pytest.raises(OperatorError, match="not a JSON object"):
        _ = [one async for one in workspace.records()]
    told: list[RunError] = []
    assert [one.run_id async for one in workspace.records(unreadable=told.append)] == [record(1).run_id]
    assert key in str(told[0])


async def test_another_s3_than_the_emulators_is_not_called_one(s3: Any, door: Door) -> None:
    workspace = S3Workspace(door, "s3://acme-servo/nightly")
    await workspace.identity()
    assert workspace.emulated is False


class Counting(Door):
    """A door that counts how many records are being read at once, and lets the later ones be read first."""

    def __init__(self) -> None:
        super().__init__("us-east-1")
        self.now = self.most = 0
        self.read: list[str] = []

    async def each(self, service: str, operation: str, **params: Any) -> list[Any]:
        self.now += len(params["many"])
        self.read += [one["Key"] for one in params["many"]]
        self.most = max(self.most, self.now)
        answers = await super().each(service, operation, **params)
        for _ in range(70 - self.now):
            await asyncio.sleep(0)
        self.now -= len(answers)
        return answers


async def test_records_are_read_some_at_a_time_and_come_in_their_order_all_the_same(s3: Any) -> None:
    door = Counting()
    workspace = S3Workspace(door, "s3://acme-servo/nightly")
    made = [record(0, f"{n:08}") for n in range(70)]
    for one in made:
        body = json.dumps(one.to_json()).encode() if one is not made[50] else b"{"
        s3.put_object(Bucket="acme-servo", Key=f"nightly/records/dt=2026-11-18/{one.run_id}.json", Body=body)
    told: list[RunError] = []
    found = [one.run_id async for one in workspace.records(unreadable=told.append)]
    assert found == [one.run_id for one in reversed(made) if one is not made[50]]
    assert door.most == 64
    assert len(told) == 1
    before_it = []
    with pytest.raises(OperatorError, match="not a JSON object"):
        async for one in workspace.records():
            before_it.append(one.run_id)
    assert before_it == found[:19], "the error comes in its place"


async def test_of_records_that_were_read_before_only_those_that_have_changed_are_read_again(s3: Any) -> None:
    door = Counting()
    workspace, other = (
        S3Workspace(door, "s3://acme-servo/nightly"),
        S3Workspace(Door("us-east-1"), "s3://acme-servo/nightly"),
    )
    made = [record(0, f"{n:08}") for n in range(20)]
    versions = [await other.save(one, None) for one in made]
    assert [one async for one in workspace.records()] == made[::-1]
    door.read.clear()
    assert [one async for one in workspace.records()] == made[::-1]
    assert door.read == []
    changed, added = replace(made[7], warnings=("changed",)), record(1)
    await other.save(changed, versions[7])
    await other.save(added, None)
    expected = [added, *made[:7:-1], changed, *made[6::-1]]
    assert [one async for one in workspace.records()] == expected
    assert [key.rsplit("/", 1)[-1] for key in door.read] == [f"{one.run_id}.json" for one in (added, changed)]
    s3.delete_object(Bucket="acme-servo", Key=f"nightly/records/dt=2026-11-18/{made[3].run_id}.json")
    assert [one async for one in workspace.records()] == [one for one in expected if one is not made[3]]


async def test_records_are_remembered_up_to_a_limit_and_are_whole_beyond_it(s3: Any) -> None:
    door = Counting()
    workspace = S3Workspace(door, "s3://acme-servo/nightly")
    made = [record(0, f"{n:08}", message="m" * (3 << 20)) for n in range(4)]
    for one in made:
        await workspace.save(one, None)
    for _ in range(2):
        assert [one async for one in workspace.records()] == made[::-1]
    assert len(door.read) == 4 + 2, "two of them fit"
