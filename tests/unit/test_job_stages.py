"""Stages of a job: what servo.yaml may say, the steps and the request that it becomes, limits, and who is to blame."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydantic
import pytest

from servo_emr.aws.ec2_request import run_job_flow
from servo_emr.cli.planned import _job
from servo_emr.cli.settings_file import load
from servo_emr.config import EMRConfiguration
from servo_emr.domain.errors import Reason, UsageError
from servo_emr.domain.intervals import measured_seconds
from servo_emr.domain.known_steps import known_steps
from servo_emr.domain.run import JobEvidence, Observation, RunState, StepLook, StepState, Timeline
from servo_emr.domain.spec import RunSpec, plain, spec_from_json
from servo_emr.domain.trial import with_userdata
from servo_emr.lifecycle.figures import phases
from servo_emr.lifecycle.guards import JOB_GRACE_S, Ceilings
from servo_emr.lifecycle.underway import over, where
from servo_emr.lifecycle.verdict import judge, untidied
from servo_emr.notebook.evidence import NotebookEvidence
from servo_emr.notebook.pack import NotebookPacker
from tests.support.memory import MemoryWorkspace
from tests.support.samples import KEY, RUN_ID, notebook, result_json
from tests.support.servo import configuration

RUNS = f"{KEY.workspace_uri}/runs/{RUN_ID}"
FULL: dict[str, Any] = {
    "prepare": [{"restore": "s3://acme-data/golden"}],
    "run": [
        {"command": ["load", "{core.replicas}", "{run.inputs}"], "timeout": "10m"},
        {"script": "s3://acme-jobs/count.sh", "args": ["{run.metrics}", 3, True]},
    ],
    "cleanup": [{"command": ["tidy"], "timeout": "1m"}],
}


def config(job: dict[str, Any], **changes: Any) -> EMRConfiguration:
    found = configuration({"job": job, **changes})["emr"]
    return EMRConfiguration.parse_obj(found)


def spec_of(job: dict[str, Any], **changes: Any) -> RunSpec:
    made = config(job, **changes)
    return made.space.apply(made.to_spec(), made.space.configured)


def wrong(job: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(pydantic.ValidationError) as refused:
        config(job, **changes)
    return str(refused.value)


def steps(*states: str, spec: RunSpec) -> tuple[StepLook, ...]:
    """Looks at the spec's steps of ten seconds each, in these states."""
    looks = [
        StepLook(f"s-{n}", step.name, StepState(state), Timeline(0.0, 100.0 + 10 * n, 110.0 + 10 * n))
        for n, (step, state) in enumerate(zip(spec.steps, states, strict=True))
    ]
    return known_steps(spec, looks)


def look(*states: str, spec: RunSpec, **more: Any) -> Observation:
    return Observation(RunState.VERIFIED, Timeline(0.0, 90.0, 300.0), steps(*states, spec=spec), **more)


def test_the_stages_become_steps_in_their_order_with_references_filled_as_words() -> None:
    spec = spec_of(FULL)
    assert [(str(s.stage), str(s.kind), s.name, s.measured) for s in spec.steps] == [
        ("prepare", "restore", "restore", False),
        ("run", "command", "load", True),
        ("run", "script", "count.sh", True),
        ("cleanup", "command", "tidy", False),
    ]
    assert spec.steps[1].command == ("load", "2", "{run.inputs}")
    assert spec.steps[2].command == ("{run.program}", "{run.metrics}", "3", "true")
    assert (spec.limit_s(spec.steps[1]), spec.limit_s(spec.steps[2]), spec.longest_s) == (600, 7200, 15060)
    assert spec_from_json(json.loads(json.dumps(plain(spec)))) == spec


def test_the_measured_steps_are_repeated_and_the_others_are_not() -> None:
    spec = spec_of({**FULL, "repeats": 2})
    assert [(step.folder, step.repeat, step.name) for step in spec.steps] == [
        ("prepare-1/", 1, "restore"),
        ("run-1/", 1, "load, 1 of 2"),
        ("run-2/", 1, "count.sh, 1 of 2"),
        ("run-1/", 2, "load, 2 of 2"),
        ("run-2/", 2, "count.sh, 2 of 2"),
        ("cleanup-1/", 1, "tidy"),
    ]


