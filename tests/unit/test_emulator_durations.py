"""How long a step takes on W: the scaling law with its memory cliff, and a table of measured runtimes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from servo_emr.emulator.world.durations import Ernest, ModelDurations, Planned, parse_coefficients, workers
from servo_emr.emulator.world.ids import Ids
from servo_emr.emulator.world.records import Cluster, Instance, Timeline
from servo_emr.emulator.world.replay import ReplayDurations, load_runtimes
from tests.support.world import START, ScriptedMachine, launch, new_world, step

SIZES = {"m5.xlarge": (4, 16.0), "c5.xlarge": (4, 8.0)}


def node(index: int, role: str, instance_type: str, state: str = "RUNNING") -> Instance:
    return Instance(
        id=f"ci-{index}",
        ec2_id=f"i-{index}",
        collection_id=f"ig-{role}",
        role=role,
        instance_type=instance_type,
        market="ON_DEMAND",
        private_ip="172.31.0.4",
        timeline=Timeline(START),
        state=state,
    )


def cluster_of(*core: str, states: Sequence[str] = (), seed: str = "1") -> Cluster:
    """A cluster that runs, with an m5.xlarge primary, core nodes of these types in these states, and three steps."""
    cluster = new_world(ScriptedMachine(), seed=seed).launch(launch(*[step(f"s{index}") for index in range(3)]))
    nodes = [node(0, "MASTER", "m5.xlarge")]
    nodes += [
        node(index, "CORE", name, state)
        for index, (name, state) in enumerate(itertools.zip_longest(core, states, fillvalue="RUNNING"), start=1)
    ]
    cluster.instances[:] = nodes
    return cluster


def planned(*core: str, law: Ernest | None = None, noise: float = 0.0, seed: str = "1", ordinal: int = 0) -> Planned:
    """What the law gives for a step of a cluster with these core nodes."""
    model = ModelDurations(
        Ids(seed),
        cores=lambda name: SIZES[name][0],
        memory=lambda name: SIZES[name][1],
        law=law or Ernest(a=10, b=1600, c=5, d=1),
        noise=noise,
    )
    cluster = cluster_of(*core, seed=seed)
    return model.step(cluster, cluster.steps[ordinal])


def seconds_of(core: int, *, noise: float = 0.0, seed: str = "1", ordinal: int = 0) -> float:
    """The same for so many m5.xlarge core nodes, which have memory enough."""
    plan = planned(*["m5.xlarge"] * core, noise=noise, seed=seed, ordinal=ordinal)
    assert plan.failure is None
    return plan.seconds


def test_the_law_is_the_stated_form() -> None:
    assert seconds_of(4) == pytest.approx(10 + 1600 / 16 + 5 * math.log(4) + 4)
    assert seconds_of(1) == pytest.approx(10 + 1600 / 4 + 0 + 1)
    mixed = planned("m5.xlarge", "c5.xlarge")
    assert mixed.seconds == pytest.approx(10 + 1600 / (4 + 4 * 1.15) + 5 * math.log(2) + 2)


def test_more_nodes_help_less_and_less() -> None:
    times = [seconds_of(nodes) for nodes in (1, 2, 4, 8)]
    gains = [before - after for before, after in itertools.pairwise(times)]
    assert gains == sorted(gains, reverse=True)


def test_noise_is_small_and_follows_from_seed_cluster_and_place() -> None:
    quiet = seconds_of(4)
    noisy = [seconds_of(4, noise=0.02, seed=str(seed)) for seed in range(200)]
    assert all(abs(value / quiet - 1) < 0.1 for value in noisy)
    assert 0.01 < math.sqrt(sum((value / quiet - 1) ** 2 for value in noisy) / 200) < 0.03
    assert seconds_of(4, noise=0.02) == seconds_of(4, noise=0.02)
    assert seconds_of(4, noise=0.02, ordinal=1) != seconds_of(4, noise=0.02, ordinal=2)


@pytest.mark.parametrize(
    ("nodes", "factor"),
    [(8, 1.0), (5, 1.0), (4, 1 + 3 * (40 - 32) / 40), (2, 1 + 3 * (40 - 16) / 40), (1, None)],
)
def test_below_the_working_set_a_step_is_slower_and_far_below_it_fails(nodes: int, factor: float | None) -> None:
    law = Ernest(a=10, b=1600, c=5, d=1, w=40, k=3, f=0.25)  # c5.xlarge has 8 GiB, so 5 of them hold it
    plan = planned(*["c5.xlarge"] * nodes, law=law)
    plain = law.seconds(nodes, nodes * 4 * 1.15)
    if factor is None:
        assert plan.seconds == pytest.approx(plain)
        assert plan.failure is not None
        assert "Out of memory" in plan.failure and "8 GiB together" in plan.failure and "below 10" in plan.failure
    else:
        assert (plan.seconds, plan.failure) == (pytest.approx(plain * factor), None)


def test_a_law_without_a_working_set_has_no_cliff() -> None:
    assert planned("c5.xlarge", law=Ernest(w=0)).seconds == pytest.approx(Ernest().seconds(1, 4 * 1.15))


def test_the_work_is_done_by_the_core_and_task_nodes_that_run() -> None:
    def of(cluster: Cluster) -> list[str]:
        return [worker.id for worker in workers(cluster)]

    assert of(cluster_of("m5.xlarge", "m5.xlarge", "m5.xlarge", states=("TERMINATED", "RUNNING", "BOOTSTRAPPING"))) == [
        "ci-2"
    ]
    assert of(cluster_of("m5.xlarge", "m5.xlarge", states=("TERMINATED", "PROVISIONING"))) == ["ci-2"]
    assert of(cluster_of()) == ["ci-0"], "the primary, where there is nobody else"


def test_coefficients_are_read() -> None:
    assert parse_coefficients("a=1, b=2.5,d=0,w=32") == Ernest(a=1, b=2.5, d=0, w=32)
    assert parse_coefficients("") == Ernest()


@pytest.mark.parametrize("text", ["x=1", "a", "a=-1", "a=1e999", "a=1.2.3", "a=nan", "f=1.5"])
def test_a_wrong_coefficient_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=text.split("=")[-1] if "=" in text else text):
        parse_coefficients(text)


TABLE = """\
workload,instance_type,node_count,completed,elapsed_seconds
sort,m5.xlarge,2,1,482.924
sort,m5.xlarge,4,1,300
sort,c5.xlarge,2,0,7200.5
sort,c5.xlarge,4,0,
join,m5.xlarge,2,1,99
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "runs.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def replayed(table: Path, *core: str, workload: str = "sort") -> Planned:
    cluster = cluster_of(*core)
    return ReplayDurations(load_runtimes(f"{table}#workload={workload}")).step(cluster, cluster.steps[0])


