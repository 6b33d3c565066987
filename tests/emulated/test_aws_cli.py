"""The real `aws` command line on the emulator: its commands are those of its own documentation, ids and buckets apart.

Two kinds: examples are read out of the installed awscli, word for word; the Spark steps have the form that the EMR
Release Guide shows for them.
"""

from __future__ import annotations

import ast
import gzip
import importlib.resources
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from servo_emr.cli.create_cluster import create_cluster
from servo_emr.config import EMRConfiguration
from tests.support.emulator import EmulatorProcess

BUCKET = "acme-work"
# What the examples assume to be configured.
CONFIG = """\
[default]
output = json
emr =
    service_role = EMR_DefaultRole
    instance_profile = EMR_EC2_DefaultRole
"""

Aws = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--model", "a=300,b=0,c=0,d=0", "--noise", "0") as process:
        process.client("s3").create_bucket(Bucket=BUCKET)
        yield process


@pytest.fixture
def aws(emulator: EmulatorProcess, tmp_path: Path) -> Aws:
    """Runs `aws` with these words, against the emulator and nothing else."""
    config = tmp_path / "config"
    config.write_text(CONFIG, encoding="utf-8")
    environment = {**emulator.env, "AWS_CONFIG_FILE": str(config), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "awscli", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def example(page: str, heading: str, **changed: str) -> list[str]:
    """The words of the first command below a heading of awscli's examples of EMR; `changed`: ids and buckets."""
    text = (importlib.resources.files("awscli") / "examples" / "emr" / f"{page}.rst").read_text(encoding="utf-8")
    found = re.search(r"^ +aws (emr .*?[^\\])$", text[text.index(heading) :], re.MULTILINE | re.DOTALL)
    assert found is not None
    command = found[1]
    for before, after in changed.items():
        assert before in command
        command = command.replace(before, after)
    return shlex.split(command.replace("\\\n", " "))


def answer(ended: subprocess.CompletedProcess[str]) -> Any:
    """What a command printed, which succeeded."""
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout) if ended.stdout else None


ETL = f"""\
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("etl").getOrCreate()
lines = spark.read.text("s3://{BUCKET}/in")
lines.groupBy("value").count().repartition(1).write.parquet(sys.argv[1])
print(spark.read.parquet(sys.argv[1]).count(), "words by", spark.sparkContext.master)
names = "spark.sql.shuffle.partitions spark.odd.name spark.pyspark.python spark.ui.enabled spark.local.dir".split()
print([spark.sparkContext.getConf().get(name) for name in names])
"""
DEFAULTS = {
    "spark.sql.shuffle.partitions": "7",
    "spark.odd.name": "a=b: #c\\d",
    "spark.pyspark.python": "/usr/bin/python3",
    # What makes the Spark this machine's is the emulator's.
    "spark.master": "yarn",
    "spark.ui.enabled": "true",
    "spark.local.dir": "/mnt/spark",
    "spark.hadoop.fs.s3.impl": "com.amazon.ws.emr.hadoop.fs.EmrFileSystem",
}


@pytest.mark.nightly
def test_a_transient_cluster_runs_spark_on_s3_with_its_configurations_and_ends(
    emulator: EmulatorProcess, aws: Aws
) -> None:
    s3 = emulator.client("s3")
    s3.put_object(Bucket=BUCKET, Key="etl.py", Body=ETL)
    s3.put_object(Bucket=BUCKET, Key="in/words.txt", Body="tea\nmilk\ntea\n")
    words = ["--master", "yarn", "--deploy-mode", "cluster", "--conf", "spark.yarn.submit.waitAppCompletion=true"]
    arguments = ",".join(["spark-submit", *words, f"s3://{BUCKET}/etl.py", f"s3://{BUCKET}/out"])
    made = answer(
        aws(
            *example("create-cluster-examples", "Example 6: To create a cluster that includes Spark"),
            *("--name", "Add Spark Step Cluster", "--log-uri", f"s3://{BUCKET}/myLog", "--enable-debugging"),
            *("--configurations", json.dumps([{"Classification": "spark-defaults", "Properties": DEFAULTS}])),
            "--steps",
            f"Type=CUSTOM_JAR,Name=Spark Program,Jar=command-runner.jar,ActionOnFailure=CONTINUE,Args=[{arguments}]",
        )
    )
    cluster_id = made["ClusterId"]
    assert made["ClusterArn"].endswith(f":cluster/{cluster_id}")
    emulator.advance(2000)
    assert aws("emr", "wait", "cluster-terminated", "--cluster-id", cluster_id).returncode == 0
    described = answer(aws("emr", "describe-cluster", "--cluster-id", cluster_id))["Cluster"]
    assert described["Status"]["State"] == "TERMINATED"
    assert described["Status"]["StateChangeReason"]["Code"] == "ALL_STEPS_COMPLETED"
    step, debugging = answer(aws("emr", "list-steps", "--cluster-id", cluster_id))["Steps"]
    assert (step["Name"], step["Status"]["State"]) == ("Spark Program", "COMPLETED")
    assert (debugging["Config"]["Args"], debugging["Status"]["State"]) == (["state-pusher-script"], "COMPLETED")

    log = f"myLog/{cluster_id}/steps/{step['Id']}"
    texts = {
        name: gzip.decompress(s3.get_object(Bucket=BUCKET, Key=f"{log}/{name}.gz")["Body"].read()).decode()
        for name in ("stdout", "controller", "syslog")
    }
    counted, configured = texts["stdout"].splitlines()
    assert re.fullmatch(r"2 words by local\[\d+\]", counted)
    shuffles, odd, python, ui, folder = ast.literal_eval(configured)
    assert [shuffles, odd, ui] == ["7", "a=b: #c\\d", "false"]
    assert python.endswith("/node/shims/python3") and folder.endswith("/node/tmp")
    assert "Step succeeded with exitCode 0 and took 300 seconds" in texts["controller"]
    assert texts["syslog"] == ""
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="out/")["Contents"]]
    assert len(keys) == 2 and keys[0] == "out/_SUCCESS" and keys[1].endswith(".parquet")