def test_one_notebook_is_the_step_that_it_was_before_there_were_stages() -> None:
    (step,) = spec_of({"notebook": "job.ipynb"}).steps
    assert (step.name, step.folder, step.argv[-1]) == ("notebook", "", "{run}/job.json")
    request = run_job_flow(spec_of({"notebook": "job.ipynb"}), KEY)["Steps"]
    assert [(one["Name"], one["ActionOnFailure"]) for one in request] == [("notebook", "TERMINATE_CLUSTER")]


def test_a_jar_is_emrs_own_word_for_word_and_needs_nothing_of_ours() -> None:
    jar = {"jar": "s3://acme-jobs/a.jar", "args": ["{run_id}", "{core.replicas}"], "main_class": "a.B",
           "properties": {"n": "{core.replicas}"}, "action_on_failure": "CANCEL_AND_WAIT"}  # fmt: skip
    spec = spec_of({"run": [jar, {"jar": "command-runner.jar", "args": ["ls"]}]})
    request = run_job_flow(spec, KEY)
    assert request["Steps"][0] == {
        "Name": "a.jar",
        "ActionOnFailure": "CANCEL_AND_WAIT",
        "HadoopJarStep": {
            "Jar": "s3://acme-jobs/a.jar",
            "Args": [RUN_ID, "2"],
            "MainClass": "a.B",
            "Properties": [{"Key": "n", "Value": "2"}],
        },
    }
    assert request["Steps"][1]["ActionOnFailure"] == "TERMINATE_CLUSTER"
    assert request["BootstrapActions"] == []
    assert [step.reads for step in spec.steps] == [("s3://acme-jobs/a.jar",), ()], "EMR fetches it with the nodes' role"


def test_with_cleanup_a_command_of_emrs_runs_under_our_guard() -> None:
    raw = {"jar": "command-runner.jar", "args": ["ls"], "action_on_failure": "CONTINUE"}
    spec = spec_of({"prepare": [raw], "run": [raw], "cleanup": [raw]})
    assert [str(step.kind) for step in spec.steps] == ["command", "command", "jar"]
    assert {one["ActionOnFailure"] for one in run_job_flow(spec, KEY)["Steps"]} == {"CONTINUE"}


async def test_with_cleanup_each_step_of_the_job_waits_for_word_of_the_one_before() -> None:
    workspace = MemoryWorkspace()
    workspace.elsewhere["s3://acme-jobs/count.sh"] = b"echo"
    package = await NotebookPacker(workspace).pack(spec_of({**FULL, "repeats": 2}), KEY)
    after = {name: json.loads(body).get("after") for name, body in package.files.items() if "job" in name.split("/")[-1]
             and name.endswith(".json")}  # fmt: skip
    assert after == {
        "prepare-1/job.json": None,
        "run-1/job.json": f"{RUNS}/prepare-1/result.json",
        "run-2/job.json": f"{RUNS}/run-1/result.json",
        "run-1/job-2.json": f"{RUNS}/run-2/result.json",
        "run-2/job-2.json": f"{RUNS}/run-1/result-2.json",
        "cleanup-1/job.json": None,
    }
    second = json.loads(package.files["run-2/job-2.json"])
    assert second["command"] == [f"{RUNS}/run-2/count.sh", f"{RUNS}/metrics-2.json", "3", "true"]
    assert (second["fetch"], package.files["run-2/count.sh"]) == (f"{RUNS}/run-2/count.sh", b"echo")
    restore = json.loads(package.files["prepare-1/job.json"])
    assert restore["command"][-2:] == ["s3://acme-data/golden/", restore["fills"]]
    assert restore["fills"] == f"{RUNS}/inputs/"


async def test_what_a_job_runs_tells_it_from_another_and_its_settings_and_clean_up_do_not() -> None:
    def job(word: str, last: str = "tidy") -> dict[str, Any]:
        return {"run": [{"command": [word, "{core.replicas}"]}], "cleanup": [{"command": [last]}]}

    async def told(job: dict[str, Any], **values: Any) -> str:
        made = config(job)
        spec = made.space.apply(made.to_spec(), {**made.space.configured, **values})
        return (await NotebookPacker(MemoryWorkspace()).pack(spec, KEY)).notebook_sha256

    first = await told(job("load"))
    assert first == await told(job("load"), **{"core.replicas": 5}) == await told(job("load", "sweep"))
    assert first != await told(job("unload"))
    assert first != await told({"run": [{"jar": "command-runner.jar", "args": ["load", "{core.replicas}"]}]})


