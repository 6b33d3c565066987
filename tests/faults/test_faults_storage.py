"""F34: S3 has the logs late, in pieces, elsewhere, or does not give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.proxy import named
from tests.support.rig import Job, Rig

Make = Callable[..., Rig]
NO_RESULT = Job(lambda run_id: None, None)
"""Nothing but the step's logs tells the cause, so that they are waited for."""

LOGS: dict[str, list[dict[str, Any]]] = {
    "minutes late": [{"kind": "logs", "delay": 240}],
    "later than anybody waits": [{"kind": "logs", "delay": 36_000}],
    "a truncated gzip": [{"kind": "logs", "keep": 0.5}],
    "not there at all": [{"kind": "logs", "keep": 0}],
    "s3n": [{"kind": "alter", "operation": "DescribeCluster", "member": "Cluster.LogUri", "to": "s3n://acme-servo/l/"}],
    "None": [{"kind": "alter", "operation": "DescribeCluster", "member": "Cluster.LogUri", "to": "None"}],
}


@pytest.mark.parametrize("how", LOGS)
async def test_f34_logs_that_are_late_cut_off_or_elsewhere_take_nothing_from_the_verdict(rig: Make, how: str) -> None:
    """In collecting: the step fails and its logs are late, cut, missing or named oddly; the verdict is what it is, the
    record names each log's place, and the answer waits some minutes at most."""
    scene = rig(NO_RESULT)
    scene.shop.faults({"kind": "end-step", "state": "FAILED"}, *LOGS[how])
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "job/step-failed")
    (record,) = scene.records()
    assert [log["name"] for log in record["details"]["logs"]] == ["stderr", "stdout", "controller"]
    assert all(log["uri"].startswith(f"{scene.workspace}/logs/j-") for log in record["details"]["logs"])
    assert scene.holds() == []


async def test_f34_logs_that_may_not_be_read_say_so_on_the_record(rig: Make) -> None:
    """In collecting: s3:GetObject is refused for the logs; the record says which permission is missing."""
    scene = rig(NO_RESULT)
    scene.shop.faults({"kind": "end-step", "state": "FAILED"})
    denied = {"kind": "access-denied", "operation": "s3:GetObject"}
    scene.shop.proxy.trap("before", named("ListInstances"), lambda call: scene.shop.faults(denied), drop=False)
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "job/step-failed")
    assert scene.shop.struck() > 0
    scene.shop.faults()
    (record,) = scene.records()
    assert "could not be read" in record["details"]["logs"][0]["text"]
    assert "s3:GetObject" in record["details"]["logs"][0]["text"]
    assert scene.holds() == []


async def test_f34_a_workspace_that_may_not_be_written_launches_nothing(rig: Make) -> None:
    """Before the launch: s3:PutObject is refused; without the intent on record nothing is launched."""
    scene = rig()
    async with scene.started() as connector:
        scene.shop.faults({"kind": "access-denied", "operation": "s3:PutObject"})
        answer = await scene.measure(connector)
        scene.shop.faults()
    assert (answer["status"], answer["reason"]) == ("failed", "operator/credentials")
    assert "s3:PutObject" in scene.log
    assert scene.clusters() == []
    assert scene.holds() == []


async def test_f34_a_workspace_that_may_no_longer_be_written_costs_no_cluster(rig: Make) -> None:
    """From the job on: s3:PutObject is refused for ten minutes; the run is measured, and on record in the end."""
    scene = rig()
    denied = {"kind": "access-denied", "operation": "s3:PutObject", "until": 600}
    scene.in_phase("the job", lambda: scene.shop.faults(denied))
    answer = await scene.cycle(["duration"])
    assert answer["status"] == "ok"
    assert scene.shop.struck() > 0
    assert scene.holds() == []
