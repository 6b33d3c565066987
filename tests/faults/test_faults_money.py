"""F32 and F33: prices that cannot be had, or change; times that make no sense."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from servo_emr.domain.errors import UsageError
from tests.support.rig import Rig

Make = Callable[..., Rig]

SPOT = {"inst_type": {"values": ["m5.xlarge"], "value": "m5.xlarge"}, "replicas": {"min": 1, "max": 3, "value": 2}}


async def refused(scene: Rig, settings: dict[str, Any]) -> dict[str, Any]:
    """The answer to an adjustment; nothing was launched."""
    async with scene.started() as connector:
        answer = await scene.adjust(connector, settings)
    assert scene.clusters() == []
    return answer


async def test_f32_a_type_without_a_price_is_refused_and_never_free(rig: Make) -> None:
    """Before the launch: neither the list nor the table has a price for the type; `operator/price`, no cluster."""
    types = {"values": ["m5.xlarge", "g4dn.xlarge"], "value": "m5.xlarge"}
    scene = rig(components__core={**SPOT, "inst_type": types})
    answer = await refused(scene, {"core.inst_type": "g4dn.xlarge"})
    assert (answer["status"], answer["reason"]) == ("failed", "operator/price")
    assert scene.holds() == []


async def test_f32_a_type_that_nobody_knows_is_refused(rig: Make) -> None:
    """Before the launch: a type that AWS does not have; refused when it is asked for, and no cluster."""
    types = {"values": ["m5.xlarge", "x9.enormous"], "value": "m5.xlarge"}
    scene = rig(components__core={**SPOT, "inst_type": types})
    answer = await refused(scene, {"core.inst_type": "x9.enormous"})
    assert (answer["status"], answer["reason"]) == ("failed", "configuration/type-unsupported")
    assert scene.holds() == []


async def test_f32_a_region_without_prices_is_refused(rig: Make) -> None:
    """Before the launch: a region of which no price is known; `operator/price`, no cluster anywhere."""
    scene = rig(region="eu-north-1")
    async with scene.started() as connector:
        answer = await scene.measure(connector)
    assert (answer["status"], answer["reason"]) == ("failed", "operator/price")
    assert scene.clusters() == []
    assert scene.holds() == []


def pinned(ec2: float) -> dict[str, Any]:
    return {"live": False, "overrides": {"m5.xlarge": {"ec2": ec2, "fee": 0.048}}}


async def test_f32_a_price_that_changes_in_mid_study_bills_each_run_at_its_own(rig: Make) -> None:
    """Between two runs the price doubles: each record has the prices that its own run was launched with."""
    scene = rig(prices=pinned(0.2))
    cheap = await scene.cycle(["cost"])
    scene.changes["prices"] = pinned(0.4)
    dear = await scene.cycle(["cost"])
    first, second = scene.records()
    assert (first["prices"] == second["prices"]) is False
    assert cheap["metrics"]["cost"]["value"] == pytest.approx(first["cost"]["usd"], abs=1e-4)
    assert dear["metrics"]["cost"]["value"] > 1.5 * cheap["metrics"]["cost"]["value"]
    assert scene.holds() == []


@pytest.mark.parametrize("moment", ["before the launch", "when the bill is made"])
async def test_f32_without_spot_prices_there_is_no_cost_and_no_zero(rig: Make, moment: str) -> None:
    """No spot price history, before the launch or when the bill is made: no run, or a duration without a cost."""
    scene = rig(components__core={**SPOT, "market": "spot"})
    unasked = {"kind": "access-denied", "operation": "ec2:DescribeSpotPriceHistory"}
    if moment == "before the launch":
        scene.shop.faults(unasked)
    else:
        scene.in_phase("the job", lambda: scene.shop.faults(unasked))
    answer = await scene.cycle(["duration", "cost"])
    if answer["status"] == "ok":
        assert list(answer["metrics"]) == ["duration"]
        assert scene.records()[0]["cost"] is None
    assert scene.shop.struck() > 0
    assert "ec2:DescribeSpotPriceHistory" in scene.log
    assert scene.holds() == []


async def test_f32_a_price_of_nothing_is_refused(rig: Make) -> None:
    """In servo.yaml: a price of 0 or less is no price; it is refused with its place before anything starts."""
    for wrong in (0, -0.1, float("nan"), float("inf")):
        scene = rig(prices=pinned(wrong))
        with pytest.raises((ValueError, UsageError), match="ec2"):
            scene.config()
    assert scene.holds() == []


def altered(operation: str, member: str, **change: Any) -> dict[str, Any]:
    return {"kind": "alter", "operation": operation, "member": member, **change}


SENSELESS = {
    "a step has no end": altered("ListSteps", "Steps.Status.Timeline.EndDateTime", remove=True),
    "a step ends before it starts": altered("ListSteps", "Steps.Status.Timeline.EndDateTime", by=-100_000),
    "the cluster has no end": altered("DescribeCluster", "Cluster.Status.Timeline.EndDateTime", remove=True),
    "an instance has no end": altered("ListInstances", "Instances.Status.Timeline.EndDateTime", remove=True),
    "an instance ends before it was made": altered(
        "ListInstances", "Instances.Status.Timeline.EndDateTime", by=-100_000
    ),
}


@pytest.mark.parametrize("name", SENSELESS)
async def test_f33_a_time_that_makes_no_sense_is_no_number(rig: Make, name: str) -> None:
    """At the bill: ends that are missing, or lie before their starts; what cannot be computed is left out with its
    cause, and no metric is negative or guessed."""
    scene = rig()
    scene.shop.faults(SENSELESS[name])
    answer = await scene.cycle(["duration", "cost", "accuracy"])
    assert scene.shop.struck() > 0
    assert answer["status"] == "ok", answer
    assert "accuracy" in answer["metrics"]
    if name.startswith("a step"):
        assert "duration" not in answer["metrics"]
        assert "duration" in answer["annotations"]["warnings"]
    else:
        assert answer["metrics"]["duration"]["value"] == pytest.approx(900.0, abs=0.01)
    if name.startswith("an instance ends"):
        assert "cost" not in answer["metrics"]
    assert scene.holds() == []


async def test_f33_daylight_saving_moves_no_duration(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the job: the servo's own zone turns its clock back by an hour; times are UTC, and 900 s are 900 s."""
    monkeypatch.setenv("TZ", "EST5EDT,M11.1.0,M11.4.0")  # a zone whose summer ends within the month
    time.tzset()
    try:
        scene = rig()
        answer = await scene.cycle(["duration"])
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert answer["metrics"]["duration"]["value"] == pytest.approx(900.0, abs=0.01)
    (record,) = scene.records()
    (cluster,) = scene.clusters()
    created = cluster["Status"]["Timeline"]["CreationDateTime"].timestamp()
    assert record["run_id"].startswith(time.strftime("%Y%m%dt%H%M", time.gmtime(record["created_at"])))
    assert record["created_at"] == pytest.approx(created, abs=60)
    assert scene.holds() == []


