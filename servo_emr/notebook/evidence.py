"""What a finished run shows of its job, read back from the workspace: each step's result.json first, then what it made.

Success needs both: result.json of this very run says so, and no cell holds an error. A notebook that is too large to
be read back is the exception: there the runner's word stands alone, which has looked at every cell before it gave it.
"""

from __future__ import annotations

import asyncio
import re
import signal
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from servo_emr.domain.errors import Reason, RunError, TooLarge, failure
from servo_emr.domain.ports import Workspace
from servo_emr.domain.run import JobEvidence
from servo_emr.domain.spec import METRICS, JobStage, Kind, MetricSpec, RunSpec, Step, of_repeat
from servo_emr.notebook.commands import command_problem
from servo_emr.notebook.results import (
    Notebook,
    Result,
    ResultStatus,
    UnreadableNotebook,
    read_notebook,
    read_result,
)
from servo_emr.notebook.stopped import killed, stopped
from servo_emr.notebook.values import NoValue, number_in_file, number_in_text

__all__ = ["NotebookEvidence"]

_EXCEPTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,79}")
_WHOLE = 50 * 1024 * 1024
"""Bytes of an executed notebook that are read: to parse them takes several times as much memory."""
_TOO_LARGE = f"the executed notebook is too large to be read back: more than {_WHOLE >> 20} MiB"
_RESULT = 1024 * 1024
"""Bytes of result.json that are read. The runner writes some ten thousand; anybody on the cluster could write more."""
_PRINTED = 1024 * 1024
"""Bytes of what a command printed that are read: all that the runner keeps."""
OUTPUT_TAIL = 8_192
"""Characters of what a failed notebook printed that go into the record; all of it is in the executed notebook."""


@dataclass(frozen=True)
class _Left:
    """What one step left. printed: what a command printed; the other fields are a notebook's."""

    step: Step
    result: Result
    notebook: Notebook | None = None
    unreadable: str = ""
    too_large: bool = False
    printed: str | None = None

    def value(self, metric: MetricSpec) -> float | NoValue | None:
        """A metric's value, or why there is none; None where a step of this kind cannot report it."""
        if self.step.kind is not Kind.NOTEBOOK:
            if metric.source != "output":
                return None
            if self.printed is None:
                return NoValue("there is no output")
            return number_in_text(metric.key, self.printed, "the output")
        if self.too_large:
            return NoValue(_TOO_LARGE)
        if self.notebook is None:
            return NoValue("there is no executed notebook")
        if metric.source == "notebook":
            return self.notebook.metric_from_notebook(metric.key)
        return self.notebook.metric_from_output(metric.key)

    @property
    def problem(self) -> RunError | None:
        """What speaks against its success."""
        if self.result.status in (ResultStatus.ABSENT, ResultStatus.FOREIGN, ResultStatus.UNREADABLE):
            return _no_result(self.result)
        if self.step.kind is not Kind.NOTEBOOK:
            return command_problem(self.step, self.result)
        return _problem(self.step, self.result, self.notebook, self.unreadable)

    @property
    def facts(self) -> dict[str, Any]:
        """What the record tells of it."""
        facts = _facts(self.result, self.notebook)
        if self.too_large:
            facts["notebook"] = _TOO_LARGE
        if self.printed and not self.result.succeeded:
            facts["output"] = self.printed[-OUTPUT_TAIL:]
        return facts


