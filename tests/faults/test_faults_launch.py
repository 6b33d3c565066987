"""F1 to F11: what goes wrong between a launch and the first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.rig import Rig, Shop

Make = Callable[..., Rig]
LOST = [
    {"kind": "drop-reply"},
    {"kind": "throttle", "when": "after"},
    {"kind": "server-error", "when": "after"},
]
BOOTSTRAP = {"kind": "bootstrap-failure"}
NO_CAPACITY = {"kind": "no-capacity"}
FLEET_TIMEOUT = {"kind": "end-cluster", "phase": "provisioning", "after": 120, "code": "INSTANCE_FLEET_TIMEOUT"}


def launches(scene: Rig) -> int:
    """How many launches reached the service, whatever was answered."""
    return len(scene.shop.proxy.calls("RunJobFlow"))


def subnets_of(shared: Shop) -> list[str]:
    """Two subnets of the account, in different zones."""
    found = shared.account["ec2"].describe_subnets()["Subnets"]
    first = found[0]
    return [first["SubnetId"], next(s["SubnetId"] for s in found if s["AvailabilityZone"] != first["AvailabilityZone"])]


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: fault["kind"])
async def test_f1_a_launch_whose_answer_is_lost_leaves_one_cluster_that_is_measured(
    rig: Make, fault: dict[str, Any]
) -> None:
    """Launching: the cluster of a launch whose answer is lost is found by its key and measured; no second is made."""
    scene = rig()
    scene.shop.faults({**fault, "operation": "RunJobFlow", "occurrence": 1})
    answer = await scene.cycle()
    assert answer["status"] == "ok"
    assert (launches(scene), len(scene.clusters())) == (1, 1)
    assert scene.holds() == []


async def test_f1_a_lost_answer_and_a_servo_that_is_stopped_as_it_looks_leave_no_cluster(rig: Make) -> None:
    """Between restarts: a servo that is told to stop while it looks for the cluster of a lost answer ends it."""
    scene = rig()
    scene.shop.faults({"kind": "drop-reply", "operation": "RunJobFlow", "occurrence": 1})
    async with scene.started() as connector:
        scene.stop_at(connector, "ListClusters")
        answer = await scene.measure(connector)
    assert (answer["status"], answer["reason"]) == ("failed", "shutdown")
    await scene.restart()
    assert (launches(scene), len(scene.clusters())) == (1, 1)
    assert scene.holds() == []


async def test_f1_a_lost_answer_whose_cluster_cannot_be_looked_for_is_loud_and_ended_by_the_next_start(
    rig: Make,
) -> None:
    """Between restarts: nobody may ask whether a cluster was made: operator/unreleased, and the next start ends it."""
    scene = rig()
    async with scene.started() as connector:
        denied = {"kind": "access-denied", "operation": "ListClusters"}
        scene.shop.faults({"kind": "drop-reply", "operation": "RunJobFlow"}, denied, {**NO_CAPACITY})
        answer = await scene.measure(connector)
    assert (answer["status"], answer["reason"]) == ("failed", "operator/unreleased")
    assert scene.records()[0]["unreleased"]
    scene.shop.faults()
    await scene.restart()
    assert len(scene.clusters()) == 1
    assert scene.holds() == []


async def test_f2_a_launch_that_is_throttled_for_minutes_is_made_later_and_marked(rig: Make) -> None:
    """Launching: throttled launches are made again once nothing has appeared; the run is annotated as disturbed."""
    scene = rig()
    scene.shop.faults({"kind": "throttle", "operation": "RunJobFlow", "until": 600})
    answer = await scene.cycle()
    assert answer["status"] == "ok"
    assert answer["annotations"]["disturbed"] == "its launch was throttled once"
    assert len(scene.clusters()) == 1
    assert scene.holds() == []


async def test_f2_a_launch_that_is_throttled_for_ever_is_given_up_after_three_calls(rig: Make) -> None:
    """Launching: three throttled launches are environment/throttled; nothing was made, nothing is left."""
    scene = rig()
    scene.shop.faults({"kind": "throttle", "operation": "RunJobFlow"})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "environment/throttled")
    assert (launches(scene), scene.clusters()) == (3, [])
    assert scene.holds() == []


@pytest.mark.parametrize("operation", ["RunJobFlow", "s3:PutObject", "ListSupportedInstanceTypes"])
async def test_f3_a_permission_that_is_missing_before_the_launch_is_told_and_launches_nothing(
    rig: Make, operation: str
) -> None:
    """Launching: AccessDenied is operator/credentials and no cluster; what may not be asked is a warning alone."""
    scene = rig()
    async with scene.started() as connector:
        scene.shop.faults({"kind": "access-denied", "operation": operation})
        answer = await scene.measure(connector)
        scene.shop.faults()
    if operation == "ListSupportedInstanceTypes":
        assert answer["status"] == "ok"
        assert "not checked which types" in answer["annotations"]["warnings"]
    else:
        assert (answer["status"], answer["reason"]) == ("failed", "operator/credentials")
        assert scene.clusters() == []
    assert scene.holds() == []


@pytest.mark.parametrize("operation", ["DescribeCluster", "ListSteps", "ListInstances"])
async def test_f3_a_permission_that_is_missing_for_looks_ends_no_run_before_its_time_and_leaves_nothing(
    rig: Make, operation: str
) -> None:
    """In the job: what may not be looked at is watched until its limits, ended, and verified once one may look."""
    scene = rig()
    async with scene.started() as connector:
        scene.shop.faults({"kind": "access-denied", "operation": operation})
        answer = await scene.measure(connector, ["duration"])
    scene.shop.faults()
    if operation == "ListInstances":
        assert answer["status"] == "ok", "the bill alone cannot be made"
    else:
        assert answer["status"] == "failed"
        assert answer["reason"].startswith("operator/")
    await scene.restart()
    assert len(scene.clusters()) == 1
    assert scene.holds() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"components__core__inst_type": {"values": ["m5.zlarge"], "value": "m5.zlarge"}}, "configuration/"),
        ({"cluster__release_label": "emr-7.99.0"}, "operator/release-label"),
        ({"cluster__subnet_ids": ["subnet-0123456789abcdef0"]}, "operator/network"),
        ({"cluster__service_role": "no-such-role"}, "operator/role"),
        ({"cluster__instance_profile": "no-such-profile"}, "operator/role"),
    ],
    ids=["type", "release", "subnet", "role", "profile"],
)
async def test_f4_a_launch_that_cannot_be_is_refused_at_once_with_who_must_act(
    rig: Make, changes: dict[str, Any], reason: str
) -> None:
    """Launching: an unknown type, release, subnet, role or profile is refused, named, and never tried again."""
    scene = rig(**changes)
    answer = await scene.cycle()
    assert answer["status"] == "failed"
    assert answer["reason"].startswith(reason)
    assert launches(scene) <= 1
    assert scene.clusters() == []
    assert scene.holds() == []


async def test_f5_a_launch_that_is_refused_minutes_later_is_the_configurations_fault_and_not_tried_again(
    rig: Make,
) -> None:
    """In provisioning: a type that the zone does not have ends the cluster; one launch, rejected for good."""
    scene = rig()
    code = "VALIDATION_ERROR_INSTANCE_TYPE_NOT_SUPPORTED"
    ends = {"kind": "end-cluster", "phase": "provisioning", "after": 120, "code": "VALIDATION_ERROR", "error": code}
    scene.shop.faults(ends)
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "configuration/type-unsupported")
    assert len(scene.clusters()) == 1
    assert scene.holds() == []


@pytest.mark.parametrize("when", ["at once", "minutes later"])
async def test_f6_a_quota_that_does_not_suffice_is_told_and_not_tried_again(rig: Make, when: str) -> None:
    """Launching and in provisioning: a vCPU or instance quota is environment/quota; one launch."""
    message = "The requested number of instances exceeds your EC2 quota."
    refused = {"kind": "error", "operation": "RunJobFlow", "code": "ValidationException", "message": message}
    scene = rig()
    scene.shop.faults(refused if when == "at once" else {"kind": "quota"})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "environment/quota")
    assert launches(scene) == 1
    assert len(scene.clusters()) == (0 if when == "at once" else 1)
    assert scene.holds() == []


@pytest.mark.parametrize("answered", [True, False], ids=["its answer came", "its answer was lost"])
async def test_f7_a_cluster_that_is_not_seen_yet_is_not_launched_twice(rig: Make, answered: bool) -> None:
    """Launching: a new id that DescribeCluster does not know and ListClusters lacks for minutes is one cluster."""
    scene = rig()
    lost = [] if answered else [{"kind": "drop-reply", "operation": "RunJobFlow", "occurrence": 1}]
    scene.shop.faults({"kind": "list-lag", "seconds": 170}, *lost)
    answer = await scene.cycle()
    assert answer["status"] == "ok"
    assert (launches(scene), len(scene.clusters())) == (1, 1)
    assert scene.holds() == []


async def test_f7_the_cluster_of_a_lost_answer_is_found_behind_a_full_page_and_beside_one_with_a_similar_name(
    rig: Make,
) -> None:
    """Launching: more than 50 clusters and another with nearly our name: ours alone is adopted, the rest is let be."""
    scene = rig()
    async with scene.started() as connector:
        emr = scene.account["emr"]
        workspace_id = scene.workspace_id()
        others = [f"servo-emr {workspace_id}0 20260101t000000-{n:08x}" for n in range(52)]
        group = {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1}
        made = [
            emr.run_job_flow(
                Name=name,
                ReleaseLabel="emr-7.1.0",
                ServiceRole="EMR_DefaultRole",
                JobFlowRole="EMR_EC2_DefaultRole",
                Instances={"InstanceGroups": [group], "KeepJobFlowAliveWhenNoSteps": True},
            )["JobFlowId"]
            for name in others
        ]
        scene.shop.faults({"kind": "drop-reply", "operation": "RunJobFlow", "occurrence": 1})
        answer = await scene.measure(connector)
        states = {c["Id"]: c["Status"]["State"] for c in scene.account.clusters()}
        assert {states[cluster_id] for cluster_id in made} == {"WAITING"}
        for first in range(0, len(made), 10):
            emr.terminate_job_flows(JobFlowIds=made[first : first + 10])
        scene.shop.emulator.advance(600.0)
    assert answer["status"] == "ok"
    assert launches(scene) == 1
    assert scene.holds() == []


async def made_again(scene: Rig, fault: dict[str, Any], reason: str, free: bool = False) -> None:
    """The first launch meets the fault, the second succeeds elsewhere. free: the first never had an instance."""
    scene.shop.faults({**fault, "occurrence": 1})
    answer = await scene.cycle()
    assert answer["status"] == "ok"
    first, second = scene.clusters()
    (record,) = scene.records()
    (attempt,) = record["attempts"]
    assert (attempt["cluster_id"], record["cluster_id"]) == (first["Id"], second["Id"])
    assert attempt["subnet_id"] != record["request"]["Instances"]["Ec2SubnetId"]
    assert attempt["reason"] == reason
    metrics = {name: metric["value"] for name, metric in answer["metrics"].items()}
    assert attempt["billed"], attempt
    assert metrics["billed_cost"] == pytest.approx(metrics["cost"] + attempt["usd"])
    assert (attempt["usd"] == 0) == free, "what never had an instance costs nothing"
    assert answer["annotations"]["warnings"].startswith("launched 2 times")


async def test_f8_a_launch_that_gets_no_capacity_is_made_again_in_another_zone(shared: Shop, rig: Make) -> None:
    """In provisioning: STARTING past its limit is ended, seen dead, and launched again in the next subnet."""
    scene = rig(cluster__subnet_ids=subnets_of(shared))
    await made_again(scene, NO_CAPACITY, "environment/capacity", free=True)
    assert scene.holds() == []


async def test_f9_a_launch_whose_fleet_times_out_is_made_again_in_another_zone(shared: Shop, rig: Make) -> None:
    """In provisioning: INSTANCE_FLEET_TIMEOUT is capacity: launched again in the next subnet."""
    scene = rig(cluster__subnet_ids=subnets_of(shared))
    await made_again(scene, FLEET_TIMEOUT, "environment/capacity")
    assert scene.holds() == []


async def test_f10_a_launch_whose_bootstrap_fails_once_is_made_again_in_another_zone(shared: Shop, rig: Make) -> None:
    """In bootstrapping: a failed bootstrap action is followed by a launch that is measured; both are billed."""
    scene = rig(cluster__subnet_ids=subnets_of(shared))
    await made_again(scene, BOOTSTRAP, "environment/bootstrap")
    assert scene.holds() == []


async def made_four_times(scene: Rig, fault: dict[str, Any], reason: str) -> None:
    """Every launch meets the fault."""
    scene.shop.faults(fault)
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", reason)
    (record,) = scene.records()
    assert [attempt["number"] for attempt in record["attempts"]] == [1, 2, 3]
    assert [c["Id"] for c in scene.clusters()] == [*(a["cluster_id"] for a in record["attempts"]), record["cluster_id"]]
    own = sum(record["cost"][part] for part in ("ec2_usd", "fee_usd", "ebs_usd"))
    assert record["cost"]["billed_usd"] == pytest.approx(own + sum(a["usd"] for a in record["attempts"]))
    assert f"cost_usd={record['cost']['billed_usd']:.4f} " in answer["message"].splitlines()[-1]


async def test_f9_a_fleet_that_always_times_out_is_launched_four_times_and_no_more(rig: Make) -> None:
    """In provisioning: three launches after the first, one after the other; all are billed, one failure is told."""
    scene = rig()
    await made_four_times(scene, FLEET_TIMEOUT, "environment/capacity")
    assert scene.holds() == []


async def test_f10_a_bootstrap_that_always_fails_is_launched_four_times_and_no_more(rig: Make) -> None:
    """In bootstrapping: three launches after the first, one after the other; all are billed, one failure is told."""
    scene = rig()
    await made_four_times(scene, BOOTSTRAP, "environment/bootstrap")
    assert scene.holds() == []


@pytest.mark.parametrize("limits", [{"cost_per_run": 0.14}, {"unproductive_spend": 0.04}])
async def test_f10_a_launch_is_not_made_again_when_a_limit_leaves_no_room_for_it(
    rig: Make, limits: dict[str, float]
) -> None:
    """In bootstrapping: cost_per_run and unproductive_spend count all launches of a run."""
    scene = rig(**{f"limits__{name}": usd for name, usd in limits.items()})
    scene.shop.faults({**BOOTSTRAP, "after": 120})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "environment/bootstrap")
    assert len(scene.clusters()) == 1
    assert next(iter(limits)) in scene.log
    assert scene.holds() == []


async def test_f8_a_cluster_that_never_gets_capacity_is_ended_when_its_servo_is_stopped(rig: Make) -> None:
    """Between restarts: SIGTERM while STARTING for ever: the cluster is ended, and the next start verifies it."""
    scene = rig()
    async with scene.started() as connector:
        scene.shop.faults(NO_CAPACITY)
        scene.stop_at(connector, "DescribeCluster")
        answer = await scene.measure(connector)
    assert (answer["status"], answer["reason"]) == ("failed", "shutdown")
    await scene.restart()
    assert len(scene.clusters()) == 1
    assert scene.holds() == []


@pytest.mark.parametrize("phase", ["provisioning", "bootstrapping", "running", "step"])
async def test_f11_an_internal_error_ends_a_run_in_any_phase_and_is_not_tried_again(rig: Make, phase: str) -> None:
    """In every phase: INTERNAL_ERROR is environment/internal, one launch, no number."""
    scene = rig()
    place = {"phase": "running", "after": 300} if phase == "step" else {"phase": phase}
    scene.shop.faults({"kind": "end-cluster", "code": "INTERNAL_ERROR", **place})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "environment/internal")
    assert len(scene.clusters()) == 1
    assert scene.holds() == []
