"""What EMR's reading operations tell of a world: which instances, times and clusters."""

from __future__ import annotations

from typing import Any

from servo_emr.emulator.emr import reading
from servo_emr.emulator.emr.request import Call
from servo_emr.emulator.region import Regions
from servo_emr.emulator.world.records import Instance, Timeline
from servo_emr.emulator.world.world import World
from tests.support.world import START, ScriptedMachine, launch, new_world, run_until, run_until_state, step


def call(world: World, **document: Any) -> Call:
    return Call(world, Regions(), "us-east-1", document, lambda cluster: False)


def listed(world: World, cluster_id: str) -> list[dict[str, Any]]:
    """All pages of ListInstances."""
    found: list[dict[str, Any]] = []
    marker: str | None = None
    while True:
        answer = reading.list_instances(call(world, ClusterId=cluster_id, **({"Marker": marker} if marker else {})))
        found += answer["Instances"]
        marker = answer["Marker"]
        if marker is None:
            return found


def gone(number: int, ended: float) -> Instance:
    line = Timeline(START, START, ended)
    return Instance(f"ci-{number}", f"i-{number}", "ig-1", "TASK", "m5.xlarge", "SPOT", "", line, state="TERMINATED")


def test_of_more_than_two_thousand_instances_those_that_ended_first_are_not_listed() -> None:
    world = new_world(ScriptedMachine())
    cluster = world.launch(launch(keep_alive=True))
    run_until_state(world, cluster, "WAITING")
    cluster.instances += [gone(number, world.now) for number in range(2100)]
    rows = listed(world, cluster.id)
    assert [row["Status"]["State"] for row in rows] == ["RUNNING"] * 3 + ["TERMINATED"] * 1997
    assert [row["Id"] for row in (rows[3], rows[-1])] == ["ci-103", "ci-2099"]


def test_times_are_told_in_milliseconds_and_clusters_are_found_by_the_times_that_are_told() -> None:
    world = new_world(ScriptedMachine())
    world.now = START + 0.123_456_7
    cluster = world.launch(launch(step("job")))
    run_until(world, 100_000.0)
    told = reading.describe_cluster(call(world, ClusterId=cluster.id))["Cluster"]["Status"]["Timeline"]
    line = reading.list_steps(call(world, ClusterId=cluster.id))["Steps"][0]["Status"]["Timeline"]
    rows = [row["Status"]["Timeline"] for row in listed(world, cluster.id)]
    assert told["CreationDateTime"] == START + 0.123
    times = [at for each in (told, line, *rows) for at in each.values()]
    assert len(times) == 3 * 5 and all(at == round(at, 3) for at in times)
    between = {"CreatedAfter": told["CreationDateTime"], "CreatedBefore": told["CreationDateTime"]}
    assert [each["Id"] for each in reading.list_clusters(call(world, **between))["Clusters"]] == [cluster.id]