class NotebookEvidence:
    """`domain.ports.Evidence` for what our runners run: notebooks and commands.

    Args:
        workspace: where the run's artefacts are.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def collect(self, run_id: str, spec: RunSpec, wanted: Sequence[str]) -> JobEvidence:
        """Of several repeats a metric is the median; the first step that has a problem speaks for all. Clean-up has no
        say, and a jar leaves nothing but what EMR tells of its step."""
        for step in spec.of_stage(JobStage.PREPARE):
            if step.ours and (left := await self._left(run_id, step)).problem is not None:
                return JobEvidence(left.problem, {}, {}, left.facts, spec.steps.index(step))
        metrics = [metric for metric in spec.job.metrics if metric.name in wanted]
        if spec.job.repeats == 1:
            return await self._repeat(run_id, spec, metrics, 1)
        found = []
        for repeat in range(1, spec.job.repeats + 1):
            evidence = await self._repeat(run_id, spec, metrics, repeat)
            if evidence.problem is not None:  # what comes after it did not run, or does not count
                return replace(evidence, facts={"repeat": repeat, **evidence.facts})
            found.append(evidence)
        return _median(found)

    async def _repeat(self, run_id: str, spec: RunSpec, wanted: Sequence[MetricSpec], repeat: int) -> JobEvidence:
        steps = [step for step in spec.of_stage(JobStage.RUN) if step.repeat == repeat]
        lefts = [await self._left(run_id, step) for step in steps if step.ours]
        written: bytes | None = None
        oversized = False
        if any(metric.source == "file" for metric in wanted):
            try:
                written = await self._workspace.get(run_id, of_repeat(METRICS, repeat), limit=_RESULT)
            except TooLarge:
                oversized = True
        # A large notebook, or a pattern that matches slowly, must not keep the loop from the optimizer.
        evidence, failed = await asyncio.to_thread(_evidence, lefts, wanted, written, oversized)
        return evidence if failed is None else replace(evidence, step=spec.steps.index(failed))

    async def _left(self, run_id: str, step: Step) -> _Left:
        result = await self._result(run_id, f"{step.folder}{of_repeat('result.json', step.repeat)}")
        if step.kind is not Kind.NOTEBOOK:
            return _Left(step, result, printed=await self._printed(run_id, step))
        executed: bytes | None = None
        too_large = False
        try:
            name = f"{step.folder}{of_repeat('output.ipynb', step.repeat)}"
            executed = await self._workspace.get(run_id, name, limit=_WHOLE)
        except TooLarge:
            too_large = True
        return await asyncio.to_thread(_read, step, result, executed, too_large)

    async def _printed(self, run_id: str, step: Step) -> str | None:
        try:
            name = f"{step.folder}{of_repeat('output.txt', step.repeat)}"
            body = await self._workspace.get(run_id, name, limit=_PRINTED)
        except TooLarge:  # not what our runner writes
            return None
        return None if body is None else body.decode(errors="replace")

    async def _result(self, run_id: str, name: str) -> Result:
        try:
            return read_result(await self._workspace.get(run_id, name, limit=_RESULT), run_id)
        except TooLarge as error:
            return Result(ResultStatus.UNREADABLE, why=f"result.json has more than {error.limit} bytes")


def _read(step: Step, result: Result, executed: bytes | None, too_large: bool) -> _Left:
    """What a notebook's step left, its executed notebook read."""
    if too_large:
        return _Left(step, result, too_large=True)
    try:
        return _Left(step, result, read_notebook(executed))
    except UnreadableNotebook as error:
        return _Left(step, result, unreadable=str(error))


def _evidence(
    lefts: Sequence[_Left], wanted: Sequence[MetricSpec], written: bytes | None, oversized: bool
) -> tuple[JobEvidence, Step | None]:
    """What the steps of a repeat say, and the first of them that did not succeed."""
    metrics: dict[str, float] = {}
    missing: dict[str, str] = {}
    for metric in wanted:
        value = _value(metric, lefts, written, oversized)
        if isinstance(value, NoValue):
            missing[metric.name] = value.why
        else:
            metrics[metric.name] = value
    failed = next((left for left in lefts if left.problem is not None), None)
    told = failed or next((left for left in lefts if left.step.kind is Kind.NOTEBOOK), None) or next(iter(lefts), None)
    facts = {} if told is None else told.facts
    if failed is None:
        return JobEvidence(None, metrics, missing, facts), None
    return JobEvidence(failed.problem, metrics, missing, facts), failed.step


def _value(metric: MetricSpec, lefts: Sequence[_Left], written: bytes | None, oversized: bool) -> float | NoValue:
    """A metric of a repeat: of several steps that tell it the last one counts."""
    if metric.source == "file":
        if oversized:
            return NoValue(f"the job's file of metrics has more than {_RESULT} bytes")
        return number_in_file(metric.key, written)
    found: float | NoValue = NoValue("no step could report it")
    for left in lefts:
        value = left.value(metric)
        if value is not None and (isinstance(found, NoValue) or not isinstance(value, NoValue)):
            found = value
    return found


