"""What is shipped to the cluster fits the cluster's Pythons and tools, whatever this machine has."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import servo_emr
from servo_emr.notebook.step import artefacts, check_notebook

PACKAGE = Path(servo_emr.__file__).parent
CLUSTER = PACKAGE / "notebook" / "cluster"
PYTHON_FILES = sorted(CLUSTER.glob("*.py"))
ALLOWED = {
    "papermill",
    "boto3",
    "botocore",
    "servo_emr_child",
    "servo_emr_outputs",
    "servo_emr_processes",
    "servo_emr_job",
}
ALLOWED |= {"jupyter_client", "zmq"}  # papermill runs its kernels with them, and the pins hold them
PINS = [line for line in artefacts()["constraints.txt"].decode().splitlines() if line and not line.startswith("#")]
DEMO = PACKAGE / "demo"


@pytest.mark.parametrize("minor", [7, 9, 11, 12])
@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: path.name)
def test_the_runner_is_written_for_every_python_of_a_cluster(path: Path, minor: int) -> None:
    assert ast.parse(path.read_text(), feature_version=(3, minor)).body


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: path.name)
def test_the_runner_needs_the_standard_library_papermill_and_its_s3_client_only(path: Path) -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).partition(".")[0])
    assert names - ALLOWED <= set(sys.stdlib_module_names)


def test_every_pin_is_for_one_python_and_names_one_version() -> None:
    form = re.compile(r'[a-z0-9-]+==[0-9][0-9a-z.]*; python_version == "(3\.7|3\.9|3\.11|3\.12)"')
    assert [line for line in PINS if not form.fullmatch(line)] == []
    assert len(set(PINS)) == len(PINS)


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        ("3.7", {"papermill==2.4.0", "ipykernel==6.16.2"}),
        ("3.9", {"papermill==2.6.0", "ipykernel==6.31.0"}),
        ("3.11", {"papermill==2.7.0", "ipykernel==7.4.0"}),
        ("3.12", {"papermill==2.7.0", "ipykernel==7.4.0"}),
    ],
)
def test_each_python_has_the_papermill_and_the_kernel_that_were_tried(python: str, expected: set[str]) -> None:
    pins = {line.partition(";")[0] for line in PINS if line.endswith(f'"{python}"')}
    assert expected <= pins
    assert {"boto3", "numpy"} <= {pin.partition("==")[0] for pin in pins}


def test_the_bootstrap_script_is_legal_bash() -> None:
    bash = shutil.which("bash")
    assert bash
    checked = subprocess.run([bash, "-n", str(CLUSTER / "bootstrap.sh")], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_demos_notebook_runs_on_the_clusters_python_and_carries_no_outputs() -> None:
    body = (DEMO / "training.ipynb").read_bytes()
    cells = [cell for cell in json.loads(body)["cells"] if cell["cell_type"] == "code"]
    assert all(ast.parse("".join(cell["source"]), feature_version=(3, 9)).body for cell in cells)
    assert [cell["outputs"] for cell in cells] == [[]] * len(cells)
    assert json.loads(body)["metadata"]["kernelspec"]["name"] == "python3"
    facts = check_notebook(body)
    assert facts.parameters is not None
    assert {"data", "out", "samples", "seed", "hidden_small", "hidden_large", "partitions"} <= set(facts.parameters)


def test_the_demos_input_describes_both_letters() -> None:
    shapes = [json.loads(line) for line in (DEMO / "data" / "shapes.json").read_text().splitlines()]
    assert {shape["label"] for shape in shapes} == {"X", "O"}
