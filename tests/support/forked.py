"""Many commands of `servo-emr`, each a process of its own that is forked from one which has imported everything.

Importing servox takes longer than what most commands do. Run as a module this is the process that forks: it reads a
request a line, and answers with what was shown.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from types import TracebackType
from typing import Any

import click
import typer.main

__all__ = ["Forked", "forked"]

ROOT = Path(__file__).parents[2]


class Forked:
    """Runs commands in a folder. Usable as a context manager."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {**os.environ, "TERM": "xterm-256color", **environment}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            self._environment.pop(name, None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked"],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def terminal(self, *words: str, width: int, **environment: str) -> str:
        """What a command shows on a terminal that is so many columns wide, on both streams."""
        return str(self._ask(words, width, environment)["out"]).replace("\r\n", "\n")

    def pipe(self, *words: str, **environment: str) -> CompletedProcess[str]:
        """A command with pipes for both streams."""
        answer = self._ask(words, None, environment)
        return CompletedProcess(list(words), answer["status"], answer["out"], answer["err"])

    def elsewhere(self, folder: Path, environment: Mapping[str, str], *words: str) -> CompletedProcess[str]:
        """A command in another folder, with this environment and no other."""
        answer = self._asked({"words": words, "width": None, "folder": str(folder), "environment": {**environment}})
        return CompletedProcess(list(words), answer["status"], answer["out"], answer["err"])

    def _ask(self, words: tuple[str, ...], width: int | None, environment: Mapping[str, str]) -> dict[str, Any]:
        return self._asked(
            {
                "words": words,
                "width": width,
                "folder": str(self._folder),
                "environment": {**self._environment, **environment},
            }
        )

    def _asked(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Forked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


_one: list[Forked] = []
_busy = threading.Lock()


def forked(folder: Path, environment: Mapping[str, str], *words: str) -> CompletedProcess[str] | None:
    """A command by a server of this test process's own; None while that runs another."""
    if not _busy.acquire(blocking=False):
        return None
    try:
        if not _one:
            _one.append(Forked(ROOT, {}).__enter__())
            atexit.register(_one[0].__exit__, None, None, None)
        return _one[0].elsewhere(folder, environment, *words)
    finally:
        _busy.release()


def _answered(request: dict[str, Any]) -> dict[str, Any]:
    """Runs one command to its end."""
    if request["width"] is None:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            nothing = os.open(os.devnull, os.O_RDONLY)
            status = _ended(_forked(request, (nothing, out.fileno(), err.fileno())))
            os.close(nothing)
            out.seek(0)
            err.seek(0)
            return {"status": status, "out": out.read().decode(), "err": err.read().decode()}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, request["width"], 0, 0))
    child = _forked(request, (theirs, theirs, theirs))
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        # It raises when the other end is closed: how a terminal says that nothing more comes.
        while chunk := terminal.read(65536):
            shown += chunk
    return {"status": _ended(child), "out": shown.decode(), "err": ""}


def _ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _forked(request: dict[str, Any], streams: tuple[int, int, int]) -> int:
    if child := os.fork():
        return child
    status = 70
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = ["servo-emr", *request["words"]]
        from servo_emr.cli.main import run

        run()
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - what a process of its own would show and return
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Answers requests until there are no more."""
    import servo_emr.cli.main

    group = typer.main.get_command(servo_emr.cli.main.app)
    assert isinstance(group, click.Group)
    for name in group.list_commands(click.Context(group)):  # imports them: a fork then has them already
        group.get_command(click.Context(group), name)

    # Answers have a stream of their own: the children's standard output is theirs.
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        answers.write(json.dumps(_answered(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
