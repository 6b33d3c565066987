"""The steps of other tools' definitions -> the stages of `emr.job`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from servo_emr.importing.draft import Draft

__all__ = ["command_line", "from_jar_steps", "from_scripts"]

_INSTALLS = {"hive_install": "Hive", "pig_install": "Pig"}
_ENDS = ("TERMINATE_CLUSTER", "TERMINATE_JOB_FLOW")
_SHELL = set(";|&<>$`*?~#\n")
_OF_A_SHELL = re.compile(
    r"[A-Za-z_]\w*=.*|\.|!|\[\[|case|cd|eval|exec|exit|export|for|if|read|set|shift|source|time|trap|ulimit|umask|unset|"
    r"until|wait|while"
)
"""First words that are no program: what follows an assignment is run with it, and the others are a shell's own."""
_REFERENCE = re.compile(r"\{([^{}]*)\}")


def from_jar_steps(
    steps: Sequence[Mapping[str, Any]], stage: str, where: str, draft: Draft, tidied: bool = False
) -> None:
    """Steps in EMR's own words, as they are. Where clean-up follows (`tidied`) EMR has to go on after a failure."""
    found = []
    for number, step in enumerate(steps):
        jar = step["HadoopJarStep"]
        item = {
            "name": step.get("Name"),
            "jar": jar["Jar"],
            "args": [str(word) for word in jar.get("Args", ())],
            "main_class": jar.get("MainClass"),
            "properties": {one["Key"]: one.get("Value", "") for one in jar.get("Properties", ())},
            "action_on_failure": step.get("ActionOnFailure"),
        }
        if tidied and item["action_on_failure"] not in (None, "CONTINUE"):
            why = "it would keep the clean-up from running; a step that fails ends the job all the same"
            draft.leave(f"{where}.{number}.ActionOnFailure", item.pop("action_on_failure"), why)
        found.append({key: value for key, value in item.items() if value not in (None, "", [], {})})
        if "StepMonitoringConfiguration" in step:
            why = "logs go to cluster.log_uri, where failures are explained from"
            draft.leave(f"{where}.{number}.StepMonitoringConfiguration", "...", why)
    draft.put(f"job.{stage}", found)


def from_scripts(steps: Sequence[Mapping[str, Any]], stage: str, where: str, draft: Draft) -> None:
    """Steps as edX's module takes them: of type script, whose first word is the script, jar, streaming, and those that
    install what later releases install as applications."""
    found = []
    for number, step in enumerate(steps):
        place, words = f"{where}.{number}", [str(word) for word in step.get("step_args") or ()]
        kind = "jar" if step.get("jar") else step.get("type", "jar")
        item: dict[str, Any] = {"name": step["name"]} if step.get("name") else {}
        action = str(step.get("action_on_failure", "TERMINATE_JOB_FLOW"))
        if kind == "script" and words:
            item |= {"script": words[0], **({"args": words[1:]} if words[1:] else {})}
            if action not in _ENDS:
                draft.leave(f"{place}.action_on_failure", action, "a step that fails ends the run: nothing is measured")
        elif kind == "streaming":
            item |= {"jar": "command-runner.jar", "args": ["hadoop-streaming", *words], "action_on_failure": action}
        elif kind == "jar" and step.get("jar"):
            item |= {"jar": step["jar"], **({"args": words} if words else {}), "action_on_failure": action}
            item |= {"main_class": step["main_class"]} if step.get("main_class") else {}
            item |= {"properties": _properties(step["properties"])} if step.get("properties") else {}
        elif kind in _INSTALLS:
            why = f"releases since emr-4 install it: {_INSTALLS[kind]} is among cluster.applications"
            draft.leave(place, kind, why)
            cluster = draft.emr.setdefault("cluster", {})
            listed = cluster.setdefault("applications", [])
            if _INSTALLS[kind].lower() not in [name.lower() for name in listed]:
                listed.append(_INSTALLS[kind])
            continue
        else:
            draft.leave(
                place, step.get("name", ""), f"a step of type {kind} has no kind here: script, jar, streaming have"
            )
            continue
        found.append(item)
    draft.put(f"job.{stage}", found)


def _properties(properties: Any) -> dict[str, Any]:
    if isinstance(properties, Mapping):
        return dict(properties)
    return {one["Key"]: one.get("Value", "") for one in properties}


def command_line(text: str, known: Callable[[str], str | None]) -> dict[str, Any] | None:
    """A step that runs a shell's command line without a shell; None where only a shell could.

    Args:
        known: what a name in braces becomes; None: it is nothing that there is here.
    """
    plain = _REFERENCE.sub("", text)
    if _SHELL & set(plain):
        return None
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    if not words or _OF_A_SHELL.fullmatch(words[0]):
        return None
    names = {name: known(name) for name in dict.fromkeys(_REFERENCE.findall(" ".join(words)))}
    if None in names.values():
        return None
    filled = [_REFERENCE.sub(lambda match: str(names[match[1]]), word) for word in words]
    program, *args = filled
    if "/" in program and not program.startswith("/"):
        return {"script": program, "args": args} if args else {"script": program}
    return {"command": filled}
