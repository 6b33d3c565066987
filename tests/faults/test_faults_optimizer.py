"""F31: an optimizer that is down, talks nonsense, asks for what is not allowed, or changes its mind."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.optimizer import HTTP_STATUS, Received, measure
from tests.support.persistent import PersistentOptimizer
from tests.support.promise import broken
from tests.support.rig import Rig
from tests.support.sampled import sampled
from tests.support.stage import Stage

Make = Callable[..., Rig]

NONSENSE: dict[str, list[dict[str, Any]]] = {
    "is down": [{HTTP_STATUS: 503}, {HTTP_STATUS: 500}],
    "refuses": [{HTTP_STATUS: 400}, {HTTP_STATUS: 429}],
    "talks nonsense": [
        {"cmd": "EXPLODE", "param": {}},
        {"cmd": "MEASURE"},
        {"cmd": ["MEASURE"], "param": {"metrics": "duration"}},
        {"status": 5},
        {},
    ],
}


class Troubled(PersistentOptimizer):
    """Gives the replies of one kind of trouble to the first questions, then to the first progress reports of a run;
    and holds one report longer than a servo waits for an answer."""

    def __init__(self, kind: str) -> None:
        self._to_questions = list(NONSENSE[kind])
        self._to_reports = list(NONSENSE[kind])[:2] if kind != "talks nonsense" else []
        self._held = kind == "is down"
        super().__init__()

    def answer(self, body: Received) -> dict[str, Any]:
        if body.event == "WHATS_NEXT" and self._to_questions:
            return self._to_questions.pop(0)
        answer = super().answer(body)
        param = body.param
        if isinstance(param, dict) and "progress" in param:
            if self._to_reports:
                return self._to_reports.pop(0)
            if self._held:
                self._held = False
                time.sleep(6.0)  # real: servox gives a request up after 5 s
        return answer


@pytest.mark.parametrize("kind", sampled(NONSENSE, "refuses"))
def test_f31_an_optimizer_in_trouble_costs_no_cluster_and_no_run(stage: Stage, tmp_path: Path, kind: str) -> None:
    """Before a command and in the run: 5xx, 4xx, a timeout, replies that make no sense; whatever servox does, a
    supervisor starts it again, one cluster is measured, and one answer is given."""
    with stage.scene(tmp_path, kind.replace(" ", "-"), optimizer=lambda: Troubled(kind)) as scene:
        answer = scene.ask(measure(["duration"]))
        assert scene.servo.starts <= 10, "no crash loop"
        assert broken(scene) == []
        assert len([c for c in scene.clusters() if c["Status"]["StateChangeReason"]["Code"] != "USER_REQUEST"]) == 1
    assert (answer["status"], list(answer["metrics"])) == ("ok", ["duration"])


OUT_OF_BOUNDS: list[tuple[str, Any]] = [
    ("core.replicas", 0),
    ("core.replicas", 7),
    ("core.replicas", -1),
    ("core.replicas", 2.5),
    ("core.replicas", "many"),
    ("core.replicas", float("inf")),
    ("core.replicas", 10**400),
    ("core.inst_type", "m5.24xlarge"),
    ("core.inst_type", 5),
    ("core.inst_type", "m5.xlarge\n"),
    ("primary.inst_type", "c5.xlarge"),
    ("core.count", 2),
    ("core." + "x" * 10_000, 2),
]


async def test_f31_a_value_out_of_bounds_or_of_an_unknown_kind_is_rejected_and_never_launched(rig: Make) -> None:
    """In an adjustment: whatever is not what servo.yaml allows is rejected in few words, and what then is measured is
    what had been staged before."""
    scene = rig()
    async with scene.started() as connector:
        assert (await scene.adjust(connector, {"core.replicas": 3}))["status"] == "ok"
        for selector, value in OUT_OF_BOUNDS:
            answer = await scene.adjust(connector, {selector: value})
            assert answer["status"] == "failed", (selector, value)
            assert answer["reason"].startswith("configuration/"), answer
            assert len(answer["message"]) < 500
        assert scene.clusters() == []
        assert (await scene.measure(connector, ["duration"]))["status"] == "ok"
    (record,) = scene.records()
    assert record["settings"]["core.replicas"] == 3
    assert scene.holds() == []


async def test_f31_other_settings_between_adjust_and_measure_are_what_is_measured(rig: Make) -> None:
    """Between adjust and measure another adjustment comes: the run is of the last one, and its record says so."""
    scene = rig()
    async with scene.started() as connector:
        await scene.adjust(connector, {"core.replicas": 2})
        await scene.adjust(connector, {"core.replicas": 4})
        assert (await scene.measure(connector, ["duration"]))["status"] == "ok"
    (record,) = scene.records()
    assert record["settings"]["core.replicas"] == 4
    assert [g["InstanceCount"] for g in record["request"]["Instances"]["InstanceGroups"]] == [1, 4]
    assert scene.holds() == []


async def test_f31_userdata_that_is_not_allowed_launches_nothing(rig: Make) -> None:
    """With a measurement: keys, kinds and sizes that nobody allowed are refused, and nothing is launched."""
    scene = rig()
    deep: Any = []
    for _ in range(900):  # Python's json reads no deeper from the wire
        deep = [deep]
    hostile: list[Any] = [
        {"no-such": 1},
        {"parameters": {"no-such": 1}},
        {"parameters": [1]},
        {"parameters": {"mode": float("nan")}},
        {"parameters": {"mode": "\ud800"}},
        {"parameters": {"mode": deep}},
        {"parameters": {"mode": "x" * 10_000_000}},
        {"deadline_s": -1},
        {"deadline_s": "long"},
        {"max_cost_usd": True},
        {"max_cost_usd": 10**400},
        [1],
        "text",
    ]
    connector = scene.connector()
    for userdata in hostile:
        answer = await scene.measure(connector, ["duration"], userdata)
        assert (answer["status"], answer["reason"]) == ("failed", "operator/userdata"), str(userdata)[:80]
        assert len(answer["message"]) < 500
    assert scene.clusters() == []
    assert scene.holds() == []
