"""Instances that an emulated cluster does not get or loses, and what becomes of its groups, steps and state then."""

from __future__ import annotations

import pytest

from servo_emr.emulator.world.mishaps import LoseInstances, NoCapacity, Phase
from servo_emr.emulator.world.records import FleetRequest, FleetType, Reason
from tests.support.world import (
    PRIMARY_FLEET,
    START,
    ScriptedMachine,
    launch,
    new_world,
    run_until,
    run_until_state,
    states,
    step,
    unlucky,
)

LONG = 100_000.0


@pytest.mark.parametrize(
    ("mishap", "there"),
    [(NoCapacity(), set()), (NoCapacity("CORE"), {"MASTER"}), (NoCapacity(market="SPOT"), {"MASTER", "CORE"})],
)
def test_groups_without_capacity_start_for_ever(mishap: NoCapacity, there: set[str]) -> None:
    world, cluster = unlucky(launch(step("job")), Phase.PROVISIONING, mishap)
    run_until(world, 3000)
    assert {each.role for each in cluster.instances} == there
    assert cluster.state == ("TERMINATED" if "CORE" in there else "STARTING")
    world.terminate(cluster)
    run_until(world, LONG)
    assert {each.state for each in cluster.instances} <= {"TERMINATED"}
    assert cluster.state == "TERMINATED"


def test_a_fleet_without_spot_capacity_ends_its_cluster_at_its_timeout() -> None:
    core = FleetRequest("CORE", (FleetType("m5.xlarge"),), spot=4, spot_timeout=600, spot_action="TERMINATE_CLUSTER")
    world, cluster = unlucky(
        launch(step("job"), fleets=[PRIMARY_FLEET, core]), Phase.PROVISIONING, NoCapacity(market="SPOT")
    )
    run_until_state(world, cluster, "TERMINATING")
    assert world.now == START + 600
    run_until(world, LONG)
    assert (cluster.state, cluster.reason.code) == ("TERMINATED_WITH_ERRORS", "INSTANCE_FLEET_TIMEOUT")
    assert states(cluster) == ["CANCELLED"]


def test_a_fleet_without_spot_capacity_switches_to_on_demand_at_its_timeout() -> None:
    core = FleetRequest(
        "CORE", (FleetType("m5.xlarge", weight=2),), 2, 4, spot_timeout=600, spot_action="SWITCH_TO_ON_DEMAND"
    )
    world, cluster = unlucky(
        launch(step("job"), fleets=[PRIMARY_FLEET, core]), Phase.PROVISIONING, NoCapacity(market="SPOT")
    )
    run_until_state(world, cluster, "RUNNING")
    fleet = cluster.fleets[1]
    assert (fleet.on_demand, fleet.spot) == (2, 4), "the targets are what was asked for"
    assert (fleet.provisioned_on_demand, fleet.provisioned_spot, fleet.state) == (6, 0, "RUNNING")
    assert {each.market for each in cluster.instances} == {"ON_DEMAND"}
    assert cluster.timeline.began is not None and cluster.timeline.began > START + 600 + 380


def test_a_timeout_means_nothing_to_a_fleet_that_has_its_instances() -> None:
    core = FleetRequest("CORE", (FleetType("m5.xlarge"),), spot=4, spot_timeout=300)
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("job"), fleets=[PRIMARY_FLEET, core]))
    run_until(world, LONG)
    assert (cluster.state, cluster.fleets[1].request.spot_action) == ("TERMINATED", "TERMINATE_CLUSTER")


@pytest.mark.parametrize("code", ["INSTANCE_FAILURE", "INTERNAL_ERROR"])
def test_losing_the_primary_ends_the_cluster_and_interrupts_its_step(code: str) -> None:
    machine = ScriptedMachine()
    lost = LoseInstances(100, "MASTER", reason=Reason(code, "gone"))
    world, cluster = unlucky(launch(step("job", "hold"), step("later")), Phase.RUNNING, lost, machine=machine)
    run_until(world, LONG)
    assert (cluster.state, cluster.reason) == (
        "TERMINATED_WITH_ERRORS",
        Reason(code, "The master node was terminated. "),
    )
    assert states(cluster) == ["INTERRUPTED", "CANCELLED"]
    assert machine.jobs["job"].killed
    assert cluster.primary is not None
    assert cluster.primary.reason == Reason(code, "gone")
    ended, began = cluster.primary.timeline.ended, cluster.timeline.began
    assert ended is not None and began is not None and ended == pytest.approx(began + 100)
    assert len([each for each in cluster.instances if each.role == "MASTER"]) == 1, "a primary is not replaced"


