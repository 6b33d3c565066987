"""Spark's executors on YARN: what a node can hold, what was asked for, whether it fits, and how to size it. Pure.

YARN's limits are those of EMR's documentation ("Task configuration" in its release guide): for every type it lists
since 2015 but the few below, the node's memory less a quarter of it, and less 8 GiB at most. Memory is in MiB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from servo_emr.domain.cluster import Configuration, NodeGroup, Role
from servo_emr.domain.spec import Kind, RunSpec, Step
from servo_emr.domain.targets import Property

__all__ = ["SIZED", "NodeSize", "Shape", "mib", "misfits", "shape_of", "sized", "yarn_mib"]

_DOCUMENTED = {"c3.xlarge": 5632, "c4.large": 1792, "c4.xlarge": 5632}
"""Types of EMR's table that the rule does not give."""
_RESERVED_MIB = 8192
_SHARE = 4
_APPLICATION_MASTER_MIB = 1024
"""What is left on each node for the application master: in client mode 512 MiB and 384 of overhead."""
_LEAST_OVERHEAD_MIB = 384
_OVERHEAD = 0.10
"""Spark's own share of the heap for what is beside it, where nothing else is asked for."""
_PYTHON_OVERHEAD = (3, 16)
"""The share that sizing leaves: Python's workers live in it."""
_LEAST_CONTAINER_MIB = 1024 + _LEAST_OVERHEAD_MIB
_LEAST_HEAP_MIB = 450
"""Spark starts no executor with less: one and a half times the 300 MiB that it keeps for itself."""
_CORES = 5
"""Cores of one executor, where there are enough."""
_ALLOCATION_MIB = 32
"""YARN gives containers in steps of so much on EMR."""
_UNITS = {"": 1, "b": 1 / 1024**2, "k": 1 / 1024, "m": 1, "g": 1024, "t": 1024**2, "p": 1024**3}
_MEMORY = re.compile(r"\s*(\d+)\s*(b|[kmgtp]b?)?\s*", re.IGNORECASE)

SIZED = ("spark.executor.cores", "spark.executor.memory", "spark.executor.memoryOverhead", "spark.executor.instances")
"""The properties of spark-defaults that `spark: auto` sets."""
DYNAMIC = "spark.dynamicAllocation.enabled"
MOST_DYNAMIC = "spark.dynamicAllocation.maxExecutors"


@dataclass(frozen=True)
class NodeSize:
    """An instance type: vCPUs, memory in GiB, and "arm64" or "x86_64"."""

    vcpus: int
    memory_gib: float
    architecture: str = "x86_64"


@dataclass(frozen=True)
class Shape:
    """Executors of one shape: cores, heap and what is beside it in MiB, and how many on one node and in all."""

    cores: int
    heap_mib: int
    overhead_mib: int
    on_node: int
    instances: int


