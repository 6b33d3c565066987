"""The benchmark of searches counts what it says: gives nothing away to a search that gives up, drops nothing unsaid."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servo_emr.optimizer.prices import Prices

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "search.py"
HEAD = "workload,framework,datasize,instance_type,node_count,completed,elapsed_seconds"


@pytest.fixture(scope="module")
def benchmark() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("search_benchmark", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["search_benchmark"] = module
    sys.path.insert(0, str(FILE.parent))  # as for a script, which finds the modules beside it
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(FILE.parent))
    for name in ("search_benchmark", "replayed", "rivals"):
        del sys.modules[name]


def table(folder: Path, *rows: str) -> Path:
    path = folder / "runs.csv"
    path.write_text("\n".join([HEAD, *(f"sort,spark,{row}" for row in rows)]) + "\n")
    return path


def test_a_search_that_gives_up_is_charged_for_all_that_is_left(benchmark: Any, tmp_path: Path) -> None:
    rows = [f"big,m4.xlarge,{nodes},1,{seconds}" for nodes, seconds in ((2, 900), (4, 400), (6, 100), (8, 900))]
    (job,) = benchmark.read(table(tmp_path, *rows), benchmark.table_prices(), False)
    tally = benchmark.Tally(job)
    tally.add(0)
    tally.add(2, 0.001, measured=False)  # the cheapest, but cut short
    tally.finish()
    assert tally.order == [0, 2, 1, 3, 2]
    assert tally.runs == [5, 5, 5]
    spent = 0.001 + sum(job.usd(number) for number in (0, 1, 3, 2))
    assert tally.dollars == pytest.approx(spent / job.cheapest_usd)
    with pytest.raises(AssertionError, match="before all targets"):
        benchmark.summed([([0, 0, 0], 0.0)], 1)


def test_several_rows_of_a_cluster_are_one_cluster(benchmark: Any, tmp_path: Path) -> None:
    rows = ["big,m4.xlarge,2,1,100", "big,m4.xlarge,2,0,7", "big,m4.xlarge,2,1,300", "big,c4.large,2,0,50"]
    (job,) = benchmark.read(table(tmp_path, *rows), benchmark.table_prices(), True)
    assert (job.clusters, job.ok, job.seconds) == (
        (("m4.xlarge", 2), ("c4.large", 2)),
        (True, False),
        (200.0, 50.0),
    )


def test_a_job_that_nothing_could_run_is_left_out_aloud(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = benchmark.table_prices()
    found = benchmark.read(table(tmp_path, "big,m4.xlarge,2,1,100", "small,m4.xlarge,2,0,100"), prices, False)
    assert [job.name for job in found] == ["sort spark big"]
    assert "sort spark small is left out" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="no job of which a run was completed"):
        benchmark.read(table(tmp_path, "big,m4.xlarge,2,0,100"), prices, False)


def test_a_price_that_is_needed_and_not_given_is_named(benchmark: Any, tmp_path: Path) -> None:
    path = table(tmp_path, "big,c4.large,2,1,100")
    prices = Prices({"c4.large": 0.1})
    assert len(benchmark.read(path, prices, False)) == 1
    with pytest.raises(SystemExit, match=r"no price is known of m4\.xlarge"):
        benchmark.read(path, prices, True)


def test_every_method_hits_every_target_and_json_is_no_failure(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"big,{kind},{nodes},1,{900 // nodes}" for kind in ("m4.large", "c4.large") for nodes in (2, 3, 4)]
    words = ["search.py", "--data", str(table(tmp_path, *rows)), "--seeds", "1", "--json", "--accounting", "job"]
    monkeypatch.setattr(sys, "argv", words)
    assert benchmark.main() == 0
    assert '"mean_runs"' in capsys.readouterr().out
