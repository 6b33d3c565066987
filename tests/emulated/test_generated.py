"""What `servo generate emr` writes, filled in: it runs the demo's job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from servo_emr.checks.optimizer import PLACEHOLDER
from tests.support.emulator import EmulatorProcess
from tests.support.servo import command

DEMO = Path(__file__).parents[2] / "servo_emr" / "demo"
BUCKET = "s3://servo-emr-demo"


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    words = ("--no-execute", "--model", "a=300,b=0,c=0,d=0")
    with EmulatorProcess(*words, speed=2000, data=[f"{BUCKET}/job={DEMO}"]) as process:
        yield process


@pytest.fixture
def generated(tmp_path: Path) -> Path:
    done = command("servo", "generate", "-q", "-f", "servo.yaml", "emr", folder=tmp_path, environment={})
    assert done.returncode == 0, done.stderr
    return tmp_path


def fill_in(path: Path) -> None:
    """What is one's own: where everything is, and what the notebook takes. The rest stays as it was generated."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    del document["optimizer"]
    emr = document["emr"]
    emr["workspace"], emr["cluster"]["log_uri"] = f"{BUCKET}/workspace", f"{BUCKET}/logs"
    emr["job"]["notebook"] = f"{BUCKET}/job/training.ipynb"
    emr["job"]["parameters"] = {"data": f"{BUCKET}/job/data", "out": f"{BUCKET}/out/{{run_id}}"}
    path.write_text(yaml.safe_dump(document))


def test_the_placeholder_of_an_optimizer_is_named_with_its_remedy(generated: Path, emulator: EmulatorProcess) -> None:
    assert yaml.safe_load((generated / "servo.yaml").read_text())["optimizer"]["id"] == PLACEHOLDER
    done = command("servo-emr", "check", "-o", "json", folder=generated, environment=emulator.env)
    (told,) = [one for one in json.loads(done.stdout) if one["check"] == "optimizer"]
    assert told["outcome"] == "warning"
    assert "beats OPSANI_* in the environment" in told["finding"]
    assert told["remedy"].startswith("Take the section optimizer: out of servo.yaml.")


def test_filled_in_it_plans_the_demos_job_and_servox_takes_it(generated: Path, emulator: EmulatorProcess) -> None:
    fill_in(generated / "servo.yaml")
    done = command("servo-emr", "plan", "-o", "json", folder=generated, environment=emulator.env)
    plan = json.loads(done.stdout)
    assert (done.returncode, plan["refusal"], plan["findings"]) == (0, None, [])
    chosen = {"OPSANI_OPTIMIZER": "example.com/mine", "OPSANI_TOKEN": "x"}
    described = command("servo", "describe", folder=generated, environment={**emulator.env, **chosen})
    assert (described.returncode, described.stderr) == (0, "")
    assert "core.replicas=4" in described.stdout


@pytest.mark.nightly
def test_filled_in_it_runs_the_demos_job(generated: Path) -> None:
    fill_in(generated / "servo.yaml")
    words = ("--emulated", "--durations", "model", "--speed", "600", "--data", f"{BUCKET}/job={DEMO}", "-o", "json")
    done = command("servo-emr", "cycle", *words, folder=generated, environment={})
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["reason"], record["state"]) == ("success", "verified")
    assert record["metrics"]["cost"] > 0
