"""The failure guide has a section for every reason: its cause, what to do, and the block as it was provoked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from servo_emr.domain.errors import Reason
from servo_emr.remedies import next_step

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
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
