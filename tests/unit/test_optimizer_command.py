"""`servo-emr optimizer` given what makes no sense names the option, the value and the remedy, and starts nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from servo_emr.cli.main import app
from servo_emr.cli.optimizer import _hosts

WRONG = {
    "--port 70000": "a port is 0 to 65535",
    "--host here": "an IPv4 address",
    "--host 0.0.0.0": "needs a token",
    "--application nightly": "write ACCOUNT/APPLICATION",
    "--objective dearest": "cheapest or fastest",
    "--objective fastest": "needs --price",
    "--price 2": "means nothing with --objective cheapest",
    "--objective fastest --price 0": "a positive number",
    "--deadline soon": "a time such as 90s",
    "--dollars -1": "a positive number",
    "--hours nan": "a positive number",
    "--recheck 0": "a time such as 90s",
    "--allow-host box:8080": "without scheme and port",
    "--allow-host http://box": "without scheme and port",
    "--token-file none": "cannot be read",
    "--storage study.db": "a URL, such as sqlite:///study.db",
    "--storage sqlite:///study.db --prices none": "no prices can be read",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_options_are_told(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner(mix_stderr=False).invoke(app, ["optimizer", *words.split()])
    assert result.exit_code in (1, 2)
    assert WRONG[words] in result.stderr
    assert result.stdout == ""


def test_a_servo_yaml_that_is_no_yaml_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "servo.yaml").write_text("optimizer: {")
    result = CliRunner(mix_stderr=False).invoke(app, ["optimizer"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "servo.yaml: cannot be read" in result.stderr


@pytest.mark.parametrize("key", ["id", "token"])
def test_a_servo_yaml_by_which_a_servo_would_be_refused_is_told_without_the_token(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPSANI_OPTIMIZER", "example.com/nightly")
    monkeypatch.setenv("OPSANI_TOKEN", "s3cret")
    own = {"id": "example.com/nightly", "token": "s3cret", key: "example.com/0ther"}
    (tmp_path / "servo.yaml").write_text(f"optimizer: {{id: {own['id']}, token: {own['token']}}}\n")
    result = CliRunner(mix_stderr=False).invoke(app, ["optimizer", "--storage", "study.db"])
    assert f"servo.yaml: optimizer.{key} is not what is served here" in result.stderr
    assert result.stderr.count("is not what is served here") == 1
    assert "s3cret" not in result.stderr
    assert "0ther" not in result.stderr


def test_it_may_be_addressed_by_the_address_that_it_listens_on() -> None:
    assert _hosts("10.1.2.3", ["Box.example"]) == ("10.1.2.3", "box.example")
    assert _hosts("0.0.0.0", ["box"]) == ("box",)