def test_a_step_takes_the_time_of_the_table(table: Path) -> None:
    assert replayed(table, "m5.xlarge", "m5.xlarge") == Planned(482.924)
    assert replayed(table, "m5.xlarge", "m5.xlarge", workload="join") == Planned(99.0)


@pytest.mark.parametrize(("count", "seconds", "line"), [(2, 7200.5, 4), (4, 0.0, 5)])
def test_a_run_that_did_not_complete_fails_after_its_time(table: Path, count: int, seconds: float, line: int) -> None:
    plan = replayed(table, *["c5.xlarge"] * count)
    assert plan.seconds == seconds
    assert plan.failure is not None
    assert f"{count} x c5.xlarge: runs.csv (workload=sort), line {line}" in plan.failure


@pytest.mark.parametrize(
    ("core", "words"),
    [
        (("m5.xlarge",) * 3, "No runtime of 3 x m5.xlarge in runs.csv (workload=sort): of m5.xlarge it has 2, 4 nodes"),
        (("r5.xlarge",), "No runtime of 1 x r5.xlarge in runs.csv (workload=sort): its types are m5.xlarge, c5.xlarge"),
        (("m5.xlarge", "c5.xlarge"), "1 x m5.xlarge + 1 x c5.xlarge in runs.csv (workload=sort): its clusters have"),
    ],
)
def test_what_the_table_does_not_have_fails_at_once_and_is_never_made_up(
    table: Path, core: tuple[str, ...], words: str
) -> None:
    plan = replayed(table, *core)
    assert plan.seconds == 0
    assert plan.failure is not None and words in plan.failure


HEAD = "instance_type,node_count,completed,elapsed_seconds\n"


@pytest.mark.parametrize(
    ("text", "selection", "words"),
    [
        (TABLE, "", "lines 2 and 6: two runtimes of 2 x m5.xlarge; choose one workload"),
        (TABLE, "", "workload=sort, workload=join"),
        (TABLE, "#workload=scan", "no row has workload=scan; there are workload=sort, workload=join"),
        (TABLE, "#size=huge", "no column 'size'"),
        (TABLE, "#workload=sort,huge", "'huge' is not COLUMN=VALUE"),
        ("instance_type,node_count\n", "", "no column 'completed'"),
        ("", "", "no column 'instance_type'"),
        (HEAD, "", "has no rows"),
        (HEAD + "m5.xlarge,2,yes,3\n", "", "line 2: completed is 'yes'; it is 1 or 0"),
        (HEAD + "m5.xlarge,two,1,3\n", "", "line 2: 'two' x 'm5.xlarge' is not a number of nodes"),
        (HEAD + "m5.xlarge,0,1,3\n", "", "line 2: '0' x 'm5.xlarge'"),
        (HEAD + "m5.xlarge,2,1\n", "", "line 2: elapsed_seconds is ''; it is a number of seconds"),
        (HEAD + "m5.xlarge,2,0,-1\n", "", "line 2: elapsed_seconds is '-1'"),
        (HEAD + "m5.xlarge,2,1,nan\n", "", "line 2: elapsed_seconds is 'nan'"),
        ("\udcff", "", "is no CSV file in UTF-8"),
    ],
)
def test_a_wrong_table_is_named_with_file_line_and_column(
    tmp_path: Path, text: str, selection: str, words: str
) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError) as caught:
        load_runtimes(f"{path}{selection}")
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_table_that_is_not_there_is_named_and_a_name_may_hold_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "runs#1.csv"
    with pytest.raises(ValueError, match=r"runs#1\.csv: cannot be read: No such file"):
        load_runtimes(str(path))
    path.write_text(HEAD + "m5.xlarge,2,TRUE,3\n", encoding="utf-8")
    assert load_runtimes(str(path)).by_nodes["m5.xlarge", 2].seconds == 3
