"""docs/extending.md and docs/architecture.md name what there is: modules, classes, functions, files are looked up."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_CODE = re.compile(r"`([^`\n]+)`")
_DOTTED = re.compile(r"servo_emr(\.\w+)+")
_PATH = re.compile(r"(tests|tools|docs|servo_emr)/[\w./-]+|[A-Z]+\.md")


def names(page: str) -> set[str]:
    return set(_CODE.findall((ROOT / "docs" / page).read_text(encoding="utf-8")))


def found(dotted: str) -> object:
    """The module, or what is in it."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            thing: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for name in parts[end:]:
            thing = getattr(thing, name)
        return thing
    raise AssertionError(dotted)


DOTTED = sorted(name for name in names("extending.md") if _DOTTED.fullmatch(name))
PATHS = sorted(
    name for page in ("extending.md", "architecture.md") for name in names(page) if _PATH.fullmatch(name)
    and "NAME" not in name
)  # fmt: skip


@pytest.mark.parametrize("dotted", DOTTED)
def test_a_name_that_the_page_says_is_there(dotted: str) -> None:
    assert found(dotted) is not None


def test_every_file_that_the_pages_name_is_there() -> None:
    assert len(DOTTED) > 25
    assert len(PATHS) > 12
    assert [path for path in PATHS if not (ROOT / path).exists()] == []


def test_a_port_that_is_to_be_implemented_has_the_verbs_that_the_page_says() -> None:
    target, source = found("servo_emr.domain.ports.LaunchTarget"), found("servo_emr.domain.ports.PriceSource")
    assert {name for name in vars(source) if not name.startswith("_")} == {"prices"}
    assert {"request", "submit", "find", "release", "usage"} <= set(vars(target))
