"""A servo that runs for months: cycle after cycle of one `servo run`, with a fault every tenth.

The same checks after 30 cycles with every test run, and after 1,000 nightly.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.soak import EVERY, Soak, report, soaking


def soaked(folder: Path, cycles: int, tell: Callable[[str], None] = print) -> tuple[Soak, dict[str, Any]]:
    """A soak of so many cycles that has lost nothing, and its report, which is told whatever is found wrong."""
    began = time.monotonic()
    with soaking(folder) as soak:
        first = soak.servo.process.pid
        for _ in range(cycles):
            done = soak.cycle()
            assert done.alive == (), f"{done}: {soak.servo.log[-6000:]}"
        assert soak.servo.alive
        assert soak.servo.process.pid == first, "one process"
        answers = soak.answers()
    told = report(soak.cycles, time.monotonic() - began)
    tell(json.dumps(told, indent=1))
    assert len(answers) == 2 * cycles, "every adjust and every measure is answered"
    assert set(answers.values()) == {1}, "once"
    assert told["outcomes without a fault"] == {"ok success": cycles - cycles // EVERY}, told
    assert told["faults"] == cycles // EVERY
    assert told["faults that met nobody"] == []
    calls = told["calls a cycle"]
    assert abs(calls["last"] - calls["first"]) <= 2, (
        f"as the records grow, a cycle makes as many calls as before: {told}"
    )
    return soak, told


def test_a_servo_leaks_nothing_and_calls_no_more_as_its_records_grow(tmp_path: Path) -> None:
    soak, told = soaked(tmp_path, 30)
    # A process that has just started still grows into its memory: the nightly bound of 10 % begins after 50 cycles.
    assert soak.cycles[-1].resident <= 1.25 * soak.cycles[9].resident, told


@pytest.mark.nightly
@pytest.mark.timeout(4 * 3600)
def test_a_servo_that_has_measured_a_thousand_times_is_as_it_was_after_fifty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def tell(text: str) -> None:
        with capsys.disabled():
            print(text)

    soak, told = soaked(tmp_path, 1000, tell)
    assert soak.cycles[-1].resident <= 1.1 * soak.cycles[49].resident, told
