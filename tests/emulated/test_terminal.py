"""What commands look like at terminals of 80 and of 200 columns, in a pipe, and without colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from servo_emr.cli.output import fitted
from servo_emr.cli.tables import table
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook
from tests.support.servo import command, write_configuration
from tests.support.terminal import at_terminal

LONG = "s3://acme-servo/" + "x" * 90


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    empty = tmp_path_factory.mktemp("empty")
    words = ("--no-execute", "--model", "a=300,b=0,c=0,d=0")
    with EmulatorProcess(*words, speed=2000, data=[f"s3://acme-servo/={empty}"]) as process:
        yield process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, emulator: EmulatorProcess) -> Path:
    """With a servo.yaml of which some checks fail, and one run that has failed."""
    path = tmp_path_factory.mktemp("terminal")
    job_notebook(path / "job.ipynb")
    write_configuration(path)
    done = command("servo-emr", "cycle", "--yes", folder=path, environment=emulator.env)
    assert done.returncode == 1, done.stderr
    write_configuration(path, {"cluster.instance_profile": "none"})
    return path


def too_wide(shown: str, width: int) -> list[str]:
    """Lines that pass the width although they could have been broken: JSON and single long words cannot."""
    text = shown.partition("The request to EMR")[0]
    return [line for line in text.splitlines() if len(line) > width and len(line.split()[-1]) < width // 2]


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("words", [("check",), ("plan",), ("runs",), ("cycle", "--yes")])
def test_nothing_is_wider_than_the_terminal(
    emulator: EmulatorProcess, folder: Path, words: tuple[str, ...], width: int
) -> None:
    shown = at_terminal(*words, width=width, folder=folder, environment=emulator.env)
    assert len(shown.splitlines()) > 1
    assert too_wide(shown.partition("Error: ")[0], width) == []
    assert "\x1b" not in shown


def test_a_narrow_terminal_lists_what_a_wide_one_shows_as_a_table(emulator: EmulatorProcess, folder: Path) -> None:
    narrow, wide = (at_terminal("runs", width=w, folder=folder, environment=emulator.env) for w in (80, 200))
    assert narrow.splitlines()[0].startswith("RUN         2")
    assert wide.splitlines()[0].split()[:2] == ["RUN", "WHEN"]
    assert len(wide.splitlines()) == 2


@pytest.mark.parametrize("extra", [{}, {"NO_COLOR": "1"}])
def test_a_pipe_gets_whole_lines_without_colours(
    emulator: EmulatorProcess, folder: Path, extra: dict[str, str]
) -> None:
    done = command("servo-emr", "check", folder=folder, environment={**emulator.env, **extra})
    assert "\x1b" not in done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("instance profile")]
    assert line.endswith("emr.cluster.instance_profile: none does not exist")


def test_a_wrapped_text_stands_under_its_column_and_breaks_no_word() -> None:
    assert fitted(f"  Notebook        {LONG} (it is not there)", 80).splitlines() == [
        "  Notebook",
        " " * 18 + LONG,
        " " * 18 + "(it is not there)",
    ]
    assert fitted("    | one two three four five six seven eight", 36).splitlines() == [
        "    | one two three four five six",
        "      seven eight",
    ]
    assert fitted("as it is", None) == "as it is"
    rows = [{"A": "x", "B": "some words that go on and on and on"}]
    assert table(rows, 36, "B").splitlines() == ["A    B", "x    some words that go on and on", "     and on"]