def yarn_mib(inst_type: str, size: NodeSize) -> int:
    """What YARN may give to containers on a node of the type."""
    if inst_type in _DOCUMENTED:
        return _DOCUMENTED[inst_type]
    memory = int(size.memory_gib * 1024)
    return memory - min(memory // _SHARE, _RESERVED_MIB)


def mib(text: str) -> int | None:
    """A memory size as Spark reads it, without a unit in MiB; None when it is none."""
    found = _MEMORY.fullmatch(text)
    return None if found is None else int(int(found[1]) * _UNITS[(found[2] or "").lower()[:1]])


def sized(spec: RunSpec, sizes: Mapping[str, NodeSize]) -> RunSpec:
    """A spec that asks for `spark: auto` with executors of the one shape that its workers hold most of; others as they
    are. Every worker's type must be in `sizes`."""
    workers = [group for group in spec.groups if group.role is not Role.PRIMARY and group.count]
    if not spec.cluster.spark_auto or not workers:
        return spec
    shape = shape_of(spec, sizes)
    properties = {
        "spark.executor.cores": str(shape.cores),
        "spark.executor.memory": f"{shape.heap_mib}m",
        "spark.executor.memoryOverhead": f"{shape.overhead_mib}m",
    }
    if _defaults(spec).get(DYNAMIC, "false").strip().lower() == "true":
        properties[MOST_DYNAMIC] = str(shape.instances)
    else:
        # EMR allocates dynamically when nobody says otherwise, and would then take the number for the first one only.
        properties |= {"spark.executor.instances": str(shape.instances), DYNAMIC: "false"}
    for name, value in properties.items():
        spec = Property(None, ("spark-defaults",), name).put(spec, value, value)
    return spec


def shape_of(spec: RunSpec, sizes: Mapping[str, NodeSize]) -> Shape:
    """The shape that fits every worker's type: of the smallest node's cores and the leanest node's memory."""
    workers = [group for group in spec.groups if group.role is not Role.PRIMARY and group.count]
    shapes = [
        _on(sizes[name], _yarn_of(spec, group, name, sizes[name])) for group in workers for name in group.inst_types
    ]
    cores = min(shape.cores for shape in shapes)
    container = min(shape.heap_mib + shape.overhead_mib for shape in shapes)
    heap, overhead = _split(container)
    instances = 0
    for group in workers:
        size, nodes = sizes[group.inst_type], sum(group.nodes_of(group.inst_type))
        room = _yarn_of(spec, group, group.inst_type, size) - _APPLICATION_MASTER_MIB
        instances += min(max(1, _usable(size) // cores), max(1, room // container)) * nodes
    return Shape(cores, heap, overhead, max(shape.on_node for shape in shapes), instances)


def _on(size: NodeSize, yarn: int) -> Shape:
    """The executors of one node by itself."""
    usable = _usable(size)
    room = yarn - _APPLICATION_MASTER_MIB
    on_node = max(1, min(usable // _CORES, room // _LEAST_CONTAINER_MIB))
    container = max(room, 0) // on_node // _ALLOCATION_MIB * _ALLOCATION_MIB
    heap, overhead = _split(container)
    return Shape(usable // on_node, heap, overhead, on_node, on_node)


def _usable(size: NodeSize) -> int:
    """vCPUs for executors: one is the node's own daemons'."""
    return max(1, size.vcpus - 1)


def _split(container: int) -> tuple[int, int]:
    """(heap, overhead) of a container."""
    part, whole = _PYTHON_OVERHEAD
    heap = min(container * whole // (whole + part), container - _LEAST_OVERHEAD_MIB)
    return heap, container - heap


def misfits(spec: RunSpec, sizes: Mapping[str, NodeSize]) -> tuple[list[str], list[str]]:
    """(what certainly does not fit, what is worth a warning), each with the arithmetic: of what spark-defaults asks
    for, and of every application that asks for something else. Types that are not in `sizes` are not looked at."""
    defaults = _defaults(spec)
    wrong, mind = _misfits(spec, defaults, sizes)
    for step in spec.steps:
        if step.repeat == 1 and (own := _conf(step)):
            of_step, worth = _misfits(spec, {**defaults, **own}, sizes)
            wrong += [f"{step.name}: {text}" for text in of_step if text not in wrong]
            mind += [f"{step.name}: {text}" for text in worth if text not in mind]
    return wrong, mind


def _conf(step: Step) -> dict[str, str]:
    """The properties that an application is given beside spark-defaults: its options, each of one word, come first."""
    found: dict[str, str] = {}
    words = iter(step.command[1:] if step.kind is Kind.APPLICATION else ())
    for option in words:
        if not option.startswith("--"):
            break
        name, _, text = next(words, "").partition("=")
        if option == "--conf":
            found[name] = text
    return found


def _misfits(spec: RunSpec, asked: Mapping[str, str], sizes: Mapping[str, NodeSize]) -> tuple[list[str], list[str]]:
    wrong, mind = [], []
    room = 0
    for group in spec.groups:
        for name in group.inst_types:
            if name not in sizes:
                continue
            if group.role is Role.PRIMARY:
                wrong += _driver(asked, name, sizes[name])
                continue
            wrong += _executor(spec, asked, group, name, sizes[name])
        if group.role is not Role.PRIMARY and group.inst_type in sizes and group.count:
            room += _holds(spec, asked, group, sizes[group.inst_type])
    instances = asked.get("spark.executor.instances", "")
    fixed = asked.get(DYNAMIC, "").strip().lower() == "false"
    if not wrong and fixed and instances.isdigit() and room and int(instances) > room:
        mind.append(f"spark.executor.instances {instances} are asked for, and the workers hold {room}")
    return wrong, mind


def _executor(spec: RunSpec, asked: Mapping[str, str], group: NodeGroup, name: str, size: NodeSize) -> list[str]:
    wrong = []
    needed, sum_of = _container(asked)
    yarn = _yarn_of(spec, group, name, size)
    if needed is not None and needed > yarn:
        limit = f"{size.memory_gib:g} GiB of memory" if yarn == yarn_mib(name, size) else "as yarn-site says"
        wrong.append(
            f"an executor needs {needed} MiB ({sum_of}), and YARN gives {yarn} MiB on a {name} ({limit}), {group.role}"
        )
    heap = mib(asked.get("spark.executor.memory", ""))
    if heap is not None and heap < _LEAST_HEAP_MIB:
        wrong.append(f"spark.executor.memory is {heap} MiB for a {name}, and Spark needs {_LEAST_HEAP_MIB} MiB")
    cores = asked.get("spark.executor.cores", "")
    if cores.isdigit() and int(cores) > size.vcpus:
        wrong.append(f"spark.executor.cores is {cores}, and a {name} has {size.vcpus} vCPUs, {group.role}")
    return wrong


def _driver(asked: Mapping[str, str], name: str, size: NodeSize) -> list[str]:
    """In client mode the driver is a process of the primary node, beside YARN."""
    heap = mib(asked.get("spark.driver.memory", ""))
    whole = int(size.memory_gib * 1024)
    if heap is None or heap < whole:
        return []
    return [f"spark.driver.memory is {heap} MiB, and the primary node, a {name}, has {whole} MiB of memory"]


def _container(asked: Mapping[str, str]) -> tuple[int | None, str]:
    """(MiB of an executor's container, how they are made up); None when no memory is asked for, or not as Spark reads
    it."""
    heap = mib(asked.get("spark.executor.memory", ""))
    if heap is None:
        return None, ""
    overhead = mib(asked.get("spark.executor.memoryOverhead", asked.get("spark.yarn.executor.memoryOverhead", "")))
    told = f"{heap} of spark.executor.memory + {overhead} of memoryOverhead"
    if overhead is None:
        factor = _factor(asked)
        overhead = max(_LEAST_OVERHEAD_MIB, int(heap * factor))
        told = f"{heap} of spark.executor.memory + {overhead} of overhead: {factor:g} of it, at least 384"
    more = 0
    python = mib(asked.get("spark.executor.pyspark.memory", ""))
    if python:
        more, told = more + python, f"{told} + {python} of pyspark.memory"
    off_heap = asked.get("spark.memory.offHeap.size", "")
    if asked.get("spark.memory.offHeap.enabled", "").strip().lower() == "true" and off_heap:
        # Without a unit this one is in bytes.
        size = mib(f"{off_heap}b" if off_heap.strip().isdigit() else off_heap)
        more, told = more + (size or 0), f"{told} + {size or 0} of offHeap.size"
    return heap + overhead + more, told


def _factor(asked: Mapping[str, str]) -> float:
    text = asked.get("spark.executor.memoryOverheadFactor", asked.get("spark.yarn.executor.memoryOverheadFactor", ""))
    try:
        return float(text) if text else _OVERHEAD
    except ValueError:
        return _OVERHEAD


def _holds(spec: RunSpec, asked: Mapping[str, str], group: NodeGroup, size: NodeSize) -> int:
    """The executors that a group has room for."""
    needed, _ = _container(asked)
    cores = asked.get("spark.executor.cores", "")
    by_memory = _yarn_of(spec, group, group.inst_type, size) // needed if needed else size.vcpus
    by_cores = size.vcpus // int(cores) if cores.isdigit() and int(cores) else size.vcpus
    return min(by_memory, by_cores) * sum(group.nodes_of(group.inst_type))


def _yarn_of(spec: RunSpec, group: NodeGroup, inst_type: str, size: NodeSize) -> int:
    """YARN's limit on a node of the group, which its own yarn-site or the cluster's may set."""
    wide, own = (_properties(one, "yarn-site") for one in (spec.cluster.configurations, group.configurations))
    told = {**wide, **own}.get("yarn.nodemanager.resource.memory-mb", "")
    return int(told) if told.isdigit() else yarn_mib(inst_type, size)


def _defaults(spec: RunSpec) -> dict[str, str]:
    """What spark-submit finds on the primary node, where every step runs: the cluster's, and before them its own."""
    own = (group.configurations for group in spec.groups if group.role is Role.PRIMARY)
    return {
        name: value
        for listed in (spec.cluster.configurations, *own)
        for name, value in _properties(listed, "spark-defaults").items()
    }


def _properties(configurations: tuple[Configuration, ...], classification: str) -> dict[str, str]:
    return next((dict(one.properties) for one in configurations if one.classification == classification), {})
