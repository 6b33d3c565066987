"""The failure guide has a section for every reason: its cause, what to do, and the block as it was provoked; and every
message that the source can print."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from servo_emr.cli.emulated import EMULATED
from servo_emr.domain.errors import Reason
from servo_emr.remedies import next_step
from tools.messages import HEADING, collect, error_names, part, unread

ROOT = Path(__file__).parents[2]
PAGE, _, WORDS = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8").partition(f"\n{HEADING}\n")
REASONS = [reason for reason in Reason if reason is not Reason.SUCCESS]


def sections() -> dict[str, str]:
    """Name -> text below it."""
    _, *texts = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    return {text.partition("\n")[0]: text.partition("\n")[2] for text in texts}


def test_the_guide_has_the_closed_list_in_its_order() -> None:
    assert list(sections()) == [str(reason) for reason in REASONS]


@pytest.mark.parametrize("reason", REASONS, ids=str)
def test_a_section_tells_cause_remedy_and_what_is_seen(reason: Reason) -> None:
    text = sections()[str(reason)]
    golden = ROOT / "tests" / "golden" / "failures" / f"{reason.replace('/', '.')}.txt"
    cause, _, rest = text.partition("**What to do.**")
    assert len(cause.split()) > 8, "the cause is not told"
    # `python tools/failure_guide.py` renews what follows
    assert rest == f" {next_step(reason)}\n\n```text\n{golden.read_text(encoding='utf-8').rstrip()}\n```\n" + (
        "" if reason is REASONS[-1] else "\n"
    )


def test_every_message_that_the_code_can_print_is_in_the_guide() -> None:
    told = part(collect(), [str(reason) for reason in REASONS])
    # `python tools/failure_guide.py` renews it
    assert WORDS.splitlines() == told.splitlines()[1:]


def test_what_is_said_without_words_of_its_own_passes_on_what_another_message_said() -> None:
    assert set(unread()) == {
        # the edge: an exception that nobody expected, or one of ours told again
        "answers.py: translated",
        "cli/cycle.py: _run_of",
        # what is wrong with a file of another tool, behind the file's name
        "cli/import_file.py: import_file",
        "lifecycle/course.py: defect",
        "lifecycle/measure.py: _once",
        "lifecycle/measure.py: _error_of",
        "lifecycle/guards.py: possible",
        "checks/result.py: failed",
        "cli/plan.py: chosen",
        "domain/settings.py: coerce",
        "aws/records.py: _parsed",
        "lifecycle/course.py: _attempted",
        "lifecycle/course.py: _decide",
        # told to a reader within the package, which has words of its own for it
        "aws/body.py: read_body",
        # a list of lines, each of which is collected where it is raised
        "cli/settings_file.py: load",
        # AWS's own words, or the notebook's, behind a name
        "aws/refusals.py: refused",
        "lifecycle/lease.py: _taken",
        "notebook/evidence.py: _no_result",
        # what cannot be read or run, behind the key of servo.yaml that names it
        "notebook/pack.py: _check",
        "notebook/pack.py: _read",
    }


def test_no_error_is_made_under_another_name_where_it_would_not_be_found() -> None:
    names = error_names()
    assert {"failure", "RunError", "OperatorError", "UsageError", "LaunchUnclear", "Conflict"} <= names
    hidden = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "servo_emr").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and any(alias.asname and alias.name in names for alias in node.names)
    ]
    assert hidden == []


def test_a_message_is_read_off_names_tables_and_callers(tmp_path: Path) -> None:
    (tmp_path / "domain").mkdir()
    (tmp_path / "domain" / "errors.py").write_text(
        "class Reason:\n    ROLE = 'operator/role'\n"
        "class ServoEmrError(Exception): pass\nclass UsageError(ServoEmrError): pass\n"
    )
    (tmp_path / "one.py").write_text(
        "_WORDS = {1: 'no role at all', 2: 'two roles here'}\n"
        "def _made(what, name):\n"
        "    place = 'servo.yaml'\n"
        "    remedy = 'Mend it ' + ('now.' if name else 'soon.')\n"
        "    return failure(Reason.ROLE, f'{place}: {name} {what}.', remedy=remedy)\n"
        "def use():\n"
        "    raise _made('does not exist', who())\n"
        "    raise _made(_WORDS[1], who())\n"
        "    raise UsageError('--set: write it so')\n"
    )
    told = {(message.heading, message.text, message.remedy) for message in collect(tmp_path)}
    advice = "Mend it now. Or: Mend it soon."
    assert told == {
        ("operator/role", "servo.yaml: … does not exist.", advice),
        ("operator/role", "servo.yaml: … no role at all.", advice),
        ("operator/role", "servo.yaml: … two roles here.", advice),
        ("wrong usage or configuration", "--set: write it so", ""),
    }


def test_what_is_put_on_a_list_or_made_by_a_function_or_a_constant_elsewhere_is_found_too(tmp_path: Path) -> None:
    (tmp_path / "domain").mkdir()
    (tmp_path / "domain" / "errors.py").write_text("class Reason:\n    ROLE = 'operator/role'\n")
    (tmp_path / "one.py").write_text(
        "from servo_emr.cli.emulated import EMULATED\n"
        "def _open(why):\n"
        "    return f'The door is open: {why}.'\n"
        "def use(notes):\n"
        "    notes.append('There was no room for all.')\n"
        "    note(_open(who()))\n"
        "    note(EMULATED)\n"
    )
    texts = {message.text for message in collect(tmp_path)}
    assert texts == {"There was no room for all.", "The door is open: ….", EMULATED}
