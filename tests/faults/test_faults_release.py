"""F18 to F20: a cluster that somebody protects, that AWS does not end, or that takes long to end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.support.rig import Rig
from tests.support.servo import command

Make = Callable[..., Rig]
HANGS = {"kind": "stuck", "phase": "step"}
CALLS_FAIL = [
    {"kind": "server-error", "operation": "TerminateJobFlows"},
    {"kind": "throttle", "operation": "TerminateJobFlows"},
    {"kind": "drop-reply", "operation": "TerminateJobFlows", "when": "before"},
]
ENDED_BY_US: dict[str, tuple[Mapping[str, Any], str]] = {
    "starting": ({"kind": "stuck", "phase": "provisioning"}, "environment/capacity"),
    "bootstrapping": ({"kind": "stuck", "phase": "bootstrapping"}, "environment/capacity"),
    "in the job": (HANGS, "configuration/job-timeout"),
}
"""Runs that the servo must end: what keeps them from ending themselves, and what they fail of."""


@pytest.mark.parametrize(("hangs", "reason"), ENDED_BY_US.values(), ids=ENDED_BY_US)
async def test_f18_protection_that_a_person_switched_on_is_switched_off_and_reported(
    rig: Make, hangs: Mapping[str, Any], reason: str
) -> None:
    """In every phase before the end: a protected cluster of ours is ended all the same, and the record says so."""
    scene = rig(limits__cost_per_run=0.5, limits__provisioning="20m")
    scene.shop.faults(hangs, {"kind": "protect", "phase": "provisioning"}, {"kind": "protect", "phase": "running"})
    answer = await scene.cycle()
    assert answer["status"] == "failed"
    assert answer["reason"] in (reason, "configuration/cost-ceiling")
    (record,) = scene.records()
    assert any("was protected from termination" in warning for warning in record["warnings"])
    assert scene.holds() == []


async def test_f18_a_protected_cluster_whose_run_succeeded_is_gone_too(rig: Make) -> None:
    """At the end: protection keeps no cluster of ours alive after its last step; that it was met is annotated."""
    scene = rig()
    scene.shop.faults({"kind": "protect"})
    answer = await scene.cycle()
    assert answer["status"] == "ok"
    (cluster,) = scene.clusters()
    code = cluster["Status"]["StateChangeReason"]["Code"]
    if code != "ALL_STEPS_COMPLETED":
        assert "was protected from termination" in answer["annotations"]["warnings"]
    assert scene.holds() == []


@pytest.mark.parametrize("again", ["a start", "sweep"])
async def test_f18_a_protected_cluster_that_could_not_be_ended_is_ended_by_the_next_start_and_by_sweep(
    rig: Make, again: str
) -> None:
    """Between restarts: without the permission to take protection away it is loud and on record, and tried again."""
    scene = rig()
    denied = {"kind": "access-denied", "operation": "SetTerminationProtection"}
    async with scene.started() as connector:
        scene.shop.faults(HANGS, {"kind": "protect"}, denied)
        answer = await scene.measure(connector)
    assert (answer["status"], answer["reason"]) == ("failed", "operator/unreleased")
    (cluster,) = scene.clusters()
    assert scene.living() == [cluster["Id"]]
    assert scene.records()[0]["unreleased"]
    assert f"--cluster-ids {cluster['Id']}" in scene.log
    scene.shop.faults()
    if again == "a start":
        await scene.restart()
    else:
        done = command("servo-emr", "sweep", "--yes", "-o", "json", folder=scene.folder, environment=scene.shop.env)
        assert done.returncode == 0, done.stderr
        assert [found["outcome"] for found in json.loads(done.stdout)] == ["ended"]
        assert "was protected from termination" in done.stderr
    assert scene.holds() == []


@pytest.mark.parametrize("fault", CALLS_FAIL, ids=lambda fault: fault["kind"])
async def test_f19_a_termination_that_fails_for_minutes_is_asked_for_until_it_is_seen(
    rig: Make, fault: Mapping[str, Any]
) -> None:
    """At the end: TerminateJobFlows fails, is throttled or lost at first: the cluster is seen ended all the same."""
    scene = rig()
    scene.shop.faults(HANGS, {**fault, "occurrence": 1})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "configuration/job-timeout")
    assert scene.holds() == []


@pytest.mark.parametrize("fault", [CALLS_FAIL[0], {"kind": "ignore-termination"}], ids=["fails", "is ignored"])
async def test_f19_a_termination_that_never_helps_is_loud_on_record_and_tried_again_by_the_next_start(
    rig: Make, fault: Mapping[str, Any]
) -> None:
    """At the end and between restarts: operator/unreleased with the command to run by hand, until a start ends it."""
    scene = rig()
    async with scene.started() as connector:
        scene.shop.faults(HANGS, fault)
        answer = await scene.measure(connector)
        assert (answer["status"], answer["reason"]) == ("failed", "operator/unreleased")
        (cluster_id,) = scene.living()
        assert scene.holds(spared=[cluster_id]) == []
        scene.shop.faults(HANGS, fault)
        refused = await scene.measure(connector)
        assert (refused["status"], refused["reason"]) == ("failed", "operator/unreleased"), "nothing else is launched"
    assert f"aws emr terminate-clusters --region us-east-1 --cluster-ids {cluster_id}" in scene.log
    scene.shop.faults()
    await scene.restart()
    assert len(scene.clusters()) == 1
    assert scene.holds() == []


@pytest.mark.parametrize("outcome", ["after success", "after a failure"])
async def test_f20_a_cluster_that_is_terminating_for_twenty_minutes_is_waited_for(rig: Make, outcome: str) -> None:
    """In teardown: the answer comes when the cluster is seen ended, its instances with it, and its bill is whole."""
    scene = rig()
    slow = {"kind": "delay", "phase": "terminating", "seconds": 1200}
    scene.shop.faults(slow, *([HANGS] if outcome == "after a failure" else []))
    answer = await scene.cycle()
    assert answer["status"] == ("failed" if outcome == "after a failure" else "ok")
    (record,) = scene.records()
    assert record["phases"]["teardown_time"] >= 1200 if answer["status"] == "ok" else record["cost"] is not None
    assert scene.holds() == []


async def test_f20_a_servo_that_is_stopped_while_a_cluster_is_terminating_leaves_the_verifying_to_the_next(
    rig: Make,
) -> None:
    """Between restarts: TERMINATING for twenty minutes as SIGTERM comes: the next start sees the end, and bills it."""
    scene = rig()
    async with scene.started() as connector:
        scene.shop.faults({"kind": "delay", "phase": "terminating", "seconds": 1200}, HANGS)
        scene.stop_at(connector, "TerminateJobFlows")
        await scene.measure(connector)
    (before,) = scene.records()
    await scene.restart()
    (after,) = scene.records()
    assert (before["state"], after["state"]) == ("ending", "verified")
    assert after["cost"] is not None
    assert scene.holds() == []
