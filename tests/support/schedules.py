"""Schedules: what a servo, its optimizer, AWS and bad luck do one after the other, drawn by hypothesis.

A `Schedule` is a stateful test on a region of its own. After every step it checks what must hold at any moment, and at
its end, when the faults are over, the whole promise. Whatever it does is a function of what was drawn.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from servo_emr.config import EMRConfiguration
from tests.support import drawn
from tests.support.hands import PARTS, Answer, Hands, Interrupt, Once, Parts, Servo, handled
from tests.support.notebooks import job_notebook
from tests.support.promise import Aftermath, Surroundings, broken
from tests.support.region import JOB_S, Region, left_by, region
from tests.support.samples import result_json
from tests.support.servo import configuration

__all__ = ["BUCKET", "ELSEWHERE", "Place", "Schedule", "place"]

BUCKET, ELSEWHERE = "acme-servo", "acme-data"
WORKSPACE = f"s3://{BUCKET}/nightly"
PROVISIONING_S, TIMEOUT_S = 1200.0, 1800.0
_CONFIGURATION = {
    "workspace": WORKSPACE,
    "cluster.log_uri": f"{WORKSPACE}/logs",
    "job.timeout": "30m",
    "limits": {"provisioning": "20m", "nodes": 6, "cost_per_hour": 1.9},
    "prices.live": False,
    "job.metrics": None,
}
MOST_COMMANDS = 2
"""In a schedule: each may launch, and most of a schedule's time is a launch's."""
_TYPES, _MOST_CORE, _MOST_NODES = {"m5.xlarge", "c5.xlarge"}, 6, 6
_LEAVINGS: Mapping[str, Any] = {
    "succeeds": left_by,
    "leaves nothing": lambda run_id: {},
    "leaves another's": lambda run_id: {**left_by(run_id), "result.json": result_json("20200101t000000-00000000")},
    "fails": lambda run_id: {**left_by(run_id), "result.json": result_json(run_id, "failed", ename="ValueError")},
    "breaks its result": lambda run_id: {**left_by(run_id), "result.json": b'{"status": "succeeded", "schema'},
}
_OTHERS = {f"s3://{BUCKET}/not-ours.csv": b"1,2\n", f"s3://{ELSEWHERE}/nightly/records/x.json": b"{}"}
_END_S = 2400.0 + 900.0 + 120.0
"""How long a cluster may take to end: the longest delay, and AWS's own time."""


@dataclass(frozen=True)
class Place:
    """Where schedules take place, one after the other."""

    region: Region
    door: Once
    config: EMRConfiguration


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """A region; the environment must say where it is: `Place.region.env`."""
    notebook = str(job_notebook(folder / "job.ipynb"))
    config = EMRConfiguration.parse_obj(configuration({**_CONFIGURATION, "job.notebook": notebook})["emr"])
    with region() as made:
        yield Place(made, Once(config.region), config)


