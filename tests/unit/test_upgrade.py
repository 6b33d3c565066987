"""What earlier versions left is read, shown, gone on with and not changed; what a later one left is refused by name."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import servo

from servo_emr.aws.bundles import unbundled
from servo_emr.cli.runs import row
from servo_emr.cli.show import page
from servo_emr.domain.errors import OperatorError, Reason, Verdict
from servo_emr.domain.run import SCHEMA, RunRecord, RunState
from servo_emr.domain.schemas import SCHEMAS, stamped
from servo_emr.domain.spec import RunKey, spec_from_json
from servo_emr.lifecycle import breaker
from servo_emr.optimizer.study import SCHEMA as STUDY_SCHEMA
from servo_emr.optimizer.study import Study, StudyError
from servo_emr.optimizer.trial import Attempt
from tests.support.front import Front, front
from tests.support.memory import MemoryWorkspace
from tests.support.search import APPLICATION, SETTINGS
from tests.support.simclock import SimClock
from tests.support.written import (
    BUNDLE,
    DECIDED,
    LEFT,
    WORKSPACE,
    documents,
    left,
    put_into,
    records,
    studies,
    study_at,
)

NOW = 1_795_997_000.0
"""Some minutes after the last word of what was left."""


def known(document: Any, written: Any) -> Any:
    """A document without what `written` has no member for: later versions add members."""
    if isinstance(document, Mapping) and isinstance(written, Mapping) and written:
        return {name: known(value, written[name]) for name, value in document.items() if name in written}
    if isinstance(document, list) and isinstance(written, list) and len(document) == len(written):
        return [known(*pair) for pair in zip(document, written, strict=True)]
    return document


def upgraded(f: Front) -> dict[str, bytes]:
    """A world in which an earlier version's servo has just been killed; what it left, by key."""
    put_into(f.world.workspace, lease=False)
    f.world.clock._now = NOW
    record = left()
    spec = spec_from_json(record.spec)
    made = f.world.target.launch(spec, RunKey(f.world.workspace.uri, record.workspace_id, record.run_id))
    f.world.target.clusters[-1].handle = replace(made, cluster_id=str(record.cluster_id))
    return dict(f.world.workspace.objects)


@pytest.mark.parametrize("run_id", [*DECIDED, LEFT])
def test_a_record_of_the_version_before_is_read_whole(run_id: str) -> None:
    written = records()[run_id]
    record = RunRecord.from_json(written)
    assert known(record.to_json(), written) == {**written, "schema": SCHEMA}
    assert record.verdict == (Verdict(DECIDED[run_id]) if run_id in DECIDED else None)
    assert spec_from_json(record.spec).cluster.release_label == "emr-7.1.0"
    assert run_id in page(record)
    assert run_id in row(record, NOW).values()


async def test_a_run_that_the_version_before_left_is_ended_and_the_next_measurement_answered() -> None:
    async with front() as f:
        before = upgraded(f)
        measured = await f.connector.measure()
        assert {"duration", "cost"} <= {reading.metric.name for reading in measured.readings}
        objects = f.world.workspace.objects
        ended = next(one for one in f.world.workspace.all_records() if one.run_id == LEFT)
        assert (ended.verdict, ended.state, ended.cluster_id) == (Verdict.ABORTED, RunState.VERIFIED, "j-AA6AEYSG1JMJ7")
        assert f.world.target.alive == []
        changed = {key for key, body in before.items() if objects[key] != body}
        assert changed == {f.world.workspace.key_of(ended)}
        new = {key for key in objects.keys() - before.keys() if key.startswith("records/")}
        assert len(new) == 1


async def test_what_the_version_before_staged_is_what_runs_and_is_changed() -> None:
    async with front() as f:
        upgraded(f)
        assert (await f.live.stage.current()).values == documents()["staged"]["values"]
        await f.connector.adjust([servo.Adjustment(component_name="core", setting_name="replicas", value="6")])
        document = await f.world.workspace.document("staged")
        assert document is not None
        assert document.body["values"] == {**documents()["staged"]["values"], "core.replicas": 6}


async def test_the_breaker_counts_from_the_resume_that_the_version_before_wrote() -> None:
    workspace, clock = MemoryWorkspace(), SimClock(NOW)
    put_into(workspace, lease=True)
    assert await breaker.resumed_at(workspace) == documents()["breaker"]["resumed_at"]
    forgiven = await breaker.resume(workspace, clock)
    assert forgiven == breaker.Standing()
    assert await breaker.resumed_at(workspace) == NOW


async def test_a_lease_that_the_version_before_holds_is_respected() -> None:
    async with front() as f:
        put_into(f.world.workspace, lease=True)
        with pytest.raises(OperatorError, match="process 1963 on another-host drives"):
            await f.live.lease.take(wait=False)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
