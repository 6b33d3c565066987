"""Durations that somebody measured: a table of real runtimes by instance type and number of nodes.

Reading the table, and giving its times. A time that is not in it is never made up: the step fails instead.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from servo_emr.emulator.world.durations import BOOTSTRAP_SECONDS, Planned, workers
from servo_emr.emulator.world.records import Cluster, Step

__all__ = ["ReplayDurations", "Runtime", "Runtimes", "load_runtimes"]

_NEEDED = ("instance_type", "node_count", "completed", "elapsed_seconds")
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}
_SHOWN = 12  # as many choices as a message lists


@dataclass(frozen=True)
class Runtime:
    """One row of the table. `completed` False: the run failed or was given up after those seconds."""

    seconds: float
    completed: bool
    line: int


@dataclass(frozen=True)
class Runtimes:
    """The runtimes of one workload by (instance type, number of core and task nodes). `source` names them to people."""

    source: str
    by_nodes: Mapping[tuple[str, int], Runtime]

    def counts(self, instance_type: str) -> Sequence[int]:
        """The numbers of nodes that there are of the type, ascending."""
        return sorted(count for name, count in self.by_nodes if name == instance_type)


@dataclass(frozen=True)
class ReplayDurations:
    """Every step of a cluster takes the table's time for its workers, to the second and without noise.

    A row that did not complete makes the step fail after its time. So does, at once, what the table does not have.
    A bootstrap action takes BOOTSTRAP_SECONDS: such tables know none.
    """

    runtimes: Runtimes

    def step(self, cluster: Cluster, step: Step) -> Planned:
        types = [node.instance_type for node in workers(cluster)]
        found = self.runtimes.by_nodes.get((types[0], len(types))) if len(set(types)) == 1 else None
        if found is None:
            return Planned(0.0, self._missing(types))
        if not found.completed:
            where = f"{self.runtimes.source}, line {found.line}"
            return Planned(found.seconds, f"This run did not complete on {len(types)} x {types[0]}: {where}.")
        return Planned(found.seconds)

    def bootstrap(self, cluster: Cluster, index: int) -> float:
        return BOOTSTRAP_SECONDS

    def _missing(self, types: Sequence[str]) -> str:
        cluster = " + ".join(f"{types.count(name)} x {name}" for name in dict.fromkeys(types))
        message = f"No runtime of {cluster} in {self.runtimes.source}"
        if len(set(types)) > 1:
            return f"{message}: its clusters have core and task nodes of one type."
        counts = self.runtimes.counts(types[0])
        if counts:
            return f"{message}: of {types[0]} it has {_listed(map(str, counts))} nodes."
        return f"{message}: its types are {_listed(dict.fromkeys(name for name, _ in self.runtimes.by_nodes))}."


def load_runtimes(text: str) -> Runtimes:
    """Reads `FILE` or `FILE#COLUMN=VALUE,...`, a CSV with a header, of whose rows those are taken that have the values.

    Needed columns: instance_type, node_count, completed (1, 0, true, false), elapsed_seconds, which may be empty
    where a run did not complete: it failed at once. Raises ValueError naming file, line and column.
    """
    name, wanted = _selection(text)
    rows = _rows(Path(name).expanduser(), name, wanted)
    others = [column for column in rows[0][1] if column not in _NEEDED]
    workloads = _listed(
        dict.fromkeys(",".join(f"{column}={row[column]}" for column in others if row[column]) for _, row in rows)
    )
    chosen = [(line, row) for line, row in rows if all(row[column] == value for column, value in wanted.items())]
    if not chosen:
        asked = ",".join(f"{column}={value}" for column, value in wanted.items())
        raise ValueError(f"{name}: no row has {asked}; there are {workloads}")
    by_nodes: dict[tuple[str, int], Runtime] = {}
    for line, row in chosen:
        key, runtime = _runtime(f"{name}, line {line}", line, row)
        if key in by_nodes:
            raise ValueError(
                f"{name}, lines {by_nodes[key].line} and {line}: two runtimes of {key[1]} x {key[0]}; choose one "
                f"workload with replay:{name}#COLUMN=VALUE,... of {workloads}"
            )
        by_nodes[key] = runtime
    return Runtimes(Path(name).name + (f" ({text[len(name) + 1 :]})" if wanted else ""), by_nodes)


def _selection(text: str) -> tuple[str, dict[str, str]]:
    """The file's name, and the values that are wanted by column. A "#" without a "=" after it belongs to the name."""
    name, _, selection = text.rpartition("#")
    if not name or "=" not in selection:
        return text, {}
    wanted = {}
    for part in selection.split(","):
        match = re.fullmatch(r"\s*(\w+)=(.*?)\s*", part)
        if match is None:
            raise ValueError(f"{text}: {part!r} is not COLUMN=VALUE")
        wanted[match[1]] = match[2]
    return name, wanted


def _rows(path: Path, name: str, wanted: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """Every row with its line, at least one, each with the needed and the wanted columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            columns = reader.fieldnames or ()
            missing = [column for column in (*_NEEDED, *wanted) if column not in columns]
            if missing:
                raise ValueError(f"{name}: there is no column {missing[0]!r}; there are {_listed(columns)}")
            rows = [(reader.line_num, {str(key): str(value).strip() for key, value in row.items()}) for row in reader]
    except OSError as error:
        raise ValueError(f"{name}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{name}: is no CSV file in UTF-8: {error}") from None
    if not rows:
        raise ValueError(f"{name}: has no rows")
    return rows


def _runtime(place: str, line: int, row: Mapping[str, str]) -> tuple[tuple[str, int], Runtime]:
    completed = _BOOLEANS.get(row["completed"].lower())
    if completed is None:
        raise ValueError(f"{place}: completed is {row['completed']!r}; it is 1 or 0")
    try:
        count = int(row["node_count"])
    except ValueError:
        count = 0
    if count < 1 or not row["instance_type"]:
        raise ValueError(
            f"{place}: {row['node_count']!r} x {row['instance_type']!r} is not a number of nodes of an instance type"
        )
    elapsed = row["elapsed_seconds"] or ("" if completed else "0")
    try:
        seconds = float(elapsed)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{place}: elapsed_seconds is {row['elapsed_seconds']!r}; it is a number of seconds")
    return (row["instance_type"], count), Runtime(seconds, completed, line)


def _listed(items: Iterable[str]) -> str:
    every = list(items)
    return ", ".join(every[:_SHOWN]) + (f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else "")
