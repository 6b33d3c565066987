"""Forty settings and `spark: auto` on the emulator: described, adjusted, measured by a real Spark, which tells what it
was given; types, images and wheels of two architectures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.aws import Account
from tests.support.clusters import FORTY
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import write_notebook
from tests.support.servo import command, configuration

LAW = ("--model", "a=300,b=0,c=0,d=0")

_TELL = """
from IPython.display import display
from pyspark.sql import SparkSession
def record(name, data):
    scrap = {"name": name, "data": data, "encoder": "json", "version": 1}
    display({"application/scrapbook.scrap.json+json": scrap}, raw=True)
spark = SparkSession.builder.getOrCreate()
record("partitions", int(spark.conf.get("spark.sql.shuffle.partitions")))
record("p7", int(spark.conf.get("spark.acme.p7")))
record("cores", int(spark.conf.get("spark.executor.cores")))
record("heap", int(spark.conf.get("spark.executor.memory").rstrip("m")))
record("instances", int(spark.conf.get("spark.executor.instances")))
record("sum", sum([a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12]))
record("rows", spark.range(30).count())
"""
METRICS = ("partitions", "p7", "cores", "heap", "instances", "sum", "rows")


def write(folder: Path, **cluster: Any) -> None:
    """servo.yaml with the forty settings."""
    parameters = "\n".join(f"a{n} = 0" for n in range(13))
    write_notebook(folder / "job.ipynb", _TELL, parameters=parameters)
    document = configuration()
    emr = document["emr"]
    emr["job"] = {
        "notebook": "job.ipynb",
        "metrics": {name: {"from": "notebook", "name": name} for name in METRICS},
    }
    emr["components"] = FORTY["components"]
    emr["cluster"] = {**FORTY["cluster"], "applications": ["Spark"], "spark": "auto", **cluster}
    (folder / "servo.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


@pytest.mark.timeout(1000)  # a bootstrap, a JVM and a notebook on a machine that may be busy
def test_forty_settings_are_described_adjusted_and_measured_by_a_spark_that_was_given_them(
    emulator: EmulatorProcess, account: Account, tmp_path: Path
) -> None:
    write(tmp_path)
    described = command("servo", "describe", folder=tmp_path, environment=emulator.env)
    assert described.returncode == 0, described.stderr
    assert described.stdout.count("shuffle_partitions") == 1
    sets = ("spark.shuffle_partitions=30", "spark.p7=9", "job.a3=3", "core.inst_type=r5.xlarge", "core.replicas=2")
    words = [word for one in sets for word in ("--set", one)]
    options = ("cycle", "--yes", "-o", "json", *words)
    done = command("servo-emr", *options, folder=tmp_path, environment=emulator.env, patience=900)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    told = {name: record["metrics"][name] for name in METRICS}
    # Of an r5.xlarge, worked by hand in docs/spark.md: 3 cores, 19833 MiB, one executor a node. 12 x 2 and one 3.
    assert told == {
        "partitions": 30, "p7": 9, "cores": 3, "heap": 19833, "instances": 2, "sum": 27, "rows": 30,
    }  # fmt: skip
    assert len(record["settings"]) == 40
    properties = record["request"]["Configurations"][0]["Properties"]
    assert properties["spark.executor.memoryOverhead"] == "3719m"
    assert account.alive() == []


def test_executors_that_do_not_fit_are_refused_when_adjusted_and_nothing_is_staged(
    emulator: EmulatorProcess, account: Account, tmp_path: Path
) -> None:
    own = {"memory": {"min": 1, "max": 30, "value": 4, "format": "{}g",
                      "target": "configurations.spark-defaults[spark.executor.memory]"}}  # fmt: skip
    write(tmp_path, spark="as-configured")
    document = yaml.safe_load((tmp_path / "servo.yaml").read_text())
    document["emr"]["components"] = {**FORTY["components"], "own": own}
    document["emr"]["workspace"] = "s3://acme-servo/refused"
    (tmp_path / "servo.yaml").write_text(yaml.safe_dump(document))
    words = ("--set", "own.memory=12", "-o", "json")
    done = command("servo-emr", "plan", *words, folder=tmp_path, environment=emulator.env)
    refusal = json.loads(done.stdout)["refusal"]
    assert (done.returncode, refusal["reason"]) == (1, "configuration/out-of-memory")
    assert "an executor needs 13516 MiB" in refusal["message"]
    larger = ("--set", "own.memory=12", "--set", "core.inst_type=r5.xlarge", "-o", "json")
    assert command("servo-emr", "plan", *larger, folder=tmp_path, environment=emulator.env).returncode == 0
    assert account.keys("s3://acme-servo/refused") == []


@pytest.mark.parametrize(
    ("image", "wheels", "words"),
    [
        ("x86_64", None, "is for x86_64, and m6g.xlarge is arm64"),
        ("ami-0000000000000000f", None, "ami-0000000000000000f does not exist in the region"),
        (None, ["numpy-2.0-cp39-cp39-manylinux_2_17_x86_64.whl", "idna-3.0-py3-none-any.whl"],
         "m6g.xlarge is arm64, and emr.job.wheels has numpy for x86_64 alone"),
        (None, ["numpy-2.0-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                "numpy-2.0-cp39-cp39-manylinux_2_17_aarch64.manylinux2014_aarch64.whl"], None),
    ],
)  # fmt: skip
def test_graviton_needs_images_and_wheels_that_fit(
    emulator: EmulatorProcess, tmp_path: Path, image: str | None, wheels: list[str] | None, words: str | None
) -> None:
    changes: dict[str, Any] = {
        "components.primary.inst_type": {"values": ["m6g.xlarge"], "value": "m6g.xlarge"},
        "components.core.inst_type": {"values": ["m6g.xlarge"], "value": "m6g.xlarge"},
        "workspace": "s3://acme-servo/graviton",
        "prices": {"overrides": {"m6g.xlarge": {"ec2": 0.154, "fee": 0.0385}}},
        "job.parameters": {},
    }
    if image == "x86_64":
        found = emulator.client("ec2").describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])
        image = found["Images"][0]["ImageId"]
    if image is not None:
        changes["cluster.ami_id"] = image
    if wheels is not None:
        folder = f"wheels-{words is None}"
        for name in wheels:
            emulator.client("s3").put_object(Bucket="acme-servo", Key=f"{folder}/{name}", Body=b"")
        changes["job.wheels"] = f"s3://acme-servo/{folder}"
    write_notebook(tmp_path / "job.ipynb", "print(1)")
    (tmp_path / "servo.yaml").write_text(yaml.safe_dump(configuration(changes)))
    done = command("servo-emr", "plan", "-o", "json", folder=tmp_path, environment=emulator.env)
    document = json.loads(done.stdout)
    if words is None:
        assert (done.returncode, document["findings"]) == (0, [])
    else:
        assert done.returncode == 1
        assert words in document["refusal"]["message"]
