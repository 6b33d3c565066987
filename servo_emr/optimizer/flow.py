"""The conversation with a servo: what is answered to each message, and what its results become in the study.

One command is out at a time, until its result. A servo that says HELLO has lost it, and gets it again under another
uid; one that asks without HELLO never got it, and gets it again as it was. A result ends its trial under whichever of
the uids it comes, once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from servo_emr.optimizer.description import free, values_of
from servo_emr.optimizer.measured import SHOWN, measured, metrics_of
from servo_emr.optimizer.peers import HEAR_S, Driver, Peer
from servo_emr.optimizer.policy import PAUSED, REST_S, Policy
from servo_emr.optimizer.reasons import Fate, SoFar, fate, figures, so_far
from servo_emr.optimizer.steps import Apply, Ask, Rest
from servo_emr.optimizer.study import STORAGE_ERRORS
from servo_emr.optimizer.trial import Attempt, Outcome, Trial, Value
from servo_emr.optimizer.wire import CANCEL, OK, Command, Message, adjust, describe, measure, readings, sleep

__all__ = ["Flow"]

_LOG = logging.getLogger("servo_emr.optimizer")
ATTEMPTS = 3
"""So often is a trial asked that the environment does not let run."""
_INTERRUPTIONS = 10
"""So often is one asked whose servo was told to stop meanwhile, before a person is waited for."""
_LEAST_USD = 0.0001  # with less left of what a trial may cost it is not asked again


class Flow:
    """Any thread may call it; one at a time gets on."""

    def __init__(self, policy: Policy, driver: Driver, now: Callable[[], float], new_uid: Callable[[], str]) -> None:
        self.policy, self.study = policy, policy.study
        self._driver, self._now, self._new_uid = driver, now, new_uid
        self._lock = threading.RLock()
        self._command: tuple[str, Command] | None = None
        self._lost = self._undescribed = False
        self._not_before = 0.0
        self.latest: SoFar | None = None
        self.refused_description = ""
        self.failure = ""
        if self.study.running is not None and self.study.running.stage == "measure":
            self._driver.expect()

    @property
    def lock(self) -> threading.RLock:
        """Whoever reads more than one thing holds it."""
        return self._lock

    @property
    def servo_seen_at(self) -> float | None:
        return self._driver.seen_at

    def answer(self, message: Message, peer: Peer) -> Mapping[str, Any]:
        """The document that goes back."""
        with self._lock:
            if message.event == "WHATS_NEXT":
                return self._whats_next(peer).to_json()
            if message.is_progress:
                return self._progress(message, peer)
            if message.is_result:
                self._result(message, peer)
            elif message.event == "HELLO":
                self._hello(peer)
            elif message.event == "GOODBYE":
                self._lost = self._driver.leaves(peer) or self._lost
            else:
                return {"status": "unexpected-event", "reason": f"no such event: {message.event[:64]}"}
            return OK

    def cancel(self, why: str) -> bool:
        """A person cancels the running trial; whether there is one. Its servo hears of it with its next report."""
        with self._lock:
            trial = self.study.running
            if trial is None:
                return False
            if trial.stage == "measure" and trial.issued:
                self.study.remember(cancelling={"trial": trial.number, "why": why})
            else:
                self._cancelled(trial, why)
            return True

    @property
    def _cancelling(self) -> str | None:
        """Why the running trial is cancelled, which its servo has yet to hear of."""
        order, trial = self.study.recall("cancelling"), self.study.running
        return order["why"] if order and trial is not None and trial.number == order["trial"] else None

    def pause(self, why: str) -> None:
        """A person wants no further command to go out; the one that is out is waited for."""
        with self._lock:
            self.policy.stop(PAUSED, why)

    def resume(self) -> bool:
        """A person has looked; whether anybody was waited for."""
        with self._lock:
            self.refused_description = ""
            return self.policy.resume()

    def _hello(self, peer: Peer) -> None:
        if not self._driver.drives(peer):
            _LOG.info("a second servo says HELLO; the first one drives")
            return
        if self._cancelling is not None and self.study.running is not None:
            self._cancelled(self.study.running, self._cancelling)
        self._lost = self._undescribed = True
        self._not_before = 0.0
        self.refused_description = ""
        if self.policy.stopped is not None and self.policy.stopped["reason"] != PAUSED:
            self.policy.resume()  # whoever starts a servo again has looked

    def _whats_next(self, peer: Peer) -> Command:
        if not self._driver.drives(peer):
            return sleep(REST_S, "another servo drives this application")
        if self._driver.is_expected():
            return sleep(HEAR_S, "whether another servo is at a run is listened for, since the optimizer has started")
        try:
            command, self.failure = self._next(), ""
        except STORAGE_ERRORS:
            raise  # may pass, and servox asks the same again
        except Exception:  # noqa: BLE001 - it would fail again as soon as it is asked again, which is at once
            _LOG.exception("no next command could be found")
            self.failure = "the optimizer failed; its log says how"
            command = sleep(REST_S, self.failure)
        rests = float(command.param["duration"]) if command.name == "SLEEP" else 0.0
        self._driver.heard(peer, rests)
        return command

    def _next(self) -> Command:
        self.policy.look_again()
        if self._now() < self._not_before:
            return sleep(self._not_before - self._now(), "what has just failed is asked again after a minute")
        trial = self.study.running
        if trial is not None and self.policy.descriptor is not None:
            stopped = self.policy.stopped
            if stopped is None or (stopped["reason"] == PAUSED and trial.is_out):
                return self._of_trial(trial)
            return self._rest(self.policy.step())
        if self.policy.stopped is not None:
            return self._rest(self.policy.step())
        if self.refused_description:
            return sleep(REST_S, self.refused_description)
        if self._command is not None:
            return self._again(*self._command)
        if self.policy.descriptor is None or self._undescribed or self.policy.phase.get("anew"):
            return self._out("description", describe(self._new_uid()))
        step = self.policy.step()
        if isinstance(step, Ask):
            trial = self.study.ask(step.plan, step.distributions, step.metric)
            _LOG.info("trial %d (%s): %s", trial.number, step.plan.kind, _told(step.plan.settings))
            return self._of_trial(trial)
        if isinstance(step, Apply):
            return self._out("apply", adjust(self._new_uid(), self._free(step.settings)))
        return self._rest(step)

    def _rest(self, step: object) -> Command:
        assert isinstance(step, Rest)
        return sleep(step.seconds, step.reason)

    def _of_trial(self, trial: Trial) -> Command:
        last = trial.issued[-1] if trial.issued else None
        failed = {one.uid for one in trial.attempts}
        if last is None or last.stage != trial.stage or last.uid in failed or self._lost:
            trial = self.study.issue(trial, trial.stage, self._new_uid(), self._now())
            self._lost = False
        assert trial.uid is not None
        if trial.stage == "adjust":
            return adjust(trial.uid, self._free(trial.plan.settings))
        limits = {"deadline_s": trial.plan.deadline_s, "max_cost_usd": trial.left_usd}
        given = {name: round(limit, 4) for name, limit in limits.items() if limit is not None}
        return measure(trial.uid, metrics_of(self.policy.descriptor or {}), given)

    def _out(self, purpose: str, command: Command) -> Command:
        self._command, self._lost = (purpose, command), False
        return command

    def _again(self, purpose: str, command: Command) -> Command:
        if not self._lost:
            return command
        return self._out(purpose, Command(command.name, self._new_uid(), command.param))

    def _free(self, settings: Mapping[str, Value]) -> dict[str, Value]:
        assert self.policy.descriptor is not None
        return free(self.policy.descriptor, settings)

    def _progress(self, message: Message, peer: Peer) -> Mapping[str, Any]:
        trial = self.study.running
        if trial is None or not trial.has(message.cmd_uid):
            return OK
        self._driver.heard(peer)
        self._lost = False
        if trial.stage == "measure" and self.latest is None:
            self.study.show(trial, "running")
        self.latest = so_far(message.message) or self.latest or SoFar("", "running", 0.0)
        if self._cancelling is not None:
            return {"status": CANCEL, "reason": self._cancelling}
        return OK

    def _result(self, message: Message, peer: Peer) -> None:
        uid = message.cmd_uid
        trial = self.study.running
        if self._command is not None and self._command[1].uid == uid:
            self._driver.heard(peer)
            self._answered(self._command[0], message)
        elif trial is not None and uid is not None and trial.has(uid):
            if any(one.uid == uid for one in trial.attempts):
                return  # posted once more, because our answer was lost
            self._driver.heard(peer)
            self._of(trial, uid, message)
        else:
            self._late(message)

    def _answered(self, purpose: str, message: Message) -> None:
        self._command = None
        if message.status != "ok" and fate(message.status, message.reason) in (Fate.AGAIN, Fate.INTERRUPTED):
            self._not_before = self._now() + REST_S
        elif message.status != "ok":
            self.policy.stop(message.reason or message.status, f"{purpose} failed: {message.message[:SHOWN]}")
        elif purpose == "apply":
            self.policy.applied()
        else:
            try:
                self.policy.described(message.map("descriptor"))
            except ValueError as error:
                self.refused_description = f"the description cannot be searched: {error}"
                _LOG.warning("%s", self.refused_description)
            else:
                self._undescribed = False

    def _of(self, trial: Trial, uid: str, message: Message) -> None:
        stage = trial.stage_of(uid)
        if message.status != "ok":
            self._failed(trial, uid, message)
        elif stage == "measure":
            self._measured(trial, uid, message)
        elif trial.stage == "adjust":
            wanted, set_now = self._free(trial.plan.settings), values_of(message.map("state"))
            other = {
                selector: set_now.get(selector) for selector, value in wanted.items() if set_now.get(selector) != value
            }
            if other:
                text = f"the servo answered with other values: {_told(other)}"
                self._settle(trial, Outcome("infeasible", "not-applied", self._now(), uid, text))
            else:
                self.study.advance(trial)

    def _measured(self, trial: Trial, uid: str, message: Message) -> None:
        outcome = measured(message, uid, self._now())
        if outcome.duration_s is None or (self.policy.metric == "cost" and outcome.cost_usd is None):
            text = f"the measurement has no duration or no cost; {outcome.notes.get('warnings', '')}"
            spent, run_id = outcome.spent_usd, outcome.run_id
            self._ask_again(trial, Attempt(uid, "incomplete", text, run_id, spent, self._now()), Fate.AGAIN)
            return
        self._settle(trial, outcome, outcome.duration_s if self.policy.metric == "duration" else outcome.cost_usd)

    def _failed(self, trial: Trial, uid: str, message: Message) -> None:
        found, told = figures(message.message), message.message[:SHOWN]
        reason, meaning = message.reason or message.status, fate(message.status, message.reason)
        if meaning in (Fate.AGAIN, Fate.INTERRUPTED, Fate.PERSON):
            spent = found.cost_usd or (self.latest.usd if meaning is Fate.INTERRUPTED and self.latest else 0.0)
            self._ask_again(trial, Attempt(uid, reason, told, found.run_id, spent, self._now()), meaning)
        else:
            state = {Fate.INFEASIBLE: "infeasible", Fate.CENSORED: "censored"}.get(meaning, "failed")
            bound = trial.plan.deadline_s if reason == "deadline" else None
            duration = found.duration_s or bound
            self._settle(
                trial,
                Outcome(state, reason, self._now(), uid, told, found.run_id, duration, None, found.cost_usd),  # type: ignore[arg-type]
            )

    def _ask_again(self, trial: Trial, attempt: Attempt, meaning: Fate) -> None:
        _LOG.info("trial %d: %s: %s", trial.number, attempt.reason, attempt.message)
        if meaning is Fate.PERSON:
            self.policy.stop(attempt.reason, attempt.message)
        if self._cancelling is not None:
            self._cancelled(trial, self._cancelling, attempt)
            return
        if meaning is Fate.AGAIN and trial.stage_of(attempt.uid) == "adjust":
            self._not_before = self._now() + REST_S  # a servo paces its launches, and no adjustments
        ours = [one.reason for one in trial.attempts if fate("failed", one.reason) is Fate.AGAIN]
        left = trial.left_usd
        used_up = left is not None and left - attempt.spent_usd <= _LEAST_USD
        if used_up or (meaning is Fate.AGAIN and len(ours) + 1 >= ATTEMPTS):
            told, run_id, spent = attempt.message, attempt.run_id, attempt.spent_usd
            self._settle(
                trial, Outcome("failed", attempt.reason, self._now(), attempt.uid, told, run_id, spent_usd=spent)
            )
            return
        trial = self.study.again(trial, attempt)
        self.latest = None
        if meaning is not Fate.PERSON and len(trial.attempts) >= _INTERRUPTIONS:
            self.policy.stop(attempt.reason, f"trial {trial.number} was interrupted {len(trial.attempts)} times")

    def _cancelled(self, trial: Trial, why: str, attempt: Attempt | None = None) -> None:
        """attempt: how it ended, when that is known."""
        told = attempt or Attempt("", "cancelled", "", None, 0.0, self._now())
        spent, run_id = told.spent_usd, told.run_id
        if self.latest is not None:
            spent, run_id = spent or self.latest.usd, run_id or self.latest.run_id
        self._settle(trial, Outcome("cancelled", "cancelled", self._now(), told.uid, why, run_id, spent_usd=spent))

    def _settle(self, trial: Trial, outcome: Outcome, value: float | None = None) -> None:
        _LOG.info("trial %d: %s, %s, %.4f USD", trial.number, outcome.state, outcome.reason, outcome.spent_usd)
        self.study.settle(trial, outcome, value)
        self.latest = None
        self.policy.judge()

    def _late(self, message: Message) -> None:
        """A result that nobody waits for: another uid has settled its trial, but it has been paid for all the same."""
        uid = message.cmd_uid
        trial = next((one for one in self.study.trials if one.has(uid)), None)
        if trial is None or uid is None or message.event != "MEASUREMENT":
            return
        known = {one.uid for one in trial.attempts} | {trial.outcome.uid if trial.outcome else ""}
        late = dict(self.study.recall("late", {}))
        if uid not in known and uid not in late:
            values = readings(message)
            late[uid] = values.get("billed_cost") or values.get("cost") or figures(message.message).cost_usd
            _LOG.info("trial %d was answered twice; the second answer cost %.4f USD", trial.number, late[uid])
            self.study.remember(late=late)


def _told(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{selector}={value}" for selector, value in settings.items())
