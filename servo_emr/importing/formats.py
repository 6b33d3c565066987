"""The formats that can be imported: how each is known, and what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from servo_emr.importing.document import Source, leaves
from servo_emr.importing.draft import Draft, as_number
from servo_emr.importing.job_flow import configurations, from_job_flow
from servo_emr.importing.steps import command_line, from_jar_steps, from_scripts

__all__ = ["FORMATS", "imported"]

NOTEBOOK = "job.ipynb"
_EDX_ROLES = {"master": "primary", "core": "core", "task": "task"}
_EDX_KEYS = {
    "keypair_name": "key_pair", "log_uri": "log_uri", "release_label": "release_label", "service_role": "service_role",
    "job_flow_role": "instance_profile", "tags": "tags",
}  # fmt: skip
_BATCH_KEYS = ("values", "min", "max", "step", "unit", "pinned")
_TIMEOUT_S = 7200
"""The default of job.timeout."""
_STATESTORE_STAGES = {"pre_steps": "prepare", "measure_steps": "run", "post_steps": "cleanup"}
_EDX_LEFT = {
    "name": "a cluster's name is our key: the workspace's id and the run's",
    "user_info": "a cluster ends with its run, and nobody logs in: a bootstrap action can make users",
}


def _ansible(document: Mapping[str, Any], draft: Draft) -> None:
    for name, key in _EDX_KEYS.items():
        draft.put(f"cluster.{key}", document.get(name))
    subnets = document.get("vpc_subnet_id") or []
    draft.put("cluster.subnet_ids", subnets if isinstance(subnets, list) else [subnets])
    applications = document.get("applications", ())
    draft.put("cluster.applications", [one["Name"] if isinstance(one, dict) else one for one in applications])
    draft.put("cluster.configurations", configurations(document.get("configurations", ())))
    draft.put("region", document.get("region"))
    for name, group in document.get("instance_groups", {}).items():
        role, where = _EDX_ROLES.get(name, ""), f"instance_groups.{name}"
        count = int(as_number(group.get("num_instances", 1), f"{where}.num_instances"))
        if not role or not count:
            draft.leave(where, group, "is no role of node" if not role else "has no nodes")
            continue
        draft.nodes(role, group["type"], None if role == "primary" else count, f"{where}.type")
        spot = str(group.get("market", "ON_DEMAND")).upper() == "SPOT"
        draft.put(f"cluster.{role}.market", "spot" if spot else None)
        if group.get("bidprice"):
            bid = as_number(group["bidprice"], f"{where}.bidprice")
            draft.put(f"cluster.{role}.bid_price", bid if spot else None)
            if not spot:
                draft.leave(f"{where}.bidprice", group["bidprice"], "a bid is for spot nodes, and these are on demand")
        for key in group:
            if key not in ("num_instances", "type", "market", "bidprice"):
                draft.leave(f"{where}.{key}", group[key], "has no key here")
    draft.core_nodes("instance_groups")
    actions = [
        {"name": one["name"], "path": one["path"], **({"args": list(map(str, one["args"]))} if one.get("args") else {})}
        for one in document.get("bootstrap_actions") or ()
    ]
    draft.put("cluster.bootstrap_actions", actions)
    from_scripts(document.get("steps") or (), draft.stage, "steps", draft)
    known = {*_EDX_KEYS, "vpc_subnet_id", "applications", "configurations", "region", "instance_groups", "steps",
             "bootstrap_actions"}  # fmt: skip
    for key, value in document.items():
        if key not in known:
            draft.leave(key, value, _EDX_LEFT.get(key, "has no key here"))


def _batch(document: Mapping[str, Any], draft: Draft) -> None:
    """servo-batch: its command is what is measured, with its settings as references; with a notebook, they are that
    one's parameters."""
    batch = document["batch"]
    names: dict[str, str] = {}
    taken: set[str] = set()
    for component, found in batch.get("application", {}).get("components", {}).items():
        for name, setting in found.get("settings", {}).items():
            own, own_name = (re.sub(r"[^a-z0-9_]", "_", str(one).lower()) for one in (component, name))
            value = setting.get("default", setting.get("value"))
            section = {key: setting[key] for key in _BATCH_KEYS if key in setting}
            section["value"] = value
            place = f"batch.application.components.{component}.settings.{name}"
            if f"{own}.{own_name}" in taken:
                draft.leave(place, value, f"another setting is called {own}.{own_name} here")
                continue
            taken.add(f"{own}.{own_name}")
            if draft.notebook is None:
                names[f"{component}.{name}"] = f"{own}.{own_name}"
            else:
                section["target"] = f"job.parameters.{own}_{own_name}"
                draft.leave(place, value, f"carried, as the notebook's parameter {own}_{own_name}")
            draft.put(f"components.{own}.{own_name}", section)
    expected = batch.get("expected_duration")
    draft.put("job.expected_duration", f"{expected}s" if expected is not None else None)
    for name, metric in batch.get("metrics", {}).items():
        section = {"from": "output", "pattern": metric.get("output_regex"), "unit": metric.get("unit", "")}
        draft.put(f"job.metrics.{name}", section)
    if "command" in batch:
        _batch_command(str(batch["command"]), names, draft)
    for path, value in leaves(batch.get("application", {}).get("annotations", {}), "batch.application.annotations"):
        draft.leave(path, value, "annotations of measurements are ours")
    _no_cluster(draft, "batch")


