"""The study in Optuna's storage: what stands in it, what survives a kill, what is refused."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage

from servo_emr.optimizer.app import holding
from servo_emr.optimizer.study import Study, StudyError, distributions_of
from servo_emr.optimizer.trial import Attempt, Outcome, Plan, Trial
from tests.support.search import APPLICATION, DESCRIPTION, SETTINGS

DONE = Outcome(
    "done", "success", 20.0, "u2", "", "run-1", 600.0, 0.5, 0.5, {"teardown": 60.0}, "sha", {"disturbed": ""}
)


def plan(settings: dict[str, Any] = SETTINGS[0]) -> Plan:
    return Plan(settings, "baseline", "It is first.", 10.0, deadline_s=900.0)


def ask(study: Study, settings: dict[str, Any] = SETTINGS[0], description: dict[str, Any] = DESCRIPTION) -> Trial:
    return study.ask(plan(settings), distributions_of(description, settings), "cost")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A study in a file, with one trial of each end and one without."""
    url = f"sqlite:///{tmp_path_factory.mktemp('study') / 'study.db'}"
    study = Study.open(url, APPLICATION)
    study.remember(seed=7)
    trial = study.issue(ask(study), "adjust", "u1", 11.0)
    trial = study.again(trial, Attempt("u1", "environment/spot", "gone", "run-0", 0.1, 12.0))
    trial = study.issue(trial, "measure", "u2", 13.0)
    study.settle(trial, DONE, 0.5)
    for settings, state in zip(SETTINGS[1:], ("infeasible", "censored", "cancelled"), strict=True):
        reason = {"infeasible": "configuration/limits", "censored": "deadline"}.get(state, state)
        study.settle(ask(study, settings), Outcome(state, reason, 30.0, duration_s=900.0), None)
    study.issue(ask(study, SETTINGS[1]), "adjust", "u9", 40.0)
    yield url


def test_opened_again_it_holds_what_it_held(file: str) -> None:
    study = Study.open(file, APPLICATION)
    assert study.recall("seed") == 7
    first, *others, running = study.trials
    assert (first.plan, first.outcome, first.uid, first.spent_usd) == (plan(), DONE, "u2", pytest.approx(0.6))
    assert [one.outcome.state for one in others if one.outcome] == ["infeasible", "censored", "cancelled"]
    assert study.running == running
    assert (running.uid, running.stage, running.plan.settings) == ("u9", "adjust", SETTINGS[1])


def test_a_dashboard_sees_parameters_values_and_reasons(file: str) -> None:
    trials = optuna.load_study(study_name=APPLICATION, storage=file).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "PRUNED", "FAIL", "RUNNING"]
    assert trials[0].params == {"core.inst_type": "m5.xlarge", "core.replicas": 2}
    assert trials[0].value == 0.5
    assert trials[0].distributions["core.replicas"] == optuna.distributions.IntDistribution(1, 6)
    shown = {name: trials[0].user_attrs[name] for name in ("state", "reason", "run_id", "cost_usd", "why", "settings")}
    assert shown == {
        "state": "done",
        "reason": "success",
        "run_id": "run-1",
        "cost_usd": 0.5,
        "why": "It is first.",
        "settings": SETTINGS[0],
    }


def test_the_applications_of_a_storage_are_named(file: str) -> None:
    assert Study.applications(file) == [APPLICATION]


class Mortal:
    """A storage whose user is killed at a write: that one, and none after it, takes effect."""

    def __init__(self, storage: BaseStorage, writes: int) -> None:
        self._storage, self.left = storage, writes

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._storage, name)
        if not name.startswith(("create_", "set_")):
            return found

        def write(*arguments: Any, **named: Any) -> Any:
            if self.left == 0:
                raise InterruptedError(f"killed before {name}")
            self.left -= 1
            return found(*arguments, **named)

        return write


