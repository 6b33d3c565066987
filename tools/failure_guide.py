"""Carries what failures look like into docs/failures.md: the golden texts, the advice, and every message of the source.

The page's own words, what causes each reason, stay as they are; a reason without a section gets one to be filled in.

Exit status: 0. `tests/unit/test_failure_guide.py` says whether the page is up to date.
"""

from __future__ import annotations

import re
from pathlib import Path

from messages import HEADING, collect, part

from servo_emr.domain.errors import Reason
from servo_emr.remedies import next_step

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "failures.md"
GOLDEN = ROOT / "tests" / "golden" / "failures"


def section(reason: Reason, cause: str) -> str:
    """The section of a reason: cause, remedy and what it looks like."""
    symptom = (GOLDEN / f"{reason.replace('/', '.')}.txt").read_text(encoding="utf-8").rstrip("\n")
    return f"## {reason}\n\n{cause}\n\n**What to do.** {next_step(reason)}\n\n```text\n{symptom}\n```\n"


def updated(page: str) -> str:
    """The page with every section's symptom and remedy renewed, in the order of the closed list."""
    head, *old = re.split(r"^## ", page.partition(f"\n{HEADING}")[0], flags=re.MULTILINE)
    causes = {}
    for text in old:
        name, _, body = text.partition("\n")
        causes[name.strip()] = body.partition("**What to do.**")[0].strip()
    reasons = [reason for reason in Reason if reason is not Reason.SUCCESS]
    sections = [section(reason, causes.get(str(reason), "")) for reason in reasons]
    return head + "\n".join([*sections, part(collect(), [str(reason) for reason in reasons])])


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
