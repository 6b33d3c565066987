"""What is measured in the benchmark is what serves: one class suggests, and the demo reaches it over HTTP alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "servo_emr" / "optimizer"


def imports(path: Path) -> set[tuple[str, str]]:
    """(module, name) of everything that a file imports, wherever in it."""
    tree = ast.parse(path.read_text())
    found = {
        (node.module or "", name.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    return found | {(name.name, "") for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}


def test_one_class_suggests() -> None:
    suggesting = [
        (path.relative_to(PACKAGE).as_posix(), node.name)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(method, ast.FunctionDef) and method.name == "suggest" for method in node.body)
    ]
    assert suggesting == [("search/engine.py", "Search")]


@pytest.mark.parametrize("user", ["benchmarks/search.py", "servo_emr/optimizer/app.py"])
def test_benchmark_and_server_use_it(user: str) -> None:
    assert ("servo_emr.optimizer.search", "Search") in imports(ROOT / user)


def test_the_demo_goes_through_the_server() -> None:
    parts = [ROOT / "servo_emr" / "cli" / name for name in ("demo.py", "demo_parts.py", "demo_display.py")]
    assert [
        (path.name, module) for path in parts for module, _ in imports(path) if module.startswith("servo_emr.optimizer")
    ] == []
    started = [
        [word.value for word in node.elts if isinstance(word, ast.Constant)]
        for node in ast.walk(ast.parse(parts[1].read_text()))
        if isinstance(node, ast.List)
    ]
    assert ["-m", "servo_emr.cli", "-c", "optimizer", "--port", "0", "--with-parent"] in started
    assert "OPSANI_BASE_URL" in parts[1].read_text()
