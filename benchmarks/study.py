"""How long a study of many trials takes to open, and to answer the first WHATS_NEXT: in one process, imports left out.

    python benchmarks/study.py [--trials 1000] [--rounds 5]

The study is a SQLite file in a temporary folder. Times are of the processor, because machines are busy, and stand
beside those of an empty study in the same run. Ends with status 1 when the median passes a second.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna

from servo_emr.optimizer.flow import Flow
from servo_emr.optimizer.instances import packaged
from servo_emr.optimizer.peers import Driver, Peer
from servo_emr.optimizer.policy import Policy
from servo_emr.optimizer.search import Objective, Search
from servo_emr.optimizer.study import Study, distributions_of, new_uid
from servo_emr.optimizer.trial import Issue, Outcome, Plan
from servo_emr.optimizer.wire import Message

BAR_S = 1.0
APPLICATION = "example.com/benchmark"
SIZES = ("xlarge", "2xlarge", "4xlarge", "8xlarge")
TYPES = [f"{family}.{size}" for family in ("m5", "c5", "r5", "m6i", "c6i", "r6i") for size in SIZES]
NODES = 50


def description() -> dict[str, Any]:
    """24 types by 50 numbers of nodes: 1,200 configurations."""
    inst_type = {"type": "enum", "pinned": False, "unit": "ec2", "value": TYPES[0], "values": TYPES}
    replicas = {"type": "range", "pinned": False, "value": 2, "min": 1, "max": NODES, "step": 1}
    return {
        "application": {"components": {"core": {"settings": {"inst_type": inst_type, "replicas": replicas}}}},
        "measurement": {"metrics": {"cost": {"unit": "USD"}, "duration": {"unit": "s"}}},
    }


def filled(url: str, trials: int) -> None:
    """A study with so many measured trials, its servo described."""
    now = time.time()
    study = Study.open(url, APPLICATION)
    phase = {"name": "exploring", "first_trial": 0, "began": now}
    study.remember(descriptor=description(), phase=phase, judged=trials, seed=0)
    every = list(itertools.islice(itertools.product(TYPES, range(1, NODES + 1)), trials))
    frozen = []
    for number, (inst_type, nodes) in enumerate(every):
        settings = {"core.inst_type": inst_type, "core.replicas": nodes}
        duration = 300.0 + 20_000.0 / (nodes * (1 + TYPES.index(inst_type) % len(SIZES)))
        cost = duration * nodes * 0.0001
        plan = Plan(settings, "explore", "The dearest of what may pay.", now)
        issued = [Issue(f"{number}-a", "adjust", now), Issue(f"{number}-m", "measure", now)]
        outcome = Outcome("done", "success", now, f"{number}-m", "", f"run-{number}", duration, cost, cost)
        attributes = {
            "plan": dataclasses.asdict(plan),
            "settings": settings,
            "issued": [dataclasses.asdict(one) for one in issued],
            "outcome": {**dataclasses.asdict(outcome), "value": cost},
            "state": "done",
            "cost_usd": cost,
        }
        distributions = distributions_of(description(), settings)
        if number == 0:
            study.settle(study.ask(plan, distributions, "cost"), outcome, cost)
            continue
        frozen.append(
            optuna.trial.create_trial(params=settings, distributions=distributions, value=cost, user_attrs=attributes)
        )
    if frozen:
        optuna.load_study(study_name=APPLICATION, storage=url).add_trials(frozen)


def opened_and_asked(url: str) -> tuple[float, float, int]:
    """(seconds to open, seconds of the first WHATS_NEXT, trials), of the processor."""
    began = time.process_time()
    study = Study.open(url, APPLICATION)
    trials = len(study.trials)

    def make(space: Any, seed: int) -> Search:
        return Search(space, Objective(runs_declared=1000), None, packaged(), seed)

    flow = Flow(
        Policy(study, Objective(runs_declared=1000), make, time.time),
        Driver(time.time, lambda _: True),
        time.time,
        new_uid,
    )
    opened = time.process_time()
    command = flow.answer(Message("WHATS_NEXT", {}), Peer(None, None))
    if trials:
        # What is timed is a whole suggestion, and no shorter answer.
        asked = study.running
        assert command["cmd"] == "ADJUST" and asked is not None and asked.plan.kind == "explore", (command, asked)
    else:
        assert command["cmd"] == "DESCRIBE", command
    return opened - began, time.process_time() - opened, trials


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    medians = {}
    for trials in (0, arguments.trials):
        found = []
        with tempfile.TemporaryDirectory() as folder:
            filled(f"sqlite:///{Path(folder) / 'filled.db'}", trials)
            for number in range(arguments.rounds):
                file = Path(shutil.copy(Path(folder) / "filled.db", Path(folder) / f"{number}.db"))
                opening, answering, count = opened_and_asked(f"sqlite:///{file}")
                assert count == trials, (count, trials)
                found.append(opening + answering)
                print(
                    f"{trials:5} trials, round {number + 1}: opened in {opening:.3f} s, answered in {answering:.3f} s"
                )
        medians[trials] = statistics.median(found)
    empty, full = medians[0], medians[arguments.trials]
    print(f"median {full:.3f} s of the processor, {full / empty:.1f} times those of an empty study; bar {BAR_S:g} s")
    return int(full > BAR_S)


if __name__ == "__main__":
    sys.exit(main())
