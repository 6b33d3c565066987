"""Files as git and people expect them: no stray blanks, one newline at the end, no conflict markers, nothing huge.

    tools/hygiene.py [FILE ...]   those files; none: all that git knows or would add

Prints a line for each fault, with its place; exit status 1 when there is one. Changes nothing. What was written by
others or by earlier versions stays as it was written: FOREIGN.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
FOREIGN = ("tests/fixtures/", "tests/golden/", "servo_emr/report/assets/")
LARGEST = 1 << 20
_MARKER = re.compile(r"^(<{7}|>{7}|\|{7}) \S|^={7}$")


def _json(text: str) -> None:
    """One document, or one on each line, as Spark writes and reads them."""
    try:
        json.loads(text)
    except ValueError:
        for line in text.splitlines():
            json.loads(line)


_PARSERS: dict[str, Callable[[str], object]] = {
    ".json": _json,
    ".ipynb": json.loads,
    ".toml": tomllib.loads,
    ".yaml": lambda text: list(yaml.compose_all(text, yaml.SafeLoader)),
    ".yml": lambda text: list(yaml.compose_all(text, yaml.SafeLoader)),
}


def files() -> list[str]:
    """All files that git knows, or would add, and that are there."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return sorted({name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()})


def faults(name: str, body: bytes) -> Iterator[str]:
    """What is wrong with a file, each with its line where it has one."""
    if len(body) > LARGEST:
        yield f"{name}: {len(body)} bytes, at most {LARGEST} go into the repository"
    if name.startswith(FOREIGN) or b"\0" in body:
        return
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        yield f"{name}: not UTF-8 ({error.reason} at byte {error.start})"
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.endswith("\r"):
            yield f"{name}:{number}: ends as on Windows (CR LF)"
        elif line != line.rstrip():
            yield f"{name}:{number}: blanks at the end"
        if _MARKER.match(line):
            yield f"{name}:{number}: a marker of a merge"
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        yield f"{name}: has to end with one newline"
    parser = _PARSERS.get(Path(name).suffix)
    if parser is not None:
        try:
            parser(text)
        except (ValueError, yaml.YAMLError) as error:
            yield f"{name}: {' '.join(str(error).split())}"


def main(names: list[str]) -> int:
    """Looks at the named files, or at all."""
    found = [fault for name in names or files() for fault in faults(name, (ROOT / name).read_bytes())]
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
