"""The logs of one cluster on their way to S3: minutes late, at the cluster's end at the latest, whole or spoilt.

What is in them and where they go is the machine's business.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from servo_emr.emulator.world.agenda import Agenda
from servo_emr.emulator.world.misfortune import Misfortune
from servo_emr.emulator.world.mishaps import Phase, SpoilLogs
from servo_emr.emulator.world.records import Cluster
from servo_emr.emulator.world.stage import Stage

__all__ = ["LogShipping"]


class LogShipping:
    """That of one cluster."""

    def __init__(self, cluster: Cluster, stage: Stage, misfortune: Misfortune) -> None:
        self._stage = stage
        self._misfortune = misfortune
        self._due = Agenda(cluster.id, stage)
        self._late = Agenda(cluster.id, stage)
        self._under_way = 0
        self._shipped: Callable[[], None] | None = None

    def keep(self, publish: Callable[[float], None]) -> None:
        """Takes the logs of one piece of work; `publish` is called once, with the share of them that is kept."""
        self._under_way += 1
        self._due.later(self._stage.times.log_delay, lambda: self._ship(publish))

    def close(self, shipped: Callable[[], None]) -> None:
        """The cluster has ended: what is due is due now. `shipped` is called when nothing is under way any more."""
        self._due.hasten()
        self._shipped = shipped
        if self._under_way == 0:
            shipped()

    def _ship(self, publish: Callable[[float], None]) -> None:
        spoilt = list(self._misfortune.begin(Phase.LOGS).of(SpoilLogs))
        delay = sum(mishap.delay for mishap in spoilt)
        keep = min((mishap.keep for mishap in spoilt), default=1.0)
        if delay == math.inf:
            self._publish(publish, 0.0)
        elif delay > 0:
            self._late.later(delay, lambda: self._publish(publish, keep))
        else:
            self._publish(publish, keep)

    def _publish(self, publish: Callable[[float], None], keep: float) -> None:
        publish(keep)
        self._under_way -= 1
        if self._under_way == 0 and self._shipped is not None:
            self._shipped()
