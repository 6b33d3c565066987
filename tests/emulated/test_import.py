"""`servo-emr import`: four formats, each planned and run on the emulator, each request held against its source."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from servo_emr.aws.door import Door, Patience
from servo_emr.aws.ec2 import Ec2Target
from servo_emr.config import EMRConfiguration
from servo_emr.domain.spec import RunKey
from servo_emr.importing import imported, read_source
from servo_emr.importing.steps import command_line
from servo_emr.notebook.evidence import NotebookEvidence
from servo_emr.wiring import assemble
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import write_notebook
from tests.support.servo import command
from tests.support.simclock import SimClock

SAMPLES = Path(__file__).resolve().parent.parent / "fixtures" / "imports"
SUBNETS = ("subnet-0a1b2c3d", "subnet-0a1b2c3e")
KEY = RunKey("s3://acme-servo/imported", "cafe0123", "20261120t101530-0123abcd")
NAMES = ("pipeline.yml", "job_flow.json", "fleets.json", "batch.yaml", "statestore.yaml")
MORE = ("documented.json", "variables.yml")
"""In the form of the example in EMR's API reference, and of edX's sample; compared in tests/unit/test_importing.py."""

SCRIPTS = {
    "boot/updates.sh": "#!/bin/bash\necho updates",
    "boot/tools.sh": "#!/bin/bash\necho tools",
    "steps/install.sh": '#!/bin/bash\n[ "$1" = --all ]',
    "steps/example.py": "print('an example')",
}
"""What the samples name in S3."""


def seed(process: EmulatorProcess) -> None:
    """Puts into the emulator's bucket what the samples name in S3."""
    s3 = process.client("s3")
    s3.create_bucket(Bucket="acme-servo")
    for key, text in SCRIPTS.items():
        s3.put_object(Bucket="acme-servo", Key=key, Body=text.encode())


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--no-execute", "--model", "a=600,b=0,c=0,d=0,w=0") as process:
        seed(process)
        yield process


@pytest.fixture(scope="module")
def running() -> Iterator[EmulatorProcess]:
    """One that runs steps as processes."""
    with EmulatorProcess("--model", "a=60,b=0,c=0,d=0,w=0") as process:
        seed(process)
        yield process


@pytest.fixture(scope="module")
def subnets(emulator: EmulatorProcess) -> dict[str, str]:
    """The samples' subnets -> those that the account has."""
    found = [one["SubnetId"] for one in emulator.client("ec2").describe_subnets()["Subnets"]]
    return dict(zip(SUBNETS, found, strict=False))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, subnets: dict[str, str]) -> Path:
    """The samples in the account's own subnets, and a notebook with the parameters of servo-batch's."""
    folder = tmp_path_factory.mktemp("imports")
    for name in (*NAMES, *MORE):
        text = (SAMPLES / name).read_text()
        for sample, real in subnets.items():
            text = text.replace(sample, real)
        (folder / name).write_text(re.sub(r"sleep \d+", "sleep 0.1", text))
    (folder / "job.sh").write_text('#!/bin/sh\necho "rate=$2"\n')
    write_notebook(folder / "job.ipynb", "print(web_cpu)", parameters="web_cpu = 0\nweb_mem = 0")
    return folder


def run_import(folder: Path, name: str, *words: str) -> dict[str, Any]:
    done = command(
        "servo-emr", "import", name, "--workspace", "s3://acme-servo/imported", "-o", "json", *words,
        folder=folder, environment={},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, dict[str, Any]]:
    return {name: run_import(folder, name) for name in NAMES}


