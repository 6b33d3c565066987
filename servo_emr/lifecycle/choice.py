"""Which run answers an order: one that has finished and was told to nobody, one under way that is adopted, a new one.

Before any of them goes on, what else was left is ended: no second cluster is launched while another may be alive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from servo_emr.domain.ports import Handle
from servo_emr.domain.run import RunRecord
from servo_emr.domain.spec import RunKey, RunSpec, canonical, spec_from_json
from servo_emr.lifecycle.course import Ports
from servo_emr.lifecycle.diary import Diary
from servo_emr.lifecycle.past import Past
from servo_emr.lifecycle.recover import Recover

__all__ = ["Choice", "Chosen", "Order"]


@dataclass(frozen=True)
class Order:
    """What is to be measured: the spec, the settings that it came from, the metrics wanted with their units.

    cmd_uid is the optimizer's command, None without one. paced: answers without a launch are kept apart.
    repeat_disturbed: so many times a run that was disturbed is run again instead of being reported.
    """

    spec: RunSpec
    settings: Mapping[str, Any]
    wanted: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    cmd_uid: str | None = None
    paced: bool = False
    repeat_disturbed: int = 0


@dataclass(frozen=True)
class Chosen:
    """The run that will answer: its diary, its key, what is uploaded for it; its cluster when it has one already."""

    diary: Diary
    key: RunKey
    past: Past
    files: Mapping[str, bytes]
    handle: Handle | None = None


class Choice:
    """Chooses.

    Args:
        ports: the world.
        recover: ends what must not go on.
        warn: called with a sentence for the log.
    """

    def __init__(self, ports: Ports, recover: Recover, warn: Callable[[str], None]) -> None:
        self._ports = ports
        self._recover = recover
        self._warn = warn

    async def of(self, order: Order, diary: Diary, past: Past) -> Chosen | RunRecord:
        """The run that will answer, or the finished one whose answer is to be delivered.

        Args:
            diary: of the new run, if it comes to one; its identity is noted.

        Raises:
            RunError: the notebook cannot be read, or what was left cannot be ended.
        """
        record = diary.record
        key = RunKey(self._ports.workspace.uri, record.workspace_id, record.run_id)
        package = await self._ports.packer.pack(order.spec, key)
        identity = hashlib.sha256(canonical([order.spec, package.notebook_sha256]).encode()).hexdigest()
        diary.note(identity=identity, notebook_sha256=package.notebook_sha256)
        if (untold := past.untold(identity)) is not None:
            # What cannot be verified of the others is on record, said aloud and tried again: it is their failure.
            await self._recover.finish(past.unfinished())
            return untold
        prior = past.adoptable(identity)
        adopted = await self._adopt(prior, order, past) if prior is not None else None
        others = [one for one in past.unfinished() if adopted is None or one.run_id != adopted.key.run_id]
        errors = await self._recover.finish(others)
        past = past.updated(await self._read_again(others))
        if adopted is not None and adopted.handle is not None:
            return replace(adopted, past=past)  # its cluster is there: better to go on with it than to leave it alone
        for error in errors:
            raise error
        if adopted is not None:
            return replace(adopted, past=past)
        return past.untold(identity) or Chosen(diary, key, past, package.files)

    async def _read_again(self, records: Iterable[RunRecord]) -> dict[str, RunRecord]:
        """The records, by run id, as they are now that their runs were finished."""
        found = [await self._ports.workspace.record(record.run_id) for record in records]
        return {record.run_id: record for record, _ in filter(None, found)}

    async def _adopt(self, prior: RunRecord, order: Order, past: Past) -> Chosen | None:
        """The undecided run of equal identity, to be seen through; None when it is no longer worth anything."""
        ports = self._ports
        found = await ports.workspace.record(prior.run_id)
        if found is None or found[0].decided or not found[0].workspace_id:
            return None
        record, version = found
        try:
            spec = spec_from_json(record.spec)
        except ValueError:
            return None  # what it runs cannot be read: it is ended
        handle = await self._recover.cluster_of(record)
        if handle is not None and not await self._recover.still_worth(handle):
            return None
        diary = Diary(ports.workspace, ports.clock, record, self._warn, version)
        diary.note(recovered=True, units=dict(order.wanted))
        self._warn(f"run {record.run_id} is taken over" + ("" if handle is None else f" with {handle.cluster_id}"))
        key = RunKey(ports.workspace.uri, record.workspace_id, record.run_id)
        # A run that has its cluster has its files: that the notebook cannot be read just now must not end it.
        files = {} if handle is not None else (await ports.packer.pack(spec, key)).files
        return Chosen(diary, key, past, files, handle)
