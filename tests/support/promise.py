"""The one checker of the promise, after any fault: reads the account and the answers, and nothing of the servo.

No cluster with our key alive, nor an instance of one; each told of on its run's record, and never two of a run at once;
every record decided, and saying what happened; at most one terminal answer per command, and no number that was not
earned; no object outside the workspace and no other's cluster touched.

Whoever wants to be checked is a `Witness`: `tests.support.stage.Scene` is one (a real `servo run`), `Handled` is one
for tests that call a connector or a lifecycle in process, against an emulator over HTTP.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import botocore.session

from servo_emr.domain.errors import Reason

__all__ = ["ALIVE", "Aftermath", "Handled", "Surroundings", "Witness", "aftermath", "alive", "broken"]

ALIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING")
"""TERMINATING is not alive."""
ENDED = ("TERMINATED", "TERMINATED_WITH_ERRORS")
REASONS = {reason.value for reason in Reason}


class Seen(Protocol):
    """An account seen from outside: a boto3 client of each service, as `tests.support.aws.Account` has them."""

    def __getitem__(self, service: str, /) -> Any: ...


@dataclass(frozen=True)
class Surroundings:
    """What is in an account: every object of every bucket with its ETag, by URI; and every cluster that is alive, by
    id, with what somebody could have done to it."""

    objects: Mapping[str, str]
    clusters: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, account: Seen) -> Surroundings:
        clusters = {c["Id"]: c for c in _clusters(account) if c["Status"]["State"] in ALIVE}
        return cls(_objects(account), {cluster_id: _condition(account, cluster_id) for cluster_id in clusters})


class Witness(Protocol):
    """What the checker has to be told."""

    @property
    def account(self) -> Seen: ...

    @property
    def workspace(self) -> str:
        """The s3:// URI of the servo's workspace."""

    @property
    def before(self) -> Surroundings:
        """What there was before the servo did anything."""

    def answers(self) -> Sequence[Mapping[str, Any]]:
        """Every terminal answer that was given, oldest first: cmd_uid and status, and what else it had (reason,
        message; annotations and metrics when the status is ok)."""


@dataclass
class Handled:
    """A witness for tests without an optimizer: whoever calls a handler reports what came of it."""

    account: Seen
    workspace: str
    before: Surroundings
    given: list[Mapping[str, Any]] = field(default_factory=list)

    def answered(self, cmd_uid: str, status: str, **more: Any) -> None:
        """The handler of that command has returned (status ok) or raised."""
        self.given.append({"cmd_uid": cmd_uid, "status": status, **more})

    def answers(self) -> Sequence[Mapping[str, Any]]:
        return self.given


@dataclass(frozen=True)
class Aftermath:
    """What was found afterwards. Everything that `broken` judges is in here.

    `clusters` are ListClusters' of this workspace's key, oldest first; `running` their instances that run in spite of
    the cluster's end; `records` the records' bodies by run id; `others` what the clusters of `before` are now.
    """

    workspace: str
    clusters: Sequence[Mapping[str, Any]]
    running: Mapping[str, Sequence[str]]
    records: Mapping[str, bytes]
    answers: Sequence[Mapping[str, Any]]
    before: Surroundings
    objects: Mapping[str, str]
    others: Mapping[str, Mapping[str, Any]]


def aftermath(witness: Witness) -> Aftermath:
    """Looks at everything once."""
    account, workspace = witness.account, witness.workspace
    objects = _objects(account)
    clusters = _ours(account, workspace, objects)
    records = {
        key.rsplit("/", 1)[-1].removesuffix(".json"): _read(account, key)
        for key in sorted(objects)
        if key.startswith(f"{workspace}/records/")
    }
    mine = {cluster["Id"] for cluster in clusters}
    return Aftermath(
        workspace=workspace,
        clusters=clusters,
        running={c["Id"]: _running(account, c["Id"]) for c in clusters if c["Status"]["State"] in ENDED},
        records=records,
        answers=list(witness.answers()),
        before=witness.before,
        objects=objects,
        others={
            cluster_id: _condition(account, cluster_id)
            for cluster_id in witness.before.clusters
            if cluster_id not in mine
        },
    )


def alive(witness: Witness) -> list[str]:
    """The workspace's clusters that are alive."""
    found = _ours(witness.account, witness.workspace, _objects(witness.account))
    return [cluster["Id"] for cluster in found if cluster["Status"]["State"] in ALIVE]


