"""What earlier versions have written, as tests/fixtures keeps it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from servo_emr.domain.run import RunRecord
from tests.support.memory import MemoryWorkspace

__all__ = [
    "BUNDLE",
    "DECIDED",
    "LEFT",
    "SCHEMA_1",
    "WORKSPACE",
    "documents",
    "put_into",
    "records",
    "studies",
    "study_at",
]

SCHEMA_1 = Path(__file__).resolve().parent.parent / "fixtures" / "schema-1"
WORKSPACE = SCHEMA_1 / "workspace"
BUNDLE = SCHEMA_1 / "bundle-2026-11.jsonl"
"""The bundle of the decided records, as it is behind gzip."""
LEFT = "20261130t000348-edb22ae9"
"""The run that was under way when its servo was killed."""
DECIDED = {
    "20261128t145804-cb9bda03": "succeeded",
    "20261128t194215-6bd4fbd6": "succeeded",
    "20261128t225113-6e5e8371": "job",
    "20261129t102232-4434f36d": "environment",
    "20261129t153224-defd39d7": "succeeded",
}
"""The verdicts of the others."""


def documents() -> dict[str, dict[str, Any]]:
    """The documents beside the records, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(WORKSPACE.glob("*.json"))}


def records() -> dict[str, dict[str, Any]]:
    """The records, by run id, as they were written."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(WORKSPACE.glob("records/*/*.json"))}


def put_into(workspace: MemoryWorkspace, *, lease: bool) -> None:
    """Everything into a workspace in memory; the lease, which another host holds, only if it is asked for."""
    for path in WORKSPACE.rglob("*.json"):
        if lease or path.name != "lease.json":
            workspace.by_hand(path.relative_to(WORKSPACE).as_posix(), path.read_bytes())


def left() -> RunRecord:
    """The record of the run that was left."""
    return RunRecord.from_json(records()[LEFT])


def studies() -> list[Path]:
    """The studies, one for each version of Optuna that wrote some."""
    return sorted(SCHEMA_1.glob("study-*.sql"))


def study_at(path: Path, folder: Path) -> str:
    """The storage URL of a study, made again as the database that it was."""
    file = folder / f"{path.stem}.db"
    connection = sqlite3.connect(file)
    try:
        connection.executescript(path.read_text())
    finally:
        connection.close()
    return f"sqlite:///{file}"
