"""Run records as flat rows: one row a run, plain values, every row with the same columns. Pure.

The one place that decides which figure of a record may stand under which name: a duration or a cost of the job is there
only where a run earned it, what a stopped run took is a bound under a name of its own, and what was spent is there for
every run. Page, CSV and JSON all show these rows.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from servo_emr.domain.errors import Verdict
from servo_emr.domain.run import RunRecord
from servo_emr.lifecycle.figures import BUILT_IN
from servo_emr.lifecycle.guards import spent
from servo_emr.report.nodes import cluster, node_count

__all__ = ["COLUMNS", "METRIC", "Row", "Value", "rows", "to_csv"]

Value = str | int | float | bool | None
Row = dict[str, Value]

METRIC = "metric."
"""Stands before the name of a metric that the job itself reported, in a column's name."""

COLUMNS: Mapping[str, str] = {
    "run_id": "the run's id",
    "created_at": "when the run was begun, UTC",
    "ended_at": "when its verdict was on record, UTC",
    "state": "the phase that it is in; verified: its cluster was seen ended",
    "verdict": "how it ended, in one word; empty while it is under way",
    "outcome": "its reason, from the closed list",
    "cluster": "its nodes: primary + core + task",
    "market": "how they were bought; mixed: some on demand, some on spot",
    "nodes": "how many nodes were asked for; of instance fleets, how many there were",
    "region": "where",
    "duration_s": "seconds that the job took, the median of its repeats; only of a run that succeeded",
    "duration_low_s": "its shortest repeat",
    "duration_high_s": "its longest repeat",
    "repeats": "how often the job was to run on the cluster",
    "cost_usd": "what one run of the job costs on this cluster; only of a run that succeeded and has a bill",
    "duration_at_least_s": "what the job had taken when the trial's own limit stopped it: a lower bound",
    "cost_at_least_usd": "what had been spent then: a lower bound of cost_usd; only of one launch and one repeat",
    "stopped_after_s": "what the job had taken when it failed: no measurement",
    "spent_usd": "what was spent on the run, whatever became of it",
    "billed": "whether that is a bill; if not, a running total at the cluster's full rate",
    "ec2_usd": "the part of the last launch's bill that is EC2's",
    "fee_usd": "the part of it that is EMR's fee",
    "ebs_usd": "the part of it that is EBS's",
    "job_usd": "the part of cost_usd spent while the job ran",
    "node_hours": "instance-hours billed",
    "provisioning_s": "from the launch to the creation of the last instance that was there from the start",
    "bootstrap_s": "from then to the cluster's readiness",
    "teardown_s": "from the last step's end to the cluster's end",
    "total_s": "the cluster's whole life",
    "disturbed": "what made the run another than its configuration's",
    "recovered": "whether another process saw it through",
    "unreleased": "whether its cluster's end could not be verified",
    "emulated": "whether an emulator answered in AWS's place: none of its figures is AWS's",
    "cluster_id": "EMR's id of the cluster",
    "message": "what happened, of a run that did not succeed",
    "remedy": "what to do about it",
    "warnings": "what had to be said of the run",
    "basis": "whose prices, of when, how counted, what is left out",
    "notebook_sha256": "the SHA-256 of the notebook that ran, or of all that a job of stages runs",
    "folder": "where its files are",
    "notebook": "where its executed notebook is",
    "logs": "where EMR writes its logs",
}
"""The fixed columns, in their order. Those of settings (core.replicas, ...) stand after `outcome`, those of the job's
own metrics (metric.NAME) before `disturbed`."""

_SETTINGS_AFTER = "outcome"
_METRICS_BEFORE = "disturbed"


def rows(records: Iterable[RunRecord]) -> list[Row]:
    """A row for each record, in the given order. All have the same keys in the same order; None: there is no value."""
    records = list(records)
    settings = list(dict.fromkeys(name for record in records for name in record.settings))
    metrics = list(dict.fromkeys(name for record in records for name in record.metrics if name not in BUILT_IN))
    names = _ordered(settings, [f"{METRIC}{name}" for name in metrics])
    found = []
    for record in records:
        values = {
            **{name: _plain(record.settings.get(name)) for name in settings},
            **{f"{METRIC}{name}": record.metrics.get(name) for name in metrics},
            **_row(record),
        }
        found.append({name: _sound(values[name]) for name in names})
    return found


