"""What follows from runs: which are compared, what is recommended and how surely, what the search cost; phases."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from servo_emr.domain.errors import Reason
from servo_emr.domain.run import RunRecord, StepLook, StepState, Timeline
from servo_emr.report import charts, phases, slices
from servo_emr.report.findings import Findings, findings
from servo_emr.report.runs import Kind, choices, front, runs_of
from servo_emr.report.tables import compared, phase_totals, runs_table
from tests.support.history import CONFIGURED, history

BASE = history(1)[0]


def measured(usd: float, duration: float, replicas: int = 4, at: int = 0, **changes: Any) -> RunRecord:
    """A run with this cost, duration and number of core nodes."""
    spec: dict[str, Any] = {**BASE.spec, "groups": [dict(group) for group in BASE.spec["groups"]]}
    spec["groups"][1]["count"] = replicas
    return replace(
        BASE,
        **{
            "run_id": f"20261106t2120{at:02}-{at:08x}",
            "created_at": BASE.created_at + at,
            "spec": spec,
            "settings": {**BASE.settings, "core.replicas": replicas},
            "phases": {**BASE.phases, "duration": duration},
            "cost": {**(BASE.cost or {}), "usd": usd, "billed_usd": usd},
            **changes,
        },
    )


def failed(reason: Reason, at: int, cost: float = 0.25) -> RunRecord:
    return measured(cost, 100.0, at=at, verdict=reason.verdict, reason=str(reason), message="m")


def found(*records: RunRecord, **options: Any) -> Findings:
    return findings(runs_of(records), CONFIGURED, **options)


def test_a_run_is_told_for_what_it_is() -> None:
    records = [
        measured(1.0, 100.0, at=1, notebook_sha256="ee" * 32),
        measured(1.0, 100.0, at=2),
        measured(1.0, 100.0, at=3, details={**BASE.details, "disturbed": "1 node lost before the job had ended"}),
        measured(1.0, 100.0, at=4, cost=None),
        failed(Reason.DEADLINE, 5),
        failed(Reason.SPOT, 6),
        failed(Reason.SHUTDOWN, 7),
        measured(1.0, 100.0, at=8, verdict=None, reason=None),
    ]
    kinds = [run.kind for run in runs_of(reversed(records))]
    assert kinds[:4] == [Kind.EARLIER, Kind.MEASURED, Kind.DISTURBED, Kind.UNBILLED]
    assert kinds[4:] == [Kind.BOUND, Kind.FAILED, Kind.FAILED, Kind.UNDER_WAY]
    (choice,) = choices(runs_of(records))
    assert len(choice.runs) == 1, "only what is comparable is compared"


def test_equal_settings_are_taken_together_by_their_medians() -> None:
    costs = (1.0, 3.0, 1.2)
    (choice,) = choices(runs_of([measured(cost, 100 * cost, at=n) for n, cost in enumerate(costs)]))
    assert (choice.cost, choice.duration, choice.label) == (1.2, 120.0, "4 x m5.xlarge")
    assert math.fsum(choice.deviations("cost")) == pytest.approx(0.0)


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    points = {2: (1.0, 900.0), 3: (1.0, 950.0), 4: (1.5, 500.0), 5: (1.6, 500.0), 6: (3.0, 400.0), 7: (2.0, 600.0)}
    records = [measured(cost, duration, n, at=n) for n, (cost, duration) in points.items()]
    kept = front(choices(runs_of(records)))
    assert [choice.runs[0].workers[1] for choice in kept] == [2, 4, 6]


def test_the_cheapest_is_recommended_against_servo_yamls_own_settings_and_pays_the_search_back() -> None:
    what = found(measured(1.0, 900.0, 4, at=1), measured(0.75, 800.0, 6, at=2), failed(Reason.SPOT, 3))
    assert what.best is not None and what.baseline is not None
    assert (what.best.label, what.baseline.label) == ("6 x m5.xlarge", "4 x m5.xlarge")
    assert what.baseline_is_configured
    assert (what.spent, what.saving, what.payback) == (2.0, 0.25, 8)
    assert [role for role, _ in compared(what)] == [
        "recommended, cheapest, fastest",
        "runner-up, baseline (servo.yaml)",
    ]


def test_without_a_measurement_of_the_configured_settings_the_first_measured_ones_are_the_baseline() -> None:
    what = found(measured(1.0, 900.0, 6, at=1), measured(0.9, 900.0, 8, at=2))
    assert what.baseline is not None and what.baseline.label == "6 x m5.xlarge"
    assert not what.baseline_is_configured


def test_what_an_optimizer_recommends_is_shown_once_it_was_measured() -> None:
    records = [measured(1.0, 900.0, 4, at=1), measured(1.1, 500.0, 8, at=2)]
    wanted = found(*records, recommended={"core.replicas": "8"})
    unknown = found(*records, recommended={"core.replicas": 12})
    assert wanted.best is not None and wanted.best.label == "8 x m5.xlarge"
    assert wanted.runner_up is not None and wanted.gap is not None and wanted.gap < 0
    assert unknown.best is not None and unknown.best.label == "4 x m5.xlarge"


@pytest.mark.parametrize(
    ("again", "rival", "clear"),
    [((), 1.5, None), ((1.0,), 1.5, True), ((1.1,), 1.11, False), ((1.04,), 1.5, True), ((1.04,), 1.3, False)],
)
def test_how_sure_it_is_follows_from_the_noise_of_repeats_and_is_unknown_without_any(
    again: tuple[float, ...], rival: float, clear: bool | None
) -> None:
    records = [measured(cost, 900.0, 4, at=n) for n, cost in enumerate((1.0, *again))]
    what = found(*records, measured(rival, 900.0, 6, at=9))
    assert what.clear is clear
    assert (what.cost_noise is None) is (clear is None)


def test_the_less_the_noise_is_known_the_more_a_difference_has_to_be() -> None:
    pair = found(*(measured(cost, 900.0, 4, at=n) for n, cost in enumerate((1.0, 1.04))), measured(1.3, 900.0, 6, at=9))
    many = found(*(measured(1.0 + 0.04 * (n % 2), 900.0, 4, at=n) for n in range(8)), measured(1.3, 900.0, 6, at=9))
    assert pair.cost_noise is not None
    assert many.cost_noise is not None
    assert (pair.cost_noise.freedom, many.cost_noise.freedom) == (1, 7)
    assert pair.cost_noise.factor > 12.7
    assert (pair.clear, many.clear) == (False, True)


def test_a_saving_against_the_baseline_is_held_to_the_same_noise() -> None:
    def against(usd: float) -> Findings:
        return found(measured(usd, 900.0, 4, at=1), measured(1.0, 900.0, 6, at=2), measured(1.1, 900.0, 6, at=3))

    assert (against(1.2).saving_is_clear, against(5.0).saving_is_clear) == (False, True)
    alone = found(measured(1.0, 900.0, 4, at=1), measured(1.2, 900.0, 4, at=2))
    assert alone.saving_is_clear is None


def test_nothing_is_recommended_when_nothing_was_measured() -> None:
    what = found(failed(Reason.SPOT, 1), failed(Reason.DEADLINE, 2))
    assert what.best is what.baseline is what.fastest is what.payback is what.saving is what.gap is None
    assert what.spent == 0.5


def test_a_search_that_saves_nothing_is_never_paid_back() -> None:
    assert found(measured(1.0, 900.0, 4, at=1), measured(1.5, 800.0, 6, at=2)).payback is None


def test_charts_say_what_is_a_bound_what_was_stopped_and_what_is_left_out() -> None:
    many = [measured(1.0 + n / 10, 900.0, 4 + n, at=n) for n in range(15)]
    stopped = measured(0.5, 5000.0, 40, at=30, verdict=Reason.DEADLINE.verdict, reason=str(Reason.DEADLINE))
    what = found(*many, stopped)
    tradeoff, grid = charts.cost_against_duration(what), slices.by_type_and_count(what)
    assert tradeoff is not None
    assert grid is not None
    assert "15 runs with durations between 15 min 00 s and 15 min 00 s; 1 run with lower bounds alone" in tradeoff.told
    assert [cell["settings"] for cell in grid.spec["data"]["values"] if cell["count"] == 40] == ["stopped by a limit"]
    bars = slices.by_phase(what, "time")
    assert bars is not None
    assert "the 12 cheapest of 15 choices of settings" in bars.told


def test_choices_whose_words_are_the_same_have_a_bar_each() -> None:
    other = {**BASE.spec, "groups": [dict(group) for group in BASE.spec["groups"]]}
    other["groups"][1]["ebs"] = {"gib": 500}
    what = found(measured(1.0, 900.0, 4, at=1), measured(1.1, 900.0, 4, at=2, spec=other))
    bars = slices.by_phase(what, "time")
    assert bars is not None
    names = {value["settings"] for value in bars.spec["data"]["values"]}
    assert names == {what.choices[0].label, f"{what.choices[0].label} (2)"}


def test_failures_are_told_by_reason_the_dearest_first_with_what_to_do() -> None:
    what = found(failed(Reason.SPOT, 1, 0.1), failed(Reason.CAPACITY, 2, 0.5), failed(Reason.SPOT, 3, 0.2))
    assert [(one.reason, len(one.runs), round(one.spent, 6)) for one in what.failures] == [
        ("environment/capacity", 1, 0.5),
        ("environment/spot", 2, 0.3),
    ]
    assert all(one.remedy for one in what.failures)


def test_the_phases_of_every_run_add_up_to_its_life_and_to_its_bill() -> None:
    for record in history(60):
        times, money = phases.seconds(record), phases.dollars(record)
        assert record.cost is not None
        assert math.fsum(times.values()) == pytest.approx(record.phases["total_time"])
        assert math.fsum(money.values()) == pytest.approx(record.cost["billed_usd"])
        assert min(money.values()) >= 0
        if record.cost["job_usd"] is not None:
            assert money["job"] == pytest.approx(record.cost["job_usd"], rel=1e-6)


def test_steps_with_a_pause_between_them_have_the_pause_counted_apart() -> None:
    line = Timeline(0.0, 100.0, 400.0)
    steps = tuple(
        StepLook(f"s-{n}", "notebook", StepState.COMPLETED, Timeline(0.0, start, end))
        for n, (start, end) in enumerate([(110.0, 200.0), (230.0, 300.0)])
    )
    record = replace(BASE, timeline=line, steps=steps, phases={"provisioning_time": 40.0})
    assert phases.seconds(record) == {
        "provisioning": 40.0, "bootstrapping": 60.0, "job": 160.0, "between steps": 40.0, "ending": 100.0,
    }  # fmt: skip


def test_preparation_and_clean_up_are_counted_apart_from_the_job() -> None:
    line = Timeline(0.0, 100.0, 400.0)
    spans = (("prepare", 110.0, 150.0), ("run", 150.0, 250.0), ("run", 260.0, 300.0), ("cleanup", 300.0, 330.0))
    steps = tuple(
        StepLook(f"s-{n}", "step", StepState.COMPLETED, Timeline(0.0, start, end), stage=stage)
        for n, (stage, start, end) in enumerate(spans)
    )
    record = replace(BASE, timeline=line, steps=steps, phases={"provisioning_time": 40.0})
    assert phases.seconds(record) == {
        "provisioning": 40.0, "bootstrapping": 60.0, "job": 140.0, "preparation and clean-up": 70.0,
        "between steps": 20.0, "ending": 70.0,
    }  # fmt: skip
    assert phases.BESIDE in [row["phase"] for row in phase_totals(found(record))]
    assert phases.BESIDE not in [row["phase"] for row in phase_totals(found(BASE))]


def test_a_run_without_times_or_bill_is_charged_to_no_phase_and_told_apart() -> None:
    unknown = measured(0.3, 100.0, at=1, cost=None, cost_so_far=0.3, timeline=Timeline())
    assert phases.seconds(unknown) == phases.dollars(unknown) == {}
    last = phase_totals(found(unknown, BASE))[-1]
    assert (last["phase"], last["seconds"], last["usd"], last["lost_usd"]) == ("not told apart", None, 0.3, 0.3)


def test_only_settings_that_differ_have_a_column_and_all_runs_are_there_newest_first() -> None:
    table = runs_table(runs_of([measured(1.0, 100.0, n, at=n) for n in (2, 4)]))
    assert [name for name, _ in table.columns] == [
        "core.replicas", "Outcome", "Duration", "Cost of a run", "Spent", "rows", "Mind", "Begun (UTC)",
    ]  # fmt: skip
    assert [cells[0].text for _, cells in table.rows] == ["4", "2"]


def test_a_bound_is_marked_as_one_and_a_failure_has_no_figure() -> None:
    table = runs_table(runs_of([failed(Reason.DEADLINE, 1), failed(Reason.SPOT, 2)]))
    spot, deadline = [[cell.text for cell in cells] for _, cells in table.rows]
    assert deadline[:4] == ["deadline", "≥ 1 min 40 s", "≥ $0.2500", "$0.2500"]
    assert spot[:4] == ["environment/spot", "\N{EN DASH}", "\N{EN DASH}", "$0.2500"]
    assert (deadline[-2], spot[-2]) == ("lower bounds", "")


def test_further_settings_and_markets_are_part_of_a_name_when_they_differ() -> None:
    first = measured(1.0, 100.0, at=1, settings={**BASE.settings, "spark.memory": "2g"})
    second = measured(1.0, 100.0, at=2, settings={**BASE.settings, "spark.memory": "4g"})
    second.spec["groups"][1]["market"] = "spot"
    assert [run.label for run in runs_of([first, second])] == [
        "4 x m5.xlarge, spark.memory=2g",
        "4 x m5.xlarge spot, spark.memory=4g",
    ]
