"""`emr.job`: the notebook, its parameters, its metrics."""

from __future__ import annotations

import re
from typing import Any, Literal

import pydantic
import servo

from servo_emr.domain.spec import canonical
from servo_emr.lifecycle.figures import BUILT_IN
from servo_emr.sections.base import NAME, S3_OBJECT, S3_URI, Section, length

__all__ = ["JobSection", "MetricSection"]

MOST_REPEATS = 50


class MetricSection(Section):
    """A metric that the job reports itself."""

    source: Literal["notebook", "output"] = pydantic.Field(
        ..., alias="from", description="`notebook`: a scrapbook or papermill record; `output`: its printed text."
    )
    name: str | None = pydantic.Field(None, description="With `from: notebook`: the record's name.")
    pattern: str | None = pydantic.Field(
        None, description="With `from: output`: a regular expression whose first group is the number; the last match."
    )
    unit: str = pydantic.Field("", description="The unit, as the optimizer is to see it.", max_length=32)

    @pydantic.root_validator(skip_on_failure=True)
    def _fits_its_source(cls, values: dict[str, Any]) -> dict[str, Any]:
        wanted, other = ("name", "pattern") if values["source"] == "notebook" else ("pattern", "name")
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
    """The notebook and how it is run."""

    notebook: str = pydantic.Field(..., description="s3:// URI or local path of the notebook.", min_length=1)
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
    def _place(cls, value: str) -> str:
        if "://" in value and not re.match(S3_OBJECT, value):
            raise ValueError("is neither s3://bucket/key nor a local path")
        return value

    @pydantic.validator("parameters")
    def _json(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, item in value.items():
            if not re.fullmatch(NAME, name):
                raise ValueError(f"'{name}' cannot be a parameter's name: it must be a Python name")
            try:
                canonical(item).encode()
            except (TypeError, ValueError) as error:
                raise ValueError(f"'{name}' holds a value that JSON cannot say ({error}); quote it") from None
        return value

    @pydantic.validator("metrics")
    def _own_names(cls, value: dict[str, MetricSection]) -> dict[str, MetricSection]:
        for name in value:
            if name in BUILT_IN:
                raise ValueError(f"'{name}' is a built-in metric; choose another name")
            if not re.fullmatch(r"[A-Za-z][\w.-]{0,63}", name):
                raise ValueError(f"'{name}' cannot be a metric's name: letters, digits, '.', '_' and '-'")
        return value