def test_an_application_is_given_to_spark_submit_in_client_mode() -> None:
    app = {"application": "s3://acme-jobs/a.jar", "main_class": "a.B", "conf": {"spark.executor.cores": 2},
           "jars": ["s3://acme-jobs/b.jar"], "args": ["--n", "{core.replicas}"]}  # fmt: skip
    spec = spec_of({"run": [app, {"application": "etl.py"}]}, **{"cluster.applications": ["Spark"]})
    assert spec.steps[0].command == (
        *("spark-submit", "--deploy-mode", "client", "--class", "a.B", "--jars", "s3://acme-jobs/b.jar"),
        *("--conf", "spark.executor.cores=2", "s3://acme-jobs/a.jar", "--n", "2"),
    )
    assert spec.steps[0].reads == ("s3://acme-jobs/a.jar", "s3://acme-jobs/b.jar")
    assert (spec.steps[1].command[-1], spec.steps[1].source) == ("{run.program}", "etl.py")


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"notebook": "a.ipynb", "run": [{"command": ["a"]}]}, "notebook and run both say what is measured"),
        ({}, "needs notebook, or run, the list of the steps that are measured"),
        (
            {"run": [{"comand": ["a"]}]},
            "job -> run -> 0\n  is no step: it needs one of notebook, script, application, command",
        ),
        ({"run": [{"comand": ["a"]}]}, "did you mean 'command'?"),
        ({"run": [{"command": ["a"], "script": "b.sh"}]}, "is both script and command: make two steps of it"),
        ({"run": [{"command": "ls -l"}]}, "must be a list, one word an item: no shell takes a line apart"),
        (
            {"run": [{"script": "http://x/y"}]},
            "job -> run -> 0 -> script\n  is neither s3://bucket/key nor a local path",
        ),
        ({"run": [{"command": ["a", "\ud800"]}]}, "word 2: 'utf-8' codec can't encode character"),
        ({"run": [{"command": ["a"]}], "kernel": "ir"}, "job -> kernel ir is for notebooks, and no step is one"),
        ({"run": [{"jar": "a.jar"}], "wheels": "s3://acme-data/w"}, "job -> wheels are what our runners need"),
        ({"run": [{"script": "a.sh", "arguments": []}]}, "unknown key 'arguments': "),
        ({"run": [{"command": ["bash", "-c", "echo {core.replicas}"]}]}, "stands in the code of a shell"),
        ({"run": [{"command": ["bash", "-euo", "pipefail", "-c", "x {run_id}"]}]}, "{run_id} stands in the code of"),
        ({"run": [{"command": ["sudo", "/bin/sh", "-xc", "x {core.replicas}"]}]}, "stands in the code of a shell"),
        ({"run": [{"command": ["bash", "--rcfile", "x", "-c", "--", "{run_id}"]}]}, "stands in the code of a shell"),
        (
            {"prepare": [{"restore": "s3://acme-data/{core.replicas}"}], "run": [{"command": ["a"]}]},
            "job -> prepare -> 0 -> restore: {core.replicas} is not filled here, but in parameters, args",
        ),
        ({"run": [{"command": ["a", "{core.replica}"]}]}, "did you mean {core.replicas}?"),
        ({"run": [{"command": ["a", "{run.inputs}"]}]}, "{run.inputs} refers to nothing"),
        ({"run": [{"script": "etl.ipynb"}]}, "is no program; a notebook has the key 'notebook'"),
        ({"run": [{"application": "a.py"}]}, "add Spark to cluster.applications"),
        ({"run": [{"restore": "s3://acme-data/x"}]}, "restore stands in job.prepare"),
        (
            {"prepare": [{"restore": "s3://acme-servo/nightly/runs/x"}], "run": [{"command": ["a"]}]},
            "lie in one another",
        ),
        ({"prepare": [{"restore": "s3://acme-servo"}], "run": [{"command": ["a"]}]}, "would grow with every run"),
        (
            {"prepare": [{"restore": "/local"}], "run": [{"command": ["a"]}]},
            "must be a prefix in S3: s3://bucket/prefix",
        ),
        (
            {
                "prepare": [{"restore": "s3://acme-data/x"}, {"restore": "s3://acme-data/y"}],
                "run": [{"command": ["a"]}],
            },
            "of several restore steps each needs an 'into' of its own",
        ),
        ({"run": [{"jar": "command-runner.jar"}]}, "command-runner.jar needs args"),
        ({"run": [{"jar": "a.jar", "timeout": "1m"}]}, "nothing of ours runs a jar"),
        ({"run": [{"jar": "a.jar", "action_on_failure": "STOP"}]}, "must be TERMINATE_CLUSTER or"),
        ({"run": [{"jar": "a.jar", "args": ["x" * 10_240]}]}, "EMR takes 10240 characters"),
        (
            {"run": [{"jar": "a.jar", "action_on_failure": "TERMINATE_CLUSTER"}], "cleanup": [{"command": ["a"]}]},
            "TERMINATE_CLUSTER would keep job.cleanup from running",
        ),
        (
            {"run": [{"jar": "a.jar"}, {"jar": "b.jar"}], "cleanup": [{"command": ["a"]}]},
            "nothing of ours could keep a.jar from running",
        ),
        ({"run": [{"command": ["a"]}], "parameters": {"x": 1}}, "parameters are a notebook's, and job.run has none"),
        (
            {"run": [{"command": ["a"]}], "metrics": {"m": {"from": "notebook", "name": "m"}}},
            "from: notebook, and job.run has no notebook",
        ),
        (
            {"run": [{"jar": "a.jar"}], "metrics": {"m": {"from": "output", "pattern": "(1)"}}},
            "what a jar prints is in EMR's logs alone",
        ),
        (
            {"run": [{"command": ["a"]}], "metrics": {"m": {"from": "file", "name": "m"}}},
            "no step is given {run.metrics}",
        ),
        ({"run": [{"command": ["a"]}] * 6, "repeats": 50}, "300 steps, repeats counted, and EMR takes 256"),
    ],
)
def test_what_makes_no_job_is_refused_with_the_place_and_the_remedy(job: dict[str, Any], words: str) -> None:
    assert words in wrong(job)


