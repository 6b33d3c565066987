"""Small notebooks for the emulated cluster, and what a test looks for in what became of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat

__all__ = ["CANARIES", "job_notebook", "records", "spark_notebook", "write_notebook"]

CANARIES = {
    "source": "canary-in-the-source",
    "exception": "canary-in-the-exception",
    "stdout": "canary-on-stdout",
    "stderr": "canary-on-stderr",
}
"""Words of the failing notebook that must not leave the account, by where they stand."""

_RECORD = """
from IPython.display import display
def record(name, data):
    scrap = {"name": name, "data": data, "encoder": "json", "version": 1}
    display({"application/scrapbook.scrap.json+json": scrap}, raw=True)
"""

_BEHAVIOUR = f"""
import os, sys, time
if mode == "fail":
    word = "canary"
    print(word + "-on-stdout", flush=True)
    print(word + "-on-stderr", file=sys.stderr, flush=True)
    raise ValueError(word + "-in-the-exception")  # {CANARIES["source"]}
if mode == "sleep":
    time.sleep(600)
if mode == "die":
    os.kill(os.getpid(), 9)
"""

_SPARK = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
names = spark.read.csv(names_at, header=True, inferSchema=True)
numbers = spark.range(30).selectExpr("id", "id % 3 AS kind")
numbers.join(names, "kind").write.partitionBy("name").parquet(out)
again = spark.read.parquet(out)
record("rows", again.count())
record("names", sorted(row["name"] for row in again.select("name").distinct().collect()))
record("sum", again.agg({"id": "sum"}).first()[0])
"""


def write_notebook(path: Path, *sources: str, parameters: str | None = None) -> Path:
    """A notebook of code cells at `path`; `parameters` becomes the first cell, tagged so."""
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in sources]
    if parameters is not None:
        cells.insert(0, nbformat.v4.new_code_cell(parameters.strip(), metadata={"tags": ["parameters"]}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def job_notebook(path: Path) -> Path:
    """Does what its parameter `mode` says: ok, fail, sleep or die. Records accuracy and nodes, prints a rate."""
    work = 'record("accuracy", correct / 16)\nrecord("nodes", nodes)\nprint("rate=%s rows/s" % (correct * 2.5))'
    return write_notebook(path, _RECORD, _BEHAVIOUR, work, parameters='mode = "ok"\ncorrect = 13\nnodes = 0')


def spark_notebook(path: Path) -> Path:
    """Joins 30 numbers with the csv at `names_at`, writes parquet to `out`, reads it back and records what it read."""
    return write_notebook(path, _RECORD, _SPARK, parameters='names_at = ""\nout = ""')


def records(executed: bytes) -> dict[str, Any]:
    """What an executed notebook recorded, by name; read with nothing of ours."""
    found: dict[str, Any] = {}
    for cell in json.loads(executed)["cells"]:
        for output in cell.get("outputs", ()):
            scrap = output.get("data", {}).get("application/scrapbook.scrap.json+json")
            if scrap is not None:
                found[scrap["name"]] = scrap["data"]
    return found
