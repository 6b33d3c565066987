"""Bootstrap action and notebook step on an emulated node, with the workspace in S3, as a cluster runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servo_emr.notebook.results import Notebook, Result, ResultStatus, read_notebook, read_result
from servo_emr.notebook.step import argv, artefacts, bootstrap, job_document
from tests.support.node import Ended, Endpoint, Runner, node_on, serve
from tests.support.notebooks import write_notebook

RUN_ID = "20261120t101530-0123abcd"

WITHOUT_SPARK = "print(text)"
WITH_SPARK = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print(spark.range(100).count(), spark.conf.get("spark.servo.test"), spark.conf.get("spark.master"))
"""


class Cluster:
    """A workspace with one run in it, and the primary node on which it will be done."""

    def __init__(self, endpoint: Endpoint, runner: Runner, folder: Path) -> None:
        self.endpoint, self.runner, self.scratch = endpoint, runner, folder
        self.bucket = endpoint.make_bucket()
        self.prefix = f"s3://{self.bucket}/work/runs/{RUN_ID}"
        for name, body in artefacts().items():
            self.put(name, body)

    def put(self, name: str, body: bytes) -> None:
        self.endpoint.s3.put_object(Bucket=self.bucket, Key=f"work/runs/{RUN_ID}/{name}", Body=body)

    def get(self, name: str) -> bytes:
        body: bytes = self.endpoint.s3.get_object(Bucket=self.bucket, Key=f"work/runs/{RUN_ID}/{name}")["Body"].read()
        return body

    def prepare(self, source: str, parameters: dict[str, Any], **changes: Any) -> None:
        notebook = write_notebook(self.scratch / "made.ipynb", source, parameters="text = None")
        job = job_document(RUN_ID, self.prefix, parameters, "python3", 120) | changes
        self.put("input.ipynb", notebook.read_bytes())
        self.put("job.json", json.dumps(job).encode())

    def bootstrap(self) -> Ended:
        script, *arguments = (word.replace("{run}", self.prefix) for word in bootstrap())
        return self.runner.script(script, *arguments)

    def step(self, *applications: str, **confs: str) -> Ended:
        """Runs the measured step, with options of its own for spark-submit."""
        program, *words = (word.replace("{run}", self.prefix) for word in argv(applications))
        options = [word for name, value in confs.items() for word in ("--conf", f"{name.replace('_', '.')}={value}")]
        return self.runner.run(program, *options, *words)

    @property
    def result(self) -> Result:
        return read_result(self.get("result.json"), RUN_ID)

    @property
    def output(self) -> Notebook:
        return read_notebook(self.get("output.ipynb"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with serve() as endpoint, node_on(endpoint, folder / "node") as node:
        made = Cluster(endpoint, Runner(node, folder / "logs"), folder)
        ended = made.bootstrap()
        assert ended.status == 0, ended.err
        assert "servo-emr is ready, with Python 3." in ended.out
        yield made


def test_a_job_without_spark_runs_from_s3_and_leaves_everything_there(cluster: Cluster) -> None:
    text = 'it\'s "quoted" $HOME `id` {x}\nand a second line'
    cluster.prepare(WITHOUT_SPARK, {"text": text})
    ended = cluster.step()
    assert ended.status == 0, ended.err
    assert cluster.result.succeeded
    assert cluster.output.streams == text + "\n"
    progress = json.loads(cluster.get("progress.json"))
    assert (progress["run_id"], progress["cell"], progress["cells"]) == (RUN_ID, 2, 2)


@pytest.mark.nightly
def test_under_spark_submit_the_notebook_finds_the_steps_own_spark(cluster: Cluster) -> None:
    cluster.prepare(WITH_SPARK, {})
    ended = cluster.step("Spark", spark_servo_test="from-the-step")
    assert ended.status == 0, ended.out + ended.err
    assert cluster.result.succeeded
    assert not cluster.result.jvm_lost
    assert cluster.output.streams == "100 from-the-step local[2]\n"


@pytest.mark.nightly
def test_the_exit_status_of_a_failing_notebook_passes_through_spark_submit(cluster: Cluster) -> None:
    cluster.prepare("raise ValueError(text)", {"text": "no"})
    assert cluster.step("Spark").status == 1
    result = cluster.result
    assert (result.status, result.cell_index, result.evalue) == (ResultStatus.FAILED, 1, "no")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"input": "s3://{bucket}/absent.ipynb"}, "404"),
        ({"output": "s3://no-such-bucket-here/output.ipynb"}, "NoSuchBucket"),
    ],
    ids=["no-input", "no-output"],
)
def test_s3s_refusal_is_an_error_with_its_cause(cluster: Cluster, changes: dict[str, str], cause: str) -> None:
    cluster.prepare(WITHOUT_SPARK, {}, **{name: uri.format(bucket=cluster.bucket) for name, uri in changes.items()})
    assert cluster.step().status == 1
    assert cluster.result.status is ResultStatus.ERROR
    assert cause in cluster.result.evalue


def test_an_absent_job_is_named(cluster: Cluster) -> None:
    ended = cluster.runner.run(*argv(())[:2], f"s3://{cluster.bucket}/absent.json")
    assert ended.status == 2
    assert f"cannot read the job s3://{cluster.bucket}/absent.json" in ended.err


def test_a_bootstrap_action_without_its_files_fails_and_says_what_is_missing(cluster: Cluster) -> None:
    ended = cluster.runner.script(f"{cluster.prefix}/bootstrap.sh", f"s3://{cluster.bucket}/elsewhere/")
    assert ended.status == 1
    assert f"there is no s3://{cluster.bucket}/elsewhere/constraints.txt" in ended.err


@pytest.mark.nightly
def test_a_bootstrap_action_installs_from_the_wheels_alone_when_they_are_given(cluster: Cluster) -> None:
    cluster.put("constraints.txt", artefacts()["constraints.txt"].replace(b"\ntqdm==", b"\ntqdm==0.0.1."))
    try:
        cluster.endpoint.s3.put_object(Bucket=cluster.bucket, Key="wheels/readme.txt", Body=b"no wheel")
        ended = cluster.runner.script(f"{cluster.prefix}/bootstrap.sh", cluster.prefix, f"s3://{cluster.bucket}/wheels")
    finally:
        cluster.put("constraints.txt", artefacts()["constraints.txt"])
    assert ended.status == 1
    assert f"(from s3://{cluster.bucket}/wheels)" in ended.err
