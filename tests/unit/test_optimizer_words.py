"""The optimizer's small parts: who drives, what reasons mean, limits, drift, commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from servo_emr.domain.errors import Reason, Verdict
from servo_emr.optimizer.drift import drifted, other_notebook
from servo_emr.optimizer.limits import Limits, Spent
from servo_emr.optimizer.peers import Driver, Peer
from servo_emr.optimizer.reasons import Fate, fate, figures, so_far
from servo_emr.optimizer.trial import Outcome
from servo_emr.optimizer.wire import sleep

FATES = {
    Verdict.SUCCEEDED: Fate.DONE,
    Verdict.CONFIGURATION: Fate.INFEASIBLE,
    Verdict.ENVIRONMENT: Fate.AGAIN,
    Verdict.JOB: Fate.JOB,
    Verdict.OPERATOR: Fate.PERSON,
    Verdict.INTERNAL: Fate.AGAIN,
    Verdict.CENSORED: Fate.CENSORED,
    Verdict.ABORTED: Fate.INTERRUPTED,
}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_of_the_connector_means_what_its_verdict_does(reason: Reason) -> None:
    status = "ok" if reason is Reason.SUCCESS else "failed"
    assert fate(status, str(reason)) is FATES[reason.verdict]


@pytest.mark.parametrize(
    ("status", "reason", "meaning"),
    [
        ("rejected", "unschedulable", Fate.INFEASIBLE),
        ("aborted", "slo-violation", Fate.INTERRUPTED),
        ("cancelled", "", Fate.INTERRUPTED),
        ("failed", "", Fate.AGAIN),
        ("frobnicated", "x", Fate.AGAIN),
    ],
)
def test_reasons_of_other_connectors_go_by_their_status(status: str, reason: str, meaning: Fate) -> None:
    assert fate(status, reason) is meaning


def test_a_failure_costs_what_its_last_line_says() -> None:
    found = figures("job/cell-error: ValueError\nrun=20260101t000000-0a cost_usd=0.1234 duration_s=17.500")
    assert (found.run_id, found.cost_usd, found.duration_s) == ("20260101t000000-0a", 0.1234, 17.5)
    none = figures("refused\nrun=none cost_usd=0.0000 duration_s=none")
    assert (none.run_id, none.cost_usd, none.duration_s) == (None, 0.0, None)


@pytest.mark.parametrize(
    "message", ["", "words", "run=x cost_usd=-1 duration_s=none", "run=x cost_usd=nan duration_s=1"]
)
def test_a_message_without_such_a_line_costs_nothing_that_is_known(message: str) -> None:
    assert figures(message).cost_usd == 0.0


def test_a_report_of_the_connector_is_understood() -> None:
    found = so_far("2026 | INFO | run 2026-0a: running, cell 2 of 8, 569 s, 0.1188 USD so far (31% complete)")
    assert found is not None
    assert (found.run_id, found.phase, found.usd) == ("2026-0a", "running, cell 2 of 8", 0.1188)
    assert so_far("something else") is None


A, B = ("10.0.0.1", 1001), ("10.0.0.2", 1002)


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.open = {A, B}
        self.driver = Driver(lambda: self.now, lambda connection: connection in self.open)


def test_two_servos_without_names_are_told_apart_by_their_connections() -> None:
    world = World()
    assert world.driver.drives(Peer(None, A))
    assert not world.driver.drives(Peer(None, B))
    assert world.driver.drives(Peer(None, A))


def test_a_killed_servos_connection_is_closed_and_its_successor_drives_at_once() -> None:
    world = World()
    world.driver.drives(Peer(None, A))
    world.open.remove(A)
    assert world.driver.drives(Peer(None, B))


def test_a_servo_of_another_name_waits_until_the_first_has_been_silent_for_long() -> None:
    world = World()
    world.driver.drives(Peer("one", A))
    world.open.clear()
    world.now = 119.0
    assert not world.driver.drives(Peer("two", B))
    world.now = 120.0
    assert world.driver.drives(Peer("two", B))


def test_a_servo_that_was_told_to_sleep_is_not_taken_for_gone() -> None:
    world = World()
    world.driver.heard(Peer(None, A), 600.0)
    world.now = 700.0
    assert not world.driver.drives(Peer(None, B))
    world.now = 720.0
    assert world.driver.drives(Peer(None, B)), "a machine that is lost leaves its connection open"


def test_only_the_drivers_goodbye_counts() -> None:
    world = World()
    world.driver.drives(Peer(None, A))
    assert not world.driver.leaves(Peer(None, B))
    assert world.driver.leaves(Peer(None, A))
    assert world.driver.drives(Peer(None, B))


def test_limits_are_reached_when_they_are_reached() -> None:
    limits = Limits(runs=5, usd=2.0, hours=3.0)
    assert limits.reached(Spent(4, 1.9, 2.9)) is None
    assert "5 runs" in str(limits.reached(Spent(5, 0, 0)))
    assert "2.0000 USD" in str(limits.reached(Spent(0, 2.0, 0)))
    assert "3.0 hours" in str(limits.reached(Spent(0, 0, 3.0)))
    assert "expected to cost 0.2000" in str(limits.reached(Spent(4, 1.9, 2.9), 0.2))
    assert Limits().reached(Spent(10**6, 10**6, 10**6)) is None


def test_room_is_kept_for_measuring_the_best_once_more() -> None:
    assert Limits(runs=5).last(Spent(4, 0, 0), 9.0, 9.0)
    assert not Limits(runs=5).last(Spent(3, 0, 0), 9.0, 9.0)
    assert Limits(usd=2.0).last(Spent(3, 1.0, 0), 0.7, 0.5)
    assert not Limits(usd=2.0).last(Spent(3, 1.0, 0), 0.4, 0.5)
    assert not Limits(usd=2.0).last(Spent(3, 1.8, 0), 0.7, 0.5), "there is no room for that either"


MEASURED = Outcome("done", "success", 0.0, duration_s=1000.0, cost_usd=1.0, notebook_sha256="a")


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({}, None),
        ({"duration_s": 1100.0, "cost_usd": 1.1}, None),
        ({"duration_s": 1300.0}, "duration went from 1000 to 1300 s"),
        ({"duration_s": 700.0}, "duration went from 1000 to 700 s"),
        ({"cost_usd": 1.4}, "cost went from 1 to 1.4 USD"),
        ({"cost_usd": None}, None),
        ({"duration_s": 1300.0, "notes": {"disturbed": "a node was lost"}}, None),
    ],
)
def test_drift_is_what_noise_does_not_explain(changes: Mapping[str, Any], seen: str | None) -> None:
    found = drifted(1000.0, 1.0, 2, replace(MEASURED, **changes))
    assert (found is None) if seen is None else (found is not None and found.startswith(seen))


def test_another_notebook_is_seen_by_its_hash() -> None:
    assert other_notebook([MEASURED], replace(MEASURED, notebook_sha256="b"))
    assert not other_notebook([MEASURED], MEASURED)
    assert not other_notebook([MEASURED], replace(MEASURED, notebook_sha256=""))
    assert not other_notebook([], MEASURED)


@pytest.mark.parametrize("seconds", [0.0, -5.0, 0.001])
def test_no_sleep_is_so_short_that_a_servo_would_spin(seconds: float) -> None:
    assert sleep(seconds, "x").param["duration"] == 0.1