async def test_a_document_of_a_later_schema_is_refused_by_name_and_kept(name: str) -> None:
    async with front() as f:
        body = json.dumps({**documents()[name], "schema": SCHEMAS[name] + 1}).encode()
        f.world.workspace.by_hand(f"{name}.json", body)
        why = rf"{name}\.json has schema {SCHEMAS[name] + 1}, this version reads {SCHEMAS[name]}\."
        with pytest.raises(OperatorError, match=why) as refused:
            await f.world.workspace.document(name)
        assert refused.value.reason is Reason.BUCKET
        assert "Use the version of servo_emr that wrote it" in refused.value.remedy
        if name in ("lease", "breaker", "workspace", "staged"):  # a measurement rests on these
            with pytest.raises(servo.EventError) as measured:
                await f.connector.measure()
            assert measured.value.reason == str(Reason.BUCKET)
            assert f.world.target.count("submit") == 0
        if name == "staged":
            with pytest.raises(OperatorError, match=why):
                await f.live.stage.adjust([("core.replicas", 6)])
        assert f.world.workspace.objects[f"{name}.json"] == body


Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda body: {**body, "schema": SCHEMA + 1}, f"has schema {SCHEMA + 1}, this version reads {SCHEMA}"),
        (lambda body: {**body, "invented_later": 1}, "has invented_later, of which only a newer version knows"),
    ],
    ids=["a later schema", "a later field"],
)
async def test_a_record_of_a_later_version_is_refused_by_name_and_kept(change: Change, why: str) -> None:
    async with front() as f:
        upgraded(f)
        key = next(key for key in f.world.workspace.objects if LEFT in key)
        body = json.dumps(change(records()[LEFT])).encode()
        f.world.workspace.by_hand(key, body)
        with pytest.raises(OperatorError, match=why):
            await f.world.workspace.record(LEFT)
        with pytest.raises(servo.EventError) as refused:
            await f.connector.measure()
        assert refused.value.reason == str(Reason.BUCKET)
        assert f.world.workspace.objects[key] == body
        assert f.world.target.count("submit") == 0


def test_a_bundle_of_the_version_before_gives_back_its_records_to_the_byte() -> None:
    wanted = json.loads(BUNDLE.read_bytes().splitlines()[0])["versions"]
    held = unbundled(gzip.compress(BUNDLE.read_bytes()), wanted)
    assert {run_id: text for run_id, (text, _) in held.items()} == {
        path.stem: path.read_bytes() for path in WORKSPACE.glob("records/*/*.json") if path.stem in DECIDED
    }
    assert held[next(iter(DECIDED))][1] == '"f42551e1752be5cc272b397a09820b7b"'


@pytest.mark.parametrize("path", studies(), ids=lambda path: path.stem)
def test_a_study_of_an_earlier_version_goes_on(path: Path, tmp_path: Path) -> None:
    url = study_at(path, tmp_path)
    study = Study.open(url, APPLICATION)
    assert study.recall("seed") == 7
    assert [one.outcome and one.outcome.state for one in study.trials] == [
        "done",
        "infeasible",
        "censored",
        "cancelled",
        None,
    ]
    running = study.running
    assert running is not None
    assert (running.uid, running.plan.settings) == ("u9", SETTINGS[1])
    study.again(running, Attempt("u9", "environment/spot", "gone", None, 0.0, 50.0))
    assert [one.uid for one in Study.open(url, APPLICATION).trials[4].attempts] == ["u9"]


@pytest.mark.parametrize("path", studies(), ids=lambda path: path.stem)
def test_a_study_of_a_later_schema_is_refused_by_name_and_kept(path: Path, tmp_path: Path) -> None:
    url = study_at(path, tmp_path)
    file = url.removeprefix("sqlite:///")
    later = STUDY_SCHEMA + 1
    with sqlite3.connect(file) as connection:
        connection.execute(
            "UPDATE study_user_attributes SET value_json = ? WHERE key = 'servo_emr_schema'", (str(later),)
        )
    connection.close()
    before = dumped(file)
    with pytest.raises(StudyError, match=f"{APPLICATION}.* has schema {later}; .*reads schema {STUDY_SCHEMA}"):
        Study.open(url, APPLICATION)
    assert dumped(file) == before


def dumped(file: str) -> list[str]:
    connection = sqlite3.connect(file)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def test_every_kind_of_document_was_written_by_the_version_before_and_says_its_schema() -> None:
    assert {name: body["schema"] for name, body in documents().items()} == dict.fromkeys(SCHEMAS, 1)
    assert {body["schema"] for body in records().values()} == {1}
    assert stamped("lease", holder=None) == {"schema": SCHEMAS["lease"], "holder": None}
