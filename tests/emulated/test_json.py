"""`-o json` of each command that has it: one document, read back, that says what the command is about."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
import typer

from servo_emr.cli.main import app
from servo_emr.domain.errors import Verdict
from servo_emr.domain.run import RunRecord
from servo_emr.domain.spec import spec_from_json
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook
from tests.support.servo import PATIENCE, write_configuration
from tests.support.terminal import Cli

RUN = "RUN"
GROUP = typer.main.get_command(app)
assert isinstance(GROUP, click.Group)
COMMANDS = {name: GROUP.get_command(click.Context(GROUP), name) for name in GROUP.list_commands(click.Context(GROUP))}


def _records(document: Any) -> bool:
    """Whether records come back as they went out."""
    found = document if isinstance(document, list) else [document]
    return bool(found) and all(
        RunRecord.from_json(one).to_json() == one and spec_from_json(one["spec"]).nodes == 3 for one in found
    )


def _plan(document: Any) -> bool:
    (changed,) = [one for one in document["changes"] if one["changes"]]
    (limit,) = [one for one in document["limits"] if one["limit"] == "nodes"]
    return (changed["setting"], changed["before"], changed["after"]) == ("core.replicas", 2, 4) and (
        limit["value"],
        limit["this"],
        limit["room"],
    ) == (9, 5, 4)


def _search(document: Any) -> bool:
    """Whether all trials were measured, those apart that their own deadline stopped: they cannot have been better."""
    verdicts = [RunRecord.from_json(one).verdict for one in document]
    return verdicts.count(Verdict.SUCCEEDED) >= 4 and set(verdicts) <= {Verdict.SUCCEEDED, Verdict.CENSORED}


WORDS: dict[str, tuple[tuple[str, ...], Callable[[Any], Any]]] = {
    "check": ((), lambda d: {one["check"] for one in d} >= {"credentials", "optimizer"}),
    "policy": ((), lambda d: set(d) == {"servo", "nodes"}),
    "plan": (("--set", "core.replicas=4"), _plan),
    "cycle": (("--yes",), _records),
    "prices": (("m5.xlarge",), lambda d: d["rates"]["m5.xlarge"]["ec2"] > 0 and d["unknown"] == {}),
    "runs": ((), _records),
    "show": ((RUN,), _records),
    "logs": ((RUN,), lambda d: {one["name"] for one in d} == {"controller", "stdout", "stderr"}),
    "sweep": ((), lambda d: d == []),
    "resume": ((), lambda d: set(d) == {"was_open_because", "runs", "usd"}),
    "report": ((), lambda d: d["file"] == "report.html" and d["bytes"] > 10_000),
    "demo": (("--keep", "kept"), _search),
}
"""What is said to each command, and what its document must hold."""
MINUTES = {"demo": 1800.0}
"""Commands that take minutes, and the seconds after which they hang."""


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    folder, empty = tmp_path_factory.mktemp("json"), tmp_path_factory.mktemp("empty")
    job_notebook(folder / "job.ipynb")
    write_configuration(folder, {"limits.nodes": 9})
    words = ("--model", "a=300,b=0,c=0,d=0", "--no-execute")
    with EmulatorProcess(*words, speed=2000, data=[f"s3://acme-servo/={empty}"]) as emulator:
        yield Cli(folder, emulator.env)


@pytest.fixture(scope="module")
def run_id(cli: Cli) -> str:
    return str(json.loads(cli.pipe("cycle", "--yes", "-o", "json").stdout)["run_id"])


def with_json() -> list[str]:
    """The commands of which one can ask for JSON."""
    return [
        name
        for name, command in COMMANDS.items()
        for option in command.params
        if "-o" in option.opts and isinstance(option.type, click.Choice) and "json" in option.type.choices
    ]


def test_no_command_with_json_is_forgotten() -> None:
    assert set(with_json()) == set(WORDS) | {"import", "open"}  # test_import.py, test_logs_and_open.py


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.nightly, pytest.mark.timeout(MINUTES[name])]) if name in MINUTES else name
        for name in WORDS
    ],
)
def test_json_is_one_document_and_nothing_else_and_comes_back(cli: Cli, run_id: str, name: str) -> None:
    words, holds = WORDS[name]
    named = [run_id if word == RUN else word for word in words]
    done = cli.pipe(name, *named, "-o", "json", patience=MINUTES.get(name, PATIENCE))
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert json.dumps(document, indent=2, sort_keys=True) + "\n" == done.stdout
    assert holds(document)
    assert "Traceback" not in done.stderr
    if name == "cycle":  # what is going on is told beside it, in lines
        assert re.search(r"^run \S+: verified, \d+ s, \d+\.\d{4} USD so far$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("name", [*COMMANDS, None])
def test_every_command_and_every_option_says_what_it_is_for(name: str | None) -> None:
    command = GROUP if name is None else COMMANDS[name]
    assert command.help
    unsaid = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert unsaid == []


def test_csv_of_runs_is_a_row_a_run(cli: Cli, run_id: str) -> None:
    head, first, *_ = cli.pipe("runs", "-n", "1", "-o", "csv").stdout.splitlines()
    assert head.startswith("run_id,created_at,")
    assert first.split(",")[0].startswith("20")
    assert len(head.split(",")) <= len(first.split(","))


def test_the_overview_leads_through_commands_that_there_are(cli: Cli) -> None:
    bare = cli.pipe()
    assert bare.returncode == 0
    named = [line.split()[1] for line in bare.stdout.splitlines() if line.startswith("  servo-emr ")]
    assert named[0] == "demo"
    assert set(named) <= set(COMMANDS)
    assert [name for name in COMMANDS if f"\n  {name} " not in bare.stdout] == []
    for section in ("First steps:", "Run:", "Look:", "Mend:"):
        assert f"\n{section}\n" in bare.stdout
