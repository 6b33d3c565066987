"""What tools/hygiene.py finds in a file, and that pre-commit's hooks are what make's own targets run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tools.hygiene import LARGEST, faults

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("a.py", b"a = 1\n", []),
        ("a.py", b"", []),
        ("a.py", b"a = 1 \n", ["a.py:1: blanks at the end"]),
        ("a.md", b"a\r\n", ["a.md:1: ends as on Windows (CR LF)"]),
        ("a.py", b"a = 1", ["a.py: has to end with one newline"]),
        ("a.py", b"a = 1\n\n", ["a.py: has to end with one newline"]),
        (
            "a.md",
            b"<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n",
            [f"a.md:{n}: a marker of a merge" for n in (1, 3, 5)],
        ),
        ("a.json", b'{"a": 1}\n{"b": 2}\n', []),
        ("a.json", b'{"a": 1\n', ["a.json: Expecting ',' delimiter: line 1 column 8 (char 7)"]),
        ("a.bin", b"\0 \n", []),
        ("a.txt", b"\xff\n", ["a.txt: not UTF-8 (invalid start byte at byte 0)"]),
        ("tests/golden/a.txt", b"a \n", []),
    ],
)
def test_a_fault_is_told_with_its_place(name: str, body: bytes, expected: list[str]) -> None:
    assert list(faults(name, body)) == expected


@pytest.mark.parametrize(("name", "body"), [("a.toml", b"a =\n"), ("a.yaml", b"a: [\n"), ("a.ipynb", b"{\n")])
def test_a_document_that_does_not_parse_is_told(name: str, body: bytes) -> None:
    (fault,) = faults(name, body)
    assert fault.startswith(f"{name}: ")


def test_what_is_huge_is_told_whoever_made_it() -> None:
    (fault,) = faults("tests/fixtures/a.bin", bytes(LARGEST + 1))
    assert fault == f"tests/fixtures/a.bin: {LARGEST + 1} bytes, at most {LARGEST} go into the repository"


def test_every_hook_runs_from_the_environment_that_make_sets_up_and_nothing_is_fetched() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    makefile = (ROOT / "Makefile").read_text().replace("$(bin)", ".venv/bin")
    for hook in repository["hooks"]:
        program = re.match(r"\.venv/bin/\S+(?: tools/\S+| check| format)?|bash", hook["entry"])
        assert program, hook["entry"]
        assert f"\t{program[0]}" in makefile or "bash -n" in hook["entry"], hook["entry"]