@pytest.fixture
def target(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Ec2Target:
    for name, value in emulator.env.items():
        monkeypatch.setenv(name, value)
    return Ec2Target(Door("us-east-1", Patience.LOOK), "us-east-1", SimClock(emulator.now()))


def request(result: dict[str, Any]) -> dict[str, Any]:
    """What a run of the imported configuration asks of EMR."""
    config = EMRConfiguration.parse_obj(result["servo_yaml"]["emr"])
    spec = config.space.apply(config.to_spec(), config.space.configured)
    return Ec2Target(Door("us-east-1"), "us-east-1", SimClock()).request(spec, KEY)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value with the keys and numbers that lead to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, (*path, number))
    else:
        yield path, value


def at(document: Any, path: tuple[Any, ...]) -> Any:
    """What stands there; None where nothing does."""
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError):
            return None
    return document


@pytest.mark.parametrize("name", ["job_flow.json", "fleets.json"])
def test_every_field_of_a_job_flow_is_in_the_new_one_or_said_not_to_be(
    folder: Path, results: dict[str, dict[str, Any]], name: str
) -> None:
    source, result = json.loads((folder / name).read_text()), results[name]
    new = request(result)
    carried = {"carried, as the only one to be tried"}
    left = [one["path"] for one in result["left"] if one["why"].partition(":")[0] not in carried]
    compared = 0
    tags = {tag["Key"]: tag["Value"] for tag in new["Tags"]}
    assert {tag["Key"]: tag["Value"] for tag in source.get("Tags", ())}.items() <= tags.items()
    for path, value in leaves(source):
        place = ".".join(map(str, path))
        if path[0] == "Tags" or any(place == one or place.startswith(f"{one}.") for one in left if one):
            continue
        found = at(new, path)
        if place == "LogUri":
            found = str(found).rstrip("/")
        if place == "StepConcurrencyLevel":
            found = found or 1  # EMR's default is not asked for
        assert found == value, place
        compared += 1
    assert compared >= 15


def test_an_ansible_cluster_asks_for_what_its_file_says(folder: Path, results: dict[str, dict[str, Any]]) -> None:
    source, new = yaml.safe_load((folder / "pipeline.yml").read_text()), request(results["pipeline.yml"])
    instances = new["Instances"]
    assert new["ReleaseLabel"] == source["release_label"]
    assert new["LogUri"].rstrip("/") == source["log_uri"]
    assert [one["Name"] for one in new["Applications"]] == [one["name"] for one in source["applications"]]
    assert (instances["Ec2KeyName"], instances["Ec2SubnetId"]) == (source["keypair_name"], source["vpc_subnet_id"])
    spark, hadoop = source["configurations"]
    assert (new["Configurations"][0]["Classification"], new["Configurations"][0]["Properties"]) == (
        spark["classification"],
        spark["properties"],
    )
    assert [one["Properties"] for one in new["Configurations"][1]["Configurations"]] == [
        one["properties"] for one in hadoop["configurations"]
    ]
    for name, role in (("master", "MASTER"), ("core", "CORE"), ("task", "TASK")):
        group, (found,) = (
            source["instance_groups"][name],
            [g for g in instances["InstanceGroups"] if g["InstanceRole"] == role],
        )
        assert (found["InstanceType"], found["InstanceCount"]) == (group["type"], group["num_instances"])
        assert found["Market"] == group["market"]
        assert found.get("BidPrice") == (str(group["bidprice"]) if "bidprice" in group else None)
    ((action_name, action),) = source["bootstrap_actions"].items()
    script = {"Path": action["path"], "Args": action["args"]}
    assert new["BootstrapActions"][0] == {"Name": action_name, "ScriptBootstrapAction": script}
    (step,) = results["pipeline.yml"]["servo_yaml"]["emr"]["job"]["run"]
    script, *args = source["steps"][0]["step_args"]
    assert step == {"name": "install tasks", "script": script, "args": args}
    assert [(one["Name"], one["ActionOnFailure"]) for one in new["Steps"]] == [("install tasks", "TERMINATE_CLUSTER")]
    assert {"name", "user_info"} <= {one["path"] for one in results["pipeline.yml"]["left"]}


