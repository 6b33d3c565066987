"""A study and its flow without a network: a search that goes down a list, a clock moved by hand, a servo of values."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.storages import BaseStorage, InMemoryStorage

from servo_emr.optimizer.description import values_of
from servo_emr.optimizer.flow import Flow
from servo_emr.optimizer.limits import Limits
from servo_emr.optimizer.peers import Connection, Driver, Peer
from servo_emr.optimizer.policy import Policy
from servo_emr.optimizer.search import Best, Objective, Observation, Space, Stop, Suggestion
from servo_emr.optimizer.study import Study
from servo_emr.optimizer.wire import Message
from tests.support.simclock import START

__all__ = ["APPLICATION", "DESCRIPTION", "SETTINGS", "Bench", "ListSearch"]

APPLICATION = "example.com/nightly"
PRIMARY = {"type": "enum", "pinned": True, "unit": "ec2", "value": "m5.xlarge", "values": ["m5.xlarge"]}
DESCRIPTION: dict[str, Any] = {
    "application": {
        "components": {
            "primary": {"settings": {"inst_type": PRIMARY}},
            "core": {
                "settings": {
                    "inst_type": {**PRIMARY, "pinned": False, "values": ["m5.xlarge", "c5.xlarge"]},
                    "replicas": {"type": "range", "pinned": False, "value": 2, "min": 1, "max": 6, "step": 1},
                }
            },
        }
    },
    "measurement": {"metrics": {"cost": {"unit": "USD"}, "duration": {"unit": "s"}, "billed_cost": {"unit": "USD"}}},
}


def settings(inst_type: str, replicas: int) -> dict[str, Any]:
    return {"primary.inst_type": "m5.xlarge", "core.inst_type": inst_type, "core.replicas": replicas}


SETTINGS = [settings("m5.xlarge", 2), settings("c5.xlarge", 2), settings("c5.xlarge", 4), settings("m5.xlarge", 6)]


class ListSearch:
    """Suggests SETTINGS in their order, then the best once more. `deadline_s` goes with all but the first."""

    def __init__(self, order: Sequence[Mapping[str, Any]] = SETTINGS, deadline_s: float | None = None) -> None:
        self._order, self._deadline_s = order, deadline_s
        self.asked: list[Sequence[Observation]] = []

    def suggest(self, observations: Sequence[Observation]) -> Suggestion | Stop:
        self.asked.append(observations)
        gone = [dict(one.settings) for one in observations if one.outcome != "failed"]
        left = [one for one in self._order if one not in gone]
        if left:
            first = dict(left[0]) == dict(self._order[0])
            bound = None if first else self._deadline_s
            return Suggestion(
                left[0], "baseline" if first else "explore", "It is next.", bound, 600.0, 0.5, expected_gain_usd=0.1
            )
        return self.confirm(observations) or Stop("All of it was tried.", 0.01)

    def confirm(self, observations: Sequence[Observation]) -> Suggestion | None:
        best = self.best(observations)
        return None if best is None or best.confirmed else Suggestion(best.settings, "confirm", "Once more.")

    def best(self, observations: Sequence[Observation]) -> Best | None:
        done = [one for one in observations if one.outcome == "done"]
        if not done:
            return None
        least = min(done, key=lambda one: one.cost_usd or 0.0)
        same = [one for one in done if one.settings == least.settings]
        assert least.duration_s is not None
        return Best(least.settings, least.duration_s, least.cost_usd, len(same) > 1, len(same))


class Bench:
    """A flow over a study in memory. `time` is its clock; `open_connections` are those of servos that live."""

    def __init__(
        self,
        search: ListSearch | None = None,
        limits: Limits | None = None,
        objective: Objective | None = None,
        recheck_s: float = 3600.0,
        storage: BaseStorage | None = None,
        make: Callable[[Space, int], Any] | None = None,
    ) -> None:
        self.storage = (
            storage or InMemoryStorage()
        )  # a disk is slow; what is in a file is the study's own tests' business
        self.time = START
        self.open_connections: set[Connection] = set()
        self.search = search or ListSearch()
        self._make = make or (lambda space, seed: self.search)
        self._uids = (f"u{number}" for number in itertools.count(1))
        self._wanted = (objective or Objective(), limits, recheck_s)
        self.flow = self.opened()

    def opened(self) -> Flow:
        """The same study in another process."""
        objective, limits, recheck_s = self._wanted
        policy = Policy(Study(self.storage, APPLICATION), objective, self._make, lambda: self.time, limits, recheck_s)
        driver = Driver(lambda: self.time, lambda connection: connection in self.open_connections)
        return Flow(policy, driver, lambda: self.time, lambda: next(self._uids))

    def reopen(self) -> None:
        """kill -9, and another start."""
        self.flow = self.opened()

    def post(self, event: str, peer: Peer | None = None, **param: Any) -> dict[str, Any]:
        """One message; what is answered."""
        return dict(self.flow.answer(Message(event, param), peer or Peer(None, None)))

    def next(self) -> dict[str, Any]:
        return self.post("WHATS_NEXT")

    def describe(self, description: Mapping[str, Any] = DESCRIPTION) -> None:
        """HELLO and DESCRIBE."""
        self.post("HELLO")
        command = self.next()
        assert command["cmd"] == "DESCRIBE", command
        self.post("DESCRIPTION", status="ok", descriptor=description, cmd_uid=command["cmd_uid"])

    def adjusted(self) -> dict[str, Any]:
        """Answers the ADJUST that comes next as a servo does; the command after it."""
        command = self.next()
        assert command["cmd"] == "ADJUST", command
        self.post("ADJUSTMENT", status="ok", state=state_after(command), cmd_uid=command["cmd_uid"])
        return self.next()

    def measured(self, cost: float, duration: float = 1000.0, sha: str = "a", **notes: str) -> None:
        """One whole trial."""
        self.answer(self.adjusted(), cost, duration, sha, **notes)

    def answer(
        self, command: Mapping[str, Any], cost: float, duration: float = 1000.0, sha: str = "a", **notes: str
    ) -> None:
        """The result of a MEASURE."""
        assert command["cmd"] == "MEASURE", command
        values = {"cost": cost, "duration": duration, "billed_cost": cost}
        self.post(
            "MEASUREMENT",
            status="ok",
            reason="success",
            metrics={name: {"unit": "", "value": value} for name, value in values.items()},
            annotations={"run_id": f"run-{command['cmd_uid']}", "notebook_sha256": sha, **notes},
            cmd_uid=command["cmd_uid"],
        )

    def failed(self, reason: str, usd: float = 0.0, seconds: float | None = None, status: str = "failed") -> None:
        """One trial whose measurement ends so."""
        command = self.adjusted()
        self.fail(command, reason, usd, seconds, status)

    def fail(
        self,
        command: Mapping[str, Any],
        reason: str,
        usd: float = 0.0,
        seconds: float | None = None,
        status: str = "failed",
    ) -> None:
        event = {"ADJUST": "ADJUSTMENT", "MEASURE": "MEASUREMENT"}[command["cmd"]]
        run = f"run-{command['cmd_uid']}" if event == "MEASUREMENT" else "none"
        took = "none" if seconds is None else f"{seconds:.3f}"
        message = f"{reason}: something\nrun={run} cost_usd={usd:.4f} duration_s={took}"
        self.post(event, status=status, reason=reason, message=message, cmd_uid=command["cmd_uid"])

    @property
    def states(self) -> list[str]:
        return [trial.outcome.state if trial.outcome else "asked" for trial in self.flow.study.trials]

    def until(self, stop: Callable[[Mapping[str, Any]], bool], most: int = 60) -> dict[str, Any]:
        """Every trial is measured, the cost 1 USD less a hundredth for each letter of its settings, until `stop`."""
        for _ in range(most):
            command = self.next()
            if stop(command):
                return command
            if command["cmd"] == "DESCRIBE":
                self.post("DESCRIPTION", status="ok", descriptor=DESCRIPTION, cmd_uid=command["cmd_uid"])
            elif command["cmd"] == "ADJUST":
                self.post("ADJUSTMENT", status="ok", state=state_after(command), cmd_uid=command["cmd_uid"])
            elif command["cmd"] == "MEASURE":
                trial = self.flow.study.running
                assert trial is not None
                self.answer(command, 1.0 - 0.1 * SETTINGS.index(dict(trial.plan.settings)))
        raise AssertionError(f"after {most} commands still none that stops: {command}")


def state_after(command: Mapping[str, Any]) -> dict[str, Any]:
    """The description after an adjustment."""
    state = copy.deepcopy(DESCRIPTION)
    for selector, value in values_of(command["param"]["state"]).items():
        component, _, name = selector.partition(".")
        state["application"]["components"][component]["settings"][name]["value"] = value
    return state
