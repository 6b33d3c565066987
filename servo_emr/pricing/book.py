"""The price book: one quote for a run, from which its estimate and its bill are made.

Puts the parts together: asks the sources and the spot pools, and gives what they said to the arithmetic.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.money import Cost, Estimate, Quote
from servo_emr.domain.ports import Clock, PriceSource, SpotSource
from servo_emr.domain.run import Usage
from servo_emr.domain.spec import RunSpec
from servo_emr.domain.volumes import root_volume
from servo_emr.pricing.bill import Tariff, total, volumes_of
from servo_emr.pricing.estimate import appraise, most_usd
from servo_emr.pricing.lives import Interval, Lives, lives
from servo_emr.pricing.pools import Pools
from servo_emr.pricing.sources import Sources, StoragePin
from servo_emr.pricing.spot import Steps
from servo_emr.pricing.storage import guessed_volumes, volumes_for

__all__ = ["RateBook"]

_COMMON_KINDS = ("gp2", "gp3")
"""What EMR gives its instances unasked; a root volume's kind may be either, whatever the release says."""


class RateBook:
    """A PriceBook over sources of list prices and one of spot prices.

    Args:
        sources: asked in this order; the first that has a price decides it.
        clock: tells what "present" means for spot prices.
        spot: asked for spot prices, when a run has any; None: there is nobody to ask, and such a run has no price.
        allow_estimated_fees: whether an EMR fee that is only an estimate will do; the basis then says so.
        overrides: type -> (EC2, EMR fee) in USD per instance-hour; no source is asked about these types.
        storage_overrides: kind of EBS volume -> USD per month for (a GiB, a provisioned IOPS or None, a provisioned
            MiB/s or None); no source is asked about these kinds.
    """

    def __init__(
        self,
        sources: Sequence[PriceSource],
        *,
        clock: Clock,
        spot: SpotSource | None = None,
        allow_estimated_fees: bool = False,
        overrides: Mapping[str, tuple[float, float]] | None = None,
        storage_overrides: Mapping[str, StoragePin] | None = None,
    ) -> None:
        self._sources = Sources(sources, allow_estimated_fees, overrides or {}, storage_overrides or {})
        self._clock = clock
        self._pools = Pools(spot)

    async def quote(self, spec: RunSpec) -> Quote:
        """The prices for a run of a spec, each asked for once.

        Raises:
            OperatorError: operator/price: there is no price for something, or a source gave what is none.
        """
        needed = {root_volume(spec.cluster.release_label).kind}
        # Raises for a type whose disks are not known: before the launch, not after.
        needed |= {v.kind for group in spec.groups for name in group.inst_types for v in volumes_for(group, name)}
        asked = await self._sources.ask(spec.region, spec.inst_types, needed, _COMMON_KINDS)
        bought = [(group, name) for group in spec.groups if group.on_spot for name in group.inst_types]
        inst_types = tuple(dict.fromkeys(name for _, name in bought))
        spot = await self._pools.dearest(spec.region, inst_types, self._clock.now()) if inst_types else {}
        by_default = [name for group in spec.groups if group.volumes is None for name in group.inst_types]
        notes = [*asked.notes, *guessed_volumes(by_default)]
        quote = Quote(spec.region, asked.rates, asked.storage, spot)
        for group, name in bought:
            price, most = spot[name], most_usd(group, name, quote)
            if price > most:
                notes.append(f"{group.role}: {name} on spot is at {price:g} USD per hour, above {most:g}")
        return dataclasses.replace(quote, notes=tuple(notes))

    def estimate(self, spec: RunSpec, quote: Quote, provisioning_s: float) -> Estimate:
        """What a run would cost before it is launched; seconds from the launch to the first step.

        Raises:
            ValueError: a time is negative or no number.
        """
        return appraise(spec, quote, provisioning_s)

    async def bill(self, usage: Usage, quote: Quote, repeats: Sequence[Sequence[Interval]]) -> Cost:
        """What an ended run did cost; `repeats` are the intervals of the measured steps of each repeat.

        Raises:
            OperatorError: operator/price, also for a row whose times make no sense.
        """
        if usage.region != quote.region:
            raise OperatorError(
                f"The run was in {usage.region}, its prices are of {quote.region}: no bill can be made of them.",
                Reason.PRICE,
                remedy="Look at the run's record: its prices and its region must belong together.",
                public="the prices are of another region",
            )
        found = lives(usage)
        tariff, notes = await self._tariff(usage, quote, found)
        cost = total(found, usage.root, repeats, tariff)
        return dataclasses.replace(cost, notes=(*notes, *cost.notes))

    async def _tariff(self, usage: Usage, quote: Quote, found: Lives) -> tuple[Tariff, list[str]]:
        """The quote's prices with those that it lacks, and what has to be said of them."""
        kinds = {volume.kind for life in found.billed for volume in volumes_of(life, usage.root)}
        inst_types = sorted(set(found.inst_types) - quote.rates.keys())
        kinds -= quote.storage.keys()
        rates, storage, notes = dict(quote.rates), dict(quote.storage), list(quote.notes)
        if inst_types or kinds:
            asked = await self._sources.ask(usage.region, inst_types, kinds)
            rates |= asked.rates
            storage |= asked.storage
            late = ", ".join([*inst_types, *(f"{kind} volumes" for kind in sorted(kinds))])
            notes += [f"not in the run's own prices, asked for afterwards: {late}", *asked.notes]
            notes += guessed_volumes(inst_types)
        return Tariff(usage.region, rates, storage, usage.zone, await self._spot(usage, found)), notes

    async def _spot(self, usage: Usage, found: Lives) -> dict[str, Steps]:
        if not found.on_spot:
            return {}
        inst_types = sorted({life.row.inst_type for life in found.on_spot})
        start = min(life.created for life in found.on_spot)
        end = max(life.created + life.billed_s for life in found.on_spot)
        return await self._pools.steps(usage.region, usage.zone, inst_types, start, end)
