"""A scripted optimizer and a real `servo run` talking, and what the emulated account looked like after each answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook
from tests.support.optimizer import Command, Optimizer, Received
from tests.support.servo import PATIENCE, ServoRun, write_configuration

__all__ = ["Conversation", "Turn", "converse"]


@dataclass(frozen=True)
class Turn:
    """A command and its answer: `answer` is the result's param, `progress` the reports before it, oldest first.

    `launched` are the clusters that were made meanwhile, `alive` those that were left when the answer was there.
    """

    answer: dict[str, Any]
    progress: list[dict[str, Any]]
    launched: list[str]
    run_job_flows: int
    alive: list[str]

    @property
    def outcome(self) -> tuple[str, str]:
        """(status, reason)"""
        return self.answer["status"], self.answer["reason"]

    @property
    def last_line(self) -> dict[str, str]:
        """The figures in the last line of a failure's message."""
        line = self.answer["message"].splitlines()[-1]
        assert re.fullmatch(r"run=\S+ cost_usd=\d+\.\d{4} duration_s=(none|\d+\.\d+)", line), line
        return dict(word.split("=", 1) for word in line.split(" "))

    @property
    def run_id(self) -> str:
        """The run that the answer names."""
        if self.answer["status"] == "ok":
            return str(self.answer["annotations"]["run_id"])
        return self.last_line["run"]


@dataclass(frozen=True)
class Conversation:
    """All of it: the turns by the names that the script gave them, and every body that the optimizer received."""

    turns: Mapping[str, Turn]
    received: list[Received]
    log: str

    def __getitem__(self, name: str) -> Turn:
        return self.turns[name]


def converse(
    folder: Path,
    emulator: EmulatorProcess,
    account: Account,
    script: Mapping[str, Command],
    changes: Mapping[str, Any] | None = None,
    meanwhile: Mapping[str, Callable[[], None]] | None = None,
) -> Conversation:
    """One `servo run` through the whole script; `meanwhile` holds what happens while a command is carried out."""
    job_notebook(folder / "job.ipynb")
    write_configuration(folder, changes)
    turns: dict[str, Turn] = {}
    with Optimizer() as optimizer:
        with ServoRun(folder, optimizer.url, emulator.env) as servo:
            for name, command in script.items():
                before = {cluster["Id"] for cluster in account.clusters()}
                calls = len(emulator.calls(operation="RunJobFlow"))
                uid = optimizer.ask(command)
                if meanwhile and name in meanwhile:
                    meanwhile[name]()
                try:
                    answer = optimizer.result(uid, PATIENCE)
                except AssertionError as error:
                    raise AssertionError(f"{name}: {error}; servo's log ends {servo.log[-4000:]}") from None
                launched = [cluster["Id"] for cluster in account.clusters() if cluster["Id"] not in before]
                calls = len(emulator.calls(operation="RunJobFlow")) - calls
                turns[name] = Turn(answer, optimizer.progress(uid), launched, calls, account.alive())
            servo.stop()
            log = servo.log
        return Conversation(turns, optimizer.received(), log)
