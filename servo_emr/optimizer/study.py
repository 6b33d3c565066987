"""The study: every trial, durable in Optuna's storage, so that optuna-dashboard opens it.

The only user of Optuna. Each change is one write that takes effect whole or not at all, and a change that takes two has
its second made up for when the study is opened: whoever is killed between them goes on where he was.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna
import sqlalchemy.exc
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.study._frozen import FrozenStudy
from optuna.trial import TrialState

from servo_emr.optimizer.trial import Attempt, Issue, Outcome, Plan, Stage, Trial, Value

Distributions = Mapping[str, BaseDistribution]

__all__ = ["SCHEMA", "STORAGE_ERRORS", "Distributions", "Study", "StudyError", "distributions_of", "new_uid"]


class StudyError(Exception):
    """The storage cannot be used; the message names place and remedy."""


SCHEMA = 1
"""The version of what is written here into a study's attributes. Another one's study is refused."""

STORAGE_ERRORS = (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, StudyError)
_PARTS = ("plan", "issued", "attempts", "outcome")  # what a trial of ours is made of; the rest is for dashboards
_SCHEMA, _MEMORY, _APPLICATION = "servo_emr_schema", "servo_emr", "application"
_ENDED = {
    "done": TrialState.COMPLETE,
    "censored": TrialState.PRUNED,
    "infeasible": TrialState.FAIL,
    "failed": TrialState.FAIL,
    "cancelled": TrialState.FAIL,
}


@dataclasses.dataclass(frozen=True)
class _Part:
    """One Optuna study. An application has several when its settings, or what is minimized, have changed."""

    id: int
    offset: int


class Study:
    """The trials of one application, in memory and in storage. One process at a time may hold it."""

    def __init__(self, storage: BaseStorage, application: str) -> None:
        self._storage = storage
        self.application = application
        self._parts: list[_Part] = []
        self._ids: dict[int, int] = {}
        self._trials: list[Trial] = []
        self._memory: dict[str, Any] = {}
        for study in self._of_application():
            self._parts.append(_Part(study._study_id, len(self._trials)))
            self._memory = dict(study.user_attrs.get(_MEMORY, {}))
            self._load(study._study_id)

    @classmethod
    def open(cls, url: str, application: str) -> Study:
        """The study of an application at a storage URL such as sqlite:///study.db, new when there is none.

        Raises:
            StudyError: the storage cannot be opened, or its study is of another schema.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return cls(open_storage(url), application)

    @classmethod
    def applications(cls, url: str) -> list[str]:
        """The applications that a storage holds studies of.

        Raises:
            StudyError: the storage cannot be opened.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        studies = open_storage(url).get_all_studies()
        named = [study.user_attrs.get(_APPLICATION) for study in studies if _SCHEMA in study.user_attrs]
        return sorted({name for name in named if isinstance(name, str)})

    @property
    def trials(self) -> Sequence[Trial]:
        """All of them, the oldest first; one without an outcome is the last."""
        return self._trials

    @property
    def running(self) -> Trial | None:
        """The trial that has no outcome yet."""
        return self._trials[-1] if self._trials and self._trials[-1].outcome is None else None

    def recall(self, name: str, default: Any = None) -> Any:
        """What `remember` has kept under a name."""
        return self._memory.get(name, default)

    def remember(self, **values: Any) -> None:
        """Keeps JSON values by name, all of them in one write."""
        memory = {**self._memory, **values}
        if self._parts:
            self._storage.set_study_user_attr(self._parts[-1].id, _MEMORY, memory)
        self._memory = memory

    def begin(self) -> None:
        """Stores what is remembered, where no trial has led to it yet."""
        if not self._parts:
            self._parts.append(self._made(self._memory))

    def ask(self, plan: Plan, distributions: Mapping[str, BaseDistribution], metric: str) -> Trial:
        """A new trial, in one write. metric: what the study minimizes, `cost` or `duration`."""
        part = self._part_for(distributions, metric)
        number, document = len(self._trials), dataclasses.asdict(plan)
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params={name: plan.settings[name] for name in distributions},
            distributions=dict(distributions),
            user_attrs={"plan": document, "settings": dict(plan.settings), "why": plan.why, "state": "asked"},
        )
        template.datetime_start = datetime.now()  # noqa: DTZ005  (Optuna's own are naive, local ones)
        self._ids[number] = self._storage.create_new_trial(part.id, template)
        trial = Trial(number, plan)
        self._trials.append(trial)
        return trial

    def issue(self, trial: Trial, stage: Stage, uid: str, at: float) -> Trial:
        """A command of the trial goes out under a new uid."""
        issued = (*trial.issued, Issue(uid, stage, at))
        self._set(trial, "issued", [dataclasses.asdict(one) for one in issued])
        return self._put(dataclasses.replace(trial, issued=issued, stage=stage))

    def again(self, trial: Trial, attempt: Attempt) -> Trial:
        """An attempt has failed, and the trial is to be asked again from its adjustment on."""
        attempts = (*trial.attempts, attempt)
        self._set(trial, "attempts", [dataclasses.asdict(one) for one in attempts])
        return self._put(dataclasses.replace(trial, attempts=attempts, stage="adjust"))

    def advance(self, trial: Trial) -> Trial:
        """The trial's settings are in place. Not written: asked once more after a kill, they are set once more."""
        return self._put(dataclasses.replace(trial, stage="measure"))

    def show(self, trial: Trial, state: str) -> None:
        """The state that a dashboard shows of a trial that has no outcome."""
        self._set(trial, "state", state)

    def settle(self, trial: Trial, outcome: Outcome, value: float | None) -> Trial:
        """The trial has ended. `value` is what the study minimizes, of one that is done."""
        self._set(trial, "outcome", {**dataclasses.asdict(outcome), "value": value})
        settled = dataclasses.replace(trial, outcome=outcome)
        self._close(settled, value)
        return self._put(settled)

    def _close(self, trial: Trial, value: float | None) -> None:
        """What a dashboard shows of the end, and Optuna's own state last: afterwards nothing can be written."""
        outcome = trial.outcome
        assert outcome is not None
        shown = {
            "state": outcome.state,
            "reason": outcome.reason,
            "run_id": outcome.run_id,
            "cost_usd": outcome.cost_usd,
            "duration_s": outcome.duration_s,
            "spent_usd": trial.spent_usd,
        }
        for name, what in shown.items():
            self._set(trial, name, what)
        self._storage.set_trial_state_values(
            self._ids[trial.number], _ENDED[outcome.state], None if value is None else [value]
        )

    def _set(self, trial: Trial, name: str, value: Any) -> None:
        self._storage.set_trial_user_attr(self._ids[trial.number], name, value)

    def _put(self, trial: Trial) -> Trial:
        self._trials[trial.number] = trial
        return trial

    def _of_application(self) -> list[FrozenStudy]:
        found = []
        for study in self._storage.get_all_studies():
            version = study.user_attrs.get(_SCHEMA)
            if self.application not in (study.user_attrs.get(_APPLICATION), study.study_name):
                continue
            if version is None and not self._storage.get_n_trials(study._study_id):
                continue  # half made when its maker was killed: `_made` goes on with it
            if version != SCHEMA:
                made = "was not made by this optimizer" if version is None else f"has schema {version}"
                raise StudyError(
                    f"the study {study.study_name!r} {made}; this servo-emr reads schema {SCHEMA}. "
                    "Name another --storage, or use the servo-emr that made it."
                )
            found.append(study)
        return sorted(found, key=lambda study: study._study_id)

    def _load(self, study_id: int) -> None:
        """Takes in a study's trials. A trial whose end was written but not shown is closed now."""
        for stored in _stored(self._storage, study_id):
            if "plan" not in stored.attributes:
                continue  # somebody else's, added with Optuna's own tools
            trial = _thawed(len(self._trials), stored.attributes)
            self._ids[trial.number] = stored.id
            self._trials.append(trial)
            if trial.outcome is not None and not stored.finished:
                self._close(trial, stored.attributes["outcome"]["value"])

    def _part_for(self, distributions: Mapping[str, BaseDistribution], metric: str) -> _Part:
        """The Optuna study for such a trial: the last one, or another where Optuna could not keep both in one."""
        shape = {"metric": metric, "enums": {n: list(d.choices) for n, d in _categorical(distributions).items()}}
        shape["ranges"] = {n: type(d).__name__ for n, d in distributions.items() if n not in shape["enums"]}
        if self._parts and not self._trials and "shape" not in self._memory:
            self.remember(shape=shape)  # begun before anything was known of its trials
        elif not self._parts or self._memory.get("shape") != shape:
            self._parts.append(self._made({**self._memory, "shape": shape}))
        return self._parts[-1]

    def _made(self, memory: dict[str, Any]) -> _Part:
        """A further Optuna study. The schema is written last: what has none yet is not made."""
        name = self.application + (f" ({len(self._parts) + 1})" if self._parts else "")
        study = optuna.create_study(storage=self._storage, study_name=name, direction="minimize", load_if_exists=True)
        for attribute, value in ((_MEMORY, memory), (_APPLICATION, self.application), (_SCHEMA, SCHEMA)):
            study.set_user_attr(attribute, value)
        self._memory = memory
        return _Part(study._study_id, len(self._trials))


