"""The promise, as far as it can be seen from outside once a measurement has been answered.

No cluster with our key alive; the records decided; at most one terminal answer per command; no run paid twice but in
the one documented window; nothing outside the workspace touched. Reads the account and the optimizer's mail alone.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.support.stage import Scene

__all__ = ["ALIVE", "alive", "broken"]

ALIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING")
"""TERMINATING is not alive."""


def alive(scene: Scene) -> list[str]:
    """The workspace's clusters that are alive."""
    return [cluster["Id"] for cluster in scene.clusters() if cluster["Status"]["State"] in ALIVE]


def broken(scene: Scene) -> list[str]:
    """What of the promise does not hold, in words; empty when it holds."""
    records = {record["run_id"]: record for record in scene.records()}
    return [
        *(f"{cluster_id} is alive" for cluster_id in alive(scene)),
        *(f"run {run_id} is undecided" for run_id, record in records.items() if record["verdict"] is None),
        *_answers(scene),
        *_payments(scene, records),
        *_elsewhere(scene),
    ]


def _answers(scene: Scene) -> list[str]:
    counts = Counter(answer["cmd_uid"] for answer in scene.optimizer.terminal())
    return [f"{uid} was answered {count} times" for uid, count in counts.items() if count > 1]


def _payments(scene: Scene, records: dict[str, dict[str, Any]]) -> list[str]:
    """Every cluster has its run's record, one for each run; and every run was told of, unless it was ended early, or
    the servo died between writing down that it answers and answering."""
    found = []
    launches = Counter(cluster["Name"].split(" ")[-1] for cluster in scene.clusters())
    found += [f"run {run_id} has {count} clusters" for run_id, count in launches.items() if count > 1]
    found += [f"a cluster of {run_id}, of which no record tells" for run_id in launches if run_id not in records]
    told = {answer["cmd_uid"] for answer in scene.optimizer.terminal()}
    for run_id, record in records.items():
        if run_id not in launches or record["cmd_uid"] in told or record["verdict"] == "aborted":
            continue
        if record["answered_at"] is None:
            found.append(f"run {run_id} was paid for, and nobody was told")
    return found


def _elsewhere(scene: Scene) -> list[str]:
    ours = f"{scene.workspace}/"
    now = {key: tag for key, tag in scene.stage.objects().items() if not key.startswith(ours)}
    before = {key: tag for key, tag in scene.before.items() if not key.startswith(ours)}
    found = [f"{key} was touched" for key in now.keys() | before.keys() if now.get(key) != before.get(key)]
    foreign = scene.stage.account["emr"].describe_cluster(ClusterId=scene.stage.foreign)["Cluster"]["Status"]
    if foreign["State"] not in ALIVE:
        found.append(f"the other workspace's cluster is {foreign['State']}")
    return found
