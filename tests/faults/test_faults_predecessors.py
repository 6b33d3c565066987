"""What the tools before this one did wrong, each shown not to happen here."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from servo_emr.config import EMRConfiguration
from servo_emr.domain.intervals import measured_seconds
from servo_emr.domain.run import StepState
from tests.support.proxy import Call, named
from tests.support.rig import BUCKET, Job, Rig, scrap
from tests.support.samples import SPEC, notebook, result_json, step_look
from tests.support.servo import command

Make = Callable[..., Rig]
ROOT = Path(__file__).parents[2]


async def test_predecessor_the_first_throttle_was_an_error_in_the_retry_itself(rig: Make) -> None:
    """The first call of every operation is throttled: the run is measured."""
    scene = rig()
    scene.shop.faults(
        *(
            {"kind": "throttle", "operation": operation, "occurrence": 1}
            for operation in ("DescribeCluster", "ListSteps", "ListInstances", "ListInstanceGroups", "s3:GetObject")
        ),
    )
    answer = await scene.cycle(["duration", "cost"])
    assert (answer["status"], sorted(answer["metrics"])) == ("ok", ["cost", "duration"])
    assert scene.shop.struck() == 5
    assert scene.holds() == []


async def test_predecessor_only_a_throttle_was_expected(rig: Make) -> None:
    """A server error, a reset connection and an expired token, each once, on looks: the run is measured."""
    scene = rig()
    scene.shop.faults(
        {"kind": "server-error", "operation": "DescribeCluster", "occurrence": 1},
        {"kind": "drop-reply", "operation": "DescribeCluster", "occurrence": 2},
        {"kind": "expired-credentials", "operation": "ListSteps", "occurrence": 1},
    )
    answer = await scene.cycle(["duration"])
    assert (answer["status"], scene.shop.struck()) == ("ok", 3)
    assert scene.holds() == []


async def test_predecessor_a_failed_destroy_was_logged_and_the_measurement_reported_as_good(rig: Make) -> None:
    """The job succeeds, the cluster does not end itself, and its termination fails: no measurement, but
    `operator/unreleased`, on record until a start has ended it."""
    scene = rig()
    scene.shop.faults(
        {"kind": "stuck", "phase": "terminating"}, {"kind": "server-error", "operation": "TerminateJobFlows"}
    )
    answer = await scene.cycle(["duration"])
    assert (answer["status"], answer["reason"]) == ("failed", "operator/unreleased")
    (record,) = scene.records()
    assert record["unreleased"] is True
    scene.shop.faults()
    (cluster,) = scene.clusters()
    assert cluster["Status"]["State"] == "TERMINATING"


async def test_predecessor_the_cluster_id_was_lost_when_the_answer_did_not_parse(rig: Make) -> None:
    """RunJobFlow's answer names no cluster: it is found by its key, measured, and there is one."""
    scene = rig()
    scene.shop.faults({"kind": "alter", "operation": "RunJobFlow", "member": "JobFlowId", "remove": True})
    answer = await scene.cycle(["duration"])
    (cluster,) = scene.clusters()
    assert answer["annotations"]["cluster_id"] == cluster["Id"]
    assert scene.shop.struck() == 1
    assert scene.holds() == []


def test_predecessor_a_preparation_step_equal_to_a_measured_one_was_counted_twice() -> None:
    """Steps are matched by their place: of two equal ones only the measured one counts."""
    (step,) = SPEC.steps
    spec = replace(SPEC, steps=(replace(step, measured=False), step))
    looks = [step_look(StepState.COMPLETED, 0.0, 400.0), step_look(StepState.COMPLETED, 400.0, 500.0)]
    assert measured_seconds(spec, looks) == [100.0]


async def test_predecessor_a_failure_was_noticed_after_every_later_step_had_been_paid_for(rig: Make) -> None:
    """The first of three repeats fails: the others never start, and the cluster ends."""
    scene = rig(Job(lambda run_id: None, None), job__repeats=3)
    scene.shop.faults({"kind": "end-step", "state": "FAILED", "after": 60, "occurrence": 1})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "job/step-failed")
    (cluster,) = scene.clusters()
    steps = scene.account["emr"].list_steps(ClusterId=cluster["Id"])["Steps"]
    assert Counter(step["Status"]["State"] for step in steps) == {"FAILED": 1, "CANCELLED": 2}
    assert scene.holds() == []


async def test_predecessor_setting_values_were_evaluated(rig: Make) -> None:
    """Python and YAML that would run are texts like any other: refused, and nothing has run."""
    scene = rig()
    mark = scene.folder / "evaluated"
    text = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    async with scene.started() as connector:
        for value in (text, f"$(touch {mark})", f"`touch {mark}`", f"4; touch {mark}"):
            for selector in ("core.replicas", "core.inst_type"):
                answer = await scene.adjust(connector, {selector: value})
                assert (answer["status"], answer["reason"]) == ("failed", "configuration/out-of-bounds")
    path = scene.folder / "servo.yaml"
    path.write_text(f"emr: !!python/object/apply:os.system ['touch {mark}']\n")
    done = command("servo-emr", "plan", folder=scene.folder, environment=scene.shop.env)
    assert done.returncode == 2, done.stderr
    assert not mark.exists()
    assert scene.holds() == []


