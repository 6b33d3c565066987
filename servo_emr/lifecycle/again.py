"""Whether a run that was disturbed is run again instead of being reported: only where servo.yaml asks for it, so many
times at most, and while what it costs leaves room below the limits. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from servo_emr.domain.errors import Verdict
from servo_emr.domain.run import RunRecord
from servo_emr.domain.spec import spec_from_json
from servo_emr.lifecycle.guards import spent
from servo_emr.lifecycle.past import Past

__all__ = ["Again", "disturbance"]


def disturbance(record: RunRecord) -> str:
    """What disturbed a run, in words; empty when nothing did, or nobody could tell."""
    return str(record.details.get("disturbed") or "")


@dataclass(frozen=True)
class Again:
    """How often one measurement may be repeated, and what it has cost.

    most: so many repetitions; before: the disturbed runs of this measurement in this process; past: the records when
    the run began, among them those that another process has repeated for the same cmd_uid.
    """

    most: int
    cmd_uid: str | None
    before: tuple[RunRecord, ...] = ()
    past: Past | None = None

    def wanted(self, record: RunRecord, warn: Callable[[str], None]) -> bool:
        """Whether the run that has just ended is run again. `warn` is told when a limit alone forbids it."""
        if not self.most or record.verdict is not Verdict.SUCCEEDED or not disturbance(record):
            return False
        if len(self._repeated()) >= self.most:
            return False
        why_not = self._no_room(record)
        if why_not is not None:
            warn(f"{record.run_id} was disturbed ({disturbance(record)}) and is reported all the same: {why_not}")
            return False
        warn(f"{record.run_id} was disturbed ({disturbance(record)}): the same is run again")
        return True

    def _repeated(self) -> list[RunRecord]:
        ids = {one.run_id for one in self.before}
        others = self.past.records if self.past is not None and self.cmd_uid is not None else ()
        known = [one for one in others if one.repeated and one.cmd_uid == self.cmd_uid and one.run_id not in ids]
        return [*self.before, *known]

    def _no_room(self, record: RunRecord) -> str | None:
        """Which limit leaves no room for a run that costs as much again."""
        limits, usd = spec_from_json(record.spec).limits, spent(record)
        whole = 2 * usd + sum(spent(one) for one in self._repeated())
        if limits.max_cost_usd is not None and whole > limits.max_cost_usd:
            return f"max_cost_usd, {limits.max_cost_usd:.4f} USD, leaves no room"
        if limits.spend_per_day is not None:
            day = self.past.of_last_day() if self.past is not None else ()
            if 2 * usd + sum(spent(one) for one in day if one.run_id != record.run_id) > limits.spend_per_day:
                return f"emr.limits.spend_per_day, {limits.spend_per_day:.4f} USD, leaves no room"
        return None
