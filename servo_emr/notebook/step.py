"""A step of ours before it runs: its command line, its bootstrap action, job.json, the files shipped with it.

Also a look at the user's notebook before anybody pays for running it. No I/O but reading this package's own files.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from servo_emr.domain.spec import RUN_TEMPLATE, of_repeat
from servo_emr.notebook.document import parse

__all__ = [
    "HOME",
    "NotANotebook",
    "NotebookFacts",
    "argv",
    "artefacts",
    "bootstrap",
    "check_notebook",
    "command_argv",
    "command_document",
    "job_document",
    "name",
]

HOME = "/home/hadoop"
"""The home folder of the user that runs steps and bootstrap actions on an EMR node."""

ENVIRONMENT = f"{HOME}/servo-emr"
PYTHON = f"{ENVIRONMENT}/bin/python"
RUNNER, COMMAND_RUNNER = "run_notebook.py", "run_command.py"
SHIPPED = (
    RUNNER,
    COMMAND_RUNNER,
    "servo_emr_job.py",
    "servo_emr_child.py",
    "servo_emr_outputs.py",
    "servo_emr_processes.py",
    "bootstrap.sh",
    "constraints.txt",
)
JOB_SCHEMA = 1


class NotANotebook(ValueError):
    """The bytes are not a Jupyter notebook that can be run; the message says why and what to do."""


@dataclass(frozen=True)
class NotebookFacts:
    """What can be known of a notebook without running it.

    parameters: the names that its parameters cell assigns; None when the cell cannot be read as Python.
    """

    has_parameters_cell: bool
    parameters: tuple[str, ...] | None


def name(repeat: int, repeats: int) -> str:
    """The name of a repeat's step, for people."""
    return "notebook" if repeats == 1 else f"notebook {repeat} of {repeats}"


def argv(applications: Sequence[str], repeat: int = 1, folder: str = "") -> tuple[str, ...]:
    """The command line of a notebook's step, with `{run}` for the URI of the run's folder; no shell will see it.

    With Spark among the applications spark-submit runs the notebook, without it plain python does.
    """
    job = f"{RUN_TEMPLATE}/{folder}{of_repeat('job.json', repeat)}"
    if "spark" not in {application.lower() for application in applications}:
        return (PYTHON, f"{ENVIRONMENT}/{RUNNER}", job)
    options = ("--conf", f"spark.pyspark.driver.python={PYTHON}")
    return ("spark-submit", "--deploy-mode", "client", *options, f"{RUN_TEMPLATE}/{RUNNER}", job)


def command_argv(repeat: int, folder: str) -> tuple[str, ...]:
    """The command line of a step that runs a command of job.json."""
    return (PYTHON, f"{ENVIRONMENT}/{COMMAND_RUNNER}", f"{RUN_TEMPLATE}/{folder}{of_repeat('job.json', repeat)}")


def bootstrap(wheels: str | None = None, notebooks: bool = True) -> tuple[str, ...]:
    """The bootstrap action: its script and then its arguments, with `{run}` templates.

    `wheels` is an s3:// prefix with the wheels to install from, for clusters that reach no package registry. Without
    notebooks less is installed.
    """
    words = [] if notebooks else [wheels or "-", "commands"]
    return (f"{RUN_TEMPLATE}/bootstrap.sh", RUN_TEMPLATE, *(words or ([wheels] if wheels else [])))


def command_document(
    run_id: str, folder: str, command: Sequence[str], timeout_s: float, repeat: int = 1, **more: str
) -> dict[str, Any]:
    """A command's job.json. `folder` is the URI of the step's own folder; `more` are the runner's further fields."""
    return {
        "schema": JOB_SCHEMA,
        "run_id": run_id,
        "command": list(command),
        "output": f"{folder}/{of_repeat('output.txt', repeat)}",
        "result": f"{folder}/{of_repeat('result.json', repeat)}",
        "timeout_s": timeout_s,
        **more,
    }


def job_document(
    run_id: str,
    run_prefix: str,
    parameters: Mapping[str, Any],
    kernel: str | None,
    timeout_s: float,
    repeat: int = 1,
    **more: str,
) -> dict[str, Any]:
    """A notebook's job.json: all that the runner on the cluster has to know.

    `run_prefix` is the URI of the folder of its files; `more` are the runner's further fields.
    """
    folder = run_prefix.rstrip("/")
    return {
        "schema": JOB_SCHEMA,
        "run_id": run_id,
        "input": f"{folder}/input.ipynb",
        "output": f"{folder}/{of_repeat('output.ipynb', repeat)}",
        "result": f"{folder}/{of_repeat('result.json', repeat)}",
        "progress": f"{folder}/{of_repeat('progress.json', repeat)}",
        "parameters": dict(parameters),
        "kernel": kernel,
        "timeout_s": timeout_s,
        **more,
    }


def artefacts() -> dict[str, bytes]:
    """The files that step and bootstrap action need in the run's folder, by name."""
    folder = files("servo_emr.notebook") / "cluster"
    return {name: (folder / name).read_bytes() for name in SHIPPED}


def check_notebook(body: bytes) -> NotebookFacts:
    """What a notebook says of itself.

    Raises:
        NotANotebook: it is none, or none that papermill could run.
    """
    try:
        notebook = parse(body)
    except ValueError as error:
        raise NotANotebook(f"not a Jupyter notebook: {error}. Open it in Jupyter and save it again.") from error
    if not any(cell.cell_type == "code" and cell.source.strip() for cell in notebook.cells):
        raise NotANotebook("the notebook holds no code. Write some in Jupyter and save it.")
    marked = next((cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())), None)
    return NotebookFacts(
        has_parameters_cell=marked is not None,
        parameters=() if marked is None else _assigned(marked.source),
    )


def _assigned(source: str) -> tuple[str, ...] | None:
    """The names that a cell assigns at its top level, in order; None when it is not Python."""
    try:
        statements = ast.parse("\n".join(line for line in source.splitlines() if not line.startswith(("%", "!")))).body
    except SyntaxError:
        return None
    names: list[str] = []
    for statement in statements:
        if isinstance(statement, ast.Assign):
            found = [node for target in statement.targets for node in ast.walk(target)]
        elif isinstance(statement, ast.AnnAssign):
            found = [statement.target]
        else:
            continue
        names += [node.id for node in found if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return tuple(dict.fromkeys(names))
