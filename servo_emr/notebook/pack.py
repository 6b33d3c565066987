"""A job made into the files that its run needs: the notebook read and checked, job.json, the shipped runner."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

from servo_emr.domain.errors import Reason, RunError, failure
from servo_emr.domain.ports import Package, Workspace
from servo_emr.domain.spec import RunKey, RunSpec, of_repeat
from servo_emr.domain.trial import resolve
from servo_emr.notebook.step import NotANotebook, artefacts, check_notebook, job_document

__all__ = ["NotebookPacker"]


def _read_file(place: str) -> bytes:
    return Path(place).expanduser().read_bytes()


class NotebookPacker:
    """`domain.ports.Packer` for a notebook.

    Args:
        workspace: reads the notebook where servo.yaml names an s3:// URI.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def pack(self, spec: RunSpec, key: RunKey) -> Package:
        job = spec.job
        notebook = await self._read(job.notebook)
        parameters = resolve(job.parameter_values, {"run_id": key.run_id})
        self._check(job.notebook, notebook, set(parameters))
        files = {**artefacts(), "input.ipynb": notebook}
        for repeat in range(1, job.repeats + 1):
            document = job_document(key.run_id, key.folder, parameters, job.kernel, job.timeout_s, repeat)
            body = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode()
            files[of_repeat("job.json", repeat)] = body
        return Package(files, hashlib.sha256(notebook).hexdigest())

    async def _read(self, place: str) -> bytes:
        if "://" in place:
            try:
                return await self._workspace.read(place)
            except RunError as error:
                raise failure(
                    error.reason,
                    f"emr.job.notebook: {place}: {error.message}",
                    remedy=error.remedy,
                    public=error.public or "the notebook cannot be read",
                    details=error.details,
                ) from error
        try:
            return await asyncio.to_thread(_read_file, place)
        except (OSError, RuntimeError, ValueError) as error:  # a home that nobody has, a path that can be none
            why = error.strerror if isinstance(error, OSError) else error
            raise failure(
                Reason.NOTEBOOK,
                f"emr.job.notebook: {place}: {why}.",
                remedy="Correct the path in servo.yaml; a relative one counts from the servo's working folder.",
                public="the notebook cannot be read",
            ) from error

    def _check(self, place: str, notebook: bytes, given: set[str]) -> None:
        try:
            facts = check_notebook(notebook)
        except NotANotebook as error:
            raise failure(
                Reason.NOTEBOOK, f"emr.job.notebook: {place}: {error}", public="the notebook cannot be run"
            ) from error
        if given and not facts.has_parameters_cell:
            raise failure(
                Reason.NOTEBOOK,
                f"emr.job.parameters are given, and {place} has no cell tagged 'parameters'.",
                remedy="Tag the cell that assigns their defaults, or take the parameters out of servo.yaml.",
                public="the notebook has no parameters cell",
            )
        unknown = given - set(facts.parameters) if facts.parameters is not None else set()
        if unknown:
            raise failure(
                Reason.NOTEBOOK,
                f"emr.job.parameters: {', '.join(sorted(unknown))}: no such name in the parameters cell of {place}.",
                remedy=f"It assigns {', '.join(facts.parameters or ()) or 'nothing'}; papermill would drop the others.",
                public="the notebook does not know a parameter",
            )
