"""kill -9 at every call of a cycle, before the call is passed on and after its answer has come; restart; ask again.

The proxy stands in front of the emulator: the product has no hook for this. A sample runs with every test run, the
whole nightly.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.support.optimizer import adjust, measure
from tests.support.promise import broken
from tests.support.proxy import Call, When, named
from tests.support.sampled import sampled
from tests.support.stage import Scene, Stage, staged


@dataclass(frozen=True)
class Case:
    """One crash, and what became of the cycle."""

    when: When
    call: Call
    launches: int
    starts: int
    answer: dict[str, Any]
    broken: list[str]

    def __str__(self) -> str:
        outcome = f"{self.answer['status']}{', recovered' if self.recovered else ''}"
        return (
            f"{self.when:6} {self.call.number:3}  {str(self.call)[:88]:88}  launches {self.launches}  "
            f"{outcome}{'  BROKEN: ' + '; '.join(self.broken) if self.broken else ''}"
        )

    @property
    def recovered(self) -> bool:
        return "recovered" in self.answer.get("annotations", {})


def crash(stage: Stage, folder: Path, name: str, when: When, at: Callable[[Call], bool]) -> Case | int:
    """One cycle with a crash at the call that matches; the number of its calls when none did."""
    met: list[Call] = []

    def kill(call: Call) -> None:
        met.append(call)
        scene.kill(call)

    with stage.scene(folder / name, name) as scene:
        stage.proxy.trap(when, at, kill)
        adjusted = scene.ask(adjust({"core.replicas": 3}))
        answer = scene.ask(measure(["duration"]))
        calls = len(stage.proxy.calls())
        case = _case(scene, when, met[0], answer) if met else None
    assert adjusted["status"] == "ok", adjusted
    return case or calls


def _case(scene: Scene, when: When, call: Call, answer: dict[str, Any]) -> Case:
    return Case(when, call, len(scene.clusters()), scene.servo.starts, answer, broken(scene))


def numbered(number: int) -> Callable[[Call], bool]:
    return lambda call: call.number == number


def in_the_window(case: Case) -> bool:
    """Whether the crash came between writing down that a run answers and answering: that may cost one run."""
    return case.when == "after" and case.launches == 2


SAMPLE: dict[str, tuple[When, Callable[[Call], bool]]] = {
    "before the values are staged": ("before", named("PutObject", "/staged.json")),
    "after the intent is on record": ("after", lambda call: call.operation == "PutObject" and "/records/" in call.key),
    "before the launch": ("before", named("RunJobFlow")),
    "after the launch": ("after", named("RunJobFlow")),
    "in the job": ("after", named("GetObject", "/progress.json")),
    "when the bill is made": ("before", named("ListInstances")),
}


@pytest.mark.parametrize("name", sampled(SAMPLE, "after the launch"))
def test_f27_a_servo_that_is_killed_takes_its_run_up_again(stage: Stage, tmp_path: Path, name: str) -> None:
    """At a sample of a cycle's calls: kill -9 before a call is passed on, or after its answer; restarted, it measures
    the same run on the same cluster, and launches no second."""
    when, at = SAMPLE[name]
    case = crash(stage, tmp_path, name.replace(" ", "-"), when, at)
    assert isinstance(case, Case), f"no such call among {case}"
    assert case.broken == []
    assert (case.answer["status"], case.launches, case.starts) == ("ok", 1, 2)
    # Whoever dies with its intent on record finds it there; before that there is no run to recover.
    assert case.recovered == (name != "before the values are staged")
    # 900 s is what the step takes, whoever looked at it.
    assert case.answer["metrics"]["duration"]["value"] == pytest.approx(900.0, abs=0.01)


@pytest.mark.nightly
@pytest.mark.timeout(5400)
def test_f27_a_servo_that_is_killed_at_any_call_loses_no_cluster_and_pays_no_run_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At every call of a cycle to AWS, workspace writes included, before it and after it (nightly)."""

    def sweep(when: When) -> tuple[list[Case], int]:
        cases: list[Case] = []
        with staged(tmp_path / when) as stage:
            while True:
                case = crash(stage, tmp_path / when, f"{when}-{len(cases) + 1}", when, numbered(len(cases) + 1))
                if isinstance(case, int):
                    return cases, case
                cases.append(case)
                with capsys.disabled():
                    print(case, flush=True)

    with ThreadPoolExecutor(2) as passes:
        (before, calls), (after, calls_again) = passes.map(sweep, get_args(When))
    cases = before + after
    launches = sum(case.launches for case in cases)
    with capsys.disabled():
        print(f"{len(cases)} cases, {calls} calls a cycle, {launches} launches")
    assert [str(case) for case in cases if case.broken] == []
    assert {(case.answer["status"], case.starts) for case in cases} == {("ok", 2)}
    assert calls == calls_again
    assert len(cases) == 2 * calls
    assert [case for case in cases if case.launches != 1 and not in_the_window(case)] == []
    # The one documented window: the last write of a cycle says that it answers.
    assert [case.call.number for case in cases if in_the_window(case)] == [calls]
