"""`servo-emr policy` as a command: documents on standard output, words for people elsewhere, no call to AWS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from servo_emr.cli.main import app
from servo_emr.domain.errors import UsageError
from tests.support.servo import write_configuration


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A servo.yaml; AWS is where nobody listens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    write_configuration(tmp_path, {"job.notebook": "s3://acme-notebooks/etl.ipynb", "job.wheels": "s3://acme-wheels"})
    return tmp_path


def asked(*words: str) -> Result:
    return CliRunner(mix_stderr=False).invoke(app, ["policy", *words])


@pytest.mark.parametrize(("whose", "other"), [("servo", "nodes"), ("nodes", "servo")])
def test_one_policy_is_one_document_ready_for_iam(folder: Path, whose: str, other: str) -> None:
    done = asked(whose, "--account", "123456789012")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["Version"] == "2012-10-17"
    assert "tried on AWS" in done.stderr
    both = json.loads(asked("--account", "123456789012", "-o", "json").stdout)
    assert list(both) == ["nodes", "servo"]
    assert both[whose] == json.loads(done.stdout) != both[other]


def test_for_people_each_policy_has_a_title(folder: Path) -> None:
    done = asked()
    assert done.exit_code == 0
    servo, nodes = done.stdout.split("For the role in the instance profile")
    assert servo.lstrip().startswith("For the identity that the servo runs as:")
    assert "elasticmapreduce:RunJobFlow" in servo
    assert "arn:aws:s3:::acme-wheels/*" in nodes


def test_options_narrow_the_policy(folder: Path) -> None:
    text = asked("servo", "--account", "123456789012", "--node-role", "nodes", "--workspace-id", "cafe0123").stdout
    assert "arn:aws:iam::123456789012:role/nodes" in text
    assert '"cafe0123"' in text
    assert "s3://" not in text


def test_an_account_that_is_none_is_refused(folder: Path) -> None:
    done = asked("servo", "--account", "acme")
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == "--account acme: an account has twelve digits"
