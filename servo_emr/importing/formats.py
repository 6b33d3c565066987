"""The formats that can be imported: how each is known, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from servo_emr.importing.ansible import from_ansible, is_ansible
from servo_emr.importing.batch import from_batch
from servo_emr.importing.document import Source
from servo_emr.importing.draft import Draft
from servo_emr.importing.job_flow import from_job_flow
from servo_emr.importing.statestore import from_statestore

__all__ = ["FORMATS", "imported"]

NOTEBOOK = "job.ipynb"


def _batch(document: Mapping[str, Any], draft: Draft) -> None:
    from_batch(document, draft)
    _no_cluster(draft, "batch")


def _statestore(document: Mapping[str, Any], draft: Draft) -> None:
    from_statestore(document, draft)
    _no_cluster(draft, "emr")


def _no_cluster(draft: Draft, where: str) -> None:
    """The cluster that a definition without one gets."""
    components = draft.emr.setdefault("components", {})
    for role, count in (("primary", None), ("core", 2)):
        if role not in components:
            draft.nodes(role, "m5.xlarge", count, where)
            draft.leave(where, "no cluster", f"it says nothing of {role} nodes: m5.xlarge is put in")


FORMATS: Mapping[str, tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any], Draft], None]]] = {
    "servo-batch": (lambda d: isinstance(d.get("batch"), dict), _batch),
    "servo-statestore-emr": (
        lambda d: isinstance(d.get("emr"), dict) and bool({"measure_steps", "settings_map"} & set(d["emr"])),
        _statestore,
    ),
    "RunJobFlow": (lambda d: isinstance(d.get("Instances"), dict), from_job_flow),
    "ansible": (is_ansible, from_ansible),
}
"""Name -> (how it is known, what makes it a draft)."""


def imported(source: Source, defaults: Mapping[str, Any], notebook: str | None = None) -> tuple[str, Draft]:
    """(the format's name, what became of it). `defaults` are by dotted path, for what the definition does not say.

    With a notebook that is what is measured, and the definition's steps come before it; without, the steps are. A
    definition without steps gets the notebook job.ipynb.

    Raises:
        ValueError: it is of no known format, or lacks what its format always has.
    """
    found = next((name for name, (known, _) in FORMATS.items() if known(source.values)), None)
    if found is None:
        raise ValueError(
            "is of no format that can be imported: a RunJobFlow document (Instances), an ansible-style cluster "
            "(instance_groups, or core_instance_type), servo-batch's (batch) or servo-statestore-emr's configuration "
            "(emr: measure_steps)"
        )
    draft = Draft(notebook)
    try:
        FORMATS[found][1](source.values, draft)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"was taken for {found}, and cannot be read as that: {error!r}") from error
    if notebook is not None:
        draft.put("job.notebook", notebook)
    elif not draft.emr.get("job", {}).get("run"):
        draft.put("job.notebook", NOTEBOOK)
        draft.leave("", NOTEBOOK, f"the file says no emr.job: the notebook {NOTEBOOK} is put in")
    for path, value in defaults.items():
        *parents, last = path.split(".")
        inner: Any = draft.emr
        for name in parents:
            inner = inner.get(name, {})
        if last not in inner:
            draft.put(path, value)
            draft.leave("", value, f"the file says no emr.{path}: {value} is put in")
    return found, draft