def _ordered(settings: Sequence[str], metrics: Sequence[str]) -> list[str]:
    """All columns, each once: a setting cannot take the place of a fixed one."""
    names: list[str] = []
    for column in COLUMNS:
        names += metrics if column == _METRICS_BEFORE else ()
        names.append(column)
        names += settings if column == _SETTINGS_AFTER else ()
    return list(dict.fromkeys(names))


def to_csv(found: Sequence[Row]) -> str:
    """Rows of equal keys as CSV (RFC 4180) with a line of names. Booleans are true and false, None is empty.

    A text that a spreadsheet would run as a formula has an apostrophe before it: messages are somebody else's words.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, list(found[0]) if found else list(COLUMNS))
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in found)
    return out.getvalue()


def _row(record: RunRecord) -> Row:
    spec, phases, cost = record.spec, record.phases, record.cost or {}
    repeats = record.details.get("repeat_seconds") or ()
    succeeded, censored = record.verdict is Verdict.SUCCEEDED, record.verdict is Verdict.CENSORED
    ran = phases.get("duration")
    return {
        "run_id": record.run_id,
        "created_at": _when(record.created_at),
        "ended_at": _when(record.ended_at),
        "state": str(record.state),
        "verdict": str(record.verdict or ""),
        "outcome": record.reason or "",
        "cluster": cluster(record),
        "market": _market(spec),
        "nodes": sum(node_count(record, group) for group in spec.get("groups", ())),
        "region": spec.get("region"),
        "duration_s": ran if succeeded else None,
        "duration_low_s": min(repeats) if succeeded and repeats else None,
        "duration_high_s": max(repeats) if succeeded and repeats else None,
        "repeats": spec.get("job", {}).get("repeats", 1),
        "cost_usd": cost.get("usd") if succeeded else None,
        "duration_at_least_s": ran if censored else None,
        "cost_at_least_usd": spent(record) if censored and _bounds_cost(record) else None,
        "stopped_after_s": ran if record.decided and not succeeded and not censored else None,
        "spent_usd": spent(record),
        "billed": bool(cost),
        "ec2_usd": cost.get("ec2_usd"),
        "fee_usd": cost.get("fee_usd"),
        "ebs_usd": cost.get("ebs_usd"),
        "job_usd": cost.get("job_usd") if succeeded else None,
        "node_hours": cost.get("node_hours"),
        "provisioning_s": phases.get("provisioning_time"),
        "bootstrap_s": phases.get("bootstrap_time"),
        "teardown_s": phases.get("teardown_time"),
        "total_s": phases.get("total_time"),
        "disturbed": str(record.details.get("disturbed") or ""),
        "recovered": record.recovered,
        "unreleased": record.unreleased,
        "emulated": record.emulated,
        "cluster_id": record.cluster_id,
        "message": record.message,
        "remedy": record.remedy,
        "warnings": "; ".join(record.warnings),
        "basis": cost.get("basis"),
        "notebook_sha256": record.notebook_sha256,
        **{name: record.urls.get(name) for name in ("folder", "notebook", "logs")},
    }


def _bounds_cost(record: RunRecord) -> bool:
    """Whether what was spent is less than a run of the job costs: neither earlier launches nor several repeats are in
    it."""
    return not record.attempts and record.spec.get("job", {}).get("repeats", 1) == 1


def _market(spec: Mapping[str, Any]) -> str:
    """Records of the first version do not say; they knew one market only."""
    markets = {group.get("market", "on-demand") for group in spec.get("groups", ()) if group["count"]}
    return markets.pop() if len(markets) == 1 else "mixed" if markets else ""


def _plain(value: Any) -> Value:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _sound(value: Value) -> Value:
    """The value as JSON and UTF-8 have it: texts of a notebook may hold half a character, a figure may be none."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "replace").decode()
    return value


def _when(at: float | None) -> str | None:
    return None if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _cell(value: Value) -> Value:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


_FORMULA = frozenset("=+-@\t\r")
