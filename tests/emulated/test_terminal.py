"""What commands look like at terminals of 80 and of 200 columns, in a pipe, and without colours."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from servo_emr.cli.output import columns, fitted
from servo_emr.cli.tables import table
from servo_emr.domain.run import RunState
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook
from tests.support.servo import PATIENCE, write_configuration
from tests.support.terminal import COLOUR, Cli, at_terminal, uncoded

LONG = "s3://acme-servo/" + "x" * 90
RUN = "RUN"
"""Stands for the id of the run that there is."""
SHOWN = [
    ("check",),
    ("plan", "--set", "core.replicas=3"),
    ("runs",),
    ("show", RUN),
    ("logs", RUN),
    ("prices",),
    ("sweep",),
    ("cycle", "--yes"),
    ("--help",),
    ("runs", "--help"),
]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    empty = tmp_path_factory.mktemp("empty")
    words = ("--no-execute", "--model", "a=300,b=0,c=0,d=0")
    with EmulatorProcess(*words, speed=2000, data=[f"s3://acme-servo/={empty}"]) as process:
        yield process


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, emulator: EmulatorProcess) -> tuple[Path, str]:
    """A folder in which a run was made at a terminal, which failed, and all that was shown meanwhile."""
    path = tmp_path_factory.mktemp("terminal")
    job_notebook(path / "job.ipynb")
    write_configuration(path)
    shown = at_terminal("cycle", "--yes", width=80, folder=path, environment=emulator.env)
    return path, shown


@pytest.fixture(scope="module")
def folder(live: tuple[Path, str]) -> Path:
    """With a servo.yaml of which a check fails, and one run that has failed."""
    path, _ = live
    write_configuration(path, {"cluster.instance_profile": "none"})
    return path


@pytest.fixture(scope="module")
def run_id(live: tuple[Path, str]) -> str:
    (found,) = set(re.findall(r"^Run +(\d{8}t\d{6}-[0-9a-f]{8})$", uncoded(live[1]), re.MULTILINE))
    return str(found)


@pytest.fixture(scope="module")
def cli(emulator: EmulatorProcess, folder: Path) -> Cli:
    return Cli(folder, emulator.env)


def too_wide(shown: str, width: int) -> list[str]:
    """Lines that pass the width although they could have been broken: long words cannot, and logs are as they are."""
    lines = [line for line in uncoded(shown).splitlines() if not re.match(r"\d{4}-\d\d-\d\d|not executed", line)]
    return [line for line in lines if len(line) > width and len(line.split()[-1]) < width // 2]


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("words", SHOWN, ids="-".join)
def test_nothing_is_wider_than_the_terminal(cli: Cli, run_id: str, words: tuple[str, ...], width: int) -> None:
    named = [run_id if word == RUN else word for word in words]
    shown = cli.terminal(*named, width=width)
    assert len(shown.splitlines()) > 1
    assert too_wide(shown, width) == []
    assert "Traceback" not in shown


def test_a_run_is_shown_live_phase_by_phase_and_then_its_page(live: tuple[Path, str]) -> None:
    _, shown = live
    assert too_wide(shown, 80) == []
    assert re.search(r"^\x1b\[32m  \+ roles .*\(nodes\)\x1b\[0m$", shown, re.MULTILINE), "a colour takes no room"
    text = uncoded(shown)
    phases = [RunState(found).order for found in re.findall(r"\[(\w+)\]", text)]
    assert phases == sorted(phases)  # which of them a look falls into is chance
    assert phases[-1] == RunState.VERIFIED.order
    percents = [int(found) for found in re.findall(r"[#.]+ +(\d+) %", text)]
    assert percents == sorted(percents)
    assert 0 <= percents[0] < percents[-1] < 100
    assert "left (first guess)" in text
    assert "\x1b[?25h" in shown, "the cursor is given back"
    assert text.rindex("job/no-result") > text.rindex("[verified]")


def test_a_narrow_terminal_does_without_columns_and_never_cuts_a_runs_id(cli: Cli, run_id: str) -> None:
    narrow, wide = (uncoded(cli.terminal("runs", width=w)).splitlines() for w in (80, 200))
    assert narrow[0].split() == ["RUN", "NODES", "OUTCOME", "USD"]
    assert narrow[1].split()[0] == wide[1].split()[0] == run_id
    assert wide[0].split()[:2] == ["RUN", "WHEN"]
    assert len(wide) == 2


@pytest.mark.parametrize("words", [("check",), ("runs",), ("plan", "--set", "core.replicas=3")], ids="-".join)
def test_colours_are_for_a_terminal_that_wants_them_and_change_no_word(cli: Cli, words: tuple[str, ...]) -> None:
    coloured, bare = cli.terminal(*words, width=200), cli.terminal(*words, width=200, NO_COLOR="1")
    assert COLOUR.search(coloured)
    assert not COLOUR.search(bare)
    assert not COLOUR.search(cli.terminal(*words, width=200, TERM="dumb"))
    assert lines(uncoded(coloured)) == lines(bare)


def lines(text: str) -> list[str]:
    """Lines without what the clock or the prices' moment has put into them."""
    return [line.rstrip() for line in text.splitlines() if "DescribeSpotPriceHistory" not in line]