@pytest.mark.parametrize(
    ("job", "lines"),
    [
        (
            {"run": [{"command": ["a"]}, {"script": "http://x/y", "agrs": [1]}, "ls"]},
            ["emr.job.run.1: unknown key 'agrs': did you mean 'args'?", "emr.job.run.2 (it is 'ls'): is no step: "],
        ),
        (
            {"prepare": [{"restore": "/x", "into": "../x"}], "run": [{"command": ["a", None], "name": "b\nc"}]},
            [
                "emr.job.prepare.0.restore (it is '/x'): must be a prefix in S3: s3://bucket/prefix",
                "emr.job.prepare.0.into (it is '../x'): must be one folder's name",
                "emr.job.run.0.name (it is 'b\\nc'): holds a line's end",
                "emr.job.run.0.command: word 2: must be a text, a number, true or false",
            ],
        ),
    ],
)
def test_everything_that_is_wrong_with_steps_is_named_by_path_value_and_remedy(
    job: dict[str, Any], lines: list[str]
) -> None:
    with pytest.raises(UsageError) as refused:
        load(Path("servo.yaml"), configuration({"job": job})["emr"])
    told = str(refused.value).removeprefix("servo.yaml: ").split("\n")
    assert [line[: len(start)] for line, start in zip(told, lines, strict=True)] == lines


@pytest.mark.parametrize(
    "words",
    [
        ["bash", "-c", 'echo "$1"', "bash", "{core.replicas}"],
        ["bash", "-eo", "pipefail", "job.sh", "-c", "{core.replicas}"],
        ["sh", "-", "{core.replicas}"],
    ],
)
def test_a_reference_beside_the_code_of_a_shell_is_an_argument_like_any_other(words: list[str]) -> None:
    filled = spec_of({"run": [{"command": words}]}).steps[0].command
    assert filled == tuple(word.replace("{core.replicas}", "2") for word in words)


def test_several_steps_at_once_leave_no_room_for_preparation() -> None:
    job = {"prepare": [{"command": ["a"]}], "run": [{"command": ["b"]}]}
    assert "job -> prepare: with cluster.step_concurrency 2" in wrong(job, **{"cluster.step_concurrency": 2})


