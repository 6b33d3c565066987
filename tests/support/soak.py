"""Cycle after cycle of one `servo run`, with a fault every tenth, and what was left after each.

The emulator is in this process and its W moves only while the servo sleeps, so that a cycle takes as long as the calls
that it makes. The servo is a process of its own: its resident memory is the servo's alone.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.notebooks import job_notebook
from tests.support.optimizer import Optimizer, adjust, measure
from tests.support.region import Region, region
from tests.support.servo import PATIENCE, ServoRun, write_configuration
from tests.support.stride import StrideClock

__all__ = ["EVERY", "FAULTS", "Cycle", "Soak", "report", "soaking"]

EVERY = 10
"""Of so many cycles the last has a fault."""
STRIDE_S = 300.0
BUCKET = "acme-soak"
WORKSPACE = f"s3://{BUCKET}/nightly"
FAULTS: Sequence[Sequence[Mapping[str, Any]]] = (
    [{"kind": "drop-reply", "operation": "RunJobFlow", "occurrence": 1}],
    [{"kind": "end-step", "state": "FAILED", "occurrence": 1}, {"kind": "logs", "keep": 0.5}],
    [{"kind": "throttle", "operation": "Describe*", "until": 600}],
    [{"kind": "lose-instance", "role": "CORE", "phase": "step", "after": 300, "interrupts": True}],
    [{"kind": "conflict", "occurrence": 1}],
    [{"kind": "user-terminates", "after": 60}],
    [{"kind": "protect"}, {"kind": "stuck", "phase": "step", "occurrence": 1}],
    [{"kind": "bootstrap-failure", "occurrence": 1}],
    [
        {"kind": "drop-reply", "operation": "RunJobFlow", "occurrence": 1},
        {"kind": "list-lag", "seconds": 400},
    ],
    [{"kind": "drop-reply", "operation": "*:*", "when": "before", "since": 700, "until": 1300}],
    [{"kind": "lose-instance", "role": "MASTER", "phase": "step", "after": 200}],
    [{"kind": "expired-credentials", "operation": "*:*", "since": 600, "until": 1500}],
    [{"kind": "no-capacity", "occurrence": 1}],
    [
        {"kind": "end-step", "state": "CANCELLED", "occurrence": 1},
        {"kind": "server-error", "operation": "TerminateJobFlows", "until": 2000},
    ],
    [{"kind": "drop-reply", "operation": "s3:PutObject", "occurrence": 4}],
    [{"kind": "delay", "phase": "terminating", "seconds": 1200}],
    [{"kind": "end-cluster", "phase": "provisioning", "code": "INTERNAL_ERROR", "after": 60, "occurrence": 1}],
    [{"kind": "server-error", "operation": "s3:GetObject", "occurrence": 3}],
)


@dataclass(frozen=True)
class Cycle:
    """One adjust and one measure: how it ended, how many calls it made, and the servo's memory in KiB after it.

    `alive`: the clusters and instances that were alive when the answer had come. `struck`: whether
    its fault met anybody.
    """

    number: int
    fault: str
    struck: bool
    status: str
    reason: str
    calls: int
    resident: int
    alive: tuple[str, ...]


class Soak:
    """One servo, asked again and again. Made by `soaking`."""

    def __init__(self, account: Region, servo: ServoRun, optimizer: Optimizer) -> None:
        self.account = account
        self.servo = servo
        self.optimizer = optimizer
        self.cycles: list[Cycle] = []

    def cycle(self) -> Cycle:
        """The next one."""
        number = len(self.cycles) + 1
        faults: Sequence[Mapping[str, Any]] = ()
        if number % EVERY == 0:
            faults = FAULTS[(number // EVERY - 1) % len(FAULTS)]
        self.account.calls()
        self._ask(adjust({"core.replicas": 1 + number % 6}))
        self.account.set_faults(faults)
        answer = self._ask(measure(["duration", "cost"]))
        struck = not self.account.unstruck()
        self.account.set_faults([])
        done = Cycle(
            number,
            " and ".join(" ".join(map(str, fault.values())) for fault in faults),
            struck,
            answer["status"],
            answer["reason"],
            self.account.calls().total(),
            resident(self.servo.process.pid),
            self._alive(),
        )
        self.cycles.append(done)
        return done

    def answers(self) -> Counter[str]:
        """How many terminal answers came, by command."""
        params = [body.param for body in self.optimizer.received()]
        return Counter(
            param["cmd_uid"]
            for param in params
            if isinstance(param, dict) and "status" in param and "progress" not in param
        )

    def _ask(self, command: Any) -> dict[str, Any]:
        try:
            return self.optimizer.result(self.optimizer.ask(command), 5 * PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}; the servo's log ends {self.servo.log[-6000:]}") from None

    def _alive(self) -> tuple[str, ...]:
        found = []
        for cluster in self.account.clusters():
            found += [cluster.id] if cluster.alive else []
            found += [one.ec2_id for one in cluster.instances if one.state != "TERMINATED"]
        return tuple(found)


def resident(pid: int) -> int:
    """KiB of a process that are in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


@contextmanager
def soaking(folder: Path) -> Iterator[Soak]:
    """A servo that is driven by an optimizer and has asked for nothing yet."""
    job_notebook(folder / "job.ipynb")
    changes = {"workspace": WORKSPACE, "cluster.log_uri": f"{WORKSPACE}/logs", "job.metrics": None}
    write_configuration(folder, changes)
    with region() as account, StrideClock(account, STRIDE_S) as clock, Optimizer() as optimizer:
        account.begin_anew(BUCKET)
        with ServoRun(folder, optimizer.url, {**account.env, "SERVO_EMR_CLOCK": clock.url}) as servo:
            yield Soak(account, servo, optimizer)


def report(cycles: Sequence[Cycle], seconds: float) -> dict[str, Any]:
    """What a soak has shown, as JSON values."""
    plain = [cycle for cycle in cycles if not cycle.fault]
    window = min(50, len(plain) // 3)
    return {
        "cycles": len(cycles),
        "faults": len(cycles) - len(plain),
        "seconds": round(seconds),
        "faults that met nobody": [(cycle.number, cycle.fault) for cycle in cycles if not cycle.struck],
        "leaks": [(cycle.number, cycle.alive) for cycle in cycles if cycle.alive],
        "outcomes": Counter(f"{cycle.status} {cycle.reason}" for cycle in cycles),
        "outcomes without a fault": Counter(f"{cycle.status} {cycle.reason}" for cycle in plain),
        "no success without a fault": [(cycle.number, cycle.reason) for cycle in plain if cycle.status != "ok"],
        "resident KiB": {
            cycle.number: cycle.resident for cycle in cycles if cycle.number in (10, 30) or cycle.number % 50 == 0
        },
        "calls a cycle": {
            "first": statistics.median(cycle.calls for cycle in plain[3 : 3 + window]),
            "last": statistics.median(cycle.calls for cycle in plain[-window:]),
            "most": max(cycle.calls for cycle in plain),
        },
    }
