"""F25 and F26: what goes wrong in the job itself, and on the node before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.rig import Job, Rig, scrap
from tests.support.samples import notebook

Make = Callable[..., Rig]


def recorded(value: Any) -> Job:
    return Job(output=notebook(scrap("accuracy", value)))


async def test_f25_a_step_that_hangs_is_ended_at_its_limit(rig: Make) -> None:
    """In the job: a step that never ends is ended by the servo's own deadline, and its configuration is to blame."""
    scene = rig()
    scene.shop.faults({"kind": "stuck", "phase": "step"})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "configuration/job-timeout")
    assert scene.shop.struck() == 1
    (cluster,) = scene.clusters()
    lived = cluster["Status"]["Timeline"]["EndDateTime"] - cluster["Status"]["Timeline"]["CreationDateTime"]
    assert lived.total_seconds() < 960 + 30 * 60, "the job's own limit and 30 minutes"
    assert scene.holds() == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.5, "0.9", True, None, [1]], ids=repr)
async def test_f25_a_metric_that_is_no_plain_number_never_reaches_the_wire(rig: Make, value: Any) -> None:
    """In collecting: NaN, infinity, a negative number, text and the like are left out, and named as missing."""
    scene = rig(recorded(value))
    answer = await scene.cycle(["duration", "accuracy"])
    assert answer["status"] == "ok"
    assert list(answer["metrics"]) == ["duration"]
    assert "no value for accuracy" in answer["annotations"]["warnings"]
    assert scene.holds() == []
