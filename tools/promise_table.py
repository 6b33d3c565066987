"""Carries which test provokes which fault into docs/promises.md, as the tests themselves say it.

A test of fault N is called `test_fN_...` (of several, `test_fN_fM_...`), one of a predecessor's defect
`test_predecessor_...`; the first paragraph of its docstring says in which phase it provokes what, and what then holds.
The page's own words stay as they are.

    promise_table.py            renews the tables
    promise_table.py --check    changes nothing; exit status 1 when they are out of date

Exit status 1 also when a fault has no test, or a test does not say what it does.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "promises.md"
TESTS = ROOT / "tests"

FAULTS = {
    1: "a launch is accepted, and its answer lost",
    2: "launches are throttled for minutes",
    3: "a permission is missing",
    4: "a launch is refused at once",
    5: "a launch is refused minutes later",
    6: "a quota does not suffice",
    7: "a new cluster is not seen yet, among many others, with names like ours",
    8: "STARTING for ever",
    9: "the time of an instance fleet is up",
    10: "the bootstrap action fails, once or always",
    11: "an internal error of EMR",
    12: "the primary node is lost",
    13: "a core node is lost, the step interrupted",
    14: "spot nodes are taken back, and the run succeeds",
    15: "a step fails, and the cluster ends without a reason",
    16: "a person cancels the step",
    17: "a person terminates the cluster",
    18: "a person protects the cluster from termination",
    19: "a termination fails, is throttled, or is answered and ignored",
    20: "TERMINATING for twenty minutes",
    21: "looks are throttled for ten minutes",
    22: "server errors, resets, names that do not resolve, time-outs, a clock that is off",
    23: "the credentials expire, and cannot be renewed",
    24: "the endpoint is down at teardown",
    25: "the job hangs, dies, fails unseen, prints without end, or leaves no number or no result",
    26: "papermill cannot be installed on the cluster",
    27: "kill -9, before and after every call and every write",
    28: "SIGTERM, SIGINT, a second SIGINT, a cancellation in a call, an optimizer out of reach meanwhile",
    29: "a record spoilt by hand or of another version; 409 and 412 on conditional writes",
    30: "two servos on one workspace",
    31: "an optimizer that is down, talks nonsense, repeats, cancels, changes its mind, or has forgotten",
    32: "unknown types and regions, prices that change, are missing, or are nothing",
    33: "times that make no sense; jobs shorter than a minute or longer than the credentials live",
    34: "logs late, cut off, at an odd place, or not to be read; a workspace that may not be written",
}


@dataclass(frozen=True)
class Shown:
    """One test: where it is, its name, what its docstring says of it. `number` None: a predecessor's defect."""

    path: str
    name: str
    says: str
    number: int | None


def tests() -> Iterator[Shown]:
    """All tests of faults and of predecessors' defects, by file and line."""
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            numbered = re.match(r"test((?:_f\d+)+)_", node.name)
            numbers: list[int | None] = [int(n) for n in numbered[1].split("_f")[1:]] if numbered else []
            if node.name.startswith("test_predecessor_"):
                numbers = [None]
            says = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
            for number in numbers:
                yield Shown(str(path.relative_to(ROOT)), node.name, says, number)


def wrong(shown: list[Shown]) -> list[str]:
    """What keeps the tables from being made."""
    numbers = {test.number for test in shown}
    return [
        *(f"F{number} has no test_f{number}_...: {words}" for number, words in FAULTS.items() if number not in numbers),
        *(f"{test.path}: {test.name} has no docstring" for test in shown if not test.says),
        *(f"{test.path}: {test.name} is of no known fault" for test in shown if test.number not in {*FAULTS, None}),
    ]


def faults_table(shown: list[Shown]) -> str:
    rows = ["| | fault | provoked, and what then holds |", "|---|---|---|"]
    for number, words in FAULTS.items():
        said = "<br>".join(_line(test) for test in shown if test.number == number)
        rows.append(f"| F{number} | {words} | {said} |")
    return "\n".join(rows)


def predecessors_table(shown: list[Shown]) -> str:
    rows = ["| the tools before this one | here |", "|---|---|"]
    for test in shown:
        if test.number is None:
            defect = test.name.removeprefix("test_predecessor_").replace("_", " ")
            rows.append(f"| {defect} | {_line(test)} |")
    return "\n".join(rows)


def _line(test: Shown) -> str:
    return f"{test.says.replace('|', '/')} ([`{test.name}`](../{test.path}))"


def updated(page: str, shown: list[Shown]) -> str:
    """The page with its tables made anew.

    Raises:
        ValueError: it has no place for one of them.
    """
    for name, table in (("faults", faults_table(shown)), ("predecessors", predecessors_table(shown))):
        begin, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
        if begin not in page or end not in page:
            raise ValueError(f"the page has no place for the table of {name}: {begin.strip()} and {end.strip()}")
        page = page.partition(begin)[0] + begin + table + end + page.partition(end)[2]
    return page


def main(arguments: list[str]) -> int:
    """The exit status for a command line."""
    if arguments not in ([], ["--check"]):
        print("usage: promise_table.py [--check]", file=sys.stderr)
        return 2
    shown = list(tests())
    if problems := wrong(shown):
        print("\n".join(problems), file=sys.stderr)
        return 1
    page = PAGE.read_text(encoding="utf-8")
    new = updated(page, shown)
    if arguments and new != page:
        print(f"{PAGE.relative_to(ROOT)} is out of date: python tools/promise_table.py", file=sys.stderr)
        return 1
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
