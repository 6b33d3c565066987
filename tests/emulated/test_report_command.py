"""`servo-emr report` on a workspace in the emulator's S3, as a person calls it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from servo_emr.aws.door import Door
from servo_emr.aws.workspace import S3Workspace
from servo_emr.domain.run import RunRecord
from tests.support.emulator import EmulatorProcess
from tests.support.history import history

LAW: tuple[str, ...] = ()
SERVO_YAML = """
emr:
  region: us-east-1
  workspace: s3://acme-servo/{prefix}
  job: {{notebook: s3://acme-servo/etl.ipynb, timeout: 2h}}
  cluster: {{release_label: emr-7.1.0}}
  components:
    primary: {{inst_type: {{values: [m5.xlarge], value: m5.xlarge, pinned: true}}}}
    core:
      inst_type: {{values: [m5.xlarge, c5.xlarge], value: m5.xlarge}}
      replicas: {{min: 2, max: 12, value: 4}}
"""


@pytest.fixture
def env(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in emulator.env.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **emulator.env}


def keep(prefix: str, records: Sequence[RunRecord]) -> None:
    """Puts records into a workspace, as the servo does."""

    async def write() -> None:
        workspace = S3Workspace(Door("us-east-1"), f"s3://acme-servo/{prefix}")
        for record in records:
            await workspace.save(record, None)

    asyncio.run(write())


def called(
    folder: Path, prefix: str, env: dict[str, str], *words: str, before: str = ""
) -> subprocess.CompletedProcess[str]:
    """The command in a folder with its servo.yaml; `before` is a line of Python that its process runs first."""
    (folder / "servo.yaml").write_text(SERVO_YAML.format(prefix=prefix))
    program = f"{before}\nimport sys; sys.argv[0] = 'servo-emr'; from servo_emr.cli.main import run; run()"
    command = [sys.executable, "-c", program, "report", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_the_report_of_a_workspace_is_written_and_summed_up(env: dict[str, str], tmp_path: Path) -> None:
    records = history(5)
    keep("five", records)
    ran = called(tmp_path, "five", env, "-o", "json", "--output", "five.html")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["file"], told["runs"], told["emulated"]) == ("five.html", 5, True), "the workspace is an emulator's"
    assert told["bytes"] == (tmp_path / "five.html").stat().st_size
    assert told["baseline"]["settings"]["core.replicas"] == 4
    page = (tmp_path / "five.html").read_text()
    assert all(f'id="run-{record.run_id}"' in page for record in records)
    assert "<title>EMULATED: etl.ipynb" in page


def test_for_people_the_file_is_named_and_what_it_says_told_beside_it(env: dict[str, str], tmp_path: Path) -> None:
    keep("one", history(1))
    ran = called(tmp_path, "one", env)
    assert (ran.returncode, ran.stdout) == (0, "report.html\n")
    assert ran.stderr.startswith(
        "EMULATED: none of these figures is Amazon's. Cheapest: core.inst_type=m5.xlarge, core"
    )
    assert "1 run, 0 failures, $0." in ran.stderr


def test_without_a_run_there_is_no_report_and_what_to_do_is_said(env: dict[str, str], tmp_path: Path) -> None:
    ran = called(tmp_path, "none", env, "-o", "json")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "There is no run in s3://acme-servo/none to report. `servo-emr cycle`" in ran.stderr
    assert not (tmp_path / "report.html").exists()


def test_a_record_that_cannot_be_read_is_left_out_and_told_on_the_page(
    env: dict[str, str], emulator: EmulatorProcess, tmp_path: Path
) -> None:
    keep("torn", history(2))
    key = "torn/records/dt=2026-11-18/20261118t120000-00000001.json"
    emulator.client("s3").put_object(Bucket="acme-servo", Key=key, Body=b'{"schema": 1, "run_')
    ran = called(tmp_path, "torn", env, "-o", "json")
    assert json.loads(ran.stdout)["unreadable"] == 1
    assert key in ran.stderr
    assert key in (tmp_path / "report.html").read_text()


def test_a_file_that_cannot_be_written_is_wrong_usage_and_named(env: dict[str, str], tmp_path: Path) -> None:
    keep("unwritable", history(1))
    ran = called(tmp_path, "unwritable", env, "--output", "nowhere/report.html")
    assert ran.returncode == 2, ran.stderr
    assert "--output nowhere/report.html: No such file or directory" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["servo.yaml"]


def test_without_its_extra_the_command_names_the_line_that_installs_it(env: dict[str, str], tmp_path: Path) -> None:
    keep("bare", history(1))
    ran = called(tmp_path, "bare", env, before="import sys; sys.modules['jinja2'] = None")
    assert ran.returncode == 2
    assert "pip install 'servo-emr[report]'" in ran.stderr
    assert not (tmp_path / "report.html").exists()
