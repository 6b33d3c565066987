"""What README and the start page show of the demo is what the demo says, trial by trial; README's other commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.guide import DOCS, ROOT, Command, commands, difference, run, said

PAGES = (ROOT / "README.md", DOCS / "start.md")
ELSEWHERE = {
    "make demo": "this module, without make",
    "make test": "CI, which is how this is run",
    "pip install . -c constraints.txt           # what a servo's pod needs": "tests/test_packaging.py",
    "pip install '.[demo]' -c constraints.txt   # with the emulator and Spark": "tests/test_setup.py, by .venv",
}
"""README's commands, and what runs them."""


def test_readme_has_no_command_that_nothing_runs() -> None:
    assert {command.line for command in commands(PAGES[0].read_text(encoding="utf-8"))} == set(ELSEWHERE)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_the_demo_says_what_the_pages_show(tmp_path: Path) -> None:
    done = run("servo-emr demo", tmp_path, {}, patience=3500)
    assert done.returncode == 0, done.stdout
    for page in PAGES:
        (shown,) = said(page.read_text(encoding="utf-8"))
        assert isinstance(shown, Command)
        assert difference(shown, done.stdout) == ""