def test_a_setting_without_a_target_must_be_referred_to() -> None:
    own = {"components.web": {"cpu": {"values": [1, 2], "value": 1}}}
    assert "nothing refers to {web.cpu}" in wrong({"run": [{"command": ["a"]}]}, **own)
    aimed = {"components.web": {"cpu": {"values": [1, 2], "value": 1, "target": "job.parameters.cpu"}}}
    assert "job.run has no notebook: leave target out" in wrong({"run": [{"command": ["a"]}]}, **aimed)
    made = config({"run": [{"command": ["a", "--cpu={web.cpu}"]}]}, **own)
    spec = made.space.apply(made.to_spec(), {**made.space.configured, "web.cpu": "2"})
    assert spec.steps[0].command == ("a", "--cpu=2")


def test_measured_steps_are_known_by_their_ids_whatever_is_listed_beside_them() -> None:
    spec = spec_of(FULL)
    seen = steps(*["completed"] * 4, spec=spec)
    ids = [one.step_id for one in seen]
    foreign = StepLook("s-foreign", "load", StepState.COMPLETED, Timeline(0.0, 0.0, 9000.0))
    found = known_steps(spec, (foreign, *reversed(seen)), ids)
    assert [(one.step_id, one.stage) for one in found] == [
        *zip(ids, ("prepare", "run", "run", "cleanup"), strict=True),
        ("s-foreign", ""),
    ]
    assert measured_seconds(spec, found) == [20.0]
    (first, *_) = known_steps(spec, seen[1:], ids)
    assert (first.step_id, first.state) == (ids[0], StepState.PENDING)


def test_preparation_and_cleanup_have_times_of_their_own() -> None:
    spec = spec_of(FULL)
    found = phases(spec, look(*["completed"] * 4, spec=spec), None)
    assert (found["duration"], found["prepare_time"], found["cleanup_time"]) == (20.0, 10.0, 10.0)


def test_the_first_step_that_failed_is_to_blame_and_cleanup_has_no_say() -> None:
    spec = spec_of(FULL)
    good = JobEvidence(None)
    assert judge(spec, look("completed", "completed", "completed", "failed", spec=spec), good) is None
    assert judge(spec, look("completed", "completed", "completed", "cancelled", spec=spec), good) is None
    problem = judge(spec, look("failed", "failed", "failed", "completed", spec=spec), None)
    assert problem is not None
    assert (problem.reason, problem.details["failed_step"]) == (
        Reason.STEP_FAILED,
        {"stage": "prepare", "name": "restore", "number": 1},
    )
    lost = judge(spec, look("completed", "interrupted", "cancelled", "cancelled", spec=spec), None)
    assert lost is not None and lost.reason is Reason.INSTANCE_LOST


def test_a_cleanup_that_did_not_complete_is_told() -> None:
    spec = spec_of(FULL)
    assert untidied(spec, look(*["completed"] * 4, spec=spec)) == ()
    assert untidied(spec, look("completed", "completed", "completed", "failed", spec=spec)) == (
        "clean-up: tidy is failed; what it was to tidy may be left",
    )
    (running,) = untidied(spec, look("completed", "completed", "completed", "running", spec=spec))
    assert "did not run to its end" in running


def test_each_step_has_its_limit_and_cleanups_costs_no_measurement() -> None:
    spec = spec_of(FULL)
    ceilings = Ceilings(spec, 0.0, 1.0)

    def running(count: int, **limits: Any) -> tuple[Observation, float]:
        """The look while the step of that number runs, and when it began."""
        states = ["completed"] * count + ["running"] + ["pending"] * (3 - count)
        seen = [
            replace(one, timeline=Timeline(0.0, one.timeline.ready if n <= count else None, None))
            for n, one in enumerate(steps(*states, spec=spec))
        ]
        return Observation(RunState.RUNNING, Timeline(0.0, 90.0), tuple(seen)), 100.0 + 10 * count

    seen, began = running(1)
    assert where(spec, seen) == "run, step 1 of 2"
    assert ceilings.passed(seen, began + 600 + JOB_GRACE_S) is None
    late = ceilings.passed(seen, began + 601 + JOB_GRACE_S)
    assert late is not None and late.reason is Reason.JOB_TIMEOUT
    seen, began = running(3)
    assert ceilings.passed(seen, began + 61 + JOB_GRACE_S) is None
    assert not ceilings.overdue_tidying(seen, began + 60 + JOB_GRACE_S)
    assert ceilings.overdue_tidying(seen, began + 61 + JOB_GRACE_S)
    trial = Ceilings(with_userdata(spec, {"deadline_s": 50}), 0.0, 1.0)
    for count, passed in ((0, False), (1, True), (2, True), (3, False)):  # it counts from the first measured step
        seen, _ = running(count)
        assert (trial.passed(seen, 165.0) is not None) is passed


