"""The course of a study: explore, settle, look again now and then, explore again when the job is another one.

Decides; neither speaks to servos nor stores anything but through the study. What it remembers is judged anew after a
kill: `judge` takes up every trial that has ended since it last looked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from servo_emr.optimizer.description import values_of, with_values
from servo_emr.optimizer.drift import drifted, other_notebook
from servo_emr.optimizer.giving_up import reason_to_stop
from servo_emr.optimizer.limits import Limits, Spent
from servo_emr.optimizer.observed import observed
from servo_emr.optimizer.search import Best, Objective, Observation, Search, Space, Stop, Suggestion
from servo_emr.optimizer.steps import Apply, Ask, Rest
from servo_emr.optimizer.study import Study, distributions_of
from servo_emr.optimizer.trial import Outcome, Plan, Trial

__all__ = ["PAUSED", "REST_S", "Policy"]

_LOG = logging.getLogger("servo_emr.optimizer")
REST_S = 60.0
"""How long a servo sleeps at most before it asks again."""
PAUSED = "paused"
"""The reason of a person's own pause."""
_PASSES = ("operator/budget", "operator/breaker", "operator/lease")
"""What a person, or time, sets right without telling the optimizer: it looks again by itself."""
_LOOK_AGAIN_S = 3600.0


class Policy:
    """What comes next for the study.

    Args:
        make_search: the search over a space; called with the study's seed.
        recheck_s: from settling to the next measurement of the best, and between those.
    """

    def __init__(
        self,
        study: Study,
        objective: Objective,
        make_search: Callable[[Space, int], Search],
        now: Callable[[], float],
        limits: Limits | None = None,
        recheck_s: float = 7 * 86400.0,
        seed: int = 0,
    ) -> None:
        self.study, self.objective, self.limits = study, objective, limits or Limits()
        self._make_search, self._now, self._recheck_s = make_search, now, recheck_s
        self._searches: dict[str, Search] = {}
        self._open(study.recall("seed", seed))

    def _open(self, seed: int) -> None:
        """Takes the study up: judged to its end, and explored further when something else is wanted than before."""
        wanted = {"objective": asdict(self.objective), "limits": asdict(self.limits)}
        known = self.study.recall("wanted")
        self.study.remember(seed=seed)
        self.judge()
        other = known not in (None, wanted) and self.phase["name"] == "settled"
        self.study.remember(wanted=wanted, **({"phase": self._further()} if other else {}))

    def _further(self, **why: str) -> dict[str, Any]:
        """The phase that explores on, with all that is known."""
        return {"name": "exploring", "first_trial": self.phase["first_trial"], "began": self._now(), **why}

    @property
    def metric(self) -> str:
        """What the study minimizes."""
        return "duration" if self.objective.kind == "fastest-under-price" else "cost"

    @property
    def descriptor(self) -> Mapping[str, Any] | None:
        """What may be changed, as servo described it; the values are those that were set when exploring began."""
        found: Mapping[str, Any] | None = self.study.recall("descriptor")
        return found

    @property
    def phase(self) -> Mapping[str, Any]:
        """name: exploring or settled; first_trial: whose trials count, from this one on; and what the name needs."""
        began = self.study.trials[0].plan.asked_at if self.study.trials else self._now()
        found: Mapping[str, Any] = self.study.recall("phase") or {"name": "exploring", "first_trial": 0, "began": began}
        return found

    @property
    def stopped(self) -> Mapping[str, Any] | None:
        """Why a person is waited for: reason, message, since; None when nobody is."""
        found: Mapping[str, Any] | None = self.study.recall("stopped")
        return found

    def described(self, descriptor: Mapping[str, Any]) -> None:
        """A servo has described what may be changed.

        Raises:
            ValueError: it cannot be searched; the message names the place.
        """
        Space.from_description(descriptor)
        measurement = descriptor.get("measurement")
        metrics = (measurement.get("metrics") if isinstance(measurement, Mapping) else None) or {}
        missing = [name for name in ("cost", "duration") if name not in metrics]
        if missing:
            raise ValueError(f"this servo measures no {' and no '.join(missing)}: is the emr connector active?")
        known = self.descriptor
        if known is not None and not self.phase.get("anew"):
            descriptor = with_values(descriptor, values_of(known))
        began = {} if self.study.recall("phase") else {"began": self._now()}
        phase = {**self.phase, **began, "anew": False}
        was, space = (Space.from_description(one) for one in (known or descriptor, descriptor))
        if phase["name"] == "settled" and (was.dimensions, was.constants) != (space.dimensions, space.constants):
            phase = self._further(because="other settings may be tried than before")
            _LOG.info("exploring again: %s", phase["because"])
        current = self.study.recall("current") or values_of(descriptor)
        self.study.remember(descriptor=descriptor, phase=phase, current=current)

    def trials(self) -> Sequence[Trial]:
        """Those that count now."""
        return self.study.trials[self.phase["first_trial"] :]

    def observations(self, before: int | None = None) -> list[Observation]:
        """What the search is told; of the trials before that number where one is given."""
        trials = [trial for trial in self.trials() if before is None or trial.number < before]
        known = set(values_of(self.descriptor)) if self.descriptor else set()
        return observed([trial for trial in trials if set(trial.plan.settings) == known])

    def best(self, before: int | None = None) -> Best | None:
        """The best that was measured; None before anything was."""
        return self._search().best(self.observations(before)) if self.descriptor else None

    def spent(self) -> Spent:
        """What this exploration has taken."""
        trials = self.trials()
        late = [usd for uid, usd in self.study.recall("late", {}).items() if any(one.has(uid) for one in trials)]
        return Spent.of(trials, self.phase["began"], self._now(), sum(late))

    def step(self) -> Ask | Apply | Rest:
        """What comes next, when no trial is running and the servo has described itself."""
        if self.stopped is not None:
            return self._waiting(self.stopped)
        if self.phase["name"] == "exploring":
            found = self._explore()
            if isinstance(found, Plan):
                return self._asked(found)
            self._settle(found)
        return self._settled()

    def _explore(self) -> Plan | Stop:
        spent, best = self.spent(), self.best()
        over = self.limits.reached(spent)
        if over is not None:
            return Stop(over)
        search, observations = self._search(), self.observations()
        found = search.suggest(observations)
        if isinstance(found, Stop):
            return found
        if best is not None and self.limits.last(spent, found.predicted_cost_usd or 0.0, best.cost_usd or 0.0):
            found = search.confirm(observations) or found
        over = self.limits.reached(spent, found.predicted_cost_usd or 0.0)
        if over is not None:
            return Stop(over)
        return self._plan(found)

    def _plan(self, suggestion: Suggestion) -> Plan:
        return Plan(
            settings=dict(suggestion.settings),
            kind=suggestion.kind,
            why=suggestion.why,
            asked_at=self._now(),
            deadline_s=suggestion.deadline_s,
            max_cost_usd=self.limits.left_usd(self.spent()),
            predicted_duration_s=suggestion.predicted_duration_s,
            predicted_cost_usd=suggestion.predicted_cost_usd,
            expected_gain_usd=suggestion.expected_gain_usd,
            expected_gain_total_usd=suggestion.expected_gain_total_usd,
        )

    def _asked(self, plan: Plan) -> Ask:
        assert self.descriptor is not None
        return Ask(plan, distributions_of(self.descriptor, plan.settings), self.metric)

    def _settle(self, stop: Stop) -> None:
        now, best = self._now(), self.best()
        _LOG.info("settled: %s", stop.reason)
        self.study.remember(
            phase={
                **self.phase,
                "name": "settled",
                "since": now,
                "reason": stop.reason,
                "expected_gain_usd": stop.expected_gain_usd,
                "best": None if best is None else asdict(best),
                "applied": False,
                "next_at": now + self._recheck_s,
                "suspect": None,
            }
        )

    def _settled(self) -> Ask | Apply | Rest:
        phase, now = self.phase, self._now()
        if phase["best"] is None:
            return Rest(REST_S, f"nothing could be measured: {phase['reason']}")
        if not phase["applied"]:
            return Apply(phase["best"]["settings"])
        left = phase["next_at"] - now
        if left > 0:
            return Rest(min(REST_S, left), f"the best settings are applied ({phase['reason']})")
        why = "It differed from what was measured before: once more." if phase["suspect"] is not None else ""
        best = self.best()
        return self._asked(
            Plan(
                settings=dict(phase["best"]["settings"]),
                kind="recheck",
                why=why or "Whether the job, its data or its price have changed is looked at from time to time.",
                asked_at=now,
                predicted_duration_s=best.duration_s if best else None,
                predicted_cost_usd=best.cost_usd if best else None,
            )
        )

    def applied(self) -> None:
        """The best settings are in place."""
        self.study.remember(phase={**self.phase, "applied": True})

    def judge(self) -> None:
        """Draws the conclusions from every trial that has ended since the last time."""
        for trial in self.study.trials[self.study.recall("judged", 0) :]:
            if trial.outcome is None:
                return
            changes = self._judged(trial, trial.outcome)
            self.study.remember(judged=trial.number + 1, **changes)

    def _judged(self, trial: Trial, outcome: Outcome) -> dict[str, Any]:
        """What is to be remembered because of a trial's end."""
        before = [one.outcome for one in self.trials() if one.outcome and one.number < trial.number]
        if outcome.state == "done" and other_notebook(before, outcome):
            return self._anew(trial.number, "the notebook has changed")
        if trial.plan.kind == "recheck" and self.phase["name"] == "settled":
            return self._rechecked(trial, outcome)
        why = reason_to_stop([one for one in self.trials() if one.number <= trial.number])
        return {} if why is None or self._is_paused else self._person(outcome, why)

    def _rechecked(self, trial: Trial, outcome: Outcome) -> dict[str, Any]:
        phase, now = self.phase, self._now()
        suspect = phase["suspect"]
        known = self.best(before=trial.number if suspect is None else suspect)
        found = None
        if outcome.state == "infeasible":
            return self._anew(trial.number, f"the best settings cannot run the job any more: {outcome.reason}")
        if outcome.state == "done" and known is not None:
            found = drifted(known.duration_s, known.cost_usd, known.repeats, outcome)
        if found is not None and suspect is not None:
            return self._anew(suspect, found)
        if found is not None:
            _LOG.info("trial %d: %s; measured once more", trial.number, found)
            return {"phase": {**phase, "suspect": trial.number, "next_at": now}}
        return {"phase": {**phase, "suspect": None, "next_at": now + self._recheck_s}}

    def _anew(self, first: int, why: str) -> dict[str, Any]:
        """Exploring again: what was measured before trial `first` is of another job."""
        _LOG.info("exploring again: %s", why)
        phase = {"name": "exploring", "first_trial": first, "began": self._now(), "because": why, "anew": True}
        return {"phase": phase, "current": None}

    def _person(self, outcome: Outcome, why: str) -> dict[str, Any]:
        return {"stopped": {"reason": outcome.reason, "message": f"{why}; {outcome.message}", "since": self._now()}}

    def stop(self, reason: str, message: str) -> None:
        """A person is waited for."""
        if self._is_paused:
            return  # a person has stopped it already, and says when it goes on
        _LOG.warning("stopped: %s: %s", reason, message)
        self.study.begin()
        self.study.remember(stopped={"reason": reason, "message": message, "since": self._now()})

    @property
    def _is_paused(self) -> bool:
        return self.stopped is not None and self.stopped["reason"] == PAUSED

    def resume(self) -> bool:
        """A person has looked; whether anybody was waited for."""
        was = self.stopped is not None
        if was:
            _LOG.info("goes on after %s", self.stopped and self.stopped["reason"])
            self.study.remember(stopped=None)
        return was

    def look_again(self) -> bool:
        """Whether what stopped the study may have passed without a word."""
        stopped = self.stopped
        return (
            stopped is not None
            and stopped["reason"] in _PASSES
            and self._now() - stopped["since"] >= _LOOK_AGAIN_S
            and self.resume()
        )

    def _waiting(self, stopped: Mapping[str, Any]) -> Rest:
        return Rest(REST_S, f"stopped until a person has looked: {stopped['reason']}: {stopped['message']}"[:1000])

    def _search(self) -> Search:
        assert self.descriptor is not None
        key = repr(self.descriptor)
        if key not in self._searches:
            space = Space.from_description(self.descriptor)
            self._searches = {key: self._make_search(space, self.study.recall("seed"))}
        return self._searches[key]
