"""What the cluster left behind: result.json and the executed notebook, as values, and the metrics in them.

Nothing here decides a verdict. A metric is a number that is there, or a `NoValue` that says why there is none.
Texts of the notebook (evalue, traceback, streams) are kept apart from what is safe to leave the account.
"""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from servo_emr.notebook.document import parse
from servo_emr.notebook.values import NoValue, number_in_text, number_of

__all__ = [
    "CellError",
    "NoValue",
    "Notebook",
    "Result",
    "ResultStatus",
    "UnreadableNotebook",
    "read_notebook",
    "read_result",
]

SCHEMA = 1
STREAM_LIMIT = 1 << 20
"""Characters of stream output that are kept: the last ones, since of several matches the last one counts."""

NAME_LIMIT, VALUE_LIMIT, TRACEBACK_LIMIT = 200, 4_000, 16_000
"""Characters of an error's texts that are kept, the runner's own limits: whoever else wrote may have known none."""
CELLS_LIMIT = 1_000
"""Cells whose durations are kept."""

_SCRAP = re.compile(r"application/scrapbook\.scrap\.[a-z]+\+json")
_RECORD = "application/papermill.record+json"
_PUT_IN = {"papermill-error-cell-tag", "injected-parameters"}


class ResultStatus(enum.StrEnum):
    """What result.json says became of the job; the last three say that there is no such word of this run."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMEOUT = "timeout"
    TERMINATED = "terminated"
    ERROR = "error"
    ABSENT = "absent"
    FOREIGN = "foreign"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Result:
    """result.json, or why there is none. Only SUCCEEDED is success.

    cell_index counts as in the input notebook; ename is the exception's class, evalue and traceback its texts.
    kernel_exit is the exit status of a kernel that died, -n when signal n ended it, None when it is not known;
    exit_status a command's.
    why explains ABSENT, FOREIGN and UNREADABLE in our own words.
    """

    status: ResultStatus
    cell_index: int | None = None
    ename: str = ""
    evalue: str = ""
    traceback: str = ""
    kernel_died: bool = False
    kernel_exit: int | None = None
    jvm_lost: bool = False
    exit_status: int | None = None
    why: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether this run's own result.json says so."""
        return self.status is ResultStatus.SUCCEEDED


class UnreadableNotebook(ValueError):
    """The executed notebook is absent or cannot be read."""


@dataclass(frozen=True)
class CellError:
    """One error that a cell shows. index as in the input notebook; None for a cell that papermill put in."""

    index: int | None
    ename: str
    evalue: str
    traceback: str


@dataclass(frozen=True)
class Notebook:
    """The executed notebook.

    durations: seconds of each cell of the input, None for one that did not end.
    records: scrapbook's and papermill's; the last of a name counts.
    streams: the end of what it printed, stdout and stderr in the order of the document; `cut`: there was more.
    """

    durations: tuple[float | None, ...]
    errors: tuple[CellError, ...]
    records: Mapping[str, Any]
    streams: str
    cut: bool = False

    def metric_from_notebook(self, name: str) -> float | NoValue:
        """The number recorded under `name`; a negative one counts as none."""
        if name not in self.records:
            return NoValue("the notebook recorded nothing under this name")
        return number_of(self.records[name], "the notebook")

    def metric_from_output(self, pattern: str) -> float | NoValue:
        """Group 1 of the last match of `pattern` in what the notebook printed; a negative number counts as none.

        Raises:
            re.error, ValueError: the pattern is none, or has no group.
        """
        where = f"the last {STREAM_LIMIT} characters of output" if self.cut else "the notebook's output"
        return number_in_text(pattern, self.streams, where)


def read_result(body: bytes | None, run_id: str) -> Result:
    """result.json of the run `run_id`. Absent, unreadable or another run's: a status of its own, never an error."""
    if body is None:
        return Result(ResultStatus.ABSENT, why="there is no result.json")
    try:
        document = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return Result(ResultStatus.UNREADABLE, why="result.json is not JSON")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return Result(ResultStatus.UNREADABLE, why=f"result.json is not of schema {SCHEMA}")
    if document.get("run_id") != run_id:
        return Result(ResultStatus.FOREIGN, why="result.json is another run's")
    try:
        return _result(document)
    except (KeyError, TypeError, ValueError) as error:
        why = f"result.json lacks or garbles a field ({type(error).__name__})"
        return Result(ResultStatus.UNREADABLE, why=why)


