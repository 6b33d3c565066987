"""A job made into the files that its run needs: programs read, notebooks checked, each step's job.json, the runners."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from servo_emr.domain.errors import Reason, RunError, failure
from servo_emr.domain.ports import Package, Workspace
from servo_emr.domain.spec import JobStage, Kind, RunKey, RunSpec, Step, of_repeat
from servo_emr.domain.trial import filled, resolve
from servo_emr.notebook.step import NotANotebook, artefacts, check_notebook, command_document, job_document

__all__ = ["NotebookPacker"]


def _read_file(place: str) -> bytes:
    return Path(place).expanduser().read_bytes()


class NotebookPacker:
    """`domain.ports.Packer` for notebooks and commands.

    Args:
        workspace: reads what servo.yaml names by an s3:// URI.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def pack(self, spec: RunSpec, key: RunKey) -> Package:
        files = artefacts() if any(step.ours for step in spec.steps) else {}
        bodies: dict[tuple[str, str], bytes] = {}
        guards = _guards(spec, key)
        for step in spec.steps:
            if not step.ours:
                continue
            where = _where(step)
            source = step.source or (spec.job.notebook if step.kind is Kind.NOTEBOOK else None)
            if source is not None and (where, source) not in bodies:
                bodies[where, source] = await self._read(where, source, step.kind)
            body = None if source is None else bodies[where, source]
            files |= self._files(spec, key, step, where, source or "", body, guards.get(step))
        asked = [step.asked for step in spec.steps if step.repeat == 1 and step.stage is not JobStage.CLEANUP]
        return Package(files, _digest(list(bodies.values()), list(filter(None, asked))))

    def _files(
        self, spec: RunSpec, key: RunKey, step: Step, where: str, source: str, body: bytes | None, guard: str | None
    ) -> dict[str, bytes]:
        """The files of a step, its job.json among them."""
        files: dict[str, bytes] = {}
        known, folder = key.references(step), f"{key.folder}/{step.folder}".rstrip("/")
        more = {} if guard is None else {"after": guard}
        if step.kind is Kind.NOTEBOOK:
            assert body is not None
            given = json.loads(step.parameters)
            parameters = resolve({**spec.job.parameter_values, **given} if step.measured else given, known)
            self._check(where, source, body, set(parameters))
            files[f"{step.folder}input.ipynb"] = body
            kernel = step.kernel or spec.job.kernel
            limit = spec.limit_s(step)
            document = job_document(key.run_id, folder, parameters, kernel, limit, step.repeat, **more)
        else:
            if body is not None:
                files[known["run.program"].removeprefix(f"{key.folder}/")] = body
            if step.kind is Kind.SCRIPT:
                more["fetch"] = known["run.program"]
            if step.kind is Kind.RESTORE:
                more["fills"] = filled(step.command, known)[-1]
            words = filled(step.command, known)
            document = command_document(key.run_id, folder, words, spec.limit_s(step), step.repeat, **more)
        text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
        files[f"{step.folder}{of_repeat('job.json', step.repeat)}"] = text.encode()
        return files

    async def _read(self, where: str, place: str, kind: Kind) -> bytes:
        what = "notebook" if kind is Kind.NOTEBOOK else "program"
        if "://" in place:
            try:
                return await self._workspace.read(place)
            except RunError as error:
                raise failure(
                    error.reason,
                    f"{where}: {place}: {error.message}",
                    remedy=error.remedy,
                    public=error.public or f"the {what} cannot be read",
                    details=error.details,
                ) from error
        try:
            return await asyncio.to_thread(_read_file, place)
        except (OSError, RuntimeError, ValueError) as error:  # a home that nobody has, a path that can be none
            why = error.strerror if isinstance(error, OSError) else error
            raise failure(
                Reason.NOTEBOOK,
                f"{where}: {place}: {why}.",
                remedy="Correct the path in servo.yaml; a relative one counts from the servo's working folder.",
                public=f"the {what} cannot be read",
            ) from error

    def _check(self, where: str, place: str, notebook: bytes, given: set[str]) -> None:
        parameters = where.replace(".notebook", ".parameters")
        try:
            facts = check_notebook(notebook)
        except NotANotebook as error:
            raise failure(Reason.NOTEBOOK, f"{where}: {place}: {error}", public="the notebook cannot be run") from error
        if given and not facts.has_parameters_cell:
            raise failure(
                Reason.NOTEBOOK,
                f"{parameters} are given, and {place} has no cell tagged 'parameters'.",
                remedy="Tag the cell that assigns their defaults, or take the parameters out of servo.yaml.",
                public="the notebook has no parameters cell",
            )
        unknown = given - set(facts.parameters) if facts.parameters is not None else set()
        if unknown:
            raise failure(
                Reason.NOTEBOOK,
                f"{parameters}: {', '.join(sorted(unknown))}: no such name in the parameters cell of {place}.",
                remedy=f"It assigns {', '.join(facts.parameters or ()) or 'nothing'}; papermill would drop the others.",
                public="the notebook does not know a parameter",
            )


def _where(step: Step) -> str:
    """The key of servo.yaml that names a step's program."""
    if not step.folder:
        return "emr.job.notebook"
    stage, _, number = step.folder.rstrip("/").partition("-")
    return f"emr.job.{stage}[{int(number) - 1}].{step.kind}"


def _guards(spec: RunSpec, key: RunKey) -> dict[Step, str]:
    """For each step that must not run unless the one before it succeeded, the URI of that one's result: EMR itself goes
    on after a failed step where clean-up follows."""
    if not spec.of_stage(JobStage.CLEANUP):
        return {}
    job = [step for step in spec.steps if step.stage is not JobStage.CLEANUP]
    return {
        step: f"{key.folder}/{before.folder}{of_repeat('result.json', before.repeat)}"
        for before, step in itertools.pairwise(job)
    }


def _digest(bodies: Sequence[bytes], asked: Sequence[str]) -> str:
    """What tells one job from another: the SHA-256 of the only notebook, else of all programs' and all words' ones."""
    programs = [hashlib.sha256(body).hexdigest() for body in bodies]
    if len(programs) == 1 and not asked:
        return programs[0]
    return hashlib.sha256("".join((*programs, *asked)).encode()).hexdigest()
