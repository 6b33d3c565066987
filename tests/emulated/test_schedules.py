"""Random schedules: faults, their timings, and what an optimizer does, against an emulator over a real SDK."""

from __future__ import annotations

import os
from collections.abc import Iterator

import loguru
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.schedules import Place, Schedule, place


@pytest.fixture(scope="module")
def somewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    loguru.logger.disable("servo_emr")
    with place(tmp_path_factory.mktemp("place")) as made:
        yield made
    loguru.logger.enable("servo_emr")


@pytest.fixture(autouse=True)
def here(somewhere: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in somewhere.region.env.items():
        monkeypatch.setenv(name, value)
    Schedule.at = somewhere
    yield
    del Schedule.at


def run(number: int, **more: object) -> None:
    run_state_machine_as_test(
        Schedule,
        settings=settings(
            max_examples=number,
            stateful_step_count=4,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate) if os.environ.get("NOSHRINK") else tuple(Phase),
            **more,
        ),
    )


def test_whatever_happens_the_promise_holds() -> None:
    run(int(os.environ.get("NNN", "300")), derandomize=True)