def _result(document: Mapping[str, Any]) -> Result:
    status = ResultStatus(document["status"])
    if status in (ResultStatus.ABSENT, ResultStatus.FOREIGN, ResultStatus.UNREADABLE):
        raise ValueError(status)
    return Result(
        status=status,
        cell_index=_index(document["cell_index"]),
        ename=_short(document["ename"], NAME_LIMIT),
        evalue=_short(document["evalue"], VALUE_LIMIT),
        traceback=_short(document["traceback"], TRACEBACK_LIMIT),
        kernel_died=document["kernel_died"] is True,
        kernel_exit=_status(document.get("kernel_exit")),
        jvm_lost=document.get("jvm_lost") is True,
        exit_status=_status(document.get("exit_status")),
    )


def _short(text: object, limit: int) -> str:
    """A text, its middle left out when it is longer than `limit` characters and the remark that says so."""
    whole = str(text)
    if len(whole) <= limit + 100:
        return whole
    head = limit // 4
    return f"{whole[:head]}\n[... {len(whole) - limit} characters left out ...]\n{whole[head - limit :]}"


def _index(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise TypeError("not a count")


def _status(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise TypeError("not an exit status")


def read_notebook(body: bytes | None) -> Notebook:
    """The executed notebook in what papermill wrote, at whatever point of the run it was written.

    Raises:
        UnreadableNotebook: there is none, or it is no notebook.
    """
    if body is None:
        raise UnreadableNotebook("there is no executed notebook")
    try:
        document = parse(body)
    except ValueError as error:
        raise UnreadableNotebook(f"the executed notebook cannot be read: {error}") from error
    try:
        cells = list(zip(_places(document.cells), document.cells, strict=True))
        streams, cut = _streams(document.cells)
        return Notebook(
            durations=tuple(_duration(cell) for place, cell in cells if place is not None)[:CELLS_LIMIT],
            errors=tuple(_errors(cells)),
            records=_records(document.cells),
            streams=streams,
            cut=cut,
        )
    except (AttributeError, TypeError, LookupError, ValueError, RecursionError) as error:
        raise UnreadableNotebook(
            f"the executed notebook holds what no notebook has ({type(error).__name__})"
        ) from error


def _places(cells: list[Any]) -> list[int | None]:
    """Each cell's index in the input: as the runner marked it, else by leaving out what papermill puts in."""
    marks = [cell.metadata.get("servo_emr", {}).get("cell") for cell in cells]
    if any(mark is not None for mark in marks):
        return marks
    own = iter(range(len(cells)))
    return [None if _PUT_IN & set(cell.metadata.get("tags", ())) else next(own) for cell in cells]


def _duration(cell: Any) -> float | None:
    told = cell.metadata.get("papermill", {}).get("duration")
    number = isinstance(told, (int, float)) and not isinstance(told, bool) and math.isfinite(told)
    return float(told) if number else None


def _outputs(cells: list[Any]) -> Iterator[Any]:
    return (output for cell in cells if cell.cell_type == "code" for output in cell.outputs)


def _errors(cells: list[tuple[int | None, Any]]) -> Iterator[CellError]:
    for place, cell in cells:
        shown = [output for output in _outputs([cell]) if output.output_type == "error"]
        for output in shown:
            texts = _short(output.ename, NAME_LIMIT), _short(output.evalue, VALUE_LIMIT)
            yield CellError(place, *texts, _short("\n".join(output.traceback), TRACEBACK_LIMIT))
        if not shown and cell.metadata.get("papermill", {}).get("exception") is True:
            yield CellError(place, "CellExecutionError", "", "")  # it failed without leaving an output


def _records(cells: list[Any]) -> dict[str, Any]:
    records: dict[str, Any] = {}
    for output in _outputs(cells):
        for kind, content in output.get("data", {}).items():
            if _SCRAP.fullmatch(kind) and isinstance(content, Mapping) and "name" in content:
                records[str(content["name"])] = content.get("data")
            elif kind == _RECORD and isinstance(content, Mapping):
                records.update(content)
    return records


def _streams(cells: list[Any]) -> tuple[str, bool]:
    text = "".join(output.text for output in _outputs(cells) if output.output_type == "stream")
    return text[-STREAM_LIMIT:], len(text) > STREAM_LIMIT
