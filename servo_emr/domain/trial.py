"""What one trial asks for beyond its settings: `control.userdata.emr`, and the references in job parameters. Pure.

    {parameters: {name: value}, deadline_s: seconds, max_cost_usd: dollars}

Parameters only of names that `job.parameters` has; anything else is refused.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from servo_emr.domain.bounds import text_of
from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.spec import RunSpec, canonical

__all__ = ["filled", "references", "resolve", "with_userdata"]

_REFERENCE = re.compile(r"\{([a-z][a-z0-9_-]*\.[a-z][a-z0-9_]*|run_id)\}")
"""Also in `emr.job`'s steps: `{run.inputs}` has the form of a setting's reference."""
_KEYS = ("parameters", "deadline_s", "max_cost_usd")
_LARGEST = 256 * 1024
"""Characters of a job's parameters as JSON, when the optimizer has a say in them."""


def references(value: Any) -> set[str]:
    """The names that the texts in a parameter's value refer to: "run_id" or a component.setting."""
    if isinstance(value, str):
        return set(_REFERENCE.findall(value))
    if isinstance(value, Mapping):
        return set().union(*(references(item) for item in value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*(references(item) for item in value))
    return set()


def resolve(value: Any, known: Mapping[str, Any]) -> Any:
    """A parameter's value with its known references filled. A text that is one reference takes the referred type."""
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        if whole and whole[1] in known:
            return known[whole[1]]
        return _REFERENCE.sub(lambda match: str(known.get(match[1], match[0])), value)
    if isinstance(value, Mapping):
        return {key: resolve(item, known) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(item, known) for item in value]
    return value


def filled(words: Iterable[str], known: Mapping[str, Any]) -> tuple[str, ...]:
    """Words with their known references filled, each still one word: what takes them sees no quoting."""
    return tuple(text_of(resolve(word, known)) for word in words)


def with_userdata(spec: RunSpec, userdata: object) -> RunSpec:
    """`spec` with what the trial's userdata asks for.

    Raises:
        OperatorError: operator/userdata, naming the key.
    """
    if userdata is None:
        return spec
    if not isinstance(userdata, Mapping):
        raise _refused("control.userdata.emr", "is not an object")
    for key in userdata:
        if key not in _KEYS:
            raise _refused(f"control.userdata.emr.{_short(key)}", f"is not one of {', '.join(_KEYS)}")
    limits = replace(
        spec.limits,
        deadline_s=_positive(userdata, "deadline_s") or spec.limits.deadline_s,
        max_cost_usd=_positive(userdata, "max_cost_usd") or spec.limits.max_cost_usd,
    )
    values = spec.job.parameter_values
    overrides = userdata.get("parameters")
    overrides = {} if overrides is None else overrides
    if not isinstance(overrides, Mapping):
        raise _refused("control.userdata.emr.parameters", "is not an object")
    for name, value in overrides.items():
        if name not in values:
            known = _listed(values)
            raise _refused(f"control.userdata.emr.parameters.{_short(name)}", f"is not in emr.job.parameters ({known})")
        values[name] = value
    try:
        parameters = canonical(values)
        parameters.encode()  # a lone surrogate is JSON, and no text that could be written anywhere
    except (ValueError, TypeError, RecursionError) as error:
        raise _refused("control.userdata.emr.parameters", f"holds what JSON cannot say: {_few(error)}") from error
    if overrides and len(parameters) > _LARGEST:
        raise _refused("control.userdata.emr.parameters", f"has {len(parameters)} characters, more than {_LARGEST}")
    return replace(spec, limits=limits, job=replace(spec.job, parameters=parameters))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "there are none"


def _short(key: object) -> str:
    return json.dumps(str(key))[:60]


def _few(error: Exception) -> str:
    return str(error)[:200]


def _positive(userdata: Mapping[str, object], key: str) -> float | None:
    value = userdata.get(key)
    if value is None:
        return None
    # Compared rather than asked with isfinite, which raises for an int beyond a float.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= sys.float_info.max:
        raise _refused(f"control.userdata.emr.{key}", "is not a number above 0")
    return float(value)


def _refused(place: str, what: str) -> OperatorError:
    return OperatorError(
        f"{place} {what}.",
        Reason.USERDATA,
        remedy="Correct what the optimizer sends, or emr.job.parameters in servo.yaml.",
        public="userdata refused",
    )