def broken(seen: Witness | Aftermath, spared: Collection[str] = (), spoilt: Collection[str] = ()) -> list[str]:
    """What of the promise does not hold, in words; empty when it holds.

    Args:
        spared: clusters that a stated exception lets live (protected by a person, or AWS does not end them). They may
            be alive, and must be on record as unreleased.
        spoilt: run ids whose records the test itself has made unreadable. They must still be there.
    """
    found = seen if isinstance(seen, Aftermath) else aftermath(seen)
    records, unreadable = _parsed(found.records)
    return [
        *(f"the record of {run_id} cannot be read" for run_id in unreadable if run_id not in spoilt),
        *(f"the record of {run_id} is gone" for run_id in spoilt if run_id not in found.records),
        *_alive(found, spared),
        *_told(found, records, spoilt),
        *itertools.chain.from_iterable(_record(record, spared) for record in records.values()),
        *_answers(found, records, spoilt),
        *_elsewhere(found),
    ]


def _alive(found: Aftermath, spared: Collection[str]) -> list[str]:
    living = [c["Id"] for c in found.clusters if c["Status"]["State"] in ALIVE and c["Id"] not in spared]
    return [
        *(f"{cluster_id} is alive" for cluster_id in living),
        *(f"{cluster_id} has ended, and its {', '.join(ids)} runs" for cluster_id, ids in found.running.items() if ids),
    ]


def _told(found: Aftermath, records: Mapping[str, Mapping[str, Any]], spoilt: Collection[str]) -> list[str]:
    """Every cluster is named on its run's record; a run's clusters live one after the other."""
    problems = []
    runs: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for cluster in found.clusters:
        runs[str(cluster["Name"]).split(" ")[-1]].append(cluster)
    for run_id, clusters in runs.items():
        for cluster in clusters:
            if run_id in spoilt:
                continue
            if run_id not in records:
                problems.append(f"{cluster['Id']} is a cluster of {run_id}, of which no record tells")
            elif cluster["Id"] not in json.dumps(records[run_id]):
                problems.append(f"{cluster['Id']} is a cluster of {run_id}, whose record does not name it")
        for earlier, later in itertools.pairwise(sorted(clusters, key=_created)):
            end = earlier["Status"]["Timeline"].get("EndDateTime")
            if end is None or end > later["Status"]["Timeline"]["CreationDateTime"]:
                problems.append(f"run {run_id} has two clusters at once: {earlier['Id']} and {later['Id']}")
    return problems


def _record(record: Mapping[str, Any], spared: Collection[str]) -> list[str]:
    """A record is decided, says what happened, and that the cluster's end was verified."""
    run_id, verdict = record["run_id"], record["verdict"]
    if verdict is None:
        return [f"run {run_id} is undecided"]
    problems = []
    if record["ended_at"] is None:
        problems.append(f"run {run_id} is decided, and its record has no end")
    if verdict == "succeeded":
        problems += [
            f"run {run_id} has {name} {value!r}" for name, value in record["metrics"].items() if not _is_a_number(value)
        ]
    elif record["reason"] not in REASONS or not record["message"]:
        problems.append(f"run {run_id} has {verdict}, and its record does not say why: {record['reason']!r}")
    if record["cluster_id"] in spared:
        if not record["unreleased"]:
            problems.append(f"{record['cluster_id']} lives, and the record of {run_id} does not say so")
    elif record["cluster_id"] is not None and (record["state"] != "verified" or record["unreleased"]):
        problems.append(f"the end of {record['cluster_id']} is not verified on the record of {run_id}")
    return problems


