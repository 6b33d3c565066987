"""The guide of the first run: every command in it is run, in its order, with the emulator as its AWS."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook
from tests.support.servo import PATIENCE

PAGE = Path(__file__).parents[2] / "docs" / "first-account.md"
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", re.DOTALL)
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--model", "a=120,b=0,c=0,d=0", speed=300) as process:
        yield process


def commands(page: str) -> list[str]:
    """What stands behind the prompts of the page's console blocks."""
    return [line[2:] for block in _CONSOLE.findall(page) for line in block.splitlines() if line.startswith("$ ")]


def run(line: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a command of ours or of AWS's without a shell; `> FILE` at its end is understood."""
    text, _, target = line.partition(" > ")
    program, *words = shlex.split(text)
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *words],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if target:
        (folder / target).write_text(done.stdout)
    return done


def test_the_guide_works_from_the_first_command_to_the_last(emulator: EmulatorProcess, tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    job_notebook(tmp_path / "etl.ipynb")
    for name, text in _FILE.findall(page):
        (tmp_path / name).write_text(text)
    lines = commands(page)
    assert len(lines) > 15
    seen: dict[str, str] = {}
    for line in lines:
        run_id = json.loads(seen["runs"])[0]["run_id"] if " RUN" in line else ""
        done = run(line.replace(" RUN", f" {run_id}"), tmp_path, emulator.env)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        seen[line] = done.stdout
        if line.startswith("servo-emr runs"):
            seen["runs"] = run("servo-emr runs -o json", tmp_path, emulator.env).stdout
    assert "failure" not in seen["servo-emr check"]
    assert "RunJobFlow" in seen["servo-emr plan"]
    assert "success" in seen["servo-emr cycle --yes"]
    assert (tmp_path / "run.html").read_text().startswith("<!DOCTYPE html>")
    assert "Nothing of s3://acme-servo-first/nightly is alive" in seen["servo-emr sweep"]
    assert seen[lines[-1]].strip() == ""
    assert "elasticmapreduce:RunJobFlow" in (tmp_path / "servo-policy.json").read_text()
