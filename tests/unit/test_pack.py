"""A job made into files: the notebook is read and checked before anybody pays for running it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.spec import RunSpec, canonical
from servo_emr.notebook.pack import NotebookPacker
from tests.support.memory import MemoryWorkspace
from tests.support.samples import KEY, SPEC, notebook

BODY = notebook(parameters="sample = 0.1\nout = None\n")


def job(place: str | None = None, **parameters: Any) -> RunSpec:
    notebook_place = SPEC.job.notebook if place is None else place
    return replace(SPEC, job=replace(SPEC.job, notebook=notebook_place, parameters=canonical(parameters)))


def packer(body: bytes | None = BODY) -> NotebookPacker:
    workspace = MemoryWorkspace()
    if body is not None:
        workspace.elsewhere[SPEC.job.notebook] = body
    return NotebookPacker(workspace)


async def test_a_package_holds_the_notebook_as_it_is_the_job_and_the_runner() -> None:
    package = await packer().pack(job(sample=0.5, out="s3://acme/{run_id}"), KEY)
    assert package.files["input.ipynb"] == BODY
    assert package.notebook_sha256 == hashlib.sha256(BODY).hexdigest()
    assert package.files.keys() >= {"job.json", "run_notebook.py", "bootstrap.sh", "constraints.txt"}
    document = json.loads(package.files["job.json"])
    assert document["parameters"] == {"sample": 0.5, "out": f"s3://acme/{KEY.run_id}"}
    assert document["run_id"] == KEY.run_id
    assert document["result"] == f"{KEY.folder}/result.json"
    assert document["timeout_s"] == 7200.0


async def test_a_local_notebook_is_read_from_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etl.ipynb").write_bytes(BODY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in ("etl.ipynb", str(tmp_path / "etl.ipynb"), "~/etl.ipynb"):
        assert (await packer().pack(job(place), KEY)).files["input.ipynb"] == BODY


@pytest.mark.parametrize("place", ["none.ipynb", ".", "~nobody-of-that-name/etl.ipynb", "a\0b.ipynb"])
async def test_a_notebook_that_cannot_be_read_is_a_matter_for_the_operator(place: str) -> None:
    with pytest.raises(OperatorError) as error:
        await packer().pack(job(place), KEY)
    assert error.value.reason is Reason.NOTEBOOK
    assert "emr.job.notebook" in str(error.value)
    assert "servo.yaml" in error.value.remedy
    assert place not in error.value.public or place == "."


async def test_a_notebook_that_is_not_in_s3_is_a_matter_for_the_operator() -> None:
    with pytest.raises(OperatorError) as error:
        await packer(None).pack(job(), KEY)
    assert error.value.reason is Reason.NOTEBOOK


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"print(1)", notebook(source="")])
async def test_what_is_no_notebook_is_refused_before_a_launch(body: bytes) -> None:
    with pytest.raises(OperatorError, match=r"emr\.job\.notebook: s3://acme-notebooks/etl\.ipynb") as error:
        await packer(body).pack(job(), KEY)
    assert error.value.reason is Reason.NOTEBOOK


async def test_parameters_need_a_parameters_cell_that_knows_them() -> None:
    with pytest.raises(OperatorError, match="no cell tagged 'parameters'"):
        await packer(notebook()).pack(job(sample=1), KEY)
    with pytest.raises(OperatorError, match="samples: no such name in the parameters cell of") as error:
        await packer().pack(job(samples=1), KEY)
    assert "It assigns sample, out" in error.value.remedy
    assert await packer(notebook(parameters="this is no python")).pack(job(anything=1), KEY)
    assert await packer(notebook()).pack(job(), KEY)