class Schedule(RuleBasedStateMachine):
    """One schedule. `at` must be set by whoever runs it; `parts` are what its servos are made of."""

    at: ClassVar[Place]
    seen: ClassVar[Counter[str]] = Counter()
    """How many schedules there were, launches in them, outcomes by status and interruptions by what they are."""
    parts: ClassVar[Parts] = PARTS

    def __init__(self) -> None:
        super().__init__()
        random.seed(1)  # the jitter of looks
        self._stack = ExitStack()
        self.region = self.at.region
        self.region.begin_anew(BUCKET, ELSEWHERE)
        for uri, body in _OTHERS.items():
            self.region.put(uri, body)
        self.before = self.region.objects()
        self.hands: Hands = self._stack.enter_context(handled(self.region, self.at.door, self.at.config, self.parts))
        self.servo: Servo | None = None
        self.job = "succeeds"
        self.jobs: dict[str, str] = {}
        self.faulty = False
        self.hindered = 0.0
        self.uid = self.again = 0
        self.userdata: Any = None
        self.region.leave(self._leaves)

    # -- what happens

    @initialize(
        faults=st.lists(drawn.FAULTS, max_size=3),
        job=drawn.JOBS,
        userdata=drawn.LIMITS,
        interrupts=st.lists(drawn.INTERRUPTS, max_size=1),
    )
    def begins(
        self, faults: list[dict[str, Any]], job: str, userdata: Any = None, interrupts: Sequence[Interrupt] = ()
    ) -> None:
        """No schedule without a launch that is tried, and what goes wrong with it."""
        if faults or job != "succeeds":
            self.goes_wrong(faults, job)
        self.measure(userdata, interrupts)

    @rule(faults=st.lists(drawn.FAULTS, min_size=1, max_size=3), job=drawn.JOBS)
    def goes_wrong(self, faults: list[dict[str, Any]], job: str = "succeeds") -> None:
        """From now on these are the faults, and so does the job."""
        self.job = job
        self.faulty = True
        self.hindered += sum(map(drawn.lasting, faults))
        self.region.set_faults(faults)

    @rule()
    def is_mended(self) -> None:
        self.job = "succeeds"
        self.faulty = False
        self.region.set_faults([])

    @rule(settings=drawn.SETTINGS)
    def adjust(self, settings: dict[str, Any]) -> None:
        self._heard(self.hands.adjust(self._started(), settings))

    @precondition(lambda self: self.uid < MOST_COMMANDS)
    @rule(userdata=drawn.USERDATA, interrupts=st.lists(drawn.INTERRUPTS, max_size=1))
    def measure(self, userdata: Any = None, interrupts: Sequence[Interrupt] = ()) -> None:
        """A new command."""
        self.uid += 1
        self.userdata = userdata
        self._measured(userdata, interrupts)

    @precondition(lambda self: self.again < MOST_COMMANDS)
    @rule(interrupts=st.lists(drawn.INTERRUPTS, max_size=1))
    def measure_again(self, interrupts: Sequence[Interrupt] = ()) -> None:
        """The same command once more, under the uid that it had."""
        self.again += 1
        self._measured(self.userdata, interrupts)

    @rule(seconds=st.sampled_from((1.0, 20.0, 100.0, 700.0)))
    def nobody_asks(self, seconds: float) -> None:
        self.hands.pass_time(seconds)

    @rule(how=st.sampled_from(("kill", "stop")))
    def restart(self, how: str = "kill") -> None:
        if self.servo is not None and not self.servo.dead:
            (self.hands.kill if how == "kill" else self.hands.stop)(self.servo)
            self.servo = None
        self._started()

    @precondition(lambda self: self.uid < MOST_COMMANDS)
    @rule()
    def another_servo_measures(self) -> None:
        """By a one-shot command on another machine, on the same workspace."""
        other = self.hands.servo("beta")
        self.uid += 1
        self.userdata = None
        answer = self.hands.measure(other, f"cmd-{self.uid}")
        self._heard(answer)
        self._count(answer)
        self.hands.kill(other)

    # -- and what must hold

    def __init_subclass__(cls) -> None:
        cls.seen = Counter()

    def teardown(self) -> None:
        try:
            self._ends()
            self.seen.update(schedules=1, launches=len(self._clusters()))
        finally:
            self.close()

    def close(self) -> None:
        """Abandons every servo."""
        self._stack.close()

    def _ends(self) -> None:
        """The faults are over; whatever is left is ended within a bounded time."""
        self.is_mended()
        self.hands.abandon(self._started())
        self.region.advance(PROVISIONING_S + TIMEOUT_S)
        problems = [*broken(self._aftermath()), *self._too_long()]
        assert problems == [], (problems, self.hands.said[-20:])

    def _started(self) -> Servo:
        if self.servo is None or self.servo.dead:
            self.servo = self.hands.servo()
            self.hands.start(self.servo)
        return self.servo

    def _measured(self, userdata: Any, interrupts: Sequence[Interrupt]) -> None:
        driver = self._started()
        before = len(self._clusters())
        answer = self.hands.measure(driver, f"cmd-{self.uid}", userdata=userdata, interrupts=interrupts)
        self._heard(answer)
        self.seen.update(one.what for one in interrupts)
        self._count(answer)
        if currently_in_test_context():
            note(f"{answer and (answer['status'], answer.get('reason'))}, {len(driver.calls)} calls")
        if answer is not None and answer["status"] == "ok":
            self._earned(answer)
        if not self.faulty and not interrupts and self.job == "succeeds":
            self._within(userdata, before)

    def _count(self, answer: Answer | None) -> None:
        self.seen["no answer" if answer is None else answer.get("reason", "success")] += 1

    def _heard(self, answer: Answer | None) -> None:
        """What must hold as soon as an answer is there."""
        for cluster in self._clusters():
            groups = cluster.launch.groups
            assert {group.instance_type for group in groups} <= _TYPES, "a type that servo.yaml does not allow"
            assert all(group.count <= _MOST_CORE for group in groups), "more nodes than servo.yaml allows"
            assert sum(group.count for group in groups) <= _MOST_NODES, "more nodes than limits.nodes"
        if answer is None:
            return
        run = answer["annotations"]["run_id"] if answer["status"] == "ok" and "annotations" in answer else None
        if run is None and "message" in answer:
            run = answer["message"].splitlines()[-1].split()[0].removeprefix("run=")
        if answer.get("reason") != "operator/unreleased":
            alive = [c.id for c in self._clusters() if c.alive and c.launch.name.endswith(f" {run}")]
            assert alive == [], f"{answer} was given while {alive} lived: {self.hands.said[-20:]}"
        # Who was stopped, or found another servo going on with his run, names it, and answers nothing with it.
        given = answer.get("reason") not in ("shutdown", "operator/lease") and run != "none"
        for earlier in self.hands.answers if given else ():
            if run is not None and run == earlier.get("run"):
                assert earlier["cmd_uid"] == answer["cmd_uid"], f"run {run} is the answer to two commands"
            if not self.hindered and earlier.get("run") and earlier["cmd_uid"] == answer["cmd_uid"]:
                assert earlier["run"] == run, f"{answer['cmd_uid']} has two answers: {earlier['run']} and {run}"
        answer["run"] = run if given else None

    def _earned(self, answer: Answer) -> None:
        """A number is reported only where the job has run to its end, and succeeded by its own word."""
        run = answer["annotations"]["run_id"]
        assert self.jobs.get(run) == "succeeds", f"{run} is a success, and its job {self.jobs.get(run)}"
        steps = [step for c in self._clusters() if c.launch.name.endswith(run) for step in c.steps]
        assert "COMPLETED" in {step.state for step in steps}, f"{run} is a success, and its steps {steps}"
        took = [step.timeline.ended - step.timeline.began for step in steps if step.state == "COMPLETED"]
        duration = answer["metrics"]["duration"]["value"]
        assert any(math.isclose(duration, one, abs_tol=0.01) for one in took), f"{duration} is none of {took}"

    def _within(self, userdata: Any, before: int) -> None:
        """Without faults a trial's own limit bounds what it may use."""
        limit = (userdata or {}).get("deadline_s")
        for cluster in self._clusters()[before:]:
            most = 700.0 + min(JOB_S, limit if isinstance(limit, int) else JOB_S) + 2 * 300.0
            assert self._lived(cluster) <= most, f"{cluster.id} lived for {self._lived(cluster):.0f} s of {most:.0f}"

    def _too_long(self) -> list[str]:
        """Clusters that lived longer than the limits allow; what hindered the servo, and its absence, is added."""
        most = PROVISIONING_S + TIMEOUT_S + 1800.0 + _END_S + self.hindered + self.hands.undriven
        lives = {cluster.id: self._lived(cluster) for cluster in self._clusters()}
        return [f"{one} lived for {lived:.0f} s of {most:.0f}" for one, lived in lives.items() if lived > most]

    def _lived(self, cluster: Any) -> float:
        ended = cluster.timeline.ended
        return float((self.region.now() if ended is None else ended) - cluster.timeline.created)

    def _clusters(self) -> list[Any]:
        return self.region.clusters("servo-emr ")

    def _leaves(self, run_id: str) -> Mapping[str, bytes]:
        self.jobs[run_id] = self.job
        found: Mapping[str, bytes] = _LEAVINGS[self.job](run_id)
        return found

    def _aftermath(self) -> Aftermath:
        clusters = self._clusters()
        documents = {
            uri: self.region.get(uri) for uri in self.region.objects() if uri.startswith(f"{WORKSPACE}/records/")
        }
        first: dict[str, Answer] = {}
        for answer in self.hands.answers:
            first.setdefault(answer["cmd_uid"], answer)
        return Aftermath(
            workspace=WORKSPACE,
            clusters=[_summary(cluster) for cluster in clusters],
            running={
                c.id: [i.id for i in c.instances if i.state != "TERMINATED"] for c in clusters if c.timeline.ended
            },
            records={uri.rsplit("/", 1)[-1].removesuffix(".json"): body for uri, body in documents.items()},
            answers=list(first.values()),
            before=Surroundings(self.before, {}),
            objects=self.region.objects(),
            others={},
        )


def _summary(cluster: Any) -> dict[str, Any]:
    times = {"CreationDateTime": cluster.timeline.created}
    if cluster.timeline.ended is not None:
        times["EndDateTime"] = cluster.timeline.ended
    return {"Id": cluster.id, "Name": cluster.launch.name, "Status": {"State": cluster.state, "Timeline": times}}
