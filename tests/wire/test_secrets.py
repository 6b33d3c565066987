"""Secrets stay where they are: nothing that a run leaves, or sends, holds a planted one."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook
from tests.support.optimizer import Command, Optimizer, adjust, describe, measure
from tests.support.servo import PATIENCE, ServoRun, command, write_configuration
from tests.support.stride import StrideClock

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "planted/SecretAccessKey+0123456789",
    "AWS_SESSION_TOKEN": "plantedSessionToken0123456789",
    "OPSANI_TOKEN": "plantedOptimizerToken0123456789",
}
KEY_ID = "ASIAPLANTEDKEYID0000"
"""No secret, but no business of anybody's either."""
PARAMETER = "plantedParameter0123456789"

DENIED = {"kind": "access-denied", "operation": "RunJobFlow"}
LOST = ({"kind": "drop-reply", "operation": "RunJobFlow", "when": "before"}, {**DENIED, "operation": "ListClusters"})
UNHEARD = {"kind": "error", "operation": "RunJobFlow", "code": "ValidationException", "message": "Nobody knows this."}
EXPIRED = {"kind": "expired-credentials", "operation": "RunJobFlow"}


@dataclass
class Left:
    """What a servo and its commands left and sent, by where it is."""

    places: Mapping[str, str]
    reasons: list[str]

    def with_word(self, word: str) -> list[str]:
        """The places in which a word stands."""
        return sorted(place for place, text in self.places.items() if word in text)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    """One servo through a failing notebook, a refusal, a lost connection, expired keys and a defect; at DEBUG, where
    servox logs the whole chain of exceptions, with the values of their frames."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "empty").mkdir()
    words = ("--model", "a=900,b=0,c=0,d=0", "--noise", "0", "--process-cap", "5m")
    with (
        EmulatorProcess(*words, data=[f"s3://acme-servo/={folder / 'empty'}"]) as emulator,
        StrideClock(emulator, 600.0) as clock,
    ):
        account = Account(emulator)
        environment = {
            **emulator.env,
            **SECRETS,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "SERVO_EMR_CLOCK": clock.url,
            "SERVO_LOG_LEVEL": "DEBUG",
        }
        job_notebook(folder / "job.ipynb")
        path = write_configuration(folder, {"job.parameters.mode": "fail", "job.parameters.correct": PARAMETER})
        path.write_text(path.read_text().replace("token: s3cret", f"token: {SECRETS['OPSANI_TOKEN']}"))
        places, reasons = _conversation(folder, emulator, environment)
        (run,) = {key.split("/")[0] for key in account.keys("s3://acme-servo/nightly/runs") if "result.json" in key}
        for words in (("check",), ("plan",), ("show", run), ("runs",), ("prices",), ("policy",), ("sweep",)):
            done = command("servo-emr", *words, "--debug", folder=folder, environment=environment)
            places[f"servo-emr {words[0]}"] = done.stdout + done.stderr
        _set(emulator, DENIED)
        done = command("servo", "measure", folder=folder, environment=environment)
        places["servo measure"] = done.stdout + done.stderr
        _set(emulator)
        places |= _objects(account)
        for cluster in account.clusters():
            steps = account["emr"].list_steps(ClusterId=cluster["Id"])["Steps"]
            described = account["emr"].describe_cluster(ClusterId=cluster["Id"])["Cluster"]
            places[f"cluster {cluster['Id']}"] = json.dumps([described, steps], default=str)
        account.close()
        yield Left(places, reasons)


def _conversation(
    folder: Path, emulator: EmulatorProcess, environment: dict[str, str]
) -> tuple[dict[str, str], list[str]]:
    script: list[tuple[Command, tuple[dict[str, Any], ...]]] = [
        (describe(), ()),
        (adjust({"core.replicas": 1}), ()),
        (measure(), ()),
        (measure(), (DENIED,)),
        (measure(), LOST),
        (measure(), (EXPIRED,)),
        (measure(), (UNHEARD,)),
    ]
    reasons = []
    with Optimizer() as optimizer:
        with ServoRun(folder, optimizer.url, environment) as servo:
            for number, (order, faults) in enumerate(script, 1):
                _set(emulator, *faults)
                if number == len(script):
                    emulator.advance(2 * 86_400)  # what the region offers is asked once a day
                reasons.append(str(optimizer.result(optimizer.ask(order), PATIENCE).get("reason")))
            _set(emulator)
            servo.stop()
            log = servo.log
        posts = "\n".join(body.text for body in optimizer.received())
    return {"the servo's log": log, "the optimizer's mail": posts}, reasons


def _set(emulator: EmulatorProcess, *faults: dict[str, Any]) -> None:
    httpx.post(f"{emulator.url}/_emulator/faults", json=list(faults), trust_env=False).raise_for_status()


def _objects(account: Account) -> dict[str, str]:
    found = {}
    for page in account["s3"].get_paginator("list_objects_v2").paginate(Bucket="acme-servo"):
        for item in page.get("Contents", ()):
            uri = f"s3://acme-servo/{item['Key']}"
            body = account.read(uri)
            found[uri] = (gzip.decompress(body) if uri.endswith(".gz") else body).decode(errors="replace")
    return found


def test_the_servo_went_through_every_kind_of_trouble_with_its_exceptions_in_the_log(left: Left) -> None:
    refused = ["operator/credentials", "operator/unreleased", "operator/credentials"]
    assert left.reasons == ["success", "success", "job/cell-error", *refused, "internal/bug"]
    assert left.places["the servo's log"].count("Measure failure details") == 5
    assert "Nobody knows this." in left.places["the servo's log"]
    assert "botocore.exceptions.ClientError" in left.places["servo measure"]
    assert any(place.endswith("stderr.gz") for place in left.places)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_nowhere(left: Left, name: str) -> None:
    assert left.with_word(SECRETS[name]) == []


def test_the_access_keys_id_is_nowhere(left: Left) -> None:
    assert left.with_word(KEY_ID) == []


def test_a_parameter_is_on_record_in_the_workspace_and_does_not_leave_the_account(left: Left) -> None:
    places = left.with_word(PARAMETER)
    assert any("/records/" in place for place in places)
    assert "the optimizer's mail" not in places
    assert not any(place.startswith("cluster ") for place in places)
