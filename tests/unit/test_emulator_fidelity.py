"""The table of docs/emulator.md that says how faithful the emulator is: each row names tests that exist."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from servo_emr.emulator.world.timing import Provisioning

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "emulator.md").read_text(encoding="utf-8")


def rows() -> list[tuple[str, str, list[str]]]:
    """(what, status, tests) of every row."""
    section = re.search(r"^## How faithful it is$(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None
    lines = [line for line in section[1].splitlines() if line.startswith("| ") and not line.startswith("| what |")]
    found = []
    for line in lines:
        what, status, tests = (cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|"))
        found.append((what, status, re.findall(r"`([^`]+)`", tests)))
    return found


@functools.cache
def functions_in(path: str) -> frozenset[str]:
    """The names of the test functions of a file; none for a file that is not there."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    functions = ast.parse(file.read_text(encoding="utf-8")).body
    return frozenset(
        function.name for function in functions if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


def test_a_row_is_faithful_approximate_or_missing_and_said_once() -> None:
    table = rows()
    assert len(table) > 60
    assert {status for _, status, _ in table} == {"faithful", "approximate", "missing"}
    assert len({what for what, _, _ in table}) == len(table)


def test_every_row_that_is_not_missing_names_a_test_and_a_missing_one_names_none() -> None:
    wrong = [what for what, status, tests in rows() if (status == "missing") == bool(tests)]
    assert wrong == []


def test_every_test_that_a_row_names_exists() -> None:
    named = {test for _, _, tests in rows() for test in tests}
    unknown = [test for test in named if test.rpartition("::")[2] not in functions_in(test.partition("::")[0])]
    assert sorted(unknown) == []


def test_the_page_tells_the_timings_that_are_ours() -> None:
    times = Provisioning()
    for told in (
        f"a launch that AWS refuses late ends after {times.refusal:g} s",
        f"a node that a resize removes is drained for {times.draining:g} s",
        f"a reconfigured group is RECONFIGURING for {times.reconfiguring:g} s",
        f"as it does unless told to TERMINATE_PROCESS, ends after {times.interrupt_delay:g} s",
    ):
        assert told in PAGE