async def test_f33_a_job_below_the_minute_of_the_floor_is_measured_as_it_was(rig: Make) -> None:
    """In the job: by EMR's word it took 20 s; its duration is 20 s, and its share of the bill that of 20 s, not of a
    minute."""
    scene = rig()
    scene.shop.faults(altered("ListSteps", "Steps.Status.Timeline.StartDateTime", by=880))
    answer = await scene.cycle(["duration", "job_cost", "cost"])
    assert answer["metrics"]["duration"]["value"] == pytest.approx(20.0, abs=0.01)
    assert 0 < answer["metrics"]["job_cost"]["value"] < answer["metrics"]["cost"]["value"] / 10
    assert scene.holds() == []


async def test_f33_a_job_that_outlives_the_credentials_is_measured_once_they_are_renewed(rig: Make) -> None:
    """In the job: the credentials have expired for ten minutes, then there are new ones; measured as if nothing had
    been."""
    scene = rig()
    expired = {"kind": "expired-credentials", "operation": "*:*", "until": 600}
    scene.in_phase("the job", lambda: scene.shop.faults(expired))
    answer = await scene.cycle(["duration"])
    assert scene.shop.struck() > 0
    assert answer["metrics"]["duration"]["value"] == pytest.approx(900.0, abs=0.01)
    assert scene.holds() == []
