"""`emr.job`: what is run, with which parameters, and the metrics that it reports itself."""

from __future__ import annotations

import re
from typing import Any, Literal

import pydantic
import servo

from servo_emr.lifecycle.figures import BUILT_IN
from servo_emr.sections.base import S3_OBJECT, S3_URI, Section, length
from servo_emr.sections.steps import (
    ApplicationStep,
    CommandStep,
    JarStep,
    NotebookStep,
    RestoreStep,
    ScriptStep,
    check_parameters,
    steps_from,
)

__all__ = ["JobSection", "MetricSection"]

MOST_REPEATS = 50
_STEPS = list[NotebookStep | ScriptStep | ApplicationStep | CommandStep | RestoreStep | JarStep]


class MetricSection(Section):
    """A metric that the job reports itself."""

    source: Literal["notebook", "output", "file"] = pydantic.Field(
        ...,
        alias="from",
        description="`notebook`: a scrapbook or papermill record; `output`: its printed text; `file`: the JSON file "
        "that it writes to {run.metrics}.",
    )
    name: str | None = pydantic.Field(None, description="With `from: notebook` or `file`: the record's name.")
    pattern: str | None = pydantic.Field(
        None, description="With `from: output`: a regular expression whose first group is the number; the last match."
    )
    unit: str = pydantic.Field("", description="The unit, as the optimizer is to see it.", max_length=32)

    @pydantic.root_validator(skip_on_failure=True)
    def _fits_its_source(cls, values: dict[str, Any]) -> dict[str, Any]:
        wanted, other = ("pattern", "name") if values["source"] == "output" else ("name", "pattern")
        if values.get(wanted) is None or values.get(other) is not None:
            raise ValueError(f"from: {values['source']} takes '{wanted}' and no '{other}'")
        if values.get("pattern") is not None:
            try:
                groups = re.compile(values["pattern"]).groups
            except re.error as error:
                raise ValueError(f"pattern: not a regular expression: {error}") from None
            if groups < 1:
                raise ValueError("pattern: has no group; put the number's part in parentheses")
        return values


class JobSection(Section):
    """The job: one notebook, or the steps of its stages."""

    notebook: str | None = pydantic.Field(
        None, description="s3:// URI or local path of the notebook: the short form of a `run` of one.", min_length=1
    )
    prepare: _STEPS = pydantic.Field([], description="Steps before the measured ones; not measured.")
    run: _STEPS = pydantic.Field([], description="The measured steps.")
    cleanup: _STEPS = pydantic.Field([], description="Steps after them, also when one has failed; not measured.")
    parameters: dict[str, Any] = pydantic.Field(
        {},
        description="papermill parameters, JSON values. In texts `{run_id}` and `{component.setting}` are filled;"
        " a text that is one reference takes its type. Each must be assigned in the notebook's cell "
        "tagged `parameters`.",
    )
    kernel: str = pydantic.Field("python3", description="The Jupyter kernel on the cluster.", regex=r"^[\w.-]+$")
    timeout: servo.Duration = pydantic.Field(
        "2h",
        description="The job's time limit. It is enforced on the cluster, so it holds when the servo is dead; "
        "five minutes later the servo ends the cluster itself.",
    )
    expected_duration: servo.Duration = pydantic.Field(
        "20m",
        description="First guess of the job's duration, for progress and the pace of looks; replaced by the "
        "median of like runs.",
    )
    repeats: pydantic.conint(strict=True, ge=1, le=MOST_REPEATS) = pydantic.Field(  # type: ignore[valid-type]
        1,
        description="Measured runs on one cluster, one after another; metrics are their medians, and what they "
        "cost is brought back to one run.",
        unit="runs",
    )
    repeat_disturbed: pydantic.conint(strict=True, ge=0, le=3) = pydantic.Field(  # type: ignore[valid-type]
        0,
        description="How often a run that was disturbed is run again, on another cluster, instead of being reported.",
        unit="runs",
    )
    wheels: str | None = pydantic.Field(
        None, description="S3 prefix with the cluster's Python packages, for subnets without a way out.", regex=S3_URI
    )
    metrics: dict[str, MetricSection] = pydantic.Field({}, description="Metrics that the job reports itself.")

    @pydantic.validator("timeout", "expected_duration", pre=True)
    def _positive(cls, value: object) -> servo.Duration:
        return length(value)

    @pydantic.validator("notebook")
    def _place(cls, value: str | None) -> str | None:
        if value is not None and "://" in value and not re.match(S3_OBJECT, value):
            raise ValueError("is neither s3://bucket/key nor a local path")
        return value

    _steps = pydantic.validator("prepare", "run", "cleanup", pre=True, allow_reuse=True)(steps_from)
    _json = pydantic.validator("parameters", allow_reuse=True)(check_parameters)

    @pydantic.validator("metrics")
    def _own_names(cls, value: dict[str, MetricSection]) -> dict[str, MetricSection]:
        for name in value:
            if name in BUILT_IN:
                raise ValueError(f"'{name}' is a built-in metric; choose another name")
            if not re.fullmatch(r"[A-Za-z][\w.-]{0,63}", name):
                raise ValueError(f"'{name}' cannot be a metric's name: letters, digits, '.', '_' and '-'")
        return value

    @pydantic.root_validator(skip_on_failure=True)
    def _one_form(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values["notebook"] is not None and values["run"]:
            raise ValueError(
                "notebook and run both say what is measured: notebook is the short form of a run of one, so put it "
                "there as '- notebook: ...', or take one out"
            )
        if values["notebook"] is None and not values["run"]:
            raise ValueError("needs notebook, or run, the list of the steps that are measured")
        return values

    @property
    def first_notebook(self) -> str:
        """The first notebook that is measured; "" when none is."""
        named = (item.notebook for item in self.run if isinstance(item, NotebookStep))
        return self.notebook or next(named, "")
