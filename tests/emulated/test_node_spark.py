"""Spark on the emulated node: it reads and writes s3:// unmodified, and a notebook runs in it as on a cluster."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support.node import Endpoint, Runner, node_on, serve

FORMS = Path(__file__).with_name("spark_forms.py")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serve() as made:
        yield made


@pytest.fixture
def runner(endpoint: Endpoint, tmp_path: Path) -> Iterator[Runner]:
    with node_on(endpoint, tmp_path / "node") as node:
        yield Runner(node, tmp_path / "logs")


def found_in(out: str) -> dict[str, Any]:
    [line] = [line for line in out.splitlines() if line.startswith("FOUND ")]
    return json.loads(line.removeprefix("FOUND "))


def folders_below(keys: list[str]) -> dict[str, int]:
    """How many objects there are below each folder of `forms/`, `_SUCCESS` left out."""
    counts: dict[str, int] = {}
    for key in keys:
        if not key.endswith("/_SUCCESS"):
            folder = key.split("/")[1]
            counts[folder] = counts.get(folder, 0) + 1
    return counts


@pytest.mark.nightly
def test_every_form_of_reading_and_writing_s3_works_unmodified(runner: Runner, endpoint: Endpoint) -> None:
    bucket = endpoint.make_bucket()
    endpoint.s3.put_object(Bucket=bucket, Key="code/app.py", Body=FORMS.read_bytes())
    endpoint.s3.put_object(Bucket=bucket, Key="large file.txt", Body=("x" * 99 + "\n") * 30_000)
    endpoint.s3.put_object(Bucket=bucket, Key="in/ü.txt", Body="read whole")
    options = ["--master", "yarn", "--deploy-mode", "cluster", "--conf", "spark.sql.shuffle.partitions=3"]
    ended = runner.run("spark-submit", *options, f"s3://{bucket}/code/app.py", bucket)
    assert ended.status == 0, ended.err

    found = found_in(ended.out)
    assert (found["master"], found["kept"]) == ("local[2]", "3")
    counts = ["parquet", "glob", "s3a", "csv", "json", "table", "large"]
    assert [found[name] for name in counts] == [20, 20, 20, 5, 40, 20, 30_000 * 99]
    assert found["partitioned"] == [[1, "a b+c", "2020-01-02 03:04:05"], [2, "50%/é", "2020-01-02 03:04:05"]]
    assert found["text"] == ["one", "three", "two"]
    assert found["whole"] == [["ü.txt", "read whole"]]
    assert "PATH_ALREADY_EXISTS" in found["again"]
    assert "PATH_NOT_FOUND" in found["absent"]
    assert "s3://no-such-bucket-anywhere/" in found["no bucket"]
    assert "Job aborted" in found["failed job"]

    keys = endpoint.keys(bucket, "forms/")
    # Neither temporary folders nor anything of the job that failed; the overwritten csv is one file.
    assert folders_below(keys) == {"csv": 1, "json": 4, "parquet": 2, "partitioned": 2, "table": 2, "text": 2}
    assert {key.rpartition("/")[0] for key in keys if key.startswith("forms/partitioned/part=")} == {
        "forms/partitioned/part=a b+c/when=2020-01-02 03%3A04%3A05",
        "forms/partitioned/part=50%25%2Fé/when=2020-01-02 03%3A04%3A05",
    }
    [csv_key] = [key for key in keys if key.endswith(".csv")]
    rows = list(csv.DictReader(io.StringIO(endpoint.text(bucket, csv_key))))
    assert len(rows) == 5
    assert all(row["word"] == f"w{int(row['number']) % 3}" for row in rows)
    texts = [endpoint.text(bucket, key) for key in keys if key.startswith("forms/text/part-")]
    assert "".join(texts) == "one\ntwo\nthree\n"


@pytest.mark.nightly
def test_a_class_of_a_jar_in_s3_and_a_file_of_sql_run_as_they_are_sent(runner: Runner, endpoint: Endpoint) -> None:
    bucket = endpoint.make_bucket()
    jar = io.BytesIO()
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
    endpoint.s3.put_object(Bucket=bucket, Key="app.jar", Body=jar.getvalue())
    sizes = ["--num-executors", "4", "--executor-memory", "2g", "--executor-cores", "2"]
    options = ["--master", "yarn", "--deploy-mode", "cluster", *sizes, "--class", "org.apache.hadoop.util.VersionInfo"]
    ended = runner.run("/usr/bin/spark-submit", *options, f"s3://{bucket}/app.jar")
    assert (ended.status, "Hadoop 3" in ended.out) == (0, True), ended.err

    sql = f"create table t using parquet location 's3://{bucket}/t' as select 41 + id as n from range(3);"
    endpoint.s3.put_object(Bucket=bucket, Key="job.sql", Body=f"{sql}\nselect sum(n) from t;\n")
    ended = runner.run("spark-sql", "--master", "yarn", "--deploy-mode", "client", "-f", f"s3://{bucket}/job.sql")
    assert (ended.status, ended.out) == (0, "126\n"), ended.err
    assert endpoint.keys(bucket, "t/")[0] == "t/_SUCCESS"


RUN_NOTEBOOK = """\
import sys
import papermill
papermill.execute_notebook(sys.argv[1], sys.argv[2], parameters={"out": sys.argv[3]}, kernel_name="python3")
"""

CELLS = """\
import json, os, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.range(10).repartition(1).write.parquet(out)
squares = spark.sparkContext.parallelize(range(4), 2).map(lambda n: (n * n, sys.prefix)).collect()
print(json.dumps({
    "rows": spark.read.parquet(out).count(),
    "kept": spark.conf.get("spark.test.kept"),
    "squares": squares,
    "prefix": sys.prefix,
    "home": os.environ["HOME"],
    "temporary": os.environ["TMPDIR"],
    "folder": os.getcwd(),
}))
"""


@pytest.mark.nightly
def test_a_notebook_runs_in_sparks_session_from_an_environment_made_on_the_node(
    runner: Runner, endpoint: Endpoint, tmp_path: Path
) -> None:
    bucket = endpoint.make_bucket()
    parameters = nbformat.v4.new_code_cell("out = None", metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [parameters, nbformat.v4.new_code_cell(CELLS)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    endpoint.s3.put_object(Bucket=bucket, Key="in.ipynb", Body=nbformat.writes(notebook))
    endpoint.s3.put_object(Bucket=bucket, Key="run.py", Body=RUN_NOTEBOOK)
    python = "/home/hadoop/servo-emr/bin/python"
    assert runner.run("python3", "-m", "venv", "--system-site-packages", "/home/hadoop/servo-emr").status == 0
    ended = runner.run(
        *("spark-submit", "--deploy-mode", "client", "--conf", f"spark.pyspark.driver.python={python}"),
        *("--conf", "spark.test.kept=yes", f"s3://{bucket}/run.py"),
        *(f"s3://{bucket}/in.ipynb", f"s3://{bucket}/out.ipynb", f"s3://{bucket}/data"),
    )
    assert ended.status == 0, ended.out + ended.err

    executed = nbformat.reads(endpoint.text(bucket, "out.ipynb"), as_version=4)
    [stdout] = [item for cell in executed.cells for item in cell.get("outputs", ()) if item.get("name") == "stdout"]
    node = tmp_path / "node"
    assert json.loads(stdout["text"]) == {
        "rows": 10,
        "kept": "yes",
        # The workers run the node's own Python: executors on a real cluster have no other.
        "squares": [[n * n, f"{node}/python"] for n in range(4)],
        "prefix": f"{node}/home/servo-emr",
        "home": f"{node}/home",
        "temporary": f"{node}/tmp",
        "folder": f"{node}/work/s-2",
    }
    assert len([key for key in endpoint.keys(bucket, "data/") if key.endswith(".parquet")]) == 1


@pytest.mark.nightly
def test_hadoops_file_system_shell_sees_the_same_objects(runner: Runner, endpoint: Endpoint) -> None:
    bucket = endpoint.make_bucket()
    endpoint.s3.put_object(Bucket=bucket, Key="a b/x+y%20=ü", Body="text")
    listed = runner.run("hadoop", "fs", "-ls", f"s3://{bucket}/a b")
    assert (listed.status, listed.err) == (0, "")
    assert listed.out.endswith(f" s3://{bucket}/a b/x+y%20=ü\n")
    assert runner.run("hdfs", "dfs", "-rm", "-r", f"s3://{bucket}/a b").status == 0
    assert endpoint.keys(bucket) == []
    refused = runner.run("hadoop", "distcp", "a", "b")
    assert (refused.status, "only `hadoop fs` and `hdfs dfs`" in refused.err) == (1, True)
