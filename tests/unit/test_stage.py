"""Adjusting spends nothing: what is allowed is staged, what is not changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from servo_emr.domain.errors import ConfigurationError, OperatorError, Reason
from servo_emr.domain.ports import Finding, Preflight
from servo_emr.domain.spec import Role
from servo_emr.lifecycle.stage import Stage
from servo_emr.pricing.book import RateBook
from servo_emr.pricing.table import TablePrices
from tests.support.memory import MemoryWorkspace
from tests.support.samples import SPACE, limited
from tests.support.scripted_target import Script, ScriptedTarget
from tests.support.simclock import SimClock


def stage(workspace: MemoryWorkspace, script: Script | None = None, **limits: Any) -> tuple[Stage, ScriptedTarget]:
    clock = SimClock()
    target = ScriptedTarget(clock, script)
    return Stage(target, workspace, RateBook([TablePrices()], clock=clock), clock, SPACE, limited(**limits)), target


async def test_what_was_adjusted_is_what_the_next_servo_finds() -> None:
    workspace = MemoryWorkspace()
    first, target = stage(workspace)
    staged = await first.adjust([("core.replicas", "6.0"), ("core.inst_type", "c5.xlarge")])
    again, _ = stage(workspace)
    assert (await again.current()).values == staged.values
    assert staged.values == {"primary.inst_type": "m5.xlarge", "core.inst_type": "c5.xlarge", "core.replicas": 6}
    assert target.count("submit") == 0
    core = again.spec(staged.values).group(Role.CORE)
    assert core is not None
    assert (core.inst_type, core.count) == ("c5.xlarge", 6)


async def test_without_staged_values_the_configured_ones_run() -> None:
    only, _ = stage(MemoryWorkspace())
    assert await only.current() == type(await only.current())(SPACE.configured, ())


@pytest.mark.parametrize(
    ("adjustments", "limits", "reason"),
    [
        ([("core.replicas", 99)], {}, Reason.OUT_OF_BOUNDS),
        ([("core.replicas", 6), ("task.replicas", 3)], {}, Reason.UNKNOWN_SETTING),
        ([("core.replicas", 12)], {"nodes": 12}, Reason.LIMITS),
        ([("core.replicas", 12)], {"cost_per_hour": 3.0}, Reason.LIMITS),
        ([("core.replicas", 12)], {"cost_per_run": 0.1}, Reason.COST_CEILING),
    ],
)
async def test_a_refused_adjustment_leaves_what_was_staged(
    adjustments: list[tuple[str, object]], limits: dict[str, float], reason: Reason
) -> None:
    workspace = MemoryWorkspace()
    fine, _ = stage(workspace)
    await fine.adjust([("core.replicas", 4)])
    before = dict(workspace.objects)
    limited_stage, target = stage(workspace, **limits)
    with pytest.raises(ConfigurationError) as refused:
        await limited_stage.adjust(adjustments)
    assert refused.value.reason is reason
    assert workspace.objects == before
    assert target.count("submit") == 0


async def test_a_type_that_certainly_cannot_run_is_refused_and_a_doubt_is_only_said() -> None:
    certain = Script(preflight=Preflight((Finding(Reason.TYPE_UNSUPPORTED, "not supported", True),)))
    with pytest.raises(ConfigurationError):
        await stage(MemoryWorkspace(), certain)[0].adjust([("core.replicas", 6)])
    doubt = Script(preflight=Preflight((Finding(Reason.CREDENTIALS, "not asked", False),)))
    staged = await stage(MemoryWorkspace(), doubt)[0].adjust([("core.replicas", 6)])
    assert staged.warnings == ("not asked",)


@pytest.mark.parametrize("body", [{}, {"values": None}, {"values": [1]}, {"values": {"core.replicas": "lots", "x": 1}}])
async def test_a_staged_document_that_makes_no_sense_gives_way_to_the_configuration(body: dict[str, Any]) -> None:
    workspace = MemoryWorkspace()
    workspace.objects["staged.json"] = json.dumps(body).encode()
    workspace._versions["staged.json"] = "v0"
    staged = await stage(workspace)[0].current()
    assert staged.values == SPACE.configured
    assert bool(staged.warnings) == bool(body)


class Busy(MemoryWorkspace):
    """Somebody else is always there first, `times` times."""

    times = 0

    async def write(self, name: str, body: Mapping[str, Any], expected: str | None) -> str:
        if name == "staged" and self.times > 0:
            self.times -= 1
            await super().write(name, {"values": {"core.replicas": 8}}, expected)
        return await super().write(name, body, expected)


async def test_an_adjustment_that_crosses_anothers_is_made_again_on_what_is_there_now() -> None:
    workspace = Busy()
    workspace.times = 2
    said: list[str] = []
    staged = await stage(workspace)[0].adjust([("core.inst_type", "r5.xlarge")], said.append)
    assert (staged.values["core.replicas"], staged.values["core.inst_type"]) == (8, "r5.xlarge")
    assert len(said) == 2


async def test_two_who_never_stop_writing_are_a_matter_for_the_operator() -> None:
    workspace = Busy()
    workspace.times = 100
    with pytest.raises(OperatorError, match=r"staged\.json keeps being changed") as refused:
        await stage(workspace)[0].adjust([("core.replicas", 6)])
    assert refused.value.reason is Reason.LEASE
