"""Bad input: each one message with place, value and remedy, the exit status that says whose turn it is, no cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook, write_notebook
from tests.support.servo import command, write_configuration

Cli = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    empty = tmp_path_factory.mktemp("empty")
    with EmulatorProcess(speed=600, data=[f"s3://acme-servo/={empty}"]) as process:
        yield process
        assert process.calls(operation="RunJobFlow") == [], "something was launched"


@pytest.fixture
def cli(tmp_path: Path, emulator: EmulatorProcess) -> Cli:
    """Runs `servo-emr` in a folder with a good notebook and a servo.yaml with changes."""
    job_notebook(tmp_path / "job.ipynb")
    write_notebook(tmp_path / "bare.ipynb", "print(1)")

    def run(
        *arguments: str,
        changes: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        text: str | None = None,
    ) -> CompletedProcess[str]:
        path = write_configuration(tmp_path, changes)
        if text is not None:
            path.write_text(text)
        return command("servo-emr", *arguments, folder=tmp_path, environment=environment or emulator.env)

    return run


def error(done: CompletedProcess[str], status: int) -> str:
    """The one message of a command that refused: all of standard error from "Error: " on, and nothing before it."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("Error: ") == 1
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("Error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"job.notebok": "x"}, "servo.yaml: emr.job: unknown key 'notebok': did you mean 'notebook'?"),
        (
            {"components.core.replicas.min": 9},
            "servo.yaml: emr.components.core.replicas: min 9 is above max 6: exchange them",
        ),
        (
            {"components.core.replicas.value": 8},
            "servo.yaml: emr.components.core.replicas: value 8 is outside 1 to 6: change value, or the bounds",
        ),
        (
            {"components.core.inst_type.value": "m5.large"},
            "servo.yaml: emr.components.core.inst_type.value (it is 'm5.large'): "
            "'m5.large' is not in values (m5.xlarge, c5.xlarge): add it, or change value",
        ),
        (
            {"job.parameters": {"out": "{core.replica}"}},
            "servo.yaml: emr: job -> parameters -> out: {core.replica} refers to nothing; "
            "did you mean {core.replicas}? known are {core.inst_type}, {core.replicas}, "
            "{primary.inst_type}, {run.metrics}, {run_id}",
        ),
        (
            {"job.metrics": {"cost": {"from": "notebook", "name": "x"}}},
            "servo.yaml: emr.job.metrics: 'cost' is a built-in metric; choose another name",
        ),
    ],
)
def test_a_wrong_servo_yaml_is_one_line_that_says_where_what_and_what_to_do(
    cli: Cli, changes: dict[str, Any], message: str
) -> None:
    assert error(cli("plan", changes=changes), 2) == message


