"""Pages whose commands are run: what stands behind the prompts, and whether what follows it is what a command says.

In a page's ``console`` block a line that begins with `$ ` is a command, and the lines up to the next one are what it
says; a line of `...` stands for any lines. A command with nothing after it is run and not compared. What is made anew
by every run (ids, times, hashes, ports) is not compared either; behind `<!-- figures differ -->` no number is.
A block behind `<!-- file: NAME -->` is a file that the reader has by then; one behind `<!-- said by: COMMAND -->` is
what that command says, its figures aside.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.servo import PATIENCE

__all__ = ["DOCS", "ROOT", "Command", "commands", "difference", "files", "run", "said"]

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", re.DOTALL)
_CONSOLE = re.compile(r"^(<!-- figures differ -->\n)?```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SAID = re.compile(r"<!-- said by: (.+) -->\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ANEW = (
    (re.compile(r"\b\d{8}t\d{6}-[0-9a-f]{8}\b"), "RUN"),
    (re.compile(r"\b(j|s|ig|if|i|subnet)-[0-9A-Za-z]{13,}\b"), "ID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{12}\b|\b[0-9a-f]{64}\b"), "HASH"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://127.0.0.1:PORT"),
)
_FIGURE = re.compile(r"\d[\d.,]*")
# A time of two minutes is told in another form than one a second shorter.
_LONGER = re.compile(r"\b0 (h 0 )?min( 0 s)?")
_SPACES = re.compile(r" {2,}")


@dataclass(frozen=True)
class Command:
    """A command of a page. shown is what the page says that it says, None when the page does not tell."""

    line: str
    shown: str | None = None
    figures_differ: bool = False


def commands(page: str) -> list[Command]:
    """The commands of a page, in its order."""
    found = []
    for mark, block in _CONSOLE.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            found.append(Command(line, shown.strip("\n") or None, bool(mark)))
    return found


def said(page: str) -> list[Command]:
    """What a page says apart that commands say."""
    return [Command(line, shown.strip("\n"), True) for line, shown in _SAID.findall(page)]


def files(page: str) -> dict[str, str]:
    """The files of a page: name -> text."""
    return dict(_FILE.findall(page))


def run(
    line: str, folder: Path, environment: Mapping[str, str], patience: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Runs a command of ours or of AWS's without a shell, as a person sees it: both streams in stdout.

    `> FILE` at its end is understood; the file then has the first stream, and stdout the second alone.
    """
    text, _, target = line.partition(" > ")
    program, *words = shlex.split(text)
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *words],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if target else subprocess.STDOUT,
        text=True,
        timeout=patience,
        check=False,
    )
    if target:
        (folder / target).write_text(done.stdout)
        done.stdout = done.stderr
    return done


def difference(command: Command, output: str) -> str:
    """The first line of the page that the command did not say where it should have; empty when there is none."""
    if command.shown is None:
        return ""
    shown = _lines(command.shown, command.figures_differ)
    left = _lines(output.strip("\n"), command.figures_differ)
    skipping = False
    for line in shown:
        if line == "...":
            skipping = True
            continue
        if skipping and line in left:
            left = left[left.index(line) :]
        if not left or left[0] != line:
            instead = left[0] if left else "has ended"
            return f"$ {command.line}\nthe page has   {line}\nthe command    {instead}\n\n{output}"
        left, skipping = left[1:], False
    return (
        ""
        if skipping or not left
        else f"$ {command.line}\nthe page ends, the command goes on with {left[0]}\n\n{output}"
    )


def _lines(text: str, figures_differ: bool) -> list[str]:
    for pattern, word in _ANEW:
        text = pattern.sub(word, text)
    if figures_differ:
        text = _LONGER.sub("0 s", _FIGURE.sub("0", text))
    return [_SPACES.sub("  ", line.rstrip()) for line in text.split("\n")]
