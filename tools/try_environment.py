"""Makes an environment apart from .venv in which other versions of our dependencies are tried, and says which.

    tools/try_environment.py lowest   every direct dependency at the lower bound that pyproject.toml states
    tools/try_environment.py latest   the newest that pyproject.toml allows, constraints.txt left out
    tools/try_environment.py pinned   constraints.txt, for another Python than .venv's

It is made anew each time, in build/environments. What we depend on through others only is always the newest that the
rest allows. Installs with uv where that is on PATH, which takes seconds for pip's minutes, else with pip. Knows them
and pyproject.toml, and nothing of servo_emr.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SETS = ("lowest", "latest", "pinned")


def project() -> dict[str, object]:
    """The [project] table."""
    found: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def direct(table: dict[str, object]) -> list[Requirement]:
    """Every requirement of the project and of its extras that is on another project."""
    extras = table["optional-dependencies"]
    assert isinstance(extras, dict)
    plain = table["dependencies"]
    assert isinstance(plain, list)
    found = [Requirement(text) for text in [*plain, *(text for group in extras.values() for text in group)]]
    return [one for one in found if canonicalize_name(one.name) != "servo-emr"]


def lower_bounds(requirements: Iterable[Requirement]) -> dict[str, str]:
    """Name -> the version that its lower bound names; of two bounds of one project the higher.

    Raises:
        ValueError: a requirement has no lower bound.
    """
    found: dict[str, str] = {}
    for one in requirements:
        bounds = [each.version for each in one.specifier if each.operator in (">=", "==", "~=")]
        if len(bounds) != 1:
            raise ValueError(f"{one} states no lower bound: >= and a version that has been tried")
        name = canonicalize_name(one.name)
        found[name] = max(found.get(name, "0"), bounds[0], key=_ordered)
    return found


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def installer(python: Path) -> list[str]:
    """The command that installs into the environment of `python`: uv's, or its own pip's."""
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--python", str(python)]
    return [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]


def make(which: str, folder: Path, base: str) -> Path:
    """The interpreter of a new environment in `folder` with the project, editable, and every extra; `base` is
    the interpreter that it is made with.

    Raises subprocess.CalledProcessError when pip cannot; it has then said why on standard error.
    """
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([base, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    table = project()
    extras = table["optional-dependencies"]
    assert isinstance(extras, dict)
    command = [*installer(python), "--quiet"]
    if which == "lowest":
        bounds = folder / "lowest.txt"
        bounds.write_text("".join(f"{name}=={version}\n" for name, version in lower_bounds(direct(table)).items()))
        command += ["--constraint", str(bounds)]
    elif which == "pinned":
        command += ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*command, "--editable", f"{ROOT}[{','.join(sorted(extras))}]"], check=True)
    return python


def versions(python: Path, names: Iterable[NormalizedName]) -> dict[str, str]:
    """Name -> version of those distributions that an environment has."""
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
        text=True,
    )
    present = {canonicalize_name(item["name"]): item["version"] for item in json.loads(listed.stdout)}
    return {name: present[name] for name in sorted(names)}


def main() -> None:
    """Make it, and print the versions of the direct dependencies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=SETS)
    parser.add_argument("--python", default=sys.executable, help="the interpreter (default: the one that runs this)")
    options = parser.parse_args()
    which = options.which
    folder = ROOT / "build" / "environments" / which
    print(f"making {folder.relative_to(ROOT)} with {options.python} (some minutes)", flush=True)
    try:
        python = make(which, folder, options.python)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"{which}: {error}") from error
    found = versions(python, {canonicalize_name(one.name) for one in direct(project())})
    print(f"{which}: " + ", ".join(f"{name} {version}" for name, version in found.items()))


if __name__ == "__main__":
    main()
