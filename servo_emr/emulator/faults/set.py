"""Faults on demand: the set that is in force, from a file or the admin route, and whom each has struck.

The set is a list of documents. The `kind` of each says what happens, and `KINDS` is the one table of kinds; what they
mean is in `call_faults` and `phase_faults`. Knows when something strikes; neither HTTP nor lives of clusters.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from servo_emr.emulator.faults.calls import CALL_KINDS, CallFault, Lag
from servo_emr.emulator.faults.document import Keys, WrongFault
from servo_emr.emulator.faults.phases import PHASE_KINDS, PhaseFault
from servo_emr.emulator.protocol.naming import Asked
from servo_emr.emulator.world.mishaps import Mishap, Phase
from servo_emr.emulator.world.records import Cluster

__all__ = ["KINDS", "Faults", "WrongFault", "load_faults"]

KINDS: Mapping[str, Callable[[Keys], CallFault | Lag | PhaseFault]] = {**CALL_KINDS, **PHASE_KINDS}


@dataclass
class _Entry:
    """A fault as it was given, and what it has done since."""

    document: Mapping[str, Any]
    fault: CallFault | Lag | PhaseFault
    met: int = 0  # calls or beginnings of a phase that it is about
    struck: int = 0  # those that were its turn


class Faults:
    """The faults in force; a Mishaps port too. Any thread may call any method.

    Every entry counts for itself what it is about. Of those about calls, whose turn a call is, the first strikes alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: tuple[_Entry, ...] = ()

    def replace(self, documents: object, now: float) -> None:
        """From W `now` on these are the faults, and their counts begin. Raises WrongFault, and nothing changes then."""
        entries = tuple(_Entry(document, fault) for document, fault in _parse(documents, now))
        with self._lock:
            self._entries = entries

    def list(self) -> Sequence[Mapping[str, Any]]:
        """The faults as they were given, each with `struck`: how many calls or phases it has met."""
        with self._lock:
            return [{**entry.document, "struck": entry.struck} for entry in self._entries]

    def strike(self, asked: Asked, now: float) -> CallFault | None:
        """Counts a call at W `now`; the fault that meets it."""
        struck = None
        with self._lock:
            for entry in self._entries:
                fault = entry.fault
                if isinstance(fault, CallFault) and fault.calls.window.open(now) and fault.calls.mean(asked):
                    entry.met += 1
                    if struck is None and fault.calls.window.chosen(entry.met):
                        entry.struck += 1
                        struck = fault
        return struck

    def veil(self, operation: str, now: float) -> Callable[[Cluster], bool]:
        """Whether a cluster is hidden from one call. A fault that hides several from it has struck once."""
        with self._lock:
            lags = [(entry, entry.fault) for entry in self._entries if isinstance(entry.fault, Lag)]
        at_work: set[int] = set()

        def hidden(cluster: Cluster) -> bool:
            found = False
            for entry, lag in lags:
                if lag.hides(cluster, operation, now):
                    found = True
                    if id(entry) not in at_work:
                        at_work.add(id(entry))
                        with self._lock:
                            entry.struck += 1
            return found

        return hidden

    def begin(self, phase: Phase, cluster: Cluster, now: float) -> Sequence[Mishap]:
        """What goes wrong in the phase that begins at W `now`. Asking counts. All whose turn it is strike."""
        mishaps = []
        with self._lock:
            for entry in self._entries:
                fault = entry.fault
                if isinstance(fault, PhaseFault) and fault.window.open(now) and fault.mean(phase, cluster):
                    entry.met += 1
                    if fault.window.chosen(entry.met):
                        entry.struck += 1
                        mishaps.append(fault.mishap(cluster))
        return mishaps


def load_faults(path: Path) -> object:
    """The documents of a YAML file, for `Faults.replace`. Raises WrongFault with one message that names the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise WrongFault(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WrongFault(f"{path}: not a text in UTF-8") from None
    try:
        documents = yaml.load(text, _UniqueKeys)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise WrongFault(f"{path}: line {line}: {error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise WrongFault(f"{path}: not YAML: {error}") from None
    try:
        for _ in _parse(documents, 0.0):
            pass
    except WrongFault as error:
        raise WrongFault(f"{path}: {error}") from None
    return documents


class _UniqueKeys(yaml.SafeLoader):
    """YAML's own loader lets the last of two equal keys win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: list[Any] = []
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} is there twice", key.start_mark
                )
            seen.append(key.value)
        return super().construct_mapping(node, deep)


def _parse(documents: object, now: float) -> Iterator[tuple[Mapping[str, Any], CallFault | Lag | PhaseFault]]:
    if not isinstance(documents, list):
        raise WrongFault("the faults are a list of objects, each with a kind")
    for position, document in enumerate(documents, start=1):
        if not isinstance(document, dict):
            raise WrongFault(f"fault {position}: not an object with a kind but {document!r}")
        keys = Keys(position, document, now)
        fault = KINDS[keys.choice("kind", KINDS)](keys)
        keys.close()
        yield document, fault