async def test_predecessor_no_poll_had_a_limit(rig: Make) -> None:
    """A cluster that never gets ready, and a step that never ends, end at their limits."""
    for phase, changes, reason in (
        ("provisioning", {"limits__provisioning": "20m"}, "environment/capacity"),
        ("step", {}, "configuration/job-timeout"),
    ):
        scene = rig(**changes)
        scene.shop.faults({"kind": "stuck", "phase": phase})
        answer = await scene.cycle()
        assert answer["reason"] == reason
        assert scene.holds() == []


async def test_predecessor_a_cancel_left_what_it_had_started_running(rig: Make) -> None:
    """A measurement that is cancelled in the job returns only when its cluster is seen ending."""
    scene = rig()
    async with scene.started() as connector:
        running = asyncio.create_task(scene.measure(connector))
        loop = asyncio.get_running_loop()

        def cancel(call: Call) -> None:
            loop.call_soon_threadsafe(running.cancel)

        scene.shop.proxy.trap("after", named("ListSteps"), cancel, drop=False)
        with pytest.raises(asyncio.CancelledError):
            await running
        (cluster,) = scene.clusters()
        assert cluster["Status"]["State"] in ("TERMINATING", "TERMINATED")
        assert cluster["Status"]["StateChangeReason"]["Code"] == "USER_REQUEST"
    await scene.restart()
    assert scene.holds() == []


async def test_predecessor_settings_went_through_a_shell(rig: Make) -> None:
    """A job parameter full of a shell's letters arrives as it is, in job.json, and no argument of a step holds it."""
    hostile = '\'; touch /tmp/x; "$(id)" `id` \\ \n {run_id'
    scene = rig(job__parameters={"mode": "ok"})
    async with scene.started() as connector:
        answer = await scene.measure(connector, ["duration"], {"parameters": {"mode": hostile}})
    assert answer["status"] == "ok"
    (record,) = scene.records()
    job = json.loads(scene.account.read(f"{scene.workspace}/runs/{record['run_id']}/job.json"))
    assert job["parameters"]["mode"] == hostile
    assert "touch" not in json.dumps(record["request"])
    assert scene.holds() == []


async def test_predecessor_metric_values_were_reported_as_strings(rig: Make) -> None:
    """A number that the notebook prints is a number on the wire; one that it records as text is none."""
    printed = {"output_type": "stream", "name": "stdout", "text": "rate=32.50 rows/s\n"}
    scene = rig(Job(output=notebook(scrap("accuracy", "0.5"), printed)))
    answer = await scene.cycle(["duration", "speed", "accuracy"])
    assert answer["metrics"]["speed"] == {"unit": "rps", "value": 32.5}
    assert "accuracy" not in answer["metrics"]
    assert scene.holds() == []


def test_predecessor_the_sample_configuration_was_not_what_the_code_read() -> None:
    """The servo.yaml in the root of the project is read by the code that runs, every key of it."""
    sample = yaml.safe_load((ROOT / "servo.yaml").read_text())
    made = EMRConfiguration.parse_obj(sample["emr"])
    assert set(sample["emr"]) <= set(made.__fields__)
    assert made.to_spec().nodes > 1


async def test_predecessor_the_job_was_never_submitted_and_looks_had_no_pace(rig: Make) -> None:
    """The launch holds the job's step, roles, tags and log URI; a run takes fewer than 25 calls of EMR."""
    scene = rig()
    stride, scene.shop.clock.stride = scene.shop.clock.stride, 0.0
    try:
        answer = await scene.cycle(["duration"])
    finally:
        scene.shop.clock.stride = stride
    assert answer["status"] == "ok"
    (record,) = scene.records()
    request = record["request"]
    assert [step["HadoopJarStep"]["Args"][-1].rsplit("/", 1)[-1] for step in request["Steps"]] == ["job.json"]
    assert all(request[key] for key in ("ServiceRole", "JobFlowRole", "Tags", "LogUri"))
    assert len([call for call in scene.shop.proxy.calls() if call.service == "elasticmapreduce"]) < 25
    assert scene.holds() == []


async def test_predecessor_the_users_own_bucket_was_deleted_as_clean_up(rig: Make) -> None:
    """A run that fails and one that succeeds delete nothing: the bucket and all that was in it are there."""
    scene = rig(Job(lambda run_id: result_json(run_id, "failed", ename="ValueError")))
    assert (await scene.cycle())["status"] == "failed"
    scene.shop.proxy.job = Job()
    assert (await scene.cycle())["status"] == "ok"
    assert [call for call in scene.shop.proxy.calls() if call.operation.startswith(("DELETE", "Delete"))] == []
    assert BUCKET in [bucket["Name"] for bucket in scene.account["s3"].list_buckets()["Buckets"]]
    assert scene.holds() == []


async def test_predecessor_only_the_duration_was_reported_and_nothing_survived_a_restart(rig: Make) -> None:
    """The answer has dollars and the cluster's id; after a restart the record is there, and the run is in it."""
    scene = rig()
    answer = await scene.cycle()
    assert answer["metrics"]["cost"]["value"] > 0
    await scene.restart()
    (record,) = scene.records()
    (cluster,) = scene.clusters()
    assert answer["annotations"]["cluster_id"] == record["cluster_id"] == cluster["Id"]
    assert scene.holds() == []