def under_way(*started: float | None, spec: RunSpec, failed: int | None = None) -> Observation:
    """A running cluster whose steps run since those times; None: not yet."""
    looks = [
        StepLook(
            f"s-{n}",
            step.name,
            StepState.FAILED if n == failed else StepState.PENDING if at is None else StepState.RUNNING,
            Timeline(0.0, at),
        )
        for n, (step, at) in enumerate(zip(spec.steps, started, strict=True))
    ]
    return Observation(RunState.RUNNING, Timeline(0.0, 90.0), tuple(known_steps(spec, looks)))


def test_of_steps_that_run_at_once_each_has_its_own_limit() -> None:
    job = {"run": [{"command": ["long"], "timeout": "2h"}, {"command": ["short"], "timeout": "10m"}]}
    spec = spec_of(job, **{"cluster.step_concurrency": 2})
    ceilings, both = Ceilings(spec, 0.0, 1.0), under_way(100.0, 101.0, spec=spec)
    assert ceilings.next_limit(both, 200.0) == pytest.approx(101 + 600 + JOB_GRACE_S - 200)
    (first, second) = both.steps
    alone = replace(both, steps=(first, replace(second, state=StepState.COMPLETED, timeline=Timeline(0.0, 101, 150))))
    assert ceilings.passed(alone, 100 + 7200 + JOB_GRACE_S) is None
    late = ceilings.passed(alone, 100 + 7201 + JOB_GRACE_S)
    assert late is not None and late.reason is Reason.JOB_TIMEOUT
    late = ceilings.passed(both, 101 + 601 + JOB_GRACE_S)
    assert late is not None and "the timeout of its step, 600 s" in late.message


def test_a_run_is_over_when_its_own_steps_are_or_when_those_that_are_left_would_run_for_nothing() -> None:
    two = {"run": [{"command": ["a"]}, {"command": ["b"]}]}
    at_once = spec_of(two, **{"cluster.step_concurrency": 2})
    assert not over(at_once, under_way(100.0, 100.0, spec=at_once))
    assert over(at_once, under_way(100.0, 100.0, spec=at_once, failed=1))
    one_by_one = spec_of(two)  # EMR itself ends the cluster, and says what of
    assert not over(one_by_one, under_way(100.0, None, spec=one_by_one, failed=0))
    jars = spec_of({"run": [{"jar": "a.jar", "action_on_failure": "CONTINUE"}, {"jar": "b.jar"}]})
    assert over(jars, under_way(100.0, None, spec=jars, failed=0))
    tidied = spec_of({**two, "cleanup": [{"command": ["c"]}]})
    assert not over(tidied, under_way(100.0, 101.0, 102.0, spec=tidied, failed=0))
    done = look("completed", "completed", spec=one_by_one)
    foreign = StepLook("s-foreign", "load", StepState.RUNNING, Timeline(0.0, 130.0))
    assert over(one_by_one, replace(done, state=RunState.RUNNING, steps=(*done.steps, foreign)))


async def collected(files: dict[str, bytes], job: dict[str, Any], *wanted: str) -> JobEvidence:
    workspace = MemoryWorkspace()
    for name, body in files.items():
        await workspace.put(RUN_ID, name, body)
    return await NotebookEvidence(workspace).collect(RUN_ID, spec_of(job), wanted)


METRICS = {
    "rows": {"from": "file", "name": "rows"},
    "speed": {"from": "output", "pattern": r"rate=(\S+)"},
}


