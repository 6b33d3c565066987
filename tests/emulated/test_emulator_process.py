"""The emulator as a process: what it says, what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import gzip
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import typer
from botocore.exceptions import BotoCoreError
from typer.testing import CliRunner

from servo_emr.cli.emulator import emulator
from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, group, job_flow

PATIENCE = 60.0  # real seconds: a bound on a hang, no expectation


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def gone(pid: int) -> bool:
    """Whether no live process has this pid; a zombie is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second if it goes between the opening and the reading
        return True


def run_step(process: EmulatorProcess, pids: Path) -> list[int]:
    """Starts a step that never ends, with a child in a session of its own; the pids of both."""
    script = f"setsid sleep 1000 & echo $! $$ > {pids}; wait"
    process.client("emr").run_job_flow(**job_flow(command("bash", "-c", script)))
    process.advance(500)
    assert eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    return [int(word) for word in pids.read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_all_processes_and_folders(tmp_path: Path, number: signal.Signals) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with EmulatorProcess("--model", "a=10000", environment={"TMPDIR": str(scratch)}) as process:
        running = run_step(process, tmp_path / "pids")
        assert list(scratch.iterdir()), "it works in a folder of its own"
        process.process.send_signal(number)
        assert process.process.wait(PATIENCE) == 0
        assert all(gone(pid) for pid in running)
        assert list(scratch.iterdir()) == []
        assert "Traceback" not in process.stderr


def test_clients_that_ask_while_it_ends_are_no_defect() -> None:
    with EmulatorProcess() as process:
        emr = process.client("emr")
        cluster = emr.run_job_flow(**job_flow())["JobFlowId"]
        refused = threading.Event()

        def poll() -> None:
            with contextlib.suppress(BotoCoreError):
                while True:
                    emr.describe_cluster(ClusterId=cluster)
            refused.set()

        threads = [threading.Thread(target=poll) for _ in range(4)]
        for thread in threads:
            thread.start()
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(PATIENCE) == 0
        for thread in threads:
            thread.join(PATIENCE)
        assert refused.is_set() and "Traceback" not in process.stderr


def test_killed_without_warning_it_leaves_neither_processes_nor_folders(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with EmulatorProcess("--model", "a=10000", environment={"TMPDIR": str(scratch)}) as process:
        running = run_step(process, tmp_path / "pids")
        process.process.kill()
        assert process.process.wait(PATIENCE) == -signal.SIGKILL
        assert eventually(lambda: list(scratch.iterdir()) == [])
        assert all(gone(pid) for pid in running)
        assert "Traceback" not in process.stderr


def test_it_ends_with_its_parent_when_asked_to(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "servo_emr.cli", "emulator", "--port", "0", "--with-parent"]
    program = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen({words!r}, stdout=subprocess.PIPE, text=True)\n"
        "print(p.pid, p.stdout.readline().split()[-1], flush=True)\n"
        "time.sleep(1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, url = parent.stdout.readline().split()
        assert url.startswith("http://127.0.0.1:") and not gone(int(pid))
        parent.kill()
    assert eventually(lambda: gone(int(pid)))


def test_it_says_what_it_is_and_data_is_there_when_it_listens(tmp_path: Path) -> None:
    folder = tmp_path / "input" / "dt=2026-01-01"
    folder.mkdir(parents=True)
    (folder / "part.csv").write_text("1,2\n")
    seeds = [f"s3://acme-data/in={tmp_path / 'input'}", f"s3://acme-data/at/day=1={folder}", f"s3://acme-root={folder}"]
    with EmulatorProcess("--seed", "tea", data=seeds) as process:
        s3 = process.client("s3")
        keys = {
            bucket: [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
            for bucket in ("acme-data", "acme-root")
        }
        body = s3.get_object(Bucket="acme-root", Key="part.csv")["Body"].read()
        said = process.stderr
    assert keys == {"acme-data": ["at/day=1/part.csv", "in/dt=2026-01-01/part.csv"], "acme-root": ["part.csv"]}
    assert body == b"1,2\n"
    assert "EMULATOR" in said and "no figure from it is AWS's" in said
    assert "with the rights of whoever started this" in said
    assert "follow a model" in said and "Seed tea" in said


def test_listening_elsewhere_it_warns_and_takes_requests_for_that_address() -> None:
    with EmulatorProcess("--host", "0.0.0.0") as process:
        assert process.url.startswith("http://127.0.0.1:")
        port = int(process.url.rpartition(":")[2])
        statuses = [
            httpx.get(f"{process.url}/_emulator/clock", headers={"Host": host}, trust_env=False).status_code
            for host in (f"127.0.0.1:{port}", f"192.0.2.7:{port}", socket.gethostname(), "rebound.example.com")
        ]
        said = process.stderr
    assert statuses == [200, 200, 200, 403]
    assert "WARNING: it listens on 0.0.0.0" in said and "run any program with your rights" in said


def test_what_is_not_executed_takes_the_time_of_the_table_or_fails(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    table.write_text(
        "workload,instance_type,node_count,completed,elapsed_seconds\n"
        "sort,m5.xlarge,2,1,600.5\nsort,m5.xlarge,3,0,7200\njoin,m5.xlarge,2,1,50\n"
    )
    touched = tmp_path / "touched"
    with EmulatorProcess("--no-execute", durations=f"replay:{table}#workload=sort") as process:
        emr, s3 = process.client("emr"), process.client("s3")
        s3.create_bucket(Bucket="acme-logs")
        groups = [[group("MASTER", 1), group("CORE", count)] for count in (2, 3, 4)]
        bootstraps = [{"Name": "b", "ScriptBootstrapAction": {"Path": "s3://nowhere/b.sh"}}]
        ids = [
            emr.run_job_flow(
                **job_flow(
                    command("touch", str(touched), action="CONTINUE"),
                    instances={"InstanceGroups": nodes},
                    BootstrapActions=bootstraps,
                    LogUri="s3://acme-logs",
                )
            )["JobFlowId"]
            for nodes in groups
        ]
        process.advance(10_000)
        steps = [emr.list_steps(ClusterId=cluster_id)["Steps"][0] for cluster_id in ids]
        log = s3.get_object(Bucket="acme-logs", Key=f"{ids[0]}/steps/{steps[0]['Id']}/controller.gz")["Body"].read()
        assert "not executed" in process.stderr and "replayed from runs.csv (workload=sort)" in process.stderr
    assert [step["Status"]["State"] for step in steps] == ["COMPLETED", "FAILED", "FAILED"]
    lines = [step["Status"]["Timeline"] for step in steps]
    took = [(line["EndDateTime"] - line["StartDateTime"]).total_seconds() for line in lines]
    assert took == pytest.approx([600.5, 7200, 0], abs=0.002)
    messages = [step["Status"]["FailureDetails"]["Message"] for step in steps[1:]]
    assert "did not complete on 3 x m5.xlarge: runs.csv (workload=sort), line 3" in messages[0]
    assert "No runtime of 4 x m5.xlarge" in messages[1]
    controller = gzip.decompress(log).decode()
    assert "not executed" in controller and "succeeded with exitCode 0 and took 600 seconds" in controller
    assert not touched.exists()


def refused(*options: str) -> tuple[int, str]:
    """(exit status, standard error) of an emulator that does not start."""
    app = typer.Typer()
    app.command()(emulator)
    ended = CliRunner(mix_stderr=False).invoke(app, options)
    assert ended.stdout == ""
    return ended.exit_code, ended.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "s3://acme-data/x=/no/such/folder"], "/no/such/folder"),
        (["--data", "acme-data"], "s3://BUCKET/PREFIX=FOLDER"),
        (["--data", "s3:///x=/tmp"], "s3://BUCKET/PREFIX=FOLDER"),
        (["--durations", "guess"], "--durations guess: wall, model or replay:FILE"),
        (["--durations", "replay:"], "--durations replay:: wall, model or replay:FILE"),
        (["--durations", "replay:/no/such.csv"], "--durations replay:/no/such.csv: cannot be read: No such file"),
        (["--durations", "model", "--model", "z=1"], "'z=1'"),
        (["--model", "a=1"], "--model a=1: means nothing without --durations model"),
        (["--noise", "0.1"], "--noise 0.1: is the law's"),
        (["--no-execute"], "--no-execute: means nothing with --durations wall"),
        (["--process-cap", "5m"], "--process-cap 5m: means nothing with --durations wall"),
        (["--durations", "model", "--no-execute", "--process-cap", "5m"], "means nothing with --no-execute"),
        (["--host", "example.com"], "--host example.com: an IPv4 address"),
        (["--faults", "/no/such.yaml"], "/no/such.yaml: cannot be read: No such file"),
        (["--prices", "/no/such.csv"], "/no/such.csv: the price list cannot be read"),
        (["--spot-prices", "/no/such.csv"], "/no/such.csv: the spot prices cannot be read"),
        (["--quotas", "/no/such.yaml"], "/no/such.yaml: the quotas cannot be read"),
        (["--speed", "-1"], "--speed -1.0"),
        (["--speed", "1e9"], "--speed 1000000000.0: 0 to 1e+06"),
        (["--durations", "model", "--noise", "nan"], "--noise nan"),
        (["--durations", "model", "--process-cap", "soon"], "--process-cap soon"),
        (["--port", "70000"], "--port 70000"),
        (["--cores", "0"], "--cores 0"),
    ],
)
def test_a_wrong_option_is_one_clear_message(options: list[str], words: str) -> None:
    status, said = refused(*options)
    assert status == 2
    assert words in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("--faults", "- {kind: flood}\n", "flood"),
        ("--faults", "- [\n", "line 2"),
        ("--prices", "type,price\n", "line 1"),
    ],
)
def test_a_wrong_file_is_one_clear_message(tmp_path: Path, option: str, text: str, words: str) -> None:
    path = tmp_path / "given"
    path.write_text(text)
    status, said = refused(option, str(path))
    assert status == 2
    assert str(path) in said and words in said
    assert len(said.strip().splitlines()) == 1


def test_an_option_that_does_not_exist_is_named() -> None:
    status, said = refused("--sped", "2")
    assert status == 2
    assert "--sped" in said


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = refused("--port", str(port))
    assert status == 1
    assert said.strip().splitlines() == [
        f"servo-emr emulator: the emulator cannot listen on 127.0.0.1:{port}: Address already in use; "
        "choose another --port, or 0"
    ]


def test_an_address_of_another_machine_is_named() -> None:
    status, said = refused("--host", "192.0.2.7", "--port", "8123")
    assert status == 1
    assert "cannot listen on 192.0.2.7:8123: Cannot assign requested address" in said and "another --host" in said


def test_a_bucket_name_that_s3_refuses_is_named(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    status, said = refused("--data", f"s3://No/x={tmp_path}")
    assert status == 2
    assert "'No'" in said and len(said.strip().splitlines()) == 1
    assert signal.getsignal(signal.SIGTERM) is handler