def test_every_wrong_place_has_its_line(cli: Cli) -> None:
    changes = {"region": "nowhere", "job.timeout": "0s"}
    first, second = error(cli("plan", changes=changes), 2).splitlines()
    assert "emr.region (it is 'nowhere')" in first
    assert "emr.job.timeout (it is '0s'): must be longer than 0" in second


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emr: [\n", "servo.yaml: not YAML: "),
        ("connectors: [emr]\n", "servo.yaml: has no section 'emr:'. `servo generate emr` shows one."),
        ("emr: [{region: us-east-1}]\n", "servo.yaml: emr: is a list, and must be a mapping of keys"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(cli: Cli, text: str, message: str) -> None:
    assert error(cli("plan", text=text), 2).startswith(message)


@pytest.mark.parametrize("words", ["-c other.yaml plan", "plan -c other.yaml", "plan --config-file=other.yaml"])
def test_a_configuration_that_is_not_there_is_named_with_the_ways_to_have_one(cli: Cli, words: str) -> None:
    told = error(cli(*words.split()), 2)
    assert told.startswith("other.yaml: No such file or directory.")
    assert "servo generate" in told


def test_a_file_option_without_a_file_is_refused(cli: Cli) -> None:
    assert "requires an argument" in cli("plan", "-c").stderr


@pytest.mark.parametrize("notebook", ["nope.ipynb", "s3://acme-servo/nope.ipynb", "s3://acme-none/job.ipynb"])
def test_the_plan_of_a_notebook_that_cannot_be_read_is_refused_and_names_no_way_to_run_it(
    cli: Cli, notebook: str
) -> None:
    done = cli("plan", changes={"job.notebook": notebook})
    assert done.returncode == 1
    assert "Cannot run:" in done.stdout
    assert "nothing would be launched" in done.stdout
    assert "runs it" not in done.stderr


@pytest.mark.parametrize(
    ("changes", "place", "remedy"),
    [
        ({"job.notebook": "nope.ipynb"}, "emr.job.notebook: nope.ipynb: No such file", "Correct the path"),
        ({"job.notebook": "s3://acme-servo/nope.ipynb"}, "s3://acme-servo/nope.ipynb does not exist", "Upload it"),
        ({"job.notebook": "servo.yaml"}, "emr.job.notebook: servo.yaml: not a Jupyter notebook", "save it again"),
        ({"job.notebook": "bare.ipynb"}, "bare.ipynb has no cell tagged 'parameters'", "Tag the cell"),
        ({"job.parameters": {"colour": 1}}, "emr.job.parameters: colour: ", "It assigns mode, correct, nodes"),
    ],
)
def test_a_notebook_that_cannot_be_run_fails_before_a_launch(
    cli: Cli, changes: dict[str, Any], place: str, remedy: str
) -> None:
    done = cli("cycle", "--yes", changes=changes)
    assert done.returncode == 1
    told = done.stderr.partition("FAILED, somebody has to set something right: ")[2]
    assert told.startswith("operator/notebook\n")
    assert told.count(place) == 1
    assert remedy in told.partition(place)[2]
    assert done.stdout == "", "nothing was launched: there is no run to show"
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("words", [("cycle", "--yes"), ("runs",)])
def test_a_bucket_that_is_not_there_is_named_with_its_place(cli: Cli, words: tuple[str, ...]) -> None:
    told = error(cli(*words, changes={"workspace": "s3://nobody-made-this/nightly"}), 1)
    assert told.startswith("operator/bucket: emr.workspace: s3://nobody-made-this/nightly: ")
    assert "NoSuchBucket" in told
    assert told.endswith("Make the bucket, or correct its name and region in servo.yaml.")


@pytest.mark.parametrize("words", [("cycle", "--yes"), ("runs",)])
def test_an_endpoint_that_cannot_be_reached_is_named(
    cli: Cli, emulator: EmulatorProcess, words: tuple[str, ...]
) -> None:
    told = error(cli(*words, environment={**emulator.env, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}), 1)
    assert told.startswith("environment/endpoint: s3:")
    assert "http://127.0.0.1:9/acme-servo" in told
    assert told.endswith("Check network, proxy, region and AWS_ENDPOINT_URL.")


def test_a_lack_of_credentials_is_told_with_the_ways_to_give_them(cli: Cli, emulator: EmulatorProcess) -> None:
    bare = {name: value for name, value in emulator.env.items() if "KEY" not in name}
    told = error(cli("cycle", "--yes", environment=bare), 1)
    assert told.startswith("operator/credentials: s3:GetObject: no usable AWS credentials")
    assert "AWS_PROFILE" in told


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("plan", "--set", "core.replicas"), 2, "--set core.replicas: write COMPONENT.SETTING=VALUE"),
        (("plan", "--set", "core.replica=3"), 2, "'core.replica' is not a setting of this servo. Did you mean core.r"),
        (("plan", "--set", "core.replicas=99"), 2, "core.replicas: '99' is outside 1 to 6."),
        (("plan", "--set", "primary.inst_type=c5.xlarge"), 2, "primary.inst_type: 'c5.xlarge' is not one of"),
        (("show", "x"), 2, "'x' is not a run's id; `servo-emr runs` lists them"),
        (("show", "20260101t000000-00000000"), 2, "no run 20260101t000000-00000000 in s3://acme-servo/nightly"),
    ],
)
def test_wrong_words_on_the_command_line_are_answered_with_the_right_ones(
    cli: Cli, words: tuple[str, ...], status: int, message: str
) -> None:
    assert message in error(cli(*words), status)


def test_a_command_that_does_not_exist_is_wrong_usage(cli: Cli) -> None:
    done = cli("frobnicate")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("Error: No such command 'frobnicate'.\n")


def test_debug_shows_the_traceback_that_is_otherwise_kept_back(cli: Cli) -> None:
    done = cli("--debug", "plan", "--set", "core.replicas=99")
    assert done.returncode == 2
    assert "Traceback (most recent call last)" in done.stderr


@pytest.mark.parametrize(("words", "printed"), [((), ""), (("-o", "json"), "[]\n")])
def test_a_sweep_where_there_is_no_workspace_does_not_say_that_nothing_is_alive(
    cli: Cli, words: tuple[str, ...], printed: str
) -> None:
    done = cli("sweep", *words, changes={"workspace": "s3://acme-servo/mistyped"})
    assert (done.returncode, done.stdout) == (0, printed)
    assert "There is no workspace at s3://acme-servo/mistyped" in done.stderr
