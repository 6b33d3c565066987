"""Spark on YARN: sizes worked by hand, what does not fit with its sum, what is understood of EMR's own sizing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servo_emr.cli.settings_file import load
from servo_emr.config import EMRConfiguration
from servo_emr.domain.cluster import Configuration
from servo_emr.domain.errors import ConfigurationError, Reason, RunError, UsageError
from servo_emr.domain.money import Estimate
from servo_emr.domain.ports import Finding, Preflight
from servo_emr.domain.spark import NodeSize, mib, misfits, shape_of, sized, yarn_mib
from servo_emr.domain.spec import Kind, NodeGroup, Role, RunSpec
from servo_emr.lifecycle.guards import admit
from tests.support.clusters import FORTY
from tests.support.samples import SPEC

ROOT = Path(__file__).resolve().parent.parent.parent
WORKERS = (2, 5, 12)

# Type, vCPUs, GiB | YARN's MiB | executors a node, cores, container MiB, heap, overhead | executors of 2, 5, 12 nodes.
# YARN: memory less a quarter, less 8 GiB at most; c4.xlarge as documented. One vCPU less, a fifth of the rest are the
# executors; YARN less 1024 by them, down to a multiple of 32, is the container; 16 of its 19 parts are the heap.
BY_HAND = [
    ("m4.large", 2, 8, 6144, 1, 1, 5120, 4311, 809, (2, 5, 12)),
    ("c5.xlarge", 4, 8, 6144, 1, 3, 5120, 4311, 809, (2, 5, 12)),
    ("c4.xlarge", 4, 7.5, 5632, 1, 3, 4608, 3880, 728, (2, 5, 12)),
    ("m5.xlarge", 4, 16, 12288, 1, 3, 11264, 9485, 1779, (2, 5, 12)),
    ("m6g.xlarge", 4, 16, 12288, 1, 3, 11264, 9485, 1779, (2, 5, 12)),
    ("r5.xlarge", 4, 32, 24576, 1, 3, 23552, 19833, 3719, (2, 5, 12)),
    ("m5.2xlarge", 8, 32, 24576, 1, 7, 23552, 19833, 3719, (2, 5, 12)),
    ("i3.2xlarge", 8, 61, 54272, 1, 7, 53248, 44840, 8408, (2, 5, 12)),
    ("r5.2xlarge", 8, 64, 57344, 1, 7, 56320, 47427, 8893, (2, 5, 12)),
    ("c5.4xlarge", 16, 32, 24576, 3, 5, 7840, 6602, 1238, (6, 15, 36)),
    ("m5.4xlarge", 16, 64, 57344, 3, 5, 18752, 15791, 2961, (6, 15, 36)),
    ("r6g.4xlarge", 16, 128, 122880, 3, 5, 40608, 34196, 6412, (6, 15, 36)),
    ("c5.9xlarge", 36, 72, 65536, 7, 5, 9216, 7760, 1456, (14, 35, 84)),
    ("r5.8xlarge", 32, 256, 253952, 6, 5, 42144, 35489, 6655, (12, 30, 72)),
    ("m5.12xlarge", 48, 192, 188416, 9, 5, 20800, 17515, 3285, (18, 45, 108)),
    ("r5.24xlarge", 96, 768, 778240, 19, 5, 40896, 34438, 6458, (38, 95, 228)),
]

# Memory in GiB and YARN's MiB of types in EMR's own table (release guide, "Task configuration").
DOCUMENTED = [
    ("m4.large", 8, 6144), ("m4.xlarge", 16, 12288), ("m4.2xlarge", 32, 24576), ("m4.4xlarge", 64, 57344),
    ("m4.10xlarge", 160, 155648), ("m4.16xlarge", 256, 253952), ("c3.xlarge", 7.5, 5632), ("c3.2xlarge", 15, 11520),
    ("c4.large", 3.75, 1792), ("c4.xlarge", 7.5, 5632), ("c4.2xlarge", 15, 11520), ("c4.4xlarge", 30, 23040),
    ("c4.8xlarge", 60, 53248), ("d2.xlarge", 30.5, 23424), ("d2.2xlarge", 61, 54272), ("d2.4xlarge", 122, 116736),
    ("d2.8xlarge", 244, 241664), ("i3.xlarge", 30.5, 23424), ("i3.2xlarge", 61, 54272), ("i3.4xlarge", 122, 116736),
    ("i3.8xlarge", 244, 241664), ("i3.16xlarge", 488, 491520), ("m3.2xlarge", 30, 23040), ("r3.xlarge", 30.5, 23424),
    ("r4.xlarge", 30.5, 23424), ("r4.2xlarge", 61, 54272), ("r4.4xlarge", 122, 116736), ("r4.8xlarge", 244, 241664),
    ("r4.16xlarge", 488, 491520), ("p2.16xlarge", 732, 741376), ("p3.2xlarge", 61, 54272),
]  # fmt: skip

SIZES = {name: NodeSize(vcpus, gib) for name, vcpus, gib, *_ in BY_HAND}


def on(inst_type: str, count: int, auto: bool = True, **defaults: str) -> RunSpec:
    """A primary m5.xlarge and `count` core nodes; `_` in names of defaults stands for a dot after `spark.`."""
    properties = tuple(sorted((f"spark.{name.replace('_', '.')}", value) for name, value in defaults.items()))
    configured = (Configuration("spark-defaults", properties),) if properties else ()
    return replace(
        SPEC,
        groups=(SPEC.groups[0], NodeGroup(Role.CORE, inst_type, count)),
        cluster=replace(SPEC.cluster, configurations=configured, spark_auto=auto),
    )


def defaults_of(spec: RunSpec) -> dict[str, str]:
    return dict(next(c.properties for c in spec.cluster.configurations if c.classification == "spark-defaults"))


@pytest.mark.parametrize("row", BY_HAND, ids=lambda row: row[0])
def test_executors_are_sized_as_worked_by_hand(row: tuple[Any, ...]) -> None:
    name, _, _, yarn, on_node, cores, container, heap, overhead, totals = row
    assert yarn_mib(name, SIZES[name]) == yarn
    assert heap + overhead == container
    for workers, total in zip(WORKERS, totals, strict=True):
        found = defaults_of(sized(on(name, workers), SIZES))
        assert found == {
            "spark.dynamicAllocation.enabled": "false",
            "spark.executor.cores": str(cores),
            "spark.executor.instances": str(total),
            "spark.executor.memory": f"{heap}m",
            "spark.executor.memoryOverhead": f"{overhead}m",
        }
        assert total == on_node * workers


def test_the_documentations_table_is_the_one_that_was_worked_by_hand() -> None:
    text = (ROOT / "docs" / "spark.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9.]+)` \|(.+)\|$", text, re.M)
    found = [(name, *(float(cell) for cell in cells.split("|"))) for name, cells in rows]
    assert found == [(row[0], *map(float, row[1:9]), *map(float, row[9])) for row in BY_HAND]


@pytest.mark.parametrize(("name", "gib", "yarn"), DOCUMENTED)
def test_yarns_limit_is_the_one_of_emrs_table(name: str, gib: float, yarn: int) -> None:
    assert yarn_mib(name, NodeSize(4, gib)) == yarn


@given(st.integers(1, 200), st.floats(4.0, 4000.0), st.integers(1, 50))
def test_whatever_the_node_what_was_sized_fits_it(vcpus: int, gib: float, count: int) -> None:
    sizes = {"q1.any": NodeSize(vcpus, gib), "m5.xlarge": NodeSize(4, 16)}
    spec = sized(on("q1.any", count), sizes)
    assert misfits(spec, sizes) == ([], [])
    assert sized(spec, sizes) == spec, "sizing what is sized changes nothing"


def test_workers_of_two_types_share_the_shape_that_fits_both() -> None:
    spec = on("m5.4xlarge", 2)
    mixed = replace(spec, groups=(*spec.groups, NodeGroup(Role.TASK, "c5.xlarge", 3)))
    shape = shape_of(mixed, SIZES)
    # 5 MiB thousand of a c5.xlarge, 3 cores; an m5.4xlarge holds min(15 / 3, 56320 / 5120) = 5, two of them 10.
    assert (shape.cores, shape.heap_mib + shape.overhead_mib, shape.instances) == (3, 5120, 13)


def test_with_dynamic_allocation_the_number_is_its_most() -> None:
    spec = sized(on("m5.xlarge", 5, dynamicAllocation_enabled="true"), SIZES)
    found = defaults_of(spec)
    assert found["spark.dynamicAllocation.maxExecutors"] == "5"
    assert found["spark.dynamicAllocation.enabled"] == "true"
    assert "spark.executor.instances" not in found


@pytest.mark.parametrize(
    ("defaults", "words"),
    [
        ({"executor_memory": "12g"},
         "an executor needs 13516 MiB (12288 of spark.executor.memory + 1228 of overhead: 0.1 of it, at least 384), "
         "and YARN gives 12288 MiB on a m5.xlarge (16 GiB of memory), core"),
        ({"executor_memory": "11800", "executor_memoryOverhead": "600m"}, "needs 12400 MiB (11800 of"),
        ({"executor_memory": "10g", "executor_memoryOverheadFactor": "0.3"}, "needs 13312 MiB"),
        ({"executor_memory": "11g", "executor_pyspark_memory": "1g"}, "+ 1024 of pyspark.memory"),
        ({"executor_memory": "10g", "memory_offHeap_enabled": "true", "memory_offHeap_size": "2147483648"},
         "+ 2048 of offHeap.size"),
        ({"executor_memory": "300m"}, "spark.executor.memory is 300 MiB for a m5.xlarge, and Spark needs 450 MiB"),
        ({"executor_cores": "5"}, "spark.executor.cores is 5, and a m5.xlarge has 4 vCPUs, core"),
        ({"driver_memory": "16g"}, "spark.driver.memory is 16384 MiB, and the primary node, a m5.xlarge, has 16384"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_arithmetic(defaults: dict[str, str], words: str) -> None:
    spec = on("m5.xlarge", 2, auto=False, **defaults)
    with pytest.raises(ConfigurationError, match=re.escape(words)) as refused:
        admit(spec, Preflight(sizes=SIZES), ESTIMATE)
    assert refused.value.reason in (Reason.OUT_OF_MEMORY, Reason.OUT_OF_BOUNDS)
    assert "spark: auto" in refused.value.remedy


def test_an_applications_own_executors_are_held_against_the_nodes_too() -> None:
    words = (
        "spark-submit",
        "--deploy-mode",
        "client",
        "--conf",
        "spark.executor.memory=12g",
        "{run.program}",
        "--conf",
    )
    step = replace(SPEC.steps[0], name="etl", kind=Kind.APPLICATION, command=words)
    spec = replace(on("m5.xlarge", 2, auto=False, executor_memoryOverhead="1g"), steps=(step,))
    with pytest.raises(ConfigurationError, match="etl: an executor needs 13312 MiB") as refused:
        admit(spec, Preflight(sizes=SIZES), ESTIMATE)
    assert refused.value.reason is Reason.OUT_OF_MEMORY
    plain = replace(step, command=(*words[:3], "{run.program}", "--conf", "spark.executor.memory=12g"))
    assert admit(replace(spec, steps=(plain,)), Preflight(sizes=SIZES), ESTIMATE) == []


def test_what_the_primary_nodes_own_spark_defaults_say_is_what_spark_submit_finds() -> None:
    spec = on("m5.xlarge", 2, auto=False, executor_memory="4g")
    own = (Configuration("spark-defaults", (("spark.executor.memory", "12g"),)),)
    wrong, _ = misfits(replace(spec, groups=(replace(spec.groups[0], configurations=own), spec.groups[1])), SIZES)
    assert wrong and "an executor needs 13516 MiB" in wrong[0]


@pytest.mark.parametrize(
    "defaults",
    [
        {"executor_memory": "10g", "executor_cores": "4"},
        {"executor_memory": "11904m", "executor_memoryOverhead": "384m"},
        {"executor_memory": "10g", "memory_offHeap_size": "9g"},
        {"executor_memory": "${MEMORY}"},
        {"driver_memory": "15g"},
        {},
    ],
)
def test_what_fits_or_cannot_be_told_is_let_through(defaults: dict[str, str]) -> None:
    assert admit(on("m5.xlarge", 2, auto=False, **defaults), Preflight(sizes=SIZES), ESTIMATE) == []


def test_more_executors_than_there_is_room_for_are_said_and_not_refused() -> None:
    asked = {"executor_memory": "4g", "executor_cores": "2", "executor_instances": "9"}
    fixed = on("m5.xlarge", 2, auto=False, **asked, dynamicAllocation_enabled="false")
    # 4096 + 409 MiB: two in 12288; 2 of 4 vCPUs: two a node, four in all.
    assert admit(fixed, Preflight(sizes=SIZES), ESTIMATE) == [
        "spark.executor.instances 9 are asked for, and the workers hold 4"
    ]
    dynamic = on("m5.xlarge", 2, auto=False, **asked)
    assert admit(dynamic, Preflight(sizes=SIZES), ESTIMATE) == [], "EMR allocates dynamically unless told otherwise"


def test_yarns_own_limit_counts_where_somebody_set_it() -> None:
    spec = on("m5.xlarge", 2, auto=False, executor_memory="10g")
    less = Configuration("yarn-site", (("yarn.nodemanager.resource.memory-mb", "8192"),))
    tight = replace(spec, cluster=replace(spec.cluster, configurations=(*spec.cluster.configurations, less)))
    with pytest.raises(ConfigurationError, match=r"YARN gives 8192 MiB on a m5.xlarge \(as yarn-site says\)"):
        admit(tight, Preflight(sizes=SIZES), ESTIMATE)
    more = Configuration("yarn-site", (("yarn.nodemanager.resource.memory-mb", "14000"),))
    roomy = replace(tight, groups=(spec.groups[0], replace(spec.groups[1], configurations=(more,))))
    assert admit(roomy, Preflight(sizes=SIZES), ESTIMATE) == []


def test_what_is_to_be_sized_is_refused_while_the_sizes_are_not_known() -> None:
    finding = Finding(Reason.THROTTLED, "not checked", False, "Wait.")
    with pytest.raises(RunError) as refused:
        admit(on("m5.xlarge", 2), Preflight((finding,)), ESTIMATE)
    assert refused.value.reason is Reason.THROTTLED
    assert "emr.cluster.spark is auto" in refused.value.message
    assert admit(on("m5.xlarge", 2, auto=False, executor_memory="99g"), Preflight(), ESTIMATE) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"configurations": [{"classification": "spark-defaults", "properties": {"spark.executor.memory": "4g"}}]},
         "spark: auto sets spark.executor.memory: take it out of configurations, or auto"),
        ({"configurations": [{"classification": "spark", "properties": {"maximizeResourceAllocation": True}}]},
         "spark: auto and maximizeResourceAllocation both size executors"),
        ({"primary": {"configurations": [{"classification": "spark-defaults",
                                          "properties": {"spark.executor.cores": 2}}]}},
         "spark: auto sets spark.executor.cores"),
        ({"spark": "Auto"}, "emr.cluster.spark (it is 'Auto'): must be auto or as-configured; did you mean 'auto'?"),
    ],
)  # fmt: skip
def test_two_that_size_executors_are_refused(changes: dict[str, Any], words: str) -> None:
    section = {**FORTY, "cluster": {**FORTY["cluster"], "spark": "auto", **changes}}
    with pytest.raises(UsageError) as refused:
        load(Path("servo.yaml"), section)
    assert words in str(refused.value)


def test_a_setting_cannot_set_what_auto_sizes() -> None:
    own = {"memory": {"min": 1, "max": 4, "value": 2, "target": "configurations.spark-defaults[spark.executor.memory]"}}
    section = {**FORTY, "cluster": {**FORTY["cluster"], "spark": "auto"}}
    section["components"] = {**FORTY["components"], "own": own}
    with pytest.raises(ValueError, match=r"own -> memory: cluster.spark: auto sets spark.executor.memory"):
        EMRConfiguration.parse_obj(section)


@pytest.mark.parametrize(
    ("text", "found"),
    [("4g", 4096), ("4G", 4096), ("4gb", 4096), ("512m", 512), ("1024", 1024), ("2t", 2097152), ("1048576k", 1024),
     ("1048576b", 1), ("", None), ("4.5g", None), ("g", None), ("4 g", 4096)],
)  # fmt: skip
def test_memory_is_read_as_spark_reads_it(text: str, found: int | None) -> None:
    assert mib(text) == found


ESTIMATE = Estimate(1.0, 1.0, 0.8, 0.1, 0.1, 0.2, 0.1, 0.5, 1800.0, 2.0, 7200.0, "test")
