"""`servo-emr import`: another tool's cluster definition as servo.yaml, and what could not be carried, line by line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Optional

import typer
import yaml

from servo_emr.cli.output import OUTPUT, Output, emit_json, note
from servo_emr.cli.settings_file import load
from servo_emr.domain.errors import UsageError
from servo_emr.importing import Left, Source, imported, read_source

__all__ = ["import_file"]

OPTIMIZER = {"id": "example.com/imported", "token": "from-your-optimizer"}


def import_file(
    file: Path = typer.Argument(..., metavar="FILE", help="A RunJobFlow document, an ansible-style cluster, or a "
                                "configuration of servo-batch or servo-statestore-emr; YAML or JSON."),
    to: Optional[Path] = typer.Option(None, "--to", help="Write servo.yaml there; without it, on standard output."),
    notebook: Optional[str] = typer.Option(None, "--notebook", help="The notebook that is measured; the file's steps "
                                           "come before it. Without it the steps are measured."),
    workspace: str = typer.Option("s3://your-bucket/servo-emr", "--workspace", help="The workspace's S3 prefix."),
    region: str = typer.Option("us-east-1", "--region", help="The region, where the file says none."),
    release: str = typer.Option("emr-7.1.0", "--release-label", help="The release, where the file says none."),
    output: Output = OUTPUT,
) -> None:  # fmt: skip
    """Turn another tool's cluster definition into servo.yaml, and say what could not be carried."""
    try:
        source = read_source(file.read_text())
        kind, draft = imported(source, {"region": region, "workspace": workspace,
                                        "cluster.release_label": release}, notebook)  # fmt: skip
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from error
    document = {"optimizer": OPTIMIZER, "connectors": ["emr"], "emr": draft.emr}
    try:
        load(file, draft.emr)
    except UsageError as error:
        raise UsageError(f"{error}\nThat is what {file} says in this servo's words: correct it there.") from error
    left = [_told(source, one) for one in sorted(draft.left, key=lambda one: source.line(one.path))]
    # A terminal that the file is shown on shows them once: they are comments in it.
    if output is Output.JSON or to is not None or not sys.stdout.isatty():
        note(f"{file}: {kind}")
        for one in left:
            note(_sentence(one))
    if output is Output.JSON:
        emit_json({"format": kind, "servo_yaml": document, "left": left})
        return
    comments = "".join(f"# {_sentence(one)}\n" for one in left)
    text = f"# From {file.name} ({kind}).\n{comments}{yaml.safe_dump(document, sort_keys=False, allow_unicode=True)}"
    if to is None:
        typer.echo(text, nl=False)
        return
    try:
        with to.open("x") as target:
            target.write(text)
    except OSError as error:
        raise UsageError(f"{to}: {error.strerror}; nothing is overwritten") from error
    note(f"{to} is written. `servo-emr check -c {to}` tells whether it could run.")


def _told(source: Source, left: Left) -> dict[str, Any]:
    value = left.value if isinstance(left.value, (str, int, float, bool, type(None))) else str(left.value)[:80]
    return {"line": source.line(left.path) if left.path else None, "path": left.path, "value": value, "why": left.why}


def _sentence(one: dict[str, Any]) -> str:
    where = f"line {one['line']}: {one['path']} ({one['value']}): " if one["path"] else ""
    return " ".join(f"{where}{one['why']}".split())