def test_the_predecessors_settings_metrics_and_types_are_carried(results: dict[str, dict[str, Any]]) -> None:
    batch = results["batch.yaml"]["servo_yaml"]["emr"]
    config = EMRConfiguration.parse_obj(batch)
    assert config.space.configured["web.cpu"] == 512
    spec = config.space.apply(config.to_spec(), {**config.space.configured, "web.mem": 150})
    (step,) = spec.steps
    assert (step.source, step.command[1:]) == ("./job.sh", ("--cpu", "512", "--mem", "150", "--timeout", "7200"))
    assert (spec.job.expected_s, spec.job.metrics[0].key, spec.job.metrics[0].unit) == (90.0, r"rate=(\d+)", "count")
    statestore = request(results["statestore.yaml"])["Instances"]["InstanceGroups"]
    assert [(g["InstanceRole"], g["InstanceType"], g["InstanceCount"]) for g in statestore] == [
        ("MASTER", "r5.xlarge", 1),
        ("CORE", "r5.xlarge", 2),
    ]
    stages = EMRConfiguration.parse_obj(results["statestore.yaml"]["servo_yaml"]["emr"]).to_spec().steps
    assert [(str(one.stage), one.name, one.measured) for one in stages] == [
        ("prepare", "load", False),
        ("run", "transform", True),
        ("cleanup", "clean", False),
    ]
    said = {one["path"]: one["line"] for one in results["statestore.yaml"]["left"]}
    assert {"emr.cluster_deploy_cmd": 5, "emr.settings_map": 19}.items() <= said.items()


def test_with_a_notebook_the_files_steps_prepare_it() -> None:
    given = {"region": "us-east-1", "workspace": "s3://acme-servo/imported", "cluster.release_label": "emr-7.1.0"}
    for name, steps in (("pipeline.yml", 1), ("job_flow.json", 1), ("batch.yaml", 0)):
        _, draft = imported(read_source((SAMPLES / name).read_text()), given, "job.ipynb")
        job = draft.emr["job"]
        assert (job["notebook"], len(job.get("prepare", ())), job.get("run")) == ("job.ipynb", steps, None)
    batch = EMRConfiguration.parse_obj(draft.emr)
    spec = batch.space.apply(batch.to_spec(), {"web.cpu": "1024", "web.mem": 150})
    assert spec.job.parameter_values == {"web_cpu": 1024, "web_mem": 150}


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ("./job.sh --cpu {web.cpu} 'a b'", {"script": "./job.sh", "args": ["--cpu", "{web.cpu}", "a b"]}),
        ("python3 -m job {web.cpu}", {"command": ["python3", "-m", "job", "{web.cpu}"]}),
        ("./job.sh | tail -1", None),
        ("./job.sh $HOME", None),
        ("./job.sh '", None),
        ("./job.sh {db.size}", None),
    ],
)
def test_a_command_line_is_taken_apart_only_where_no_shell_is_needed(line: str, item: dict[str, Any] | None) -> None:
    assert command_line(line, lambda name: f"{{{name}}}" if name == "web.cpu" else None) == item


@pytest.mark.parametrize("name", ["pipeline.yml", "job_flow.json", "batch.yaml", "statestore.yaml"])
async def test_the_four_samples_really_run(
    running: EmulatorProcess,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    results: dict[str, dict[str, Any]],
    name: str,
) -> None:
    for variable, value in running.env.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(folder)
    emr = copy.deepcopy(results[name]["servo_yaml"]["emr"])
    emr["cluster"].pop("subnet_ids", None)  # those are of the other emulator's account
    live = assemble(EMRConfiguration.parse_obj(emr), print)
    spec = live.space.apply(live.config.to_spec(), live.space.configured)
    key = RunKey(KEY.workspace_uri, "cafe0123", f"20261120t101530-{NAMES.index(name):08x}")
    package = await live.packer.pack(spec, key)
    for file, body in package.files.items():
        await live.workspace.put(key.run_id, file, body)
    handle = await live.target.submit(spec, key)
    look = await live.target.observe(handle)
    async with asyncio.timeout(250):
        while not look.state.terminal:
            running.advance(60)
            look = await live.target.observe(handle)
    assert [(one.name, str(one.state)) for one in look.steps] == [(one.name, "completed") for one in spec.steps]
    assert look.cause_code == "ALL_STEPS_COMPLETED"
    if name == "batch.yaml":
        evidence = await NotebookEvidence(live.workspace).collect(key.run_id, spec, ["rate"])
        assert evidence.metrics == {"rate": 512.0}


