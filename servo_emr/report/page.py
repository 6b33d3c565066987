"""The report as one HTML file that needs nothing else: no network, no fonts or scripts from elsewhere.

What runs and notebooks said is somebody else's text. It reaches the page as escaped HTML or as JSON that cannot end its
element, a script puts it there as text, and the page's own policy lets no other script run and nothing be fetched.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from servo_emr import __version__
from servo_emr.domain.run import RunRecord
from servo_emr.domain.spec import canonical
from servo_emr.failure_block import console_of, failure_of
from servo_emr.report import charts, slices
from servo_emr.report.findings import Findings, findings
from servo_emr.report.runs import Choice, Kind, Run, runs_of
from servo_emr.report.tables import compared, phase_totals, runs_table
from servo_emr.report.words import counted, lasted, moment, percent, usd

__all__ = ["NoTemplates", "Subject", "prepare", "render", "summary", "write"]

_TOLD = 4000
"""Characters of a failure that the page holds; `servo-emr show RUN` has the whole."""


class NoTemplates(Exception):
    """jinja2 is not installed."""


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Attributes:
        records: all that could be read, in any order; at least one.
        workspace: its URI.
        made_at: when, seconds since the epoch.
        configured: the settings that servo.yaml has: the baseline.
        recommended: the settings that an optimizer has found best; None: the cheapest measured.
        emulated: whether the workspace itself is an emulator's.
        unreadable: of each record that could not be read, why.
    """

    records: Sequence[RunRecord]
    workspace: str
    made_at: float
    configured: Mapping[str, Any] = field(default_factory=dict)
    recommended: Mapping[str, Any] | None = None
    emulated: bool = False
    unreadable: Sequence[str] = ()

    def found(self) -> Findings:
        """What the records say."""
        return findings(runs_of(self.records), self.configured, self.recommended)

    @property
    def emulated_runs(self) -> int:
        """How many of the runs an emulator answered."""
        return len(self.records) if self.emulated else sum(record.emulated for record in self.records)


def write(path: Path, subject: Subject) -> dict[str, Any]:
    """Writes the report and returns its `summary`, with the file's name and size in bytes. Replaces a file whole.

    Raises:
        NoTemplates: the `report` extra is not installed.
        OSError: the file cannot be written.
    """
    found = subject.found()
    text = render(subject, found).encode("utf-8")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes it for its owner alone
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return {"file": str(path), "bytes": len(text), **summary(subject, found)}


def summary(subject: Subject, found: Findings) -> dict[str, Any]:
    """The report in a few figures, as JSON values: USD, seconds, counts; None where there is none."""
    return {
        "workspace": subject.workspace,
        "emulated": subject.emulated_runs > 0,
        "runs": len(found.runs),
        "measured": len(found.of(Kind.MEASURED)),
        "failed": len(found.of(Kind.FAILED)),
        "unreadable": len(subject.unreadable),
        "spent_usd": found.spent,
        "recommended": _figures(found.best),
        "recommended_is_clear": found.clear,
        "saving_is_clear": found.saving_is_clear,
        "baseline": _figures(found.baseline),
        "fastest": _figures(found.fastest),
        "payback_runs": found.payback,
    }