def open_storage(url: str) -> BaseStorage:
    """Optuna's storage at a URL.

    Raises:
        StudyError: it cannot be opened.
    """
    if "://" not in url:
        raise StudyError(f"--storage {url}: a URL, such as sqlite:///{url}")
    try:
        return optuna.storages.get_storage(url)
    except Exception as error:  # SQLAlchemy's, the driver's or Optuna's: the list has no end
        shown = url.split("@")[-1] if "@" in url else url  # what stands before it may be a password
        raise StudyError(f"--storage {shown}: cannot be opened: {str(error).splitlines()[0][:300]}") from error


def distributions_of(descriptor: Mapping[str, Any], settings: Mapping[str, Value]) -> dict[str, BaseDistribution]:
    """Optuna's distributions of a description's settings that may change, wide enough to hold `settings`."""
    found: dict[str, BaseDistribution] = {}
    for component, body in descriptor["application"]["components"].items():
        for name, setting in body["settings"].items():
            selector = f"{component}.{name}"
            if not setting.get("pinned") and selector in settings:
                found[selector] = _distribution(setting, settings[selector])
    return found


def _distribution(setting: Mapping[str, Any], value: Value) -> BaseDistribution:
    if setting["type"] == "enum":
        return CategoricalDistribution(tuple(setting["values"]))
    low, high, step = setting["min"], setting["max"], setting.get("step") or 0
    assert not isinstance(value, str)
    low, high = min(low, value), max(high, value)
    if all(isinstance(number, int) for number in (low, high, step, value)):
        fits = step and not (high - low) % step and not (value - low) % step
        return IntDistribution(low, high, step=step if fits else 1)
    return FloatDistribution(float(low), float(high))