def _median(found: Sequence[JobEvidence]) -> JobEvidence:
    """Several successful repeats as one; a metric that one of them lacks has no value."""
    missing = {name: f"repeat {n}: {why}" for n, item in enumerate(found, 1) for name, why in item.missing.items()}
    names = [name for name in found[0].metrics if name not in missing]
    metrics = {name: statistics.median(item.metrics[name] for item in found) for name in names}
    facts = {"repeats": [{"metrics": item.metrics, **item.facts} for item in found]}
    return JobEvidence(None, metrics, missing, facts)


def _no_result(result: Result) -> RunError:
    return failure(
        Reason.NO_RESULT,
        f"{result.why[:1].upper()}{result.why[1:]}.",
        remedy="The step's logs say why it did not write one.",
        public=result.why,
    )


def _facts(result: Result, notebook: Notebook | None) -> dict[str, Any]:
    """For the record: the error and where it was, and how long each cell took."""
    facts: dict[str, Any] = {"result": str(result.status)}
    if result.ename:
        facts["cell_error"] = {
            "cell_index": result.cell_index,
            "ename": result.ename,
            "evalue": result.evalue,
            "traceback": result.traceback,
        }
    if notebook is not None:
        if notebook.streams and not result.succeeded:
            facts["output"] = notebook.streams[-OUTPUT_TAIL:]
        facts["cell_seconds"] = list(notebook.durations)
    return facts


def _problem(step: Step, result: Result, notebook: Notebook | None, unreadable: str) -> RunError | None:
    """The first thing that speaks against a notebook's success, most telling first; None when nothing does."""
    if not result.succeeded or result.kernel_died:
        return _unsuccessful(step, result)
    if unreadable:
        return failure(Reason.NO_RESULT, f"result.json says succeeded, but {unreadable}.", public=unreadable)
    if notebook is not None and notebook.errors:
        error = notebook.errors[0]
        where = "a cell" if error.index is None else f"cell {error.index}"
        return failure(
            Reason.CELL_ERROR,
            f"{error.ename} in {where}: {error.evalue}",
            public=f"{_name(error.ename)} in {where}",
            details={"cell_index": error.index, "ename": error.ename, "traceback": error.traceback},
        )
    return None


def _unsuccessful(step: Step, result: Result) -> RunError:
    where = "" if result.cell_index is None else f" in cell {result.cell_index}"
    if (ended := stopped(step, result, "The job", "the job", where)) is not None:
        return ended
    if result.jvm_lost:
        return failure(
            Reason.SERVICE_INTERNAL,
            f"Spark's driver was lost while the notebook ran{where}: {result.ename}.",
            remedy="The step's logs may say why; with little memory on the primary node, try a larger one.",
            public=f"Spark's driver was lost{where}",
        )
    if result.kernel_died:
        return _dead_kernel(result.kernel_exit, where)
    if result.status is ResultStatus.FAILED:
        return failure(
            Reason.CELL_ERROR,
            f"{result.ename}{where}: {result.evalue}",
            remedy="The executed notebook shows it.",
            public=f"{_name(result.ename)}{where}",
        )
    return failure(
        Reason.STEP_FAILED,
        f"The notebook could not be run: {result.ename}: {result.evalue}",
        public=_name(result.ename),
    )


def _dead_kernel(status: int | None, where: str) -> RunError:
    """Only the kernel's killer speaks for a lack of memory: whatever else ends a kernel says nothing of the cluster."""
    if status == -signal.SIGKILL:
        return killed("The notebook's kernel", "the kernel", where)
    how = "how is not known" if status is None else f"signal {-status}" if status < 0 else f"exit status {status}"
    return failure(
        Reason.STEP_FAILED,
        f"The notebook's kernel died{where}: {how}.",
        remedy="Something in the notebook ended its own process, or crashed it; the step's logs say more.",
        public=f"the kernel died{where}: {how}",
    )


def _name(ename: object) -> str:
    """An exception's name, as it may leave the account: a kernel may put any text there."""
    return ename if isinstance(ename, str) and _EXCEPTION.fullmatch(ename) else "an error"
