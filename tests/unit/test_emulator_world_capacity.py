"""Groups and fleets of emulated clusters: what they are made of, resizing, and their states meanwhile."""

from __future__ import annotations

from collections import Counter

import pytest

from servo_emr.emulator.world.durations import Ernest, ModelDurations
from servo_emr.emulator.world.ids import Ids
from servo_emr.emulator.world.records import (
    Bootstrap,
    Cluster,
    Fleet,
    FleetRequest,
    FleetType,
    Group,
    GroupRequest,
    Instance,
    Volume,
)
from servo_emr.emulator.world.world import World
from tests.support.world import (
    PRIMARY_FLEET,
    START,
    ScriptedMachine,
    launch,
    new_world,
    run_until,
    run_until_state,
    step,
)

LONG = 100_000.0


def rows(cluster: Cluster, collection: Group | Fleet) -> list[Instance]:
    return [instance for instance in cluster.instances if instance.collection_id == collection.id]


def states(instances: list[Instance]) -> Counter[str]:
    return Counter(instance.state for instance in instances)


def waiting(world: World, cluster: Cluster) -> Group:
    """The core group of the cluster, which waits."""
    run_until_state(world, cluster, "WAITING")
    return cluster.groups[1]


def test_a_group_goes_through_the_phases_of_its_cluster() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("job")))
    seen: list[tuple[str, str]] = []
    while world.next_event() is not None:
        moment = (cluster.state, cluster.groups[1].state)
        if not seen or moment != seen[-1]:
            seen.append(moment)
        world.run_next()
    seen.append((cluster.state, cluster.groups[1].state))
    assert seen == [
        ("STARTING", "PROVISIONING"),
        ("BOOTSTRAPPING", "BOOTSTRAPPING"),
        ("RUNNING", "RUNNING"),
        ("TERMINATING", "TERMINATING"),
        ("TERMINATED", "TERMINATED"),
    ]
    group = cluster.groups[1]
    assert (group.timeline.began, group.timeline.ended) == (cluster.timeline.began, cluster.timeline.ended)
    assert group.reason.code == "CLUSTER_TERMINATED"


def test_each_instance_has_a_root_volume_and_those_asked_for() -> None:
    world = new_world(ScriptedMachine())
    volumes = (Volume("gp3", 64), Volume("gp2", 32))
    cluster = world.launch(launch(task=GroupRequest("TASK", "r5.xlarge", 2, volumes=volumes), keep_alive=True))
    run_until_state(world, cluster, "WAITING")
    assert [len(each.volume_ids) for each in rows(cluster, cluster.groups[1])] == [1, 1]
    assert [len(each.volume_ids) for each in rows(cluster, cluster.groups[2])] == [3, 3]
    ids = [name for instance in cluster.instances for name in instance.volume_ids]
    assert len(set(ids)) == len(ids) and all(name.startswith("vol-") and len(name) == 21 for name in ids)


def test_a_group_that_grows_is_resizing_until_the_new_nodes_have_joined() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True))
    core = waiting(world, cluster)
    asked = world.now - START
    world.resize_group(cluster, core, 4)
    assert (core.requested, core.state) == (4, "RESIZING")
    run_until(world, asked + 30)
    assert states(rows(cluster, core)) == {"RUNNING": 2, "PROVISIONING": 2}
    run_until(world, asked + 330)
    assert states(rows(cluster, core)) == {"RUNNING": 2, "BOOTSTRAPPING": 2}
    run_until(world, asked + 480)
    assert states(rows(cluster, core)) == {"RUNNING": 4}
    assert (core.state, cluster.state) == ("RUNNING", "WAITING")
    assert all(each.timeline.began and each.timeline.began > START + asked for each in rows(cluster, core)[2:])


def test_a_group_that_shrinks_drains_its_newest_nodes_first() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True, core=4))
    core = waiting(world, cluster)
    asked = world.now - START
    world.resize_group(cluster, core, 1)
    run_until(world, asked + 59)
    assert (core.state, states(rows(cluster, core))) == ("RESIZING", {"RUNNING": 4})
    run_until(world, asked + 61)
    assert core.state == "RUNNING"
    gone = [each for each in rows(cluster, core) if each.state == "TERMINATED"]
    assert len(gone) == 3
    assert {each.reason.code for each in gone} == {None} and all(
        each.timeline.ended == START + asked + 60 for each in gone
    )


def test_instances_named_go_first_and_a_count_that_needs_them_replaces_them() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True, core=3))
    core = waiting(world, cluster)
    oldest, second, third = rows(cluster, core)
    world.resize_group(cluster, core, 2, [oldest.ec2_id])
    run_until(world, 1000)
    assert [each.state for each in (oldest, second, third)] == ["TERMINATED", "RUNNING", "RUNNING"]
    world.resize_group(cluster, core, 2, [second.ec2_id])
    run_until(world, 2000)
    assert [each.state for each in rows(cluster, core)] == ["TERMINATED", "TERMINATED", "RUNNING", "RUNNING"]
    assert core.state == "RUNNING"


def test_a_resize_overtakes_the_one_before() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True))
    core = waiting(world, cluster)
    asked = world.now - START
    world.resize_group(cluster, core, 6)
    world.resize_group(cluster, core, 4)
    run_until(world, asked + 30)
    world.resize_group(cluster, core, 3)
    run_until(world, asked + 2000)
    assert states(rows(cluster, core)) == {"RUNNING": 3, "TERMINATED": 1}, "two were never made, one was on its way"
    assert core.state == "RUNNING"


