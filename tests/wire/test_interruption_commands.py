"""One-shot commands that are interrupted, and `servo-emr sweep`, which ends what was left."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.oneshot import OneShot
from tests.support.promise import ALIVE, Handled, Surroundings, broken
from tests.support.proxy import Call, named
from tests.support.sampled import sampled
from tests.support.servo import command
from tests.support.stage import BUCKET, Stage, clusters_of, records_of, staged

COMMANDS = {
    "servo measure": ("servo", "measure", "duration"),
    "servo-emr cycle": ("servo-emr", "cycle", "--yes"),
}
SIGNALLED = [(name, number) for name in COMMANDS for number in (signal.SIGINT, signal.SIGTERM)]
ID = "0a1b2c3d"
OURS = ("20261120t101112-aaaaaaaa", "20261120t101113-bbbbbbbb")


@pytest.fixture
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage for each test: the logs of another's cluster would come while this one's are looked at."""
    with staged(tmp_path_factory.mktemp("stage")) as found:
        yield found


def unverified(stage: Stage, workspace: str, before: Surroundings, record: dict[str, Any]) -> list[str]:
    """What of the promise does not hold, beside that the end is seen and not verified yet: the next start does that."""
    stays = f"the end of {record['cluster_id']} is not verified on the record of {record['run_id']}"
    found = broken(Handled(stage.account, f"s3://{BUCKET}/{workspace}", before))
    assert stays in found
    return [problem for problem in found if problem != stays]


@pytest.mark.parametrize(("name", "number"), sampled(SIGNALLED, SIGNALLED[2]))
def test_f28_a_signal_ends_the_cluster_of_a_one_shot_command(
    stage: Stage, tmp_path: Path, name: str, number: signal.Signals
) -> None:
    """In the job: SIGINT or SIGTERM to `servo measure` and to `servo-emr cycle`; the cluster is seen ending."""
    workspace = f"{name} {number.name}".replace(" ", "-")
    stage.prepare(tmp_path, workspace)
    stage.proxy.reset()
    before = Surroundings.of(stage.account)
    with OneShot(tmp_path, stage.env, *COMMANDS[name]) as shot:
        stage.proxy.trap("after", named("GetObject", "/progress.json"), lambda call: shot.send(number), drop=False)
        assert shot.wait() == 1
    assert "stopping: the run's cluster is being ended" in shot.stderr
    (cluster,) = clusters_of(stage.account, f"s3://{BUCKET}/{workspace}")
    assert cluster["Status"]["State"] not in ALIVE
    assert cluster["Status"]["StateChangeReason"]["Code"] == "USER_REQUEST"
    (record,) = records_of(stage.account, f"s3://{BUCKET}/{workspace}")
    assert (record["verdict"], record["reason"], record["cluster_id"]) == ("aborted", "shutdown", cluster["Id"])
    assert unverified(stage, workspace, before, record) == []
    lease = json.loads(stage.account.read(f"s3://{BUCKET}/{workspace}/lease.json"))
    assert lease["holder"] is None


@pytest.mark.parametrize("name", sampled(COMMANDS, "servo-emr cycle"))
def test_f28_a_second_sigint_prints_the_command_that_ends_the_cluster_and_leaves_at_once(
    stage: Stage, tmp_path: Path, name: str
) -> None:
    """At teardown: a second SIGINT; it leaves at once with the command to run by hand; `sweep` ends what is left."""
    workspace = f"twice-{name}".replace(" ", "-")
    stage.prepare(tmp_path, workspace)
    stage.proxy.reset()
    before = Surroundings.of(stage.account)
    with OneShot(tmp_path, stage.env, *COMMANDS[name]) as shot:

        def again(call: Call) -> None:
            shot.send(signal.SIGINT)
            shot.wait()

        stage.proxy.trap("before", named("TerminateJobFlows"), again)
        stage.proxy.trap("after", named("DescribeCluster"), lambda call: shot.send(signal.SIGINT), drop=False)
        assert shot.wait() == 130
    (cluster,) = clusters_of(stage.account, f"s3://{BUCKET}/{workspace}")
    by_hand = f"aws emr terminate-clusters --region us-east-1 --cluster-ids {cluster['Id']}"
    assert by_hand in shot.stderr.splitlines()[-1]
    assert cluster["Status"]["State"] in ALIVE

    # What it left is what a sweep finds: nobody drives the workspace any more.
    swept = command("servo-emr", "sweep", "--yes", "-o", "json", folder=tmp_path, environment=stage.env)
    assert swept.returncode == 0, swept.stderr
    (found,) = json.loads(swept.stdout)
    assert (found["cluster_id"], found["outcome"]) == (cluster["Id"], "ended")
    (record,) = records_of(stage.account, f"s3://{BUCKET}/{workspace}")
    assert (record["verdict"], record["state"]) == ("aborted", "verified")
    assert broken(Handled(stage.account, f"s3://{BUCKET}/{workspace}", before)) == []


