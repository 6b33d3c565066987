"""docs/configuration-reference.md is what the models say, and says of every key what it is."""

from __future__ import annotations

import re
from pathlib import Path

from servo_emr.sections.base import Section
from servo_emr.sections.steps import STEP_MODELS, StepSection
from tools.configuration_reference import reference

PAGE = (Path(__file__).parents[2] / "docs" / "configuration-reference.md").read_text(encoding="utf-8")
_SECTION = re.compile(r"^## (\S+)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\| `(\w+)` \| (.+) \| (.+) \| (.*) \| (.+) \|$", re.MULTILINE)


def sections() -> set[type[Section]]:
    """Every model of a part of servo.yaml."""
    found: set[type[Section]] = set()
    waiting = [Section]
    while waiting:
        below = waiting.pop().__subclasses__()
        found.update(below)
        waiting += below
    return found


def test_the_page_is_what_the_models_say() -> None:
    assert reference() == PAGE, "run `python tools/configuration_reference.py`"


def test_every_key_of_every_model_has_a_row_with_all_its_cells() -> None:
    rows = {name: {row[0]: row for row in _ROW.findall(text)} for name, text in _SECTION.findall(PAGE)}
    keys = {frozenset(found) for found in rows.values()}
    shared = {StepSection, *StepSection.__subclasses__()} - set(STEP_MODELS.values())  # what kinds of step have alike
    own = [model for model in sections() if model.__fields__ and model.__module__.startswith("servo_emr.sections")]
    assert len(own) > 20
    for model in set(own) - shared:
        assert frozenset(field.alias for field in model.__fields__.values()) in keys, model.__name__
    assert rows["emr.limits"]["cost_per_hour"][1:4] == ("number above 0", "*none*", "USD/h")
    assert rows["emr.job"]["timeout"][1:4] == ("duration", "`2h`", "s")
    assert rows["emr.cluster"]["release_label"][1:3] == ("text", "required")
    assert rows["emr.cluster.ROLE.ebs[]"]["size"][1:4] == ("whole number, 1 to 1024", "required", "GiB")
