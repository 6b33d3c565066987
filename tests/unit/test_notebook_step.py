"""The step's command line, its bootstrap action, job.json, and what a notebook says of itself before it runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from servo_emr.notebook.step import NotANotebook, argv, artefacts, bootstrap, check_notebook, job_document, name

PYTHON = "/home/hadoop/servo-emr/bin/python"


def notebook(*cells: tuple[str, str, list[str]], **metadata: Any) -> bytes:
    made = [
        {"cell_type": kind, "metadata": {"tags": tags}, "source": source.splitlines(True)}
        | ({"outputs": [], "execution_count": None} if kind == "code" else {})
        for kind, source, tags in cells
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": made}).encode()


def test_with_spark_the_notebook_runs_under_spark_submit() -> None:
    assert argv(("Hadoop", "Spark")) == (
        "spark-submit", "--deploy-mode", "client",
        "--conf", f"spark.pyspark.driver.python={PYTHON}",
        "{run}/run_notebook.py", "{run}/job.json",
    )  # fmt: skip


def test_without_spark_plain_python_runs_the_runner_beside_its_environment() -> None:
    assert argv(()) == (PYTHON, "/home/hadoop/servo-emr/run_notebook.py", "{run}/job.json")


@pytest.mark.parametrize("applications", [(), ("Spark",)])
def test_every_repeat_has_a_job_of_its_own_and_is_named_for_people(applications: tuple[str, ...]) -> None:
    assert [argv(applications, repeat)[-1] for repeat in (1, 2)] == ["{run}/job.json", "{run}/job-2.json"]
    assert [name(1, 1), name(1, 2), name(2, 2)] == ["notebook", "notebook 1 of 2", "notebook 2 of 2"]
    document = job_document("20261120t101530-0123abcd", "s3://w/x", {}, None, 60, 2)
    assert document["result"] == "s3://w/x/result-2.json"
    assert document["input"] == "s3://w/x/input.ipynb"


@pytest.mark.parametrize(
    ("wheels", "expected"),
    [
        (None, ("{run}/bootstrap.sh", "{run}")),
        ("s3://acme/wheels", ("{run}/bootstrap.sh", "{run}", "s3://acme/wheels")),
    ],
)
def test_the_bootstrap_action_learns_the_runs_folder_and_the_wheels(wheels: str | None, expected: tuple[str]) -> None:
    assert bootstrap(wheels) == expected


def test_the_job_document_names_every_place_under_the_runs_folder() -> None:
    document = job_document("20261120t101530-0123abcd", "s3://w/x/runs/20261120t101530-0123abcd/", {"a": 1}, None, 60)
    places = {place: document.pop(place) for place in ("input", "output", "result", "progress")}
    folder = "s3://w/x/runs/20261120t101530-0123abcd"
    assert places == {
        "input": f"{folder}/input.ipynb",
        "output": f"{folder}/output.ipynb",
        "result": f"{folder}/result.json",
        "progress": f"{folder}/progress.json",
    }
    run_id = "20261120t101530-0123abcd"
    assert document == {"schema": 1, "run_id": run_id, "parameters": {"a": 1}, "kernel": None, "timeout_s": 60}


def test_everything_that_step_and_bootstrap_action_use_is_shipped() -> None:
    shipped = artefacts()
    assert set(shipped) == {
        "run_notebook.py", "run_command.py", "servo_emr_job.py", "servo_emr_child.py", "servo_emr_outputs.py",
            "servo_emr_processes.py",
        "bootstrap.sh", "constraints.txt",
    }  # fmt: skip
    copied = shipped["bootstrap.sh"].decode()
    assert all(shipped_name in copied for shipped_name in shipped)


def test_a_notebook_tells_the_parameters_that_it_takes() -> None:
    facts = check_notebook(
        notebook(
            ("markdown", "# Title", []),
            ("code", "%matplotlib inline\na = 1\nb: int = 2\nc, (d, e) = 1, (2, 3)\nf['x'] = 1\na = 5", ["parameters"]),
            ("code", "g = 1", []),
            kernelspec={"name": "python3", "display_name": "Python 3"},
        )
    )
    assert facts.has_parameters_cell
    assert facts.parameters == ("a", "b", "c", "d", "e")


def test_a_notebook_without_a_parameters_cell_takes_none() -> None:
    facts = check_notebook(notebook(("code", "a = 1", [])))
    assert (facts.has_parameters_cell, facts.parameters) == (False, ())


def test_parameters_that_are_no_python_are_unknown_and_not_none() -> None:
    assert check_notebook(notebook(("code", "val a = 1", ["parameters"]))).parameters is None


def test_a_notebook_of_an_old_format_is_read_too() -> None:
    old = {"input": "a = 1", "cell_type": "code", "outputs": [], "language": "python", "metadata": {}}
    body = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": [old]}]}
    assert check_notebook(json.dumps(body).encode()).parameters == ()


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"print('a script')", "not JSON"),
        (b"[]", "without the parts"),
        (b'{"a": 1}', "without the parts"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "without the parts"),
        (
            b'{"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [{"cell_type": "code"}]}',
            "without the parts",
        ),
        (notebook(("markdown", "# only words", [])), "holds no code"),
    ],
)
def test_what_is_not_a_runnable_notebook_is_refused_with_the_cause_and_a_remedy(body: bytes, cause: str) -> None:
    with pytest.raises(NotANotebook, match=rf"{cause}.*save it"):
        check_notebook(body)
