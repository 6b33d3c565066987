"""The pages of the first steps: every command in them is run, in its order, and says what the page says.

The start page's is the dry run, with an emulator of its own; the first account's has the emulator as its AWS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.emulator import EmulatorProcess
from tests.support.guide import DOCS, Command, commands, difference, files, run
from tests.support.notebooks import job_notebook

ATTEMPTS = 5
"""Checks wait some real seconds for an answer, which is too short for a machine that is busy with other tests."""
RUN_ID = re.compile(r"^\d{8}t\d{6}-[0-9a-f]{8}\b", re.MULTILINE)


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--model", "a=120,b=0,c=0,d=0", speed=300) as process:
        yield process


def prepared(name: str, folder: Path) -> list[Command]:
    """The commands of a page, with its files and the reader's notebook in the folder."""
    page = (DOCS / name).read_text(encoding="utf-8")
    job_notebook(folder / "etl.ipynb")
    for file, text in files(page).items():
        (folder / file).write_text(text)
    return commands(page)


def test_the_guide_works_from_the_first_command_to_the_last(emulator: EmulatorProcess, tmp_path: Path) -> None:
    found = prepared("first-account.md", tmp_path)
    assert len(found) > 15
    assert sum(command.shown is not None for command in found) > 10
    seen: dict[str, str] = {}
    run_id = ""
    for command in found:
        for _ in range(ATTEMPTS if command.line == "servo-emr check" else 1):
            done = run(command.line.replace(" RUN", f" {run_id}"), tmp_path, emulator.env)
            if "no answer in" not in done.stdout:
                break
        assert done.returncode == 0, f"{command.line}\n{done.stdout}"
        assert difference(command, done.stdout) == ""
        seen[command.line] = done.stdout
        if command.line == "servo-emr runs":
            (run_id,) = RUN_ID.findall(done.stdout)
    assert (tmp_path / "run.html").read_text().startswith("<!DOCTYPE html>")
    assert seen[found[-1].line].strip() == ""
    assert "elasticmapreduce:RunJobFlow" in (tmp_path / "servo-policy.json").read_text()


@pytest.mark.nightly
def test_the_start_pages_dry_run_says_what_the_page_says(tmp_path: Path) -> None:
    demo, activate, dry_run = prepared("start.md", tmp_path)
    assert (demo, activate) == (Command("make demo"), Command("source .venv/bin/activate"))  # the demo's test: nightly
    assert dry_run.shown is not None
    done = run(dry_run.line, tmp_path, {})
    assert done.returncode == 0, done.stdout
    assert difference(dry_run, done.stdout) == ""
