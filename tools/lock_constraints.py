"""Writes constraints.txt: every package of every extra, pinned to what pip's resolver chooses today.

Runs on Python 3.11, and asks a Python 3.12 to resolve the result before the file is replaced, so that a pin which only
one of the two supported versions can have never gets in. Knows pip's report format and nothing of servo_emr.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Every package of every extra of servo-emr, as pip resolved them on Python 3.11; they resolve on Python 3.12 too.
# Used by `make` for .venv and by tools/install.sh for images: pip install -c constraints.txt 'servo-emr[demo]'
# Made by `make constraints`, which takes the newest that pyproject.toml allows; do not edit by hand.
"""


def extras() -> list[str]:
    """Names of the extras that pyproject.toml declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return sorted(project["optional-dependencies"])


def resolve(python: str, constraints: Path | None) -> dict[str, str]:
    """Name -> version of all that `python`'s pip would install for this project with every extra.

    Raises subprocess.CalledProcessError when it cannot; pip has then said why on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--report", str(report)]
        if constraints is not None:
            command += ["--constraint", str(constraints)]
        subprocess.run([*command, f"{ROOT}[{','.join(extras())}]"], check=True)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return {canonical(item["name"]): item["version"] for item in found if canonical(item["name"]) != "servo-emr"}


def canonical(name: str) -> str:
    """A distribution's name as package indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def render(pins: dict[str, str]) -> str:
    """The text of a constraints file; refuses a version that only one machine can have."""
    local = sorted(f"{name}=={version}" for name, version in pins.items() if "+" in version)
    if local:
        raise SystemExit(f"not on a public index: {', '.join(local)}; look at pip's configuration on this machine")
    return HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def main() -> None:
    """Resolve, cross-check, and only then replace constraints.txt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--other-python", default="python3.12", help="the other supported interpreter (default: %(default)s)"
    )
    options = parser.parse_args()
    if sys.version_info[:2] != (3, 11):
        raise SystemExit("run this with Python 3.11, the oldest supported: a newer one chooses packages it cannot have")
    target = ROOT / "constraints.txt"
    pins = resolve(sys.executable, None)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, "constraints.txt")
        draft.write_text(render(pins))
        only_there = sorted(set(resolve(options.other_python, draft)) - set(pins))
        if only_there:
            raise SystemExit(f"{options.other_python} also needs {', '.join(only_there)}, which nothing pins")
        fresh = draft.read_text()
    changed = not target.exists() or target.read_text() != fresh
    scratch = target.with_suffix(".new")
    scratch.write_text(fresh)
    scratch.replace(target)
    print(f"constraints.txt: {len(pins)} packages, {'changed' if changed else 'as before'}")


if __name__ == "__main__":
    main()