def test_killed_at_any_write_of_an_end_it_is_ended_or_still_to_be_asked() -> None:
    states = []
    for writes in range(8):
        storage = InMemoryStorage()
        study = Study(storage, APPLICATION)
        trial = study.issue(ask(study), "measure", "u2", 13.0)
        study._storage = cast(BaseStorage, Mortal(storage, writes))
        with pytest.raises(InterruptedError):
            study.settle(trial, DONE, 0.5)
        again = Study(storage, APPLICATION)
        states.append(again.running is None)
        frozen = storage.get_all_trials(again._parts[0].id)[0]
        assert frozen.state.is_finished() == (again.running is None)
        if again.running is None:
            assert again.trials[0].outcome == DONE
            assert (frozen.value, frozen.user_attrs["run_id"]) == (0.5, "run-1")
    assert states == [False] + [True] * 7


def test_killed_at_any_write_of_its_making_it_is_made_all_the_same() -> None:
    for writes in range(5):
        storage = InMemoryStorage()
        study = Study(storage, APPLICATION)
        study.remember(seed=3)
        study._storage = cast(BaseStorage, Mortal(storage, writes))
        with pytest.raises(InterruptedError):
            ask(study)
        again = Study(storage, APPLICATION)
        again.remember(seed=3)
        ask(again)
        assert [one.plan.settings for one in Study(storage, APPLICATION).trials] == [SETTINGS[0]]
        assert Study(storage, APPLICATION).recall("seed") == 3


def test_other_values_of_an_enum_go_into_a_further_study_and_the_history_stays() -> None:
    storage = InMemoryStorage()
    study = Study(storage, APPLICATION)
    study.settle(ask(study), DONE, 0.5)
    wider = copy.deepcopy(DESCRIPTION)
    wider["application"]["components"]["core"]["settings"]["inst_type"]["values"].append("r5.xlarge")
    ask(study, {**SETTINGS[0], "core.inst_type": "r5.xlarge"}, wider)
    assert {one.study_name for one in storage.get_all_studies()} == {APPLICATION, f"{APPLICATION} (2)"}
    again = Study(storage, APPLICATION)
    assert [trial.number for trial in again.trials] == [0, 1]
    assert again.running is not None
    assert again.running.plan.settings["core.inst_type"] == "r5.xlarge"


@pytest.mark.parametrize(("schema", "why"), [(2, "has schema 2"), (None, "was not made by this optimizer")])
def test_another_schema_is_refused_by_name(schema: int | None, why: str) -> None:
    storage = InMemoryStorage()
    made = optuna.create_study(storage=storage, study_name=APPLICATION)
    made.add_trial(optuna.trial.create_trial(value=1.0))
    if schema is not None:
        made.set_user_attr("servo_emr_schema", schema)
    with pytest.raises(StudyError, match=f"{APPLICATION}.*{why}.*reads schema 1"):
        Study(storage, APPLICATION)


def test_trials_that_somebody_else_has_added_are_left_alone() -> None:
    storage = InMemoryStorage()
    study = Study(storage, APPLICATION)
    study.settle(ask(study), DONE, 0.5)
    optuna.load_study(study_name=APPLICATION, storage=storage).add_trial(optuna.trial.create_trial(value=9.0))
    assert len(Study(storage, APPLICATION).trials) == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("study.db", "a URL, such as sqlite:///study.db"),
        ("sqlite:////nonexistent/folder/study.db", "cannot be opened"),
        ("postgresql://user:secret@host/db", "cannot be opened"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_told_without_its_password(url: str, why: str) -> None:
    with pytest.raises(StudyError, match=why) as told:
        Study.open(url, APPLICATION)
    assert "secret" not in str(told.value)


def test_a_document_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    document = {**dataclasses.asdict(plan()), "invented_later": 1}
    assert Plan.of(document) == plan()


def test_a_study_in_a_file_is_held_by_one_optimizer_at_a_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with holding(url), pytest.raises(StudyError, match="another optimizer holds this study"), holding(url):
        pass
    with holding(url), holding("sqlite:///:memory:"), holding("postgresql://u:secret@db/study"):
        pass
    with pytest.raises(StudyError, match="cannot be written: No such file"), holding("sqlite:////nowhere/study.db"):
        pass