@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(name, marks=pytest.mark.nightly) for name in MORE)])
async def test_what_was_imported_is_planned_and_run(
    emulator: EmulatorProcess, target: Ec2Target, folder: Path, results: dict[str, dict[str, Any]], name: str
) -> None:
    """The steps' processes are not started by this emulator: durations are the model's."""
    result = results.get(name) or run_import(folder, name)
    emr = result["servo_yaml"]["emr"]
    (folder / "servo.yaml").write_text(yaml.safe_dump(result["servo_yaml"]))
    planned = command("servo-emr", "plan", "-o", "json", folder=folder, environment=emulator.env)
    assert planned.returncode == 0, planned.stderr
    document = json.loads(planned.stdout)
    assert document["refusal"] is None
    config = EMRConfiguration.parse_obj(emr)
    spec = config.space.apply(config.to_spec(), config.space.configured)
    number = (*NAMES, *MORE).index(name)
    handle = await target.submit(spec, RunKey(KEY.workspace_uri, "cafe0123", f"20261120t101530-{number:08x}"))
    emulator.advance(7200)
    look = await target.observe(handle)
    assert look.state.terminal
    assert {str(step.state) for step in look.steps} == {"completed"}
    usage = await target.usage(handle)
    asked = {t for group in spec.groups for t in group.inst_types}
    assert {row.inst_type for row in usage.rows} <= asked
    assert len(usage.rows) >= spec.fewest_nodes


def test_what_is_written_is_a_servo_yaml_with_what_was_left_as_comments_and_nothing_is_overwritten(
    folder: Path,
) -> None:
    words = ("import", "job_flow.json", "--to", "made.yaml")
    done = command("servo-emr", *words, folder=folder, environment={})
    assert (done.returncode, done.stdout) == (0, "")
    text = (folder / "made.yaml").read_text()
    assert "# line 58: ManagedScalingPolicy (...): it changes the number of nodes under the measurement" in text
    assert EMRConfiguration.parse_obj(yaml.safe_load(text)["emr"])
    again = command("servo-emr", *words, folder=folder, environment={})
    assert again.returncode == 2
    assert "nothing is overwritten" in again.stderr
    assert (folder / "made.yaml").read_text() == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "holds no mapping of keys"),
        ("{", "neither YAML nor JSON"),
        ("a: 1", "is of no format that can be imported: a RunJobFlow document (Instances)"),
        ("instance_groups: {core: {num_instances: 2}}", "was taken for ansible, and cannot be read as"),
        ('{"Instances": {"MasterInstanceType": "m5.xlarge", "InstanceCount": 3}, "ReleaseLabel": "emr-7"}',
         "emr.cluster.release_label (it is 'emr-7'): must be a whole label"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_said(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    done = command("servo-emr", "import", "x.yaml", folder=tmp_path, environment={})
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_a_member_that_the_service_does_not_have_is_said(tmp_path: Path) -> None:
    source = json.loads((SAMPLES / "fleets.json").read_text())
    source["InstanceFlets"] = 3
    (tmp_path / "x.json").write_text(json.dumps(source))
    left = {one["path"]: one["why"] for one in run_import(tmp_path, "x.json")["left"]}
    assert left["InstanceFlets"] == "RunJobFlow has no such member"