def _answers(found: Aftermath, records: Mapping[str, Mapping[str, Any]], spoilt: Collection[str]) -> list[str]:
    """One answer for each command at most; what was paid for is told, unless it was ended early, or the servo died
    between writing down that it answers and answering; what is reported was earned."""
    counts = Counter(answer["cmd_uid"] for answer in found.answers)
    problems = [f"{uid} was answered {count} times" for uid, count in counts.items() if count > 1]
    for run_id in dict.fromkeys(str(cluster["Name"]).split(" ")[-1] for cluster in found.clusters):
        record = records.get(run_id)
        if record is None or record["cmd_uid"] is None or record["verdict"] in (None, "aborted"):
            continue
        if record["cmd_uid"] not in counts and record["answered_at"] is None:
            problems.append(f"run {run_id} was paid for, and nobody was told")
    for answer in found.answers:
        if answer["status"] != "ok" or "metrics" not in answer:
            continue
        run_id = (answer.get("annotations") or {}).get("run_id")
        if run_id in spoilt:
            continue
        if run_id not in records or records[run_id]["verdict"] != "succeeded":
            problems.append(f"{answer['cmd_uid']} was answered with metrics of {run_id}, which has not succeeded")
        for name, metric in answer["metrics"].items():
            if not _is_a_number(metric["value"]):
                problems.append(f"{answer['cmd_uid']} was answered with {name} {metric['value']!r}")
    return problems


def _elsewhere(found: Aftermath) -> list[str]:
    ours = f"{found.workspace}/"
    now = {key: tag for key, tag in found.objects.items() if not key.startswith(ours)}
    before = {key: tag for key, tag in found.before.objects.items() if not key.startswith(ours)}
    return [
        *(f"{key} was touched" for key in sorted(now.keys() | before.keys()) if now.get(key) != before.get(key)),
        *(
            f"another's cluster {cluster_id} was touched: {found.before.clusters[cluster_id]} is {condition} now"
            for cluster_id, condition in found.others.items()
            if condition != found.before.clusters[cluster_id]
        ),
    ]


def _is_a_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _parsed(bodies: Mapping[str, bytes]) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """(records by run id, the run ids of those that are none)"""
    records: dict[str, Mapping[str, Any]] = {}
    unreadable = []
    for run_id, body in bodies.items():
        try:
            document = json.loads(body)
        except ValueError:
            unreadable.append(run_id)
            continue
        if isinstance(document, dict) and document.get("schema") == 1:
            records[run_id] = document
        else:
            unreadable.append(run_id)
    return records, unreadable


def _clusters(account: Seen) -> list[dict[str, Any]]:
    return [c for page in account["emr"].get_paginator("list_clusters").paginate() for c in page["Clusters"]]


def _ours(account: Seen, workspace: str, objects: Mapping[str, str]) -> list[dict[str, Any]]:
    """Those whose name carries the workspace's id, the oldest first."""
    if f"{workspace}/workspace.json" not in objects:
        return []
    workspace_id = json.loads(_read(account, f"{workspace}/workspace.json"))["id"]
    return sorted(
        (cluster for cluster in _clusters(account) if cluster["Name"].startswith(f"servo-emr {workspace_id} ")),
        key=_created,
    )


def _created(cluster: Mapping[str, Any]) -> Any:
    return cluster["Status"]["Timeline"]["CreationDateTime"]


def _running(account: Seen, cluster_id: str) -> list[str]:
    pages = account["emr"].get_paginator("list_instances").paginate(ClusterId=cluster_id)
    rows = [row for page in pages for row in page["Instances"]]
    return [row["Id"] for row in rows if row["Status"]["State"] != "TERMINATED"]


def _condition(account: Seen, cluster_id: str) -> dict[str, Any]:
    """A cluster as far as somebody could have changed it. Its own progress from STARTING to WAITING is none."""
    cluster = account["emr"].describe_cluster(ClusterId=cluster_id)["Cluster"]
    return {
        "alive": cluster["Status"]["State"] in ALIVE,
        "name": cluster["Name"],
        "protected": cluster["TerminationProtected"],
        "tags": cluster["Tags"],
        "steps": [step["Id"] for step in account["emr"].list_steps(ClusterId=cluster_id)["Steps"]],
    }


@cache
def _lister(endpoint: str, region: str) -> Any:
    """A client that takes times as they are written: to parse those of all objects was a fifth of a fault's test."""
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    return session.create_client(
        "s3", region_name=region, endpoint_url=endpoint, aws_access_key_id="tester", aws_secret_access_key="tester"
    )


def _objects(account: Seen) -> dict[str, str]:
    known = account["s3"].meta
    s3 = _lister(known.endpoint_url, known.region_name)
    return {
        f"s3://{bucket['Name']}/{item['Key']}": item["ETag"]
        for bucket in s3.list_buckets()["Buckets"]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"])
        for item in page.get("Contents", ())
    }


def _read(account: Seen, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body: bytes = account["s3"].get_object(Bucket=bucket, Key=key)["Body"].read()
    return body
