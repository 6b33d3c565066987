"""The set-up that every make target begins with, tried on a project of one empty module; and what make and CI call."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sampled import sampled

ROOT = Path(__file__).resolve().parent.parent
PARTS = (".venv/servo-emr.stamp", ".venv/bin/python", ".venv/pyvenv.cfg")
PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.27,<2"]
build-backend = "hatchling.build"
[project]
name = "little"
version = "1"
[project.optional-dependencies]
dev = []
demo = []
"""


def project_in(folder: Path) -> Path:
    """A project with the set-up script and nothing to download but its build backend."""
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "setup_venv.sh", folder / "tools")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "constraints.txt").write_text("# nothing\n")
    (folder / "little").mkdir()
    (folder / "little" / "__init__.py").write_text('"""Empty."""\n')
    return folder


def set_up(project: Path, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script as make does; HOME is where pip's cache and configuration are."""
    command = [str(project / "tools" / "setup_venv.sh")]
    settings = {**os.environ, "HOME": str(home), "PYTHON": sys.executable, **environment}
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=200, check=False)


def imports(project: Path) -> bool:
    """Whether the environment has what it is for."""
    command = [str(project / ".venv" / "bin" / "python"), "-c", "import little"]
    return subprocess.run(command, cwd="/", capture_output=True, timeout=60, check=False).returncode == 0


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, developer_home: Path) -> Path:
    """A project that has been set up once."""
    made = project_in(tmp_path_factory.mktemp("project") / "a folder with spaces")
    result = set_up(made, developer_home)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "making .venv with Python 3.1" in result.stdout
    assert imports(made)
    return made


def test_nothing_is_done_or_said_when_the_environment_is_up_to_date(project: Path, developer_home: Path) -> None:
    result = set_up(project, developer_home)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_a_change_of_what_is_to_be_installed_is_taken_in(project: Path, developer_home: Path, name: str) -> None:
    with (project / name).open("a") as source:
        source.write("# changed\n")
    result = set_up(project, developer_home)
    assert result.returncode == 0, result.stderr
    assert "out of date" in result.stdout
    assert set_up(project, developer_home).stdout == ""


@pytest.mark.parametrize("lost", sampled(PARTS, ".venv/pyvenv.cfg"))
def test_an_interrupted_or_damaged_environment_is_made_again(project: Path, developer_home: Path, lost: str) -> None:
    remnant = project / ".venv" / "remnant"
    remnant.touch()
    (project / lost).unlink()
    result = set_up(project, developer_home)
    assert result.returncode == 0, result.stderr
    assert "starting over" in result.stdout
    assert not remnant.exists()
    assert imports(project)


@pytest.mark.nightly
def test_an_environment_that_moved_with_its_folder_is_made_again(
    project: Path, developer_home: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(project, moved, symlinks=True)
    result = set_up(moved, developer_home)
    assert result.returncode == 0, result.stderr
    assert "starting over" in result.stdout
    assert imports(moved)


@pytest.mark.nightly
def test_a_failed_installation_says_so_and_is_not_taken_for_a_finished_one(
    tmp_path: Path, developer_home: Path
) -> None:
    broken = project_in(tmp_path / "broken")
    (broken / "pyproject.toml").write_text(PYPROJECT.replace("[project]", "[project]\nrequires-python = '>=4'"))
    result = set_up(broken, developer_home)
    assert result.returncode != 0
    assert "trying once more" in result.stdout
    assert result.stderr.count("pip could not install the packages") == 1
    assert not (broken / ".venv" / "servo-emr.stamp").exists()


@pytest.mark.nightly
def test_an_installation_that_fails_once_is_tried_once_more(tmp_path: Path, developer_home: Path) -> None:
    flaky = project_in(tmp_path / "flaky")
    own = 'build-backend = "flaky"\nbackend-path = ["."]'
    (flaky / "pyproject.toml").write_text(PYPROJECT.replace('build-backend = "hatchling.build"', own))
    (flaky / "flaky.py").write_text(
        "import pathlib\nfrom hatchling.build import *\n"
        "before = pathlib.Path(__file__).with_name('before')\n"
        "if not before.exists():\n    before.touch()\n    raise SystemExit('not this time')\n"
    )
    result = set_up(flaky, developer_home)
    assert result.returncode == 0, result.stderr
    assert "trying once more" in result.stdout
    assert imports(flaky)


@pytest.mark.parametrize("python", ["no-such-python", "/bin/sh"])
def test_an_interpreter_that_cannot_serve_is_refused_in_one_sentence(tmp_path: Path, python: str) -> None:
    untouched = project_in(tmp_path / "project")
    result = set_up(untouched, tmp_path, PYTHON=python)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert f"PYTHON={python}" in result.stderr
    assert not (untouched / ".venv").exists()


def test_without_a_fitting_interpreter_the_message_says_what_to_install(tmp_path: Path) -> None:
    untouched = project_in(tmp_path / "project")
    empty = tmp_path / "bin"
    empty.mkdir()
    for tool in ("bash", "dirname", "cksum", "cat", "head"):
        (empty / tool).symlink_to(str(shutil.which(tool)))
    result = set_up(untouched, tmp_path, PYTHON="", PATH=str(empty))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "install one" in result.stderr


def make(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """make as it is without the one that runs these tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_bare_make_lists_every_target_with_a_line_of_its_own() -> None:
    result = make(folder=ROOT)
    assert result.returncode == 0, result.stderr
    listed = {line.split()[1] for line in result.stdout.splitlines() if line.startswith("make ")}
    declared = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared
    assert listed == set(declared[1].split())
    assert all(len(line.split()) > 3 for line in result.stdout.splitlines())


CHECKS = ("lint", "contracts", "types", "cluster-pins")


@pytest.mark.parametrize("failing", [None, *CHECKS])
def test_ci_runs_make_check_and_the_tests_come_last_if_nothing_has_failed(tmp_path: Path, failing: str | None) -> None:
    assert re.search(r"^exec make check </dev/null$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    recipes = [f"{name}:\n\t@echo does {name}; {'false' if name == failing else 'true'}" for name in (*CHECKS, "test")]
    # Whoever includes a file may say anew what is done for a target of its; make only warns of it.
    (tmp_path / "Makefile").write_text(
        "\n".join([f"include {ROOT / 'Makefile'}", "venv browser:\n\t@true", *recipes]) + "\n"
    )
    ran = make("check", folder=tmp_path)
    done = [line.removeprefix("does ") for line in ran.stdout.splitlines() if line.startswith("does ")]
    assert (ran.returncode == 0) == (failing is None)
    if failing is None:
        assert sorted(done[:-1]) == sorted(CHECKS)
        assert done[-1] == "test"
    else:
        assert failing in done
        assert "test" not in done
