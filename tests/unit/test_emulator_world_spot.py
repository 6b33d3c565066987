"""Spot instances of emulated clusters: there while the bid is met, reclaimed when it is exceeded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from servo_emr.emulator.world.records import Cluster, FleetRequest, FleetType, GroupRequest
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


@dataclass
class ScriptedMarket:
    """Prices by instance type: (seconds from START, price), in order; 0.1 before the first. On demand all costs 0.2."""

    changes: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    asked: set[tuple[str, str, str, float | None]] = field(default_factory=set)

    def met_at(self, region: str, zone: str, instance_type: str, bid: float | None, since: float) -> float:
        self.asked.add((region, zone, instance_type, bid))
        return self._first(instance_type, since, lambda price: price <= (0.2 if bid is None else bid))

    def exceeded_at(self, region: str, zone: str, instance_type: str, bid: float | None, since: float) -> float:
        return self._first(instance_type, since, lambda price: price > (0.2 if bid is None else bid))

    def on_demand(self, region: str, instance_type: str) -> float | None:
        return 0.2

    def _first(self, instance_type: str, since: float, fits: Callable[[float], bool]) -> float:
        changes = [(-math.inf, 0.1), *((START + at, price) for at, price in self.changes.get(instance_type, []))]
        ends = [at for at, _ in changes[1:]] + [math.inf]
        for (at, price), end in zip(changes, ends, strict=True):
            if end > since and fits(price):
                return max(at, since)
        return math.inf


def task(bid: str | None = None, count: int = 2) -> GroupRequest:
    return GroupRequest("TASK", "c5.xlarge", count, market="SPOT", bid_price=bid)


def rows(cluster: Cluster, role: str = "TASK") -> list[str]:
    return [each.state for each in cluster.instances if each.role == role]


def test_spot_instances_appear_when_their_bid_is_met() -> None:
    market = ScriptedMarket({"c5.xlarge": [(0, 0.3), (900, 0.1)]})
    world = new_world(ScriptedMachine(), spot=market)
    cluster = world.launch(launch(step("job"), task=task("0.15")))
    run_until(world, 920)
    assert (cluster.state, rows(cluster), rows(cluster, "CORE")) == ("STARTING", [], ["PROVISIONING"] * 2)
    run_until(world, 930)
    assert rows(cluster) == ["PROVISIONING"] * 2
    run_until_state(world, cluster, "RUNNING")
    assert world.now > START + 900 + 380
    assert market.asked == {("us-east-1", "us-east-1a", "c5.xlarge", 0.15)}


def test_a_bid_that_is_not_met_any_more_when_ec2_comes_to_it_is_made_again() -> None:
    world = new_world(ScriptedMachine(), spot=ScriptedMarket({"c5.xlarge": [(10, 0.3), (600, 0.1)]}))
    cluster = world.launch(launch(step("job"), task=task()))
    run_until(world, 590)
    assert (cluster.state, rows(cluster)) == ("STARTING", [])
    run_until_state(world, cluster, "RUNNING")
    assert rows(cluster) == ["RUNNING", "RUNNING"]


def test_reclaimed_instances_are_replaced_when_the_market_lets() -> None:
    world = new_world(ScriptedMachine(), spot=ScriptedMarket({"c5.xlarge": [(600, 0.5), (2000, 0.1), (3000, 0.5)]}))
    cluster = world.launch(launch(keep_alive=True, task=task()))
    group = cluster.groups[2]
    run_until(world, 599)
    assert (rows(cluster), group.state) == (["RUNNING"] * 2, "RUNNING")
    run_until(world, 601)
    assert (rows(cluster), group.state, cluster.state) == (["TERMINATED"] * 2, "RESIZING", "WAITING")
    lost = [each for each in cluster.instances if each.role == "TASK"]
    assert {each.reason.code for each in lost} == {"INSTANCE_FAILURE"}
    assert "Spot price exceeded" in (lost[0].reason.message or "")
    assert all(each.timeline.ended == START + 600 for each in lost)
    run_until(world, 2900)
    assert (rows(cluster), group.state) == (["TERMINATED"] * 2 + ["RUNNING"] * 2, "RUNNING")
    run_until(world, 3001)
    assert rows(cluster) == ["TERMINATED"] * 4, "the replacements are reclaimed as the first were"


def test_a_cluster_whose_spot_primary_is_reclaimed_ends() -> None:
    world = new_world(ScriptedMachine(), spot=ScriptedMarket({"m5.xlarge": [(700, 0.5)]}))
    fleets = [FleetRequest("MASTER", (FleetType("m5.xlarge"),), spot=1)]
    cluster = world.launch(launch(step("job", "hold"), fleets=fleets))
    run_until(world, LONG)
    assert (cluster.state, cluster.reason.code) == ("TERMINATED_WITH_ERRORS", "INTERNAL_ERROR")
    (detail,) = cluster.error_details
    assert detail.code == "INTERNAL_ERROR_SPOT_PRICE_INCREASE_PRIMARY"
    assert cluster.primary is not None and detail.data["primary-instance-id"] == cluster.primary.ec2_id
    assert [each.state for each in cluster.steps] == ["INTERRUPTED"]


@pytest.mark.parametrize(("price", "chosen"), [(0.1, "c5.xlarge"), (0.3, "m5.xlarge")])
def test_a_fleet_takes_the_type_whose_bid_is_met_first(price: float, chosen: str) -> None:
    market = ScriptedMarket({"c5.xlarge": [(0, price)]})
    types = (FleetType("c5.xlarge", bid_percent=50.0), FleetType("m5.xlarge", bid_price="0.12"))
    world = new_world(ScriptedMachine(), spot=market)
    cluster = world.launch(launch(step("job"), fleets=[PRIMARY_FLEET, FleetRequest("CORE", types, spot=3)]))
    run_until_state(world, cluster, "RUNNING")
    assert {each.instance_type for each in cluster.instances if each.role == "CORE"} == {chosen}
    assert {(name, bid) for _, _, name, bid in market.asked} == {("c5.xlarge", 0.1), ("m5.xlarge", 0.12)}


def test_on_demand_instances_know_no_spot_market() -> None:
    market = ScriptedMarket({"m5.xlarge": [(0, 9.0)]})
    world = new_world(ScriptedMachine(), spot=market)
    cluster = world.launch(launch(step("job")))
    run_until(world, LONG)
    assert (cluster.state, market.asked) == ("TERMINATED", set())
