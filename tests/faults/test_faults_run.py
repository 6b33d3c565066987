"""F12 to F17: what befalls a cluster, or its step, while it runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.rig import Job, Rig
from tests.support.samples import result_json

Make = Callable[..., Rig]
RAN = {"ready": "running", "in the job": "step"}
RECLAIMED = {"kind": "reclaim-spot", "role": "CORE", "after": 120, "phase": "step"}


@pytest.mark.parametrize("phase", RAN.values(), ids=RAN)
async def test_f12_a_primary_that_is_lost_ends_the_run_without_a_number(rig: Make, phase: str) -> None:
    """Once ready and in the job: the primary's loss ends the cluster: environment/instance-lost, one launch."""
    scene = rig()
    scene.shop.faults({"kind": "lose-instance", "role": "MASTER", "phase": phase, "after": 60})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "environment/instance-lost")
    assert len(scene.clusters()) == 1
    assert scene.holds() == []


async def test_f13_a_step_that_is_interrupted_with_its_core_node_is_a_failure(rig: Make) -> None:
    """In the job: a core node is lost and the step INTERRUPTED: environment/instance-lost, and the cluster is ended."""
    scene = rig(Job(result=lambda run_id: None))
    lost = {
        "kind": "lose-instance",
        "role": "CORE",
        "phase": "step",
        "after": 60,
        "replaced": False,
        "interrupts": True,
    }
    scene.shop.faults(lost)
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "environment/instance-lost")
    assert scene.holds() == []


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "not replaced"])
async def test_f13_a_run_that_succeeds_without_a_core_node_is_marked_as_disturbed(rig: Make, replaced: bool) -> None:
    """In the job: a run that lost a core node and succeeded all the same is reported, annotated as disturbed."""
    scene = rig()
    scene.shop.faults({"kind": "lose-instance", "role": "CORE", "phase": "step", "after": 60, "replaced": replaced})
    answer = await scene.cycle()
    assert answer["status"] == "ok"
    told = "1 node lost before the job had ended" + ("; 1 node added after the cluster was ready" if replaced else "")
    assert answer["annotations"]["disturbed"] == told
    assert scene.holds() == []


async def test_f14_a_run_that_was_slowed_by_a_spot_reclaim_is_marked_as_disturbed(rig: Make) -> None:
    """In the job: the run succeeds on fewer spot nodes for a while: reported, annotated as disturbed."""
    scene = rig(components__core__market="spot")
    scene.shop.faults(RECLAIMED)
    answer = await scene.cycle()
    assert answer["status"] == "ok"
    assert answer["annotations"]["disturbed"].startswith("1 node lost before the job had ended, 1 of them on spot")
    assert scene.holds() == []


async def test_f14_a_disturbed_run_is_run_again_instead_of_being_reported_where_servo_yaml_says_so(rig: Make) -> None:
    """In the job: with repeat_disturbed the same measurement answers with a run that was not; both are on record."""
    scene = rig(components__core__market="spot", job__repeat_disturbed=2)
    scene.shop.faults({**RECLAIMED, "occurrence": 1})
    answer = await scene.cycle()
    assert answer["status"] == "ok"
    first, second = scene.records()
    assert (first["repeated"], first["answered_at"], first["verdict"]) == (True, None, "succeeded")
    assert answer["annotations"]["run_id"] == second["run_id"]
    assert "disturbed" not in answer["annotations"]
    assert f"run {first['run_id']} was disturbed" in answer["annotations"]["warnings"]
    assert len(scene.clusters()) == 2
    assert scene.holds() == []
    async with scene.started() as connector:
        assert await scene.measure(connector, uid=answer["cmd_uid"]) | {"n": 0} == answer | {"n": 0}, "told once more"
    scene.given.pop()
    assert len(scene.clusters()) == 2


async def test_f14_a_run_that_is_always_disturbed_is_reported_in_the_end_and_says_so(rig: Make) -> None:
    """In the job: after the last repetition that servo.yaml allows the run is reported, annotated as disturbed."""
    scene = rig(components__core__market="spot", job__repeat_disturbed=1)
    scene.shop.faults(RECLAIMED)
    answer = await scene.cycle()
    assert answer["status"] == "ok"
    assert "lost before the job had ended" in answer["annotations"]["disturbed"]
    assert len(scene.clusters()) == 2
    assert scene.holds() == []


async def test_f14_a_disturbed_run_is_reported_when_the_days_budget_leaves_no_room_for_another(rig: Make) -> None:
    """In the job: spend_per_day is asked before a disturbed run is repeated; it is reported then."""
    scene = rig(components__core__market="spot", job__repeat_disturbed=1, limits__spend_per_day=0.25)
    scene.shop.faults(RECLAIMED)
    answer = await scene.cycle()
    assert answer["status"] == "ok"
    assert "lost before the job had ended" in answer["annotations"]["disturbed"]
    assert "reported all the same: emr.limits.spend_per_day" in scene.log
    assert len(scene.clusters()) == 1
    assert scene.holds() == []


@pytest.mark.parametrize("left", [True, False], ids=["its result says succeeded", "it left no result"])
async def test_f15_a_step_that_failed_is_a_failure_whatever_the_cluster_says(rig: Make, left: bool) -> None:
    """In the job and at its end: a FAILED step under a cluster that gives no reason code is job/step-failed."""
    scene = rig(Job(result=result_json if left else lambda run_id: None))
    mute = {"kind": "alter", "operation": "DescribeCluster", "member": "Cluster.Status.StateChangeReason.Code"}
    scene.shop.faults({"kind": "end-step", "state": "FAILED", "after": 300}, {**mute, "to": ""})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "job/step-failed")
    assert scene.holds() == []


@pytest.mark.parametrize("after", [0, 600], ids=["at its start", "in the job"])
async def test_f16_a_step_that_a_person_cancels_is_no_number_and_nobodys_fault(rig: Make, after: int) -> None:
    """In the job: a CANCELLED step is environment/interrupted, and the cluster is ended."""
    scene = rig(Job(result=lambda run_id: None))
    scene.shop.faults({"kind": "end-step", "state": "CANCELLED", "after": after})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "environment/interrupted")
    assert scene.holds() == []


@pytest.mark.parametrize("phase", ["provisioning", "bootstrapping", "running", "step"])
async def test_f17_a_cluster_that_a_person_ends_is_not_launched_again(rig: Make, phase: str) -> None:
    """In every phase: USER_REQUEST is environment/interrupted, one launch, no number."""
    scene = rig(Job(result=lambda run_id: None))
    place = {"phase": "running", "after": 300} if phase == "step" else {"phase": phase}
    scene.shop.faults({"kind": "user-terminates", **place})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "environment/interrupted")
    assert len(scene.clusters()) == 1
    assert scene.holds() == []
