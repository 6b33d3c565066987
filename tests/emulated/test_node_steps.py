"""Steps on a cluster's node: scripts by script-runner, several at once, cancelled trees, and their logs."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, job_flow

BUCKET = "acme-steps"
LOGS = f"s3://{BUCKET}/logs"
PATIENCE = 60.0  # real seconds: a bound on a hang, no expectation


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--model", "a=100,b=0,c=0,d=0", "--noise", "0") as process:
        process.client("s3").create_bucket(Bucket=BUCKET)
        yield process


def run(emulator: EmulatorProcess, *steps: dict[str, Any], **more: Any) -> str:
    """The id of a new cluster with these steps, in whose logs one can look."""
    return str(emulator.client("emr").run_job_flow(**job_flow(*steps, LogUri=LOGS, **more))["JobFlowId"])


def steps_of(emulator: EmulatorProcess, cluster_id: str) -> list[dict[str, Any]]:
    """In the order in which they were added."""
    return list(emulator.client("emr").list_steps(ClusterId=cluster_id)["Steps"])[::-1]


def states(emulator: EmulatorProcess, cluster_id: str) -> list[str]:
    return [step["Status"]["State"] for step in steps_of(emulator, cluster_id)]


def log(emulator: EmulatorProcess, cluster_id: str, step_id: str, name: str) -> bytes:
    """A log object as it lies in S3."""
    key = f"logs/{cluster_id}/steps/{step_id}/{name}.gz"
    return bytes(emulator.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())


def written(path: Path) -> str:
    """The text of a file that a step is about to write, whole lines only."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text(encoding="utf-8")).endswith("\n"):
            return text
        time.sleep(0.02)
    raise AssertionError(f"{path.name} was not written")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize(
    "jar", ["script-runner.jar", "s3://us-east-1.elasticmapreduce/libs/script-runner/script-runner.jar"]
)
def test_a_script_in_s3_is_run_with_its_arguments(emulator: EmulatorProcess, jar: str) -> None:
    script = b'#!/bin/bash\necho "$# $1 $2"; /usr/bin/python3 -c "import sys; print(sys.prefix)"; exit 4\n'
    emulator.client("s3").put_object(Bucket=BUCKET, Key="job.sh", Body=script)
    arguments = [f"s3://{BUCKET}/job.sh", "a b", "/home/hadoop/c"]
    step = {"Name": "script", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": jar, "Args": arguments}}
    cluster_id = run(emulator, step)
    emulator.advance(1000)
    [ended] = steps_of(emulator, cluster_id)
    assert ended["Status"]["State"] == "FAILED"
    assert ended["Status"]["FailureDetails"]["Message"] == "exit status 4"
    said, prefix = gzip.decompress(log(emulator, cluster_id, ended["Id"], "stdout")).decode().splitlines()
    node = prefix.removesuffix("/python")
    assert prefix != node and said == f"2 a b {node}/home/c"


def test_the_controller_log_says_what_ran_when_and_how_it_ended(emulator: EmulatorProcess) -> None:
    cluster_id = run(emulator, command("bash", "-c", "exit 3", action="CONTINUE"), command("true"))
    emulator.advance(1000)
    failed, good = steps_of(emulator, cluster_id)
    texts = [
        gzip.decompress(log(emulator, cluster_id, step["Id"], "controller")).decode().splitlines()
        for step in (failed, good)
    ]
    began = failed["Status"]["Timeline"]["StartDateTime"].timestamp()
    assert [line.partition(" ")[2] for line in texts[0]] == [
        f"INFO Emulated step 1 of cluster {cluster_id}: {failed['Id']}",
        "INFO startExec 'command-runner.jar bash -c 'exit 3''",
        "INFO Process of the step: exit status 3",
        "WARN exit status 3",
        "WARN Step failed with exitCode 3 and took 100 seconds",
    ]
    stamps = [line.partition(" ")[0] for line in texts[0]]
    assert stamps[0] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began)) + stamps[0][19:]
    assert stamps[0] < stamps[-1] and stamps[-1].endswith("Z")
    assert texts[1][-1].endswith("INFO Step succeeded with exitCode 0 and took 100 seconds")