def by_hand(stage: Stage, name: str, tags: dict[str, str], protected: bool = False) -> str:
    """A cluster that somebody has started, and that waits for work for ever."""
    group = {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1}
    answer = stage.account["emr"].run_job_flow(
        Name=name,
        ReleaseLabel="emr-7.1.0",
        Applications=[{"Name": "Hadoop"}],
        ServiceRole="EMR_DefaultRole",
        JobFlowRole="EMR_EC2_DefaultRole",
        Instances={
            "InstanceGroups": [group],
            "KeepJobFlowAliveWhenNoSteps": True,
            "TerminationProtected": protected,
        },
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    return str(answer["JobFlowId"])


def tags(run_id: str, workspace_id: str = ID) -> dict[str, str]:
    return {"servo-emr:run": run_id, "servo-emr:workspace": workspace_id}


@pytest.fixture
def littered(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[str]]:
    """(folder, our clusters, others' clusters) on a workspace whose id is ID."""
    folder = tmp_path_factory.mktemp("sweep")
    stage.prepare(folder, "sweep")
    body = json.dumps({"schema": 1, "id": ID}).encode()
    stage.account["s3"].put_object(Bucket=BUCKET, Key="sweep/workspace.json", Body=body)
    ours = [
        by_hand(stage, f"servo-emr {ID} {OURS[0]}", tags(OURS[0])),
        by_hand(stage, f"servo-emr {ID} {OURS[1]}", tags(OURS[1]), protected=True),
    ]
    others = [
        by_hand(stage, f"servo-emr {ID} {OURS[0]} copy", tags(OURS[0])),
        by_hand(stage, f"servo-emr {ID}0 {OURS[0]}", tags(OURS[0], f"{ID}0")),
        by_hand(stage, f"servo-emr {ID} 20261120t101114-cccccccc", {"team": "data"}),
        by_hand(stage, f"Servo-EMR {ID} {OURS[0]}", tags(OURS[0])),
    ]
    stage.emulator.advance(1200)
    return folder, ours, others


def swept(stage: Stage, folder: Path, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    """(exit status, what it lists, what it says) of a sweep."""
    done = command("servo-emr", "sweep", *words, "-o", "json", folder=folder, environment=stage.env)
    return done.returncode, json.loads(done.stdout), done.stderr


def state(stage: Stage, cluster_id: str) -> str:
    return str(stage.account["emr"].describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"])


def test_a_sweep_lists_what_is_ours_by_key_and_with_yes_ends_it_and_nothing_else(
    stage: Stage, littered: tuple[Path, list[str], list[str]]
) -> None:
    folder, ours, others = littered
    status, listed, said = swept(stage, folder)
    assert (status, {cluster["cluster_id"]: cluster["run_id"] for cluster in listed}) == (
        1,
        dict(zip(ours, OURS, strict=True)),
    )
    assert all(cluster["age_s"] > 1199.9 for cluster in listed), "20 minutes, but for the rounding of EMR's times"
    assert {(cluster["why"], cluster["outcome"]) for cluster in listed} == {("no record tells of it", "alive")}
    assert f"{others[2]} has a name like ours, but not our tag: it is left alone" in said
    assert {state(stage, cluster_id) for cluster_id in ours} == {"WAITING"}

    people = command("servo-emr", "sweep", folder=folder, environment=stage.env)
    assert people.returncode == 1
    assert all(cluster_id in people.stdout for cluster_id in ours)
    assert "Nothing was ended: say --yes to end them." in people.stderr

    status, listed, _ = swept(stage, folder, "--yes")
    assert (status, [cluster["outcome"] for cluster in listed]) == (0, ["ended", "ended"])
    assert {state(stage, cluster_id) for cluster_id in ours} == {"TERMINATED"}
    assert {state(stage, cluster_id) for cluster_id in others} == {"WAITING"}

    assert swept(stage, folder)[:2] == (0, [])