def _categorical(distributions: Mapping[str, BaseDistribution]) -> dict[str, CategoricalDistribution]:
    return {name: one for name, one in distributions.items() if isinstance(one, CategoricalDistribution)}


@dataclasses.dataclass(frozen=True)
class _Stored:
    id: int
    finished: bool
    attributes: dict[str, Any]


def _stored(storage: BaseStorage, study_id: int) -> list[_Stored]:
    """A study's trials in their order, with the attributes that a trial is made of.

    Of a database these are read by themselves: all that Optuna makes of 1,000 trials takes several times as long.
    """
    backend = getattr(storage, "_backend", storage)
    if not isinstance(backend, RDBStorage):
        frozen = storage.get_all_trials(study_id, deepcopy=False)
        return [_Stored(one._trial_id, one.state.is_finished(), one.user_attrs) for one in frozen]
    trials, attributes = models.TrialModel, models.TrialUserAttributeModel
    found: dict[int, _Stored] = {}
    with backend.engine.connect() as connection:
        for trial_id, state in connection.execute(
            sqlalchemy.select(trials.trial_id, trials.state)
            .where(trials.study_id == study_id)
            .order_by(trials.trial_id)
        ):
            found[trial_id] = _Stored(trial_id, state.is_finished(), {})
        rows = connection.execute(
            sqlalchemy.select(attributes.trial_id, attributes.key, attributes.value_json)
            .join(trials, trials.trial_id == attributes.trial_id)
            .where(trials.study_id == study_id, attributes.key.in_(_PARTS))
        )
        for trial_id, key, value in rows:
            found[trial_id].attributes[key] = json.loads(value)
    return list(found.values())


def _thawed(number: int, attrs: Mapping[str, Any]) -> Trial:
    issued = tuple(Issue.of(one) for one in attrs.get("issued", ()))
    attempts = tuple(Attempt.of(one) for one in attrs.get("attempts", ()))
    failed = {one.uid for one in attempts}
    return Trial(
        number,
        Plan.of(attrs["plan"]),
        "adjust" if not issued or issued[-1].uid in failed else issued[-1].stage,
        issued,
        attempts,
        Outcome.of(attrs["outcome"]) if "outcome" in attrs else None,
    )


def new_uid() -> str:
    """A uid that no command ever had: the connector gives an old answer again under the uid that it was asked under."""
    return secrets.token_hex(8)
