"""servo.yaml as a file: what cannot be read is one message with the path and what to do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from servo_emr.cli.output import dollars, emit_json, facts, seconds, when
from servo_emr.cli.settings_file import file_of, load, section
from servo_emr.cli.tables import table
from servo_emr.domain.errors import UsageError


def test_the_file_is_the_options_the_environments_or_servo_yaml(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert file_of(None) == Path("servo.yaml")
    monkeypatch.setenv("SERVO_CONFIG_FILE", "other.yaml")
    assert file_of(None) == Path("other.yaml")
    assert file_of("mine.yaml") == Path("mine.yaml")


def test_a_dotenv_file_of_the_working_folder_counts_as_it_does_for_servo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("SERVO_CONFIG_FILE=from-dotenv.yaml\n")
    monkeypatch.chdir(tmp_path)
    assert file_of(None) == Path("from-dotenv.yaml")
    assert os.environ["SERVO_CONFIG_FILE"] == "from-dotenv.yaml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"emr: [", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"emr: {a: 2026-13-45}", "not YAML"),
        (b"a: 1\n---\nb: 2\n", "not YAML"),
        (b"", "has no section 'emr:'"),
        (b"- emr\n", "has no section 'emr:'"),
        (b"emr:\n", "emr: is empty, and must be a mapping of keys"),
        (b"emr: text\n", "emr: is 'text', and must be a mapping of keys"),
        (b"emr: [a]\n", "emr: is a list, and must be a mapping of keys"),
    ],
)
def test_what_is_no_configuration_is_one_message_with_its_path(tmp_path: Path, text: bytes, words: str) -> None:
    path = tmp_path / "servo.yaml"
    path.write_bytes(text)
    with pytest.raises(UsageError, match=words) as refused:
        section(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("name", ["none.yaml", "."])
def test_a_file_that_is_not_there_is_one_message_with_the_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="servo generate"):
        load(tmp_path / name)


def test_a_mistake_shows_the_value_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "servo.yaml"
    path.write_text("emr: {region: Virginia, workspace: [1]}\n")
    with pytest.raises(UsageError) as refused:
        load(path)
    message = str(refused.value)
    assert "emr.region (it is 'Virginia'): " in message
    assert "emr.job: field required" in message


def test_durations_and_dollars_are_shown_as_people_read_them() -> None:
    assert [seconds(value) for value in (None, 0.0, 59.96, 119.4, 119.6, 3599.7, 7384.0)] == [
        "",
        "0.0 s",
        "60.0 s",
        "119.4 s",
        "2 min 0 s",
        "1 h 0 min",
        "2 h 3 min",
    ]
    assert (dollars(None), dollars(0.00005), dollars(1.25)) == ("", "0.0001", "1.2500")
    assert (when(None), when(1_795_003_200.0)) == ("", "2026-11-18 12:00:00")


def test_a_json_document_is_printed_whatever_text_a_notebook_left_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"evalue": "caf\udce9"})
    assert json.loads(capsys.readouterr().out) == {"evalue": "caf\udce9"}


def test_facts_leave_out_what_is_empty_and_keep_what_is_zero() -> None:
    assert facts({"a": 0, "bb": "", "c": None, "d": [], "e": False}) == "a  0\ne  False"
    assert facts({}) == ""
    assert table([]) == ""
    assert table([{"A": 1, "B": "x"}]).split() == ["A", "B", "1", "x"]
