"""Checks the packages that are pinned for the Pythons of clusters: one complete set for each, obtainable as wheels.

For each Python of servo_emr/notebook/cluster/constraints.txt two things are asked, without that Python being here:
pip's resolver, in a dry run for that Python's version and for x86-64 and ARM nodes, must find a wheel of every pin;
and the requirements that those wheels state, with their markers evaluated for that Python (pip evaluates them for the
Python it runs under), must be met by the set itself. For a Python that the emulated cluster may have, the pins must be
those of constraints.txt in the project's root, so that the emulated cluster downloads nothing.

Exit status: 0, or 1 with each cause on a line. To renew a set, write down what this finds under that Python:
`pip install --dry-run --ignore-installed --only-binary :all: papermill boto3 ipykernel numpy`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "servo_emr" / "notebook" / "cluster" / "constraints.txt"
PROJECT = ROOT / "constraints.txt"

ROOTS = ("papermill", "boto3", "ipykernel", "numpy")  # what bootstrap.sh asks for
# A full version, and the minor number of the newest glibc whose wheels the nodes with this Python can take: Amazon
# Linux 2023 has 2.34. Amazon Linux 2 has 2.26, but its pip 20 knows the names manylinux1, 2010 and 2014 only.
PYTHONS = {"3.7": ("3.7.16", None), "3.9": ("3.9.16", 34), "3.11": ("3.11.6", 34), "3.12": ("3.12.1", 34)}
MACHINES = ("x86_64", "aarch64")
EMULATED = ("3.11", "3.12")

_PIN = re.compile(r'([a-z0-9-]+)==([0-9][0-9a-z.]*); python_version == "(3\.[0-9]+)"')


def read_pins(text: str) -> dict[str, dict[str, str]]:
    """The sets in a constraints file: Python -> name -> version.

    Raises:
        ValueError: a line is none of ours, or pins a package twice.
    """
    sets: dict[str, dict[str, str]] = {python: {} for python in PYTHONS}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        match = _PIN.fullmatch(line)
        if match is None or match[3] not in sets:
            raise ValueError(f'line {number}: {line!r} is not of the form name==version; python_version == "3.N"')
        if match[1] in sets[match[3]]:
            raise ValueError(f"line {number}: {match[1]} is pinned a second time for Python {match[3]}")
        sets[match[3]][match[1]] = match[2]
    return sets


def ask_pip(python: str, machine: str, pins: Mapping[str, str]) -> tuple[list[dict[str, Any]], str]:
    """What pip would install, as its report has it, and its words when it cannot."""
    glibc = PYTHONS[python][1]
    platforms = [] if glibc is None else [f"manylinux_2_{minor}_{machine}" for minor in range(glibc, 16, -1)]
    platforms += [f"manylinux{old}_{machine}" for old in ("2014", "2010", "1")]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
        command += ["--disable-pip-version-check", "--only-binary", ":all:", "--python-version", python]
        command += [word for name in platforms for word in ("--platform", name)]
        command += ["--implementation", "cp", "--target", f"{folder}/target", "--report", str(report)]
        command += [f"{name}=={version}" for name, version in pins.items()]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            said = [line for line in ran.stderr.splitlines() if line.startswith("ERROR: No matching")]
            return [], "; ".join(said) or ran.stderr[-2000:]  # its other lines list every release there ever was
        found: list[dict[str, Any]] = json.loads(report.read_text())["install"]
        return found, ""


def unmet(python: str, machine: str, pins: Mapping[str, str], wheels: list[dict[str, Any]]) -> list[str]:
    """What the wheels require under that Python and the set does not hold, one sentence each."""
    full = PYTHONS[python][0]
    values = {"python_version": python, "python_full_version": full, "implementation_version": full}
    environment: dict[str, Any] = {**default_environment(), **values, "platform_machine": machine, "extra": ""}
    environment |= {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    causes = []
    for wheel in wheels:
        about = wheel["metadata"]
        if not SpecifierSet(about.get("requires_python", "")).contains(full):
            causes.append(f"{about['name']} {about['version']} requires Python {about['requires_python']}")
        for requirement in map(Requirement, about.get("requires_dist", ())):
            if requirement.marker is not None and not requirement.marker.evaluate(environment):
                continue
            pinned = pins.get(canonicalize_name(requirement.name))
            if pinned is None:
                causes.append(f"{about['name']} {about['version']} requires {requirement.name}, which is not pinned")
            elif not requirement.specifier.contains(pinned, prereleases=True):
                causes.append(f"{about['name']} {about['version']} requires {requirement}, pinned is {pinned}")
    return causes


def check(python: str, machine: str, pins: Mapping[str, str]) -> list[str]:
    """Everything that is wrong with one set on one machine."""
    causes = [f"{name} is not pinned" for name in ROOTS if name not in pins]
    wheels, refused = ask_pip(python, machine, pins)
    if refused:
        causes.append(refused)
    return [f"Python {python} on {machine}: {cause}" for cause in causes + unmet(python, machine, pins, wheels)]


def differing(python: str, pins: Mapping[str, str], project: str) -> list[str]:
    """The pins that are not the project's own, one sentence each."""
    own = dict(line.split("==") for line in project.splitlines() if "==" in line and not line.startswith("#"))
    return [
        f"Python {python}: {name}=={version}, but constraints.txt of the project has {own.get(name, 'none')}"
        for name, version in pins.items()
        if own.get(name) != version
    ]


def main() -> int:
    try:
        sets = read_pins(CLUSTER.read_text())
    except ValueError as error:
        print(f"{CLUSTER.relative_to(ROOT)}: {error}", file=sys.stderr)
        return 1
    cases = [(python, machine, pins) for python, pins in sets.items() for machine in MACHINES]
    with ThreadPoolExecutor(2) as pool:
        causes = [cause for found in pool.map(lambda case: check(*case), cases) for cause in found]
    for python in EMULATED:
        causes += differing(python, sets[python], PROJECT.read_text())
    for cause in causes:
        print(f"{CLUSTER.relative_to(ROOT)}: {cause}", file=sys.stderr)
    if causes:
        return 1
    counts = ", ".join(f"{python} ({len(pins)} packages)" for python, pins in sets.items())
    print(f"The cluster's packages resolve for Python {counts}, on {' and '.join(MACHINES)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