def test_a_lost_core_node_is_replaced_by_a_second_row() -> None:
    world, cluster = unlucky(launch(step("job"), core=3), Phase.STEP, LoseInstances(100, "CORE", count=2))
    run_until_state(world, cluster, "RUNNING")
    began = world.now - START
    run_until(world, began + 101)
    core = cluster.groups[1]
    rows = [each for each in cluster.instances if each.role == "CORE"]
    assert [each.state for each in rows] == ["TERMINATED", "TERMINATED", "RUNNING"]
    assert {each.reason.code for each in rows[:2]} == {"INSTANCE_FAILURE"}
    assert (core.state, states(cluster)) == ("RESIZING", ["RUNNING"])
    run_until(world, began + 599)
    assert [each.state for each in cluster.instances if each.role == "CORE"].count("RUNNING") == 3
    assert core.state == "RUNNING"
    run_until(world, LONG)
    assert (cluster.state, len(cluster.instances), states(cluster)) == ("TERMINATED", 6, ["COMPLETED"])


@pytest.mark.parametrize(
    ("action", "state", "code", "later"),
    [
        ("CONTINUE", "TERMINATED", None, "COMPLETED"),
        ("CANCEL_AND_WAIT", "TERMINATED", None, "CANCELLED"),
        ("TERMINATE_CLUSTER", "TERMINATED_WITH_ERRORS", "STEP_FAILURE", "CANCELLED"),
    ],
)
def test_a_core_node_lost_can_interrupt_the_step(action: str, state: str, code: str | None, later: str) -> None:
    machine = ScriptedMachine()
    lost = LoseInstances(100, "CORE", interrupts=True, replaced=False)
    world, cluster = unlucky(launch(step("job", "hold", action), step("later")), Phase.STEP, lost, machine=machine)
    run_until(world, LONG)
    assert states(cluster) == ["INTERRUPTED", later]
    assert (cluster.state, cluster.reason.code) == (state, code)
    assert machine.jobs["job"].killed and len(cluster.instances) == 3


def test_only_instances_of_the_market_are_lost() -> None:
    core = FleetRequest("CORE", (FleetType("m5.xlarge"),), on_demand=2, spot=2)
    lost = LoseInstances(100, "CORE", count=4, market="SPOT", reason=Reason("INSTANCE_FAILURE", "reclaimed"))
    world, cluster = unlucky(launch(step("job"), fleets=[PRIMARY_FLEET, core]), Phase.RUNNING, lost)
    run_until_state(world, cluster, "RUNNING")
    run_until(world, world.now - START + 101)
    assert {each.market for each in cluster.instances if each.state == "TERMINATED"} == {"SPOT"}
    fleet = cluster.fleets[1]
    assert (fleet.state, fleet.provisioned_on_demand, fleet.provisioned_spot) == ("RESIZING", 2, 0)


def test_an_instance_lost_while_the_cluster_starts_delays_it_and_one_lost_while_it_bootstraps_does_not() -> None:
    world, cluster = unlucky(launch(step("job")), Phase.PROVISIONING, LoseInstances(200, "CORE"))
    run_until_state(world, cluster, "RUNNING")
    assert world.now > START + 200 + 380
    world, cluster = unlucky(launch(step("job")), Phase.BOOTSTRAPPING, LoseInstances(10, "CORE"))
    run_until_state(world, cluster, "RUNNING")
    assert world.now < START + 460
    assert cluster.groups[1].state == "RESIZING"
    run_until(world, 1000)
    assert cluster.groups[1].state == "RUNNING"


def test_a_group_that_gives_up_is_suspended_until_it_is_resized() -> None:
    lost = LoseInstances(100, "CORE", reason=Reason("BOOTSTRAP_FAILURE", "bad node"), replaced=False)
    world, cluster = unlucky(launch(keep_alive=True), Phase.RUNNING, lost)
    run_until(world, 3000)
    core = cluster.groups[1]
    assert (core.state, core.requested, cluster.state) == ("SUSPENDED", 2, "WAITING")
    assert core.reason.code == "INSTANCE_FAILURE"
    world.resize_group(cluster, core, 2)
    assert core.state == "RESIZING"
    run_until(world, 4000)
    assert (core.state, core.reason.code, len(cluster.instances)) == ("RUNNING", None, 4)


def test_a_running_cluster_without_capacity_resizes_for_ever() -> None:
    world, cluster = unlucky(launch(keep_alive=True), Phase.RUNNING, NoCapacity("CORE"))
    run_until_state(world, cluster, "WAITING")
    core = cluster.groups[1]
    assert core.state == "RUNNING"
    world.resize_group(cluster, core, 5)
    run_until(world, LONG)
    assert (core.state, len(cluster.instances)) == ("RESIZING", 3)
