"""An environment into which the wheel was installed: its commands, as somebody runs them who has nothing else, its
servers, its size, what its import takes. Knows nothing of what an extra is for.
"""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 1800.0
"""Bounds a hang; the demo takes a third of it."""


class Failed(Exception):
    """Something that had to work did not; the text says what was run and what it said."""


@dataclass(frozen=True)
class Environment:
    """An environment with the wheel, and the empty folder in which its commands are run."""

    name: str
    folder: Path
    work: Path

    def start(self, words: tuple[str, ...], variables: Mapping[str, str]) -> subprocess.Popen[str]:
        """A command of the environment, as a process."""
        home = self.work.parent / "home"
        home.mkdir(exist_ok=True)
        clean = {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
        return subprocess.Popen(
            [str(self.folder / "bin" / words[0]), *words[1:]],
            cwd=self.work,
            env={**clean, "AWS_EC2_METADATA_DISABLED": "true", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, variables: Mapping[str, str], fails: bool = False) -> str:
        """What a command prints on standard output, or, where it is to fail, on standard error.

        Raises:
            Failed: it ended otherwise.
        """
        with self.start(words, variables) as process:
            out, err = process.communicate(timeout=PATIENCE_S)
        if (process.returncode != 0) is not fails:
            raise Failed(
                f"{self.name}: {' '.join(words)}: exit status {process.returncode}\n{out[-2000:]}{err[-4000:]}"
            )
        return err if fails else out


@contextmanager
def listening(made: Environment, words: tuple[str, ...], variables: Mapping[str, str]) -> Iterator[str]:
    """A server of ours while it runs; its URL, as it prints it."""
    process = made.start(words, variables)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            process.terminate()
            raise Failed(f"{made.name}: {' '.join(words)}: {line}{process.communicate(timeout=60)[1]}")
        yield line.removeprefix("listening on ").strip()
    finally:
        process.terminate()
        process.communicate(timeout=60)


def size(made: Environment) -> int:
    """Bytes of an installation: all of its site-packages but pip, which the environment itself brought."""
    (site,) = made.folder.glob("lib/python3.*/site-packages")
    return sum(
        path.stat().st_size
        for path in site.rglob("*")
        if path.is_file() and path.relative_to(site).parts[0].partition("-")[0] != "pip"
    )


def import_times(made: Environment, variables: Mapping[str, str], pairs: int = 7) -> str:
    """Importing servox with and without the connector, taken in turn, processor time of whole processes: their ratio,
    and our own modules' share by `python -X importtime`."""

    def used(program: str) -> float:
        before = os.times()
        made.run("python", "-c", program, variables=variables)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    taken = [(used("import servo_emr.connector"), used("import servo")) for _ in range(pairs + 1)][1:]
    ratio = statistics.median(with_us / without for with_us, without in taken)
    with made.start(("python", "-X", "importtime", "-c", "import servo_emr.connector"), variables) as process:
        lines = [line.split("|") for line in process.communicate(timeout=PATIENCE_S)[1].splitlines()]
    own = sum(int(a.split(":")[1]) for a, _, name in lines[1:] if name.strip().startswith("servo_emr"))
    total = sum(int(a.split(":")[1]) for a, _, name in lines[1:])
    return (
        f"import servo_emr.connector: median {statistics.median(a for a, _ in taken):.2f} s of processor time, "
        f"{ratio:.2f} of `import servo` ({pairs} pairs); our modules are {100 * own / total:.0f} % of it"
    )
