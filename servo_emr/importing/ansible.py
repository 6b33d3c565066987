"""An ansible-style cluster, as edX's analytics configuration has it -> servo.yaml.

That is what its `emr` module takes (`instance_groups`), or the variables from which its playbook makes that
(`core_instance_num`, `core_instance_type`, ...). Where the module's versions differ, all their forms are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from servo_emr.importing.draft import Draft, as_number
from servo_emr.importing.steps import from_scripts

__all__ = ["from_ansible", "is_ansible"]

_ROLES = {"master": "primary", "core": "core", "task": "task"}
_VARIABLE = re.compile(r"(master|core|task)_instance_(num|type|bid)")
_TEMPLATE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_KEYS = {
    "keypair_name": "key_pair", "log_uri": "log_uri", "release_label": "release_label", "service_role": "service_role",
    "job_flow_role": "instance_profile", "role": "instance_profile",
    "emr_managed_master_security_group": "security_groups.primary",
    "emr_managed_slave_security_group": "security_groups.core_and_task",
    "additional_master_security_groups": "security_groups.additional_primary",
    "additional_slave_security_groups": "security_groups.additional_core_and_task",
}  # fmt: skip
_BEFORE_EMR_4 = "of releases before emr-4, which have no release label"
_LEFT = {
    "name": "a cluster's name is our key: the workspace's id and the run's",
    "user_info": "a cluster ends with its run, and nobody logs in: a bootstrap action can make users",
    "visible_to_all_users": "without effect since 2021",
    "ami_version": _BEFORE_EMR_4,
    "hadoop_version": _BEFORE_EMR_4,
    "availability_zone": "a subnet says the zone",
    "state": "every cluster ends with its run",
}
_READ = {*_KEYS, "vpc_subnet_id", "applications", "configurations", "region", "instance_groups", "steps", "tags",
         "bootstrap_actions"}  # fmt: skip


def is_ansible(document: Mapping[str, Any]) -> bool:
    """Whether a document is of this form."""
    return isinstance(document.get("instance_groups"), dict) or any(_VARIABLE.fullmatch(str(key)) for key in document)


def from_ansible(document: Mapping[str, Any], draft: Draft) -> None:
    """Puts what a file asks for into the draft, and leaves what has no key with the reason."""
    variables = document
    document = {key: _filled(value, variables) for key, value in document.items()}
    for name, key in _KEYS.items():
        if document.get(name) and "{{" not in str(document[name]):
            draft.put(f"cluster.{key}", document[name])
    subnets = document.get("vpc_subnet_id") or []
    draft.put("cluster.subnet_ids", subnets if isinstance(subnets, list) else [subnets])
    draft.put("cluster.applications", list(_applications(document.get("applications") or (), draft)))
    draft.put("cluster.configurations", _configurations(document.get("configurations") or ()))
    draft.put("cluster.tags", _tags(document.get("tags") or {}))
    draft.put("region", document.get("region"))
    _nodes(document, draft)
    draft.put("cluster.bootstrap_actions", list(_actions(document.get("bootstrap_actions") or ())))
    from_scripts(document.get("steps") or (), draft.stage, "steps", draft)
    for key, value in document.items():
        if isinstance(value, str) and "{{" in value:
            draft.leave(key, value, "a template that nothing in this file fills: say it in servo.yaml")
        elif key not in _READ and not _VARIABLE.fullmatch(str(key)) and value not in ("", None, [], {}):
            draft.leave(key, value, _LEFT.get(key, "has no key here"))


def _filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """A value with those templates filled that are variables of the file; any other stays as it is."""
    if isinstance(value, Mapping):
        return {key: _filled(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, variables) for item in value]
    found = _TEMPLATE.fullmatch(value.strip()) if isinstance(value, str) else None
    return variables[found[1]] if found and not isinstance(variables.get(found[1], {}), (dict, list)) else value


def _nodes(document: Mapping[str, Any], draft: Draft) -> None:
    groups, places = document.get("instance_groups"), {"num_instances": "", "type": "", "bidprice": ""}
    if groups is None:
        groups, places = _of_variables(document), {"num_instances": "num", "type": "type", "bidprice": "bid"}
    for name, group in groups.items():
        role = _ROLES.get(name, "")

        def place(key: str, name: str = name) -> str:
            return f"{name}_instance_{places[key]}" if places[key] else f"instance_groups.{name}.{key}"

        where = place("type") if places["type"] else f"instance_groups.{name}"
        count = int(as_number(group.get("num_instances", 1), place("num_instances")))
        if not role or not count:
            draft.leave(where, group, "is no role of node" if not role else "has no nodes")
            continue
        draft.nodes(role, group["type"], None if role == "primary" else count, place("type"))
        if role == "primary" and count != 1:
            draft.leave(place("num_instances"), count, "a cluster has one primary node")
        spot = str(group.get("market", "ON_DEMAND")).upper() == "SPOT"
        draft.put(f"cluster.{role}.market", "spot" if spot else None)
        if group.get("bidprice"):
            bid = as_number(group["bidprice"], place("bidprice"))
            draft.put(f"cluster.{role}.bid_price", bid if spot else None)
            if not spot:
                draft.leave(place("bidprice"), bid, "a bid is for spot nodes, and these are on demand")
        for key in group:
            if key not in ("num_instances", "type", "market", "bidprice"):
                draft.leave(f"instance_groups.{name}.{key}", group[key], "has no key here")
    draft.core_nodes("instance_groups" if "instance_groups" in document else "")


def _of_variables(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The groups that the playbook makes of its variables: task nodes are on spot."""
    groups: dict[str, dict[str, Any]] = {}
    for name in _ROLES:
        keys = {"num_instances": "num", "type": "type", "bidprice": "bid"}
        group = {
            key: document[f"{name}_instance_{variable}"]
            for key, variable in keys.items()
            if f"{name}_instance_{variable}" in document
        }
        if group and "type" not in group:
            raise ValueError(f"{name}_instance_type is not said, and the playbook's own default is gone from EMR")
        if group:
            groups[name] = {**group, "market": "SPOT" if name == "task" else "ON_DEMAND"}
    return groups


def _applications(listed: Any, draft: Draft) -> Iterator[str]:
    for number, one in enumerate(listed):
        fields = {"name": one} if isinstance(one, str) else {str(key).lower(): value for key, value in one.items()}
        yield fields["name"]
        if fields.get("args"):
            draft.leave(f"applications.{number}.args", str(fields["args"]), _BEFORE_EMR_4)


def _configurations(listed: Any) -> list[dict[str, Any]]:
    """Classifications with small or, as EMR's own documents have it, capital letters in front of the keys."""
    found = []
    for one in listed:
        fields = {str(key).lower(): value for key, value in one.items()}
        found.append(
            {
                "classification": fields["classification"],
                **({"properties": dict(fields["properties"])} if fields.get("properties") else {}),
                **(
                    {"configurations": _configurations(fields["configurations"])}
                    if fields.get("configurations")
                    else {}
                ),
            }
        )
    return found


def _tags(tags: Any) -> dict[str, str]:
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {str(one["Key"]): str(one.get("Value", "")) for one in tags}


def _actions(actions: Any) -> Iterator[dict[str, Any]]:
    """Bootstrap actions by name, each a path or path and args; or a list of them."""
    if isinstance(actions, Mapping):
        named = [{"name": name, **(one if isinstance(one, dict) else {"path": one})} for name, one in actions.items()]
    else:
        named = list(actions)
    for one in named:
        args = [str(word) for word in one.get("args") or ()]
        yield {"name": one["name"], "path": one["path"], **({"args": args} if args else {})}
