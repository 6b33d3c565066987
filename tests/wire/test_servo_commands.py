"""servox's own one-shot commands with our connector: what a person at a terminal sees."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from servo_emr import __version__
from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook
from tests.support.servo import command, configuration, write_configuration

Servo = Callable[..., CompletedProcess[str]]

METRICS = {
    "duration": "s",
    "cost": "USD",
    "billed_cost": "USD",
    "job_cost": "USD",
    "provisioning_time": "s",
    "bootstrap_time": "s",
    "teardown_time": "s",
    "total_time": "s",
    "node_hours": "h",
    "accuracy": "",
    "speed": "rps",
}
CONFIGURED = ["primary.inst_type=m5.xlarge", "core.inst_type=m5.xlarge", "core.replicas=2"]
LAW = ("--model", "a=300,b=0,c=0,d=0")
# Nobody listens on the discard port.
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    job_notebook(tmp_path / "job.ipynb")
    write_configuration(tmp_path)
    return tmp_path


@pytest.fixture
def servo(folder: Path) -> Servo:
    """Runs a `servo` command in the folder; without an environment of its own AWS is out of reach."""

    def run(*arguments: str, environment: Mapping[str, str] = NOWHERE) -> CompletedProcess[str]:
        return command("servo", *arguments, folder=folder, environment=environment)

    return run


def words(text: str) -> list[str]:
    return text.split()


def test_adjust_stages_what_describe_shows_and_measure_runs_each_in_a_process_of_its_own(
    servo: Servo, emulator: EmulatorProcess
) -> None:
    account = Account(emulator)
    staged = ["primary.inst_type=m5.xlarge", "core.inst_type=c5.xlarge", "core.replicas=1"]
    adjusted = servo("adjust", "core.replicas=1", "core.inst_type=c5.xlarge", environment=emulator.env)
    assert adjusted.returncode == 0, adjusted.stderr
    assert words(adjusted.stdout) == ["CONNECTOR", "SETTINGS", "emr", *staged]

    described = servo("describe", environment=emulator.env)
    assert (described.returncode, described.stderr) == (0, "")
    assert [word for word in words(described.stdout) if "=" in word] == staged

    measured = servo("measure", "accuracy", "duration", environment=emulator.env)
    assert measured.returncode == 0, measured.stderr
    table = [line.split() for line in measured.stdout.splitlines() if line.strip()]
    assert [row[0] for row in table] == ["METRIC", "accuracy", "duration"]
    assert table[1][1] == "0.81"
    (cluster,) = account.clusters()
    rows = account["emr"].list_instances(ClusterId=cluster["Id"])["Instances"]
    assert sorted(row["InstanceType"] for row in rows) == ["c5.xlarge", "m5.xlarge"]
    times = account.step(cluster["Id"])["Status"]["Timeline"]
    seconds = (times["EndDateTime"] - times["StartDateTime"]).total_seconds()
    assert table[2][1:3] == ["s", f"{seconds:.2f}"]
    assert account.alive() == []
    account.close()


def test_an_adjustment_out_of_bounds_fails_the_command_and_says_which(servo: Servo, emulator: EmulatorProcess) -> None:
    refused = servo("adjust", "core.replicas=99", environment=emulator.env)
    assert refused.returncode == 1
    assert "configuration/out-of-bounds: core.replicas is outside 1 to 6" in refused.stderr


def test_a_metric_that_nobody_has_is_refused_before_anything_is_asked(servo: Servo) -> None:
    refused = servo("measure", "nope")
    assert refused.returncode == 2
    assert "no metric found named 'nope'" in refused.stderr


def test_describe_without_aws_shows_the_configured_values_with_one_warning(servo: Servo) -> None:
    described = servo("describe")
    assert described.returncode == 0
    assert [word for word in words(described.stdout) if "=" in word] == CONFIGURED
    assert [name for name in METRICS if name in words(described.stdout)] == list(METRICS)
    (line,) = described.stderr.splitlines()
    assert "WARNING" in line
    assert "the configured values are shown" in line
    assert "http://127.0.0.1:9/acme-servo/nightly/staged.json" in line


def test_describe_answers_also_when_aws_accepts_and_never_says_a_word(servo: Servo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        described = servo("describe", environment={**NOWHERE, "AWS_ENDPOINT_URL": url})
    assert described.returncode == 0
    assert [word for word in words(described.stdout) if "=" in word] == CONFIGURED
    assert len(described.stderr.splitlines()) == 1


def test_show_components_lists_every_setting_with_its_bounds(servo: Servo) -> None:
    shown = servo("show", "components")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "inst_type=m5.xlarge InstanceType(values=['m5.xlarge', 'c5.xlarge'], unit=ec2)" in shown.stdout
    assert "replicas=2 Replicas(range=[1..6], step=1, unit=None)" in shown.stdout
    assert [line.split()[0] for line in shown.stdout.splitlines()[1:3]] == ["primary", "core"]


def test_show_metrics_lists_every_metric_with_its_unit(servo: Servo) -> None:
    shown = servo("show", "metrics")
    assert (shown.returncode, shown.stderr) == (0, "")
    rows = re.findall(r"^(\w+) .*\((\w*)\) +servo_emr$", shown.stdout, re.MULTILINE)
    assert dict(rows) == METRICS


def test_what_generate_writes_validate_accepts_and_the_connector_describes(servo: Servo, folder: Path) -> None:
    generated = servo("generate", "-q", "-f", "generated.yaml", "emr")
    assert generated.returncode == 0, generated.stderr
    document = yaml.safe_load((folder / "generated.yaml").read_text())
    assert document["connectors"] == ["emr"]
    assert document["emr"]["workspace"].startswith("s3://")

    valid = servo("validate", "-f", "generated.yaml")
    assert (valid.returncode, valid.stderr) == (0, "")
    assert "Valid configuration in generated.yaml" in valid.stdout

    del document["optimizer"]  # servox's placeholder, which the documentation says to delete
    (folder / "servo.yaml").write_text(yaml.safe_dump({**configuration(), **document}))
    described = servo("describe")
    assert "core.replicas=4" in words(described.stdout)


def test_validate_names_the_key_that_is_wrong_and_the_one_that_was_meant(servo: Servo, folder: Path) -> None:
    write_configuration(folder, {"job.notebok": "etl.ipynb"})
    invalid = servo("validate")
    assert invalid.returncode == 1
    assert "emr -> job" in invalid.stderr
    assert "unknown key 'notebok': did you mean 'notebook'?" in invalid.stderr


def test_the_schema_describes_every_key(servo: Servo) -> None:
    shown = servo("schema", "emr")
    assert (shown.returncode, shown.stderr) == (0, "")
    schema = json.loads(shown.stdout)
    assert {"region", "workspace", "job", "cluster", "components", "limits"} <= set(schema["properties"])
    undescribed = [
        f"{title}.{name}"
        for title, section in schema["definitions"].items()
        for name, field in section["properties"].items()
        if title.endswith("Section") and "description" not in field and "$ref" not in field
    ]
    assert undescribed == []


def test_the_version_is_the_packages(servo: Servo) -> None:
    shown = servo("version", "emr")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"EMR Connector v{__version__}" in shown.stdout
