"""The checker of the promise finds nothing where it holds, and each kind of violation where it does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.promise import Aftermath, Surroundings, broken

RUN, SECOND = "20261128t080000-aaaaaaaa", "20261128t090000-bbbbbbbb"
BEGIN = datetime(2026, 11, 28, 8, tzinfo=UTC)
FOREIGN = {"alive": True, "name": "servo-emr 0f0f0f0f x", "protected": False, "tags": [], "steps": []}


def cluster(cluster_id: str, run_id: str, state: str = "TERMINATED", begin: float = 0, end: float = 1800) -> Any:
    times = {"CreationDateTime": BEGIN + timedelta(seconds=begin)}
    if state.startswith("TERMINATED"):
        times["EndDateTime"] = BEGIN + timedelta(seconds=end)
    return {"Id": cluster_id, "Name": f"servo-emr cafe0123 {run_id}", "Status": {"State": state, "Timeline": times}}


def record(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "schema": 1,
        "run_id": RUN,
        "cluster_id": "j-1",
        "cmd_uid": "cmd-1",
        "verdict": "succeeded",
        "reason": "success",
        "message": "",
        "metrics": {"duration": 900.0},
        "ended_at": 1.0,
        "answered_at": 2.0,
        "state": "verified",
        "unreleased": False,
    }
    return {**body, **changes}


def answer(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "cmd_uid": "cmd-1",
        "status": "ok",
        "annotations": {"run_id": RUN},
        "metrics": {"duration": {"value": 900.0, "unit": "s"}},
    }
    return {**body, **changes}


def kept(*records: dict[str, Any]) -> dict[str, bytes]:
    return {body["run_id"]: json.dumps(body).encode() for body in records}


def good() -> Aftermath:
    objects = {"s3://acme-data/theirs.csv": "1", "s3://acme-servo/night/notes.txt": "2"}
    return Aftermath(
        workspace="s3://acme-servo/nightly",
        clusters=[cluster("j-1", RUN)],
        running={"j-1": []},
        records=kept(record()),
        answers=[answer()],
        before=Surroundings(objects, {"j-0": FOREIGN}),
        objects={**objects, "s3://acme-servo/nightly/workspace.json": "3"},
        others={"j-0": copy.deepcopy(FOREIGN)},
    )


def with_record(**changes: Any) -> Aftermath:
    return replace(good(), records=kept(record(**changes)))


def touched(**changes: str | None) -> Aftermath:
    after = {**good().objects, **{f"s3://{key.replace('__', '/')}": tag for key, tag in changes.items()}}
    return replace(good(), objects={key: tag for key, tag in after.items() if tag is not None})


VIOLATIONS: dict[str, tuple[Callable[[], Aftermath], str]] = {
    "a cluster is alive": (lambda: replace(good(), clusters=[cluster("j-1", RUN, "WAITING")]), "j-1 is alive"),
    "a cluster is starting": (lambda: replace(good(), clusters=[cluster("j-1", RUN, "STARTING")]), "j-1 is alive"),
    "an instance runs on": (lambda: replace(good(), running={"j-1": ["ci-7"]}), "j-1 has ended, and its ci-7 runs"),
    "no record tells of a cluster": (
        lambda: replace(good(), records={}, answers=[]),
        f"j-1 is a cluster of {RUN}, of which no record tells",
    ),
    "the record names another cluster": (
        lambda: with_record(cluster_id="j-9"),
        f"j-1 is a cluster of {RUN}, whose record does not name it",
    ),
    "two clusters of a run at once": (
        lambda: replace(
            with_record(message="first j-1, then j-2"),
            clusters=[cluster("j-1", RUN), cluster("j-2", RUN, begin=1799, end=2400)],
        ),
        f"run {RUN} has two clusters at once: j-1 and j-2",
    ),
    "a second cluster while the first ends": (
        lambda: replace(
            with_record(message="first j-1, then j-2"),
            clusters=[cluster("j-1", RUN, "TERMINATING"), cluster("j-2", RUN, begin=1799, end=2400)],
        ),
        f"run {RUN} has two clusters at once: j-1 and j-2",
    ),
    "a record is undecided": (lambda: replace(with_record(verdict=None), answers=[]), f"run {RUN} is undecided"),
    "a record cannot be read": (
        lambda: replace(good(), records={RUN: b'{"schema": 1, "run'}, clusters=[], answers=[]),
        f"the record of {RUN} cannot be read",
    ),
    "a record has no end": (
        lambda: with_record(ended_at=None),
        f"run {RUN} is decided, and its record has no end",
    ),
    "a failure has no reason": (
        lambda: replace(with_record(verdict="failed", reason=None, message="?"), answers=[]),
        f"run {RUN} has failed, and its record does not say why: None",
    ),
    "a failure says nothing": (
        lambda: replace(with_record(verdict="failed", reason="job/cell-error"), answers=[]),
        f"run {RUN} has failed, and its record does not say why: 'job/cell-error'",
    ),
    "an end is not verified": (
        lambda: with_record(state="ending"),
        f"the end of j-1 is not verified on the record of {RUN}",
    ),
    "a cluster is on record as unreleased": (
        lambda: with_record(unreleased=True),
        f"the end of j-1 is not verified on the record of {RUN}",
    ),
    "a recorded metric is no number": (
        lambda: with_record(metrics={"duration": float("nan")}),
        f"run {RUN} has duration nan",
    ),
    "a command is answered twice": (
        lambda: replace(good(), answers=[answer(), answer(status="failed")]),
        "cmd-1 was answered 2 times",
    ),
    "nobody was told of a paid run": (
        lambda: replace(with_record(answered_at=None), answers=[]),
        f"run {RUN} was paid for, and nobody was told",
    ),
    "a failed run is reported as measured": (
        lambda: with_record(verdict="failed", reason="job/cell-error", message="It failed."),
        f"cmd-1 was answered with metrics of {RUN}, which has not succeeded",
    ),
    "metrics of no run": (
        lambda: replace(good(), answers=[answer(annotations={})]),
        "cmd-1 was answered with metrics of None, which has not succeeded",
    ),
    "a metric is text": (
        lambda: replace(good(), answers=[answer(metrics={"rate": {"value": "3.5"}})]),
        "cmd-1 was answered with rate '3.5'",
    ),
    "a metric is infinite": (
        lambda: replace(good(), answers=[answer(metrics={"rate": {"value": float("inf")}})]),
        "cmd-1 was answered with rate inf",
    ),
    "a metric is negative": (
        lambda: replace(good(), answers=[answer(metrics={"rate": {"value": -1.0}})]),
        "cmd-1 was answered with rate -1.0",
    ),
    "another's object is changed": (
        lambda: touched(**{"acme-data__theirs.csv": "9"}),
        "s3://acme-data/theirs.csv was touched",
    ),
    "another's object is deleted": (
        lambda: touched(**{"acme-data__theirs.csv": None}),
        "s3://acme-data/theirs.csv was touched",
    ),
    "an object is written beside the workspace": (
        lambda: touched(**{"acme-servo__nightly-old__x": "1"}),
        "s3://acme-servo/nightly-old/x was touched",
    ),
    "another's cluster is ended": (
        lambda: replace(good(), others={"j-0": {**FOREIGN, "alive": False}}),
        f"another's cluster j-0 was touched: {FOREIGN} is { ({**FOREIGN, 'alive': False}) } now",
    ),
    "another's protection is switched off": (
        lambda: replace(
            good(),
            before=replace(good().before, clusters={"j-0": {**FOREIGN, "protected": True}}),
        ),
        f"another's cluster j-0 was touched: { ({**FOREIGN, 'protected': True}) } is {FOREIGN} now",
    ),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_the_checker_finds_each_violation_and_no_other(name: str) -> None:
    make, words = VIOLATIONS[name]
    assert broken(make()) == [words]


def test_where_the_promise_holds_the_checker_finds_nothing() -> None:
    assert broken(good()) == []


def test_an_interrupted_run_need_not_be_told() -> None:
    aborted = with_record(verdict="aborted", reason="shutdown", message="Stopped.", answered_at=None)
    assert broken(replace(aborted, answers=[])) == []


def test_attempts_one_after_the_other_may_have_a_cluster_each_when_the_record_names_both() -> None:
    clusters = [cluster("j-2", RUN, end=600), cluster("j-1", RUN, begin=601)]
    assert broken(replace(with_record(attempts=["j-2"]), clusters=clusters)) == []


def test_a_stated_exception_may_live_and_must_be_on_record() -> None:
    changes = {"verdict": "failed", "reason": "operator/unreleased", "message": "It lives.", "state": "ending"}
    living = replace(with_record(unreleased=True, **changes), clusters=[cluster("j-1", RUN, "WAITING")], answers=[])
    assert broken(living, spared=["j-1"]) == []
    silent = replace(living, records=kept(record(**changes)))
    assert broken(silent, spared=["j-1"]) == [f"j-1 lives, and the record of {RUN} does not say so"]


def test_a_record_that_was_spoilt_on_purpose_must_still_be_there() -> None:
    spoilt = replace(good(), records={**good().records, SECOND: b"{"})
    assert broken(spoilt, spoilt=[SECOND]) == []
    assert broken(good(), spoilt=[SECOND]) == [f"the record of {SECOND} is gone"]
