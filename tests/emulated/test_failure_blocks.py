"""Every reason of the closed list, provoked on the emulator: the failure block that a person then reads.

The texts are in tests/golden/failures; GOLDEN=write writes them anew, `tools/failure_guide.py` then carries them
into docs/failures.md. Ids, times and dollars are replaced: they differ from run to run.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import loguru
import pytest
import servo
import servo.errors

import servo_emr
from servo_emr.config import EMRConfiguration
from servo_emr.connector import EMRConnector
from servo_emr.domain.errors import Reason, Verdict
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.failure_block import failure_of
from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook
from tests.support.samples import notebook, result_json
from tests.support.servo import PATIENCE, configuration
from tests.support.stride import StrideClock

GOLDEN = Path(__file__).parents[1] / "golden" / "failures"
TABLE = Path(servo_emr.__file__).parent / "pricing" / "us-east-1.csv"
LAW = ("--no-execute", "--model", "a=300,b=0,c=0,d=0", "--noise", "0", "--seed", "blocks", "--prices", str(TABLE))
SPEED = 0.0
CELL = {"cell_index": 2, "ename": "KeyError", "evalue": "'customer'"}
TRACEBACK = """\x1b[31mTraceback (most recent call last):\x1b[0m
  Cell In[2], line 1
    rows['customer']
KeyError: 'customer'
"""


@dataclass(frozen=True)
class Case:
    """One way to fail.

    changes: of servo.yaml. faults: of the emulator. result: what the job leaves as result.json, None for nothing.
    adjust: a setting and its value, made first. failed_before: records of failed runs that are there already.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    result: Mapping[str, Any] | None = None
    adjust: tuple[str, str, Any] | None = None
    metrics: tuple[str, ...] = ()
    userdata: Mapping[str, Any] | None = None
    failed_before: int = 0
    driven: bool = False
    stopped: bool = False


def fault(kind: str, **keys: Any) -> tuple[dict[str, Any], ...]:
    return ({"kind": kind, **keys},)


CASES: dict[Reason, Case] = {
    Reason.UNKNOWN_SETTING: Case(adjust=("core", "replica", 2)),
    Reason.OUT_OF_BOUNDS: Case(adjust=("core", "replicas", 99)),
    Reason.LIMITS: Case({"limits.nodes": 4}, adjust=("core", "replicas", 6)),
    Reason.TYPE_UNSUPPORTED: Case(
        {"components.core.inst_type.values": ["m5.xlarge", "z9.huge"]}, adjust=("core", "inst_type", "z9.huge")
    ),
    Reason.OUT_OF_MEMORY: Case(
        result={"status": "failed", "kernel_died": True, "kernel_exit": -9, "cell_index": 2, "ename": "DeadKernelError"}
    ),
    Reason.JOB_TIMEOUT: Case(result={"status": "timeout", "cell_index": 2}),
    Reason.COST_CEILING: Case({"limits.cost_per_run": 0.15}),
    Reason.CAPACITY: Case({"limits.provisioning": "10m"}, fault("no-capacity", role="CORE")),
    Reason.QUOTA: Case(faults=fault("quota")),
    Reason.SPOT: Case(
        {"components.core.market": "spot"},
        fault(
            "end-cluster",
            phase="bootstrapping",  # there are instances by then, however long they took to come
            after=20,
            code="INTERNAL_ERROR",
            error="INTERNAL_ERROR_SPOT_PRICE_INCREASE_PRIMARY",
            message="The spot price went above the bid.",
        ),
    ),
    Reason.BOOTSTRAP: Case(faults=fault("bootstrap-failure", after=20)),
    Reason.THROTTLED: Case(faults=fault("throttle", operation="RunJobFlow")),
    Reason.ENDPOINT: Case(faults=fault("server-error", operation="RunJobFlow")),
    Reason.SERVICE_INTERNAL: Case(
        faults=fault("end-cluster", phase="provisioning", after=60, code="INTERNAL_ERROR", message="Failed to start.")
    ),
    Reason.INSTANCE_LOST: Case(faults=fault("lose-instance", role="MASTER", after=60)),
    Reason.INTERRUPTED: Case(faults=fault("user-terminates", after=60)),
    Reason.CELL_ERROR: Case(result={"status": "failed", "traceback": TRACEBACK, **CELL}),
    Reason.STEP_FAILED: Case(faults=fault("end-step", state="FAILED", after=30, message="Exit status 1")),
    Reason.NO_RESULT: Case(),
    Reason.BAD_METRIC: Case(metrics=("speed_of_light",)),
    Reason.CREDENTIALS: Case(faults=fault("access-denied", operation="RunJobFlow")),
    Reason.ROLE: Case({"cluster.service_role": "none"}),
    Reason.NETWORK: Case({"cluster.subnet_ids": ["subnet-0123456789abcdef0"]}),
    Reason.RELEASE_LABEL: Case({"cluster.release_label": "emr-7.99.0"}),
    Reason.BUCKET: Case({"workspace": "s3://no-such-bucket/nightly"}),
    Reason.NOTEBOOK: Case({"job.notebook": "gone.ipynb"}),
    Reason.PRICE: Case(
        {"components.core.inst_type": {"values": ["g4dn.xlarge"], "value": "g4dn.xlarge"}, "prices.live": False}
    ),
    Reason.USERDATA: Case(userdata={"parameters": {"typo": 1}}),
    Reason.LEASE: Case(driven=True),
    Reason.BUDGET: Case({"limits.spend_per_day": 1.0}, failed_before=1),
    Reason.BREAKER: Case(failed_before=5),
    Reason.UNRELEASED: Case({"limits.cost_per_run": 0.15}, fault("ignore-termination")),
    Reason.BUG: Case(
        faults=fault(
            "error", operation="RunJobFlow", code="ValidationException", message="Nobody has seen this before."
        )
    ),
    Reason.DEADLINE: Case(userdata={"deadline_s": 60}),
    Reason.MAX_COST: Case(userdata={"max_cost_usd": 0.15}),
    Reason.SHUTDOWN: Case(stopped=True),
}


class Jobs(StrideClock):
    """Leaves each running job's result where its node would, as the servo sleeps."""

    result: Mapping[str, Any] | None = None

    def __init__(self, emulator: EmulatorProcess, account: Account) -> None:
        super().__init__(emulator, stride=30.0)
        self._account = account
        self._left: set[str] = set()

    def now(self, until: float | None) -> float:
        if until is not None and self.result is not None:
            for cluster in self._emulator.state()["clusters"]:
                run_id = cluster["name"].rpartition(" ")[2]
                if cluster["ended"] is None and run_id not in self._left:
                    self._left.add(run_id)
                    self._leave(run_id, self.result)
        return super().now(until)

    def _leave(self, run_id: str, result: Mapping[str, Any]) -> None:
        printed = {"output_type": "stream", "name": "stdout", "text": "reading customers\n"}
        files = {
            "result.json": result_json(run_id, **{"status": "succeeded", **result}),
            "output.ipynb": notebook(printed, source="rows['customer']"),
        }
        for name, body in files.items():
            self._account["s3"].put_object(Bucket="acme-servo", Key=f"nightly/runs/{run_id}/{name}", Body=body)


@pytest.fixture(scope="module")
def clock(emulator: EmulatorProcess, account: Account) -> Iterator[Jobs]:
    with Jobs(emulator, account) as jobs:
        yield jobs


@pytest.fixture
def world(
    emulator: EmulatorProcess, account: Account, clock: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """An empty workspace, a folder with a notebook, this process's AWS pointed at the emulator."""
    for name, value in {**emulator.env, "SERVO_EMR_CLOCK": clock.url}.items():
        monkeypatch.setenv(name, value)
    for key in account.keys("s3://acme-servo/nightly"):
        account["s3"].delete_object(Bucket="acme-servo", Key=f"nightly/{key}")
    job_notebook(tmp_path / "job.ipynb")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    set_faults(emulator)
    for cluster_id in account.alive():
        account["emr"].terminate_job_flows(JobFlowIds=[cluster_id])
    emulator.advance(200)


def set_faults(emulator: EmulatorProcess, *faults: Mapping[str, Any]) -> None:
    answer = httpx.post(f"{emulator.url}/_emulator/faults", json=[dict(f) for f in faults], trust_env=False)
    assert answer.status_code == 200, answer.text


async def provoke(case: Case, account: Account) -> tuple[list[str], servo.EventError]:
    """What the log says at level ERROR, and what the optimizer hears."""
    config = EMRConfiguration.parse_obj(configuration(case.changes)["emr"])
    connector = EMRConnector(name="emr", config=config)
    logged: list[str] = []
    sink = loguru.logger.add(lambda line: logged.append(str(line)), format="{message}", level="ERROR")
    try:
        with pytest.raises(servo.errors.EventError) as caught:
            if case.adjust is not None:
                component, name, value = case.adjust
                wanted = servo.Adjustment(component_name=component, setting_name=name, value=value)
                await connector.adjust([wanted])
            control = servo.Control(userdata=None if case.userdata is None else {"emr": case.userdata})
            measuring = asyncio.ensure_future(connector.measure(metrics=list(case.metrics), control=control))
            if case.stopped:
                await stopped(connector)
            await measuring
    finally:
        loguru.logger.remove(sink)
    return logged, caught.value


async def stopped(connector: EMRConnector) -> None:
    """Stops a servo as soon as it has a cluster."""
    async with asyncio.timeout(PATIENCE):
        while "terminate-clusters" not in connector.live.measure.by_hand():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.02)
    await connector.shutdown()


def normalised(text: str) -> str:
    """The text with what differs from run to run replaced."""
    for pattern, shown in (
        (r"\d{8}t\d{6}-[0-9a-f]{8}", "RUN"),
        (r"'servo-emr [0-9a-f]{8} RUN'", "'servo-emr WORKSPACE RUN'"),
        (r"\bj-[0-9A-Z]{10,}", "j-CLUSTER"),
        (r"\bs-[0-9A-Z]{10,}", "s-STEP"),
        (r"\bi-[0-9a-f]{8,}", "i-INSTANCE"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "TIME"),
        (r"\d+\.\d{4}(?=[ ,)])", "N.NNNN"),
        (r"and took \d+ seconds", "and took N seconds"),
        (r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:PORT"),
        (r"(Traceback       of servo_emr\n    \| Traceback.*\n)(    \|   .*\n)+", r"\1    |   FRAMES\n"),
    ):
        text = re.sub(pattern, shown, text)
    return text + "\n"


def test_every_reason_but_success_is_provoked() -> None:
    assert set(CASES) == set(Reason) - {Reason.SUCCESS}
    assert {path.stem for path in GOLDEN.iterdir()} == {reason.replace("/", ".") for reason in CASES}


@pytest.mark.parametrize("reason", CASES, ids=str)
async def test_a_provoked_failure_is_told_in_one_block(
    reason: Reason, emulator: EmulatorProcess, account: Account, clock: Jobs, world: Path
) -> None:
    case = CASES[reason]
    prepare(case, account, emulator.now())
    set_faults(emulator, *case.faults)
    clock.result = case.result
    logged, told = await provoke(case, account)
    assert str(told).splitlines()[0].startswith(str(reason))
    (block,) = [line for line in logged if line.split("\n")[0].endswith(f": {reason}")]
    path = GOLDEN / f"{reason.replace('/', '.')}.txt"
    shown = normalised(block.rstrip("\n"))
    if writing():
        path.write_text(shown)
    assert shown == path.read_text()
    run_id = re.search(r"run=(\S+)", str(told))
    assert run_id is not None
    if run_id[1] != "none":  # log and record say the same
        record = RunRecord.from_json(account.record("s3://acme-servo/nightly", run_id[1]))
        assert normalised(failure_of(record) or "") == shown


def writing() -> bool:
    return os.environ.get("GOLDEN") == "write"


def prepare(case: Case, account: Account, now: float) -> None:
    """Records of runs that failed before, and a lease that somebody else holds."""
    documents: dict[str, Any] = {}
    for n in range(case.failed_before):
        run_id = time.strftime(f"%Y%m%dt%H%M0{n}-0000000{n}", time.gmtime(now))
        record = RunRecord(
            run_id,
            "cafe0123",
            now - 60,
            identity="",
            spec={},
            notebook_sha256="",
            cluster_id="j-1",
            state=RunState.VERIFIED,
            verdict=Verdict.ENVIRONMENT,
            reason="environment/internal",
            cost_so_far=3.0,
            ended_at=now - 60,
        )
        documents[f"records/dt={run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}/{run_id}"] = record.to_json()
    if case.driven:
        documents["lease"] = {
            "schema": 1,
            "holder": {"host": "far", "pid": 7, "started": "1"},
            "renewed_at": time.time() + 3600,
        }
    for name, body in documents.items():
        account["s3"].put_object(
            Bucket="acme-servo", Key=f"nightly/{name}.json", Body=json.dumps(body).encode() + b"\n"
        )