def test_steps_that_run_at_once_keep_out_of_each_others_way(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """Each waits for the other's mark: one after the other they would never end."""
    program = (
        "import os, pathlib, sys, time\n"
        "mine, other = sys.argv[1:]\n"
        "pathlib.Path('name').write_text(mine)\n"
        "pathlib.Path(mine).touch()\n"
        "while not pathlib.Path(other).exists():\n"
        "    time.sleep(0.02)\n"
        "print(os.getcwd(), pathlib.Path('name').read_text())\n"
    )
    marks = [str(tmp_path / name) for name in ("one", "two")]
    steps = [command("python3", "-c", program, *order, action="CONTINUE") for order in (marks, marks[::-1])]
    cluster_id = run(emulator, *steps, StepConcurrencyLevel=2)
    emulator.advance(1000)
    assert states(emulator, cluster_id) == ["COMPLETED", "COMPLETED"]
    ids = [step["Id"] for step in steps_of(emulator, cluster_id)]
    said = [gzip.decompress(log(emulator, cluster_id, step_id, "stdout")).decode().split() for step_id in ids]
    assert [name for _, name in said] == marks
    assert [folder.rpartition("/")[2] for folder, _ in said] == ids


FAMILY = """
import os, subprocess, sys, time
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(sys.argv[1], "a") as file:
                print(os.getpid(), file=file)
            time.sleep(1000)
        os._exit(0)
daemon()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
with open(sys.argv[1], "a") as file:
    print(child.pid, os.getpid(), file=file)
time.sleep(1000)
"""


def test_a_cancelled_step_dies_with_all_that_it_started_and_no_other_does(
    emulator: EmulatorProcess, tmp_path: Path
) -> None:
    emr = emulator.client("emr")
    files = [tmp_path / "cancelled", tmp_path / "other"]
    steps = [command("python3", "-c", FAMILY, str(path), action="CONTINUE") for path in files]
    cluster_id = run(emulator, *steps, StepConcurrencyLevel=2)
    while states(emulator, cluster_id) != ["RUNNING", "RUNNING"]:
        emulator.advance(20)
    deadline = time.monotonic() + PATIENCE
    while any(len(written(path).split()) < 3 for path in files):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    cancelled, others = ([int(word) for word in path.read_text().split()] for path in files)
    assert all(alive(pid) for pid in [*cancelled, *others])
    step_id = steps_of(emulator, cluster_id)[0]["Id"]
    emr.cancel_steps(ClusterId=cluster_id, StepIds=[step_id], StepCancellationOption="TERMINATE_PROCESS")
    emulator.advance(10)
    assert states(emulator, cluster_id) == ["CANCELLED", "RUNNING"]
    assert not any(alive(pid) for pid in cancelled)
    assert all(alive(pid) for pid in others)
    emr.terminate_job_flows(JobFlowIds=[cluster_id])
    emulator.advance(200)
    assert not any(alive(pid) for pid in others)
    text = gzip.decompress(log(emulator, cluster_id, step_id, "controller")).decode()
    assert "WARN Step is CANCELLED and took" in text


def test_logs_come_five_minutes_late_and_can_be_cut_short(emulator: EmulatorProcess) -> None:
    s3 = emulator.client("s3")
    faults = [{"kind": "logs", "keep": 0.5, "occurrence": 1}]
    httpx.post(f"{emulator.url}/_emulator/faults", json=faults, trust_env=False).raise_for_status()
    talk = command("python3", "-c", "import random; print(random.randbytes(999).hex())", action="CONTINUE")
    cluster_id = run(emulator, talk, talk, instances={"KeepJobFlowAliveWhenNoSteps": True})
    while states(emulator, cluster_id) != ["COMPLETED", "COMPLETED"]:
        emulator.advance(20)
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"logs/{cluster_id}/")
    emulator.advance(300)
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"logs/{cluster_id}/")["Contents"]]
    ids = [step["Id"] for step in steps_of(emulator, cluster_id)]
    names = ["controller", "stderr", "stdout", "syslog"]
    assert keys == sorted(f"logs/{cluster_id}/steps/{step_id}/{name}.gz" for step_id in ids for name in names)
    cut, whole = (log(emulator, cluster_id, step_id, "stdout") for step_id in ids)
    assert len(gzip.decompress(whole)) == 1999
    with pytest.raises(EOFError):
        gzip.decompress(cut)
    assert 0 < len(zlib.decompressobj(wbits=31).decompress(cut)) < 1999
    httpx.post(f"{emulator.url}/_emulator/faults", json=[], trust_env=False).raise_for_status()
    emulator.client("emr").terminate_job_flows(JobFlowIds=[cluster_id])
    emulator.advance(200)
    assert json.loads(httpx.get(f"{emulator.url}/_emulator/faults", trust_env=False).text) == []
