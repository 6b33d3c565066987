"""What goes wrong in one life: asks when a phase begins, and makes happen what is not that phase's own business.

Mishaps that belong to what the phase does (its delay, a step's end, spoilt logs) are left to whoever began it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from servo_emr.emulator.world.agenda import Agenda
from servo_emr.emulator.world.events import Event
from servo_emr.emulator.world.mishaps import Delay, EndCluster, LoseInstances, Mishap, Phase, Protect
from servo_emr.emulator.world.records import Cluster
from servo_emr.emulator.world.stage import Course, Stage

__all__ = ["Misfortune", "Plight"]

M = TypeVar("M")


@dataclass(frozen=True)
class Plight:
    """What goes wrong in one phase, from its beginning until it is `over`."""

    mishaps: Sequence[Mishap] = ()
    events: list[Event] = field(default_factory=list)

    @property
    def delay(self) -> float:
        """Seconds that the phase takes longer."""
        return sum(mishap.seconds for mishap in self.of(Delay))

    def of(self, kind: type[M]) -> Iterator[M]:
        return (mishap for mishap in self.mishaps if isinstance(mishap, kind))

    def over(self) -> None:
        """What has not happened in the phase does not happen after it."""
        for event in self.events:
            event.cancel()


_CALM = Plight()


class Misfortune:
    """That of one cluster."""

    def __init__(
        self,
        cluster: Cluster,
        stage: Stage,
        agenda: Agenda,
        course: Course,
        lose: Callable[[LoseInstances], None],
    ) -> None:
        self._cluster = cluster
        self._stage = stage
        self._agenda = agenda
        self._course = course
        self._lose = lose

    def begin(self, phase: Phase) -> Plight:
        return self.strike(self.ask(phase))

    def ask(self, phase: Phase) -> Sequence[Mishap]:
        """What goes wrong in the phase that begins now. Nothing of it happens yet."""
        return self._stage.mishaps.begin(phase, self._cluster, self._stage.now)

    def strike(self, mishaps: Sequence[Mishap]) -> Plight:
        """Schedules what happens by itself."""
        if not mishaps:
            return _CALM
        plight = Plight(mishaps)
        for mishap in mishaps:
            if isinstance(mishap, EndCluster):
                plight.events.append(self._agenda.later(mishap.after, lambda mishap=mishap: self._end(mishap)))  # type: ignore[misc]
            elif isinstance(mishap, LoseInstances):
                plight.events.append(self._agenda.later(mishap.after, lambda mishap=mishap: self._lose(mishap)))  # type: ignore[misc]
            elif isinstance(mishap, Protect):
                plight.events.append(self._agenda.later(mishap.after, self._protect))
        return plight

    def _end(self, mishap: EndCluster) -> None:
        self._course.end(mishap.reason, failed=mishap.failed, details=mishap.details, interrupts=mishap.failed)

    def _protect(self) -> None:
        self._cluster.protected = True
