"""AWS's list prices kept in the workspace: asked for once a day, and there when AWS cannot be asked.

Knows what a kept price looks like and when it is old. Where prices come from first is another source's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from servo_emr.domain.errors import Conflict, RunError
from servo_emr.domain.money import Prices, Rate, StorageRate
from servo_emr.domain.ports import Clock, PriceSource, Workspace
from servo_emr.domain.schemas import stamped
from servo_emr.domain.spec import plain

__all__ = ["FRESH_S", "CachedPrices"]

DOCUMENT = "prices"
FRESH_S = 86_400.0
"""For how long a kept price is used without asking again: lists change every few weeks."""


@dataclass
class _Kept:
    """What prices.json holds: (region, instance type) -> rate, (region, kind) -> storage rate, each with its time.

    version is what a conditional write compares; note says why nothing could be read.
    """

    rates: dict[tuple[str, str], tuple[float, Rate]] = field(default_factory=dict)
    storage: dict[tuple[str, str], tuple[float, StorageRate]] = field(default_factory=dict)
    version: str | None = None
    note: str = ""

    @classmethod
    def of(cls, body: Mapping[str, Any], version: str) -> _Kept:
        """Raises KeyError, TypeError or ValueError for a document that is none of ours."""
        rates = [(float(item["at"]), Rate(**item["rate"])) for item in body["rates"]]
        storage = [(float(item["at"]), StorageRate(**item["rate"])) for item in body["storage"]]
        return cls(
            {(rate.region, rate.inst_type): (at, rate) for at, rate in rates},
            {(rate.region, rate.kind): (at, rate) for at, rate in storage},
            version,
        )

    def body(self) -> dict[str, Any]:
        """The document."""
        return stamped(
            DOCUMENT,
            rates=[{"at": at, "rate": plain(rate)} for _, (at, rate) in sorted(self.rates.items())],
            storage=[{"at": at, "rate": plain(rate)} for _, (at, rate) in sorted(self.storage.items())],
        )


class CachedPrices:
    """A PriceSource before another: asks it for what is not kept or no longer fresh, and keeps what it answers.

    A price that is no longer fresh is used only when the other source could not give it; the note says so. Notes
    become warnings of a measurement, so they hold no URI and nothing that AWS said.

    Args:
        inner: the source whose prices are kept.
        workspace, clock: the ports.
        keep: whether answers are written; for a command that must write nothing they are not.
    """

    def __init__(self, inner: PriceSource, workspace: Workspace, clock: Clock, *, keep: bool) -> None:
        self._inner = inner
        self._workspace = workspace
        self._clock = clock
        self._keep = keep

    async def prices(self, region: str, inst_types: Sequence[str], kinds: Sequence[str]) -> Prices:
        now = self._clock.now()
        kept = await self._read()
        types = [name for name in inst_types if not _is_fresh(kept.rates.get((region, name)), now)]
        volumes = [kind for kind in kinds if not _is_fresh(kept.storage.get((region, kind)), now)]
        asked = await self._inner.prices(region, types, volumes) if types or volumes else Prices("")
        notes = [kept.note, asked.note, *_aged(kept, region, types, volumes, asked)]
        for name, rate in asked.rates.items():
            kept.rates[region, name] = (now, rate)
        for kind, storage in asked.storage.items():
            kept.storage[region, kind] = (now, storage)
        if self._keep and (asked.rates or asked.storage):
            notes.append(await self._write(kept))
        return Prices(
            f"{asked.source or 'AWS Price List'}, kept in the workspace",
            {name: kept.rates[region, name][1] for name in inst_types if (region, name) in kept.rates},
            {kind: kept.storage[region, kind][1] for kind in kinds if (region, kind) in kept.storage},
            "; ".join(note for note in notes if note),
        )

    async def _read(self) -> _Kept:
        try:
            document = await self._workspace.document(DOCUMENT)
            return _Kept() if document is None else _Kept.of(document.body, document.version)
        except RunError as error:
            return _Kept(note=f"prices kept in {DOCUMENT}.json cannot be read ({error.reason})")
        except (KeyError, TypeError, ValueError):
            return _Kept(note=f"{DOCUMENT}.json in the workspace holds no prices of this version: move it away")

    async def _write(self, kept: _Kept) -> str:
        """Keeps the prices; what has to be said when that did not work."""
        if kept.note:
            return ""  # what is there could not be read, and is not overwritten
        try:
            await self._workspace.write(DOCUMENT, kept.body(), kept.version)
        except Conflict:
            return ""  # somebody else has just kept prices: as good as ours
        except RunError as error:
            return f"prices could not be kept ({error.reason})"
        return ""


def _is_fresh(entry: tuple[float, object] | None, now: float) -> bool:
    return entry is not None and 0 <= now - entry[0] < FRESH_S


def _aged(kept: _Kept, region: str, types: Sequence[str], kinds: Sequence[str], asked: Prices) -> list[str]:
    """A sentence for each kept price that has to do although it is no longer fresh."""
    old = [(name, kept.rates[region, name][0]) for name in types if (region, name) in kept.rates]
    old += [(f"EBS {kind}", kept.storage[region, kind][0]) for kind in kinds if (region, kind) in kept.storage]
    given = {*asked.rates, *(f"EBS {kind}" for kind in asked.storage)}
    return [
        f"{name} at the price that was kept on {datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
        for name, at in old
        if name not in given
    ]