def test_a_group_added_to_a_running_cluster_comes_up_by_itself() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(step("job", "hold"), keep_alive=True))
    run_until_state(world, cluster, "RUNNING")
    added = world.now - START
    task = world.add_group(cluster, GroupRequest("TASK", "c5.xlarge", 2, market="SPOT"))
    seen = []
    for second in range(0, 500, 10):
        run_until(world, added + second)
        if not seen or task.state != seen[-1]:
            seen.append(task.state)
    assert seen == ["PROVISIONING", "BOOTSTRAPPING", "RUNNING"]
    assert task.timeline.created == START + added
    assert task.timeline.began is not None and task.timeline.began - task.timeline.created > 390
    assert {(each.role, each.market, each.state) for each in rows(cluster, task)} == {("TASK", "SPOT", "RUNNING")}
    empty = world.add_group(cluster, GroupRequest("TASK", "c5.xlarge", 0))
    assert empty.state == "RUNNING" and cluster.groups[-1] is empty


def test_a_reconfigured_group_is_reconfiguring_for_a_while() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True))
    core = waiting(world, cluster)
    asked = world.now - START
    world.reconfigure_group(cluster, core)
    run_until(world, asked + 89)
    assert core.state == "RECONFIGURING"
    run_until(world, asked + 91)
    assert core.state == "RUNNING"


def test_a_cluster_that_ends_takes_draining_and_coming_nodes_with_it() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True, core=3))
    core = waiting(world, cluster)
    world.resize_group(cluster, core, 1)
    task = world.add_group(cluster, GroupRequest("TASK", "c5.xlarge", 2))
    run_until(world, world.now - START + 30)
    world.terminate(cluster)
    run_until(world, LONG)
    assert states(cluster.instances) == {"TERMINATED": 6}
    assert {each.reason.code for each in cluster.instances} == {"CLUSTER_TERMINATED"}
    assert (core.state, task.state, task.timeline.began) == ("TERMINATED", "TERMINATED", None)
    assert world.next_event() is None


def test_a_fleet_takes_instances_until_its_targets_are_met_or_passed() -> None:
    types = (FleetType("m5.2xlarge", weight=8, volumes=(Volume("gp3", 64),)), FleetType("m5.xlarge", weight=4))
    core = FleetRequest("CORE", types, on_demand=12, spot=8)
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True, fleets=[PRIMARY_FLEET, core]))
    run_until_state(world, cluster, "WAITING")
    fleet = cluster.fleets[1]
    assert (fleet.state, fleet.timeline.began) == ("RUNNING", cluster.timeline.began)
    assert (fleet.on_demand, fleet.provisioned_on_demand) == (12, 16), "two of weight 8 pass 12"
    assert (fleet.spot, fleet.provisioned_spot) == (8, 8)
    made = Counter((each.market, each.instance_type) for each in rows(cluster, fleet))
    assert made == {("ON_DEMAND", "m5.2xlarge"): 2, ("SPOT", "m5.2xlarge"): 1}
    assert cluster.groups == [] and fleet.id.startswith("if-")
    assert cluster.primary is not None and cluster.primary.collection_id == cluster.fleets[0].id
    assert all(len(each.volume_ids) == 2 for each in rows(cluster, fleet))


def test_a_fleet_is_resized_by_units_and_never_falls_below_its_target() -> None:
    core = FleetRequest("CORE", (FleetType("m5.xlarge", weight=4, bid_percent=80.0),), on_demand=8, spot=8)
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True, fleets=[PRIMARY_FLEET, core]))
    run_until_state(world, cluster, "WAITING")
    fleet = cluster.fleets[1]
    world.resize_fleet(cluster, fleet, 5, 14)
    assert (fleet.state, fleet.on_demand, fleet.spot) == ("RESIZING", 5, 14)
    run_until(world, 2000)
    assert (fleet.state, fleet.provisioned_on_demand, fleet.provisioned_spot) == ("RUNNING", 8, 16)
    world.resize_fleet(cluster, fleet, 4, 0)
    run_until(world, 3000)
    assert (fleet.state, fleet.provisioned_on_demand, fleet.provisioned_spot) == ("RUNNING", 4, 0)
    world.terminate(cluster)
    run_until(world, LONG)
    assert (fleet.state, fleet.provisioned_on_demand, fleet.reason.code) == ("TERMINATED", 0, "CLUSTER_TERMINATED")


def test_a_fleet_added_to_a_running_cluster_comes_up_by_itself() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True, fleets=[PRIMARY_FLEET]))
    run_until_state(world, cluster, "WAITING")
    task = world.add_fleet(cluster, FleetRequest("TASK", (FleetType("c5.xlarge"),), spot=3))
    assert (task.state, cluster.fleets[-1]) == ("PROVISIONING", task)
    run_until(world, 2000)
    assert (task.state, task.provisioned_spot, len(rows(cluster, task))) == ("RUNNING", 3, 3)


@pytest.mark.parametrize("bootstrap_seconds", [0.0, 200.0])
def test_a_later_node_takes_the_time_of_the_bootstrap_actions_too(bootstrap_seconds: float) -> None:
    law = ModelDurations(
        Ids("1"), cores=lambda name: 4, law=Ernest(600, 0, 0, 0), noise=0.0, bootstrap_seconds=bootstrap_seconds
    )
    world = new_world(ScriptedMachine(), law)
    cluster = world.launch(launch(keep_alive=True, bootstraps=[Bootstrap("b", "s3://b/b", ("0",))]))
    core = waiting(world, cluster)
    asked = world.now
    world.resize_group(cluster, core, 3)
    run_until(world, LONG)
    began = rows(cluster, core)[2].timeline.began
    assert began is not None and 390 < began - asked - bootstrap_seconds < 450