async def test_metrics_of_commands_come_from_output_and_file_and_the_last_word_counts() -> None:
    files = {f"{step}/result.json": result_json() for step in ("prepare-1", "run-1", "run-2")}
    files |= {
        "run-1/output.txt": b"rate=1\n",
        "run-2/output.txt": b"rate=2\nrate=3 \xff\n",
        "metrics.json": b'{"rows": 7}',
    }
    found = await collected(files, {**FULL, "metrics": METRICS}, "rows", "speed")
    assert (found.problem, found.metrics, found.missing) == (None, {"rows": 7.0, "speed": 3.0}, {})
    del files["run-2/output.txt"]
    assert (await collected(files, {**FULL, "metrics": METRICS}, "speed")).metrics == {"speed": 1.0}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (None, "the job wrote no file of metrics"),
        (b"{", "the job's file of metrics is not JSON"),
        (b"[1]", "the job's file of metrics is not a JSON object"),
        (b'{"row": 1}', "the job's file of metrics has nothing under this name"),
        (b'{"rows": NaN}', "the value is not a number (NaN)"),
        (b'{"rows": Infinity}', "the value is infinite"),
        (b'{"rows": "canary"}', "the job recorded text, not a number"),
        (b'{"rows": true}', "the job recorded true or false, not a number"),
        (b'{"rows": ' + b"9" * 400 + b"}", "the number is too large"),
        (b" " * (1024 * 1024 + 1), "the job's file of metrics has more than 1048576 bytes"),
        (b"[" * 200_000, "the job's file of metrics is not JSON"),
    ],
)
async def test_what_is_no_number_never_reaches_the_wire(body: bytes | None, why: str) -> None:
    files = {f"{step}/result.json": result_json() for step in ("prepare-1", "run-1", "run-2")}
    if body is not None:
        files["metrics.json"] = body
    found = await collected(files, {**FULL, "metrics": METRICS}, "rows")
    assert (found.metrics, found.missing) == ({}, {"rows": why})


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"status": "failed", "evalue": "exit status 3", "exit_status": 3}, Reason.STEP_FAILED, "with exit status 3."),
        ({"status": "failed", "evalue": "signal 9", "exit_status": -9}, Reason.OUT_OF_MEMORY, "load was killed"),
        ({"status": "failed", "evalue": "137", "exit_status": 137}, Reason.OUT_OF_MEMORY, "load was killed"),
        ({"status": "timeout"}, Reason.JOB_TIMEOUT, "load passed its timeout and was ended on the cluster."),
        ({"status": "terminated"}, Reason.INTERRUPTED, "load was terminated from outside."),
        ({"status": "error", "ename": "OSError", "evalue": "no load"}, Reason.STEP_FAILED, "load could not be run"),
    ],
)  # fmt: skip
async def test_a_commands_failure_is_classed_by_how_it_ended(
    fields: dict[str, Any], reason: Reason, words: str
) -> None:
    files = {"prepare-1/result.json": result_json(), "run-1/result.json": result_json(**fields)}
    files["run-1/output.txt"] = b"the end"
    found = await collected(files, FULL)
    assert found.problem is not None
    assert (found.problem.reason, found.step, found.facts["output"]) == (reason, 1, "the end")
    assert words in found.problem.message
    assert "no load" not in found.problem.public


async def test_a_notebook_that_passed_the_timeout_of_its_step_is_told_of_that_one() -> None:
    job = {"run": [{"notebook": "a.ipynb", "timeout": "1m"}]}
    found = await collected({"run-1/result.json": result_json(status="timeout", cell_index=2)}, job)
    assert found.problem is not None
    assert found.problem.message == "The job passed its timeout in cell 2 and was ended on the cluster."
    assert found.problem.public == "the job passed its time limit in cell 2"


async def test_notebooks_and_commands_may_be_measured_together() -> None:
    job = {"run": [{"notebook": "a.ipynb"}, {"command": ["b"]}], "metrics": {"speed": METRICS["speed"]}}
    files = {"run-1/result.json": result_json(), "run-2/result.json": result_json(), "run-2/output.txt": b"nothing"}
    files["run-1/output.ipynb"] = notebook({"output_type": "stream", "name": "stdout", "text": "rate=4\n"})
    found = await collected(files, job, "speed")
    assert (found.problem, found.metrics, found.facts["cell_seconds"]) == (None, {"speed": 4.0}, [1.5])


def test_a_plan_names_every_step_with_its_stage_and_limit() -> None:
    rows = _job(spec_of({**FULL, "run": [*FULL["run"], {"notebook": "a.ipynb"}]}), "")
    assert [(mark, stage) for mark, stage, _ in rows] == [
        ("+", "prepare"), ("+", "run"), ("+", "run"), ("+", "run"), ("+", "cleanup"),
    ]  # fmt: skip
    assert rows[1][2] == "load: command load 2 {run.inputs}, at most 10 min 0 s"
    assert rows[-1][2] == "tidy: command tidy, at most 60.0 s, not measured"