@pytest.mark.parametrize("words", [(), *SHOWN], ids=lambda words: "-".join(words) or "nothing")
def test_a_pipe_gets_whole_lines_without_codes_and_boxes(cli: Cli, run_id: str, words: tuple[str, ...]) -> None:
    done = cli.pipe(*(run_id if word == RUN else word for word in words))
    text = done.stdout + done.stderr
    assert text
    assert not re.search(r"[\x1b\r\u2500-\u259f]", text), "an escape code, or a drawn box"
    assert "Traceback" not in text


def test_a_piped_check_keeps_a_finding_on_one_line(cli: Cli) -> None:
    done = cli.pipe("check")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("instance profile")]
    assert line.endswith("emr.cluster.instance_profile: none does not exist")


def test_a_cycle_that_its_checks_refuse_is_told_in_the_failure_block(cli: Cli) -> None:
    done = cli.pipe("cycle", "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    block = done.stderr[done.stderr.index("FAILED, somebody has to set something right: operator/role") :]
    for fact in ("What happened", "What to do", "Dollars         none: nothing was launched"):
        assert fact in block


def test_watched_runs_are_shown_until_ctrl_c_which_ends_it_well(
    emulator: EmulatorProcess, folder: Path, run_id: str
) -> None:
    words = ("runs", "--watch", "--every", "0.1")
    shown = at_terminal(*words, width=80, folder=folder, environment=emulator.env, interrupt_at="Ctrl-C ends this")
    assert run_id in uncoded(shown)
    assert "\x1b[?25h" in shown, "the cursor is given back"
    assert not re.search("Traceback|Stopped|Error", shown)


def test_in_a_pipe_watched_runs_are_a_line_each_and_ctrl_c_ends_it_well(
    emulator: EmulatorProcess, folder: Path, run_id: str
) -> None:
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("servo-emr")), "runs", "--watch", "--every", "0.1"],
        cwd=folder,
        env={"PATH": "/usr/bin", **emulator.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=PATIENCE)
    assert line.startswith(f"{run_id}  m5.xlarge + 2 x m5.xlarge  verified  job/no-result  ")
    assert (process.returncode, rest, err) == (0, "", "")


def test_the_width_is_that_of_the_stream_that_is_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 133, 0, 0))
    with os.fdopen(ours, "wb"), os.fdopen(theirs, "w") as terminal, open(os.devnull, "w") as nowhere:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(sys, "stdout", nowhere)
        assert (columns(err=True), columns()) == (133, None)
        monkeypatch.setenv("COLUMNS", "70")
        assert (columns(err=True), columns()) == (70, None)


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
    assert fitted("$ servo-emr optimizer --port 0", 20) == "$ servo-emr optimizer --port 0"
    rows = [{"A": "x", "B": "some words that go on and on and on"}]
    assert table(rows, 34, "B").splitlines() == ["A  B", "x  some words that go on and on", "   and on"]
