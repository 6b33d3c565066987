"""Records as flat rows: which figure may stand where, and the CSV that is made of them."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from servo_emr.domain.attempt import Attempt
from servo_emr.domain.errors import Reason
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.domain.spec import plain
from servo_emr.report.table import COLUMNS, rows, to_csv
from tests.support.samples import RUN_ID, SPEC
from tests.unit.test_run import RECORD

COST = {"usd": 0.4, "billed_usd": 0.5, "ec2_usd": 0.3, "fee_usd": 0.15, "ebs_usd": 0.05, "job_usd": 0.2, "basis": "b"}


def ended(reason: Reason, **changes: Any) -> RunRecord:
    """A run that ended with a reason, with a bill and all phases."""
    phases = {"duration": 600.0, "provisioning_time": 30.0, "bootstrap_time": 400.0, "teardown_time": 60.0}
    known = {"verdict": reason.verdict, "reason": str(reason), "phases": phases, "cost": COST}
    return replace(RECORD, **{**known, "message": "", "metrics": {"rows": 3.0, "cost": 0.4}, **changes})


def row(record: RunRecord) -> dict[str, Any]:
    (found,) = rows([record])
    return found


def test_a_measured_run_has_the_duration_and_the_cost_that_it_earned() -> None:
    found = row(ended(Reason.SUCCESS, details={"repeat_seconds": [620.0, 590.0, 600.0]}))
    assert (found["duration_s"], found["duration_low_s"], found["duration_high_s"]) == (600.0, 590.0, 620.0)
    assert (found["cost_usd"], found["spent_usd"], found["billed"]) == (0.4, 0.5, True)
    assert found["duration_at_least_s"] is found["cost_at_least_usd"] is found["stopped_after_s"] is None
    assert found["cluster"] == "m5.xlarge + 4 x m5.xlarge"
    assert (found["core.replicas"], found["metric.rows"], found["market"]) == (4, 3.0, "on-demand")


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.verdict not in ("succeeded", "censored")])
def test_a_failed_run_shows_what_it_cost_and_has_neither_duration_nor_cost_of_the_job(reason: Reason) -> None:
    found = row(ended(reason))
    assert found["duration_s"] is found["cost_usd"] is found["duration_low_s"] is found["job_usd"] is None
    assert found["duration_at_least_s"] is found["cost_at_least_usd"] is None
    assert (found["spent_usd"], found["stopped_after_s"]) == (0.5, 600.0)


@pytest.mark.parametrize("reason", [Reason.DEADLINE, Reason.MAX_COST])
def test_what_a_trials_own_limit_stopped_has_lower_bounds_under_names_of_their_own(reason: Reason) -> None:
    found = row(ended(reason))
    assert (found["duration_at_least_s"], found["cost_at_least_usd"]) == (600.0, 0.5)
    assert found["duration_s"] is found["cost_usd"] is found["stopped_after_s"] is None


@pytest.mark.parametrize("several", ["launches", "repeats"])
def test_what_several_launches_or_repeats_cost_together_is_no_lower_bound_of_one(several: str) -> None:
    spec = plain(SPEC)
    changes: dict[str, Any] = {"attempts": (Attempt(1, "j-1", None, 0.0, 9.0, "environment/capacity", "m", 0.1),)}
    if several == "repeats":
        spec["job"]["repeats"] = 3
        changes = {"spec": spec}
    found = row(ended(Reason.DEADLINE, **changes))
    assert found["cost_at_least_usd"] is None
    assert found["spent_usd"] == 0.5


def test_a_success_without_a_bill_has_no_cost_and_what_was_spent_is_called_no_bill() -> None:
    found = row(ended(Reason.SUCCESS, cost=None, cost_so_far=0.7))
    assert (found["cost_usd"], found["spent_usd"], found["billed"]) == (None, 0.7, False)


def test_a_run_that_has_only_begun_is_a_row_too() -> None:
    found = row(RunRecord(RUN_ID, "", 0.0, "", {}, ""))
    assert list(found) == list(COLUMNS)
    assert (found["state"], found["verdict"], found["outcome"], found["cluster"], found["spent_usd"]) == (
        "queued", "", "", "", 0.0,
    )  # fmt: skip
    under_way = replace(ended(Reason.SUCCESS), verdict=None, reason=None, state=RunState.RUNNING)
    assert row(under_way)["duration_s"] is row(under_way)["stopped_after_s"] is None


def test_all_rows_have_the_columns_of_all_records_in_one_order_and_are_json() -> None:
    first = ended(Reason.SUCCESS, settings={"core.replicas": 4}, emulated=True)
    second = ended(Reason.SUCCESS, settings={"core.inst_type": "c5.xlarge", "task.replicas": [1]})
    found = rows([first, second])
    assert list(found[0]) == list(found[1])
    assert set(found[0]) == {*COLUMNS, "core.replicas", "core.inst_type", "task.replicas", "metric.rows"}
    assert [one["core.inst_type"] for one in found] == [None, "c5.xlarge"]
    assert [one["emulated"] for one in found] == [True, False]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_nodes_that_are_bought_in_both_ways_are_called_mixed() -> None:
    spec = plain(SPEC)
    spec["groups"][1]["market"] = "spot"
    assert row(ended(Reason.SUCCESS, spec=spec))["market"] == "mixed"
    spec["groups"][1]["count"] = 0
    assert row(ended(Reason.SUCCESS, spec=spec))["market"] == "on-demand"


def test_a_setting_or_metric_named_like_a_fixed_column_does_not_take_its_place() -> None:
    found = row(ended(Reason.SUCCESS, settings={"spent_usd": 0, "cost_usd": 0}))
    assert (found["spent_usd"], found["cost_usd"]) == (0.5, 0.4)


def test_csv_says_what_the_rows_say() -> None:
    found = rows([ended(Reason.SUCCESS), ended(Reason.CELL_ERROR, message='two\nlines, "quoted"')])
    back = list(csv.DictReader(io.StringIO(to_csv(found), newline="")))
    assert [one["duration_s"] for one in back] == ["600.0", ""]
    assert [one["message"] for one in back] == ["", 'two\nlines, "quoted"']
    assert [one["billed"] for one in back] == ["true", "true"]
    assert list(back[0]) == list(found[0])


def test_csv_of_no_runs_is_the_line_of_names() -> None:
    assert to_csv([]).strip().split(",") == list(COLUMNS)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_text_of_a_run_becomes_a_formula_in_a_spreadsheet(text: str) -> None:
    (back,) = csv.DictReader(io.StringIO(to_csv(rows([ended(Reason.CELL_ERROR, message=text)])), newline=""))
    assert back["message"] == f"'{text}"


def test_every_column_is_in_the_documentation_with_what_it_means() -> None:
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([a-z0-9_]+)` \| (.+) \|$", page, re.MULTILINE)
    assert told == list(COLUMNS.items())


def test_of_a_fleet_nodes_are_counted_and_not_its_units() -> None:
    types = [{"inst_type": "c5.2xlarge", "weight": 2}]
    fleet = {"role": "core", "inst_type": "c5.2xlarge", "count": 5, "fleet": {"types": types}}
    primary = {"role": "primary", "inst_type": "m5.xlarge", "count": 1, "fleet": {"types": []}}
    record = ended(Reason.SUCCESS, spec={**plain(SPEC), "groups": [primary, fleet]})
    assert (row(record)["nodes"], row(record)["cluster"]) == (4, "m5.xlarge + 3 x c5.2xlarge")
    rows_of = [
        *({"role": "core", "timeline": {"created": 1.0}} for _ in range(4)),
        {"role": "core", "timeline": {"created": None}},
        {"role": "primary", "timeline": {"created": 1.0}},
    ]
    were = row(replace(record, details={"instances": rows_of}))
    assert (were["nodes"], were["cluster"]) == (5, "m5.xlarge + 4 x c5.2xlarge")