def _batch_command(command: str, names: Mapping[str, str], draft: Draft) -> None:
    if draft.notebook is not None:
        why = "the notebook is what is measured: do in it what the command does, with its parameters for {...}"
        draft.leave("batch.command", command, why)
        return

    def known(name: str) -> str | None:
        """servo-batch formats as Python does: {component.setting:form}."""
        selector, _, form = name.partition(":")
        if selector == "_control.duration":
            draft.leave("batch.command", f"{{{name}}}", f"the time limit is job.timeout: {_TIMEOUT_S} is put in")
            return str(_TIMEOUT_S)
        if form and selector in names:
            draft.leave("batch.command", f"{{{name}}}", f"carried as {{{names[selector]}}}, without the form {form}")
        return f"{{{names[selector]}}}" if selector in names else None

    item = command_line(command, known)
    if item is None:
        why = "only a shell could run it, or it refers to what is not here: put it into job.sh, which job.run names"
        draft.leave("batch.command", command, why)
        draft.put("job.run", [{"script": "job.sh"}])
    else:
        draft.put("job.run", [item])


def _statestore(document: Mapping[str, Any], draft: Draft) -> None:
    """servo-statestore-emr: its cluster is made by a script of the user's, of which it knows types and numbers."""
    emr = document["emr"]
    draft.put("region", emr.get("aws_region"))
    for component, found in emr.get("components", {}).items():
        role = _EDX_ROLES.get(component, component)
        settings = found.get("settings", {})
        kind, count = settings.get("inst_type", {}), settings.get("replicas")
        value = kind.get("value", "m5.xlarge")
        draft.nodes(role, value, None if count is None else int(count["value"]), f"emr.components.{component}")
        draft.put(f"components.{role}.inst_type.values", list(dict.fromkeys([value, *kind.get("values", ())])))
        if count is not None:
            bounds = {"min": count.get("min", count["value"]), "max": count.get("max", count["value"])}
            draft.put(f"components.{role}.replicas", {**bounds, "step": count.get("step", 1), "value": count["value"]})
    for key in ("cluster_deploy_cmd", "cluster_destroy_cmd"):
        if key in emr:
            why = "clusters are launched and ended by this servo: what the script asks of EMR belongs in emr.cluster"
            draft.leave(f"emr.{key}", emr[key], why)
    for key, stage in _STATESTORE_STAGES.items():
        if draft.notebook is None or stage != "run":
            from_jar_steps(emr.get(key) or (), stage, f"emr.{key}", draft, tidied=bool(emr.get("post_steps")))
            continue
        for number, step in enumerate(emr.get(key) or ()):
            draft.leave(f"emr.{key}.{number}", step.get("Name", ""), "the notebook is what is measured")
    for key in emr:
        if key == "cluster_base_name":
            draft.leave("emr.cluster_base_name", emr[key], _EDX_LEFT["name"])
        elif key == "settings_map":
            draft.leave("emr.settings_map", emr[key], "types and numbers go to EMR: there is no properties file")
        elif key not in ("aws_region", "components", "cluster_deploy_cmd", "cluster_destroy_cmd", "pre_steps",
                         "measure_steps", "post_steps"):  # fmt: skip
            draft.leave(f"emr.{key}", emr[key], "has no key here")
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
    "ansible": (lambda d: isinstance(d.get("instance_groups"), dict), _ansible),
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
            "(instance_groups), servo-batch's (batch) or servo-statestore-emr's configuration (emr: measure_steps)"
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
        draft.leave("", NOTEBOOK, f"emr.job is not said: the notebook {NOTEBOOK} is put in")
    for path, value in defaults.items():
        *parents, last = path.split(".")
        inner: Any = draft.emr
        for name in parents:
            inner = inner.get(name, {})
        if last not in inner:
            draft.put(path, value)
            draft.leave("", value, f"emr.{path} is not said: {value} is put in")
    return found, draft