def _figures(choice: Choice | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    settings = dict(choice.runs[-1].record.settings)
    return {
        "settings": settings,
        "cost_usd": choice.cost,
        "duration_s": choice.duration,
        "measurements": len(choice.runs),
    }


def render(subject: Subject, found: Findings) -> str:
    """The page.

    Raises:
        NoTemplates: the `report` extra is not installed.
    """
    drawn = {chart.name: chart for chart in _charts(found) if chart is not None}
    specs = {name: chart.spec for name, chart in drawn.items()}
    given = _given()
    rendered: str = given.markup.render(
        subject=subject,
        found=found,
        kinds=Kind,
        version=__version__,
        title=_title(found),
        charts=drawn,
        compared=compared(found),
        totals=phase_totals(found),
        table=runs_table(found.runs),
        basis=_basis(subject, found),
        notice=given.notice,
        style=given.style,
        scripts=given.scripts,
        policy=given.policy,
        data=_embedded({"config": charts.CONFIG, "charts": specs, **_details(subject, found)}),
    )
    return rendered


def prepare() -> None:
    """Makes what every report has and no record is needed for, so that it can be done while records are waited for.

    Raises:
        NoTemplates: the `report` extra is not installed.
    """
    _given()


@dataclass(frozen=True)
class _Given:
    markup: Any
    notice: str
    style: str
    scripts: Sequence[str]
    policy: str


@functools.cache
def _given() -> _Given:
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise NoTemplates(str(error)) from error
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["quoted"] = shlex.quote  # a line that is there to be copied into a shell
    environment.globals |= {"usd": usd, "lasted": lasted, "counted": counted, "percent": percent, "moment": moment}
    assets = files("servo_emr.report") / "assets"
    names = ("page.html.j2", "NOTICE.md", "page.css", "page.js", "vega.js")
    text = {name: (assets / name).read_text(encoding="utf-8") for name in names}
    scripts = (text["page.js"], text["vega.js"])
    return _Given(
        markup=environment.from_string(text["page.html.j2"]),
        notice=text["NOTICE.md"],
        style=text["page.css"],
        scripts=scripts,
        policy=f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; style-src 'unsafe-inline'",
    )


def _charts(found: Findings) -> list[charts.Chart | None]:
    return [
        charts.cost_against_duration(found),
        charts.best_so_far(found),
        slices.by_type_and_count(found),
        slices.by_count(found),
        slices.by_phase(found, "time"),
        slices.by_phase(found, "money"),
        slices.noise(found),
    ]


def _title(found: Findings) -> str:
    """The job's name: that of its notebook, as servo.yaml has it."""
    spec = found.runs[-1].record.spec
    notebook = str(spec.get("job", {}).get("notebook", ""))
    named = [step["source"] for step in spec.get("steps", ()) if step.get("measured") and step.get("source")]
    return (notebook or next(iter(named), "")).rstrip("/").rpartition("/")[2] or "the job"


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _embedded(document: Any) -> str:
    """JSON that cannot end the script element it stands in, nor begin a comment in it."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)  # ASCII: no line separators either
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _details(subject: Subject, found: Findings) -> dict[str, Any]:
    """All rows, as names and lists of values, and by run what its failure tells and where it can be looked at."""
    names = list(found.runs[0].row)
    told = {run.record.run_id: text[:_TOLD] for run in found.runs if (text := failure_of(run.record))}
    return {
        "columns": names,
        "rows": [[run.row[name] for name in names] for run in found.runs],
        "told": told,
        "links": {run.record.run_id: link for run in found.runs if (link := _link(subject, run))},
    }


def _link(subject: Subject, run: Run) -> str | None:
    """The cluster's page in AWS's console; an emulated one has none."""
    region = str(run.row["region"] or "")
    if subject.emulated or not (run.record.cluster_id or "").isprintable() or not region.replace("-", "").isalnum():
        return None
    return console_of(run.record)


def _basis(subject: Subject, found: Findings) -> dict[str, Any]:
    """What the figures rest on."""
    counts: dict[str, int] = {}
    for run in found.runs:
        if text := str(run.row["basis"] or ""):
            counts[text] = counts.get(text, 0) + 1
    costs = [run.record.cost for run in found.runs if run.record.cost]
    fee_apart = math.fsum(
        cost.get("fee_usd", 0.0) - cost.get("fee_low_usd", cost.get("fee_usd", 0.0)) for cost in costs
    )
    differing = [
        choice.label
        for choice in found.choices
        if len({canonical(run.record.spec.get("job", {}).get("parameters")) for run in choice.runs}) > 1
    ]
    return {
        "prices": sorted(counts.items(), key=lambda item: -item[1]),
        "fee_apart": fee_apart,
        "unbilled": [run for run in found.runs if not run.row["billed"] and run.spent > 0],
        "disturbed": found.of(Kind.DISTURBED),
        "earlier": found.of(Kind.EARLIER),
        "differing": differing,
        "notebooks": len({run.record.notebook_sha256 for run in found.runs if run.record.notebook_sha256}),
        "unreadable": list(subject.unreadable),
    }
