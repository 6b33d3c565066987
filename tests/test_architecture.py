"""The rules that hold the code in shape: who may import whom, how long a piece may be, what a check may not do.

Reads source text only; nothing of servo_emr is imported.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "servo_emr"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(path for folder in ("tools", "benchmarks") for path in (ROOT / folder).glob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MODULE_LINES, FUNCTION_LINES = 330, 60

# One line that a layer must not hold, the module it is added to, and a word of the contract that has to refuse it.
TRESPASSES = [
    ("domain/run.py", "import servo_emr.lifecycle", "Imports point down"),
    ("domain/errors.py", "import servo_emr.domain.run", "The domain's own order"),
    ("lifecycle/__init__.py", "import servo_emr.aws.ec2", "Imports point down"),
    ("lifecycle/__init__.py", "import boto3", "boto3 and botocore"),
    ("aws/workspace.py", "import botocore.session", "boto3 and botocore"),
    ("aws/workspace.py", "import servo_emr.aws.ec2", "Targets, workspace and prices"),
    ("aws/workspace.py", "import servo_emr.aws.ec2_model", "EMR on EC2's documents"),
    ("pricing/__init__.py", "import servo", "servox only"),
    ("domain/spec.py", "import pydantic", "pydantic only"),
    ("cli/__init__.py", "import papermill", "papermill and nbformat"),
    ("emulator/__init__.py", "import servo_emr.domain.run", "The emulator imports nothing"),
    ("wiring.py", "import servo_emr.emulator", "Only the commands start the emulator"),
    ("optimizer/flow.py", "import servo_emr.domain.run", "The optimizer imports nothing"),
    ("wiring.py", "import servo_emr.optimizer", "Only the commands start the optimizer"),
    ("stray.py", "", "Imports point down"),
]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package in `folder`, which it finds first, before any installed one."""
    program = "import sys; sys.path.insert(0, '.'); import importlinter.cli; importlinter.cli.lint_imports_command()"
    command = [sys.executable, "-c", program, "--config", str(ROOT / "pyproject.toml"), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def named(path: Path) -> str:
    """A file as messages and test ids name it."""
    return path.relative_to(ROOT).as_posix()


def test_every_import_contract_is_kept() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(("module", "line", "contract"), TRESPASSES)
def test_a_contract_refuses_the_import_it_is_there_for(tmp_path: Path, module: str, line: str, contract: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "servo_emr", ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path / "servo_emr" / module
    with target.open("a") as source:
        source.write(f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert re.search(rf"^{re.escape(contract)}.* BROKEN\b", result.stdout, re.MULTILINE), result.stdout


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=named)
def test_every_module_says_what_it_is_for_and_is_short_enough_to_be_one(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module says what may live in it and what it must not know"
    assert len(text.splitlines()) <= MODULE_LINES, "one responsibility, or two modules?"
    long = {f.name: size for f in functions(tree) if (size := (f.end_lineno or 0) - f.lineno + 1) > FUNCTION_LINES}
    assert not long, f"functions beyond {FUNCTION_LINES} lines: {long}"


@pytest.mark.parametrize("path", TESTS, ids=named)
def test_no_test_replaces_a_part_of_ours(path: Path) -> None:
    nodes = ast.walk(ast.parse(path.read_text()))
    found = [
        f"line {node.lineno}: {ast.unparse(node)}" for node in nodes if isinstance(node, PATCHERS) and patches(node)
    ]
    assert not found, f"use the real part, a double behind its port, or the emulator: {found}"


PATCHERS = (ast.Attribute, ast.ImportFrom, ast.Call)


def patches(node: ast.AST) -> bool:
    """Whether a node brings in mock's `patch`, or sets an attribute of one of our modules by pytest's monkeypatch."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "unittest.mock" and "patch" in {name.name for name in node.names}
    if isinstance(node, ast.Call):
        ours = bool(node.args) and ast.unparse(node.args[0]).strip("'\"").startswith("servo_emr")
        return ours and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr"
    return ast.unparse(node).endswith("mock.patch")


@pytest.mark.parametrize(
    "text",
    [
        "from unittest.mock import patch",
        "unittest.mock.patch('servo_emr.x')",
        "monkeypatch.setattr('servo_emr.domain.run.x', 1)",
        "monkeypatch.setattr(servo_emr.domain.run, 'x', 1)",
    ],
)
def test_a_patched_part_would_be_seen(text: str) -> None:
    assert any(patches(node) for node in ast.walk(ast.parse(text)) if isinstance(node, PATCHERS))


@pytest.mark.parametrize("path", TESTS, ids=named)
def test_every_test_asserts_something(path: Path) -> None:
    empty = [f.name for f in functions(ast.parse(path.read_text())) if f.name.startswith("test_") and not asserts(f)]
    assert not empty, "a test that asserts nothing passes whatever happens"


def asserts(function: ast.AST) -> bool:
    """Whether a function asserts, expects an exception or a warning, or calls a helper whose name says it checks."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call) and re.search(r"(raises|warns|assert_\w+|check\w*)$", ast.unparse(node.func)):
            return True
    return False


def test_test_names_are_unique_within_a_file_so_that_none_hides_another() -> None:
    hidden = []
    for path in TESTS:
        body = ast.parse(path.read_text()).body
        names = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        hidden += [f"{named(path)}: {name}" for name in sorted(set(names)) if names.count(name) > 1]
    assert not hidden


def test_no_check_is_told_to_succeed_whatever_it_finds() -> None:
    scripts = [ROOT / "Makefile", ROOT / "Dockerfile", ROOT / ".ci" / "run", *(ROOT / "tools").iterdir()]
    scripts += [path for path in PACKAGE.rglob("*") if path.is_file() and is_shell_script(path)]
    always = re.compile(r"\|\|\s*(true|:)(\s|$)")
    assert [named(path) for path in scripts if path.is_file() and always.search(path.read_text())] == []


def is_shell_script(path: Path) -> bool:
    """Whether a file is named or starts as a shell script."""
    with path.open("rb") as source:
        return path.suffix == ".sh" or bool(re.match(rb"#!.*\b(ba|da)?sh\b", source.readline()))


def test_the_version_is_the_newest_of_the_changelog_and_stands_in_no_third_place() -> None:
    version = re.search(r'^__version__ = "(\d+\.\d+\.\d+)"$', (PACKAGE / "__init__.py").read_text(), re.MULTILINE)
    changes = (ROOT / "CHANGELOG.md").read_text()
    newest = re.search(r"^## (\d+\.\d+\.\d+) - (unreleased|\d{4}-\d\d-\d\d)$", changes, re.MULTILINE)
    assert version and newest
    assert version[1] == newest[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert project["dynamic"] == ["version"]
    quoted = re.compile(rf"""["']{re.escape(version[1])}["']""")
    places = [named(path) for path in MODULES if quoted.search(path.read_text())]
    assert places == ["servo_emr/__init__.py"]


def test_the_changelog_keeps_to_its_form() -> None:
    """Keep a Changelog: releases newest first, each with its kinds of change, each of those with a list."""
    changes = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## (.+)$", changes, re.MULTILINE)
    numbers = [tuple(map(int, re.findall(r"\d+", one.partition(" ")[0]))) for one in releases]
    assert numbers == sorted(set(numbers), reverse=True)
    assert numbers[-1] == (0, 1, 0)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for release in re.split(r"^## ", changes, flags=re.MULTILINE)[1:]:
        parts = re.split(r"^### ", release, flags=re.MULTILINE)
        assert len(parts) > 1
        assert {part.partition("\n")[0] for part in parts[1:]} <= kinds
        lines = [line for part in parts[1:] for line in part.splitlines()[1:] if line]
        assert [line for line in lines if not line.startswith(("- ", "  "))] == []


def test_constraints_pin_every_line_to_one_version_and_name_no_index() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) > 100
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    assert len({line.partition("==")[0] for line in lines}) == len(lines)


@pytest.mark.parametrize(
    "bound", ["click==8.1.", "authlib==1.6.", "setuptools==80.", "pydantic==1.10.", "pyspark==3.5."]
)
def test_constraints_keep_to_the_versions_that_servox_and_the_emulated_node_work_with(bound: str) -> None:
    assert f"\n{bound}" in (ROOT / "constraints.txt").read_text()
