"""servo-statestore-emr's configuration -> servo.yaml: its steps are the stages, its components types and numbers.

Its cluster is made by a script of the user's, of which it knows no more.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from servo_emr.importing.batch import PLAIN, settings_of
from servo_emr.importing.draft import Draft, as_number
from servo_emr.importing.steps import from_jar_steps

__all__ = ["from_statestore"]

_ROLES = {"master": "primary", "core": "core", "task": "task"}
_STAGES = {"pre_steps": "prepare", "measure_steps": "run", "post_steps": "cleanup"}
_REFERENCE = re.compile(PLAIN.pattern + r"(?::[^{}]*)?\}")
_ALONE = re.compile(r"\S+")
"""A word that is no line of code: what it refers to can be put in without escaping."""
_OURS = "clusters are launched and ended by this servo: what the script asks of EMR belongs in emr.cluster"
_LEFT = {
    "cluster_deploy_cmd": _OURS,
    "cluster_destroy_cmd": _OURS,
    "cluster_base_name": "a cluster's name is our key: the workspace's id and the run's",
    "settings_map": "types and numbers go to EMR: there is no properties file",
}


def from_statestore(document: Mapping[str, Any], draft: Draft) -> None:
    """Puts stages, types and numbers into the draft, and leaves what has no key with the reason."""
    emr = document["emr"]
    draft.put("region", emr.get("aws_region"))
    expected = emr.get("expected_duration")
    draft.put("job.expected_duration", f"{expected}s" if expected is not None else None)
    measured = [dict(step) for step in emr.get("measure_steps") or ()]
    words = [word for step in measured for word in step["HadoopJarStep"].get("Args") or ()]
    referred = {found for word in words if _ALONE.fullmatch(str(word)) for found in _REFERENCE.findall(str(word))}
    names = _components(emr.get("components") or {}, referred, draft)
    for key, stage in _STAGES.items():
        steps = measured if stage == "run" else emr.get(key) or ()
        if draft.notebook is None or stage != "run":
            found = [_referring(step, f"emr.{key}.{n}", names, draft) for n, step in enumerate(steps)]
            from_jar_steps(found, stage, f"emr.{key}", draft, tidied=bool(emr.get("post_steps")))
            continue
        for number, step in enumerate(steps):
            draft.leave(f"emr.{key}.{number}", step.get("Name", ""), "the notebook is what is measured")
    for key in emr:
        if key not in ("aws_region", "components", "expected_duration", *_STAGES):
            draft.leave(f"emr.{key}", emr[key], _LEFT.get(key, "has no key here"))


def _components(components: Mapping[str, Any], referred: Collection[tuple[str, str]], draft: Draft) -> dict[str, str]:
    """The components, in the draft by then; the names of their settings there -> here.

    Args:
        referred: components and settings to which the measured steps refer.
    """
    names: dict[str, str] = {}
    for component, found in components.items():
        role, settings, where = _ROLES.get(component), dict(found.get("settings") or {}), f"emr.components.{component}"
        if role is not None:
            kind, count = settings.pop("inst_type", {}), settings.pop("replicas", None)
            value = kind.get("value", "m5.xlarge")
            number = None if count is None or role == "primary" else int(as_number(count["value"], f"{where}.replicas"))
            draft.nodes(role, value, number, where)
            draft.put(f"components.{role}.inst_type.values", list(dict.fromkeys([value, *kind.get("values", ())])))
            names |= {f"{component}.{name}": f"{role}.{name}" for name in ("inst_type", "replicas")}
            if count is not None and number is not None:
                bounds = {"min": count.get("min", number), "max": count.get("max", number)}
                draft.put(f"components.{role}.replicas", {**bounds, "step": count.get("step", 1), "value": number})
        for name in [name for name in settings if (component, name) not in referred or role is not None]:
            why = "no measured step refers to it alone: give it a target in emr.components"
            draft.leave(f"{where}.settings.{name}", settings.pop(name).get("value"), why)
        names |= settings_of({component: {"settings": settings}}, "emr.components", draft) if settings else {}
    return names


def _referring(step: Mapping[str, Any], where: str, names: Mapping[str, str], draft: Draft) -> dict[str, Any]:
    """A step with our references in the words of its command, where it is not a shell's code that refers."""
    jar = dict(step["HadoopJarStep"])
    words = [str(word) for word in jar.get("Args") or ()]
    for number, word in enumerate(words):
        known = all(f"{component}.{name}" in names for component, name in _REFERENCE.findall(word))
        if not _REFERENCE.search(word):
            continue
        if not known or not _ALONE.fullmatch(word):
            why = "a reference in a shell's code, or to what is not here: give it as an argument of its own"
            draft.leave(f"{where}.HadoopJarStep.Args.{number}", word, why)
            continue
        words[number] = _REFERENCE.sub(lambda found: f"{{{names[f'{found[1]}.{found[2]}']}}}", word)
    return {**step, "HadoopJarStep": {**jar, **({"Args": words} if words else {})}}
