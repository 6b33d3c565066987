"""Writes constraints.txt: every package of every extra, pinned to what pip's resolver chooses today; and
docs/constraints.txt, the same of what makes the site, which has an environment of its own.

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
DOCS_HEADER = """\
# Every package that makes the site (pyproject.toml, dependency group `docs`), as pip resolved them on Python 3.11.
# Used by tools/build_docs.sh. Made by `make constraints`; do not edit by hand.
"""


def extras() -> list[str]:
    """Names of the extras that pyproject.toml declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return sorted(project["optional-dependencies"])


def everything() -> list[str]:
    """pip's words for this project with every extra."""
    return [f"{ROOT}[{','.join(extras())}]"]


def resolve(python: str, constraints: Path | None, words: list[str]) -> dict[str, str]:
    """Name -> version of all that `python`'s pip would install for `words` but the project itself.

    Raises subprocess.CalledProcessError when it cannot; pip has then said why on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--report", str(report)]
        if constraints is not None:
            command += ["--constraint", str(constraints)]
        subprocess.run([*command, *words], check=True)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return {canonical(item["name"]): item["version"] for item in found if canonical(item["name"]) != "servo-emr"}


def canonical(name: str) -> str:
    """A distribution's name as package indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def render(pins: dict[str, str], header: str) -> str:
    """The text of a constraints file; refuses a version that only one machine can have."""
    local = sorted(f"{name}=={version}" for name, version in pins.items() if "+" in version)
    if local:
        raise SystemExit(f"not on a public index: {', '.join(local)}; look at pip's configuration on this machine")
    return header + "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def main() -> None:
    """Resolve, cross-check, and only then replace the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--other-python", default="python3.12", help="the other supported interpreter (default: %(default)s)"
    )
    options = parser.parse_args()
    if sys.version_info[:2] != (3, 11):
        raise SystemExit("run this with Python 3.11, the oldest supported: a newer one chooses packages it cannot have")
    lock(ROOT / "constraints.txt", HEADER, everything(), options.other_python)
    lock(
        ROOT / "docs" / "constraints.txt",
        DOCS_HEADER,
        ["--group", f"{ROOT / 'pyproject.toml'}:docs"],
        options.other_python,
    )


def lock(target: Path, header: str, words: list[str], other_python: str) -> None:
    """Writes one file of pins, once the other Python can have them too."""
    pins = resolve(sys.executable, None, words)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, "constraints.txt")
        draft.write_text(render(pins, header))
        only_there = sorted(set(resolve(other_python, draft, words)) - set(pins))
        if only_there:
            raise SystemExit(f"{other_python} also needs {', '.join(only_there)}, which nothing pins")
        fresh = draft.read_text()
    changed = not target.exists() or target.read_text() != fresh
    scratch = target.with_suffix(".new")
    scratch.write_text(fresh)
    scratch.replace(target)
    print(f"{target.relative_to(ROOT)}: {len(pins)} packages, {'changed' if changed else 'as before'}")


if __name__ == "__main__":
    main()
