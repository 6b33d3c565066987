"""The page of promises shows the tests as they are, and every fault has one."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKS = {
    "broken",
    "holds",
    "check_measured",
    "check_that_all_is_settled",
    "check_answer",
    "check_that_nothing_is_left",
}
"""What a test of a fault ends in: the shared checker, or in memory, where there is no account, its counterpart."""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    tool = [sys.executable, str(ROOT / "tools" / "promise_table.py"), *words]
    return subprocess.run(tool, capture_output=True, text=True, check=False)


def test_the_page_is_up_to_date_and_every_fault_has_its_test() -> None:
    done = run("--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_wrong_words_are_wrong_usage() -> None:
    assert run("--chek").returncode == 2


def fault_tests() -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    found = []
    for path in sorted((ROOT / "tests" / "faults").glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_f"):
                found.append((f"{path.name}::{node.name}", node))
    return found


@pytest.mark.parametrize(("name", "node"), fault_tests(), ids=[name for name, _ in fault_tests()])
def test_a_test_of_a_fault_asks_the_checker(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    called = {
        call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
    }
    assert called & CHECKS, f"{name} calls {sorted(called)}"