def test_a_cluster_that_waits_takes_steps_cancels_them_and_is_ended(emulator: EmulatorProcess, aws: Aws) -> None:
    create = example("create-cluster-examples", "Example 13: To add tags when creating a cluster")
    cluster_id = answer(aws(*create))["ClusterId"]
    emulator.advance(600)
    assert aws(*example("wait", "up and running", **{"j-3SD91U2E1L2QX": cluster_id})).returncode == 0
    listed = answer(aws(*example("list-instances", "lists all", **{"j-3C6XNQ39VR9WL": cluster_id})))["Instances"]
    assert [instance["Status"]["State"] for instance in listed] == ["RUNNING"] * 3
    described = answer(aws("emr", "describe-cluster", "--cluster-id", cluster_id))["Cluster"]
    assert {tag["Key"]: tag["Value"] for tag in described["Tags"]} == {
        "name": "Shirley Rodriguez",
        "age": "29",
        "department": "Analytics",
    }

    steps = ["Type=CUSTOM_JAR,Name=sleeper,ActionOnFailure=CONTINUE,Jar=command-runner.jar,Args=[sleep,600]"]
    steps += ["Type=CUSTOM_JAR,Name=later,ActionOnFailure=CONTINUE,Jar=command-runner.jar,Args=[bash,-c,exit 3]"]
    ids = answer(aws("emr", "add-steps", "--cluster-id", cluster_id, "--steps", *steps))["StepIds"]
    cancelled = answer(
        aws(
            *("emr", "cancel-steps", "--cluster-id", cluster_id, "--step-ids", ids[0]),
            *("--step-cancellation-option", "TERMINATE_PROCESS"),
        )
    )
    assert [info["Status"] for info in cancelled["CancelStepsInfoList"]] == ["SUBMITTED"]
    emulator.advance(600)
    states = answer(aws("emr", "list-steps", "--cluster-id", cluster_id, "--query", "Steps[].[Name,Status.State]"))
    assert states == [["later", "FAILED"], ["sleeper", "CANCELLED"]]

    assert aws("emr", "terminate-clusters", "--cluster-ids", cluster_id).returncode == 0
    emulator.advance(120)
    assert aws("emr", "wait", "cluster-terminated", "--cluster-id", cluster_id).returncode == 0
    reason = ["--query", "Cluster.Status.[State,StateChangeReason.Code]", "--output", "text"]
    ended = aws("emr", "describe-cluster", "--cluster-id", cluster_id, *reason)
    assert ended.stdout == "TERMINATED\tUSER_REQUEST\n"


def test_the_cluster_that_the_optimizer_recommends_is_made_by_its_command(emulator: EmulatorProcess, aws: Aws) -> None:
    config = EMRConfiguration.generate(workspace=f"s3://{BUCKET}/nightly")
    config.cluster.log_uri = f"s3://{BUCKET}/logs"
    config.cluster.tags = {"team": "data"}
    settings = {**config.space.configured, "core.inst_type": "r5.xlarge", "core.replicas": 3}
    cluster_id = answer(aws(*shlex.split(create_cluster(config, settings))[1:]))["ClusterId"]
    emr = emulator.client("emr")
    cluster = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
    assert (cluster["ReleaseLabel"], cluster["AutoTerminate"]) == ("emr-7.1.0", True)
    assert [one["Name"] for one in cluster["Applications"]] == ["Spark"]
    assert cluster["Tags"] == [{"Key": "team", "Value": "data"}]
    groups = emr.list_instance_groups(ClusterId=cluster_id)["InstanceGroups"]
    assert {one["InstanceGroupType"]: (one["InstanceType"], one["RequestedInstanceCount"]) for one in groups} == {
        "MASTER": ("m5.xlarge", 1),
        "CORE": ("r5.xlarge", 3),
    }
    emulator.advance(1200)
    state = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"]
    assert state == "TERMINATED", "it has no step, and ends"


def test_a_jar_that_does_not_run_here_is_refused_by_name(aws: Aws) -> None:
    ended = aws(*example("create-cluster-examples", "Example 17: Add custom JAR steps when creating a cluster"))
    assert ended.returncode != 0
    assert "ValidationException" in ended.stderr
    assert "s3://amzn-s3-demo-bucket/mytest.jar" in ended.stderr
