"""The Chromium that tests of pages drive: found under its usual names, installed where we may, else told."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "set_up_chromium.sh"


def ran(folder: Path, *words: str, user: int = 1000, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script with nothing on PATH but what is in a folder; `user` is who it takes itself for."""
    for tool in ("bash", "env"):
        (folder / tool).exists() or (folder / tool).symlink_to(str(shutil.which(tool)))
    program(folder, "id", f"echo {user}")
    env = {"PATH": str(folder), **environment}
    return subprocess.run([str(SCRIPT), *words], env=env, capture_output=True, text=True, timeout=60, check=False)


def program(folder: Path, name: str, does: str) -> Path:
    path = folder / name
    path.write_text(f"#!{shutil.which('bash')}\n{does}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"])
def test_one_of_the_usual_names_is_found_and_nothing_else_is_done(tmp_path: Path, name: str) -> None:
    there = program(tmp_path, name, "exit 1")
    assert ran(tmp_path, "--find").stdout == f"{there}\n"
    quiet = ran(tmp_path, user=0)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_the_one_that_is_named_is_taken_and_a_wrong_name_is_told(tmp_path: Path) -> None:
    program(tmp_path, "chromium", "exit 1")
    mine = program(tmp_path, "mine", "exit 1")
    assert ran(tmp_path, "--find", CHROMIUM=str(mine)).stdout == f"{mine}\n"
    wrong = ran(tmp_path, "--find", CHROMIUM="/no/such")
    assert wrong.returncode == 1
    assert "CHROMIUM=/no/such is no program" in wrong.stderr


def test_root_has_debians_installed(tmp_path: Path) -> None:
    target = tmp_path / "chromium"
    program(
        tmp_path,
        "apt-get",
        f'echo "$*" >> {tmp_path}/asked; PATH={os.environ["PATH"]}; printf "" > {target}; chmod +x {target}',
    )
    result = ran(tmp_path, user=0)
    assert result.returncode == 0, result.stderr
    assert "installing Debian's chromium" in result.stdout
    assert (tmp_path / "asked").read_text() == "install -y -qq --no-install-recommends chromium\n"


def test_without_the_right_to_install_it_is_told_what_to_do_and_the_other_tests_go_on(tmp_path: Path) -> None:
    program(tmp_path, "apt-get", "exit 9")
    result = ran(tmp_path)
    assert result.returncode == 0
    assert "apt-get install chromium" in result.stderr
    assert "the tests of pages will fail without it" in result.stderr
    assert ran(tmp_path, "--find").returncode == 1


def test_an_installation_that_fails_is_told_and_does_not_stop_the_other_tests(tmp_path: Path) -> None:
    program(tmp_path, "apt-get", 'echo "E: no network" >&2; exit 100')
    result = ran(tmp_path, user=0)
    assert result.returncode == 0
    assert "E: no network" in result.stderr
    assert "The tests of pages will fail." in result.stderr
