"""What a notebook has written does not command the terminal of whoever reads of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servo_emr.cli.show import page
from servo_emr.domain.run import RunRecord
from servo_emr.failure_block import failure_of, visible
from tests.support.written import DECIDED, records

CLIPBOARD = "\x1b]52;c;cm0gLXJmIC8=\x07"
"""What makes a terminal put a text into the clipboard."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nof two lines", "plain\ttext\nof two lines"),
        ("\x1b[1;31mred\x1b[0m \x1b[?25lhidden", "red hidden"),
        ("50 %\r100 %\r\ndone", "50 %\n100 %\ndone"),
        (CLIPBOARD, r"\x1b]52;c;cm0gLXJmIC8=\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("café €", "café €"),
    ],
)
def test_controls_are_written_out_and_colours_left_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_failure_and_a_run_s_page_hold_no_control_of_a_notebook_s() -> None:
    failed = next(run_id for run_id, verdict in DECIDED.items() if verdict != "succeeded")
    record = replace(RunRecord.from_json(records()[failed]), message=f"ValueError: {CLIPBOARD}", warnings=(CLIPBOARD,))
    for text in (page(record), failure_of(record) or ""):
        assert r"\x1b]52" in text
        assert not set(text) & set("\x1b\x07")
